"""What RViz is to show, for a graph whose frames have a prefix.

Topics need no such care: the shipped file names them without a slash, and RViz looks for them in its own namespace.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from diffmocap.errors import SettingsError
from diffmocap.graph.frames import prefixed
from diffmocap.resources import share_path


def shipped_rviz_config() -> Path:
    """The file for frames without a prefix."""
    return share_path("config", "diffmocap.rviz")


@dataclass(frozen=True)
class RvizConfig:
    """Stands for a configuration file where a command line wants one.

    Raises:
        SettingsError: RViz has no robot model whose frames are named so.
    """

    frame_prefix: str

    def __post_init__(self) -> None:
        if not self.frame_prefix.endswith("/"):
            raise SettingsError(
                f"frame_prefix '{self.frame_prefix}': RViz's robot model puts a '/' between prefix and link; expected "
                f"a prefix that ends with one, '{self.frame_prefix}/', or rviz:=false"
            )

    def text(self) -> str:
        """The shipped configuration with all frames renamed."""
        import yaml  # most graphs have no prefix

        document = yaml.safe_load(shipped_rviz_config().read_text(encoding="utf-8"))
        manager = document["Visualization Manager"]
        manager["Global Options"]["Fixed Frame"] = self._named(manager["Global Options"]["Fixed Frame"])
        for display in manager["Displays"]:
            if "TF Prefix" in display:
                display["TF Prefix"] = self.frame_prefix.removesuffix("/")  # RViz puts the slash there itself
            if "Frames" in display:
                shown = display["Frames"].items()
                display["Frames"] = {n if n == "All Enabled" else self._named(n): value for n, value in shown}
        return yaml.safe_dump(document, sort_keys=False)

    def write(self) -> Path:
        """Into a folder that goes with this process."""
        folder = Path(tempfile.mkdtemp(prefix="diffmocap-rviz-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = folder / "diffmocap.rviz"
        path.write_text(self.text(), encoding="utf-8")
        return path

    def _named(self, frame: str) -> str:
        return prefixed(frame, self.frame_prefix)
