"""inferenceservice.yaml as YAML 1.1, which kubectl reads, against all values that a service must have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML

from resnetgen.deploy.kserve.service import Autoscaler, Service


def parse(text: str) -> dict[str, Any]:
    """Return the document of a text; an unquoted `no` would be false."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    return dict(yaml.load("%YAML 1.1\n---\n" + text))


def differences(text: str, expected: Mapping[str, object]) -> list[str]:
    """Return each value of a manifest that is missing, unexpected or another one."""
    found = dict(_flat(parse(text)))
    paths = [path for path in {**found, **expected} if found.get(path) != expected.get(path)]
    return [f"{path} is {found.get(path)!r}, not {expected.get(path)!r}" for path in paths]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each scalar with its path: ("spec.predictor.minReplicas", 1)."""
    if not isinstance(value, dict | list):
        yield path, value
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _flat(item, f"{path}.{key}".lstrip("."))


def expected_values(service: Service) -> dict[str, object]:
    """Return all values that the manifest of a service must have, by path."""
    scaling, predictor, annotation = service.scaling, "spec.predictor", "metadata.annotations.serving.kserve.io"
    values: dict[str, object] = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata.name": service.name,
        f"{annotation}/deploymentMode": scaling.mode,
        f"{predictor}.annotations.resnetgen-model": service.model,
        f"{predictor}.serviceAccountName": service.service_account,
        f"{predictor}.minReplicas": scaling.min_replicas,
        f"{predictor}.maxReplicas": scaling.max_replicas,
        f"{predictor}.model.modelFormat.name": "triton",
        f"{predictor}.model.protocolVersion": "v2",
        f"{predictor}.model.runtimeVersion": service.runtime_version,
        f"{predictor}.model.storageUri": service.storage_uri,
    }
    for name, quantity in service.resources.items():
        values[f"{predictor}.model.resources.requests.{name}"] = quantity
        values[f"{predictor}.model.resources.limits.{name}"] = quantity
    if scaling.autoscaler is not Autoscaler.KNATIVE:
        values[f"{annotation}/autoscalerClass"] = scaling.autoscaler.value
    if scaling.autoscaler is Autoscaler.KEDA:
        metric = f"{predictor}.autoScaling.metrics.0"
        values[f"{metric}.type"] = "Resource"
        values[f"{metric}.resource.name"] = scaling.metric
        values[f"{metric}.resource.target.type"] = "Utilization"
        values[f"{metric}.resource.target.averageUtilization"] = scaling.scale_target
    else:
        values[f"{predictor}.scaleMetric"] = scaling.metric
        values[f"{predictor}.scaleTarget"] = scaling.scale_target
    return {path: value for path, value in values.items() if value is not None}
