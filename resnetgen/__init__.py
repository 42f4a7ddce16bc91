"""Compiler of the stage table of a ResNet paper to ONNX and Caffe.

    import resnetgen as rg

    rg.zoo.matching("resnet*")                       # names of bundled specs
    net = rg.load("resnet50", classes=10)            # a bundled spec or a YAML file; rg.parse takes a text
    net.summary()                                    # parameters, MACs and sizes
    weights = rg.Weights.random(net)                 # rg.Weights.load reads a checkpoint
    model = net.to_onnx(weights)                     # in memory; net.to_caffe, net.to_prototxt
    built = rg.save(net, "out", targets=["onnx", "caffe"], weights=weights)
    rg.verify("out/resnet50.onnx", net)              # compares what engines compute
    rg.diff(net, "out/resnet50.prototxt")            # compares networks layer by layer

Errors are subclasses of rg.Failure. docs/python.md has examples of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from resnetgen import zoo
    from resnetgen.build.options import Built
    from resnetgen.build.run import save
    from resnetgen.comparison import Difference
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
    from resnetgen.summary import Summary
    from resnetgen.verification import Report
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
    "Built": "build.options",
    "Difference": "comparison",
    "Report": "verification",
    "Summary": "summary",
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
    "Built",
    "Difference",
    "Failure",
    "FileError",
    "InternalError",
    "LimitError",
    "ModelError",
    "Network",
    "Problem",
    "Report",
    "SpecError",
    "Summary",
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
