"""Configuration of a model for Triton, and its text by templates/triton/config.pbtxt.j2."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from resnetgen.build.options import Options
from resnetgen.network import Network
from resnetgen.render import quoted, template

CONFIG = "config.pbtxt"
FIRST_LINE = "# Written by resnetgen, which adds versions to this model as long as this line stands first."
DYNAMIC = -1


class InstanceKind(StrEnum):
    """Processor that runs the model: instance_group.kind in config.pbtxt."""

    CPU = "cpu"
    GPU = "gpu"


class TensorRTPrecision(StrEnum):
    """Precision of TensorRT."""

    FP16 = "fp16"
    FP32 = "fp32"


class Serving(Struct, frozen=True):
    """Options of a model in Triton."""

    max_batch: int = 0
    """Largest batch that Triton forms; 0 for no batching."""
    preferred: tuple[int, ...] = ()
    """Batch sizes that do not wait for more requests."""
    queue_delay: int = 0
    """Time in microseconds that a request may wait for others to fill the batch."""
    instances: int = 1
    device: InstanceKind = InstanceKind.CPU
    tensorrt: TensorRTPrecision | None = None
    """Precision of TensorRT; None for ONNX Runtime's own kernels."""
    latest: int = 1
    """Number of versions that are served at a time."""


class TensorConfig(Struct, frozen=True):
    """Input or output in config.pbtxt."""

    name: str
    type: str
    dims: tuple[int, ...]
    """Shape; without the batch axis if Triton batches."""


class WarmupRequest(Struct, frozen=True):
    """Warm-up request, run before the server reports that it is ready."""

    name: str
    batch: int
    """Batch size; 0 if Triton does not batch, and `dims` includes the batch."""
    dims: tuple[int, ...]


class Config(Struct, frozen=True):
    """Values of config.pbtxt."""

    name: str
    input: TensorConfig
    output: TensorConfig
    labels: str | None
    """Name of the labels file; None for none."""
    serving: Serving

    @property
    def warmup(self) -> tuple[WarmupRequest, ...]:
        """Warm-up with the smallest and the largest batch: kernels are chosen by shape."""
        largest, dims = self.serving.max_batch, self.input.dims
        if not largest:
            return (WarmupRequest("one batch", 0, tuple(1 if dim == DYNAMIC else dim for dim in dims)),)
        return tuple(WarmupRequest(f"batch {batch}", batch, dims) for batch in dict.fromkeys((1, largest)))

    def render(self) -> str:
        return template("triton/config.pbtxt.j2", {"quoted": quoted}).render(
            config=self, serving=self.serving, mark=FIRST_LINE
        )


def configure(name: str, network: Network, options: Options, serving: Serving, labels: str | None) -> Config:
    """Return the configuration of the model of a graph and its options; `labels` is the name of the labels file."""
    graph = network.graph
    batch = () if serving.max_batch else (options.batch or DYNAMIC,)
    channels, *image = graph.shapes[graph.input.name]
    output_type = f"TYPE_{options.precision.outer.upper()}" if options.precision else "TYPE_FP32"
    input_type, shape = output_type, (channels, *image)
    if options.embed_preprocess:
        input_type, shape = "TYPE_UINT8", (*image, channels)
    return Config(
        name,
        TensorConfig(options.input_name, input_type, (*batch, *shape)),
        TensorConfig(options.output_name, output_type, (*batch, *graph.shapes[graph.output.name])),
        labels,
        serving,
    )
