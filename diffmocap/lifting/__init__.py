"""From 2D keypoints to hypotheses of the pose in 3D, sampled by a conditional diffusion model.

`network` is the model, `sampling` turns it into poses, `tracking` keeps hypotheses over time, `lifter` joins them to
one call: keypoints of one image in, weighted poses in the camera's optical frame out; `keypoints.confidence` drops
those below `min_confidence`. May import `body`, `camera`, `keypoints` and what stands before them. A *condition* is
what the model knows of the image; a *hypothesis* is one sampled pose; *guidance* is classifier-free guidance.
"""
