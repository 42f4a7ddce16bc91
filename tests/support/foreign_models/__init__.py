"""Small ONNX models as other exporters write them, and some that nobody should: each a file that a user may name."""

from support.foreign_models import damaged, inputs, outputs
from support.foreign_models.build import CLASSES, MODELS, content, net, tensor, value

__all__ = ["CLASSES", "MODELS", "content", "damaged", "inputs", "net", "outputs", "tensor", "value"]
