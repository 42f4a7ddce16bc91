"""Configuration of a model for Triton, and its text by templates/triton/config.pbtxt.j2."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from resnetgen.build.options import Options
from resnetgen.network import Network
from resnetgen.render import quoted, template

CONFIG = "config.pbtxt"
MARK = "# Written by resnetgen, which adds versions to this model as long as this line stands first."
DYNAMIC = -1


class Device(StrEnum):
    CPU = "cpu"
    GPU = "gpu"


class Precision(StrEnum):
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
    device: Device = Device.CPU
    tensorrt: Precision | None = None
    """Precision of TensorRT; None for ONNX Runtime's own kernels."""
    latest: int = 1
    """Number of versions that are served at a time."""


class Tensor(Struct, frozen=True):
    name: str
    type: str
    dims: tuple[int, ...]
    """Shape; without the batch axis if Triton batches."""


class Sample(Struct, frozen=True):
    """Warm-up request, run before the server reports that it is ready."""

    name: str
    batch: int
    """Batch size; 0 if Triton does not batch, and `dims` includes the batch."""
    dims: tuple[int, ...]


class Config(Struct, frozen=True):
    name: str
    input: Tensor
    output: Tensor
    labels: str | None
    """Name of the labels file; None for none."""
    serving: Serving

    @property
    def warmup(self) -> tuple[Sample, ...]:
        """Warm-up with the smallest and the largest batch: kernels are chosen by shape."""
        largest, dims = self.serving.max_batch, self.input.dims
        if not largest:
            return (Sample("one batch", 0, tuple(1 if dim == DYNAMIC else dim for dim in dims)),)
        return tuple(Sample(f"batch {batch}", batch, dims) for batch in dict.fromkeys((1, largest)))

    def render(self) -> str:
        return template("triton/config.pbtxt.j2", {"quoted": quoted}).render(
            config=self, serving=self.serving, mark=MARK
        )


def configure(name: str, network: Network, options: Options, serving: Serving, labels: str | None) -> Config:
    """Return the configuration of a graph. The model's file is not read: it is checked against the result."""
    graph = network.graph
    batch = () if serving.max_batch else (options.batch or DYNAMIC,)
    channels, *image = graph.shapes[graph.input.name]
    given = f"TYPE_{options.precision.outer.upper()}" if options.precision else "TYPE_FP32"
    taken, shape = ("TYPE_UINT8", (*image, channels)) if options.embed_preprocess else (given, (channels, *image))
    return Config(
        name,
        Tensor(options.input_name, taken, (*batch, *shape)),
        Tensor(options.output_name, given, (*batch, *graph.shapes[graph.output.name])),
        labels,
        serving,
    )
