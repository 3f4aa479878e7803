"""Terraform's states in an S3 bucket: exported, compared resource by resource, put back locked.

`state` reads what a state file says, `locks` takes its lock as Terraform does, `plan` asks
Terraform what it makes of it afterwards, and `source` is the source made of them.
"""

from ledgerkeep.configuration.sources.terraform_state.source import States, open_source

__all__ = ["States", "open_source"]
