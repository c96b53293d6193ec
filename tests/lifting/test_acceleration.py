"""The fused network is the network, and CUDA graphs replay it, or get out of the way where they cannot."""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext

import pytest
import torch

from diffmocap.lifting.network.acceleration import WARM_UP, CudaGraphs, GraphedDenoiser, accelerate
from diffmocap.lifting.network.condition import Condition
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.network.fused_denoiser import FusedDenoiser
from diffmocap.lifting.network.mlp_denoiser import MlpConfig, MlpDenoiser

CONFIG = DenoiserConfig(width=48, heads=3, feedforward=80, joint_layers=2, keypoint_layers=2, decoder_layers=3)


def network(device: str = "cpu") -> TransformerDenoiser:
    torch.manual_seed(0)
    model = TransformerDenoiser(CONFIG)
    for p in model.parameters():  # biases and norms that would show a mistake
        torch.nn.init.normal_(p, std=0.2)
    return model.eval().requires_grad_(False).to(device)


def condition(batch: int, previous: bool, device: str = "cpu") -> Condition:
    g = torch.Generator().manual_seed(batch)
    confidence = torch.rand(batch, 25, generator=g) * (torch.rand(batch, 25, generator=g) > 0.3)
    told = (torch.randn(batch, 24, 6, generator=g), (torch.rand(batch, generator=g) > 0.5).float())
    parts = (
        torch.randn(batch, 25, 2, generator=g), confidence, torch.randn(batch, 4, generator=g),
        torch.eye(3).repeat(batch, 1, 1), torch.ones(batch), torch.randn(batch, 25, generator=g),
        (torch.rand(batch, 25, generator=g) > 0.5).float(), *(told if previous else ()),
    )  # fmt: skip
    return Condition(*(part.to(device) for part in parts))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("previous", [True, False])
def test_the_fused_network_says_what_the_module_says(batch, previous):
    model = network()
    fused, told = FusedDenoiser(model), condition(batch, previous)
    x = torch.randn(batch, 24, 6, generator=torch.Generator().manual_seed(1))
    for code in (model.encode_condition(told), fused.encode_condition(told), model.null_code(batch)):
        for t in (0, 417, 999, 417):
            expected = model(x, torch.full((batch,), t), code)
            assert torch.allclose(fused(x, t, code), expected, atol=2e-5, rtol=1e-4)
    ours, theirs = fused.encode_condition(told), model.encode_condition(told)
    assert torch.equal(ours.mask, theirs.mask) and torch.allclose(ours.joints, theirs.joints)
    for a, b in zip([*ours.keys, *ours.values], [*theirs.keys, *theirs.values]):
        assert a.shape == b.shape and torch.allclose(a, b, atol=2e-5, rtol=1e-4)


def test_codes_of_the_fused_network_stack_and_repeat():
    model = network()
    fused = FusedDenoiser(model)
    code = fused.encode_condition(condition(2, True)).repeat(2).stack(model.null_code(4))
    x = torch.randn(8, 24, 6)
    assert torch.allclose(fused(x, 300, code), model(x, torch.full((8,), 300), code), atol=2e-5, rtol=1e-4)


def test_what_is_accelerated():
    assert isinstance(accelerate(network()), FusedDenoiser)
    mlp = MlpDenoiser(MlpConfig(width=16, layers=1, time_width=8))
    assert accelerate(mlp) is mlp


class FakeCuda:
    """Stands for ``torch.cuda``: a graph replays by calling again the function that was last called in recording."""

    def __init__(self, fails: int = 0) -> None:
        self.fails, self.recording, self.replays = fails, None, 0

    def wait_stream(self, other) -> None: ...

    def current_stream(self):
        return self

    Stream = current_stream

    def stream(self, stream):
        return nullcontext()

    def graph_pool_handle(self):
        return "pool"

    def CUDAGraph(self):
        cuda = self

        class Graph:
            def replay(self) -> None:
                cuda.replays += 1
                for place, value in zip(self.outputs, self.function(*self.places)):
                    place.copy_(value)

        return Graph()

    @contextmanager
    def graph(self, graph, pool, capture_error_mode):
        if self.fails:
            self.fails -= 1
            raise RuntimeError("operation not permitted when stream is capturing")
        assert pool == "pool" and capture_error_mode == "thread_local"
        self.recording = graph
        yield
        self.recording = None

    def recordable(self, function, calls: list):
        """``function`` with what it does in recording noted for the replay."""

        def called(*inputs):
            calls.append(1)
            outputs = function(*inputs)
            if self.recording is not None:
                self.recording.function, self.recording.places, self.recording.outputs = function, inputs, outputs
            return outputs

        return called


