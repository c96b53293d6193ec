"""Ways to fit the body to the keypoints of one image, side by side: ``python -m benchmarks.keypoint_fits``."""
