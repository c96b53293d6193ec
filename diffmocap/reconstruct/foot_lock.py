"""Feet that stand stay where they stand, and on the floor; legs, and a little the pelvis, follow them.

How far pelvis and feet are moved is the solution of one sparse linear least-squares problem over the whole motion: a
foot keeps one place, unknown itself, for as long as it stands; else feet and pelvis stay where they were, along the
viewing direction less firmly than across it, and what moves them is smooth. The legs then reach the feet by the
geometry of two bones: the thigh and the shank turn in the plane that they had, and the foot keeps its direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve

from diffmocap.body.feet import ANKLES, TOES
from diffmocap.lifting.network.swing import swing, two_vector_turns
from diffmocap.physics.tree import global_poses
from diffmocap.reconstruct.floor import Floor
from diffmocap.reconstruct.stances import runs
from diffmocap.refinement.window.body_points import BodyPoints

#: Standard deviations of what the problem is made of [m]: the pelvis across and along the viewing direction, and a foot
#: beside it, as if frames were independent, though their errors go together for a good half second; a standing foot;
#: its height above the floor; a sole that was below the floor, or a foot out of reach; the height of one that steps.
PELVIS_ACROSS_M, PELVIS_ALONG_M, FOOT_M = 0.02, 0.05, 0.1
HOLD_M, FLOOR_M, SUNK_M, STEP_M = 0.004, 0.01, 0.002, 0.02
#: Accelerations of the moves of pelvis and feet [m/s^2].
PELVIS_M_S2, FOOT_M_S2 = 1.0, 10.0
#: Rounds in which feet that are below the floor are lifted onto it, and those that legs do not reach come nearer.
_ROUNDS = 4
#: A foot that stands still higher than this above the floor stands on something else, or on nothing [m].
RESTS_M = 0.08
#: Standing soles that are farther than this below a known floor, in the median, show that the body is elsewhere [m].
OFF_M = 0.03
#: A leg reaches this share of its length, or as far as it did.
_REACH = 0.998
_HIPS, _KNEES = (1, 2), (4, 5)
#: Below this sine of the knee's flexion its plane is that of the hinge.
_STRAIGHT = 0.02


@dataclass(frozen=True)
class Moves:
    """How far pelvis [T, 3] and feet [T, 2, 3] are moved [m]; the feet as well as the pelvis."""

    pelvis: np.ndarray
    feet: np.ndarray


def lock_feet(
    rotations: torch.Tensor, pelvis: torch.Tensor, standing: np.ndarray, points: BodyPoints, floor: Floor, dt_s: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The motion [T, 24, 3, 3], [T, 3] m with feet that stand where ``standing`` [T, 2] (left, right) says so.

    Where the floor is trusted they stand on it, and no sole is below it.
    """
    if len(pelvis) < 3 or not (standing.any() or floor.trusted):
        return rotations, pelvis
    pelvis = onto_floor(rotations, pelvis, standing, points, floor)
    turned, joints = global_poses(rotations.double(), pelvis.double(), points.bones.double())
    toes = joints[:, TOES].numpy()
    onto = np.full(standing.shape, np.nan)
    hips = joints[:, _HIPS].numpy()
    legs = joints[:, ANKLES].numpy() - hips
    bones = points.bones.double().norm(dim=-1).numpy()
    longest = np.maximum(_REACH * (bones[list(_KNEES)] + bones[list(ANKLES)]), np.linalg.norm(legs, axis=-1))
    near = np.full((*standing.shape, 4), np.nan)
    rest = _heights(turned, pelvis.double(), points, floor) if floor.trusted else None
    for _ in range(_ROUNDS):
        known = floor if floor.trusted else None
        moves = solve_moves(toes, joints[:, 0].numpy(), standing, dt_s, known, rest, onto, near)
        wanted = legs + moves.feet
        length = np.linalg.norm(wanted, axis=-1)
        far = length > longest + 1e-3
        ahead = wanted[far] / length[far, None]
        # The move along the leg that it reaches as far as.
        most = longest[far] - (legs[far] * ahead).sum(-1)
        near[far] = np.concatenate([ahead, most[:, None]], -1)
        sunk = np.zeros_like(far)
        if rest is not None:
            sunk = rest + (moves.pelvis[:, None] + moves.feet) @ floor.ground.up.double().numpy() < -1e-3
            onto = np.where(sunk, -rest, onto)
        if not (far.any() or sunk.any()):
            break
    moved = joints + torch.from_numpy(moves.pelvis)[:, None]
    turned = reach(turned, moved, moved[:, ANKLES] + torch.from_numpy(moves.feet))
    return _local(rotations, turned), moved[:, 0].to(pelvis)


