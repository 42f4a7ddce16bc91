"""Two networks held against each other: each a spec, as Caffe would have it, or a prototxt."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from resnetgen.compiler import compile_spec
from resnetgen.diff import Difference, Net, prototxt
from resnetgen.diff import compare as compare_nets
from resnetgen.frozen import Frozen
from resnetgen.options import Compiled
from resnetgen.spec.find import is_spec
from resnetgen.targets.caffe.dialect import Dialect
from resnetgen.targets.caffe.emit import CaffePlan, plan
from resnetgen.targets.caffe.text import read


class AsCaffe(Frozen):
    """How a spec is written as a prototxt, to be compared with another."""

    settings: dict[str, int | float] = field(default_factory=dict)
    image: str | None = None
    dialect: Dialect = Dialect.BVLC


def compare(a: str, b: str, written: AsCaffe, ignore_names: bool = False) -> Difference:
    """Hold two networks against each other by meaning. Raises Failure."""
    return compare_nets(_net(a, written), _net(b, written), ignore_names)


def compare_text(a: str, b: str, written: AsCaffe) -> str:
    """The same, by the prototxts' text: a unified diff, empty where they are equal byte for byte."""
    from difflib import unified_diff

    old, new = (_prototxt(word, written).splitlines(keepends=True) for word in (a, b))
    return "".join(unified_diff(old, new, a, b))


def _net(word: str, written: AsCaffe) -> Net:
    if not is_spec(word):
        return prototxt.load(Path(word))
    compiled = compile_spec(word, written.settings, image=written.image)
    planned = _caffe_plan(compiled, written.dialect)
    places = {name: compiled.graph.by_name[node].span for node, names in planned.names.items() for name in names}
    return prototxt.parse(planned.text, word).placed(places)


def _prototxt(word: str, written: AsCaffe) -> str:
    if not is_spec(word):
        return read(Path(word)).text
    return _caffe_plan(compile_spec(word, written.settings, image=written.image), written.dialect).text


def _caffe_plan(compiled: Compiled, dialect: Dialect) -> CaffePlan:
    return plan(compiled.graph, compiled.names, batch=None, with_weights=False, dialect=dialect)
