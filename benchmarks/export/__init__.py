"""Exported motions, opened by the tools that they are for."""