def test_a_graph_is_recorded_once_and_replayed_with_new_inputs():
    cuda, calls = FakeCuda(), []
    graphs = CudaGraphs(cuda=cuda)
    double = cuda.recordable(lambda x, y: [2 * x + y], calls)
    found = [graphs.run("a", double, [torch.full((3,), float(i)), torch.ones(3)])[0] for i in range(4)]
    assert [f.tolist() for f in found] == [[2.0 * i + 1] * 3 for i in range(4)]  # and none was written over
    assert len(calls) == WARM_UP + 1 and cuda.replays == 4
    graphs.run("b", double, [torch.zeros(3), torch.ones(3)])  # another key, another shape
    graphs.run("a", double, [torch.zeros(5), torch.ones(5)])
    assert len(calls) == 3 * (WARM_UP + 1)


def test_the_first_callers_mode_does_not_bind_later_ones():
    cuda = FakeCuda()
    graphs = CudaGraphs(cuda=cuda)
    double = cuda.recordable(lambda x: [2 * x], [])
    with torch.inference_mode():
        graphs.run("a", double, [torch.ones(2)])
    assert graphs.run("a", double, [torch.full((2,), 3.0)])[0].tolist() == [6.0, 6.0]


def test_old_graphs_go():
    cuda, calls = FakeCuda(), []
    graphs = CudaGraphs(limit=2, cuda=cuda)
    function = cuda.recordable(lambda x: [x], calls)
    for key in (1, 2, 1, 3, 1):  # 3 drives out 2, which was used before 1
        graphs.run(key, function, [torch.zeros(1)])
    assert len(calls) == 3 * (WARM_UP + 1)
    graphs.run(2, function, [torch.zeros(1)])
    assert len(calls) == 4 * (WARM_UP + 1)


def test_what_cannot_be_recorded_runs_eagerly_and_is_said_once(caplog):
    cuda, calls = FakeCuda(fails=2), []
    graphs = CudaGraphs(cuda=cuda)
    add = cuda.recordable(lambda x: [x + 1], calls)
    with caplog.at_level(logging.WARNING):
        for key in "abc":
            for value in (1.0, 2.0):
                assert graphs.run(key, add, [torch.full((2,), value)])[0].tolist() == [value + 1] * 2
    assert len(caplog.records) == 1 and "capturing" in caplog.text and not graphs.works
    assert cuda.replays == 2, "the third was recorded"
    assert len(calls) == 2 * (WARM_UP + 2) + WARM_UP + 1, "what failed is not tried again"


def test_a_graphed_network_is_the_network():
    model = network()
    fused, cuda = FusedDenoiser(model), FakeCuda()

    class Recordable(CudaGraphs):
        def run(self, key, function, inputs):
            return super().run(key, cuda.recordable(function, []), inputs)

    graphed = GraphedDenoiser(fused, Recordable(cuda=cuda))
    for seed, previous in ((2, True), (3, True), (2, False)):
        told = condition(2, previous)
        told.points += seed
        code, expected = graphed.encode_condition(told), fused.encode_condition(told)
        for t in (999, 499):
            x = torch.randn(2, 24, 6)
            assert torch.equal(graphed(x, t, code), fused(x, t, expected))
    assert cuda.replays == 9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_graphs_replay_on_a_gpu():
    model = network("cuda")
    graphed = accelerate(model)
    assert isinstance(graphed, GraphedDenoiser)
    for seed in range(3):
        told = condition(2, True, "cuda")
        told.points += seed
        x = torch.randn(2, 24, 6, device="cuda")
        expected = model(x, torch.full((2,), 700, device="cuda"), model.encode_condition(told))
        assert torch.allclose(graphed(x, 700, graphed.encode_condition(told)), expected, atol=1e-4, rtol=1e-3)
    assert graphed.graphs.works
