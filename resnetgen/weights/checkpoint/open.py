"""Detection of a weight file's format by its content, and its opening."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from resnetgen.weights.checkpoint import npz, onnx, safetensors, torch
from resnetgen.weights.checkpoint.archive import read_members
from resnetgen.weights.checkpoint.contents import Checkpoint, Contents
from resnetgen.weights.checkpoint.magic import HEAD_BYTES, match_magic
from resnetgen.wire.access import Ranges
from resnetgen.wire.fields import Truncated
from resnetgen.wire.messages import Messages

_HINT = "weights are read from .caffemodel, .onnx, .safetensors, torch's .pth and numpy's .npz"


def open_checkpoint(path: Path) -> Checkpoint:
    """Read the list of tensors of a weight file, without their values.

    Raises Failure: exit 4 for a file that is damaged, has no tensors, or is not in a supported format; exit 5 if it is
    missing or cannot be read.
    """
    ranges = Ranges(path)
    name, read = _format(ranges)
    contents = read()
    if not contents.tensors:
        raise ranges.refuse("it holds no weights")
    return Checkpoint(name, contents)


def _format(ranges: Ranges) -> tuple[str, Callable[[], Contents]]:
    head = ranges.bytes(0, HEAD_BYTES)
    if not head:
        raise ranges.refuse("it is empty", hint=_HINT)
    if head.startswith(b"PK\3\4"):
        return _archive(ranges)
    # A header of at most 16 MiB leaves bytes 5 to 7 of its length zero; in a protobuf message they would be text.
    if head[5:8] == bytes(3) and head[8:9] == b"{":
        return "safetensors", lambda: safetensors.read(ranges)
    if foreign := match_magic(head):
        raise ranges.refuse(foreign.what, hint=foreign.hint)
    return _message(ranges)


def _archive(ranges: Ranges) -> tuple[str, Callable[[], Contents]]:
    members = read_members(ranges)
    if any(name == torch.PICKLE or name.endswith(f"/{torch.PICKLE}") for name in members):
        return "torch", lambda: torch.read(ranges, members)
    if all(name.endswith(npz.SUFFIX) for name in members):
        return "npz", lambda: npz.read(ranges, members)
    raise ranges.refuse("it is a zip file, but holds neither torch's tensors nor numpy's arrays", hint=_HINT)


def _message(ranges: Ranges) -> tuple[str, Callable[[], Contents]]:
    """Detect the format by the fields of the outermost message; both formats may be in fragments, in any order."""
    from resnetgen.formats.caffe.model.caffemodel import is_layer, is_old_layer  # imports protobuf
    from resnetgen.weights.checkpoint import caffemodel

    why = ""
    has_old_layer = has_version = False
    with ranges.open() as file:
        try:
            for field in Messages(ranges, file).fields(0, ranges.size):
                if is_layer(field):
                    return "caffemodel", lambda: caffemodel.read(ranges)
                if onnx.is_graph(field):
                    return "onnx", lambda: onnx.read(ranges)
                has_old_layer |= is_old_layer(field)
                has_version |= field.number == 1 and not field.is_delimited
        except Truncated as error:
            why = f": {error}"
    # A text of ONNX or a graph of TensorFlow can look like a layer of the old layout, but these have a version.
    if has_old_layer and not has_version:
        return "caffemodel", lambda: caffemodel.read(ranges)
    raise ranges.refuse(f"not a supported weight file, or truncated{why}", hint=_HINT)
