"""What a robot is, for whoever makes it follow a person: one YAML file beside the robot's own URDF or MJCF.

The file names the model, the points of the robot that stand for a person's joints, the pose it rests in, the pose in
which it looks like a person with arms spread, its limits, and capsules that must not touch. `docs/robots.md` says what
each key means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffmocap.errors import RobotError
from diffmocap.files.yaml_file import read_yaml
from diffmocap.resources import share_path

#: Points of both sides that a description may name. Arms are needed; legs are those of a floating robot.
ARM_POINTS = ("shoulder", "elbow", "wrist")
LEG_POINTS = ("hip", "knee", "ankle", "sole")
#: Fastest joint, and largest acceleration of a joint, where a description says nothing [rad/s, rad/s^2].
VELOCITY, ACCELERATION = 5.5, 80.0
#: Of the floating base: speed and turn, and their accelerations.
BASE_VELOCITY, BASE_ACCELERATION = (2.5, 4.0), (30.0, 60.0)
#: Kept from the ends of each joint's range [rad].
RANGE_MARGIN = 0.02
#: Costs of the tasks: of positions per metre, of rotations per radian. Only their ratios matter.
WEIGHTS = {
    "pelvis_height": 15.0, "pelvis_place": 4.0, "pelvis_rotation": 3.0, "chest_rotation": 1.5, "wrist": 12.0,
    "elbow": 6.0, "hand_rotation": 0.1, "knee": 2.0, "foot": 8.0, "foot_rotation": 1.0, "resting_foot": 100.0,
    "resting_foot_rotation": 30.0, "head_rotation": 0.3, "posture": 0.03,
    "arm_posture": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A point fixed in a link; ``at`` is where it lies in the link's axes [m]."""

    link: str
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Capsule:
    """A capsule fixed in a link: all that is within ``radius`` of the line between two points of its axes [m]."""

    name: str
    link: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float


@dataclass(frozen=True)
class JointLimits:
    """Limits of one joint that the description sets; None leaves the default. Units of the joint: rad or m."""

    low: float | None = None
    high: float | None = None
    velocity: float | None = None
    acceleration: float | None = None


@dataclass(frozen=True)
class GmrRobot:
    """The robot as GMR (General Motion Retargeting) has it.

    Attributes:
        name: GMR's for the robot.
        joints: those of GMR's model, in its order; empty where they are the commanded ones in the order of this model.
        links: points that are links of GMR's model and not of this one, by GMR's names.
    """

    name: str
    joints: tuple[str, ...] = ()
    links: Mapping[str, Point] = field(default_factory=dict)


@dataclass(frozen=True)
class RobotDescription:
    """One robot.

    Attributes:
        name: for people, such as ``Unitree G1``.
        model: the URDF or MJCF file.
        floating: whether the robot moves through the room; else its root link is bolted to it.
        pelvis, chest, head: links that are turned as the person's pelvis, chest and head; None: the robot has none.
        arms, legs: for each of their points the left and the right one; ``legs`` is empty where there are none.
        held: joints that are not commanded, as names with ``*``.
        rest: joint positions the robot rests and starts in; those left out are 0.
        t_pose: joint positions in which the robot stands as a person in a T-pose.
        velocity, acceleration: of all joints [rad/s, rad/s^2].
        base_velocity, base_acceleration: of the floating base along and about each axis [m, rad, s].
        joint_limits: of single joints.
        range_margin: kept from the ends of each joint's range [rad].
        collision_distance: kept between capsules [m]. capsules: that must not touch.
        weights: costs of the tasks.
        gmr: what GMR calls the robot and its joints; None: GMR has no such robot.
    """

    name: str
    model: Path
    floating: bool
    pelvis: str | None
    chest: str
    head: str | None
    arms: Mapping[str, tuple[Point, Point]]
    legs: Mapping[str, tuple[Point, Point]]
    held: tuple[str, ...] = ()
    rest: Mapping[str, float] = field(default_factory=dict)
    t_pose: Mapping[str, float] = field(default_factory=dict)
    velocity: float = VELOCITY
    acceleration: float = ACCELERATION
    base_velocity: tuple[float, float] = BASE_VELOCITY
    base_acceleration: tuple[float, float] = BASE_ACCELERATION
    joint_limits: Mapping[str, JointLimits] = field(default_factory=dict)
    range_margin: float = RANGE_MARGIN
    collision_distance: float = 0.01
    capsules: tuple[Capsule, ...] = ()
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    gmr: GmrRobot | None = None


def shipped_robots() -> dict[str, Path]:
    """Short names of the robots whose descriptions ship, with their files."""
    return {path.stem: path for path in sorted(share_path("config", "robots").glob("*.yaml"))}


