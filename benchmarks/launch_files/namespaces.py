"""Two people's graphs in one domain: each in a namespace of its own, with frames of its own."""

from __future__ import annotations

import time
from contextlib import ExitStack

from benchmarks.launch_files.case import Observer, Row, Work
from benchmarks.launch_files.install import Launch

PEOPLE = ("alice", "bob")
LISTEN_S = 8.0


def namespaces(work: Work) -> list[Row]:
    with ExitStack() as stack:
        observer = stack.enter_context(Observer(work.install))
        for person in PEOPLE:
            given = {"video": str(work.clip), "on_end": "loop", "rviz": "false", "namespace": person}
            given["frame_prefix"] = f"{person}/"
            log = work.folder / f"{person}.log"
            launch = stack.enter_context(Launch(work.install, "replay.launch.py", given, log))
            launch.wait_until_active("camera_node")
        time.sleep(LISTEN_S)
        heard = observer.report()
    pairs = {tuple(pair) for found in heard["frames"].values() for pair in found}
    frames = {person: {f for pair in pairs for f in pair if f.startswith(f"{person}/")} for person in PEOPLE}
    others = sorted({frame for pair in pairs for frame in pair} - set().union(*frames.values()))
    mixed = [pair for pair in pairs if len({name.split("/")[0] for name in pair}) > 1]
    parents: dict[str, set[str]] = {}
    for parent, child in pairs:
        parents.setdefault(child, set()).add(parent)
    twice = [child for child, found in parents.items() if len(found) > 1]
    rates = [len(heard["messages"].get(f"/{person}/joint_states", ())) for person in PEOPLE]
    alone = not any(topic in heard["messages"] for topic in ("/joint_states", "/human/joint_states"))
    joints = f"{rates[0]} and {rates[1]}; {'none' if alone else 'some'} without a namespace"
    sizes = [len(found) for found in frames.values()]
    told = f"{sizes[0]} and {sizes[1]}, {len(others)} of neither, {len(mixed)} transforms between them"
    return [
        Row("joint states of each", joints, "both, none without", min(rates) > 0 and alone),
        Row("frames", told, "disjoint", min(sizes) > 24 and not others and not mixed),
        Row("frames with two parents", str(len(twice)), "0", not twice),
    ]
