"""Triton's own schema of config.pbtxt, from the package tritonclient if it is installed."""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


def violations(text: str) -> list[str]:
    """Return the violations of the schema; empty if there are none, or if it is not installed."""
    if (schema := messages()) is None:
        return []
    from google.protobuf import text_format

    try:
        text_format.Parse(text, schema.ModelConfig())
    except text_format.ParseError as error:
        return [f"Triton's schema does not allow it: {error}"]
    return []


def messages() -> Any:
    """Return the module of the messages alone; the whole package would import gRPC. None if it is not installed."""
    package = find_spec("tritonclient")
    if not package or not package.origin:
        return None
    path = Path(package.origin).parent / "grpc" / "model_config_pb2.py"
    found = spec_from_file_location("resnetgen_triton_model_config", path)
    if not found or not found.loader or not path.is_file():
        return None
    from google.protobuf.runtime_version import VersionError

    module = module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except VersionError:  # tritonclient 2.73 declares protobuf 6.30 as enough, but needs 6.33.5
        return None
    return module