def read_description(robot: str | Path) -> RobotDescription:
    """Reads the description of a shipped robot by its short name, or a file.

    Raises:
        RobotError: there is no such robot or file, a key is missing or unknown, a value cannot be used, or the model
            that it names is not there; the message says what to do.
    """
    shipped = shipped_robots()
    path = shipped.get(str(robot)) or Path(robot).expanduser()
    if not path.is_file():
        raise RobotError(
            f"there is no robot {str(robot)!r}; name one of {', '.join(shipped)}, or the YAML file of your own "
            "(docs/robots.md shows how to write one)"
        )
    try:
        document = read_yaml(path)
    except ValueError as error:
        raise RobotError(f"{path} cannot be read: {error}") from error
    return _Reader(path).description(document)


class _Reader:
    """Makes a description of a document; errors name the file and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, where: str, what: str) -> RobotError:
        return RobotError(f"{self.path}: {where}: {what}")

    def mapping(self, value: Any, where: str, needed: tuple[str, ...] = (), allowed: tuple[str, ...] | None = None):
        if not isinstance(value, dict):
            raise self.fail(where, f"expected a mapping, got {value!r}")
        value = {str(key): inner for key, inner in value.items()}
        for key in needed:
            if key not in value:
                raise self.fail(where, f"the key {key!r} is missing")
        if allowed is not None and (unknown := sorted(set(value) - set(allowed) - set(needed))):
            raise self.fail(where, f"unknown key {unknown[0]!r}; expected {', '.join((*needed, *allowed))}")
        return value

    def number(self, value: Any, where: str, low: float | None = None) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
            raise self.fail(where, f"expected a number, got {value!r}")
        if low is not None and value < low:
            raise self.fail(where, f"expected at least {low:g}, got {value}")
        return float(value)

    def numbers(self, value: Any, where: str, count: int, low: float | None = None) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) != count:
            raise self.fail(where, f"expected a list of {count} numbers, got {value!r}")
        return tuple(self.number(x, where, low) for x in value)

    def text(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not value:
            raise self.fail(where, f"expected a name, got {value!r}")
        return value

    def names(self, value: Any, where: str) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self.fail(where, f"expected a list of joint names, got {value!r}")
        return tuple(self.text(x, where) for x in value)

    def pair(self, value: Any, where: str) -> list:
        if not isinstance(value, list) or len(value) != 2:
            raise self.fail(where, f"expected a list of two, left and right, got {value!r}")
        return value

    def point(self, value: Any, where: str) -> Point:
        if isinstance(value, str):
            return Point(value)
        value = self.mapping(value, where, ("link",), ("at",))
        return Point(self.text(value["link"], where), self.numbers(value.get("at", [0, 0, 0]), f"{where}.at", 3))

    def description(self, document: Any) -> RobotDescription:
        top = self.mapping(
            document, "the file", ("name", "model", "base", "links", "arms", "t_pose"),
            ("legs", "held", "rest", "limits", "collision", "weights", "gmr"),
        )  # fmt: skip
        if top["base"] not in ("floating", "fixed"):
            raise self.fail("base", f"expected floating or fixed, got {top['base']!r}")
        floating = top["base"] == "floating"
        links = self.mapping(top["links"], "links", ("chest",), ("pelvis", "head"))
        links = {key: self.text(value, f"links.{key}") for key, value in links.items()}
        limbs = {}
        for limb, points in (("arms", ARM_POINTS), ("legs", LEG_POINTS)):
            given = self.mapping(top.get(limb, {}), limb, points if limb in top else ())
            known = (*points, "hand") if limb == "arms" else points
            for key in sorted(set(given) - set(known)):
                raise self.fail(limb, f"unknown key {key!r}; expected {', '.join(known)}")
            limbs[limb] = {
                key: tuple(self.point(x, f"{limb}.{key}") for x in self.pair(value, f"{limb}.{key}"))
                for key, value in given.items()
            }
        if floating and not limbs["legs"]:
            raise self.fail("legs", "a floating robot needs legs; write `base: fixed` for one that has none")
        if limbs["legs"] and not floating:
            raise self.fail("legs", "a robot with `base: fixed` follows with its arms alone; leave its legs out")
        if floating and "pelvis" not in links:
            raise self.fail("links", "a floating robot needs a pelvis")
        limits = self.mapping(
            top.get("limits", {}), "limits", (),
            ("velocity", "acceleration", "base_velocity", "base_acceleration", "range_margin", "joints"),
        )  # fmt: skip
        collision = self.mapping(top.get("collision", {}), "collision", (), ("distance", "capsules"))
        return RobotDescription(
            name=self.text(top["name"], "name"),
            model=self.model(top["model"]),
            floating=floating,
            pelvis=links.get("pelvis"),
            chest=links["chest"],
            head=links.get("head"),
            arms=limbs["arms"],
            legs=limbs["legs"],
            held=self.names(top.get("held", []), "held"),
            rest=self.pose(top.get("rest", {}), "rest"),
            t_pose=self.pose(top["t_pose"], "t_pose"),
            velocity=self.number(limits.get("velocity", VELOCITY), "limits.velocity", 1e-3),
            acceleration=self.number(limits.get("acceleration", ACCELERATION), "limits.acceleration", 1e-3),
            base_velocity=self.numbers(
                limits.get("base_velocity", list(BASE_VELOCITY)), "limits.base_velocity", 2, 1e-3
            ),
            base_acceleration=self.numbers(
                limits.get("base_acceleration", list(BASE_ACCELERATION)), "limits.base_acceleration", 2, 1e-3
            ),
            joint_limits=self.joint_limits(limits.get("joints", {})),
            range_margin=self.number(limits.get("range_margin", RANGE_MARGIN), "limits.range_margin", 0.0),
            collision_distance=self.number(collision.get("distance", 0.01), "collision.distance", 0.0),
            capsules=self.capsules(collision.get("capsules", {})),
            weights=self.weights(top.get("weights", {})),
            gmr=self.gmr(top["gmr"]) if "gmr" in top else None,
        )

    def model(self, value: Any) -> Path:
        value = self.mapping(value, "model", ("file",), ("package", "install"))
        file = Path(self.text(value["file"], "model.file")).expanduser()
        if "package" not in value:
            path = file if file.is_absolute() else self.path.parent / file
            if not path.is_file():
                raise self.fail("model.file", f"there is no file {path}; name the robot's URDF or MJCF")
            return path
        package = self.text(value["package"], "model.package")
        found = _installed_file(package, file)
        if found is None:
            command = value.get("install", f"pip install {package}")
            raise RobotError(
                f"the model of {self.path.stem} comes with the package {package}, which is not installed or has no "
                f"{file}; run `{command}`, or name a file of your own as `model: {{file: ...}}` in a copy of "
                f"{self.path}"
            )
        return found

    def pose(self, value: Any, where: str) -> dict[str, float]:
        return {key: self.number(x, f"{where}.{key}") for key, x in self.mapping(value, where).items()}

    def joint_limits(self, value: Any) -> dict[str, JointLimits]:
        made = {}
        for joint, of in self.mapping(value, "limits.joints").items():
            where = f"limits.joints.{joint}"
            of = self.mapping(of, where, (), ("low", "high", "velocity", "acceleration"))
            lows = {"velocity": 1e-3, "acceleration": 1e-3}
            made[joint] = JointLimits(**{key: self.number(x, f"{where}.{key}", lows.get(key)) for key, x in of.items()})
        return made

    def capsules(self, value: Any) -> tuple[Capsule, ...]:
        made = []
        for name, of in self.mapping(value, "collision.capsules").items():
            where = f"collision.capsules.{name}"
            of = self.mapping(of, where, ("link", "from", "to", "radius"))
            start, end = (self.numbers(of[key], f"{where}.{key}", 3) for key in ("from", "to"))
            radius = self.number(of["radius"], f"{where}.radius", 1e-3)
            if isinstance(of["link"], str):
                made.append(Capsule(name, of["link"], start, end, radius))
                continue
            # The right one is the mirror image of the left one that is written down.
            for side, link, sign in zip(("left", "right"), self.pair(of["link"], where), (1.0, -1.0), strict=True):
                a, b = ((x, sign * y, z) for x, y, z in (start, end))
                made.append(Capsule(f"{side}_{name}", self.text(link, where), a, b, radius))
        names = [capsule.name for capsule in made]
        if twice := [name for name in names if names.count(name) > 1]:
            raise self.fail("collision.capsules", f"two are {twice[0]!r}; a pair NAME makes left_NAME and right_NAME")
        return tuple(made)

    def gmr(self, value: Any) -> GmrRobot:
        value = self.mapping(value, "gmr", ("robot",), ("joints", "links"))
        links = self.mapping(value.get("links", {}), "gmr.links")
        return GmrRobot(
            self.text(value["robot"], "gmr.robot"),
            self.names(value.get("joints", []), "gmr.joints"),
            {name: self.point(point, f"gmr.links.{name}") for name, point in links.items()},
        )

    def weights(self, value: Any) -> dict[str, float]:
        given = self.mapping(value, "weights", (), tuple(WEIGHTS))
        return WEIGHTS | {key: self.number(x, f"weights.{key}", 0.0) for key, x in given.items()}


def _installed_file(package: str, file: Path) -> Path | None:
    """A file of an installed package: its path as the package's list of files ends."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        return None
    for entry in files:
        if entry.as_posix().endswith(file.as_posix()):
            path = Path(str(entry.locate()))
            return path if path.is_file() else None
    return None
