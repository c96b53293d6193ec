"""Pictures and films of what the command line shows."""
