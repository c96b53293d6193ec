"""What the figures of ``benchmarks.optimizers`` mean, as its page says it."""

from benchmarks.optimizers.paper import MULTIMODAL, NOT_COMPARABLE
from benchmarks.optimizers.scores import FLOOR
from benchmarks.optimizers.tasks import DIMENSIONS, ITERATIONS, SEED, STARTS

DEFINITIONS = "\n\n".join(
    (
        f"**Tasks.** 15 functions in {', '.join(map(str, DIMENSIONS))} dimensions, {STARTS} starts uniform in the "
        f"domain, {ITERATIONS} iterations; the 45 tasks of the headlines are those in 250, 500 and 1000 "
        "dimensions. Learned optimizers are trained in 2 to 100. Every function is shifted by an offset of its "
        "own, one for all starts, each coordinate uniform within half of the domain's half-width; domain and "
        f"starts move with it. Starts and offsets come from seed {SEED} and the task's name. All values are f - "
        "f*, best so far by iteration (BFGS: after an iteration's line search), mean over the starts. All solvers "
        "run on f - f* in float64; networks are float32. No stopping criterion is used, but SciPy's solvers end "
        "by their own and then repeat their last value.",
        "**Baselines.** BFGS and L-BFGS are SciPy's with their defaults. Adam (0.9, 0.999) and momentum (0.9) "
        "have for each task the best of 100 learning rates, log-spaced from 1e-6 to 1, by the mean of the best "
        f"values after {ITERATIONS} iterations. These four never see where they are, and starts move with the "
        "offset: their curves with it are those without it, to rounding "
        "(`tests/benchmarks/test_optimizer_baselines.py`). So they are run once, unshifted. Learned optimizers "
        "see x and are run on both.",
        "**Relative iterations** (the paper's figure 4). The target is the baseline's mean value after its 100th "
        "iteration, and n the first iteration after which its mean is there: less than 100 where it has converged or "
        "ended earlier. Each start of Optimus has the ratio n / k, where k is the first iteration after which its "
        "best value is at or below the target; a start that is there from the beginning has k = 1, one that never "
        "gets there has the ratio 0. A task's ratio is the mean over its starts.",
        "**The L-BFGS step of which nothing is learned** is Optimus's own quasi-Newton step of 16 pairs, with a share "
        "of 1 and without anything that a network adds, under the same safeguard: one evaluation an iteration, no "
        "line search.",
        "**Turned coordinates.** The 45 shifted tasks on y = Q x, Q a random orthogonal matrix of each task's own, "
        "from the same seed; starts are the same points. In float64. A start's decades after e evaluations are log10 "
        f"of its f - f* over the best after e, of which less than {FLOOR:g} of the start's does not count; a task's "
        "are the mean over its starts. The figure is the median over the tasks of Optimus's decades less those of the "
        "step of which nothing is learned; its interval is a bootstrap's that draws functions, their three dimensions "
        "together.",
        f"**Functions of local minima and valleys** are {', '.join(MULTIMODAL)}, in the three dimensions.",
        "**Performance profile** (eq. 3). m = (f - f*) / (worst f - f*) with mean final values of the compared "
        "solvers, at least 1e-8; r is m over the least m; rho(t) is the share of tasks with r of at most t. "
        "The area is taken over log10 t from 0 to 6, divided by 6. First at every threshold: at no t is the share "
        "of another solver larger.",
        f"**The paper's table.** {', '.join(NOT_COMPARABLE)} is left out: the paper's row repeats that of Sum of "
        "Squares, and ours is a scaled form, as the library's overflows; 42 entries remain. The paper's Trid "
        "bottoms out at (N² + 3N) / 2 instead of 0: that is added to ours for the comparison. Its functions are "
        "not shifted, ours are. Some of Rastrigin's rows in small dimensions could not be read.",
        "**Costs.** Time of an iteration with its evaluation, one Rosenbrock problem, Optimus and SciPy's BFGS in "
        "turns within one run with the same number of threads: median of Optimus' steps; mean of BFGS' iterations "
        "that update H, the first one left out. Memory: most that was resident in a process of its own, above "
        "what it was with PyTorch and the weights read. (`VmHWM`; `ru_maxrss` of a started process includes what "
        "its parent held.)",
    )
)
