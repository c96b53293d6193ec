"""What of the training split nothing is trained on, and what is of no use for physics. Said once, for all recipes."""

from __future__ import annotations

from pathlib import Path

#: Names of clips that no lifting model is trained on, one per line.
HELD_OUT_CLIPS = Path(__file__).with_name("held_out.txt")
#: The subject whose walks hyperparameters of optimizers and filters are chosen on.
HELD_OUT_SUBJECT = "07"
#: Subjects that climb or walk on uneven ground: their feet rest where the flat floor is not.
UNEVEN_SUBJECTS = ("01", "03", "127")
