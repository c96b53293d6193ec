"""Commands that make, convert and show files of motions."""
