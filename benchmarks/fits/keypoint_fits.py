"""Fits of the body to the keypoints of one image: learned gradient descent, Optimus, L-BFGS, least squares, and the
lifting: ``python -m benchmarks.keypoint_fits``.

Frames of the test split before the camera of :mod:`benchmarks.protocols.exact_views`, all 25 keypoints in 2D, exact,
and with Gaussian noise of 2 % of the box's half-size that every method is told.

Those that minimise share the objective of :mod:`diffmocap.fitting.keypoint_fit` and its start, the mean pose at that of
four headings where the objective is least. After 4, 10 and 50 evaluations of the objective with its gradient, the
start's counted, the best point so far by the objective is looked at, as a user would take it. Learned gradient
descent is trained on errors of poses and not on the objective, in runs of four steps, so its last point stands beside.
Rates of Adam and momentum are the best of four on the validation split, by PA-MPJPE after ten evaluations. Least
squares is SciPy's trust region with the Jacobian of all residuals, which tells more than a gradient and costs more; it
also starts from all four headings, and from where learned gradient descent is after four steps (five evaluations).

The lifting is one call of the network that ships, the posterior mean, without its correction and with two steps of it,
which are counted as evaluations; least squares go on from there, too, and their times leave out what came before.

PA-MPJPE and MPJPE are over the 12 limb joints, MPJPE with the middle of the hips put together; the objective is the
median over the frames. Milliseconds are those of an image by itself, of the processor and one thread.
"""

from __future__ import annotations

import torch

from benchmarks.fits.methods import EVALUATIONS, Images, lifted, nothing, searched, squared, stepped
from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import Page, mocap_file, page_arguments, provenance
from benchmarks.protocols.exact_input import draw_frames
from benchmarks.protocols.exact_views import InputCase
from diffmocap.body.model import BodyModel
from diffmocap.fitting.pose_prior import PosePrior
from diffmocap.lifting.lifter import Lifter
from diffmocap.optim.first_order import Adam, Momentum
from diffmocap.optim.learned import LearnedOptimizer
from diffmocap.optim.limited_memory_step import LimitedMemoryStep
from diffmocap.optim.optimizer import StepOptimizer
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget
from diffmocap.optim.weights import load_optimizer, load_shipped

CASES = {"exact": InputCase(), "noise of 2 %": InputCase(noise=0.02)}
#: Rates to choose from, on the validation split after so many evaluations.
RATES = {"Adam": (Adam, (0.03, 0.1, 0.2, 0.4)), "momentum": (Momentum, (1e-7, 1e-6, 1e-5, 1e-4))}
CHOSEN_AFTER = 10
LGD, OPTIMUS, LBFGS = "learned gradient descent", "Optimus", "L-BFGS"
NOTHING, SQUARES = "start, nothing done", "least squares"
LIFTED, CORRECTED = "lifting, posterior mean", "lifting, corrected"
#: Steps that learned gradient descent is trained for.
LGD_STEPS = 4


def chosen_rates(images: list[Images]) -> dict[str, float]:
    """Of :data:`RATES` those whose PA-MPJPE over the given images is least."""

    def error(kind: type[StepOptimizer], rate: float) -> float:
        budget = Budget(evaluations=CHOSEN_AFTER)
        found = [(one, kind(rate).minimize(one.task, one.task.init(len(one.views)), budget).x) for one in images]
        return sum(one.figures_at(x)["pa_mpjpe_mm"] for one, x in found)

    return {
        name: min(rates, key=lambda rate, kind=kind: error(kind, rate)) for name, (kind, rates) in RATES.items()
    }  # fmt: skip


def measured(
    images: Images, noise: float, lifter: Lifter, lgd: LearnedOptimizer, others: dict[str, StepOptimizer]
) -> dict[str, list[dict]]:
    """All rows of a case by the name of the method, in the page's order."""
    start, most = images.task.init(len(images.views)), max(EVALUATIONS)
    then = lgd.minimize(images.task, start, Budget(iterations=LGD_STEPS)).last
    *_, uncorrected = lifted(lifter, images, noise, correction=False)
    rotations, pelvis, corrected = lifted(lifter, images, noise, correction=True)
    from_lifting = images.task.unknowns(rotations, pelvis)[:, None]
    return {
        NOTHING: nothing(images),
        LGD: stepped(lgd, images),
        f"{LGD}, last point": stepped(lgd, images, last=True),
        **{name: stepped(optimizer, images) for name, optimizer in others.items()},
        LBFGS: searched(Lbfgs(), images),
        SQUARES: squared(images, start[:, None], EVALUATIONS),
        f"{SQUARES}, four headings": squared(images, images.task.starts(), (most,)),
        f"{SQUARES} after {LGD}": squared(images, then[:, None], EVALUATIONS, before=LGD_STEPS + 1),
        LIFTED: uncorrected,
        CORRECTED: corrected,
        f"{SQUARES} after the {CORRECTED}": squared(
            images, from_lifting, EVALUATIONS[1:2], before=corrected[0]["evaluations"]
        ),
        "the true pose": [images.figures(images.views.rotations, images.views.pelvis) | {"evaluations": 0}],
    }


