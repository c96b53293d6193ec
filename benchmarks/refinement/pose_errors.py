"""How far poses are from the truth, and whether their covariances say so: ``python -m benchmarks.pose_errors``.

Motion capture before cameras, keypoints with a detector's noise and with limbs, the head or half of the body hidden for
a while, through the pipeline as in the pose node. ``--fit`` measures the errors on the validation split and writes them
to ``models/pose_errors.json``; every run then reports the covariances' coverage on the test split, on a dated page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from tqdm import tqdm

from benchmarks.lifting.noisy_keypoints import CAMERA, HALVES, LIMBS, NOISE, Observed, hide_parts, observe
from benchmarks.page.command import benchmark_parser, clips_option
from benchmarks.page.report import RESULTS, Page, commit, mocap_file, page_arguments, provenance, today
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_MIRROR, JOINT_NAMES
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.weights import DEFAULT_WEIGHTS
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.filter.pose_covariance import (
    DEFAULT_ERRORS,
    FLOOR,
    PoseErrors,
    joint_visibility,
    rotation_scatter,
    shrunk,
)
from diffmocap.refinement.filter.pose_filter import PoseFilter
from diffmocap.resources import manifest
from training.manifest import ACKNOWLEDGEMENT, MODELS, write_entry

#: Numbers of hypotheses that are looked at, the default among them.
DEFAULT_HYPOTHESES = LiftingSettings().hypotheses
SEVERAL = (1, DEFAULT_HYPOTHESES, 9)
#: Nothing is known before it was measured.
UNKNOWN = PoseErrors(torch.eye(3).repeat(24, 1, 1), torch.eye(3).repeat(24, 1, 1), (1.0, 1.0), (1.0, 1.0), 1.0, 1.0)
#: A mirrored body has the joint of the other side turned by this.
MIRROR = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
#: Joints that never turn further were not captured; what is told of them, an axis.
STILL_RAD, UNMEASURED_RAD = 0.02, 0.3
PRIOR_SAMPLES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
SPREAD_SCALES = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
#: Quantiles of chi-squared with three degrees of freedom.
CHI2 = {0.5: 2.366, 0.9: 6.251, 0.99: 11.345}


@dataclass
class Errors:
    """Of N published poses.

    Attributes:
        truth: [N, 24] rad, angle of the true rotations.
        rotation: [N, 24, 3] rad, ``v`` with ``R_true = R exp(v)``; pelvis: [N, 3] m.
        position: [N, 3] m, published pelvis.
        confidence: [N, 25] of the keypoints.
        scatter: [N, 24, 3, 3] rad^2 of the hypotheses about the published pose; samples: [N] how many they are worth.
        covariance: [N, 24, 3, 3] rad^2 published; pelvis_covariance: [N, 3, 3] m^2.
    """

    truth: torch.Tensor
    rotation: torch.Tensor
    pelvis: torch.Tensor
    position: torch.Tensor
    confidence: torch.Tensor
    scatter: torch.Tensor
    samples: torch.Tensor
    covariance: torch.Tensor
    pelvis_covariance: torch.Tensor


def sequences(split: str, given: str | None, count: int, frames: int, body: BodyModel) -> list[Observed]:
    """``count`` clips of a split, spread over it, each seen from another side and place."""
    clips = [clip for clip in load_split(mocap_file(split, given)) if len(clip) >= 45]
    chosen = [clips[i] for i in np.linspace(0, len(clips) - 1, count).round().astype(int)]
    g = np.random.default_rng(0)
    out = []
    for seed, clip in enumerate(chosen):
        at_m = (g.uniform(-0.6, 0.6), g.uniform(-0.1, 0.3), g.uniform(3.0, 6.0))
        observed = observe(clip, g.uniform(0, 2 * np.pi), body, frames, seed, at_m)
        out.append(hide_parts(observed, 32, 14, seed, LIMBS + HALVES))
    return out


def measure(lifter: Lifter, body: BodyModel, errors: PoseErrors, hypotheses: int, data: list[Observed]) -> Errors:
    """Errors of the pipeline's poses; the first three of each sequence, where the filter starts, are left out."""
    rows = []
    settings = PipelineSettings(lifting=LiftingSettings(hypotheses=hypotheses))
    for observed in tqdm(data, unit="clip", desc=f"K = {hypotheses}"):
        pipeline = PosePipeline(lifter, PoseFilter(body, errors=errors), body, settings)
        for t, keypoints in enumerate(observed.keypoints):
            result = pipeline.step(keypoints, CAMERA)
            if result.state is None or t < 3:
                continue
            s, tracked = result.state, result.tracked
            rows.append((
                roma.rotmat_to_rotvec(observed.rotations[t]).norm(dim=-1),
                roma.rotmat_to_rotvec(s.rotations.mT @ observed.rotations[t]), observed.pelvis[t] - s.pelvis, s.pelvis,
                torch.from_numpy(keypoints.confidence),
                rotation_scatter(tracked.poses.rotations, tracked.weights, s.rotations),
                1.0 / tracked.weights.square().sum(), s.rotation_covariance, s.pelvis_covariance,
            ))  # fmt: skip
    return Errors(*(torch.stack(column) for column in zip(*rows)))


