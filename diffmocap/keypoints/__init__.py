"""2D keypoints of one person, by MediaPipe, mapped to BODY_25 and with a confidence each.

May import `body` for names of joints. A *landmark* is a point of MediaPipe's, a *keypoint* one of ours. Nothing is left
out here: the confidence below which a keypoint counts as missing is a setting of the lifting (`min_confidence`).
"""
