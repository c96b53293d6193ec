"""2D keypoints of one person, by MediaPipe, mapped to BODY_25 and with a confidence each.

May import `body`, `files` and `resources`. A *landmark* is a point of MediaPipe's, a *keypoint* one of ours. Landmarks
that are less visible than `min_visibility`, or outside the image, get a confidence of 0 here (`body25`); keypoints
below `min_confidence` count as missing from the pipeline on (`confidence`).
"""
