"""Noise schedule, samplers and guidance: one sampler a file, with its equations.

A sampler is a function over `model(x, t)`. To add one, write its file and name it in `samplers`. *x* is the noisy pose,
*t* the step of the schedule, *w* the guidance weight.
"""
