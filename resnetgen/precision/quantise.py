"""Quantisation from fp32 to int8 by ONNX Runtime: QDQ, activations U8, weights S8 with a scale per channel.

On a CPU with VNNI, U8 times S8 is one instruction; S8 times S8 takes several.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto

from resnetgen.backends.onnxruntime import load_engine
from resnetgen.errors import Code, ModelError
from resnetgen.precision.calibration import Images

_PRELUDE = {"Transpose", "Gather", "Cast", "Sub", "Mul"}
"""Ops of the embedded preprocessing: exact for bytes, and cheap."""
_WHOLE = {"Softmax"}
"""Ops that stay in fp32: 8 bits would round probabilities below 1/510 to 0."""


def read(path: Path) -> ModelProto:
    return onnx.load(str(path), load_external_data=False)


def quantise(whole: Path, images: Images, batch: int) -> ModelProto:
    """Return the quantised model, without metadata; `batch` is the number of images that it takes at once.

    Scores stay in fp32: two that round to the same 8-bit number would have no first. Raises ModelError if the
    quantiser finds no range because activations are NaN or infinite.
    """
    load_engine()  # before the first import, since it turns off telemetry
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    model = read(whole)
    nodes = list(model.graph.node)
    kept = [*takewhile(lambda node: node.op_type in _PRELUDE, nodes), *(n for n in nodes if n.op_type in _WHOLE)]
    path = whole.with_name("int8.onnx")
    with _silent(), _failures():
        quantize_static(
            str(whole),
            str(path),
            _Reader(model.graph.input[0].name, images.batches(batch)),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=[node.name for node in kept],
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
        )
    made = read(path)
    del made.metadata_props[:]
    return made


class _Reader:
    """Feeds for the quantiser, one after another."""

    def __init__(self, name: str, batches: Iterator[npt.NDArray[Any]]) -> None:
        self._feeds = ({name: batch} for batch in batches)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        return next(self._feeds, None)


@contextmanager
def _silent() -> Iterator[None]:
    """Silence the quantiser's advice, at each call, to prepare the model first: folding has done that."""
    root = logging.getLogger()
    root.addFilter(_nothing_below_an_error)
    try:
        with catch_warnings():
            simplefilter("ignore")  # numpy warns about NaN activations, which are refused
            yield
    finally:
        root.removeFilter(_nothing_below_an_error)


@contextmanager
def _failures() -> Iterator[None]:
    """Turn the quantiser's exceptions for ranges that are not numbers into a ModelError."""
    try:
        yield
    except (AssertionError, ValueError, ArithmeticError) as error:
        message = f"ONNX Runtime's quantiser finds no range for the activations: {error}"
        hint = "the network's values overflow for these images; are its weights trained, and of this spec?"
        raise ModelError.of(Code.PRECISION, message, hint=hint) from None


def _nothing_below_an_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


# Check of the quantiser's result


def differences(made: ModelProto, whole: ModelProto) -> list[str]:
    """Return the differences in interface, and every product that is still computed in float; empty if there
    are none."""
    lines = []
    if (list(made.graph.input), list(made.graph.output)) != (list(whole.graph.input), list(whole.graph.output)):
        lines.append("its inputs or outputs differ")
    if ({i.domain: i.version for i in made.opset_import}, made.ir_version) != (
        {i.domain: i.version for i in whole.opset_import},
        whole.ir_version,
    ):
        lines.append("its opset or IR version differs")
    tensors = {tensor.name: tensor for tensor in made.graph.initializer}
    makers = {output: node for node in made.graph.node for output in node.output}
    for node in made.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            lines += _product(node, makers, tensors)
    return lines


def _product(node: NodeProto, makers: dict[str, NodeProto], tensors: dict[str, TensorProto]) -> Iterator[str]:
    expected = (("activation", TensorProto.UINT8), ("weight", TensorProto.INT8))
    for name, (what, kind) in zip(node.input[:2], expected, strict=True):
        maker = makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear":
            yield f"the {what} of {node.name} is not quantised"
            continue
        zero = tensors.get(maker.input[2])
        if zero is None or zero.data_type != kind:
            yield f"the {what} of {node.name} has another type than {TensorProto.DataType.Name(kind)}"
        if what == "weight" and len(tensors[maker.input[1]].dims) != 1:
            yield f"the weight of {node.name} has one scale for all channels"
