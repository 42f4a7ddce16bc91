"""Exports torchvision's resnet50 to ONNX with the TorchScript exporter: the peer of `resnetgen build`."""

import ast
import importlib.util
from pathlib import Path

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

model = torchvision.models.resnet50().eval()
torch.onnx.export(model, torch.zeros(1, 3, 224, 224), "peer.onnx", dynamo=False, opset_version=17)
