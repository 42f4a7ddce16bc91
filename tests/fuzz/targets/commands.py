"""Whole commands on hostile folders: documented exit codes, no control characters, no process, nothing half-written."""

from __future__ import annotations

import shutil
from pathlib import Path

from fuzz.mutate import octets, wire
from fuzz.mutate.archive import Archive
from fuzz.mutate.octets import mostly
from fuzz.mutate.scene import Scenes
from fuzz.mutate.tokens import Tokens
from fuzz.process import Done, run
from fuzz.scene import Scene
from fuzz.target import MIB, Broken, Target
from fuzz.targets import scenes
from resnetgen.cli.exits import Exit
from resnetgen.errors import Code
from support.exits import failure_of

_DOCUMENTED = frozenset(Exit) - {Exit.BUG}
_MAX_ERROR = 200_000
"""Characters on stderr: fifty problems of two thousand each, and their places."""


def run_command(data: bytes, folder: Path) -> None:
    """Run a scene's command line in its folder, and hold what comes of it against what is promised."""
    scene = Scene.unpack(data)
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    scene.lay_out(work)
    before = _contents(work)
    done = run(scene.line, work, folder)
    _check(done, is_debugged="--debug" in scene.line)
    after = _contents(work)
    if any(".staging-resnetgen-" in name for name in after):
        raise Broken("a staging folder is left", ", ".join(after))
    if done.code not in (Exit.DONE, Exit.VERIFICATION) and before != after:
        raise Broken(
            "a command that failed changed files", f"{scene.line}: {sorted(before.items() ^ after.items())[:3]}"
        )
    if done.code not in (Exit.DONE, Exit.DIFFERENT):
        raise failure_of(Exit(done.code), Code.OUTPUT, "refused")


def _check(done: Done, is_debugged: bool) -> None:
    text = done.err.decode("utf-8", "replace")
    if done.raised is not None:
        raise Broken("exit code 70", text[:2000]) from done.raised
    if done.code not in _DOCUMENTED:
        raise Broken(f"exit code {done.code}", text[:2000])
    if done.started:
        raise Broken("a process was started", ", ".join(done.started))
    if "Traceback" in text and not is_debugged:
        raise Broken("a traceback", text[:2000])
    if len(text) > _MAX_ERROR:
        raise Broken("a text that is too long", f"{len(text):,} characters")
    for printed in (done.out, done.err):
        if not all(line.isprintable() for line in printed.decode("utf-8", "surrogateescape").split("\n")):
            raise Broken("a text that drives the terminal", repr(printed[:500]))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if _is_plain(path)}


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


_WORDS = tuple(b"[ ] { } : , | ; use std input stages 3x3 fc softmax $n".split())
_INSIDE = {
    **{ending: mostly(Tokens(_WORDS)) for ending in (".yaml", ".json", ".txt", ".prototxt", ".pbtxt")},
    **{ending: mostly(wire.mutate) for ending in (".onnx", ".caffemodel")},
    **{ending: mostly(Archive("", octets.mutate)) for ending in (".npz", ".pth")},
}


COMMANDS = tuple(
    # Each has time and memory for a session of ONNX Runtime.
    Target(f"run-{name}", run_command, make, Scenes(_INSIDE), _DOCUMENTED, memory=1024 * MIB, seconds=6)
    for name, make in (
        ("summary", scenes.summary_scenes),
        ("build", scenes.build_scenes),
        ("verify", scenes.verify_scenes),
        ("predict", scenes.predict_scenes),
        ("diff", scenes.diff_scenes),
        ("weights", scenes.weights_scenes),
        ("deploy", scenes.deploy_scenes),
    )
)
