"""What deploy writes for Triton, on Triton's core."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from servers import triton
from servers.process import Server
from servers.served import LARGEST, SPEC, Served, assert_answers, http, images, program

pytestmark = [pytest.mark.server, pytest.mark.triton]


def test_a_batch_over_the_limit(triton_server: Server, work: Path) -> None:
    served = Served(triton_server, SPEC, work / f"repository/{SPEC}/1/model.onnx")
    with pytest.raises(http.InferenceServerException, match=f"batch-size must be <= {LARGEST}"):
        served.ask(images(LARGEST + 1))
    assert_answers(served, images(LARGEST))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_repository_without_batching(triton_server: Server, repository: Path, batch: int) -> None:
    assert_answers(Served(triton_server, "plain", repository / "plain/1/model.onnx"), images(batch))


def test_a_model_that_takes_bytes(triton_server: Server, repository: Path, picture: Path) -> None:
    served = Served(triton_server, "bytes", repository / "bytes/1/model.onnx")
    pixels = np.random.default_rng(3).integers(0, 256, (3, 32, 32, 3), np.uint8)
    assert_answers(served, pixels)
    body = program("predict", served.file.parent, picture, "--request")
    assert json.loads(body)["inputs"][0]["datatype"] == "UINT8"
    assert len(served.post(body)["outputs"][0]["data"]) == 5


@pytest.mark.parametrize(("name", "served_versions"), [("newest", "3"), ("both", "23")])
def test_versions(triton_server: Server, repository: Path, name: str, served_versions: str) -> None:
    for version in "123":
        served = Served(triton_server, name, repository / name / version / "model.onnx")
        if version in served_versions:
            assert_answers(served, images(2), model_version=version)
        else:
            with pytest.raises(http.InferenceServerException, match=f"(version {version} is not|not ready|unknown)"):
                served.ask(images(2), model_version=version)
    assert_answers(Served(triton_server, name, repository / name / "3/model.onnx"), images(2))


Damage = tuple[Callable[[str], str], str]
DAMAGES: dict[str, Damage] = {
    "other_name": (lambda text: text.replace('name: "other_name"', 'name: "tony"'), "unexpected directory name"),
    "inputs": (lambda text: text.replace('"input"', '"data"'), "config.pbtxt says"),
    "outputs": (lambda text: text.replace('"output"', '"prob"'), "config.pbtxt says"),
    "images": (lambda text: text.replace("[ 3, 32, 32 ]", "[ 3, 32, 31 ]"), "config.pbtxt says"),
    "type": (lambda text: text.replace("TYPE_FP32", "TYPE_UINT8", 1), "config.pbtxt says"),
    "batch": (
        lambda text: text.replace("preferred_batch_size: 4", "preferred_batch_size: 9"),
        "preferred size must be",
    ),
    "labels": (lambda text: text.replace('"labels.txt"', '"names.txt"'), "names.txt: No such file"),
    "braces": (lambda text: text.replace("}", "", 1), "failed to read text proto"),
}


def test_damaged_packages_do_not_load(core: triton.Triton, repository: Path, tmp_path: Path) -> None:
    """The control of all that loads."""
    for name in (*DAMAGES, "sound"):
        shutil.copytree(repository / SPEC, tmp_path / "repository" / name)
        config = tmp_path / "repository" / name / "config.pbtxt"
        sound = config.read_text().replace(f'name: "{SPEC}"', f'name: "{name}"')
        damage, _ = DAMAGES.get(name, (str, ""))
        assert (damage(sound) == sound) == (name == "sound")
        config.write_text(damage(sound))
    with (
        core.serving(tmp_path / "repository", tmp_path, wait=False) as server,
        http.InferenceServerClient(server.address) as client,
    ):
        assert [name for name in (*DAMAGES, "sound") if client.is_model_ready(name)] == ["sound"]
        for name, (_, said) in DAMAGES.items():
            assert any(f"'{name}'" in line and said in line for line in triton.warnings(server.log)), name
