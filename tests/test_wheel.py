"""The wheel, installed elsewhere, builds a bundled spec by its bare name: specs and templates are packed into it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_wheel_builds_a_bundled_spec(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("resnetgen-*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    work = tmp_path / "work"
    work.mkdir()
    code = (
        "import resnetgen, sys; from resnetgen.cli import main; assert resnetgen.__file__.startswith(sys.argv.pop());"
        "main(['build', 'resnet50', '--target', 'caffe', '--no-weights'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    subprocess.run([sys.executable, "-c", code, str(site)], check=True, cwd=work, env=environment)
    built = work / "generated/resnet50/resnet50.prototxt"
    assert built.read_bytes() == (ROOT / "generated/resnet50/resnet50.prototxt").read_bytes()