def onto_floor(
    rotations: torch.Tensor, pelvis: torch.Tensor, standing: np.ndarray, points: BodyPoints, floor: Floor
) -> torch.Tensor:
    """The pelvis [T, 3] m of a motion whose standing soles are below a floor that is trusted, brought up as a whole.

    Errors that all frames have in common are those of the body's place, most of all of its distance, and no leg's: the
    move is the likeliest one under the standard deviations of the pelvis that brings the median to the floor. Soles
    above it may stand on something.
    """
    if not (floor.trusted and standing.any()):
        return pelvis
    turned, _ = global_poses(rotations.double(), pelvis.double(), points.bones.double())
    off = float(np.median(_heights(turned, pelvis.double(), points, floor)[standing]))
    if off > -OFF_M:
        return pelvis
    up, sight = floor.ground.up.to(pelvis), torch.nn.functional.normalize(pelvis, dim=-1)
    across, along = PELVIS_ACROSS_M**2, PELVIS_ALONG_M**2
    ways = across * up + (along - across) * (sight @ up)[:, None] * sight
    return pelvis - off * ways / (ways @ up)[:, None]


def solve_moves(
    toes: np.ndarray, pelvis: np.ndarray, standing: np.ndarray, dt_s: float, floor: Floor | None = None,
    rest: np.ndarray | None = None, onto: np.ndarray | None = None, near: np.ndarray | None = None,
) -> Moves:  # fmt: skip
    """The least moves under which feet stand.

    Args:
        toes: [T, 2, 3] m, and pelvis: [T, 3] m, in the optical frame. standing: [T, 2] bool.
        floor: that feet stand on; None: wherever they are. rest: [T, 2] m, how high each foot's lowest point is above
            it. onto: [T, 2] m, how far up a foot has to be moved to lie on it, nan: it need not.
        near: [T, 2, 4] direction in which a foot has to be moved by how much beside the pelvis, m; nan: it need not.
    """
    frames = len(pelvis)
    stances = [(foot, *run) for foot in (0, 1) for run in runs(standing[:, foot])]
    unknown = 3 * (3 * frames + len(stances))
    problem = _Problem(unknown)
    sight = pelvis / np.linalg.norm(pelvis, axis=1, keepdims=True)
    along = sight[:, :, None] * sight[:, None]
    up = None if floor is None else floor.ground.up.double().numpy()
    firm = (np.eye(3) - along) / PELVIS_ACROSS_M + along / PELVIS_ALONG_M
    problem.add([(0, sparse.bsr_matrix((firm, np.arange(frames), np.arange(frames + 1))))], np.zeros(3 * frames))
    ones = np.ones(frames - 2) / dt_s**2
    bend = sparse.diags([ones, -2.0 * ones, ones], [0, 1, 2], shape=(frames - 2, frames))
    bend = sparse.kron(bend, sparse.identity(3))
    zeros = np.zeros(3 * (frames - 2))
    problem.add([(0, bend / PELVIS_M_S2)], zeros)
    for foot in (1, 2):
        problem.add([(3 * frames * foot, sparse.identity(3 * frames) / FOOT_M)], np.zeros(3 * frames))
        if floor is not None:  # a foot that steps keeps its height
            kept = sparse.kron(sparse.diags(~standing[:, foot - 1] / STEP_M), up[None])
            problem.add([(3 * frames * foot, kept)], np.zeros(frames))
        problem.add([(3 * frames * foot, bend / FOOT_M_S2)], zeros)
    for number, (foot, first, stop) in enumerate(stances):
        count = stop - first
        own = sparse.identity(3 * count) / HOLD_M
        place = sparse.kron(np.ones((count, 1)), sparse.identity(3)) / -HOLD_M
        at = 9 * frames + 3 * number
        moved = [(3 * first, own), (3 * (frames * (1 + foot) + first), own), (at, place)]
        problem.add(moved, -toes[first:stop, foot].reshape(-1) / HOLD_M)
        if floor is not None and np.median(rest[first:stop, foot]) < RESTS_M:
            # Where the toes are once the foot's lowest point lies on the floor.
            height = np.median(toes[first:stop, foot] @ up - rest[first:stop, foot])
            firm_m = FLOOR_M / np.sqrt(count)  # as if every frame said so
            problem.add([(at, up[None] / firm_m)], np.array([height / firm_m]))
    if onto is not None and floor is not None:
        for frame, foot in np.argwhere(np.isfinite(onto)):
            parts = [(3 * frame, up[None] / SUNK_M), (3 * (frames * (1 + foot) + frame), up[None] / SUNK_M)]
            problem.add(parts, onto[frame, foot, None] / SUNK_M)
    if near is not None:
        for frame, foot in np.argwhere(np.isfinite(near[..., 3])):
            row = near[frame, foot, None] / SUNK_M
            problem.add([(3 * (frames * (1 + foot) + frame), row[:, :3])], row[0, 3:])
    found = problem.solve()[: 9 * frames].reshape(3, frames, 3)
    return Moves(found[0], np.stack([found[1], found[2]], 1))


