"""The denoising transformer, its condition and its weights.

Maps a noisy pose, its diffusion time and the condition to an estimate of the clean pose. Knows nothing of samplers. The
*condition* is the normalised keypoints, the view and the previous pose; the *null* condition is that of classifier-free
guidance; *fused* means the same network with its inference arithmetic rearranged.
"""
