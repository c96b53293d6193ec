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


setup(
    name=NAME,
    version="0.1.0",
    description="Full-body 3D motion capture from a webcam: guided diffusion to joint states on a ROS 2 graph",
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
    # The pinned requirements/ install the rest: torch must come first and alone, see requirements/torch.txt.
    install_requires=["setuptools"],
    python_requires=">=3.11",
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "diffmocap = diffmocap.cli.start:main",
            "camera_node = diffmocap.nodes.start:camera_node",
            "keypoint_node = diffmocap.nodes.start:keypoint_node",
            "pose_node = diffmocap.nodes.start:pose_node",
        ],
    },
)
