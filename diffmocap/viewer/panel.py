"""The page's side bar: state, layers and points of view, curves, controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from diffmocap.viewer.controls import Controls
from diffmocap.viewer.plots import LIMBS, STAGES, History, Plot
from diffmocap.viewer.scene import FIRST_VIEW, LAYERS, VIEW_FOV_RAD, Scene
from diffmocap.viewer.status import Status, status_html

#: Two minutes of diagnostics, and half a minute of poses at four a second.
LATENCY_SAMPLES, DEVIATION_SAMPLES = 120, 120
#: Points of view: where one looks from, relative to the person [m, world axes; the camera is at -x].
VIEWS = {
    "Oblique": FIRST_VIEW,
    "Front": np.array([-3.4, 0.0, 0.2]),
    "Side": np.array([0.0, -3.4, 0.2]),
    "Top": np.array([-0.01, 0.0, 3.6]),
}


class Panel:
    """The side bar of a server's page.

    Args:
        server: viser's.
        scene: whose layers are shown and hidden.
        set_value: as of :class:`~diffmocap.viewer.controls.Controls`.
    """

    def __init__(self, server: Any, scene: Scene, set_value: Callable[[str, Any], None]) -> None:
        self._scene, gui = scene, server.gui
        self.latencies = History(len(STAGES), LATENCY_SAMPLES)
        self.deviations = History(len(LIMBS), DEVIATION_SAMPLES)
        self._status = gui.add_html("")
        tabs = gui.add_tab_group()
        with tabs.add_tab("View"):
            for layer in LAYERS:
                self._add_layer(gui, layer)
            self._add_views(gui)
        with tabs.add_tab("Curves"):
            self._plots = [
                Plot(gui, "Latency", "ms", [stage.label for stage in STAGES], self.latencies),
                Plot(gui, "Standard deviation of joints", "degrees", list(LIMBS), self.deviations),
            ]
        self.controls = Controls(gui, tabs.add_tab("Parameters"), set_value)

    def update(self, status: Status, now_s: float) -> None:
        """Shows the state and the curves as they are."""
        self._status.content = status_html(status)
        for plot in self._plots:
            plot.update(now_s)

    def look_from(self, client: Any, offset_m: np.ndarray) -> None:
        """Moves a client's point of view to this place beside the person."""
        target = self._scene.pelvis_m
        with client.atomic():
            client.camera.up_direction, client.camera.fov = (0.0, 0.0, 1.0), VIEW_FOV_RAD
            client.camera.position = target + offset_m
            client.camera.look_at = target

    def _add_layer(self, gui: Any, layer: str) -> None:
        box = gui.add_checkbox(layer, True)
        box.on_update(lambda _: self._scene.show_layer(layer, box.value))

    def _add_views(self, gui: Any) -> None:
        buttons = gui.add_button_group("Look from", tuple(VIEWS))

        @buttons.on_click
        def _(event: Any) -> None:
            if event.client is not None:
                self.look_from(event.client, VIEWS[event.target.value])
