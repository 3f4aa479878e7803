"""What is protected, how often, for how long, how fast it must come back: the only numbers."""
