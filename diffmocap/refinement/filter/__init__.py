"""Causal filters of poses, used where physics is off or has no ground yet, and the covariance they report.

May import the interface `refinement.refiner`, `lifting.tracking` and what stands before them. A *causal filter* uses
the present and the past alone; *blending* moves from one source of the published pose to another without a jump.
"""
