"""What result pages have in common: provenance, and figures asked beside figures measured."""
