"""An ONNX file as it stands: any file of a known opset, whoever wrote it. This package knows neither graph nor spec."""
