"""Plans of models in fp16 and int8, made from one in fp32: planned, written, and measured against the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from resnetgen.errors import Code, LimitError, UsageError
from resnetgen.formats.onnx.lower import FloatTypes
from resnetgen.formats.onnx.number_types import FloatType
from resnetgen.formats.onnx.precision import Precision
from resnetgen.formats.onnx.validate import validate
from resnetgen.formats.onnx.write import OnnxOptions, OnnxPlan
from resnetgen.formats.onnx.write import plan as plan_onnx
from resnetgen.formats.onnx.write import write as write_onnx
from resnetgen.ir.graph import Graph
from resnetgen.precision import calibration
from resnetgen.precision.calibration import Images
from resnetgen.precision.precision_options import PrecisionOptions, check_opset
from resnetgen.preprocess import Preprocess
from resnetgen.ranges import require_room
from resnetgen.staging.files import Create
from resnetgen.verification.input_images import InputFormat
from resnetgen.weights.source import WeightSource


class Fp32Plan(Struct, frozen=True):
    """The planned fp32 model."""

    graph: Graph
    weights: WeightSource
    planned: OnnxPlan
    options: OnnxOptions


def plan_precision(precision: PrecisionOptions, whole: Fp32Plan, preprocess: Preprocess | None) -> Fp16Plan | Int8Plan:
    """Plan a model of lower precision.

    Everything that can be refused is refused here. Raises Failure: exit 2 for an opset or option that cannot be used,
    exit 5 for images that cannot be read, exit 6 above a size limit.

    `preprocess`: preprocessing of pictures for the network; None if the spec has none.
    """
    graph, options = whole.graph, whole.options
    check_opset(precision.target, options.opset, options.runtime)
    if precision.target is Precision.INT8 and options.external:
        message = "an int8 model is one file, as ONNX Runtime's quantiser writes it"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="leave out --external-data")
    if precision.target is Precision.INT8 and whole.planned.external:
        message = f"{graph.name} is larger than 2 GiB, which ONNX Runtime's quantiser copies in one piece"
        raise LimitError.of(Code.LIMIT, message, hint="--precision fp16")
    channels, *extent = graph.shapes[graph.input.name]
    shape, dtype = ((*extent, channels), np.uint8) if options.embed else ((channels, *extent), np.float32)
    require_room(options.batch or 1, shape, "--batch")  # the last batch is filled up to its full size
    images = calibration.load(precision.images, precision.count, InputFormat(shape, np.dtype(dtype)), preprocess)
    metadata = options.metadata | {"resnetgen.precision": precision.target.value}
    if precision.target is Precision.INT8:
        fitted = {"resnetgen.calibration": images.origin, "resnetgen.calibration_sha256": images.digest}
        return Int8Plan(images, options.batch or 1, metadata | fitted)
    types = FloatTypes(FloatType.FP16, precision.outer)
    half = replace(options, types=types, metadata=metadata)
    return Fp16Plan(images, replace(whole, options=half, planned=plan_onnx(graph, half)))


class Fp16Plan(Struct, frozen=True):
    """The network emitted once more, in fp16."""

    images: Images
    made: Fp32Plan
    """The same network, planned in fp16."""

    def write(self, whole: Path, path: Path, create: Create) -> list[str]:
        """Write the model to `path`; `whole` is the one in fp32. Return the differences from the plan, empty if there
        are none."""
        made = self.made
        checksums = write_onnx(made.planned, made.weights, path, create=create)
        return validate(path, made.graph, made.planned, made.options, checksums)


class Int8Plan(Struct, frozen=True):
    """The fp32 model, quantised to int8."""

    images: Images
    batch: int
    metadata: dict[str, str]

    def write(self, whole: Path, path: Path, create: Create) -> list[str]:
        """Write the model to `path`, as Fp16Plan.write does."""
        from resnetgen.precision.quantise import differences, quantise, read

        before = read(whole)
        made = quantise(whole, self.images, self.batch)
        # Metadata known only after the weights were written, such as the checkpoint's checksum.
        late = {entry.key: entry.value for entry in before.metadata_props}
        for key, value in (late | self.metadata).items():
            made.metadata_props.add(key=key, value=value)
        with create(path) as file:
            file.write(made.SerializeToString(deterministic=True))
        return differences(read(path), before)
