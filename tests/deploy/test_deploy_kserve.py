"""resnetgen deploy --server kserve: the repository and its manifest, new versions, and options that are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from resnetgen.cli.exits import Exit
from resnetgen.deploy.kserve import service
from resnetgen.formats.onnx import write as onnx_writer
from resnetgen.staging.files import Staging
from support.deployed import KSERVE, MANIFEST, PLAIN
from support.helpers import Run
from support.kserve_manifest import parse


@pytest.fixture(autouse=True)
def _files(run: Run) -> None:
    """A spec, and the labels of its classes."""
    Path("tiny.yaml").write_text(PLAIN)
    Path("labels.txt").write_text("cat\ndog\nhen\nyak\n")


def everything() -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def read(path: Path = MANIFEST) -> dict[str, Any]:
    return parse(path.read_text())


def test_a_folder_for_kserve(run: Run) -> None:
    settings = ("--labels", "labels.txt", "--max-batch", "8", "--runtime", "triton-24.08")
    result = run(*KSERVE, *settings)
    assert result.code == 0, result.err
    listed = [line.split()[0] for line in result.out.splitlines()]
    assert sorted(listed) == sorted(name for name in everything() if name.startswith("served"))
    assert listed[-1] == MANIFEST.as_posix()
    assert run("deploy", "tiny.yaml", "--server", "triton", "-o", "repository", *settings).code == 0
    alone = {name: data for name, data in everything().items() if name.startswith("repository")}
    assert alone == {name.removeprefix("served/"): d for name, d in everything().items() if "served/repository" in name}
    said = read()
    assert (said["apiVersion"], said["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert said["metadata"] == {"name": "tiny", "annotations": {"serving.kserve.io/deploymentMode": "Knative"}}
    predictor = said["spec"]["predictor"]
    limits = {"cpu": "1", "memory": "3Gi"}
    assert predictor.pop("model") == {
        "modelFormat": {"name": "triton"},
        "protocolVersion": "v2",
        "runtimeVersion": "24.08-py3",
        "storageUri": "s3://models/tiny",
        "resources": {"requests": limits, "limits": limits},
    }
    assert predictor.pop("annotations").keys() == {"resnetgen-model"}
    assert predictor == {"minReplicas": 1, "maxReplicas": 3, "scaleMetric": "concurrency", "scaleTarget": 8}


@pytest.mark.parametrize(
    ("model", "expected"), [("resnet20_cifar", "resnet20-cifar"), ("ResNet.v1.5", "resnet-v1-5"), ("a", "a")]
)
def test_default_name_of_a_service(model: str, expected: str) -> None:
    assert service.choose_service_name(None, model) == expected


@pytest.mark.parametrize(
    ("options", "memory"),
    [
        ((), "3Gi"),
        (("--max-batch", "128"), "3Gi"),
        # 2 GiB, then 4 times 128 tensors of 4 x 1024 x 1024 floats, 8 GiB, and for the weights the next whole one.
        (("--input", "3x1024x1024", "--max-batch", "128"), "11Gi"),
        (("--input", "3x1024x1024", "--max-batch", "128", "--instances", "2"), "19Gi"),
        (("--input", "3x1024x1024", "--batch", "64"), "7Gi"),
    ],
)
def test_memory_grows_with_batches_and_instances(run: Run, options: tuple[str, ...], memory: str) -> None:
    result = run(*KSERVE, *options)
    assert result.code == 0, result.err
    assert read()["spec"]["predictor"]["model"]["resources"]["limits"]["memory"] == memory


def test_a_version_is_added_and_the_manifest_makes_new_pods(run: Run) -> None:
    assert run(*KSERVE).code == 0
    first = everything()
    result = run(*KSERVE, "--seed", "1", "--cpu", "2")
    assert result.code == 0, result.err
    written = [line.split()[0] for line in result.out.splitlines()]
    assert written == ["served/repository/tiny/2/model.onnx", MANIFEST.as_posix()]
    changed = {name for name, data in everything().items() if first.get(name) != data}
    assert changed == set(written)
    old, new = YAML(typ="safe").load(first[MANIFEST.as_posix()]), read()
    assert old["spec"]["predictor"]["annotations"] != new["spec"]["predictor"]["annotations"]
    assert new["spec"]["predictor"]["model"]["resources"]["limits"]["cpu"] == "2"
    assert not list(Path().rglob(".staging-*"))


def test_two_models_of_one_service(run: Run) -> None:
    assert run(*KSERVE).code == 0
    before = everything()
    result = run(*KSERVE, "--name", "other")
    assert result.code == Exit.IO
    assert "inferenceservice.yaml:5:9: error[output]: the existing manifest is of another service" in result.err
    assert "hint: --service tiny serves both models" in result.err
    assert everything() == before
    assert run(*KSERVE, "--name", "other", "--service", "tiny").code == 0
    assert {path.name for path in Path("served/repository").iterdir()} == {"tiny", "other"}


FOREIGN: dict[str, tuple[Callable[[], object], str]] = {
    "another's": (
        lambda: MANIFEST.write_text("kind: InferenceService\n"),
        "served/inferenceservice.yaml:1:1: error[output]: this manifest was not written by resnetgen",
    ),
    "not text": (lambda: MANIFEST.write_bytes(b"\xff\x00"), "this manifest was not written by resnetgen"),
    "empty": (lambda: MANIFEST.write_bytes(b""), "this manifest was not written by resnetgen"),
    "broken": (
        lambda: MANIFEST.write_text(f"{service.FIRST_LINE}\nmetadata: {{name: [\n"),
        "served/inferenceservice.yaml:3:1: error[yaml-syntax]",
    ),
    "nameless": (lambda: MANIFEST.write_text(f"{service.FIRST_LINE}\nmetadata: 1\n"), "names no service"),
    "a folder": (lambda: (MANIFEST.unlink(), MANIFEST.mkdir()), "error[missing-file]: cannot read served/inference"),
    "a link to nowhere": (
        lambda: (MANIFEST.unlink(), MANIFEST.symlink_to("x")),
        "error[missing-file]: no such file: served",
    ),
    "a pipe": (lambda: (MANIFEST.unlink(), os.mkfifo(MANIFEST)), "it is a pipe, not a file"),
}


@pytest.mark.parametrize(("change", "message"), FOREIGN.values(), ids=FOREIGN)
def test_another_programs_manifest_is_refused(run: Run, change: Callable[[], object], message: str) -> None:
    assert run(*KSERVE).code == 0
    change()
    before = everything()
    result = run(*KSERVE)
    assert result.code == Exit.IO
    assert message in result.err
    assert everything() == before


FULL = {
    "the model": (onnx_writer, "_write_tensor"),
    "the manifest": (Staging, "write_text"),
    "its place": (os, "replace"),
}


@pytest.mark.parametrize(("owner", "name"), FULL.values(), ids=FULL)
def test_a_full_disk_leaves_the_old_files(run: Run, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    assert run(*KSERVE).code == 0
    before = everything()
    real = getattr(owner, name)

    def full(*args: Any) -> None:
        if owner is onnx_writer or str(args[1]).endswith(service.SERVICE):
            monkeypatch.setattr(owner, name, real)  # what was written can then be taken back
            raise OSError(28, "No space left on device")
        real(*args)

    monkeypatch.setattr(owner, name, full)
    assert run(*KSERVE, "--seed", "1").code == Exit.IO
    assert everything() == before
    assert not list(Path().rglob(".staging-*"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--storage-uri", "models/tiny"), "KServe cannot fetch a repository from 'models/tiny'"),
        (("--storage-uri", "file:///models"), "KServe cannot fetch a repository from 'file:///models'"),
        (("--storage-uri", "s3://"), "KServe cannot fetch a repository from 's3://'"),
        (("--storage-uri", "pvc:///folder"), "KServe cannot fetch a repository from 'pvc:///folder'"),
        (("--storage-uri", "s3://a b"), "KServe cannot fetch a repository from 's3://a b'"),
        (("--storage-uri", "s3://a\n# b"), "KServe cannot fetch a repository from"),
        (("--storage-uri", ""), "--server kserve needs --storage-uri"),
        (("--service", "Tiny"), "error[bad-name]: invalid name of a KServe service: 'Tiny'"),
        (("--service", "1a"), "invalid name of a KServe service: '1a'"),
        (("--service", "a-"), "invalid name of a KServe service: 'a-'"),
        (("--service", "a" * 54), "53 at most"),
        (("--service-account", "a..b"), "invalid name of a Kubernetes service account: 'a..b'"),
        (("--name", "1.5"), "invalid name of a KServe service: '1-5'"),
        (("--cpu", "two"), "--cpu is not a Kubernetes quantity: 'two'"),
        (("--cpu", "0"), "--cpu is not a Kubernetes quantity: '0'"),
        (("--memory", "4GB"), "--memory is not a Kubernetes quantity: '4GB'"),
        (("--memory", "1e99Gi"), "--memory is not a Kubernetes quantity"),
        (("--min-replicas", "4"), "--min-replicas 4 is above --max-replicas 3"),
        (("--min-replicas", "0", "--autoscaler", "keda"), "keda cannot scale to zero replicas"),
        (("--scale-target", "101", "--autoscaler", "hpa"), "--scale-target 101 is a percentage of the CPUs"),
        (("--gpus", "1"), "--gpus needs a model that runs on a GPU"),
        (("--name", "a/b"), "invalid model name for Triton: 'a/b'"),
        (("--server", "triton"), "--storage-uri is for --server kserve"),
        (("--server", "onnxruntime"), "--storage-uri is for --server kserve"),
        (
            ("--batch", "2", "--max-batch", "8"),
            "--max-batch 8 needs a batch that can vary, and --batch fixes it at 2",
        ),
    ],
)
def test_errors(run: Run, args: tuple[str, ...], message: str) -> None:
    before = everything()
    result = run(*KSERVE, *args)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert message in result.err
    assert everything() == before
    assert not Path("served").exists()
