"""The window loss in plain jax.numpy, its gradient by jax: the candidate that ``benchmarks.window_loss`` measures.

The terms of :mod:`diffmocap.refinement.kernels.terms` without any adjoint; only the contact solver has a derivative of
its own, that of the implicit function theorem. Frames stand last, [..., T], so that inner loops run over them. Windows
are padded to a fixed number of frames, so that one compiled program serves all lengths; what is padded weighs nothing.
Not part of the product, which does not need jax.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS, PARENTS
from diffmocap.camera.projection import NEAREST_M
from diffmocap.physics.contact_forces import FRICTION, MOMENT_ARM
from diffmocap.refinement.kernels.records import Body, Given, Unknowns, Weights
from diffmocap.refinement.kernels.units import PELVIS_UNIT, ROTATION_UNIT

jax.config.update("jax_enable_x64", True)

_RHO, _TOLERANCE, _ROUNDING, _ITERATIONS = 1e-3, 1e-6, 1e-14, 12
_LENGTHS = np.array([1.0, 0.5, 0.2, 0.05, 0.01])
_UNITS = np.array([1.0] * 3 + [MOMENT_ARM] * 3)


class Window(NamedTuple):
    """A window's constants, padded. ``entries`` [5, 3, 3, 23] choose what joint limits need of the rotations."""

    frames: jax.Array
    given: Given
    unknowns: Unknowns
    body: Body
    entries: jax.Array
    carried: jax.Array
    contact_carried: jax.Array
    terms: jax.Array
    robust: jax.Array


