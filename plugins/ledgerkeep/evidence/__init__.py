"""What ran and what it showed, in records that cannot be changed quietly, and reports."""
