"""resnetgen deploy --server kserve: the repository and its manifest, KServe's own schema of it, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from resnetgen.deploy.kserve import check, openapi, service
from resnetgen.errors import Exit
from resnetgen.formats.onnx import write as onnx_writer
from resnetgen.staging.files import Staging
from support.helpers import Run
from support.needs import kserve_python
from support.places import TESTS

TINY = """\
use: std
input: 3x16x16
params: {classes: 4}
stages:
  conv1: 16x16 | 3x3, 4
  head:  1x1   | gap | fc $classes | softmax
"""
KSERVE = ("deploy", "tiny.yaml", "--server", "kserve", "-o", "served", "--storage-uri", "s3://models/tiny")
MANIFEST = Path("served/inferenceservice.yaml")

VARIANTS: dict[str, tuple[str, ...]] = {
    "nothing but the URI": (),
    "Knative": ("--max-batch", "8", "--instances", "2", "--min-replicas", "0", "--max-replicas", "5"),
    "Kubernetes' own autoscaler": ("--autoscaler", "hpa", "--scale-target", "60"),
    "KEDA": ("--autoscaler", "keda"),
    "a GPU": ("--device", "gpu", "--gpus", "2", "--tensorrt", "fp16", "--cpu", "1500m", "--memory", "6Gi"),
    "a runtime": ("--runtime", "triton-24.08", "--storage-uri", "pvc://claim"),
    "an account": ("--service-account", "s3.reader-1"),
    "another runtime": ("--runtime", "ort-1.15", "--storage-uri", "gs://bucket/a%20b/c?d=e#f"),
    "a name that YAML would take for something else": ("--service", "no", "--name", "Tiny_1.5"),
}


@pytest.fixture(autouse=True)
def _files(run: Run) -> None:
    """A spec, and the labels of its classes."""
    Path("tiny.yaml").write_text(TINY)
    Path("labels.txt").write_text("cat\ndog\nhen\nyak\n")


def everything() -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def read(path: Path = MANIFEST) -> dict[str, Any]:
    """By YAML 1.1, which kubectl reads: an unquoted `no` would be false."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    return dict(yaml.load("%YAML 1.1\n---\n" + path.read_text()))


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


def deploy_all(run: Run) -> dict[str, Path]:
    """The manifest of each variant."""
    found = {}
    for number, (name, options) in enumerate(VARIANTS.items()):
        assert run(*KSERVE, "-o", f"served{number}", *options).code == 0
        found[name] = Path(f"served{number}/inferenceservice.yaml")
    return found


def test_options_are_said(run: Run) -> None:
    said = {name: read(path) for name, path in deploy_all(run).items()}
    predictors = {name: each["spec"]["predictor"] for name, each in said.items()}
    knative = predictors["Knative"]
    assert (knative["minReplicas"], knative["maxReplicas"], knative["scaleTarget"]) == (0, 5, 16)
    own = predictors["Kubernetes' own autoscaler"]
    assert (own["scaleMetric"], own["scaleTarget"]) == ("cpu", 60)
    keda = predictors["KEDA"]
    assert not keda.keys() & {"scaleMetric", "scaleTarget"}, "KServe refuses scaleMetric for KEDA"
    target = {"type": "Utilization", "averageUtilization": 80}
    assert keda["autoScaling"] == {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]}
    for name, autoscaler in (("Kubernetes' own autoscaler", "hpa"), ("KEDA", "keda")):
        annotations = said[name]["metadata"]["annotations"]
        assert annotations == {
            "serving.kserve.io/deploymentMode": "Standard",
            "serving.kserve.io/autoscalerClass": autoscaler,
        }
    limits = predictors["a GPU"]["model"]["resources"]["limits"]
    assert limits == {"cpu": "1500m", "memory": "6Gi", "nvidia.com/gpu": "2"}
    assert predictors["an account"]["serviceAccountName"] == "s3.reader-1"
    assert predictors["a runtime"]["model"]["runtimeVersion"] == "24.08-py3"
    assert "runtimeVersion" not in predictors["another runtime"]["model"]
    assert predictors["another runtime"]["model"]["storageUri"] == "gs://bucket/a%20b/c?d=e#f"
    assert said["a name that YAML would take for something else"]["metadata"]["name"] == "no"


