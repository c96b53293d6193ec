"""Whole videos to motions, offline: every image looked at twice, the whole motion refined by physics.

video -> keypoints -> poses from both directions in time -> the likeliest path -> ground -> windows -> one motion
"""
