"""Diagnostics: what comes in, what goes out, and what to tell the user when either stops.

A *watch* counts events on a steady clock and turns silence into a diagnostic level with its reason.
"""
