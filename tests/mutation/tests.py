"""Runs of the tests in a forked process: which lines each test reaches, and whether one of them notices a mutant."""

from __future__ import annotations

import gc
import os
import pickle
import resource
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

_MEMORY = 12 * 2**30
_FILE = 2**30
_LIBRARIES = """
    numpy onnx onnx.reference onnxruntime onnxruntime.quantization google.protobuf.json_format ruamel.yaml lark click
    click.testing rich.table rich.progress rich.console jinja2 PIL.Image hypothesis jsonschema cv2 coverage
    tritonclient.grpc.model_config_pb2 _hypothesis_pytestplugin _pytest.assertion.rewrite
"""
_OPTIONS = (
    *("-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:unraisableexception"),
    *("-p", "_hypothesis_pytestplugin", "--hypothesis-seed=0"),
)


@dataclass
class Baseline:
    """The tests of a room as they pass on the code as it is."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Of the processor, by the test's id."""
    reached: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    """The tests that reach a line of a file."""
    failed: list[str] = field(default_factory=list)
    """Tests that coverage makes too slow, say; they take no part."""

    def choose(self, file: str, lines: Iterable[int], budget: float) -> list[str]:
        """Choose tests that reach these lines, or the file where no line is given: the quick ones first.

        One case of each parametrised test precedes the second cases, so that a budget that ends early has all kinds.
        """
        wanted = {(file, line) for line in lines} or {place for place in self.reached if place[0] == file}
        found = {test for place in wanted for test in self.reached.get(place, ())}
        functions: dict[str, list[str]] = defaultdict(list)
        for test in sorted(found, key=lambda test: (self.seconds[test], test)):
            functions[test.partition("[")[0]].append(test)
        order = sorted((rank, self.seconds[test], test) for one in functions.values() for rank, test in enumerate(one))
        chosen: list[str] = []
        for _, seconds, test in order:
            if seconds <= budget:
                budget -= seconds
                chosen.append(test)
        return chosen


@dataclass(frozen=True)
class Outcome:
    status: str
    """killed, timeout; survived, unreached, error."""
    test: str = ""
    """The test that noticed."""


def measure(root: Path, files: Sequence[str], cache: Path) -> Baseline:
    """Run the tests once under coverage, each file by itself; those that ran on the same code are read from `cache`."""
    code = sha256()
    for path in sorted([*(root / "resnetgen").rglob("*.*"), *(root / "tests").glob("[!t]*.py")]):
        if path.suffix != ".pyc" and path.name != "conftest.py" and path.is_file():
            code.update(path.read_bytes())
    cache.mkdir(parents=True, exist_ok=True)
    whole = Baseline()
    for file in files:
        digest = sha256(code.digest() + (root / file).read_bytes()).hexdigest()
        path = cache / f"{Path(file).stem}-{digest[:16]}.pickle"
        found = pickle.loads(path.read_bytes()) if path.exists() else _forked(partial(_measure, root, file), 1800, 1800)
        if not isinstance(found, Baseline):
            raise SystemExit(f"{file} does not run without any mutant: {found}")
        path.write_bytes(pickle.dumps(found))
        whole.seconds |= found.seconds
        whole.failed += found.failed
        for line, tests in found.reached.items():
            whole.reached.setdefault(line, []).extend(tests)
    return whole


def try_tests(chosen: Sequence[str], seconds: float) -> Outcome:
    """Run tests up to the first that fails; `seconds` of the processor is what they took without a mutant."""
    if not chosen:
        return Outcome("unreached")
    found = _forked(lambda: _try(chosen), 10 + 5 * seconds, 120 + 50 * seconds)
    if found is None:
        return Outcome("timeout")
    status, test = found
    match status:
        case pytest.ExitCode.OK:
            return Outcome("survived")
        case pytest.ExitCode.INTERNAL_ERROR | pytest.ExitCode.NO_TESTS_COLLECTED:
            return Outcome("error", f"pytest ended with {status}")
        case _:
            return Outcome("killed", test)


class _Plugin:
    """Takes the chosen tests in their order, and notes the first that fails and the time of each."""

    def __init__(self, chosen: Sequence[str] | None, enter: Callable[[str], None]) -> None:
        self.order = {test: number for number, test in enumerate(chosen)} if chosen is not None else None
        self.enter = enter
        self.failed: list[str] = []
        self.seconds: dict[str, float] = {}
        self.skipped: set[str] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.order is not None and any("::" in test for test in self.order):
            order = self.order
            items[:] = sorted((i for i in items if i.nodeid in order), key=lambda item: order[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.enter(item.nodeid)
        began = sum(os.times()[:4])
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = sum(os.times()[:4]) - began

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)
        if report.skipped:
            self.skipped.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def _try(chosen: Sequence[str]) -> tuple[int, str]:
    sys.dont_write_bytecode = True
    plugin = _Plugin(chosen, lambda test: None)
    files = list(dict.fromkeys(test.partition("::")[0] for test in chosen))
    code = pytest.main([*_OPTIONS, "-x", *files], plugins=[plugin])
    return int(code), plugin.failed[0] if plugin.failed else "import"


def _measure(root: Path, file: str) -> Baseline | int:
    import coverage

    cov = coverage.Coverage(data_file=None, config_file=False, include=[f"{root}/resnetgen/*"])
    cov.start()
    plugin = _Plugin(None, cov.switch_context)
    code = pytest.main([*_OPTIONS, file], plugins=[plugin])
    cov.stop()
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        return int(code)
    data = cov.get_data()
    ran = {test: spent for test, spent in plugin.seconds.items() if test not in plugin.skipped.union(plugin.failed)}
    reached = {}
    for path in data.measured_files():
        name = Path(path).relative_to(root).as_posix()
        for line, contexts in data.contexts_by_lineno(path).items():
            tests = [test for test in contexts if test in ran]
            if tests:
                reached[name, line] = tests
    return Baseline(ran, reached, plugin.failed)


def _forked(work: Callable[[], Any], processor: float, clock: float) -> Any:
    """The result of `work` in a process of its own; None where it takes too long, (-1, signal) where it dies.

    The time of the processor is what counts; by the clock a busy machine is given much more.
    """
    receive, send = Pipe(duplex=False)
    child = os.fork()
    if not child:
        try:
            os.setsid()
            limits = (
                (resource.RLIMIT_AS, _MEMORY),
                (resource.RLIMIT_FSIZE, _FILE),
                (resource.RLIMIT_CPU, int(processor)),
            )
            for kind, most in limits:
                resource.setrlimit(kind, (most, most))
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(nothing, stream)
            send.send(work())
        finally:
            os._exit(0)
    send.close()
    found, result = False, None
    try:
        if receive.poll(clock):
            result = receive.recv()
            found = True
    except EOFError:
        pass
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)
    status = os.WTERMSIG(os.waitpid(child, 0)[1])
    receive.close()
    return result if found or status in (signal.SIGKILL, signal.SIGXCPU) else (-1, f"signal {status}")


def import_libraries() -> None:
    """What each child would import anew; nothing of the project, since that is what is changed."""
    for name in _LIBRARIES.split():
        try:
            __import__(name)
        except ImportError:
            print(f"without {name}", file=sys.stderr)
    gc.collect()
    gc.freeze()
