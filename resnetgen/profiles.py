"""Profiles of servers: the newest opset and IR version that each loads, from library/servers/runtimes.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from msgspec import Struct
from msgspec.structs import asdict

from resnetgen.errors import Code, UsageError, did_you_mean
from resnetgen.paths import LIBRARY
from resnetgen.spec.yaml import Mapping, parse, read_source

DEFAULT_OPSET = 17
"""Default opset; with IR version 8 it loads nearly everywhere."""


class Profile(Struct, frozen=True):
    name: str
    """Name, such as ort-1.15 or triton-24.08."""
    onnxruntime: str
    opset: int
    """Newest opset that it loads."""
    ir: int
    """Newest IR version that it loads."""
    source: str
    """Reference for these numbers."""

    @property
    def family(self) -> str:
        return self.name.partition("-")[0]

    @property
    def version(self) -> str:
        return self.name.partition("-")[2]

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)


@cache
def profiles() -> dict[str, Profile]:
    """Return all profiles by name, each family from its oldest on."""
    document = parse(read_source(LIBRARY / "servers/runtimes.yaml"))
    sources = dict(_texts(_mapping(document, "sources")))
    profiles_by_name: dict[str, Profile] = {}
    for version, entry in _entries(document, "onnxruntime"):
        name = f"ort-{version}"
        profiles_by_name[name] = Profile(name, version, int(entry["opset"]), int(entry["ir"]), sources[entry["source"]])
    for version, entry in _entries(document, "triton"):
        name, onnxruntime = f"triton-{version}", entry["onnxruntime"]
        base = profiles_by_name[f"ort-{onnxruntime.rpartition('.')[0]}"]  # a patch changes neither opset nor IR version
        profiles_by_name[name] = Profile(name, onnxruntime, base.opset, base.ir, sources[entry["source"]])
    return profiles_by_name


def find_profile(name: str) -> Profile:
    """Return the profile with a name. Raises UsageError if there is none."""
    if (profile := profiles().get(name)) is None:
        older = _next_older(name)
        hint = f"the next older one is {older.name}: --runtime {older.name}; " if older else ""
        hint += did_you_mean(name, profiles()) if not older else "newer ones load the same models;"
        message = f"no runtime is called {name!r}"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=f"{hint} `resnetgen runtimes` lists them".strip())
    return profile


def _next_older(name: str) -> Profile | None:
    """Return the newest profile of a family that is older than a version without a profile of its own."""
    family, _, version = name.partition("-")
    release = _release(version)
    releases = {_release(one.version): one for one in profiles().values() if one.family == family}
    if not release or release in releases:  # 24.8 is 24.08, misspelt
        return None
    return max((pair for pair in releases.items() if pair[0] < release), default=(release, None))[1]


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, 24.08 as (24, 8); empty for a text that is not one."""
    parts = version.split(".")
    is_version = len(parts) == 2 and all(part.isascii() and part.isdecimal() and len(part) < 5 for part in parts)
    return tuple(map(int, parts)) if is_version else ()


def choose_opset(opset: int | None, profile: Profile | None) -> int:
    """Return the opset to write: `opset`; else the default, or the profile's if that is lower.

    Raises UsageError if the profile does not load it.
    """
    if profile is None:
        return DEFAULT_OPSET if opset is None else opset
    if opset is None:
        return min(DEFAULT_OPSET, profile.opset)
    if opset > profile.opset:
        message = (
            f"{profile.name} (ONNX Runtime {profile.onnxruntime}) loads no opset above {profile.opset}, not {opset}"
        )
        raise UsageError.of(Code.BAD_VALUE, message, hint=f"--opset {profile.opset}, or {who_loads(opset)}")
    return opset


def who_loads(opset: int) -> str:
    """Return --runtime ort-1.17 or triton-24.08: the oldest profile of each family that loads an opset."""
    oldest: dict[str, str] = {}
    for profile in profiles().values():
        if profile.opset >= opset:
            oldest.setdefault(profile.family, profile.name)
    return f"--runtime {' or '.join(oldest.values())}" if oldest else "no --runtime"


def _mapping(document: Mapping, key: str) -> Mapping:
    value = document.get(key)
    assert isinstance(value, Mapping), key
    return value


def _entries(document: Mapping, key: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each version as it is written (1.10 is not a number), and its fields."""
    family = _mapping(document, key)
    for version, _ in family:
        yield version.text, dict(_texts(_mapping(family, version.text)))


def _texts(mapping: Mapping) -> Iterator[tuple[str, str]]:
    for key, value in mapping:
        yield key.text, getattr(value, "text", "")