@pytest.mark.parametrize(
    ("model", "expected"), [("resnet20_cifar", "resnet20-cifar"), ("ResNet.v1.5", "resnet-v1-5"), ("a", "a")]
)
def test_the_name_of_a_service_is_the_model_s_as_kubernetes_writes_it(model: str, expected: str) -> None:
    assert service.service_name(None, model) == expected


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


# The schema of kserve

MISSPELT = [
    ("storageUri:", "storageURI:", "spec.predictor.model.storageURI"),
    ("protocolVersion:", "protocol:", "spec.predictor.model.protocol"),
    ("scaleTarget: 1", 'scaleTarget: "1"', "spec.predictor.scaleTarget"),
    ("    minReplicas: 1", "    minReplica: 1", "spec.predictor.minReplica"),
    ("requests:", "request:", "spec.predictor.model.resources.request"),
    ("annotations:", "annotation:", "metadata.annotation"),
]


@pytest.fixture
def kserve_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """kserve and kubernetes are found, as if they were installed here."""
    code = "from importlib.util import find_spec as f; print(f('kserve').submodule_search_locations[0])"
    found = subprocess.run([str(kserve_python()), "-c", code], capture_output=True, text=True, check=True).stdout
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(found.strip()).parent)])


def misspelt(text: str) -> dict[str, tuple[str, str]]:
    """path -> a manifest, and what is wrong with it."""
    assert all(old in text for old, _, _ in MISSPELT)
    return {f"misspelt{n}.yaml": (text.replace(old, new, 1), where) for n, (old, new, where) in enumerate(MISSPELT)}


@pytest.mark.kserve
def test_kserve_takes_every_manifest_and_no_misspelt_one(run: Run) -> None:
    good = deploy_all(run)
    bad = misspelt(good["nothing but the URI"].read_text())
    for path, (text, _) in bad.items():
        Path(path).write_text(text)
    script = TESTS / "support" / "kserve_schema.py"
    command = [str(kserve_python()), str(script), *map(str, good.values()), *bad]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert {path: said[path] for path in map(str, good.values())} == {str(path): [] for path in good.values()}
    assert {path: said[path] for path in bad} == {path: [where] for path, (_, where) in bad.items()}


@pytest.mark.kserve
@pytest.mark.usefixtures("kserve_packages")
def test_the_product_s_own_look_at_the_schema_says_the_same(run: Run) -> None:
    assert openapi._models(), "the schema is at hand"
    for path in deploy_all(run).values():
        assert openapi.violations(read(path)) == []
    for path, (text, where) in misspelt(Path("served0/inferenceservice.yaml").read_text()).items():
        Path(path).write_text(text)
        (found,) = openapi.violations(read(Path(path)))
        assert where in found
    assert "kserve" not in sys.modules, "it is read, not imported"


