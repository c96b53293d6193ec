"""What of the training split nothing is trained on, and what is of no use for physics. Said once, for all recipes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffmocap.errors import SettingsError

#: Names of clips that no lifting model is trained on, one per line.
HELD_OUT_CLIPS = Path(__file__).with_name("held_out.txt")
#: The subject whose walks hyperparameters of optimizers and filters are chosen on.
HELD_OUT_SUBJECT = "07"
#: Subjects that climb or walk on uneven ground: their feet rest where the flat floor is not.
UNEVEN_SUBJECTS = ("01", "03", "127")


def require_clips(trained: Sequence, held_out: Sequence, data: Sequence[Path], what: str = "walk") -> None:
    """Looks whether there is something to train and to validate on, before either is made, which takes minutes.

    Raises:
        SettingsError: one of both is empty; the message says which subject is looked for.
    """
    names = ", ".join(map(str, data))
    if not held_out:
        raise SettingsError(
            f"{names} has no {what} of subject {HELD_OUT_SUBJECT!r}, which runs are validated on: give the training "
            "split, or name a subject of your own as HELD_OUT_SUBJECT in training/held_out.py"
        )
    if not trained:
        raise SettingsError(f"{names} has no {what} on flat ground of another subject than {HELD_OUT_SUBJECT!r}")
