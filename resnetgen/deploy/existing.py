"""Check of a model that is already in a repository, and the number of its next version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnetgen.deploy.config import CONFIG, FIRST_LINE
from resnetgen.deploy.schema_ranges import RANGES
from resnetgen.errors import Code, Failure, FileError, Source, Span
from resnetgen.formats.caffe.model.text import Message, TextField, TextScalar, parse, read
from resnetgen.labels import LABELS

_HINT = "--name gives the new model another name"
_INTERFACE = ("input", "output")
"""Fields that clients of a model rely on: they stay the same from version to version."""


def next_version(model: Path) -> int:
    """Return the newest version plus one, or 1 for a new model. Raises FileError if there is none left."""
    names = [path.name for path in model.iterdir()] if model.is_dir() else []
    newest = max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)
    if newest >= RANGES["version"].largest:
        message = f"{model} has version {newest}, and Triton reads no higher version"
        raise FileError.of(Code.OUTPUT, message, hint="--model-version with a free number, or --name")
    return newest + 1


def changed_texts(model: Path, texts: dict[str, str]) -> dict[str, str]:
    """Return the texts that differ from the existing files."""
    return {name: text for name, text in texts.items() if (model / name).read_bytes() != text.encode()}


def require_compatible(model: Path, config: str, labels: str | None) -> None:
    """Require a model of resnetgen with the inputs, outputs and labels of the new version. Raises FileError."""
    if not (model / CONFIG).is_file():
        raise FileError.of(Code.OUTPUT, f"{model} exists and has no {CONFIG}", hint=_HINT)
    source = read(model / CONFIG)
    if not source.text.startswith(FIRST_LINE):
        raise _refused(Span(source, 0, len(source.line(1))), "this model was not written by resnetgen")
    old, new = parse(source), parse(Source(CONFIG, config))
    for name in _INTERFACE:
        is_other = _plain(_fields(old, name)) != _plain(_fields(new, name))
        if is_other and (place := next(iter(_fields(old, name)), None)):
            raise _refused(place.span, f"the existing model has another {name} than the new version")
        if is_other:
            raise _refused(Span(source, 0, 1), f"the existing model has no {name}")
    path = model / LABELS
    if labels is not None and not (path.is_file() and path.read_bytes() == labels.encode()):
        # Labels are shared by all versions: other labels would rename the classes of the versions in service.
        raise FileError.of(Code.OUTPUT, f"the new version has other labels than {path}", hint=_HINT)


def _refused(span: Span, message: str) -> Failure:
    return FileError.of(Code.OUTPUT, message, span, _HINT)


def _fields(message: Message, name: str) -> list[TextField]:
    return [field for field in message.fields if field.name == name]


def _plain(fields: Sequence[TextField]) -> list[object]:
    """Return fields without places in the source."""
    return [(f.name, f.value.text if isinstance(f.value, TextScalar) else _plain(f.value.fields)) for f in fields]
