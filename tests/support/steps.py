"""`pytest --step NAME`: a step of CI, which fails when too few tests pass or one is skipped that it must run.

.ci/steps.json has the number of tests that each step must pass, and the reasons for which it may skip any.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("steps of CI")
    group.addoption("--step", metavar="NAME", help="fail below this step's count in .ci/steps.json, and on other skips")
    group.addoption("--update-step", action="store_true", help="write the count and the skips of this run instead")


def pytest_configure(config: pytest.Config) -> None:
    if name := config.getoption("--step"):
        config.pluginmanager.register(Step(config.rootpath / ".ci/steps.json", name, config.getoption("--update-step")))


class Step:
    """The tests that passed and the skips, held against the file's figures when the run ends."""

    def __init__(self, file: Path, name: str, update: bool) -> None:
        self.file = file
        self.name = name
        self.update = update
        self.passed = 0
        self.skips: Counter[str] = Counter()
        self.problems: list[str] = []
        self.steps = _read(file)
        if name not in self.steps and not update:
            raise pytest.UsageError(f"--step {name}: {file} has only {', '.join(self.steps)}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.passed and report.when == "call"
        self._count_skip(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._count_skip(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.update and session.exitstatus == pytest.ExitCode.OK:
            found = {"passes": self.passed, "may_skip": sorted(self.skips)}
            steps = _read(self.file) | {self.name: found}  # read again: another step may have run meanwhile
            text = json.dumps(dict(sorted(steps.items())), indent=2)
            self.file.write_text(f"{text}\n", encoding="utf-8")
        if self.update:
            return
        wanted = self.steps[self.name]
        if self.passed < wanted["passes"]:
            self.problems.append(f"{self.passed} tests passed, and at least {wanted['passes']} must")
        for reason in sorted(self.skips.keys() - wanted["may_skip"]):
            self.problems.append(f"{self.skips[reason]} skipped, which this step must run: {reason}")
        if self.problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for problem in self.problems:
            terminalreporter.write_line(f"step {self.name}: {problem}", red=True)

    def _count_skip(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skips[reason.removeprefix("Skipped: ")] += 1


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
