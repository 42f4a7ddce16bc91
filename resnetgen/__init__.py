"""resnetgen: one table in, two formats out, proven equal.

    import resnetgen as rg

    net = rg.load("resnet50", classes=10)
    weights = rg.Weights.random(net)
    model = net.to_onnx(weights)
    rg.save(net, "out", targets=["onnx", "caffe"], weights=weights)

docs/python.md goes through all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from resnetgen import zoo
    from resnetgen.build.run import save
    from resnetgen.comparison.diff import diff
    from resnetgen.errors import (
        Failure,
        FileError,
        InternalError,
        LimitError,
        ModelError,
        Problem,
        SpecError,
        UsageError,
        VerificationError,
    )
    from resnetgen.formats.registry import register
    from resnetgen.network import Network, load, parse
    from resnetgen.pretrained.weights import Weights
    from resnetgen.verification.verify import verify

_PLACES = {
    "load": "network",
    "parse": "network",
    "Network": "network",
    "Weights": "pretrained.weights",
    "save": "build.run",
    "diff": "comparison.diff",
    "verify": "verification.verify",
    "register": "formats.registry",
    "Problem": "errors",
    "Failure": "errors",
    "UsageError": "errors",
    "SpecError": "errors",
    "ModelError": "errors",
    "FileError": "errors",
    "LimitError": "errors",
    "VerificationError": "errors",
    "InternalError": "errors",
}
"""Public name -> its module. They are imported when first used: `resnetgen --help` needs none."""

__all__ = [
    "Failure",
    "FileError",
    "InternalError",
    "LimitError",
    "ModelError",
    "Network",
    "Problem",
    "SpecError",
    "UsageError",
    "VerificationError",
    "Weights",
    "__version__",
    "diff",
    "load",
    "parse",
    "register",
    "save",
    "verify",
    "zoo",
]


def __getattr__(name: str) -> Any:
    """Import a public name. Raises AttributeError for any other."""
    from importlib import import_module

    if name == "zoo":
        return import_module("resnetgen.zoo")
    if name not in _PLACES:
        raise AttributeError(f"module 'resnetgen' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"resnetgen.{_PLACES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
