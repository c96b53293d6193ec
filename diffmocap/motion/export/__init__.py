"""Motions as other tools open them: one file format a module."""
