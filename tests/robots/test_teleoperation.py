"""A robot that follows, run by a clock of the test's: when it begins and holds, and what it is commanded meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="robots need MuJoCo: pip install 'diffmocap[robots]', or run `make test`")

from diffmocap.errors import RobotError
from diffmocap.output.tracking_state import TrackEvent, TrackingState
from diffmocap.robots.live.engagement import Request, State
from diffmocap.robots.live.engagement_settings import ASSUMED, EngagementSettings
from diffmocap.robots.live.person_watch import Sighting
from diffmocap.robots.live.teleoperation import Teleoperation
from tests.robots.standing_person import ArmsRobot, Person

TICK_S, POSE_S = 0.01, 1 / 30
PERSON = Person()
#: Most tests are of what comes after the stand.
QUICK = EngagementSettings(stand_time=0.5)
STOOD_S = 0.7


def waving(t: float, size: float = 1.0) -> dict:
    """Joints of somebody who waves and swings the arms, fast."""
    a, b = size * math.sin(5.0 * t), size * math.sin(3.0 * t + 1.0)
    return {
        "left_shoulder": (0.2 * b, 0.6 * a, -1.0 + 0.5 * b), "right_shoulder": (0.4 * a, 0.3 * b, 1.0 + 0.4 * a),
        "left_elbow": (0.0, -0.8 + 0.7 * a, 0.0), "right_elbow": (0.0, 0.9 + 0.6 * b, 0.0),
    }  # fmt: skip


class Session:
    """Person, robot, joystick and clock; ``commands`` and ``times`` are what the robot got."""

    def __init__(self, settings: EngagementSettings = QUICK) -> None:
        self.robot = ArmsRobot()
        self.machine = Teleoperation(self.robot, self.robot, settings)
        self.machine.camera_fault = ""
        self.now_s = 100.0
        self.pose: Callable[[float], Sighting | None] = self.standing
        self.at = self.robot.angles(PERSON.frame())  # where the robot is
        self.heard = self.obeys = True
        self.button: bool | None = None
        self.commands, self.times, self.states = [], [], []
        self._pose_due_s = self.now_s
        self.began_s = self.now_s

    def standing(self, t: float) -> Sighting:
        return self.seen({})

    def seen(self, turns: dict, **more) -> Sighting:
        frame = PERSON.frame(turns, stamp_ns=round(self.now_s * 1e9))
        return Sighting(more.pop("state", TrackingState.TRACKED), more.pop("track_id", 1), frame=frame, **more)

    @property
    def state(self) -> State:
        return self.machine.engagement.state

    def run(self, duration_s: float) -> Session:
        """Lets time pass."""
        for _ in range(round(duration_s / TICK_S)):
            self.now_s += TICK_S
            if self.heard:
                self.machine.joint_states(list(self.robot.joint_names), list(self.at), [0.0] * 6, self.now_s)
            if self.button is not None:
                self.machine.joystick(self.button, self.now_s)
            if self.now_s >= self._pose_due_s:
                self._pose_due_s += POSE_S
                sighting = self.pose(self.now_s - self.began_s)
                if sighting is not None:
                    self.machine.sight(sighting, self.now_s)
            command = self.machine.tick(self.now_s)
            if command is not None:
                self.commands.append(command)
                self.times.append(self.now_s)
                if self.obeys:
                    self.at = command.positions
            self.states.append(self.state)
        return self

    def ask(self, request: Request):
        return self.machine.request(request, self.now_s)

    def engaged(self) -> Session:
        """Stood, asked, and following."""
        self.run(self.machine.settings.stand_time + 0.2)
        assert self.state is State.READY, self.machine.engagement.reason
        answer = self.ask(Request.ENGAGE)
        assert answer.granted, answer.text
        self.run(1.3)
        assert self.state is State.ENGAGED, self.machine.engagement.reason
        return self

    def require_limits(self) -> None:
        """All commands so far are one trajectory inside the robot's limits."""
        r = self.robot
        p, v = (np.array([getattr(c, name) for c in self.commands]) for name in ("positions", "velocities"))
        assert (p >= r.low - 1e-9).all() and (p <= r.high + 1e-9).all()
        assert (np.abs(v) <= r.velocity).all()
        dt = np.diff(self.times)[:, None]
        assert (np.abs(np.diff(v, axis=0) / dt) <= r.acceleration).all()
        assert np.allclose(np.diff(p, axis=0), dt * v[1:], atol=1e-9)
        places = np.diff([c.base_position for c in self.commands], axis=0) / dt
        assert (np.abs(places) <= 2.5).all() and (np.abs(np.diff(places, axis=0) / dt[1:]) <= 30.0).all()

    def speed(self) -> float:
        """Of the fastest joint in the last command."""
        return float(np.abs(self.commands[-1].velocities).max())