def table(rows: dict[str, list[dict]]) -> list[str]:
    """Markdown, a row for each number of evaluations of each method."""
    lines = [
        "| method | evaluations | objective | PA-MPJPE [mm] | MPJPE [mm] | ms per image |",
        "|---" + "|---:" * 5 + "|",
    ]
    for name, of in rows.items():
        for row in of:
            ms = f"{row['ms']:.1f}" if "ms" in row else "–"
            lines.append(
                f"| {name} | {row['evaluations']:.0f} | {row['loss']:.4g} | {row['pa_mpjpe_mm']:.1f} ± "
                f"{row['standard_error_mm']:.1f} | {row['mpjpe_mm']:.1f} | {ms} |"
            )
    return lines


def answers(found: dict[str, dict[str, list[dict]]]) -> list[str]:
    """What the tables say about learned gradient descent, case by case."""
    lines = []
    for case, rows in found.items():
        ours = rows[LGD][0]["pa_mpjpe_mm"]
        few = {
            name: of[0]["pa_mpjpe_mm"]
            for name, of in rows.items()
            if len(of) == len(EVALUATIONS) and LGD not in name
        }  # fmt: skip
        best = min(few, key=few.get)
        lines.append(
            f"- {case}: after {EVALUATIONS[0]} evaluations {ours:.1f} mm PA-MPJPE, the start "
            f"{rows[NOTHING][0]['pa_mpjpe_mm']:.1f}, the next best with as many ({best}) {few[best]:.1f}, "
            f"least squares from four headings {rows[f'{SQUARES}, four headings'][0]['pa_mpjpe_mm']:.1f}, the lifting "
            f"{rows[LIFTED][0]['pa_mpjpe_mm']:.1f} and corrected {rows[CORRECTED][0]['pa_mpjpe_mm']:.1f}."
        )
    return lines


def page(found: dict[str, dict[str, list[dict]]], rates: dict[str, float], frames: int, head: list[str]) -> list[str]:
    """The Markdown page."""
    lines = ["# The body fitted to the keypoints of one image", "", *head, "", *answers(found), ""]
    lines += [" ".join(part.split()) + "\n" for part in __doc__.split("\n\n")[1:]]
    chosen = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
    lines += [f"Rates chosen: {chosen}. {frames} frames, ± standard error over them.", ""]
    for case, rows in found.items():
        lines += [f"## Keypoints: {case}", "", *table(rows), ""]
    return lines


def main(arguments: list[str] | None = None) -> None:
    parser = benchmark_parser(__doc__)
    clips_option(parser, "test")
    clips_option(parser, "val", "--val", "clips that rates are chosen on")
    parser.add_argument("--frames", type=int, default=64, help="of the test split (default %(default)s)")
    parser.add_argument("--lgd", metavar="FILE", help="weights of learned gradient descent (default: the shipped ones)")
    parser.add_argument("--optimus-fits", metavar="FILE", help="weights of Optimus trained on fits, a row of its own")
    shared_options(parser, "json", "no_page", "out")
    args = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    data, val = mocap_file("test", args.data), mocap_file("val", args.val)
    lifter, body, prior = Lifter.load(), BodyModel.load(), PosePrior.load()
    lgd = load_optimizer(args.lgd) if args.lgd else load_shipped("learned_gradient_descent")
    choosing = draw_frames(val, args.frames)
    rates = chosen_rates([Images.of(body, prior, choosing, case) for case in CASES.values()])
    others = {OPTIMUS: load_shipped("optimus"), PLAIN_STEP: LimitedMemoryStep()}
    if args.optimus_fits:
        others[f"{OPTIMUS}, trained on fits"] = load_optimizer(args.optimus_fits)
    others |= {name: RATES[name][0](rate) for name, rate in rates.items()}
    frames, found = draw_frames(data, args.frames), {}
    for name, case in CASES.items():
        found[name] = measured(Images.of(body, prior, frames, case), case.noise, lifter, lgd, others)
        print("\n".join([f"{name}:", *table(found[name]), ""]), flush=True)
    head = provenance("benchmarks.keypoint_fits", f"{data.name}, rates from {val.name}")
    if not args.no_page:
        print(Page.of_today("keypoint-fits", args.out).write(page(found, rates, len(frames), head)))
    end_with_json(args, {"frames": len(frames), "rates": rates, "cases": found})


if __name__ == "__main__":
    main()
