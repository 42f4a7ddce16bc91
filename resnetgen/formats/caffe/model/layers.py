"""Structure of any Caffe net in the phase TEST: layers with typed attributes, and the outputs that each reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TypeAlias

from msgspec import Struct, field

from resnetgen.errors import Span
from resnetgen.formats.caffe.model.attributes import default_of, is_known
from resnetgen.formats.caffe.model.schema import param_field
from resnetgen.formats.values import Value

INPUT = "Input"
"""Type of the layers that are the net's inputs, one for each input blob."""
Output: TypeAlias = tuple[int, int]
"""A layer by its position in the net, and the index of one of its tops."""


class Layer(Struct, frozen=True):
    """One layer, or one input of the net."""

    name: str
    """Name in the file; names need not be unique. An input has the name of its blob."""
    type: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    """Values that differ from a default, by path: `convolution_param.stride`. That of an input is its `shape`, if it is
    known."""
    inputs: tuple[Output, ...] = ()
    """Output that each bottom is: a blob is what wrote it last, since layers may work in place."""
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    """For each `param` the name under which layers share it, or an empty text."""
    is_frozen: bool = False
    """True if the layer has a `param`, and the learning rate of each is 0."""
    span: Span | None = None
    places: Mapping[str, Span] = field(default_factory=dict)
    """Places of attributes, and of the type, tops, bottoms and params by their paths: `bottom[0]`, `param[0].name`."""

    def __getitem__(self, name: str) -> Value | None:
        """Return a parameter of the layer's type, such as `stride`, or its default; None if it has none."""
        path = self.path(name)
        return self.attributes.get(path, default_of(path))

    def path(self, name: str) -> str:
        """Return the path of a parameter of the layer's type: `convolution_param.stride`."""
        return f"{param_field(self.type)}.{name}"


class CaffeStructure(Struct, frozen=True, dict=True):
    """Layers in the order of computation."""

    source: str
    """Name of the file."""
    name: str
    layers: tuple[Layer, ...]
    attributes: Mapping[str, Value] = field(default_factory=dict)
    """Attributes of the net itself that differ from their defaults."""
    span: Span | None = None
    """Place of the net's name."""
    places: Mapping[str, Span] = field(default_factory=dict)

    @cached_property
    def inputs(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.type == INPUT)

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """Tops that no layer reads."""
        read = {output for layer in self.layers for output in layer.inputs}
        tops = ((at, index) for at, layer in enumerate(self.layers) for index in range(len(layer.tops)))
        return tuple(output for output in tops if output not in read)

    def unknown(self) -> Iterator[tuple[str, Span | None]]:
        """Yield the path and the place of each attribute that the schema lacks, such as one of a fork of Caffe."""
        for path in self.attributes:
            if not is_known(path, "NetParameter"):
                yield path, self.places.get(path)
        for layer in self.layers:
            for path in layer.attributes:
                if not is_known(path, "LayerParameter") and (layer.type, path) != (INPUT, "shape"):
                    yield path, layer.places.get(path, layer.span)

    @property
    def image(self) -> tuple[int, ...]:
        """Shape of the only input, with the batch; empty if there are several inputs, or its shape is unknown."""
        shape = self.inputs[0].attributes.get("shape") if len(self.inputs) == 1 else None
        return tuple(dim for dim in shape if type(dim) is int) if isinstance(shape, tuple) else ()