GENERATED = {
    "kserve/__init__.py": "raise ImportError('nothing here is run')",
    "kserve/models/v1beta1_inference_service.py": """\
class V1beta1InferenceService(object):
    openapi_types = {'meta_data': 'V1ObjectMeta', 'items': 'list[str]', 'flag': 'bool', 'size': 'Quantity'}
    attribute_map = {'meta_data': 'metaData', 'items': 'items', 'flag': 'flag', 'size': 'size'}
""",
    "kubernetes/__init__.py": "raise ImportError('nothing here is run')",
    "kubernetes/client/models/v1_object_meta.py": """\
class V1ObjectMeta(BaseModel):
    openapi_types: ClassVar[Dict[str, str]] = {'label_set': 'Dict[str, int]', 'share': 'float'}
    attribute_map: ClassVar[Dict[str, str]] = {'label_set': 'labelSet', 'share': 'share'}
""",
}


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"metaData": {"labelSet": {"a": 1}}, "items": ["a"], "flag": True, "size": {"no": "class"}}, []),
        ({"meta_data": {}}, ["there is no field meta_data"]),
        ({"metaData": {"labels": {}}}, ["there is no field metaData.labels"]),
        ({"metaData": {"labelSet": {"a": "b"}}}, ["metaData.labelSet.a is 'b', not of type int"]),
        ({"metaData": {"labelSet": {"a": True}}}, ["metaData.labelSet.a is True, not of type int"]),
        ({"metaData": {"share": 1}}, []),
        ({"metaData": {"share": 0.5}}, []),
        ({"metaData": {"share": "0.5"}}, ["metaData.share is '0.5', not of type float"]),
        ({"metaData": {"share": True}}, ["metaData.share is True, not of type float"]),
        ({"metaData": {"labelSet": 1}}, ["metaData.labelSet is 1, no mapping"]),
        ({"metaData": 1, "items": 2}, ["metaData is 1, no mapping", "items is 2, no list"]),
        ({"items": ["a", 2]}, ["items.1 is 2, not of type str"]),
    ],
)
def test_a_schema_is_read_as_data(
    document: dict[str, Any], found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in GENERATED.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    assert openapi.violations(document) == found


def test_without_kserve_nothing_is_held_against_its_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "find_spec", lambda _: None)
    assert openapi.violations({"anything": 1}) == []


# What is written, read back


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name: "tiny"', 'name: "tony"', "metadata.name is 'tony', not 'tiny'"),
        ("s3://models", "s3://model", "storageUri is 's3://model/tiny', not 's3://models/tiny'"),
        ("protocolVersion: v2", "protocolVersion: v1", "protocolVersion is 'v1', not 'v2'"),
        ("name: triton", "name: onnx", "modelFormat.name is 'onnx', not 'triton'"),
        ("      protocolVersion: v2\n", "", "protocolVersion is None, not 'v2'"),
        ("    maxReplicas: 3\n", "    maxReplicas: 3\n    timeout: 9\n", "spec.predictor.timeout is 9, not None"),
        ('memory: "3Gi"', 'memory: "3G"', "spec.predictor.model.resources.requests.memory is '3G', not '3Gi'"),
    ],
)
def test_a_wrong_manifest_is_our_bug_and_publishes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    real = service.Service.render
    assert run(*KSERVE, "-o", "good").code == 0
    assert old in Path("good/inferenceservice.yaml").read_text()
    before = everything()
    monkeypatch.setattr(service.Service, "render", lambda self: real(self).replace(old, new, 1))
    result = run(*KSERVE)
    assert result.code == Exit.BUG
    assert "inferenceservice.yaml, read back, differs from its graph: " in result.err
    assert message in result.err
    assert everything() == before
    assert not Path("served").exists()


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
    assert (
        "inferenceservice.yaml:5:9: error[output]: the manifest that stands there is of another service" in result.err
    )
    assert "hint: --service tiny serves both models" in result.err
    assert everything() == before
    assert run(*KSERVE, "--name", "other", "--service", "tiny").code == 0
    assert {path.name for path in Path("served/repository").iterdir()} == {"tiny", "other"}


