"""The object store: streams in and out, hashed in the same pass, never overwritten."""
