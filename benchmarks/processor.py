"""The processor that the benchmarks run on: its name, and its instructions for vectors."""

from __future__ import annotations

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
NAMED = (
    *("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16", "avx512_bf16", "sha_ni"),
    *("asimd", "asimddp", "i8mm", "sve"),
)
"""Flags that the report names: those on which ONNX Runtime's speed and that of SHA-256 depend."""
VNNI = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
"""Any of these has dot products of 8-bit integers."""


def name() -> str:
    """Return the name of the processor."""
    return _field("model name") or platform.processor() or platform.machine()


def flags() -> list[str]:
    """Return the flags of NAMED that the processor has; none where Linux does not list them."""
    listed = set(f"{_field('flags')} {_field('Features')}".split())
    return [flag for flag in NAMED if flag in listed]


def has_vnni() -> bool:
    """Return True if the processor has dot products of 8-bit integers."""
    return not VNNI.isdisjoint(flags())


def _field(key: str) -> str:
    """Return the first value of a key of /proc/cpuinfo; empty if there is none."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")
