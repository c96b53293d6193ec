"""ament_python package: colcon builds it where ROS 2 is installed, pip installs it beside the ROS 2 wheels."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "diffmocap"
ROOT = Path(__file__).resolve().parent


def data_files(*folders: str) -> list[tuple[str, list[str]]]:
    """Every file below the folders, for the same place below share/diffmocap."""
    directories = [path for folder in folders for path in (ROOT / folder, *(ROOT / folder).rglob("*")) if path.is_dir()]
    return [
        (f"share/{NAME}/{directory.relative_to(ROOT)}", files)
        for directory in sorted(directories)
        if directory.name != "__pycache__"
        and (files := sorted(str(path.relative_to(ROOT)) for path in directory.iterdir() if path.is_file()))
    ]


#: Ranges that the command and the nodes admit; requirements/ pins what is tested. ROS 2 is no package of PyPI's, see
#: the README. colcon ignores these: there the packages come from tools/setup_ros_venv.sh.
NEEDED = [
    "mediapipe>=1.2,<2",
    "numba>=0.61",
    "numpy>=2.1",
    "opencv-contrib-python>=4.10,<5",
    "pillow>=10",
    "psutil>=5.9",
    "pygltflib>=1.16",
    "pyyaml>=6",
    "roma>=1.5",
    "safetensors>=0.4.4",
    "scipy>=1.13",
    "torch>=2.4",
    "tqdm>=4.66",
    "viser>=1.1.1,<1.2",  # viewer/server.py reaches into it
    "websockets>=15,<17",
]
OPTIONAL = {
    "smpl": ["smplx>=0.1.28"],  # your own SMPL model
    "render": ["pybullet>=3.2.6; python_version < '3.12'"],  # the demo's video
    "usd": ["usd-core>=24.11"],  # export --format usd
    "bags": ["rosbags>=0.10"],  # reconstruct BAG
    "ray": ["ray>=2.30"],  # reconstruct --ray
    "robots": ["daqp>=0.8", "mink>=1.3,<2", "mujoco>=3.10"],  # retarget, and the robot's node; docs/robots.md
    "sonic": ["pyzmq>=25"],  # sonic_node
    "train": ["tensorboard>=2.21"],
    "examples": ["scikit-learn>=1.5"],
    "test": [
        "bvhio>=1.5",
        "diffusers>=0.30",
        "pytest>=8",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "pyzmq>=25",
        "rosbags>=0.10",
        "ruff>=0.17",
        "smplx>=0.1.28",
        "trimesh>=4",
    ],
}

setup(
    name=NAME,
    version="0.1.0",
    description="Full-body 3D motion capture from a webcam: diffusion model, physics, joint states on a ROS 2 graph",
    author="diffmocap maintainers",
    maintainer="diffmocap maintainers",
    maintainer_email="maintainers@users.noreply.github.com",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *data_files("config", "launch", "media", "models"),
    ],
    install_requires=NEEDED,
    extras_require=OPTIONAL,
    python_requires=">=3.11,<3.15",
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "diffmocap = diffmocap.cli.start:main",
            "camera_node = diffmocap.nodes.start:camera_node",
            "hri_node = diffmocap.nodes.start:hri_node",
            "keypoint_node = diffmocap.nodes.start:keypoint_node",
            "pose_node = diffmocap.nodes.start:pose_node",
            "retarget_node = diffmocap.nodes.start:retarget_node",
            "sonic_node = diffmocap.nodes.start:sonic_node",
            "viewer_node = diffmocap.nodes.start:viewer_node",
        ],
    },
)
