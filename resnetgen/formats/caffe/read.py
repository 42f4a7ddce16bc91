"""Reader of a prototxt's message as a graph of the IR. It shares no module with the emitter, so that it finds its
mistakes."""

from __future__ import annotations

from typing import Any

from resnetgen.formats.caffe.forms import Cut, Done, Form, Made, Value, bad, begin, go_on, rounded_down, unfinished
from resnetgen.ir import ops
from resnetgen.ir.canonical import shortest
from resnetgen.ir.graph import Graph, InvalidGraph, Node
from resnetgen.ir.ops import Input, Op, OpError, Pair, Shape


def read_graph(net: Any) -> Graph:
    """Return the network as a graph of the IR; a node has the name of its (last) layer.

    A fixed convolution that pads channels stays a convolution: only the caffemodel has its values. Raises Failure (exit
    4) for layers that the IR cannot express.
    """
    return _Reader(net).graph()


class _Reader:
    def __init__(self, net: Any) -> None:
        self.net = net
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, Shape] = {}
        self.forms: dict[str, Form] = {}
        """Forms, by the layer and the name of its top."""
        self.pending: dict[str, Form] = {}
        """Forms that no layer has read yet."""
        self.writer: dict[str, str] = {}
        """Blob -> the node or form that was written to it last: layers may work in place."""

    def graph(self) -> Graph:
        if len(self.net.input) != 1 or len(self.net.input_dim) != 4:
            raise bad("the net has not one input of four dimensions")
        _, channels, height, width = self.net.input_dim
        try:
            self._add(self.net.input[0], Input((channels, height, width)), ())
            for layer in self.net.layer:
                self._layer(layer)
            if self.pending:
                what = ", ".join(f"{unfinished(form)}: {name}" for name, form in sorted(self.pending.items()))
                raise bad(f"what is begun is not ended: {what}")
            read = {name for node in self.nodes.values() for name in node.inputs}
            outputs = tuple(name for name in self.nodes if name not in read)
            return Graph(self.net.name, (self.net.input[0],), outputs, tuple(self.nodes.values()))
        except (InvalidGraph, OpError) as error:
            raise bad(f"the net is inconsistent: {error}") from None

    def _add(self, name: str, op: Op, inputs: tuple[str, ...], top: str = "") -> None:
        if name in self.nodes:
            raise bad(f"two layers are called {name}")
        if missing := [source for source in inputs if source not in self.nodes]:
            raise bad(f"{name} is a part of {missing[0]}, which is a part of something else")
        self.nodes[name] = Node(name, op, inputs)
        self.shapes[name] = op.shape(*(self.shapes[source] for source in inputs))
        self.writer[top or name] = name

    def _layer(self, layer: Any) -> None:
        unknown = [blob for blob in layer.bottom if blob not in self.writer]
        tops = {"Slice": 2, "Silence": 0}.get(layer.type, 1)
        if unknown or not layer.bottom or min(len(layer.top), 2) != tops:
            raise bad(f"{layer.name} has a bottom that no layer writes, no bottom at all, or too few or too many tops")
        values = [self._value(self.writer[blob]) for blob in layer.bottom]
        try:
            if any(value.form for value in values):
                made: Made | None = go_on(layer, values)
            else:
                made = begin(layer, values, self.net.input_dim[0])
            if made is None:
                inputs = tuple(self.writer[blob] for blob in layer.bottom)
                self._add(layer.name, layer_op(layer), inputs, layer.top[0])
            else:
                self._made(layer, made)
        except OpError as error:
            raise bad(f"{layer.name}: {error}") from None

    def _value(self, name: str) -> Value:
        """Return the value of a node or form, and mark the form as read."""
        form = self.pending.pop(name, None) or self.forms.get(name)
        node = None if form else self.nodes.get(name)
        if form is None and node is None:
            raise bad(f"{name} is a part of something else, and read by another layer")
        return Value(node, form, self.shapes[form.source if form else name])

    def _made(self, layer: Any, made: Made) -> None:
        for number, (one, top) in enumerate(zip(made, layer.top, strict=True)):
            done = self._rounded_down(one) if isinstance(one, Cut) and number == 0 else one
            if isinstance(done, Done):
                self.nodes.pop(done.replaces, None)
                self._add(layer.name, done.op, done.inputs, top)
                continue
            name = f"{layer.name} ({top})"
            self.forms[name] = done
            if number == 0:  # later tops are the parts cut off, which need not be read
                self.pending[name] = done
            self.writer[top] = name

    def _rounded_down(self, cut: Cut) -> Cut | Done:
        node = self.nodes[cut.source]
        return (rounded_down(node, self.shapes[node.inputs[0]], cut) if node.inputs else None) or cut


def layer_op(layer: Any) -> Op:
    """Return the op of a layer that is one op on its own. Raises Failure (exit 4) for any other."""
    match layer.type:
        case "Convolution":
            return _conv(layer.convolution_param)
        case "ReLU" if layer.relu_param.negative_slope == 0:
            return ops.Relu()
        case "ReLU":
            return ops.LeakyRelu(shortest(layer.relu_param.negative_slope))
        case "Dropout":
            return ops.Dropout(shortest(layer.dropout_param.dropout_ratio))
        case "Sigmoid":
            return ops.Sigmoid()
        case "Clip" if (layer.clip_param.min, layer.clip_param.max) == (0, 6):
            return ops.Relu6()
        case "Swish" if layer.swish_param.beta == 1:
            return ops.Silu()
        case "LRN" if layer.lrn_param.norm_region == layer.lrn_param.ACROSS_CHANNELS:
            return _lrn(layer.lrn_param)
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
            raise bad(f"the IR has no word for the {layer.type} layer {layer.name}")


def _lrn(param: Any) -> ops.Lrn:
    return ops.Lrn(param.local_size, shortest(param.alpha), shortest(param.beta), shortest(param.k))


def _eltwise(param: Any) -> Op:
    if param.operation == param.SUM:
        return ops.Add()
    if param.operation == param.PROD:
        return ops.Mul()
    raise bad("the IR has no word for the maximum of two blobs")


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
        raise bad("the IR has no word for this pooling")
    kind = kinds[param.pool]
    return kind(
        kernel=_pair(param, "kernel", [param.kernel_size] if param.HasField("kernel_size") else [], (0, 0)),
        stride=_pair(param, "stride", [param.stride] if param.HasField("stride") else [], (1, 1)),
        pad=_pair(param, "pad", [param.pad] if param.HasField("pad") else [], (0, 0)),
        ceil=param.round_mode == param.CEIL,
    )


def _pair(param: Any, what: str, values: list[int], default: Pair) -> Pair:
    """Return a pair from `kernel_h` and `kernel_w`, or from one or two values of the repeated field."""
    if param.HasField(f"{what}_h") or param.HasField(f"{what}_w"):
        return (getattr(param, f"{what}_h"), getattr(param, f"{what}_w"))
    return _both(values, default)


def _both(values: list[int], default: Pair) -> Pair:
    return (values[0], values[-1]) if values else default
