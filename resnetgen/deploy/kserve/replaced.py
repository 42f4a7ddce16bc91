"""Check of an inferenceservice.yaml that the new one would replace."""

from __future__ import annotations

from pathlib import Path

from resnetgen.deploy.kserve.service import FIRST_LINE
from resnetgen.errors import Code, Failure, FileError, Source, Span
from resnetgen.inputs import read_bytes
from resnetgen.spec import yaml

_HINT = "--output-dir names another folder"


def require_same_service(path: Path, name: str) -> None:
    """Require that `path` is missing, or is resnetgen's manifest of the service `name`. Raises FileError."""
    if not path.exists() and not path.is_symlink():
        return
    source = Source(str(path), read_bytes(path, yaml.MAX_BYTES, "a manifest").decode("utf-8", "replace"))
    if not source.text.startswith(FIRST_LINE):
        raise _refused(Span(source, 0, len(source.line(1))), "this manifest was not written by resnetgen")
    try:
        metadata = yaml.parse(source).get("metadata")
    except Failure as failure:
        raise FileError(failure.problems) from None
    found = metadata.get("name") if isinstance(metadata, yaml.Mapping) else None
    if not isinstance(found, yaml.Scalar):
        raise _refused(Span(source, 0, len(FIRST_LINE)), "the existing manifest names no service")
    if found.text != name:
        hint = f"--service {found.text} serves both models; {_HINT}"
        raise _refused(found.span, f"the existing manifest is of another service than {name}", hint)


def _refused(span: Span, message: str, hint: str = _HINT) -> Failure:
    return FileError.of(Code.OUTPUT, message, span, hint)
