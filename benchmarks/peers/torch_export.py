"""Exports a network of torchvision to peer.onnx: python torch_export.py [NETWORK [dynamo]]. The peer of `build`.

With the TorchScript exporter, or the newer one where `dynamo` is said.
"""

import ast
import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch


def define_missing_ops() -> None:
    """With a CPU torch, torchvision's C++ ops do not load; its models are plain Python and need none of them."""
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).with_name("_meta_registrations.py").read_text())
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
        name = ast.unparse(call.func)
        if name.endswith(("register_fake", "register_meta")) and isinstance(call.args[0], ast.Constant):
            op = str(call.args[0].value).removeprefix("torchvision::")
            torch.library.define(f"torchvision::{op}", "(Tensor x) -> Tensor")


try:
    import torchvision
except RuntimeError:
    define_missing_ops()
    import torchvision

network, dynamo = (*sys.argv[1:], "resnet50")[0], "dynamo" in sys.argv
model = torchvision.models.get_model(network).eval()
version: dict[str, Any] = {} if dynamo else {"opset_version": 17}  # the newer one writes 18 at least
torch.onnx.export(model, (torch.zeros(1, 3, 224, 224),), "peer.onnx", dynamo=dynamo, **version)
