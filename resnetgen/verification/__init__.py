"""Verification by execution: the same images on two or more backends, compared tensor by tensor.

The reference computes the spec's network by the formulas of its ops, with its norms unfolded and its weights drawn
anew, in float64. It shares no code with any format: an op that is translated wrongly, a wrong fold, a changed weight or
a wrong runtime shows, and the first layer that differs is named.
"""

from __future__ import annotations

from pathlib import Path

from resnetgen.ir.graph import Graph
from resnetgen.preprocess import Preprocess
from resnetgen.verification.report import Comparison, Layer, Report
from resnetgen.verification.run import verify_sides
from resnetgen.verification.settings import Settings
from resnetgen.verification.sides import OnnxSide, ReferenceSide
from resnetgen.verification.subject import Expected, Subject
from resnetgen.verification.words import REFERENCE, open_side
from resnetgen.weights.source import WeightSource


def verify_against_spec(
    model: Path, graph: Graph, weights: WeightSource, settings: Settings, preprocess: Preprocess | None = None
) -> Report:
    """Compare a model with the unfolded network of its spec, with the same weights.

    Raises Failure if the model does not load, or did not run on the requested provider.
    """
    device = settings.device()
    side = OnnxSide(f"onnxruntime:{device.provider}", model, device)
    reference = ReferenceSide(REFERENCE, Expected(graph, weights, None))
    return verify_sides(model.name, [reference, side], settings, preprocess=preprocess)


__all__ = [
    "REFERENCE",
    "Comparison",
    "Expected",
    "Layer",
    "Report",
    "Settings",
    "Subject",
    "open_side",
    "verify_against_spec",
    "verify_sides",
]
