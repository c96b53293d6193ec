"""Motions that are kept: one person over time, files of them, and what other tools open."""