def fit_tables(errors: Errors) -> PoseErrors:
    """Second moments where a joint is seen and where it is hidden, from poses of a single hypothesis.

    Left and right are told alike. Of joints that the motion capture leaves still nothing can be measured.
    """
    share = joint_visibility(errors.confidence)
    moments = torch.einsum("nja,njb->njab", errors.rotation, errors.rotation)
    tables, pelvis = {}, {}
    distance = errors.position.norm(dim=-1, keepdim=True)
    relative, sight = errors.pelvis / distance, errors.position / distance
    along = (relative * sight).sum(-1).square()
    across = 0.5 * (relative.square().sum(-1) - along)
    for name, level in (("visible", 1.0), ("hidden", 0.0)):
        rows = (share - level).abs() < 1e-3
        if int(rows.sum(0).min()) < 50:
            raise SystemExit(f"only {int(rows.sum(0).min())} frames show a joint {name}: give more --clips")
        weight = rows.float()[..., None, None]
        table = (weight * moments).sum(0) / weight.sum(0) + FLOOR * torch.eye(3)
        table = 0.5 * (table + MIRROR @ table[list(JOINT_MIRROR)] @ MIRROR)
        table[errors.truth.amax(0) < STILL_RAD] = UNMEASURED_RAD**2 * torch.eye(3)
        tables[name] = table
        pelvis[name] = tuple(float(x[rows[:, 0]].mean().sqrt()) for x in (across, along))
    return PoseErrors(tables["visible"], tables["hidden"], pelvis["visible"], pelvis["hidden"], 1.0, 1.0)


def negative_log_likelihood(errors: Errors, tables: PoseErrors) -> float:
    """Mean over frames and joints, nats; constant left out."""
    share = joint_visibility(errors.confidence)[..., None, None]
    prior = share * tables.visible + (1 - share) * tables.hidden
    scatter, samples = tables.spread_scale * errors.scatter, errors.samples[:, None, None, None]
    covariance = shrunk(prior, scatter, samples, tables.prior_samples) + FLOOR * torch.eye(3)
    captured = errors.truth.amax(0) >= STILL_RAD
    nats = 0.5 * (covariance.logdet() + mahalanobis2(errors.rotation, covariance))
    return float(nats[:, captured].mean())


def fit_shrinkage(errors: list[Errors], tables: PoseErrors) -> PoseErrors:
    """The worth of the tables in samples, and the scale of the samples' scatter, that make the errors likeliest."""
    grid = [replace(tables, prior_samples=n, spread_scale=c) for n in PRIOR_SAMPLES for c in SPREAD_SCALES]
    return min(grid, key=lambda tables: sum(negative_log_likelihood(e, tables) for e in errors))