def padded(body: Body, given: Given, unknowns: Unknowns, weights: Weights, frames: int, knots: int) -> Window:
    """The constants of the compiled loss for a window of at most so many frames and knots, frames last."""

    def last(x: np.ndarray, longest: int) -> np.ndarray:
        x = np.moveaxis(np.asarray(x, float), 0, -1)
        return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, longest - x.shape[-1])])

    count = len(unknowns.pelvis)
    rotations = np.tile(np.eye(3)[:, :, None, None], (1, 1, NUM_JOINTS, frames))
    rotations[..., :count] = unknowns.rotations.transpose(2, 3, 1, 0)
    target = given.target.reshape(count, -1, NUM_JOINTS, 3, 3).transpose(0, 1, 3, 4, 2)
    whole = {name: last(getattr(given, name), frames) for name in (
        "observed", "confidence", "metres_per_pixel", "constant", "places", "precision", "log_weights", "lifted",
        "held",
    )}  # fmt: skip
    whole |= {"target": last(target, frames), "held_steps": last(given.held_steps, frames - 1),
              "may_push": last(given.may_push, frames - 2)}  # fmt: skip
    spline = np.zeros((frames, knots))
    spline[:count, : unknowns.spline.shape[1]] = unknowns.spline
    entries = np.zeros((5, 3, 3, NUM_JOINTS - 1))
    for i, row in enumerate(body.limit_entries):
        for j, entry in enumerate(row - 9 * np.arange(1, NUM_JOINTS)):
            entries[i, entry // 3, entry % 3, j] = 1.0
    carried = np.eye(NUM_JOINTS)
    for j in range(NUM_JOINTS - 1, 0, -1):
        carried[:, PARENTS[j]] += carried[:, j]
    robust = np.array([weights.robust_m, weights.robust_force, weights.robust_moment])
    return jax.device_put(Window(
        np.float64(count), given._replace(**whole), Unknowns(spline, rotations, last(unknowns.pelvis, frames)), body,
        entries, carried[body.mass_segment], carried[body.contact_segment], weights.terms, robust,
    ))  # fmt: skip


def loss(x: jax.Array, window: Window) -> jax.Array:
    """Of knots [Q, 75]."""
    return terms(*decode(x, window.unknowns), window)[0] @ window.terms


def decode(x: jax.Array, unknowns: Unknowns) -> tuple[jax.Array, jax.Array]:
    """Rotations [3, 3, 24, T] and pelvis [3, T] m."""
    steps = (unknowns.spline @ x).T
    turns = steps[:-3].reshape(NUM_JOINTS, 3, -1).transpose(1, 0, 2)
    return _product(unknowns.rotations, _exponential(ROTATION_UNIT * turns)), unknowns.pelvis + PELVIS_UNIT * steps[-3:]


def terms(rotations: jax.Array, pelvis: jax.Array, window: Window) -> tuple[jax.Array, jax.Array]:
    """Terms [11] before they are weighed, and torques [3, 23, T-2] N m."""
    given, body, n = window.given, window.body, window.frames
    relative = _placed(rotations, body.matrix)
    absolute = relative + pelvis[:, None]
    first = NUM_JOINTS + len(body.mass)
    centres = absolute[:, first : first + len(body.radius)]
    gap, steps = _contacts(centres, body, given)
    torques, residual = _dynamics(relative, absolute, gap, steps, window)
    t = jnp.arange(pelvis.shape[-1])
    real, inner, short = t < n, t[:-2] < n - 2, t[:-3] < n - 3
    inners, shorts = jnp.maximum(n - 2, 1), jnp.maximum(n - 3, 1)
    joints = absolute[:, :NUM_JOINTS]
    jerk = jnp.diff(joints, n=3, axis=-1) / given.dt_s**3
    share = torques / body.strength[:, None]
    rate = jnp.diff(share, axis=-1) / given.dt_s
    size = window.robust[1:] ** 2
    root = 2 * size * ((jnp.sqrt((residual**2).sum(1) / size[:, None] + 1.0) - 1.0) * inner).sum(-1) / inners
    return jnp.stack([
        _reprojection(absolute[:, -NUM_KEYPOINTS:], given, window.robust[0]), _hypotheses(rotations, pelvis, given),
        root[0], root[1], (given.held_steps * steps**2).sum(), (given.held * gap**2).sum(),
        (jnp.minimum(gap, 0.0) ** 2 * real).sum() / n, (share**2 * inner).sum() / (inners * (NUM_JOINTS - 1)),
        (rate**2 * short).sum() / (shorts * (NUM_JOINTS - 1)), (_limits(rotations, window) ** 2 * real).sum() / n,
        (jerk**2 * short).sum() / (shorts * NUM_JOINTS),
    ]), torques  # fmt: skip


def _reprojection(points: jax.Array, given: Given, robust_m: jax.Array) -> jax.Array:
    camera = given.camera[:, :, None, None]
    pixels = sum(camera[:, i] * points[i] for i in range(3)) + camera[:, 3]
    error = (pixels[:2] / jnp.maximum(pixels[2], NEAREST_M) - given.observed) * given.metres_per_pixel
    seen = given.confidence * (pixels[2] > NEAREST_M)
    return robust_m**2 * (seen * jnp.log1p((error**2).sum(0) / robust_m**2)).sum()


def _hypotheses(rotations: jax.Array, pelvis: jax.Array, given: Given) -> jax.Array:
    turned = given.constant - (given.target * rotations).sum((1, 2, 3))
    away = pelvis - given.places
    apart = (away[:, :, None] * away[:, None] * given.precision).sum((1, 2))
    exponent = given.log_weights - 0.5 * (jnp.maximum(turned, 0.0) + apart)
    return -(given.lifted * jax.nn.logsumexp(exponent, 0)).sum()


def _limits(rotations: jax.Array, window: Window) -> jax.Array:
    body = window.body
    ac, bc, cc, ab, aa = (window.entries[..., None] * rotations[:, :, 1:]).sum((1, 2))
    sines = jnp.stack([bc, ac, ab]) * body.limit_signs[..., None]
    cosines = jnp.stack([cc, jnp.sqrt(aa * aa + ab * ab + 1e-12), aa])
    beyond = jnp.abs(jnp.arctan2(sines, cosines) - body.limit_middle[..., None])
    return jnp.maximum(beyond - body.limit_half[..., None], 0.0)


def _contacts(centres: jax.Array, body: Body, given: Given) -> tuple[jax.Array, jax.Array]:
    up = given.up[:, None, None]
    steps = jnp.diff(centres, axis=-1) / given.dt_s
    return (centres * up).sum(0) - body.radius[:, None] - given.height, steps - up * (steps * up).sum(0)


def _dynamics(relative, absolute, gap, steps, window: Window) -> tuple[jax.Array, jax.Array]:
    """Torques [3, 23, T-2] N m and residual [2, 3, T-2] N/kg, N m/kg."""
    given, body = window.given, window.body
    masses = slice(NUM_JOINTS, NUM_JOINTS + len(body.mass))
    joints, places = relative[:, :NUM_JOINTS, 1:-1], relative[:, masses, 1:-1]
    touch = relative[:, masses.stop : masses.stop + len(body.radius), 1:-1]
    touch = touch - body.radius[:, None] * given.up[:, None, None]
    acceleration = jnp.diff(absolute[:, masses], n=2, axis=-1) / given.dt_s**2
    total, gravity = body.mass.sum(), given.gravity
    weight = total * jnp.sqrt((gravity**2).sum())
    force = body.mass[:, None] * (acceleration - gravity[:, None, None])
    load = jnp.einsum("cmt,mj->cjt", jnp.concatenate([force, _cross(places, force)]), window.carried)
    centre = (places * (body.mass / total)[:, None]).sum(1)
    whole = load[:, 0]
    wrench = jnp.concatenate([whole[:3], (whole[3:] - _cross(centre, whole[:3])) / MOMENT_ARM]) / weight
    speed = ((0.5 * (steps[..., 1:] + steps[..., :-1])) ** 2).sum(0) + 1e-12
    high = jnp.maximum(gap[:, 1:-1], 0.0)
    activity = jnp.exp(-(given.activity_rates[0] * high**2 + given.activity_rates[1] * speed)) * given.may_push
    arms, axes = (touch - centre[:, None]) / MOMENT_ARM, given.axes.T[:, :, None, None]
    matrix = jnp.concatenate([jnp.broadcast_to(axes, (3, *arms.shape)), _cross(arms[:, None], axes)]) * activity
    multiplier = _multiplier(matrix, wrench)
    pulled = _pulled(matrix, multiplier)
    pushed = activity * sum(axes[:, i] * part for i, part in enumerate(_project(pulled))) * (weight / _RHO)
    load = load - jnp.einsum("cpt,pj->cjt", jnp.concatenate([pushed, _cross(touch, pushed)]), window.contact_carried)
    left = (wrench - _taken(matrix, pulled)) * _UNITS[:, None] * (weight / total)
    return load[3:, 1:] - _cross(joints[:, 1:], load[:3, 1:]), left.reshape(2, 3, -1)


@jax.custom_jvp
def _multiplier(matrix: jax.Array, wrench: jax.Array) -> jax.Array:
    """z [6, F] with z + M P(M^T z) / rho = w, for M [6, 3, P, F] and w [6, F]."""
    inside = jnp.eye(6)[:, :, None] + (matrix[:, None] * matrix[None]).sum((2, 3)) / _RHO
    z = _eliminated(inside, wrench)

    def value(z: jax.Array, y: jax.Array) -> jax.Array:
        return (_project(y) ** 2).sum((0, 1)) - 2 * _RHO * (z * (wrench - 0.5 * z)).sum(0)

    def step(state):
        k, z, y, slope = state
        step = _eliminated(_hessian(matrix, y), slope)
        turn = _pulled(matrix, step)
        values = jnp.stack([value(z - s * step, y - s * turn) for s in _LENGTHS])
        length = jnp.where(values[0] > value(z, y) + _ROUNDING, jnp.asarray(_LENGTHS)[values.argmin(0)], 1.0)
        z, y = z - length * step, y - length * turn
        return k + 1, z, y, z - wrench + _taken(matrix, y)

    y = _pulled(matrix, z)
    state = (0, z, y, z - wrench + _taken(matrix, y))
    _, z, y, slope = jax.lax.while_loop(
        lambda s: (s[0] < _ITERATIONS) & (jnp.abs(s[3]).max() >= _TOLERANCE), step, state
    )
    return z - _eliminated(_hessian(matrix, y), slope)


@_multiplier.defjvp
def _multiplier_jvp(primals, tangents):
    matrix, wrench = primals
    z = _multiplier(matrix, wrench)
    _, moved = jax.jvp(lambda m: _taken(m, _pulled(m, z)), (matrix,), (tangents[0],))
    hessian = _hessian(matrix, _pulled(matrix, z))
    return z, jax.lax.custom_linear_solve(
        lambda x: (hessian * x).sum(1), tangents[1] - moved, lambda _, b: _eliminated(hessian, b), symmetric=True
    )


def _project(y: jax.Array) -> jax.Array:
    """Onto the friction cone: part along the axis, then two tangential ones."""
    size = jnp.sqrt(jnp.maximum(y[1] ** 2 + y[2] ** 2, 1e-60))
    along = jnp.maximum(jnp.maximum(y[0], (y[0] + FRICTION * size) / (1 + FRICTION**2)), 0.0)
    scale = jnp.minimum(FRICTION * along / size, 1.0)
    return jnp.stack([along, scale * y[1], scale * y[2]])


def _pulled(matrix: jax.Array, z: jax.Array) -> jax.Array:
    return (matrix * z[:, None, None]).sum(0)


def _taken(matrix: jax.Array, y: jax.Array) -> jax.Array:
    return (matrix * _project(y)).sum((1, 2)) / _RHO


def _hessian(matrix: jax.Array, y: jax.Array) -> jax.Array:
    columns = [jax.jvp(_project, (y,), (jnp.zeros_like(y).at[i].set(1.0),))[1] for i in range(3)]
    turned = [sum(matrix[:, k] * column[k] for k in range(3)) for column in columns]
    return jnp.eye(6)[:, :, None] + sum((a[:, None] * matrix[None, :, i]).sum(2) for i, a in enumerate(turned)) / _RHO


def _eliminated(matrix: jax.Array, right: jax.Array) -> jax.Array:
    """x [6, F] with A x = y for positive definite A [6, 6, F], without pivots."""
    rows = jnp.concatenate([matrix, right[:, None]], 1)
    for k in range(6):
        row = rows[k] / rows[k, k]
        rows = (rows - rows[:, k, None] * row).at[k].set(row)
    return rows[:, 6]


def _placed(rotations: jax.Array, matrix: jax.Array) -> jax.Array:
    """[3, N, T] m relative to the pelvis."""
    turned = [rotations[:, :, 0]]
    for j, parent in enumerate(PARENTS[1:], start=1):
        turned.append(_product(turned[parent], rotations[:, :, j]))
    columns = jnp.stack(turned, 1).reshape(3, 3 * NUM_JOINTS, -1)
    return jnp.einsum("kn,xkt->xnt", matrix, columns)


def _exponential(v: jax.Array) -> jax.Array:
    half = jnp.sqrt(0.25 * (v**2).sum(0) + 1e-20)
    x, y, z = v * (0.5 * jnp.sin(half) / half)
    w = jnp.cos(half)
    return jax.lax.optimization_barrier(jnp.stack([
        jnp.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
        jnp.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
        jnp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
    ]))  # fmt: skip


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return sum(a[:, j, None] * b[None, j] for j in range(3))


def _cross(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
