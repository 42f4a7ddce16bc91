"""Comparison of two networks, each a prototxt or a spec; a spec is compared as its prototxt."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field

from resnetgen.diff import Difference, Net, prototxt
from resnetgen.diff import compare as compare_nets
from resnetgen.diff.lines import unified_diff
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.emit import CaffePlan, plan
from resnetgen.formats.caffe.model.text import read
from resnetgen.network import Network, compile_spec
from resnetgen.spec.find import is_spec


class AsCaffe(Struct, frozen=True):
    """Options for the prototxt that a spec is compared as."""

    params: dict[str, int | float] = field(default_factory=dict)
    input_size: str | None = None
    dialect: Dialect = Dialect.BVLC


def compare(a: str, b: str, options: AsCaffe, ignore_names: bool = False) -> Difference:
    """Compare two networks by meaning. Raises Failure."""
    return compare_nets(_net(a, options), _net(b, options), ignore_names)


def compare_text(a: str, b: str, options: AsCaffe) -> str:
    """Compare the prototxts of two networks as texts: a unified diff, empty for equal ones. Raises Failure."""
    return unified_diff(_prototxt(a, options), _prototxt(b, options), a, b)


def _net(name: str, options: AsCaffe) -> Net:
    if not is_spec(name):
        return prototxt.load(Path(name))
    network = compile_spec(name, options.params, input_size=options.input_size)
    planned = _caffe_plan(network, options.dialect)
    places = {layer: network.graph[node].span for node, layers in planned.names.items() for layer in layers}
    return prototxt.parse(planned.text, name).placed(places)


def _prototxt(name: str, options: AsCaffe) -> str:
    if not is_spec(name):
        return read(Path(name)).text
    return _caffe_plan(compile_spec(name, options.params, input_size=options.input_size), options.dialect).text


def _caffe_plan(network: Network, dialect: Dialect) -> CaffePlan:
    return plan(network.graph, network.names, batch=None, with_weights=False, dialect=dialect)
