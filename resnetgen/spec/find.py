"""Files of specs and libraries, by a name on the command line, in `extends` or in `use`."""

from __future__ import annotations

import re
from pathlib import Path

from resnetgen.errors import Code, Span, SpecError, did_you_mean
from resnetgen.paths import LIBRARY, SPECS, real_path

_SUFFIXES = (".yaml", ".yml")
_NAME = "[A-Za-z0-9_][A-Za-z0-9_./-]{0,255}"
"""Pattern of a bundled name."""


def bundled() -> list[str]:
    """Return the names of the bundled specs, such as `resnet50` and `timm/resnet50`."""
    return sorted(path.relative_to(SPECS).with_suffix("").as_posix() for path in SPECS.rglob("*.yaml"))


def find_spec(name: str) -> Path:
    """Return the file of a SPEC: a path that ends in .yaml, or a bundled name. Raises SpecError for an unknown
    name."""
    if name.endswith(_SUFFIXES):
        return Path(name)
    if _is_name(name) and _is_file(path := SPECS / f"{name}.yaml"):
        return path
    if _is_file(Path(name)):
        hint = "a spec's file ends in .yaml"
    elif _is_file(Path(f"{name}.yaml")):
        hint = f"did you mean {name}.yaml?"
    else:
        hint = did_you_mean(name, bundled())
    raise SpecError.of(Code.UNKNOWN_SPEC, f"no bundled spec is called {name!r}", hint=hint)


def is_spec(name: str) -> bool:
    """Return True if a name that may also be the path of another file refers to a spec."""
    return name.endswith(_SUFFIXES) or (_is_name(name) and not name.endswith(".prototxt") and not Path(name).exists())


def find_parent(name: str, span: Span, child: Path) -> Path:
    """Return the file of `extends: name`: a path from the child's folder, a name there, or a bundled name. Raises
    SpecError."""
    if name.endswith(_SUFFIXES):
        return child.parent / name
    if _is_name(name):
        for folder in (child.parent, SPECS):
            path = folder / f"{name}.yaml"
            if _is_file(path) and real_path(path) != real_path(child):
                return path
    raise SpecError.of(Code.UNKNOWN_SPEC, f"no spec is called {name!r}", span, did_you_mean(name, bundled()))


def find_library(name: str, span: Span, user: Path) -> Path:
    """Return the file of `use: name`: a path from the user's folder, or a file of the package's library. Raises Failure
    (exit 3)."""
    if name.endswith(_SUFFIXES):
        return user.parent / name
    if _is_name(name) and _is_file(path := LIBRARY / f"{name}.yaml"):
        return path
    known = [path.stem for path in LIBRARY.glob("*.yaml")]
    raise SpecError.of(Code.UNKNOWN_SPEC, f"the library has no file {name!r}", span, did_you_mean(name, known))


def name_of(path: Path) -> str:
    """Return a spec's name: its path below a folder called `specs`, else its file's stem. Raises SpecError for
    an invalid name."""
    parts = real_path(path).with_suffix("").parts
    folders = parts[:-1]
    below = len(folders) - folders[::-1].index("specs") if "specs" in folders else len(folders)
    return checked_name("/".join(parts[below:]), path.name)


def checked_name(name: str, shown: str = "") -> str:
    """Return the name of a spec; `shown` is its name in the error. Raises SpecError for an invalid one."""
    if not _is_name(name):
        hint = "its name becomes that of the output: use letters, digits and _ . -"
        raise SpecError.of(Code.BAD_NAME, f"a spec cannot be called {shown or name!r}", hint=hint)
    return name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long for the system
        return False


def _is_name(name: str) -> bool:
    """Return True for a name whose last part can be that of a file, and whose others can be those of folders."""
    return re.fullmatch(_NAME, name) is not None and ".." not in name and not {"", "."} & set(name.split("/"))


def short_path(path: Path) -> str:
    """Return a path for errors: relative to the working folder if it is below it, else unchanged."""
    resolved, here = real_path(path), real_path(Path())
    return str(resolved.relative_to(here)) if resolved.is_relative_to(here) else str(path)
