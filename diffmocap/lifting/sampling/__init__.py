"""Noise schedule, samplers and guidance: one sampler per file, with its equations.

A sampler is a function over `denoise(x, t) -> (x0, epsilon)`. To add one, write its file, call it in
`samplers.sample_along`, and name it in `lifting.settings.SAMPLERS`. *x* is the noisy pose,
*t* the step of the schedule, *w* the guidance weight.
"""
