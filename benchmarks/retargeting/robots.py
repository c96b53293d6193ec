"""The robots and films that the benchmarks of robots share: their options, and what these ask for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from benchmarks.page.command import benchmark_parser, shared_options
from benchmarks.page.report import page_arguments
from benchmarks.retargeting.motions import films, motions_of
from diffmocap.body.model import BodyModel
from diffmocap.errors import RobotError
from diffmocap.robots.description import read_description, shipped_robots
from diffmocap.robots.frames import HumanFrame
from diffmocap.robots.model import RobotModel, load_model


def robot_arguments(doc: str) -> argparse.Namespace:
    """The command line of a benchmark of robots."""
    parser = benchmark_parser(doc)
    parser.add_argument(
        "--robots", nargs="+", metavar="ROBOT", help="short names or YAML files (default: all that ship)"
    )
    parser.add_argument("--media", help="folder of the videos (default: shared/media beside the checkout)")
    shared_options(parser, "json", "no_page", "out")
    return page_arguments(parser)


def motions_by_film(args: argparse.Namespace) -> dict[str, list[list[HumanFrame]]]:
    """The motions of each film, a list of frames each."""
    body = BodyModel.load(None)
    return {film.path.stem: [frames for _, frames in motions_of(film, body)] for film in films(args.media)}


def robots_asked_for(args: argparse.Namespace) -> Iterator[tuple[str, RobotModel]]:
    """Robots by the names that were given; those whose model is not installed are left out, which is printed."""
    for name in args.robots or shipped_robots():
        try:
            robot = load_model(read_description(name))
        except RobotError as error:
            print(f"{name} is left out: {error}")
            continue
        yield name, robot
