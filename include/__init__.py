"""What Ledgerkeep is told and given: policies, expectations, templates, the sandbox."""
