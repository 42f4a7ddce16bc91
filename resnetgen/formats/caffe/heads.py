"""Reader of a caffemodel's layers without their blobs: the structure of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.formats.caffe.model.schema import message
from resnetgen.inputs import open_input, read_failure
from resnetgen.wire.fields import Truncated, field_bytes, fields

MAX_HEADS = 8 << 20
"""Limit in bytes of all layers without their blobs; those of ResNet-152 take 90 KB."""
_LAYER, _V1_LAYER, _BLOBS = 100, 2, 7  # NetParameter and LayerParameter


_SMALL = 4096
"""Largest layer in bytes that is read with its blobs, which are then dropped."""


def read_heads(path: Path, most: int) -> Any:
    """Return the NetParameter of a caffemodel without blobs, with `most` layers at most.

    Raises Failure: exit 4 for layers that the schema cannot read, such as those of the layout of 2014; exit 5 if the
    file cannot be read; exit 6 for more layers, or more than MAX_HEADS bytes.
    """
    net = message("NetParameter")()
    left = MAX_HEADS
    try:
        with open_input(path) as file:
            for field in fields(file, 0, file.seek(0, 2)):
                if field.number == _V1_LAYER and field.is_delimited:
                    raise _bad(path, "its layers are of Caffe's layout of 2014")
                if field.number != _LAYER or not field.is_delimited:
                    continue
                if len(net.layer) == most:
                    raise fail(Exit.LIMIT, Code.LIMIT, f"{path}: it has more than {most:,} layers")
                layer = net.layer.add()
                if field.end - field.start <= _SMALL:
                    file.seek(field.start)
                    layer.MergeFromString(file.read(field.end - field.start))
                    layer.ClearField("blobs")
                else:
                    for inner in fields(file, field.start, field.end):
                        if inner.number != _BLOBS:
                            _require(path, inner.end - inner.head <= left)
                            layer.MergeFromString(field_bytes(file, inner))
                left -= layer.ByteSize()
                _require(path, left >= 0)
    except (DecodeError, Truncated) as error:
        raise _bad(path, f"a layer cannot be read: {error}") from None
    except OSError as error:
        raise read_failure(str(path), error) from None
    return net


def _require(path: Path, fits: bool) -> None:
    if not fits:
        what = f"{path}: its layers take more than {MAX_HEADS:,} bytes without their blobs"
        raise fail(Exit.LIMIT, Code.LIMIT, what)


def _bad(path: Path, what: str) -> Failure:
    return fail(Exit.MODEL, Code.BAD_MODEL, f"{path}: {what}")
