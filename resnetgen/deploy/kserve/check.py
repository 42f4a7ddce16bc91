"""Check of inferenceservice.yaml: it is parsed back and compared with the deployment, and so is an existing one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from resnetgen.deploy.kserve.openapi import violations
from resnetgen.deploy.kserve.service import MARK, SERVICE
from resnetgen.errors import Code, Exit, Failure, Source, Span, fail
from resnetgen.inputs import read_bytes
from resnetgen.spec import yaml

_HINT = "--output-dir names another folder"


def differences(text: str, said: Mapping[str, str | int]) -> list[str]:
    """Return the differences of a manifest from the required values, and violations of KServe's schema if that is
    installed."""
    document = _plain(yaml.parse(Source(SERVICE, text)))
    found = dict(_flat(document))
    paths = [path for path in {**found, **said} if found.get(path) != said.get(path)]
    return [f"{path} is {found.get(path)!r}, not {said.get(path)!r}" for path in paths] + violations(document)


def accept(path: Path, name: str) -> None:
    """Raise Failure (exit 5) if `path` exists and is not the manifest of the service `name` by resnetgen."""
    if not path.exists() and not path.is_symlink():
        return
    source = Source(str(path), read_bytes(path, yaml.MAX_BYTES, "a manifest").decode("utf-8", "replace"))
    if not source.text.startswith(MARK):
        raise _refused(Span(source, 0, len(source.line(1))), "a manifest that resnetgen did not write stands there")
    try:
        metadata = yaml.parse(source).get("metadata")
    except Failure as failure:
        raise Failure(Exit.IO, failure.problems) from None
    found = metadata.get("name") if isinstance(metadata, yaml.Mapping) else None
    if not isinstance(found, yaml.Scalar):
        raise _refused(Span(source, 0, len(MARK)), "the manifest that stands there names no service")
    if found.text != name:
        hint = f"--service {found.text} serves both models; {_HINT}"
        raise _refused(found.span, f"the manifest that stands there is of another service than {name}", hint)


def _refused(span: Span, message: str, hint: str = _HINT) -> Failure:
    return fail(Exit.IO, Code.OUTPUT, message, span, hint)


def _plain(value: yaml.Value) -> Any:
    """Return the value without places in the source."""
    match value:
        case yaml.Scalar():
            return value.value
        case yaml.Sequence():
            return [_plain(item) for item in value.items]
        case yaml.Mapping():
            return {key.text: _plain(item) for key, item in value}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each scalar with its path: ("spec.predictor.minReplicas", 1)."""
    match value:
        case dict():
            inner = value.items()
        case list():
            inner = dict(enumerate(value)).items()
        case _:
            yield path, value
            return
    for key, item in inner:
        yield from _flat(item, f"{path}.{key}".lstrip("."))
