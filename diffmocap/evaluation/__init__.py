"""How wrong a pose or a motion is, and under which protocol that is measured.

`joint_errors` and `motion_metrics` are the figures, `calibration` compares claimed with true uncertainty,
`paper_protocol` and `wild_protocol` say which frames are seen by which camera, `wild_scores` sums them up. May import
everything up to the pipeline; the command line and `benchmarks/` use it, nothing that runs live does. *MPJPE* is the
mean per-joint position error after aligning the pelvis, *PA-MPJPE* after a similarity transform; *wild* means a free
camera, noisy keypoints and no given translation.
"""
