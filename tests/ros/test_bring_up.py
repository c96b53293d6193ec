"""Lifecycle nodes are brought up over DDS: in order, after a refusal, and anew after they were killed."""

from __future__ import annotations

import time

import pytest


@pytest.fixture()
def stage(ros_env):
    made = Stage()
    yield made
    made.close()


class Stage:
    """Lifecycle nodes in this process, each in a DDS participant of its own, and a node that steers them."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.refusing: set[str] = set()
        self.participants: dict[str, tuple] = {}
        from rclpy.node import Node

        self.node, self._executor = self._join("steering", Node)

    def _join(self, name: str, kind: type):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        context = rclpy.Context()
        rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        node = kind(name, context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        return node, executor

    def start(self, name: str) -> None:
        from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

        stage = self

        class Actor(LifecycleNode):
            def on_configure(self, state):
                stage.log.append((name, "configure"))
                refused = name in stage.refusing
                return TransitionCallbackReturn.FAILURE if refused else TransitionCallbackReturn.SUCCESS

            def on_activate(self, state):
                stage.log.append((name, "activate"))
                return TransitionCallbackReturn.SUCCESS

        self.participants[name] = self._join(name, Actor)

    def stop_answering(self, name: str) -> None:
        """As a killed process: DDS still knows it, and nobody answers."""
        self.participants[f"dead {name}"] = self.participants.pop(name)

    def spin(self, step, until, timeout_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < deadline_s, self.log
            step()
            self._executor.spin_once(timeout_sec=0.01)
            for name, (_, executor) in self.participants.items():
                if not name.startswith("dead"):
                    executor.spin_once(timeout_sec=0.01)

    def close(self) -> None:
        for node, executor in [*self.participants.values(), (self.node, self._executor)]:
            executor.shutdown()
            context = node.context
            node.destroy_node()
            context.try_shutdown()


def test_nodes_become_active_in_order_and_again_after_a_death(stage) -> None:
    from diffmocap.nodes.launch.bring_up import MAX_STARTS, BringUp

    progress: list[str] = []
    bring_up = BringUp(stage.node, ["consumer", "producer"], progress=progress.append)
    stage.start("producer")
    stage.spin(bring_up.advance, lambda: ("producer", "configure") in stage.log)
    assert bring_up.behind == ["consumer", "producer"]
    stage.start("consumer")
    stage.spin(bring_up.advance, lambda: bring_up.complete)
    assert progress == ["consumer is active", "producer is active"]
    assert stage.log.index(("consumer", "activate")) < stage.log.index(("producer", "activate"))

    stage.stop_answering("consumer")
    stage.log.clear()
    assert bring_up.restart("consumer") and bring_up.behind == ["consumer"]
    stage.start("consumer")
    stage.spin(bring_up.advance, lambda: bring_up.complete)
    assert stage.log == [("consumer", "configure"), ("consumer", "activate")], "the producer is left alone"

    assert all(bring_up.restart("consumer") for _ in range(MAX_STARTS))
    assert not bring_up.restart("consumer"), "it never becomes active any more"
    bring_up.close()


def test_a_refusal_ends_it_or_waits_for_the_user(stage) -> None:
    from diffmocap.nodes.launch.bring_up import BringUp, TransitionRefused

    stage.refusing = {"camera"}
    stage.start("camera")
    strict = BringUp(stage.node, ["camera"])
    with pytest.raises(TransitionRefused, match="camera did not configure"):
        stage.spin(strict.advance, lambda: False)
    assert not strict.restart("camera"), "it was never active"
    strict.close()

    warnings: list[str] = []
    patient = BringUp(stage.node, ["camera"], may_wait=["camera"], warn=warnings.append)
    stage.log.clear()
    stage.spin(patient.advance, lambda: warnings)
    assert "`ros2 lifecycle set camera configure`" in warnings[0]
    quiet_until_s = time.monotonic() + 1.5
    stage.spin(patient.advance, lambda: time.monotonic() > quiet_until_s)
    assert stage.log == [("camera", "configure")], "it is not asked again and again"
    stage.refusing.clear()
    stage.participants["camera"][0].trigger_configure()  # as the user does
    stage.spin(patient.advance, lambda: patient.complete)
    assert stage.log[1:] == [("camera", "configure"), ("camera", "activate")] and len(warnings) == 1
    patient.close()


def test_nodes_of_another_graph_are_left_alone_and_named(stage) -> None:
    from diffmocap.errors import GraphError
    from diffmocap.nodes.launch.bring_up import BringUp, TransitionRefused

    stage.start("pose")
    first = BringUp(stage.node, ["pose"])
    stage.spin(first.advance, lambda: first.complete)
    first.close()
    stage.log.clear()
    second = BringUp(stage.node, ["pose"])
    with pytest.raises(GraphError, match="/pose runs already and is active: end the other graph"):
        stage.spin(second.advance, lambda: second.complete)
    second.close()
    assert stage.log == []

    stage.refusing = {"lens"}
    stage.start("lens")
    stage.participants["other lens"] = stage.participants.pop("lens")
    stage.start("lens")
    both = BringUp(stage.node, ["lens"])
    stage.spin(lambda: None, lambda: stage.node.get_node_names().count("lens") == 2)
    with pytest.raises(TransitionRefused, match=r"lens did not configure \(2 nodes have this name: "):
        stage.spin(both.advance, lambda: False)
    both.close()