def reach(turned: torch.Tensor, joints: torch.Tensor, ankles: torch.Tensor) -> torch.Tensor:
    """Global rotations [T, 24, 3, 3] under which hips and knees bring the ankles to [T, 2, 3] m, as far as legs reach.

    Args:
        turned: global rotations, and joints: [T, 24, 3] m under them.
    """
    hip, knee, ankle = (joints[:, j] for j in (_HIPS, _KNEES, ANKLES))
    thigh, shank, line, wanted = knee - hip, ankle - knee, ankle - hip, ankles - hip
    upper, lower, before = (v.norm(dim=-1) for v in (thigh, shank, line))
    length = torch.minimum(wanted.norm(dim=-1), torch.maximum(_REACH * (upper + lower), before))
    length = torch.maximum(length, (upper - lower).abs() + 1e-3)
    ahead = torch.nn.functional.normalize(wanted, dim=-1)
    # The knee's axis: perpendicular to both bones, its hinge where they are in one line.
    axis = torch.linalg.cross(thigh, shank)
    flexed = axis.norm(dim=-1, keepdim=True) > _STRAIGHT * (upper * lower)[..., None]
    axis = torch.where(flexed, axis, turned[:, _HIPS, :, 0])
    new_axis = (swing(line / before[..., None], ahead) @ axis[..., None])[..., 0]
    new_axis = torch.nn.functional.normalize(new_axis - (new_axis * ahead).sum(-1, keepdim=True) * ahead, dim=-1)
    forth = (upper.square() - lower.square() + length.square()) / (2.0 * length)
    aside = (upper.square() - forth.square()).clamp_min(0.0).sqrt()
    new_thigh = forth[..., None] * ahead - aside[..., None] * torch.linalg.cross(new_axis, ahead)
    new_shank = length[..., None] * ahead - new_thigh
    one = torch.ones_like(length)
    result = turned.clone()
    for bones, old, new in ((_HIPS, thigh, new_thigh), (_KNEES, shank, new_shank)):
        result[:, bones] = two_vector_turns(old, new, axis, new_axis, one) @ turned[:, bones]
    return result


class _Problem:
    """Rows of a sparse least-squares problem, collected in blocks."""

    def __init__(self, unknown: int) -> None:
        self._unknown, self._rows = unknown, 0
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._right: list[np.ndarray] = []

    def add(self, blocks: list[tuple[int, sparse.spmatrix | np.ndarray]], right: np.ndarray) -> None:
        """Rows with blocks that begin at the given unknowns, and their right side."""
        for column, block in blocks:
            part = sparse.coo_matrix(block)
            self._parts.append((part.data, part.row + self._rows, part.col + column))
        self._right.append(right)
        self._rows += len(right)

    def solve(self) -> np.ndarray:
        """The unknowns, by the normal equations."""
        data, rows, columns = (np.concatenate(x) for x in zip(*self._parts, strict=True))
        A = sparse.csr_matrix((data, (rows, columns)), shape=(self._rows, self._unknown))
        return spsolve((A.T @ A).tocsc(), A.T @ np.concatenate(self._right))


def _heights(turned: torch.Tensor, pelvis: torch.Tensor, points: BodyPoints, floor: Floor) -> np.ndarray:
    """[T, 2] m of each foot's lowest point above the floor."""
    soles = points.to(dtype=torch.float64).soles(turned, pelvis)
    gap = soles @ floor.ground.up.double() - float(floor.ground.height)
    return gap.unflatten(-1, (2, -1)).amin(-1).numpy()


def _local(rotations: torch.Tensor, turned: torch.Tensor) -> torch.Tensor:
    """Local rotations, those of the legs from global ones."""
    result = rotations.clone()
    for joints, parents in ((_HIPS, (0, 0)), (_KNEES, _HIPS), (ANKLES, _KNEES)):
        result[:, joints] = (turned[:, parents].mT @ turned[:, joints]).to(rotations)
    return result
