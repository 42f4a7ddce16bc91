"""inferenceservice.yaml against KServe's own schema and the values that it must have, which `deploy` itself does not
check again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetgen import render
from resnetgen.deploy.kserve.service import Autoscaler, Scaling, Service
from resnetgen.deploy.schema_ranges import RANGES
from resnetgen.paths import TEMPLATES
from support.deployed import KSERVE, MANIFEST, PLAIN
from support.helpers import Run
from support.kserve_manifest import differences, expected_values, parse
from support.needs import kserve_python
from support.places import TESTS

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
    Path("tiny.yaml").write_text(PLAIN)


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> list[Service]:
    """The services that are deployed while a test runs."""
    found: list[Service] = []
    real = Service.render

    def keep(service: Service) -> str:
        found.append(service)
        return real(service)

    monkeypatch.setattr(Service, "render", keep)
    return found


def deploy_all(run: Run) -> dict[str, Path]:
    """The manifest of each variant."""
    found = {}
    for number, (name, options) in enumerate(VARIANTS.items()):
        assert run(*KSERVE, "-o", f"served{number}", *options).code == 0
        found[name] = Path(f"served{number}/inferenceservice.yaml")
    return found


def test_options(run: Run) -> None:
    said = {name: parse(path.read_text()) for name, path in deploy_all(run).items()}
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


def test_each_manifest_has_its_values_and_no_others(run: Run, services: list[Service]) -> None:
    manifests = deploy_all(run)
    assert len(services) == len(manifests)
    for path, service in zip(manifests.values(), services, strict=True):
        assert differences(path.read_text(), expected_values(service)) == []


def test_a_missing_value_and_an_unexpected_one_are_reported() -> None:
    assert differences("a: {b: [1, {c: x}]}\n", {"a.b.0": 1, "a.b.1.c": "x"}) == []
    assert differences("a: 1\n", {"b": 2}) == ["a is 1, not None", "b is None, not 2"]


BROKEN = {
    "another name": ("{{ service.name | quoted }}", '"tony"', "metadata.name is 'tony', not 'tiny'"),
    "a part of the URI": ("{{ service.storage_uri | quoted }}", '"s3://model"', "storageUri is 's3://model', not 's3:"),
    "another protocol": ("protocolVersion: v2", "protocolVersion: v1", "protocolVersion is 'v1', not 'v2'"),
    "another format": ("name: triton", "name: onnx", "modelFormat.name is 'onnx', not 'triton'"),
    "no protocol": ("      protocolVersion: v2\n", "", "protocolVersion is None, not 'v2'"),
    "another field": ("    maxReplicas:", "    timeout: 9\n    maxReplicas:", "spec.predictor.timeout is 9, not None"),
    "no quotes": ("{{ service.name | quoted }}", "{{ service.name }}", "metadata.name is False, not 'no'"),
}
"""Fault -> a text of the template, the broken one in its place, and the report."""


@pytest.mark.parametrize(("old", "new", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_template_is_reported(
    run: Run, services: list[Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    """The negative control."""
    for path in TEMPLATES.rglob("*.j2"):
        copy = tmp_path / "templates" / path.relative_to(TEMPLATES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    broken = tmp_path / "templates/kserve/inferenceservice.yaml.j2"
    assert old in broken.read_text()
    broken.write_text(broken.read_text().replace(old, new, 1))
    monkeypatch.setattr(render, "TEMPLATES", tmp_path / "templates")
    assert run(*KSERVE, *(("--service", "no") if "'no'" in message else ())).code == 0
    assert message in "; ".join(differences(MANIFEST.read_text(), expected_values(services[0])))


TEXTS = st.text(st.characters(min_codepoint=ord(" "), max_codepoint=ord("~")), min_size=1, max_size=20)
"""ASCII, which is all that a name, URI or quantity of Kubernetes may have."""


@settings(deadline=None)
@given(
    name=TEXTS,
    uri=TEXTS,
    account=st.none() | TEXTS,
    resources=st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), TEXTS, min_size=1),
    scaling=st.builds(
        Scaling,
        autoscaler=st.sampled_from(Autoscaler),
        min_replicas=st.integers(*RANGES["min_replicas"]),
        max_replicas=st.integers(*RANGES["max_replicas"]),
        scale_target=st.integers(*RANGES["scale_target"]),
    ),
)
def test_any_texts_and_numbers_are_read_back(
    name: str, uri: str, account: str | None, resources: Mapping[str, str], scaling: Scaling
) -> None:
    service = Service(name, uri, "net@sha256:0", None, account, scaling, dict(resources))
    assert differences(service.render(), expected_values(service)) == []


# The schema of the package kserve

MISSPELT = [
    ("storageUri:", "storageURI:", "spec.predictor.model.storageURI"),
    ("protocolVersion:", "protocol:", "spec.predictor.model.protocol"),
    ("scaleTarget: 1", 'scaleTarget: "1"', "spec.predictor.scaleTarget"),
    ("    minReplicas: 1", "    minReplica: 1", "spec.predictor.minReplica"),
    ("requests:", "request:", "spec.predictor.model.resources.request"),
    ("annotations:", "annotation:", "metadata.annotation"),
]


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
