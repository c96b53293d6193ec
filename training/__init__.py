"""Recipes that make the weights in `models/`: `lifting` the diffusion model, `optim` Optimus.

`views` simulates what a detector sees of a motion, `motions` reads motion capture and lifted windows. Needs torch,
NumPy and roma alone, so that it runs on any GPU machine; nothing of it is installed with the product.
"""

from pathlib import Path

#: `python -m training.distill` and `training.ship` find `training/lifting`; code names the room.
__path__ += [str(Path(__file__).with_name("lifting"))]
