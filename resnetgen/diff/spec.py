"""Comparison of two networks, each a prototxt or a spec; a spec is compared as its prototxt."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from resnetgen.diff import Difference, Net, prototxt
from resnetgen.diff import compare as compare_nets
from resnetgen.diff.lines import unified_diff
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.emit import CaffePlan, plan
from resnetgen.formats.caffe.model.text import read
from resnetgen.frozen import Frozen
from resnetgen.network import Network, compile_spec
from resnetgen.spec.find import is_spec


class AsCaffe(Frozen):
    """Options for writing a spec as a prototxt to be compared."""

    settings: dict[str, int | float] = field(default_factory=dict)
    image: str | None = None
    dialect: Dialect = Dialect.BVLC


def compare(a: str, b: str, written: AsCaffe, ignore_names: bool = False) -> Difference:
    """Compare two networks by meaning. Raises Failure."""
    return compare_nets(_net(a, written), _net(b, written), ignore_names)


def compare_text(a: str, b: str, written: AsCaffe) -> str:
    """Compare the prototxts of two networks as texts: a unified diff, empty for equal ones. Raises Failure."""
    return unified_diff(_prototxt(a, written), _prototxt(b, written), a, b)


def _net(word: str, written: AsCaffe) -> Net:
    if not is_spec(word):
        return prototxt.load(Path(word))
    network = compile_spec(word, written.settings, image=written.image)
    planned = _caffe_plan(network, written.dialect)
    places = {name: network.graph[node].span for node, names in planned.names.items() for name in names}
    return prototxt.parse(planned.text, word).placed(places)


def _prototxt(word: str, written: AsCaffe) -> str:
    if not is_spec(word):
        return read(Path(word)).text
    return _caffe_plan(compile_spec(word, written.settings, image=written.image), written.dialect).text


def _caffe_plan(network: Network, dialect: Dialect) -> CaffePlan:
    return plan(network.graph, network.names, batch=None, with_weights=False, dialect=dialect)
