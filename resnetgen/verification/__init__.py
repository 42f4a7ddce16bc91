"""Verification by execution: the same images on two or more backends, compared tensor by tensor.

The reference computes the spec's network by the formulas of its ops, with its norms unfolded and its weights drawn
anew, in float64. It shares no code with any format: an op that is translated wrongly, a wrong fold, a changed weight or
a wrong runtime shows, and the first layer that differs is named.
"""

from __future__ import annotations

from pathlib import Path

from resnetgen.ir.graph import Graph
from resnetgen.preprocess import Preprocess
from resnetgen.verification.backends import OnnxBackend, ReferenceBackend
from resnetgen.verification.compare_backends import compare_backends
from resnetgen.verification.report import Comparison, Report, TensorDistance
from resnetgen.verification.select import REFERENCE, open_backend
from resnetgen.verification.settings import Settings
from resnetgen.verification.target import Expected, Target
from resnetgen.weights.source import WeightSource


def verify_against_spec(
    model: Path, graph: Graph, weights: WeightSource, settings: Settings, preprocess: Preprocess | None = None
) -> Report:
    """Compare a model with the unfolded network of its spec, with the same weights.

    Raises Failure if the model does not load, or did not run on the requested provider.
    """
    device = settings.device()
    backend = OnnxBackend(f"onnxruntime:{device.provider}", model, device)
    reference = ReferenceBackend(REFERENCE, Expected(graph, weights, None))
    return compare_backends(model.name, [reference, backend], settings, preprocess=preprocess)


__all__ = [
    "REFERENCE",
    "Comparison",
    "Expected",
    "Report",
    "Settings",
    "Target",
    "TensorDistance",
    "compare_backends",
    "open_backend",
    "verify_against_spec",
]
