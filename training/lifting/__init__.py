"""Training of the diffusion model: recipe, trainer, losses, distillation, and shipping of weights.

`python -m training.lifting` trains. Imports the product's lifting, `training.views` and `training.motions`.
"""
