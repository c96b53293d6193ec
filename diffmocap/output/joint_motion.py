"""One trajectory for joints with limits, sampled at whatever stamps come.

Between two samples a joint has one acceleration, so that position and velocity of consecutive samples obey

    p' = p + (v + v') dt / 2,    a' = (v' - v) / dt

exactly, at any dt: the trajectory is once continuously differentiable, the published velocity is its derivative, and a
cubic Hermite interpolation of the samples is the trajectory itself.

**Following.** A target T with the velocity u of its motion is met in two steps: with what is missing if the step ended
with u, c = T - p - (v + u) dt / 2, the joint is to end it with v' = u + c / dt. On targets that nothing limits this is
p = (3 T_0 + 2 T_1 - T_2) / 4 of the last three, right to the second order, without lag. A large c is approached on the
curve from which the joint can brake: s dt + s^2 / (2 A) = c for v' = u + s.

**Limits.** The joint goes only where it can stop. With D(v, a) the way to a halt with jerk -J and acceleration -A, a
state is safe where p + D(v, a) does not leave the range, and so on the other side. From a safe state braking with all
force leads to safe states, whenever the next stamp comes: the acceleration of a discrete step is at once what the
continuous brake reaches in its course. So an acceleration that keeps all limits always exists, and that nearest to the
wanted one is taken. (The invariant set of a double integrator with limits; Kroeger, "On-Line Trajectory Generation in
Robotic Systems", 2010, uses the same stopping curves. Ruckig, which implements those with limited jerk, keeps no
position limits against a moving target, and its samples obey no difference rule that can be checked from a topic.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Accelerations tried between a wanted one and the brake, in each of two rounds.
_TRIALS = np.linspace(0.0, 1.0, 33)[:, None]
#: Share of the acceleration limit that the approach to a target counts on; the rest corrects.
_APPROACH = 0.8
#: Rounding, in rad: less than this outside is inside.
_ROUNDING = 1e-9


class Limits(NamedTuple):
    """Arrays [N]: velocity, acceleration and jerk of each joint [rad/s, rad/s^2, rad/s^3]."""

    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray

    def of(self, chosen: np.ndarray) -> Limits:
        """Those of some joints."""
        return Limits(*(x[chosen] for x in self))


class JointMotion:
    """Positions, velocities and accelerations [N] of independent joints inside their limits.

    Args:
        low, high: [N] rad, the range of each joint.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        self.low, self.high = low, high
        self.position = np.zeros_like(low)
        self.velocity = np.zeros_like(low)
        self.acceleration = np.zeros_like(low)
        self._limits: Limits | None = None  #: in force
        self._wanted: tuple[float, float, float] | None = None
        self._given = Limits(low, low, low)
        self._changing = False

    def start(self, position: np.ndarray) -> None:
        """At rest at a position [N]."""
        self.position = np.clip(position, self.low, self.high)
        self.velocity = np.zeros_like(self.low)
        self.acceleration = np.zeros_like(self.low)
        self._limits = self._wanted = None

    def follow(
        self, target: np.ndarray, target_velocity: np.ndarray, dt_s: float, gain_s: float, limits: tuple
    ) -> None:
        """One step towards a target.

        Args:
            target, target_velocity: [N] rad inside the range, rad/s.
            dt_s: to the new sample.
            gain_s: time within which deviations are to be met, at least ``dt_s``.
            limits: velocity, acceleration, jerk.
        """
        self._take(limits)
        speed, strength, jerk = self._given
        u = np.clip(target_velocity, -speed, speed)
        missing = target - self.position - 0.5 * dt_s * (self.velocity + u)
        self._step(np.clip(u + _approach(missing, gain_s, _APPROACH * strength, jerk), -speed, speed), dt_s)

    def rest(self, dt_s: float, left_s: float, limits: tuple) -> None:
        """One step on the way to rest ``left_s`` after the last sample."""
        self._take(limits)
        self._step(self.velocity * max(1.0 - dt_s / left_s, 0.0) if left_s > 0 else np.zeros_like(self.low), dt_s)

    def _step(self, velocity: np.ndarray, dt_s: float) -> None:
        """Ends the step with a velocity as near to [N] rad/s as the limits allow."""
        if self._changing:
            velocity = np.where(self._adopted(), velocity, 0.0)
        limits = self._limits
        speed, strength, jerk = limits
        change = _within(velocity - self.velocity, dt_s, jerk)
        least = np.maximum(self.acceleration - jerk * dt_s, -strength)
        most = np.minimum(self.acceleration + jerk * dt_s, strength)
        least = np.maximum(least, -_within(speed + self.velocity, dt_s, jerk))
        most = np.minimum(most, _within(speed - self.velocity, dt_s, jerk))
        chosen = np.clip(change, least, np.maximum(most, least))
        for side, bound, brake in ((1.0, self.high, least), (-1.0, -self.low, most)):
            out = self._reach(side, chosen, dt_s, limits) > bound
            if out.any():
                chosen[out] = self._braked(side, bound[out], chosen[out], brake[out], dt_s, out)
        velocity = self.velocity + chosen * dt_s
        self.position = np.clip(self.position + 0.5 * dt_s * (self.velocity + velocity), self.low, self.high)
        self.velocity, self.acceleration = velocity, chosen

    def _reach(
        self, side: float, acceleration: np.ndarray, dt_s: float, limits: Limits, of: np.ndarray | slice = slice(None)
    ) -> np.ndarray:
        """How far a joint would go, up (``side`` 1) or mirrored (-1), if it braked after a step."""
        v = self.velocity[of]
        after = v + acceleration * dt_s
        position = self.position[of] + 0.5 * dt_s * (v + after)
        return side * position + stopping_distance(side * after, side * acceleration, limits)

    def _braked(
        self, side: float, bound: np.ndarray, wanted: np.ndarray, brake: np.ndarray, dt_s: float, of: np.ndarray
    ) -> np.ndarray:
        """The acceleration nearest to the wanted one, towards the brake, that stays within the bound."""
        limits, start, end = self._limits.of(of), brake, wanted
        for _ in range(2):
            tried = start + (end - start) * _TRIALS
            safe = self._reach(side, tried, dt_s, limits, of) <= bound
            best = np.where(safe, _TRIALS, 0.0).argmax(0)  # safety ends at one point of the way
            start, end = (
                np.take_along_axis(tried, np.minimum(best + more, len(_TRIALS) - 1)[None], 0)[0] for more in (0, 1)
            )
        return start

    def _take(self, limits: tuple[float, float, float]) -> None:
        """Limits that are asked for; each joint gets them once it is inside of them, and brakes until then."""
        if limits == self._wanted:
            return
        self._wanted = limits
        velocity, acceleration, jerk = limits
        reach = self.high - self.low
        # Within its range a joint reaches no more; and speed and jerk alone limit its acceleration, too.
        a = np.minimum(acceleration, np.sqrt(jerk * velocity)) * np.ones_like(reach)
        a = np.minimum(a, np.cbrt(0.375 * reach * jerk**2))
        v = np.minimum(velocity, 0.7 * np.sqrt(2.0 * a * reach))
        self._given = Limits(v, a, np.full_like(reach, jerk))
        if self._limits is None:
            self._limits = self._given
        self._changing = True

    def _adopted(self) -> np.ndarray:
        """Puts what was given into force where the joint is inside of it; [N] bool where it is in force."""
        v, a, new = self.velocity, self.acceleration, self._given
        inside = (np.abs(a) <= new.acceleration) & (np.abs(v) + a * a / (2.0 * new.jerk) <= new.velocity)
        inside &= self.position + stopping_distance(v, a, new) <= self.high + _ROUNDING
        inside &= self.position - stopping_distance(-v, -a, new) >= self.low - _ROUNDING
        now = Limits(*(np.where(inside, x, y) for x, y in zip(new, self._limits, strict=True)))
        adopted = inside | np.all([x == y for x, y in zip(now, new, strict=True)], axis=0)
        self._limits, self._changing = now, not adopted.all()
        return adopted


