"""Files of the user's: motion, bodies, weights, YAML. A correct program reads them or says in a sentence why not."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from .case import Case

FRAMES = 60
#: Address space that a reader of a small file may take beyond what it had.
ROOM_BYTES = 1_000_000_000


def swinging_arms(columns: int = 72) -> np.ndarray:
    """Axis-angle [T, columns] of somebody who stands, z up, and swings the arms."""
    t = np.linspace(0, 4, FRAMES)
    poses = np.zeros((FRAMES, columns))
    poses[:, 0] = np.pi / 2
    poses[:, 50], poses[:, 53] = -1.2 + 0.3 * np.sin(t), 1.2 + 0.3 * np.sin(t)
    poses[:, 3] = poses[:, 6] = 0.3 * np.sin(t)
    return poses


def write_motion(path: Path, poses: np.ndarray) -> Path:
    np.savez(path, poses=poses, trans=np.tile([0.0, 0.0, 0.95], (len(poses), 1)), mocap_framerate=30.0)
    return path


def error_mm(path: Path) -> float:
    """Mean distance of the joints from the true motion's, as it is read."""
    import torch

    from diffmocap.body.mocap import load_clips
    from diffmocap.body.model import BodyModel

    body = BodyModel.load()
    truth = load_clips(write_motion(path.with_name("truth.npz"), swinging_arms()))[0]
    read = load_clips(path)[0]
    origin = torch.zeros(len(read), 3)
    joints = [body.forward_kinematics(clip.rotations, origin)[1] for clip in (read, truth)]
    return 1e3 * float((joints[0] - joints[1]).norm(dim=-1).mean())


def sixd(folder: Path) -> float:
    """Two columns of every rotation matrix, 144 numbers per frame."""
    import roma
    import torch

    vectors = torch.tensor(swinging_arms()).reshape(FRAMES, 24, 3)
    columns = roma.rotvec_to_rotmat(vectors)[..., :2]
    return error_mm(write_motion(folder / "sixd.npz", columns.reshape(FRAMES, -1).numpy()))


def degrees(folder: Path) -> float:
    return error_mm(write_motion(folder / "degrees.npz", np.degrees(swinging_arms())))


def damaged_in_a_folder(folder: Path) -> str:
    from diffmocap.body.mocap import load_clips

    logging.getLogger("diffmocap").addHandler(logging.NullHandler())
    for name in ("a", "b", "c"):
        write_motion(folder / f"{name}.npz", swinging_arms())
    whole = (folder / "b.npz").read_bytes()
    (folder / "b.npz").write_bytes(whole[: len(whole) // 2])
    return f"{len(load_clips(folder))} of 3 files read"


def odd_body(folder: Path, **changes: np.ndarray) -> str:
    """What is said of the shipped body with other things inside."""
    from diffmocap.body.model import BodyModel
    from diffmocap.errors import DiffmocapError
    from diffmocap.resources import share_path

    with np.load(share_path("models", "body_anny.npz")) as data:
        np.savez(folder / "odd.npz", **(dict(data) | changes))
    try:
        BodyModel.load(folder / "odd.npz")
    except DiffmocapError:
        return "a sentence"
    return "taken without a word"


def odd_weights(folder: Path, info: str = "{}", **changes: object) -> str:
    """What is said of small lifting weights with another header."""
    from dataclasses import asdict

    from safetensors.torch import save_file

    from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
    from diffmocap.lifting.network.weights import FORMAT

    config = DenoiserConfig(width=16, heads=2, feedforward=32, decoder_layers=1)
    header = {"format": FORMAT, "config": json.dumps(asdict(config) | changes), "info": info}
    save_file(TransformerDenoiser(config).state_dict(), folder / "odd.safetensors", header)
    script = "from diffmocap.lifting.network.weights import load_weights\n# limit\nload_weights(sys.argv[1])\n"
    return in_little_memory(script, folder / "odd.safetensors")


def in_little_memory(script: str, path: Path) -> str:
    """What a process makes of a file that has a gigabyte of address space for it."""
    limited = (
        "import resource, sys\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {ROOM_BYTES},) * 2)\n"
    )
    first, then = script.split("# limit\n")
    done = subprocess.run(
        [sys.executable, "-c", first + limited + then, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    if done.returncode == 0:
        return "read within a gigabyte"
    return "a sentence" if last.startswith("diffmocap.errors.") else last


def bomb(folder: Path) -> str:
    """A body with a further array of 3 GB of zeros, in a file of 5 MB."""
    from diffmocap.resources import share_path

    path = folder / "bomb.npz"
    path.write_bytes(share_path("models", "body_anny.npz").read_bytes())
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (3_000_000_000,)})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("posedirs.npy", "w", force_zip64=True) as member:
            member.write(header.getvalue())
            for _ in range(300):
                member.write(bytes(10_000_000))
    script = "from diffmocap.body.model import BodyModel\n# limit\nBodyModel.load(sys.argv[1])\n"
    return in_little_memory(script, path)


def laughs(folder: Path) -> str:
    """A camera calibration whose numbers are lists of lists by aliases, 9 to the 9th of them."""
    names = "abcdefghi"
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in zip(names, names[1:])]
    lines += ["image_width: 640", "image_height: 480", "camera_matrix: {data: *i}"]
    (folder / "laughs.yaml").write_text("\n".join(lines))
    script = """
try:
    from diffmocap.camera.calibration.calibration_file import load_calibration
except ImportError:
    from diffmocap.camera.intrinsics import load_calibration
# limit
load_calibration(sys.argv[1])
"""
    return in_little_memory(script, folder / "laughs.yaml")


CASES = (
    Case("motion files", "6D rotations, 144 columns", "mm", "refused with the reason", sixd),
    Case("motion files", "degrees", "mm", "refused with the reason", degrees),
    Case("motion files", "a folder with a damaged file", "", "2 of 3 files read", damaged_in_a_folder),
    Case("odd files", "a body whose parents are text", "", "a sentence",
         lambda folder: odd_body(folder, kintree_table=np.array(["a"] * 24))),
    Case("odd files", "a body whose vertices' names are numbers", "", "a sentence",
         lambda folder: odd_body(folder, vertex_names=np.arange(11))),
    Case("odd files", "a body whose faces point nowhere", "", "a sentence",
         lambda folder: odd_body(folder, f=np.array([[0, 1, 10**6]]))),
    Case("odd files", "a body with an array of 3 GB of zeros in 13 MB", "", "a sentence", bomb),
    Case("odd files", "weights whose info is a list", "", "a sentence", lambda folder: odd_weights(folder, info="[1]")),
    Case("odd files", "weights that ask for a feed-forward width of 10^12", "", "a sentence",
         lambda folder: odd_weights(folder, feedforward=10**12)),
    Case("odd files", "a calibration of YAML aliases, 387 million numbers", "", "a sentence", laughs),
)  # fmt: skip