def mahalanobis2(v: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """[...] squared, of vectors [..., 3]."""
    return (v * torch.linalg.solve(covariance, v)).sum(-1)


def coverage(errors: Errors) -> dict[str, float]:
    """Share of the errors within the published covariances' ellipsoids, and how sharp these are."""
    captured = errors.truth.amax(0) >= STILL_RAD
    rotation, covariance = errors.rotation[:, captured], errors.covariance[:, captured]
    distance2 = mahalanobis2(rotation, covariance)
    pelvis2 = mahalanobis2(errors.pelvis, errors.pelvis_covariance)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    hidden = joint_visibility(errors.confidence)[:, captured] < 0.5
    return {
        **{f"within_{q:g}": float((distance2 < chi2).float().mean()) for q, chi2 in CHI2.items()},
        **{f"hidden_within_{q:g}": float((distance2 < chi2)[hidden].float().mean()) for q, chi2 in CHI2.items()},
        **{f"pelvis_within_{q:g}": float((pelvis2 < chi2).float().mean()) for q, chi2 in CHI2.items()},
        "mean_error_deg": float(rotation.norm(dim=-1).mean().rad2deg()),
        "told_deg": float(trace.mean().sqrt().rad2deg()),
        "made_deg": float(rotation.square().sum(-1).mean().sqrt().rad2deg()),
    }


def write(tables: PoseErrors, clips: int, frames: int, data: str) -> None:
    """The figures and their record."""
    figures = {
        "visible": _rounded(tables.visible), "hidden": _rounded(tables.hidden),
        "pelvis_visible": [round(x, 5) for x in tables.pelvis_visible],
        "pelvis_hidden": [round(x, 5) for x in tables.pelvis_hidden],
        "prior_samples": tables.prior_samples, "spread_scale": tables.spread_scale,
    }  # fmt: skip
    (MODELS / DEFAULT_ERRORS).write_text(json.dumps(figures) + "\n")
    write_entry(MODELS, DEFAULT_ERRORS, {
        "kind": "errors of published poses", "licence": "Apache-2.0", "commit": commit(),
        "command": "python -m benchmarks.pose_errors --fit",
        "date": today(), "of_weights": manifest()["files"][DEFAULT_WEIGHTS]["sha256"],
        "data": {"clips": [data], "sequences": clips, "frames": frames, "acknowledgement": ACKNOWLEDGEMENT},
    })  # fmt: skip


def _rounded(table: torch.Tensor) -> list:
    symmetric = 0.5 * (table + table.mT)
    return [[[float(f"{x:.4g}") for x in row] for row in matrix] for matrix in symmetric.tolist()]


def page(results: dict[int, dict[str, float]], tables: PoseErrors, head: list[str]) -> str:
    """Coverage for each number of hypotheses, and the tables by joint."""
    lines = [
        "# Errors of published poses", "", *head, "",
        f"Keypoint noise of {NOISE} of the person's half-size; every 32 frames a limb, the head or half of the body is "
        "hidden for 14 frames. Shares of the joint rotations' errors inside the ellipsoids of the published "
        "covariances that would hold 50, 90 and 99 % of Gaussian errors; root mean square error that was made, and as "
        "the covariances tell it. Joints that the motion capture does not turn are left out.", "",
        "| hypotheses | 50 % | 90 % | 99 % | hidden: 50 % | 90 % | 99 % | pelvis: 50 % | 90 % | 99 % | made | told |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for k, r in results.items():
        shares = [f"{100 * r[f'{kind}within_{q:g}']:.0f}" for kind in ("", "hidden_", "pelvis_") for q in CHI2]
        lines.append(f"| {k} | {' | '.join(shares)} | {r['made_deg']:.1f}° | {r['told_deg']:.1f}° |")
    lines += [
        "", f"The tables are worth {tables.prior_samples:g} hypotheses; the hypotheses' scatter is scaled by "
        f"{tables.spread_scale:g}. Root mean square of the errors on the validation split, all keypoints of the joint "
        "seen and none:", "", "| joint | seen | hidden |", "|---|---:|---:|",
    ]  # fmt: skip
    rms = [t.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt().rad2deg() for t in (tables.visible, tables.hidden)]
    lines += [f"| {name} | {a:.1f}° | {b:.1f}° |" for name, a, b in zip(JOINT_NAMES, *(r.tolist() for r in rms))]
    seen, hidden = ([f"{100 * x:.1f} %" for x in p] for p in (tables.pelvis_visible, tables.pelvis_hidden))
    lines.append(f"| pelvis position over its distance, across the line of sight | {seen[0]} | {hidden[0]} |")
    lines.append(f"| pelvis position over its distance, along the line of sight | {seen[1]} | {hidden[1]} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--fit", action="store_true", help="measure on the validation split and ship the figures")
    clips_option(parser, "val", "--val", what="validation clips")
    clips_option(parser, "test", "--test", what="test clips")
    parser.add_argument("--clips", type=int, default=14, help="sequences of each split (default 14)")
    parser.add_argument("--frames", type=int, default=96, help="frames of each at most (default 96)")
    args = page_arguments(parser)
    torch.set_num_threads(1)
    body = BodyModel.load()
    lifter = Lifter.load(None, body)
    if args.fit:
        data = sequences("val", args.val, args.clips, args.frames, body)
        tables = fit_tables(measure(lifter, body, UNKNOWN, DEFAULT_HYPOTHESES, data))
        few = data[: max(len(data) // 2, 1)]
        several = [k for k in SEVERAL if k > 1]
        tables = fit_shrinkage([measure(lifter, body, UNKNOWN, k, few) for k in several], tables)
        write(tables, len(data), sum(map(len, data)), mocap_file("val", args.val).name)
    tables = PoseErrors.load()
    data = sequences("test", args.test, args.clips, args.frames, body)
    results = {k: coverage(measure(lifter, body, tables, k, data)) for k in SEVERAL}
    used = f"`{mocap_file('test', args.test).name}`, {len(data)} sequences, {sum(map(len, data))} frames"
    head = provenance("benchmarks.pose_errors", f"{used}; figures of `{mocap_file('val', args.val).name}`")
    print(Page.of_today("pose-errors", RESULTS).write(page(results, tables, head)).read_text())


if __name__ == "__main__":
    main()
