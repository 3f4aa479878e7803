"""The sandbox: real servers on this machine, so that everything can be tried without a cloud."""
