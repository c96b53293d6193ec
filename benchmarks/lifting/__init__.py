"""Accuracy of poses from keypoints: the paper's protocol, free cameras, guidance, samplers, tracking."""
