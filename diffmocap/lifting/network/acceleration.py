"""The network as live sampling calls it: fewer operations, and on a GPU one launch for all of them.

A network this small keeps a GPU waiting for Python, which launches some hundred kernels a step. A CUDA graph records
them once for each batch size and time and then replays them together. (Recording the whole of a sampling would save a
few launches more, and need another graph for every number of steps, sampler and guidance weight.)
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields

import torch

from diffmocap import compiler
from diffmocap.lifting.network.condition import Condition
from diffmocap.lifting.network.denoiser import ConditionCode, TransformerDenoiser
from diffmocap.lifting.network.fused_denoiser import FusedDenoiser
from diffmocap.lifting.network.fused_ray_denoiser import FusedRayDenoiser
from diffmocap.lifting.network.mlp_denoiser import MlpDenoiser
from diffmocap.lifting.network.ray_denoiser import RayDenoiser

log = logging.getLogger(__name__)

#: Evaluations before a graph is recorded, in which libraries set themselves up (PyTorch's notes on CUDA graphs).
WARM_UP = 3


class CudaGraphs:
    """Runs functions of CUDA tensors, recorded on first use; the least recently used graph goes beyond ``limit``.

    What cannot be recorded runs eagerly, which is said once in the log; ``works`` is False from then on. Not for
    several threads. ``cuda`` is ``torch.cuda``, or what stands for it in tests.
    """

    def __init__(self, limit: int = 64, cuda=torch.cuda) -> None:
        self.limit, self.works = limit, True
        self._cuda, self._pool = cuda, None
        self._recorded: OrderedDict[Hashable, tuple | None] = OrderedDict()

    def run(
        self, key: Hashable, function: Callable[..., Sequence[torch.Tensor]], inputs: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """``function(*inputs)``, the tensors the caller's own.

        ``function`` must depend on nothing that changes but its inputs and ``key``, nor wait for the GPU.
        """
        key = (key, tuple((t.shape, t.dtype, t.device) for t in inputs))
        if key not in self._recorded:
            self._recorded[key] = self._try_to_record(function, inputs)
            if len(self._recorded) > self.limit:
                self._recorded.popitem(last=False)
        self._recorded.move_to_end(key)
        if self._recorded[key] is None:
            return list(function(*inputs))
        graph, places, outputs = self._recorded[key]
        torch._foreach_copy_(places, list(inputs))
        graph.replay()
        return [t.clone() for t in outputs]  # the next replay, of any graph, writes to the same memory

    def _try_to_record(
        self, function: Callable[..., Sequence[torch.Tensor]], inputs: Sequence[torch.Tensor]
    ) -> tuple | None:
        try:
            return self._record(function, inputs)
        except RuntimeError as e:  # torch.AcceleratorError is one
            if self.works:
                log.warning("a CUDA graph could not be recorded (%s); sampling goes on without it, more slowly", e)
            self.works = False
            return None

    def _record(self, function: Callable[..., Sequence[torch.Tensor]], inputs: Sequence[torch.Tensor]) -> tuple:
        """The graph, the tensors it reads and those it writes."""
        cuda = self._cuda
        # Places must be ordinary tensors, whatever mode the first caller was in: later callers copy into them.
        with torch.inference_mode(False), torch.no_grad():
            places = [t.clone() for t in inputs]
            aside = cuda.Stream()
            aside.wait_stream(cuda.current_stream())
            with cuda.stream(aside):
                for _ in range(WARM_UP):
                    function(*places)
            cuda.current_stream().wait_stream(aside)
            if self._pool is None:
                self._pool = cuda.graph_pool_handle()
            graph = cuda.CUDAGraph()
            # Other threads may allocate GPU memory meanwhile, which must not spoil the recording.
            with cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                outputs = list(function(*places))
        return graph, places, outputs


class GraphedDenoiser:
    """A :class:`FusedDenoiser` on a GPU, whose evaluations are replayed graphs."""

    def __init__(self, network: FusedDenoiser, graphs: CudaGraphs | None = None) -> None:
        self.network, self.config, self.graphs = network, network.config, graphs or CudaGraphs()
        self.encode_previous, self.null_code = network.encode_previous, network.null_code
        self.standardise, self.unstandardise = network.standardise, network.unstandardise

    def encode_condition(self, condition: Condition) -> ConditionCode:
        """As the network's."""
        names = [f.name for f in fields(condition) if getattr(condition, f.name) is not None]

        def encode(*tensors: torch.Tensor) -> list[torch.Tensor]:
            return _tensors(self.network.encode_condition(Condition(**dict(zip(names, tensors)))))

        return _code(self.graphs.run(("encode", *names), encode, [getattr(condition, name) for name in names]))

    def __call__(self, x_t: torch.Tensor, t: int, code: ConditionCode) -> torch.Tensor:
        """As the network's."""

        def evaluate(x: torch.Tensor, *tensors: torch.Tensor) -> list[torch.Tensor]:
            return [self.network(x, t, _code(tensors))]

        return self.graphs.run(t, evaluate, [x_t, *_tensors(code)])[0]


def _tensors(code: ConditionCode) -> list[torch.Tensor]:
    return [*code.keys, *code.values, code.mask, code.joints]


def _code(tensors: Sequence[torch.Tensor]) -> ConditionCode:
    layers = (len(tensors) - 2) // 2
    return ConditionCode(list(tensors[:layers]), list(tensors[layers:-2]), *tensors[-2:])


def accelerate(
    model: TransformerDenoiser | MlpDenoiser | RayDenoiser,
) -> TransformerDenoiser | MlpDenoiser | RayDenoiser | FusedDenoiser | FusedRayDenoiser | GraphedDenoiser:
    """The fastest equal of the model on its device, for times that are one number for the batch.

    The MLP, a dozen large products, stays as it is, and so does a ray denoiser on a GPU or without a compiler.
    """
    if isinstance(model, RayDenoiser) and model.pose_mean.device.type == "cpu" and compiler.available():
        return FusedRayDenoiser(model)
    if not isinstance(model, TransformerDenoiser):
        return model
    fused = FusedDenoiser(model)
    return GraphedDenoiser(fused) if model.pose_mean.device.type == "cuda" else fused
