"""Recovery points, what was shown about them, and where they lie in the bucket."""