FOREIGN: dict[str, tuple[Callable[[], object], str]] = {
    "another's": (
        lambda: MANIFEST.write_text("kind: InferenceService\n"),
        "served/inferenceservice.yaml:1:1: error[output]: a manifest that resnetgen did not write stands there",
    ),
    "not text": (lambda: MANIFEST.write_bytes(b"\xff\x00"), "a manifest that resnetgen did not write stands there"),
    "empty": (lambda: MANIFEST.write_bytes(b""), "a manifest that resnetgen did not write stands there"),
    "broken": (
        lambda: MANIFEST.write_text(f"{service.MARK}\nmetadata: {{name: [\n"),
        "served/inferenceservice.yaml:3:1: error[yaml-syntax]",
    ),
    "nameless": (lambda: MANIFEST.write_text(f"{service.MARK}\nmetadata: 1\n"), "names no service"),
    "a folder": (lambda: (MANIFEST.unlink(), MANIFEST.mkdir()), "error[missing-file]: cannot read served/inference"),
    "a link to nowhere": (
        lambda: (MANIFEST.unlink(), MANIFEST.symlink_to("x")),
        "error[missing-file]: no such file: served",
    ),
    "a pipe": (lambda: (MANIFEST.unlink(), os.mkfifo(MANIFEST)), "it is a pipe, not a file"),
}


@pytest.mark.parametrize(("change", "message"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_manifest_is_left_alone(run: Run, change: Callable[[], object], message: str) -> None:
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
def test_a_full_disk_leaves_what_stood_there(run: Run, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
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
        (("--storage-uri", "models/tiny"), "KServe fetches nothing from 'models/tiny'"),
        (("--storage-uri", "file:///models"), "KServe fetches nothing from 'file:///models'"),
        (("--storage-uri", "s3://"), "KServe fetches nothing from 's3://'"),
        (("--storage-uri", "pvc:///folder"), "KServe fetches nothing from 'pvc:///folder'"),
        (("--storage-uri", "s3://a b"), "KServe fetches nothing from 's3://a b'"),
        (("--storage-uri", "s3://a\n# b"), "KServe fetches nothing from"),
        (("--storage-uri", ""), "--server kserve needs --storage-uri"),
        (("--service", "Tiny"), "error[bad-name]: KServe takes no service called 'Tiny'"),
        (("--service", "1a"), "KServe takes no service called '1a'"),
        (("--service", "a-"), "KServe takes no service called 'a-'"),
        (("--service", "a" * 54), "53 at most"),
        (("--service-account", "a..b"), "no service account of Kubernetes is called 'a..b'"),
        (("--name", "1.5"), "KServe takes no service called '1-5'"),
        (("--cpu", "two"), "--cpu is no quantity of Kubernetes: 'two'"),
        (("--cpu", "0"), "--cpu is no quantity of Kubernetes: '0'"),
        (("--memory", "4GB"), "--memory is no quantity of Kubernetes: '4GB'"),
        (("--memory", "1e99Gi"), "--memory is no quantity of Kubernetes"),
        (("--min-replicas", "4"), "--min-replicas 4 is above --max-replicas 3"),
        (("--min-replicas", "0", "--autoscaler", "keda"), "keda never goes down to no replica"),
        (("--scale-target", "101", "--autoscaler", "hpa"), "--scale-target 101 is a percentage of the CPUs"),
        (("--gpus", "1"), "--gpus asks for what the model would not use"),
        (("--name", "a/b"), "Triton takes no model called 'a/b'"),
        (("--server", "triton"), "--storage-uri is for --server kserve"),
        (("--server", "onnxruntime"), "--storage-uri is for --server kserve"),
        (("--batch", "2", "--max-batch", "8"), "a batch fixed at 2 leaves nothing to batch up to 8"),
    ],
)
def test_errors(run: Run, args: tuple[str, ...], message: str) -> None:
    before = everything()
    result = run(*KSERVE, *args)
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert message in result.err
    assert everything() == before
    assert not Path("served").exists()


def test_what_is_read_back_is_all_that_is_said() -> None:
    """A path that the file lacks, and one that it should not have."""
    assert check.differences("a: {b: [1, {c: x}]}\n", {"a.b.0": 1, "a.b.1.c": "x"}) == []
    assert check.differences("a: 1\n", {"b": 2}) == ["a is 1, not None", "b is None, not 2"]
