"""Meta-training of the Optimus that refines streams: `python -m training.stream`.

An *episode* is a stretch of a lifted stream that the refinement walks along, a few steps per frame; B of them walk side
by side. The gradient goes through all steps of some frames, by way of the window loss's own curvature.
"""