def stopping_distance(velocity: np.ndarray, acceleration: np.ndarray, limits: Limits) -> np.ndarray:
    """How far [rad] beyond where it is a joint goes upwards at most, if it brakes as hard as it can from now on."""
    v, a = velocity, acceleration
    _, strength, jerk = limits
    halts = a * a + 2.0 * jerk * v
    moves = (halts > 0.0) & ((v > 0.0) | (a > 0.0))
    until = (a + np.sqrt(np.maximum(halts, 0.0))) / jerk  # the halt, if the brake still grows then
    grown = (a + strength) / jerk
    t = np.minimum(until, grown)
    way = t * (v + t * (0.5 * a - jerk * t / 6.0))
    left = np.where(until > grown, v + (a * a - strength * strength) / (2.0 * jerk), 0.0)
    return np.where(moves, np.maximum(way + np.maximum(left, 0.0) ** 2 / (2.0 * strength), 0.0), 0.0)


def _approach(missing: np.ndarray, gain_s: float, strength: np.ndarray, jerk: np.ndarray) -> np.ndarray:
    """Speed [rad/s] with which a deviation is met: in ``gain_s`` where it is small, else such that it can brake."""
    size = np.abs(missing)
    speed = 2.0 * size / (gain_s + np.sqrt(gain_s**2 + 2.0 * size / strength))
    # The brake takes time to grow.
    delay = np.minimum(strength, np.sqrt(jerk * speed)) / jerk
    delayed = gain_s + delay
    return np.sign(missing) * 2.0 * size / (delayed + np.sqrt(delayed**2 + 2.0 * size / strength))


def _within(change: np.ndarray, dt_s: float, jerk: np.ndarray) -> np.ndarray:
    """Acceleration [rad/s^2] of a step that brings a change of velocity, with its own decay under the jerk limit."""
    size = np.maximum(np.abs(change), 0.0)
    return np.sign(change) * 2.0 * size / (dt_s + np.sqrt(dt_s**2 + 2.0 * size / jerk))