def test_a_robot_follows_who_has_stood_and_asked() -> None:
    session = Session(EngagementSettings())
    session.run(1.0)
    assert session.state is State.CALIBRATING and not session.commands
    assert "of 2 s" in session.machine.engagement.reason
    session.run(1.2)
    assert session.state is State.READY and not session.commands
    assert session.ask(Request.ENGAGE).granted and session.state is State.BLENDING
    session.pose = lambda t: session.seen(waving(t, 0.3))
    session.run(4.0)
    assert session.state is State.ENGAGED
    wanted = session.robot.angles(PERSON.frame(waving(session.now_s - session.began_s, 0.3)))
    assert np.abs(session.at - wanted).max() < 0.12  # one image's time behind
    session.require_limits()


def test_the_base_goes_where_the_person_goes_without_lag() -> None:
    session = Session().engaged()
    began_s = session.now_s
    walked = lambda: 0.4 * (session.now_s - began_s)  # noqa: E731

    g = np.random.default_rng(0)

    def walking(t: float) -> Sighting:
        place = (walked() + g.normal(0.0, 0.003), 0.0)
        return Sighting(
            TrackingState.TRACKED, 1, frame=PERSON.frame({}, place=place, stamp_ns=round(session.now_s * 1e9))
        )

    session.pose = walking
    session.run(2.0)
    assert session.state is State.ENGAGED
    assert session.commands[-1].base_position[0] == pytest.approx(walked(), abs=0.02)
    session.require_limits()
    # Millimetres by which poses tremble are no steps of the base.
    places = np.array([c.base_position[0] for c in session.commands[-100:]])
    assert np.abs(np.diff(places) / TICK_S - 0.4).max() < 0.5


def test_nobody_is_followed_who_has_not_asked() -> None:
    session = Session()
    session.pose = lambda t: session.seen(waving(t) if t > 0.8 else {})
    session.run(6.0)
    assert session.state is State.READY and not session.commands


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda s: setattr(s.machine, "camera_fault", "no camera_info has come"), "field of view is assumed"),
        (lambda s: setattr(s, "at", s.at - [0, 0, 0, 0.8, 0, 0]), "right_lift is 0.80 rad from the person's pose"),
        (lambda s: setattr(s, "heard", False), "joint states of left_lift have not come for"),
        (lambda s: setattr(s, "pose", lambda t: s.seen({}, state=TrackingState.PREDICTED)), "no image"),
        (lambda s: setattr(s, "pose", lambda t: Sighting(TrackingState.LOST, 1)), "was lost"),
        (lambda s: setattr(s, "pose", lambda t: s.seen({"left_knee": (1.2, 0, 0)}, track_id=2)), "a knee is bent"),
        (lambda s: setattr(s, "pose", lambda t: None), "no pose has come for"),
        (lambda s: setattr(s, "pose", lambda t: s.seen({}, age_s=0.9)), "0.90 s late"),
        (lambda s: setattr(s, "pose", lambda t: s.seen({}, age_s=-3.0)), "3.00 s of the future"),
        (lambda s: setattr(s.robot, "fails", "daqp"), "cannot be found: daqp"),
        (lambda s: s.ask(Request.STOP), "software stop is on"),
    ],
)  # fmt: skip
def test_it_is_refused_with_a_reason(spoil, words) -> None:
    session = Session().run(STOOD_S)
    spoil(session)
    session.run(0.7)
    answer = session.ask(Request.ENGAGE)
    assert not answer.granted and words in answer.text
    assert words in session.machine.engagement.refusal(session.machine.conditions(session.now_s))
    session.run(1.0)
    assert not session.commands


