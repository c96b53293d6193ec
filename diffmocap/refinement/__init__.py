"""Refinement: from lifted hypotheses to the one pose that is published."""
