"""Labels that a terminal must not see are refused by each command that reads labels, with their place."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.labels import read_labels
from support.helpers import Run

SPEC = """\
use: std
input: 3x16x16
params: {classes: 2}
preprocess: {color: rgb, divide: 255, resize: 18, crop: 16x16}
stages:
  conv1: 16x16 | 3x3, 4
  head:  1x1   | gap | fc $classes | softmax
"""
HOSTILE = {
    "an escape": ("\x1b", "U+001B"),
    "a bell": ("\x07", "U+0007"),
    "a null": ("\0", "U+0000"),
    "a tab": ("\t", "U+0009"),
    "a return": ("\r", "U+000D"),
    "delete": ("\x7f", "U+007F"),
    "a C1 control": ("\x9b", "U+009B"),
    "a line separator": ("\u2028", "U+2028 LINE SEPARATOR"),
    "a paragraph separator": ("\u2029", "U+2029 PARAGRAPH SEPARATOR"),
    "the other direction": ("\u202e", "U+202E RIGHT-TO-LEFT OVERRIDE"),
    "an isolate": ("\u2066", "U+2066 LEFT-TO-RIGHT ISOLATE"),
    "no width": ("\u200b", "U+200B ZERO WIDTH SPACE"),
    "a mark in the middle": ("\ufeff", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
}


@pytest.mark.parametrize(("character", "name"), HOSTILE.values(), ids=HOSTILE)
def test_a_character_that_cannot_be_printed_is_named_with_its_place(tmp_path: Path, character: str, name: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(f"cat\nyellow d{character}g\nhen\n".encode())
    with pytest.raises(Failure) as caught:
        read_labels(path, 3, "a test")
    assert exit_code(caught.value) is Exit.IO
    first, excerpt, *_ = str(caught.value).splitlines()
    assert first == f"{path}:2:9: error[labels]: the label on line 2 contains {name}, which cannot be printed"
    assert character not in excerpt
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


def test_labels_of_all_languages_are_read(tmp_path: Path) -> None:
    labels = ("cat, domestic", "猫", "Żółw", "chien é", "😀", "क्")
    (tmp_path / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    assert read_labels(tmp_path / "labels.txt", len(labels), "a test") == labels


@pytest.mark.parametrize("server", ["triton", "onnxruntime"])
def test_deploy_and_predict_and_serve_refuse_alike(run: Run, monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setattr("resnetgen.serve.server._require_libraries", lambda: None)
    Path("tiny.yaml").write_text(SPEC)
    Path("bad.txt").write_text("cat\n\x1b]0;title\x07\n")
    result = run("deploy", "tiny.yaml", "--server", server, "-o", "out", "--labels", "bad.txt")
    assert (result.code, result.out) == (Exit.IO, "")
    assert result.err.startswith(
        "bad.txt:2:1: error[labels]: the label on line 2 contains U+001B, which cannot be printed"
    )
    assert not Path("out").exists()
    assert run("deploy", "tiny.yaml", "--server", "onnxruntime", "-o", "served").code == 0
    Path("served/labels.txt").write_bytes(Path("bad.txt").read_bytes())
    Image.new("RGB", (16, 16)).save("cat.png")
    for command in (("predict", "served", "cat.png"), ("serve", "served")):
        result = run(*command)
        assert (result.code, result.out) == (Exit.IO, "")
        assert result.err.startswith("served/labels.txt:2:1: error[labels]: ")
        assert "\x1b" not in result.err
