"""Registry of the formats that a network can be written in.

The choices of the command line and the columns of the list of bundled specs come from here. A format from outside the
package is added with `register`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from resnetgen.errors import Code, UsageError, did_you_mean

if TYPE_CHECKING:  # imported for type annotations only: `--help` needs the names of the formats
    from resnetgen.formats.format_options import FormatOptions
    from resnetgen.ir.graph import Graph
    from resnetgen.preprocess import Preprocess
    from resnetgen.progress import Progress
    from resnetgen.staging.files import Staging
    from resnetgen.weights.names import NameMap
    from resnetgen.weights.source import WeightSource


class Request(Struct, frozen=True):
    """A network to be written, and how."""

    graph: Graph
    weights: WeightSource
    """Weights of the graph, before any pass."""
    names: NameMap | None
    """Names of layers that the spec asks for; None for the paths of nodes."""
    preprocess: Preprocess | None
    stem: str
    """Base name of the files, without suffixes."""
    options: FormatOptions
    metadata: Callable[[], dict[str, str]]
    """Function that returns the origin of the network and its weights. Raises Failure for options that the spec does
    not allow."""
    late_metadata: Callable[[], dict[str, str]] = dict
    """Function that returns the metadata known only after the weights are written, such as a checksum."""
    late_bytes: int = 0
    """Largest size in bytes of the late metadata in a file."""


class Files:
    """Base of the files of one network in one format. The steps are called in this order, each once."""

    replaces: frozenset[str] = frozenset()
    """Names of files of an earlier build that are removed unless they are written again."""

    def begin(self) -> None:
        """Start the work that can run while libraries are imported."""

    def plan(self) -> None:
        """Refuse everything that can be refused: raise Failure for what the format cannot express."""

    def write(self, stage: Staging, progress: Progress) -> None:
        """Write the files into a staging folder and read them back. Raises InternalError if they differ."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what `begin` has started."""


class Format(Protocol):
    """One way of saying a network."""

    name: str
    """Name on the command line."""
    title: str
    """Name in texts: ONNX."""
    help: str
    """Files that are written, in a few words."""
    dialects: tuple[str, ...]
    """Readers for which files can be written; empty if there is only one kind of file."""
    is_model: bool
    """False for a text about the network, which no engine runs."""
    needs_weights: bool
    """True if the structure alone cannot be written."""

    def files(self, request: Request) -> Files: ...

    def check(self, graph: Graph, names: NameMap | None, dialect: str) -> None:
        """Raise Failure (exit 3 or 6) for a network that the format, in this dialect, cannot express."""
        ...


def register(format: Format) -> None:
    """Add a format, or replace the one with its name. Raises UsageError for an object that is not a format.

    The types are checked here, since a wrong one would show only in a later build or on the command line.
    """
    from resnetgen.arguments import require_flag, require_list, require_text

    for name in ("name", "title", "help", "dialects", "is_model", "needs_weights", "files", "check"):
        if not hasattr(format, name):
            message = f"a format needs the attribute {name!r}, and {type(format).__name__} has none"
            raise UsageError.of(Code.BAD_ARGUMENT, message, hint="formats.registry.Format lists them all")
    for name in ("name", "title", "help"):
        if not require_text(getattr(format, name), name):
            raise UsageError.of(Code.BAD_ARGUMENT, f"{name}: it is empty", hint="write a word")
    require_list(format.dialects, "dialects")
    require_flag(format.is_model, "is_model")
    require_flag(format.needs_weights, "needs_weights")
    for name in ("files", "check"):
        if not callable(getattr(format, name)):
            raise UsageError.of(Code.BAD_ARGUMENT, f"{name}: a method is needed")
    _FORMATS[format.name] = lambda: format


def names() -> tuple[str, ...]:
    """Return the names of all formats."""
    return tuple(_FORMATS)


def find(name: str) -> Format:
    """Return the format with a name. Raises UsageError if there is none."""
    if name in _FORMATS:
        return _FORMATS[name]()
    hint = did_you_mean(name, _FORMATS)
    message = f"no format is called {name!r}; there are {', '.join(_FORMATS)}"
    raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)


def _onnx() -> Format:
    from resnetgen.formats.onnx.format import OnnxFormat

    return OnnxFormat()


def _caffe() -> Format:
    from resnetgen.formats.caffe.format import CaffeFormat

    return CaffeFormat()


def _text() -> Format:
    from resnetgen.formats.text import TextFormat

    return TextFormat()


_FORMATS: dict[str, Callable[[], Format]] = {"onnx": _onnx, "caffe": _caffe, "ir": _text}
"""Name -> function that imports the format, in the order in which they are listed."""
