"""Who sees the graph: what is set for each network, what the user set stays, and contradictions are told."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import namedtuple
from pathlib import Path

import pytest

from diffmocap.errors import SettingsError
from diffmocap.middleware import network as module
from diffmocap.middleware.network import LAN, LOCAL, NETWORKS, bound_to_loopback, fastdds_profile, network
from diffmocap.resources import share_path

PROFILES = ("fastdds.xml", "fastdds_small_shm.xml", "fastdds_lan.xml", "fastdds_lan_small_shm.xml")
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
FILE, OLD_FILE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
Usage = namedtuple("Usage", "total used free")


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Usage(free, 0, free))


@pytest.mark.parametrize("distribution, variable", [("jazzy", OLD_FILE), ("kilted", FILE), (None, FILE)])
@pytest.mark.parametrize("choice, reach", [(LOCAL, "LOCALHOST"), (LAN, "SUBNET")])
def test_an_install_gets_profile_and_range(
    monkeypatch: pytest.MonkeyPatch, distribution: str | None, variable: str, choice: str, reach: str, tmp_path: Path
) -> None:
    with_free(monkeypatch, 1 << 34)
    chosen = network(choice, {"ROS_DISTRO": distribution} if distribution else {}, tmp_path)
    # Fast DDS 2 reads the older name alone, and Kilted complains of it.
    assert chosen.variables == {RANGE: reach, variable: str(fastdds_profile(choice == LAN))}
    assert not chosen.remarks
    assert bound_to_loopback(Path(chosen.variables[variable])) == (choice == LOCAL)


@pytest.mark.parametrize("middleware", ["rmw_cyclonedds_cpp", "rmw_zenoh_cpp", "rmw_connextdds"])
@pytest.mark.parametrize("choice", NETWORKS)
def test_another_middleware_is_left_alone_and_that_is_said(middleware: str, choice: str) -> None:
    chosen = network(choice, {"RMW_IMPLEMENTATION": middleware})
    assert chosen.variables == {} and len(chosen.remarks) == 1 and middleware in chosen.remarks[0]


@pytest.mark.parametrize(
    "own, wide",
    [
        ({RANGE: "SUBNET"}, True),
        ({RANGE: "LOCALHOST"}, False),
        ({RANGE: "OFF"}, False),
        ({"ROS_STATIC_PEERS": "10.0.0.2"}, True),
        ({"ROS_STATIC_PEERS": "10.0.0.2", RANGE: "LOCALHOST"}, True),
        ({"ROS_DISCOVERY_SERVER": "10.0.0.2:11811"}, True),
        ({"ROS_LOCALHOST_ONLY": "1"}, False),
    ],
)
@pytest.mark.parametrize("choice", NETWORKS)
def test_whom_the_user_lets_see_the_graph_stands(own: dict[str, str], wide: bool, choice: str, tmp_path: Path) -> None:
    chosen = network(choice, own, tmp_path)
    assert not chosen.variables.keys() & own.keys()
    assert bound_to_loopback(Path(chosen.variables[FILE])) != wide, "the loopback would shut out whom the user asks for"
    if wide == (choice == LAN):
        assert not chosen.remarks
    else:
        (remark,) = chosen.remarks
        assert any(f"{name}={value} is set and is kept" in remark for name, value in own.items())
        assert f"choose {LAN if wide else LOCAL}" in remark


def test_localhost_only_holds_in_distributions_that_ignore_it(tmp_path: Path) -> None:
    assert network(LOCAL, {"ROS_LOCALHOST_ONLY": "1"}, tmp_path).variables[RANGE] == "LOCALHOST"


def test_a_profile_of_the_users_own_stands_under_the_name_that_is_read() -> None:
    own = str(share_path("config", "fastdds_lan.xml"))
    assert FILE not in network(LOCAL, {FILE: own}).variables
    assert network(LOCAL, {FILE: own, "ROS_DISTRO": "jazzy"}).variables[OLD_FILE] == own
    assert not {FILE, OLD_FILE} & network(LOCAL, {OLD_FILE: own, "ROS_DISTRO": "jazzy"}).variables.keys()
    assert not {FILE, OLD_FILE} & network(LOCAL, {OLD_FILE: own, "ROS_DISTRO": "kilted"}).variables.keys()


@pytest.mark.parametrize("tag", ['<allowlist><interface name="lo"/></allowlist>', None])
def test_a_profile_that_shuts_the_network_out_is_told(tmp_path: Path, tag: str | None) -> None:
    own = tmp_path / "own.xml"
    shipped = share_path("config", PROFILES[0]).read_text()
    own.write_text(f"<dds><interfaces>{tag}</interfaces></dds>" if tag else shipped)
    assert not network(LOCAL, {FILE: str(own)}).remarks
    (remark,) = network(LAN, {FILE: str(own)}).remarks
    assert str(own) in remark and "fastdds_lan" in remark


@pytest.mark.parametrize("text", [None, "<dds>"])
def test_a_profile_that_cannot_be_read_is_told(tmp_path: Path, text: str | None) -> None:
    own = tmp_path / "own.xml"
    if text is not None:
        own.write_text(text)
    (remark,) = network(LOCAL, {FILE: str(own)}).remarks
    assert str(own) in remark and "cannot be read" in remark


@pytest.mark.parametrize("name", ["DEFAULT_FASTDDS_PROFILES.xml", "DEFAULT_FASTRTPS_PROFILES.xml"])
def test_other_ways_to_tell_fast_dds_are_not_undone(tmp_path: Path, name: str) -> None:
    assert FILE not in network(LOCAL, {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, tmp_path).variables
    (tmp_path / name).touch()
    assert FILE not in network(LOCAL, {}, tmp_path).variables


@pytest.mark.parametrize("choice", NETWORKS)
def test_what_was_set_once_is_not_changed_by_a_child(choice: str) -> None:
    once = network(choice, {}).variables
    again = network(choice, once)
    assert {**once, **again.variables} == once and not again.remarks


def test_another_network_is_refused() -> None:
    with pytest.raises(SettingsError, match="local, lan, got 'wan'"):
        network("wan", {})


@pytest.mark.parametrize("wide, stem", [(False, "fastdds"), (True, "fastdds_lan")])
def test_the_segments_fit_the_free_shared_memory(monkeypatch: pytest.MonkeyPatch, wide: bool, stem: str) -> None:
    with_free(monkeypatch, 64 << 20)
    assert fastdds_profile(wide).name == f"{stem}_small_shm.xml"
    with_free(monkeypatch, 1 << 30)
    assert fastdds_profile(wide).name == f"{stem}.xml"
    monkeypatch.undo()
    assert fastdds_profile(wide, Path("/nowhere")).name == f"{stem}_small_shm.xml"


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_hold_images_and_only_those_for_a_lan_leave_the_loopback(name: str) -> None:
    space = "{http://www.eprosima.com}"
    root = ElementTree.parse(share_path("config", name)).getroot()
    transports = {t.findtext(f"{space}transport_id"): t for t in root.iter(f"{space}transport_descriptor")}
    by_type = {t.findtext(f"{space}type"): t for t in transports.values()}
    assert set(by_type) == {"SHM", "UDPv4"}
    addresses = [e.text for e in by_type["UDPv4"].iter(f"{space}address")]
    assert addresses == ([] if "lan" in name else ["127.0.0.1"])
    vga_bytes = 640 * 480 * 3
    assert int(by_type["SHM"].findtext(f"{space}segment_size")) >= 8 * vga_bytes
    assert int(by_type["SHM"].findtext(f"{space}maxMessageSize")) >= 1920 * 1080 * 3
    participant = next(root.iter(f"{space}participant"))
    assert participant.get("is_default_profile") == "true"
    assert participant.find(f".//{space}useBuiltinTransports").text == "false"
    assert {e.text for e in participant.iter(f"{space}transport_id")} == set(transports)
