"""A prototxt -> the IR's graph. Shares nothing with the emitter but the schema."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.ir import ops
from resnetgen.ir.canonical import shortest
from resnetgen.ir.graph import Graph, InvalidGraph, Node
from resnetgen.ir.ops import Op, OpError, Pair
from resnetgen.targets.caffe.schema import message


def parse_prototxt(text: str, shown: str) -> Any:
    """The NetParameter that a prototxt says. Raises Failure (exit 4) with the line for what the schema lacks."""
    try:
        return text_format.Parse(text, message("NetParameter")())
    except text_format.ParseError as error:
        raise fail(Exit.MODEL, Code.PROTOTXT_SYNTAX, f"{shown}: {error}") from None


def read_graph(net: Any) -> Graph:
    """The network as the IR says it; a node bears the name of its (last) layer.

    Raises Failure (exit 4) for what the IR has no word for.
    """
    return _Reader(net).graph()


def _bad(what: str) -> Failure:
    return fail(Exit.MODEL, Code.BAD_MODEL, what)


class _Reader:
    def __init__(self, net: Any) -> None:
        self.net = net
        self.nodes: dict[str, Node] = {}
        self.writer: dict[str, str] = {}
        """Blob -> the node that wrote it last: layers may work in place."""
        self.unscaled: set[str] = set()
        """BatchNorm layers whose Scale has not been met yet."""

    def graph(self) -> Graph:
        if len(self.net.input) != 1 or len(self.net.input_dim) != 4:
            raise _bad("the net has not one input of four dimensions")
        _, channels, height, width = self.net.input_dim
        try:
            self._add(self.net.input[0], ops.Input((channels, height, width)), ())
            for layer in self.net.layer:
                self._layer(layer)
            if self.unscaled:
                raise _bad(f"BatchNorm without a Scale: {', '.join(sorted(self.unscaled))}")
            return Graph(self.net.name, tuple(self.nodes.values()))
        except (InvalidGraph, OpError) as error:
            raise _bad(f"the net is inconsistent: {error}") from None

    def _add(self, name: str, op: Op, inputs: tuple[str, ...], top: str = "") -> None:
        if name in self.nodes:
            raise _bad(f"two layers are called {name}")
        self.nodes[name] = Node(name, op, inputs)
        self.writer[top or name] = name

    def _layer(self, layer: Any) -> None:
        unknown = [blob for blob in layer.bottom if blob not in self.writer]
        if unknown or not layer.bottom or len(layer.top) != 1:
            raise _bad(f"{layer.name} has a bottom that no layer writes, no bottom at all, or not one top")
        inputs = tuple(self.writer[blob] for blob in layer.bottom)
        top = layer.top[0]
        if layer.type == "Scale":
            self._scale(layer, inputs, top)
            return
        if early := self.unscaled.intersection(inputs):
            raise _bad(f"{layer.name} reads {', '.join(early)} before its Scale")
        if layer.type == "BatchNorm":
            self.unscaled.add(layer.name)
        try:
            self._add(layer.name, self._op(layer), inputs, top)
        except OpError as error:
            raise _bad(f"{layer.name}: {error}") from None

    def _scale(self, layer: Any, inputs: tuple[str, ...], top: str) -> None:
        """The second half of a norm; or, with two bottoms, the product with a flattened gate."""
        param = layer.scale_param
        if len(inputs) == 2 and param.axis == 0 and not param.bias_term:
            image, gate = inputs
            flat = self.nodes.pop(gate, None)
            if flat is None or not isinstance(flat.op, ops.Flatten):
                raise _bad(f"{layer.name} scales by what is not flattened")
            self._add(layer.name, ops.Mul(), (image, flat.inputs[0]), top)
            return
        if len(inputs) != 1 or inputs[0] not in self.unscaled or not param.bias_term or param.axis != 1:
            raise _bad(f"the Scale {layer.name} is not the second half of a norm")
        self.unscaled.remove(inputs[0])
        norm = self.nodes.pop(inputs[0])
        self._add(layer.name, norm.op, norm.inputs, top)

    def _op(self, layer: Any) -> Op:
        match layer.type:
            case "Convolution":
                return _conv(layer.convolution_param)
            case "BatchNorm" if layer.batch_norm_param.use_global_stats:
                return ops.BatchNorm(shortest(layer.batch_norm_param.eps))
            case "ReLU" if layer.relu_param.negative_slope == 0:
                return ops.Relu()
            case "ReLU":
                return ops.LeakyRelu(shortest(layer.relu_param.negative_slope))
            case "Dropout":
                return ops.Dropout(shortest(layer.dropout_param.dropout_ratio))
            case "Sigmoid":
                return ops.Sigmoid()
            case "Pooling":
                return _pooling(layer.pooling_param)
            case "Flatten" if layer.flatten_param.axis == 1:
                return ops.Flatten()
            case "InnerProduct":
                return ops.Fc(layer.inner_product_param.num_output, bias=layer.inner_product_param.bias_term)
            case "Softmax" if layer.softmax_param.axis == 1:
                return ops.Softmax()
            case "Concat" if layer.concat_param.axis == 1:
                return ops.Concat()
            case "Eltwise" if not layer.eltwise_param.coeff:
                return _eltwise(layer.eltwise_param)
            case _:
                raise _bad(f"the IR has no word for the {layer.type} layer {layer.name}")


def _eltwise(param: Any) -> Op:
    if param.operation == param.SUM:
        return ops.Add()
    if param.operation == param.PROD:
        return ops.Mul()
    raise _bad("the IR has no word for the maximum of two blobs")


def _conv(param: Any) -> ops.Conv:
    return ops.Conv(
        kernel=_pair(param, "kernel", list(param.kernel_size), (0, 0)),
        out_channels=param.num_output,
        stride=_pair(param, "stride", list(param.stride), (1, 1)),
        groups=param.group,
        dilation=_both(list(param.dilation), (1, 1)),
        pad=_pair(param, "pad", list(param.pad), (0, 0)),
        bias=param.bias_term,
    )


def _pooling(param: Any) -> Op:
    if param.global_pooling and param.pool == param.AVE:
        return ops.GlobalAvgPool()
    kinds: dict[int, type[ops.MaxPool] | type[ops.AvgPool]] = {param.MAX: ops.MaxPool, param.AVE: ops.AvgPool}
    if param.pool not in kinds or param.global_pooling:
        raise _bad("the IR has no word for this pooling")
    kind = kinds[param.pool]
    return kind(
        kernel=_pair(param, "kernel", [param.kernel_size] if param.HasField("kernel_size") else [], (0, 0)),
        stride=_pair(param, "stride", [param.stride] if param.HasField("stride") else [], (1, 1)),
        pad=_pair(param, "pad", [param.pad] if param.HasField("pad") else [], (0, 0)),
        ceil=param.round_mode == param.CEIL,
    )


def _pair(param: Any, what: str, values: list[int], default: Pair) -> Pair:
    """A pair from `kernel_h` and `kernel_w`, or from one or two values of the repeated field."""
    if param.HasField(f"{what}_h") or param.HasField(f"{what}_w"):
        return (getattr(param, f"{what}_h"), getattr(param, f"{what}_w"))
    return _both(values, default)


def _both(values: list[int], default: Pair) -> Pair:
    return (values[0], values[-1]) if values else default
