"""Marks that name what a test needs: a test is skipped where that is missing, and cannot import it without the mark.

CI runs each mark in a step that may not skip it (tests/support/steps.py).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

MODULES = {
    "opencv": ("cv2",),
    "torch": ("torch", "torchvision", "timm", "safetensors"),
    "matplotlib": ("matplotlib",),
}
"""Mark -> the modules that a test with it may import, and a test without it may not."""


def python_with(module: str, variable: str) -> str | None:
    """Return a Python that has a module: the one that an environment variable names, or this one."""
    return os.environ.get(variable) or (sys.executable if find_spec(module) else None)


def kserve_python() -> str | None:
    return python_with("kserve", "RESNETGEN_KSERVE_PYTHON")


def triton_python() -> str | None:
    return python_with("pytriton", "RESNETGEN_TRITON_PYTHON")


def other_pythons() -> list[str]:
    """Return the interpreters that RESNETGEN_PYTHONS names, each of an environment with resnetgen."""
    return [python for python in os.environ.get("RESNETGEN_PYTHONS", "").split(os.pathsep) if python]


def _has_gpu() -> bool:
    try:
        return bool(ctypes.CDLL("libcuda.so.1").cuInit(0) == 0)
    except OSError:
        return False


def _modules(*names: str) -> Callable[[], str]:
    return lambda: ", ".join(name for name in names if find_spec(name) is None)


NEEDS: dict[str, Callable[[], str]] = {
    **{mark: _modules(*names) for mark, names in MODULES.items()},
    "gpu": lambda: "" if _has_gpu() else "a CUDA device",
    "fault": lambda: "" if sys.platform == "linux" and shutil.which("gcc") else "Linux and gcc",
    "pythons": lambda: "" if other_pythons() else "other interpreters in RESNETGEN_PYTHONS",
    "server": _modules("geventhttpclient"),
    "kserve": lambda: "" if kserve_python() else "kserve, here or in RESNETGEN_KSERVE_PYTHON",
    "triton": lambda: "" if triton_python() else "nvidia-pytriton, here or in RESNETGEN_TRITON_PYTHON",
    "serve": _modules("starlette", "uvicorn"),
}
"""Mark -> a function that returns what is missing here, or nothing."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers():
        if missing := NEEDS.get(mark.name, str)():
            pytest.skip(f"needs {missing}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    marks = {mark.name for mark in item.iter_markers()}
    with _hidden([name for mark, names in MODULES.items() if mark not in marks for name in names]):
        return (yield)


@contextmanager
def _hidden(names: Sequence[str]) -> Iterator[None]:
    """Make imports of these modules fail as if they were not installed."""
    loaded = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: an import raises ModuleNotFoundError
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(loaded)
