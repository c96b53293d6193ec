"""DiffPhy: joint-drive targets of a simulated body, optimized so that its motion explains the video.

Follows the paper of that name; an offline stage. May import `optim`, `physics` and `window`. *Controls* are the
B-spline coefficients of the drive targets; a *stage* is a stretch of the motion that is optimized by itself.
"""
