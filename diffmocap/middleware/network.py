"""Which computers a graph talks to, and the Fast DDS profile under which its images arrive.

An install's defaults lose most images, since the shared-memory segment of 512 KB holds none of 640x480, and show the
graph to the whole subnet. Each process of a graph therefore gets a profile with a larger segment, and a range of
discovery: this machine alone (``local``), or the computers of the network too (``lan``). What the user has set already
is kept, and where it stands against the choice, a remark says so. No ROS module is imported here.
"""

from __future__ import annotations

import os
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diffmocap.errors import SettingsError
from diffmocap.resources import share_path

LOCAL, LAN = "local", "lan"
NETWORKS = (LOCAL, LAN)
#: What the launch argument and the option of the command say of themselves.
NETWORK_DESCRIPTION = (
    "Which computers the graph talks to: this one alone (local), or those of the network too (lan), "
    "without any protection. What the environment sets already is kept."
)

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
#: Names the profile to Fast DDS 3; the older name, all that Fast DDS 2 reads, makes each process of Kilted warn.
PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
OLD_PROFILE_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"
_WITH_FAST_DDS_2 = ("humble", "iron", "jazzy")
#: Profiles that Fast DDS reads from the working directory.
_FILES_IN_PLACE = ("DEFAULT_FASTDDS_PROFILES.xml", "DEFAULT_FASTRTPS_PROFILES.xml")
#: Size of the segment in config/fastdds.xml with its bookkeeping, and how many processes may have one.
FULL_SEGMENT_BYTES = 36_000_000
PROCESSES_IN_A_GRAPH = 8


@dataclass(frozen=True)
class Network:
    """What a choice of network comes to in an environment.

    Attributes:
        variables: to be set for every process of the graph.
        remarks: sentences for the user, about what he has set otherwise.
    """

    variables: Mapping[str, str]
    remarks: tuple[str, ...] = ()


def network(choice: str, environment: Mapping[str, str], folder: Path | None = None) -> Network:
    """The variables for a graph on this machine (``local``) or on the network (``lan``).

    Args:
        choice: one of :data:`NETWORKS`.
        environment: of the processes that are to be started.
        folder: their working directory; by default that of this process.

    Raises:
        SettingsError: another choice.
    """
    if choice not in NETWORKS:
        raise SettingsError(f"network: expected one of {', '.join(NETWORKS)}, got '{choice}'")
    middleware = environment.get("RMW_IMPLEMENTATION", "")
    if not uses_fast_dds(environment):
        told = f"{RANGE}={environment[RANGE]}" if environment.get(RANGE) else f"{RANGE} (not set)"
        return Network({}, (
            f"network {choice} sets nothing for {middleware}: {told} and that middleware's own configuration decide "
            "which computers see the graph",
        ))  # fmt: skip
    variables, remarks = {}, []
    reach = _asked_reach(environment)
    if reach is None:
        wide = choice == LAN
        variables[RANGE] = "SUBNET" if wide else "LOCALHOST"
    else:
        name, wide = reach
        if wide != (choice == LAN):
            remarks.append(
                f"network is {choice}, but {name}={environment[name]} is set and is kept: "
                + (
                    f"other computers can see the graph. Unset it, or choose {LAN}"
                    if wide
                    else f"no other computer will see the graph. Unset it, or choose {LOCAL}"
                )
            )
        if name == "ROS_LOCALHOST_ONLY":  # which Kilted ignores
            variables[RANGE] = "LOCALHOST"
    read, own = profile_variable(environment), given_profile(environment)
    if own is not None:
        name, profile = own
        remarks += _profile_remarks(name, Path(profile), wide)
        if name != read and read == OLD_PROFILE_VARIABLE:
            variables[read] = profile
    elif not _brings_transports(environment, folder or Path.cwd()):
        variables[read] = str(fastdds_profile(wide))
    return Network(variables, tuple(remarks))


def profile_variable(environment: Mapping[str, str]) -> str:
    """The variable from which this distribution's Fast DDS takes its profile."""
    return OLD_PROFILE_VARIABLE if environment.get("ROS_DISTRO") in _WITH_FAST_DDS_2 else PROFILE_VARIABLE


def given_profile(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable that names the user's own profile, and the profile; None where he names none."""
    names = (profile_variable(environment), PROFILE_VARIABLE, OLD_PROFILE_VARIABLE)
    return next(((name, environment[name]) for name in names if environment.get(name)), None)


def uses_fast_dds(environment: Mapping[str, str]) -> bool:
    """Whether the middleware is Fast DDS, which it is by default in Jazzy, Kilted and Lyrical."""
    middleware = environment.get("RMW_IMPLEMENTATION", "")
    return not middleware or middleware.startswith("rmw_fastrtps")


def fastdds_profile(wide: bool, shared_memory: Path = Path("/dev/shm")) -> Path:
    """The profile for one machine or, ``wide``, for several, whose segments fit the free shared memory.

    Each process of the graph allocates a segment in full.
    """
    try:
        free_bytes = shutil.disk_usage(shared_memory).free
    except OSError:
        free_bytes = 0
    small = "" if free_bytes >= PROCESSES_IN_A_GRAPH * FULL_SEGMENT_BYTES else "_small_shm"
    return share_path("config", f"fastdds{'_lan' if wide else ''}{small}.xml")


def bound_to_loopback(profile: Path) -> bool:
    """Whether a Fast DDS profile lets no interface but the loopback be used.

    Raises:
        OSError, ElementTree.ParseError: it cannot be read.
    """
    allowed = []
    for element in ElementTree.parse(profile).iter():
        kind = element.tag.rpartition("}")[2]
        if kind == "interfaceWhiteList":
            allowed += [(child.text or "").strip() for child in element]
        elif kind == "allowlist":  # its name since Fast DDS 2.14
            allowed += [child.get("name", "") for child in element]
    return bool(allowed) and all(name == "lo" or name.startswith(("127.", "::1")) for name in allowed)


def _asked_reach(environment: Mapping[str, str]) -> tuple[str, bool] | None:
    """The variable by which the user has chosen who sees the graph, and whether that is more than this machine."""
    if environment.get("ROS_LOCALHOST_ONLY") == "1" and not environment.get(RANGE):
        return "ROS_LOCALHOST_ONLY", False
    for name in ("ROS_STATIC_PEERS", "ROS_DISCOVERY_SERVER"):  # also beside LOCALHOST these are other machines
        if environment.get(name):
            return name, True
    if value := environment.get(RANGE):
        return RANGE, value.upper() not in ("LOCALHOST", "OFF")
    return None


def _profile_remarks(name: str, profile: Path, wide: bool) -> list[str]:
    try:
        loopback = bound_to_loopback(profile)
    except (OSError, ElementTree.ParseError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return [f"{name}={profile} cannot be read ({reason}): Fast DDS keeps its defaults, which lose images. Unset it"]
    if wide and loopback:
        return [
            f"{name}={profile} is set and is kept, and binds the graph to this machine: no other computer will see it. "
            f"Unset it, or use {fastdds_profile(wide=True)}"
        ]
    return []


def _brings_transports(environment: Mapping[str, str], folder: Path) -> bool:
    """Whether the user has told Fast DDS by other means how to transport; a profile would undo that."""
    return bool(environment.get("FASTDDS_BUILTIN_TRANSPORTS")) or any((folder / f).is_file() for f in _FILES_IN_PLACE)


def join_network(choice: str) -> tuple[str, ...]:
    """Sets the variables for this process and its children, before ``rclpy.init``; returns the remarks."""
    chosen = network(choice, os.environ)
    os.environ.update(chosen.variables)
    return chosen.remarks
