"""The lender's accounts: what the loan system is set to, on the stand-ins of the sandbox.

Each environment has an AWS account of its own. What is in it follows from one seed, which the
sandbox remembers: the stand-ins keep nothing on disk, and after a restart the same is there again,
down to the KMS keys, so what was sealed before is still opened.
"""
