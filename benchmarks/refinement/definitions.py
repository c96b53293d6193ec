"""What the figures of ``benchmarks.refinement`` mean; the end of its page."""

from __future__ import annotations

from benchmarks.refinement.clips import WALKERS
from benchmarks.refinement.diffphy import HARD_GROUND
from benchmarks.refinement.judge import ARM, EDGES, FRICTION, LEAVE, TOUCH
from benchmarks.refinement.metrics import SLIDING
from benchmarks.refinement.pybullet_rollout import RATE_HZ, SURFACING_S
from benchmarks.refinement.scores import WITHIN
from benchmarks.refinement.windows import LEAD, ROUNDS
from diffmocap.evaluation.bootstrap import DRAWS
from diffmocap.physics.ground_contact import GroundContact
from training.held_out import HELD_OUT_SUBJECT, UNEVEN_SUBJECTS

_CHOSEN_ON, _UNEVEN = HELD_OUT_SUBJECT, UNEVEN_SUBJECTS

DEFINITIONS = f"""\
- **Motions**: stretches of CMU's recordings (<http://mocap.cs.cmu.edu>), 30 frames a second, on the shipped body. In
  domain: walks of subjects {", ".join(WALKERS)}. Out of domain: all else of the validation and test files. Subjects
  {", ".join(_UNEVEN)} are left out (climbing, uneven ground), and {", ".join(SLIDING)} has no figure of foot skate.
  No subject measured here is trained on; learning rates and filters are chosen on walks of subject {_CHOSEN_ON}, which
  is not trained on either. The refinement's own weights were chosen on walks of subjects 39 and 43, which are among
  those measured in domain.
- **Windows**: 32 frames before a level camera from a random side at 3.5 to 5.5 m; keypoints with correlated noise of
  1 to 3 % of the person's half-size; lifted by the shipped model through the pose pipeline without smoothing,
  following the person for {LEAD} frames before the window. The ground is given. *Before* is the followed hypothesis
  of each frame. *After* is the refined motion: {ROUNDS} rounds that share the evaluations, contacts read anew in the
  second, from the smoothed followed hypothesis.
- **DiffPhy**: one second of motion capture as 3D observation; unknowns are the targets of the drives. *Before* is the
  simulation with the observed poses as targets, *after* that of the controls found.
- **Evaluations to BFGS's loss**: first evaluation whose best loss so far is within {100 * WITHIN:g} % of the loss at
  which BFGS (SciPy) ends at the same cap; BFGS is held to the same. Runs that never get there count with the cap. The
  ratio is one of medians over motions. An evaluation is a loss with its gradient, the start's included; SciPy's line
  searches count each of theirs. All solvers start at the same point, x = 0.
- **Seconds**: of whole runs with one motion at a time, one thread, preparation of the problem included, on some of
  the motions in domain; for learned solvers a step and an evaluation.
- **MPJPE-G, MPJPE, PA, 2D**: {"`diffmocap.evaluation.motion_metrics`"}; 2D against the true keypoints. **TV**: mean
  over frames
  of the sum over joints of the change of the acceleration from frame to frame.
- **Foot skate**: percent of frames with a foot within 5 cm of the ground that moves more than 2 cm along it; the
  *excess* is over the source motion's, in percentage points, and is what is asked and in the JSON line.
- **Root residual**: percent of the body's weight. Contact points are labelled on the source's motion capture (touch
  below {100 * TOUCH[0]:g} cm and {TOUCH[1]:g} m/s, until above {100 * LEAVE[0]:g} cm or {LEAVE[1]:g} m/s). Of the
  estimate the rate of change of momentum less gravity is computed by differences (NumPy, masses from the URDF), then
  the forces at these points within pyramids of {EDGES} edges in cones of friction {FRICTION:g} that explain most of
  it (non-negative least squares). What is left: root of the sum of squares of the force over the weight and of the
  moment about the centre of mass over the weight at {ARM:g} m. Means over frames, then over motions. The source
  motion's own is the floor of this measure.
- **PyBullet**: the motion's poses (windows) or the controls (DiffPhy) drive a character in another engine, same gains
  for all, no force at the root; seconds until its pelvis is 0.3 m off the reference (windows: the motion's own,
  DiffPhy: the observed). Clips of 3 s; those tracked to the end are censored and count with their length. The engine
  takes {RATE_HZ:g} steps a second, at which its toes hold as they do in the simulation, and lifts what begins in the
  ground out of it within {SURFACING_S:g} s instead of throwing it off. DiffPhy's long clips, before and after, begin
  with soles lifted out of the ground, and their controls are found on a harder ground, which a standing foot sinks
  {1e3 * HARD_GROUND.sink_m:g} mm into instead of {1e3 * GroundContact.sink_m:g}.
- **Filters**: one-euro (causal) and a Rauch-Tung-Striebel smoother under white jerk, on the same 32 frames. *Tuned*:
  least MPJPE-G for subject {_CHOSEN_ON}. *Equal jitter*: the strength at which their TV is that of the refined motions.
- **Intervals**: 95 %, bootstrap over takes ({DRAWS} draws), all motions of a take together.
- **Table 4**: networks run until f(x) is above the mean of the last five values (or the cap); 50 evaluations without
  that; basin hopping with 40 iterations between moves, whose size is chosen on subject {_CHOSEN_ON}.
"""