def test_an_assumed_field_of_view_can_be_allowed() -> None:
    session = Session(replace(QUICK, allow_assumed_fov=True))
    session.machine.camera_fault = "the camera is not calibrated"
    session.engaged()


def test_a_robot_that_moves_or_stands_outside_its_range_is_not_followed_with() -> None:
    session = Session().run(STOOD_S)
    session.heard = False
    session.machine.joint_states(list(session.robot.joint_names), list(session.at), [0.5, *[0.0] * 5], session.now_s)
    assert "moves (left_lift with 0.50 rad/s)" in session.ask(Request.ENGAGE).text
    at = session.at.copy()
    at[2] = -2.2
    session.machine.joint_states(list(session.robot.joint_names), list(at), [0.0] * 6, session.now_s)
    assert "left_bend is 0.20 rad outside" in session.ask(Request.ENGAGE).text


@pytest.mark.parametrize(("speed", "moves"), [(0.0, False), (0.4, True)])
def test_an_encoder_s_steps_are_no_motion_of_a_robot_that_tells_no_velocities(speed, moves) -> None:
    """500 joint states a second, whose positions flicker by half a milliradian."""
    session = Session().run(STOOD_S)
    g, at = np.random.default_rng(0), session.at.copy()
    for _ in range(200):
        session.now_s += 0.002
        at = at + 0.002 * speed
        told = at + 5e-4 * g.integers(0, 2, len(at))
        session.machine.joint_states(list(session.robot.joint_names), list(told), [], session.now_s)
    session.machine.sight(session.standing(0.0), session.now_s)
    assert ("moves (" in session.ask(Request.ENGAGE).text) is moves


