"""What became of a video, as it goes from a worker to whoever asked."""

from __future__ import annotations

import errno
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmocap.errors import DiffmocapError

if TYPE_CHECKING:
    from diffmocap.reconstruct.reconstruction import ReconstructedMotion
    from diffmocap.reconstruct.work import Reconstructor, Told


#: Errors of the folder, which every further video would have.
OF_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Outcome:
    """One video's motions, or why there are none; plain data, so that it can cross processes and machines.

    Attributes:
        video: as it was given. files: of the motions. exports: files of other formats.
        motions: of each file, what is worth telling of it. seconds: that it took. error: in words, or empty.
        not_exported: why files of other formats are missing.
    """

    video: str
    files: list[str] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)
    motions: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""
    not_exported: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the command's line of JSON."""
        told: dict[str, Any] = {"video": self.video, "files": self.files}
        if self.not_exported:
            told["not_exported"] = self.not_exported
        return told | ({"error": self.error} if self.error else {"seconds": self.seconds, "motions": self.motions})


def attempt(
    work: Reconstructor, video: str, name: str, told: Told = lambda stage, done, total: None
) -> Outcome:  # fmt: skip
    """Reconstructs a video; what a video can do wrong is an outcome, too."""
    begin = time.monotonic()
    try:
        made = work.reconstruct(video, name, told)
    except DiffmocapError as error:
        return Outcome(video, error=str(error))
    except OSError as error:
        if error.errno in OF_ALL:
            raise
        return Outcome(video, error=str(error))
    exports = [str(other) for path, _ in made for other in work.exports(path) if other.is_file()]
    seconds = round(time.monotonic() - begin, 2)
    return Outcome(video, [str(path) for path, _ in made], exports, [_told(m) for _, m in made], seconds,
                   not_exported=list(work.not_exported))  # fmt: skip


def line(path: str, motion: dict[str, Any]) -> str:
    """One motion in words."""
    bridged = round((1.0 - motion["tracked"]) * motion["frames"])
    gaps = f", {bridged} of its {motion['frames']} frames bridged" if bridged else ""
    floor = motion["floor"] if motion["floor_trusted"] else (
        "a rough guess: feet have not rested in places far enough apart; --camera-pitch and --camera-height tell it"
    )  # fmt: skip
    told = f"{path}: {motion['frames'] / motion['fps']:.1f} s at {motion['fps']:g} Hz{gaps}; floor: {floor}"
    return told + (f"; {simulation_told(motion)}" if "simulated" in motion else "")


def simulation_told(motion: dict[str, Any]) -> str:
    """What became of a motion's simulation, in words."""
    if not motion["floor_trusted"]:
        return "not simulated, since its floor is not known"
    left = round((1.0 - motion["simulated"]) * motion["frames"])
    if left == motion["frames"]:
        return (
            "not simulated: a body with driven joints falls or strays from it everywhere; is the floor where feet are?"
        )
    before, after = motion["simulation_loss"]
    rest = f", the other {left} are as they were refined" if left else ""
    return f"{motion['frames'] - left} frames simulated (loss {before:.3g} to {after:.3g}){rest}"


def size(path: str) -> str:
    """A file and its size."""
    return f"{path}: {Path(path).stat().st_size / 1e6:.1f} MB"


def _told(motion: ReconstructedMotion) -> dict[str, Any]:
    told = {
        "first": motion.first, "frames": len(motion.pelvis), "fps": motion.fps,
        "tracked": float(motion.tracked.float().mean()), "floor": motion.floor.ground.source,
        "floor_trusted": motion.floor.trusted,
    }  # fmt: skip
    if math.isfinite(motion.refining_losses[0]):
        told["refining_loss"] = list(motion.refining_losses)
    if motion.dynamics is not None:
        told["simulated"] = float(motion.dynamics.simulated.float().mean())
        # JSON has no nan.
        found = motion.simulation_losses
        told["simulation_loss"] = list(found) if math.isfinite(found[0]) else None
    return told
