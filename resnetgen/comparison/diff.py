"""Comparison of two networks, each a network, a spec or a prototxt; a spec is compared as its prototxt."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct, field

from resnetgen.arguments import choose, named_arguments, require_flag, require_input_size, require_params, require_path
from resnetgen.comparison import Difference, Net, prototxt
from resnetgen.comparison import compare as compare_nets
from resnetgen.comparison.lines import unified_diff
from resnetgen.errors import Code, UsageError
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.model.text import read
from resnetgen.formats.caffe.write import CaffePlan, plan
from resnetgen.network import Network, compile_spec
from resnetgen.spec.find import is_spec

Operand: TypeAlias = str | PathLike[str] | Network
"""Network, name or path of a spec, or path of a prototxt."""


class CaffeOptions(Struct, frozen=True):
    """Options for writing a spec as a prototxt to be compared."""

    params: dict[str, int | float] = field(default_factory=dict)
    input_size: str | None = None
    dialect: Dialect = Dialect.BVLC


@named_arguments
def diff(
    a: Operand,
    b: Operand,
    ignore_names: bool = False,
    dialect: str | None = None,
    params: Mapping[str, int | float] | None = None,
    input_size: str | None = None,
) -> Difference:
    """Compare two networks by meaning; `.equal` and `.render()` of the result tell the differences.

    `ignore_names`: match layers by structure instead of by name. `dialect`: reader for which a spec is written, BVLC's
    by default. `params` and `input_size`: those of specs given by name or path. Raises UsageError, SpecError,
    ModelError, FileError, LimitError.
    """
    options = caffe_options(a, b, dialect, params, input_size)
    return compare_nets(_net(a, options), _net(b, options), require_flag(ignore_names, "ignore_names"))


def diff_text(a: Operand, b: Operand, options: CaffeOptions) -> str:
    """Compare the prototxts of two networks as texts: a unified diff, empty for equal ones. Raises Failure."""
    return unified_diff(_prototxt(a, options), _prototxt(b, options), _name(a), _name(b))


def caffe_options(
    a: Operand, b: Operand, dialect: str | None, params: Mapping[str, int | float] | None, input_size: str | None
) -> CaffeOptions:
    """Return the options from plain values. Raises UsageError for a value that is unknown or of the wrong type, and for
    options of a spec if there is none."""
    names = [_name(operand) for operand in (a, b) if not isinstance(operand, Network)]
    has_spec = any(map(is_spec, names))
    for option, value in (("--set", params), ("--input", input_size)):
        if value not in (None, {}) and not has_spec:
            message = f"{option} is for a spec, and neither network is compiled here"
            raise UsageError.of(Code.BAD_ARGUMENT, message, hint=f"leave out {option}")
    if dialect is not None and not has_spec and len(names) == 2:
        message = "--dialect is for a spec, and both networks are prototxts"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="leave out --dialect")
    size = require_input_size(input_size)
    reader = Dialect.BVLC if dialect is None else choose(Dialect, dialect, "--dialect")
    return CaffeOptions({} if params is None else require_params(params), size, reader)


def _net(operand: Operand, options: CaffeOptions) -> Net:
    network = _network(operand, options)
    if network is None:
        return prototxt.load(Path(_name(operand)))
    planned = _caffe_plan(network, options.dialect)
    places = {name: network.graph[node].span for node, names in planned.names.items() for name in names}
    return prototxt.parse(planned.text, _name(operand)).placed(places)


def _prototxt(operand: Operand, options: CaffeOptions) -> str:
    network = _network(operand, options)
    return _caffe_plan(network, options.dialect).text if network else read(Path(_name(operand))).text


def _network(operand: Operand, options: CaffeOptions) -> Network | None:
    """Return the network of an operand; None for a prototxt."""
    if isinstance(operand, Network):
        return operand
    name = _name(operand)
    return compile_spec(name, options.params, input_size=options.input_size) if is_spec(name) else None


def _name(operand: Any) -> str:
    if isinstance(operand, Network):
        return operand.spec.name
    return operand if isinstance(operand, str) and operand else fspath(require_path(operand, "a network"))


def _caffe_plan(network: Network, dialect: Dialect) -> CaffePlan:
    return plan(network.graph, network.names, batch=None, with_weights=False, dialect=dialect)