HOLDS = {
    "lost": (lambda s: setattr(s, "pose", lambda t: Sighting(TrackingState.LOST, 1)), POSE_S, "was lost"),
    "searching": (lambda s: setattr(s, "pose", lambda t: Sighting(TrackingState.SEARCHING, 1)), POSE_S, "nobody"),
    "another": (lambda s: setattr(s, "pose", lambda t: s.seen(waving(t), track_id=2)), POSE_S, "another track"),
    "restarted": (
        lambda s: setattr(s, "pose", lambda t: s.seen(waving(t), events=TrackEvent.STARTED)), POSE_S, "another track",
    ),
    "silent": (lambda s: setattr(s, "pose", lambda t: None), 0.5, "pose_timeout"),
    "late": (lambda s: setattr(s, "pose", lambda t: s.seen(waving(t), age_s=0.7)), 0.5, "late"),
    "predicted": (
        lambda s: setattr(s, "pose", lambda t: s.seen(waving(t), state=TrackingState.PREDICTED)), 0.25 + POSE_S,
        "max_predicted",
    ),
    "broken": (lambda s: setattr(s.robot, "fails", "no solution"), POSE_S, "no solution"),
    "robot silent": (lambda s: setattr(s, "heard", False), 0.25, "robot_timeout"),
    "robot blocked": (lambda s: setattr(s, "obeys", False), 1.5, "following_error"),
    "released": (lambda s: s.ask(Request.RELEASE), 0.0, "released"),
    "stopped": (lambda s: s.ask(Request.STOP), 0.0, "stop"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOLDS)
def test_it_holds_in_time_brakes_and_stays(name) -> None:
    spoil, within_s, words = HOLDS[name]
    session = Session().engaged()
    session.pose = lambda t: session.seen(waving(t))
    session.run(1.0)
    assert session.speed() > 1.0
    spoil(session)
    count = len(session.states)
    session.run(2.5)
    held = {State.HOLDING, State.STOPPED}
    when = next(n for n, state in enumerate(session.states[count:]) if state in held)
    assert when * TICK_S <= within_s + 2 * TICK_S
    assert words in session.machine.engagement.reason or words in session.machine.engagement.refusal(
        session.machine.conditions(session.now_s)
    )
    assert session.state in held and session.speed() < 1e-3
    stays = session.commands[-1].positions
    session.pose = lambda t: session.seen(waving(t))
    session.heard = True
    session.robot.fails = ""
    session.run(3.0)
    assert session.state in held, "nobody asked"
    assert np.array_equal(session.commands[-1].positions, stays)
    session.require_limits()


def test_a_short_gap_or_prediction_is_followed_through() -> None:
    session = Session().engaged()
    session.pose = lambda t: session.seen({}, state=TrackingState.PREDICTED)
    session.run(0.2)
    session.pose = session.standing
    session.run(0.1)
    session.pose = lambda t: None
    session.run(0.4)
    session.pose = session.standing
    session.run(0.5)
    assert session.state is State.ENGAGED
    session.require_limits()


def test_a_held_robot_follows_again_from_where_it_is() -> None:
    session = Session(replace(QUICK, engage_distance=2.0)).engaged()
    session.pose = lambda t: session.seen(waving(t, 0.5))
    session.run(1.0)
    session.ask(Request.RELEASE)
    session.pose = session.standing
    session.run(1.0)
    assert session.ask(Request.ENGAGE).granted
    session.run(1.5)
    assert session.state is State.ENGAGED
    assert np.abs(session.at - session.robot.angles(PERSON.frame())).max() < 0.02
    session.require_limits()


def test_a_held_robot_from_which_the_person_walked_away_comes_after_at_half_its_speed() -> None:
    session = Session().engaged()
    session.ask(Request.RELEASE)
    session.run(0.5)

    def away(t: float) -> Sighting:
        seen = session.seen({})
        return replace(seen, frame=replace(seen.frame, positions=seen.frame.positions + [2.0, 1.0, 0.0]))

    session.pose = away
    session.run(0.5)
    assert session.ask(Request.ENGAGE).granted
    count = len(session.commands)
    session.run(4.0)
    places = np.array([c.base_position for c in session.commands[count:]])
    assert np.linalg.norm(places[-1] - places[0]) > 2.0 and session.state is State.ENGAGED
    speeds = np.abs(np.diff(places, axis=0)) / np.diff(session.times[count:])[:, None]
    assert 1.0 < speeds.max() < 0.52 * 2.5
    session.require_limits()


def test_the_stop_stays_until_it_is_reset_and_hands_nothing_back() -> None:
    session = Session().engaged()
    session.ask(Request.STOP)
    session.run(0.5)
    assert not session.ask(Request.ENGAGE).granted and not session.ask(Request.DISENGAGE).granted
    assert session.ask(Request.RESET).granted and session.state is State.HOLDING
    count = len(session.commands)
    session.run(0.1)
    assert len(session.commands) == count + 10
    assert session.ask(Request.DISENGAGE).granted
    session.run(0.1)
    assert len(session.commands) == count + 10 and session.state is State.READY


class TestJoystick:
    def test_pressing_engages_and_letting_go_holds_at_once(self) -> None:
        session = Session()
        session.button = False
        session.run(session.machine.settings.stand_time + 0.2)
        session.button = True
        session.run(1.5)
        assert session.state is State.ENGAGED and session.machine.engagement.by_joy
        session.button = False
        session.run(TICK_S)
        assert session.state is State.HOLDING
        session.require_limits()

    def test_a_joystick_that_falls_silent_has_let_go_and_does_not_press_again(self) -> None:
        session = Session()
        session.button = False
        session.run(session.machine.settings.stand_time + 0.2)
        session.button = True
        session.run(1.5)
        session.button = None
        session.run(0.3)
        assert session.state is State.HOLDING and "let go" in session.machine.engagement.reason
        session.button = True
        session.run(1.0)
        assert session.state is State.HOLDING
        session.button = False
        session.run(0.1)
        session.button = True
        session.run(0.1)
        assert session.state is State.BLENDING

    def test_a_button_that_was_held_from_the_start_is_no_press(self) -> None:
        session = Session()
        session.button = True
        session.run(4.0)
        assert session.state is State.READY and not session.commands


@pytest.mark.parametrize("seed", range(20))
def test_from_any_pose_of_the_robot_the_blend_is_within_its_limits(seed) -> None:
    """Also far ones, where they are allowed: the blend takes longer then."""
    settings = replace(QUICK, engage_distance=6.3)
    session = Session(settings)
    g = np.random.default_rng(seed)
    session.at = g.uniform(session.robot.low, session.robot.high)
    session.run(session.machine.settings.stand_time + 0.2)
    start = session.at
    assert session.ask(Request.ENGAGE).granted
    session.run(0.01)
    assert np.abs(session.commands[0].positions - start).max() < 1e-3, "it begins where the robot is"
    session.pose = lambda t: session.seen(waving(t, 0.3))
    session.run(4.0)
    assert session.state is State.ENGAGED
    session.require_limits()


def test_a_blend_from_far_takes_longer_and_half_of_the_limits() -> None:
    session = Session(replace(QUICK, engage_distance=6.3))
    session.at = session.at + [-3.0, 0, 0, 0, 0, 1.4]
    session.run(STOOD_S)
    assert session.ask(Request.ENGAGE).granted
    session.run(4.0)
    assert session.state is State.ENGAGED
    speeds = np.array([c.velocities for c in session.commands])
    assert (np.abs(speeds) <= 0.55 * session.robot.velocity).all()
    session.require_limits()


def test_a_g1_is_engaged_from_poses_near_the_persons_within_its_limits() -> None:
    """The shipped description and the real retargeter, from twenty poses."""
    pytest.importorskip("mink", reason="robots need mink: pip install 'diffmocap[robots]', or run `make test`")
    from diffmocap.robots.description import read_description
    from diffmocap.robots.model import load_model
    from diffmocap.robots.retargeting import Retargeter

    try:
        robot = load_model(read_description("g1"))
    except RobotError as error:  # its model is a package of its own
        pytest.skip(str(error))
    g = np.random.default_rng(5)
    target = Retargeter(robot).follow(PERSON.frame(), POSE_S).positions
    session = Session()
    session.robot, session.machine = robot, Teleoperation(robot, Retargeter(robot), QUICK)
    session.machine.camera_fault = ""
    engaged = 0
    for _ in range(20):
        session.commands, session.times = [], []
        session.at = np.clip(target + g.uniform(-0.55, 0.55, len(target)), robot.low, robot.high)
        session.run(0.3 if engaged else STOOD_S)
        answer = session.ask(Request.ENGAGE)
        assert answer.granted, answer.text
        session.run(1.25)
        engaged += session.state is State.ENGAGED
        session.ask(Request.RELEASE)
        session.run(0.1)
        session.require_limits()
        assert session.ask(Request.DISENGAGE).granted
    assert engaged >= 15, "some are poses in which limbs touch, from which the way may be barred"


def test_a_blend_of_a_robot_that_is_near_takes_the_time_that_is_asked() -> None:
    session = Session(replace(QUICK, blend_time=1.0))
    session.at = session.at + 0.3
    session.run(session.machine.settings.stand_time + 0.2)
    session.ask(Request.ENGAGE)
    session.run(0.9)
    assert session.state is State.BLENDING
    session.run(0.25)
    assert session.state is State.ENGAGED


def adversarial(session: Session, g: np.random.Generator) -> Callable[[float], Sighting | None]:
    """Poses that leap, predictions, gaps, other tracks, turned bodies; every image something else."""

    def pose(t: float) -> Sighting | None:
        kind = g.integers(9)
        turns = {name: tuple(g.normal(0.0, 1.5, 3)) for name in ("left_shoulder", "right_elbow", "spine1", "pelvis")}
        if kind == 0:
            return None
        if kind == 1:
            return session.seen(turns, state=TrackingState.PREDICTED)
        if kind == 2 and g.random() < 0.05:
            return session.seen(turns, track_id=int(g.integers(3)))
        if kind == 3 and g.random() < 0.05:
            return Sighting(TrackingState(int(g.choice([0, 1, 4]))), 1)
        if kind == 4:
            s = session.seen(turns)
            return replace(s, frame=replace(s.frame, stamp_ns=int(g.integers(2**60)), positions=s.frame.positions + 9))
        return session.seen(turns if kind < 7 else waving(t, 3.0), age_s=float(g.normal(0.0, 0.3)))

    return pose


@pytest.mark.parametrize("seed", range(3))
def test_no_stream_leads_outside_the_limits(seed) -> None:
    """Everything at random, requests too; the clock of the commands trembles."""
    g = np.random.default_rng(seed)
    session = Session(replace(QUICK, engage_distance=6.3, following_error=6.3))
    moved = 0.0
    for _ in range(5):
        session.pose = session.standing
        session.ask(Request.RESET)
        session.run(0.8)
        session.ask(Request.ENGAGE)
        session.pose = adversarial(session, g)
        for _ in range(12):
            session.now_s += float(g.choice([0.0, 0.003, 0.05]))
            session.run(0.1)
            if g.random() < 0.1:
                session.ask(Request(g.choice([r.value for r in Request])))
            if session.commands:
                moved = max(moved, session.speed())
    assert moved > 2.0, "the robot was made to move"
    session.require_limits()


def test_commands_that_come_late_are_a_hold() -> None:
    session = Session().engaged()
    session.now_s += 0.4
    session.run(0.02)
    assert session.state is State.HOLDING and "no command was sent for 0.4" in session.machine.engagement.reason


def test_a_robot_that_tells_nothing_is_assumed_to_rest_and_to_follow() -> None:
    session = Session(replace(QUICK, robot_state=ASSUMED, engage_distance=1.5))
    session.heard = False
    session.engaged()
    assert np.allclose(session.commands[0].positions, session.robot.rest[7:], atol=1e-2)
    with pytest.raises(RobotError, match="disengage first"):
        session.machine.settings = QUICK


def test_a_robot_brakes_where_no_command_can_be_made() -> None:
    session = Session().engaged()
    session.pose = lambda t: session.seen(waving(t))
    session.run(1.0)

    def broken(positions: np.ndarray) -> float:
        raise FloatingPointError("no distance")

    session.robot.gap_of = broken
    session.run(0.5)
    assert session.state is State.HOLDING and "no distance" in session.machine.engagement.reason
    assert session.speed() < 1e-3
    session.require_limits()
    assert session.ask(Request.STOP).granted


def test_limbs_that_would_touch_stop_the_robot() -> None:
    """The retargeter knows of collisions; the way of a blend is not one of its poses."""
    session = Session()
    session.at = session.at + 0.4
    session.run(session.machine.settings.stand_time + 0.2)
    start = session.at
    session.robot.gap_of = lambda positions: float(positions[0] - start[0] + 0.2)
    session.ask(Request.ENGAGE)
    session.run(6.0)
    assert session.state is State.HOLDING and "limbs would touch" in session.machine.engagement.reason
    assert min(c.positions[0] for c in session.commands) > start[0] - 0.21
    session.require_limits()
