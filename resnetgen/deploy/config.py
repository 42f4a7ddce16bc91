"""What config.pbtxt says of a model, and its text by templates/triton/config.pbtxt.j2."""

from __future__ import annotations

from enum import StrEnum

from resnetgen.frozen import Frozen
from resnetgen.options import Compiled, Options
from resnetgen.render import quoted, template

CONFIG = "config.pbtxt"
MARK = "# Written by resnetgen, which adds versions to this model as long as this line stands first."
DYNAMIC = -1


class Device(StrEnum):
    CPU = "cpu"
    GPU = "gpu"


class Precision(StrEnum):
    """What TensorRT computes in."""

    FP16 = "fp16"
    FP32 = "fp32"


class Serving(Frozen):
    """How Triton is to run a model."""

    max_batch: int = 0
    """The most images that it puts into one batch; 0: it batches nothing."""
    preferred: tuple[int, ...] = ()
    """Sizes at which a batch need not wait for more."""
    queue_delay: int = 0
    """Microseconds that a request may wait for others, until a batch is full."""
    instances: int = 1
    device: Device = Device.CPU
    tensorrt: Precision | None = None
    """None: ONNX Runtime's own kernels."""
    latest: int = 1
    """How many versions are served at a time."""


class Tensor(Frozen):
    name: str
    type: str
    dims: tuple[int, ...]
    """Without the batch where Triton batches."""


class Sample(Frozen):
    """What is run before the server says that it is ready."""

    name: str
    batch: int
    """0 where Triton does not batch, and `dims` has the batch."""
    dims: tuple[int, ...]


class Config(Frozen):
    name: str
    input: Tensor
    output: Tensor
    labels: str | None
    """The name of their file."""
    serving: Serving

    @property
    def warmup(self) -> tuple[Sample, ...]:
        """The smallest batch and the largest: kernels are chosen by shape."""
        largest, dims = self.serving.max_batch, self.input.dims
        if not largest:
            return (Sample("one batch", 0, tuple(1 if dim == DYNAMIC else dim for dim in dims)),)
        return tuple(Sample(f"batch {batch}", batch, dims) for batch in dict.fromkeys((1, largest)))

    def render(self) -> str:
        return template("triton/config.pbtxt.j2", {"quoted": quoted}).render(
            config=self, serving=self.serving, mark=MARK
        )


def configure(name: str, compiled: Compiled, options: Options, serving: Serving, labels: str | None) -> Config:
    """By the graph, not by the model's file, which is held against it."""
    graph = compiled.graph
    (source,), (result,) = graph.inputs, graph.outputs
    batch = () if serving.max_batch else (options.batch or DYNAMIC,)
    channels, *image = graph.shapes[source.name]
    given = f"TYPE_{options.lowering.outer.upper()}" if options.lowering else "TYPE_FP32"
    taken, shape = ("TYPE_UINT8", (*image, channels)) if options.embed_preprocess else (given, (channels, *image))
    return Config(
        name,
        Tensor(options.input_name, taken, (*batch, *shape)),
        Tensor(options.output_name, given, (*batch, *graph.shapes[result.name])),
        labels,
        serving,
    )
