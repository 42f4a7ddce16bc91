"""ONNX's messages as protobuf classes, without the rest of the onnx package.

Only verification needs more than the messages, and the whole package takes long to import (docs/architecture.md,
Start-up).
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

__all__ = [
    "AttributeProto",
    "GraphProto",
    "ModelProto",
    "NodeProto",
    "OperatorSetIdProto",
    "TensorProto",
    "ValueInfoProto",
]

if TYPE_CHECKING:
    from onnx import (
        AttributeProto,
        GraphProto,
        ModelProto,
        NodeProto,
        OperatorSetIdProto,
        TensorProto,
        ValueInfoProto,
    )
else:

    def _messages() -> Any:
        """Import the module of the messages alone; protobuf returns the same classes if onnx itself is imported
        later."""
        if "onnx" not in sys.modules and (package := find_spec("onnx")) and package.origin:
            found = spec_from_file_location("onnx.onnx_ml_pb2", Path(package.origin).with_name("onnx_ml_pb2.py"))
            if found and found.loader and Path(str(found.origin)).is_file():
                module = module_from_spec(found)
                found.loader.exec_module(module)
                return module
        import onnx

        return onnx

    _module = _messages()
    globals().update({name: getattr(_module, name) for name in __all__})

IR_VERSIONS = ((9, 4), (10, 5), (11, 6), (14, 7), (18, 8), (20, 9), (22, 10), (23, 11), (24, 12), (27, 13), (28, 14))
"""Newest opset of each IR version, from onnx.helper.VERSION_TABLE."""
