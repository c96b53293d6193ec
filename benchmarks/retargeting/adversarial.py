"""Streams of poses that no person makes, of which every command must be inside the robot's limits all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from diffmocap.robots.frames import HumanFrame

#: Frames of each stream.
FRAMES = 300


def streams(frames: list[HumanFrame], seed: int = 0) -> Iterator[tuple[str, list[tuple[HumanFrame, float]]]]:
    """Name, and frames with the time since the one before [s], made of a real motion's frames."""
    rng = np.random.default_rng(seed)
    dt = 1.0 / 30.0
    pick = rng.integers(0, len(frames), FRAMES)
    own = [frames[i % len(frames)] for i in range(FRAMES)]
    yield "another pose of the motion in every frame", [(frames[i], dt) for i in pick]
    yield "two poses in turn", [(frames[pick[i % 2]], dt) for i in range(FRAMES)]
    yield "joints anywhere", [(_random(frame, rng), dt) for frame in own]
    yield "upside down and back", [(_turned(f, [np.pi * (i % 2), 0, 0], 0), dt) for i, f in enumerate(own)]
    yield "spinning", [(_turned(frame, [0, 0, 0.9 * i], 0), dt) for i, frame in enumerate(own)]
    yield "teleports", [(_turned(frame, [0, 0, 0], 5.0 * rng.normal(size=3)), dt) for frame in own]
    yield "contacts at random", [(replace(frame, contacts=rng.random(2) < 0.5), dt) for frame in own]
    yield "uneven stamps", [(frame, float(t)) for frame, t in zip(own, rng.uniform(0.002, 0.4, FRAMES), strict=True)]
    yield "ten times as fast", [(frames[10 * i % len(frames)], dt) for i in range(FRAMES)]
    yield (
        "noise of 10 cm",
        [(replace(frame, positions=frame.positions + rng.normal(0, 0.1, (24, 3))), dt) for frame in own],
    )
    yield "all joints in one place", [(replace(frame, positions=np.zeros((24, 3))), dt) for frame in own]


def _turned(frame: HumanFrame, rotation_vector, way) -> HumanFrame:
    turn = Rotation.from_rotvec(rotation_vector).as_matrix()
    middle = frame.positions[0]
    return replace(
        frame, positions=(frame.positions - middle) @ turn.T + middle + way, rotations=turn @ frame.rotations
    )


def _random(frame: HumanFrame, rng: np.random.Generator) -> HumanFrame:
    return replace(
        frame, positions=rng.normal(0, 0.6, (24, 3)) + [0, 0, 1], rotations=Rotation.random(24, rng=rng).as_matrix()
    )
