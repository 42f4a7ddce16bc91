"""The licenses, our own and that of the files that are copies: in the repository, the wheel and the source archive."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).parents[1]
LICENSES = ("LICENSE", "LICENSES/deep-residual-networks.txt")


def test_both_archives_hold_the_licenses(tmp_path: Path) -> None:
    for kind in ("wheel", "sdist"):
        build = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(tmp_path)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (archive,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        (folder,) = {name.split("/")[0] for name in opened.namelist() if ".dist-info/" in name}
        said = message_from_bytes(opened.read(f"{folder}/METADATA"))
        packed = [opened.read(f"{folder}/licenses/{name}") for name in LICENSES]
    assert said["License-Expression"] == "MIT"
    assert said.get_all("License-File") == [*LICENSES]
    assert packed == [(ROOT / name).read_bytes() for name in LICENSES]
    with tarfile.open(archive) as opened_archive:
        names = {name.partition("/")[2] for name in opened_archive.getnames()}
    assert names >= {*LICENSES}


def test_copies_are_named_with_their_authors() -> None:
    notice = (ROOT / LICENSES[1]).read_text()
    assert "Copyright (c) 2016 Shaoqing Ren" in notice
    assert "Permission is hereby granted" in notice
    own = (ROOT / LICENSES[0]).read_text()
    assert "Copyright (c) 2026 the resnetgen authors" in own
    for name in ("resnet50", "resnet101"):
        assert f"generated/{name}/{name}.prototxt" in own
        assert (ROOT / f"generated/{name}/{name}.prototxt").is_file()
    for text in (own, (ROOT / "README.md").read_text()):
        assert LICENSES[1] in text
