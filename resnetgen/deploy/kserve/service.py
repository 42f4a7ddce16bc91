"""What KServe is told of a service, and inferenceservice.yaml by templates/kserve/inferenceservice.yaml.j2."""

from __future__ import annotations

import json
import re
from dataclasses import field
from enum import StrEnum
from fractions import Fraction

from resnetgen.deploy.ranges import INT64
from resnetgen.errors import Code, Exit, fail
from resnetgen.frozen import Frozen
from resnetgen.profiles import Profile
from resnetgen.render import template

SERVICE = "inferenceservice.yaml"
MARK = "# Written by resnetgen, which writes this file anew as long as this line stands first."

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""KServe's own rule, which is stricter than RFC 1123's: a letter comes first."""
_LONGEST = 63 - len("-predictor")
"""KServe calls its Kubernetes service <name>-predictor, which is a label of DNS."""
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""RFC 1123's."""
_QUANTITY = re.compile(r"(?P<number>[0-9]{1,40}(\.[0-9]{1,3})?)(?P<suffix>m|k|[MGTPE]|[KMGTPE]i)?")
"""Kubernetes' way to count CPUs (500m is half of one) and bytes, without the exponents that it knows as well."""
_SUFFIXES = {"": Fraction(1), "m": Fraction(1, 1000)}
_SUFFIXES |= {suffix: Fraction(1000**power) for power, suffix in enumerate("kMGTPE", 1)}
_SUFFIXES |= {f"{suffix}i": Fraction(1024**power) for power, suffix in enumerate("KMGTPE", 1)}


class Autoscaler(StrEnum):
    """Who decides how many replicas run."""

    KNATIVE = "knative"
    """By the requests in flight; the only one that goes down to none."""
    HPA = "hpa"
    """Kubernetes' own, by the use of CPUs."""
    KEDA = "keda"
    """KEDA, by the use of CPUs."""


class Scaling(Frozen):
    autoscaler: Autoscaler
    least: int
    most: int
    """Replicas."""
    target: int
    """For each replica: requests in flight, or percent of its CPUs."""

    @property
    def mode(self) -> str:
        """KServe's name of the deployment mode, from 0.16 on; earlier ones say Serverless and RawDeployment."""
        return "Knative" if self.autoscaler is Autoscaler.KNATIVE else "Standard"

    @property
    def metric(self) -> str:
        return "concurrency" if self.autoscaler is Autoscaler.KNATIVE else "cpu"


class Service(Frozen):
    name: str
    storage_uri: str
    """Of the repository, where the cluster finds it."""
    model: str
    """The one that was deployed last, and the sum of its files: another one makes KServe start new replicas."""
    runtime_version: str | None
    """The tag of Triton's image; None: the cluster's own."""
    service_account: str | None
    """Whose secrets open the storage; None: the namespace's own."""
    scaling: Scaling
    resources: dict[str, str] = field(default_factory=dict)
    """Of each replica, as Kubernetes names and counts them; requested, and the limit."""

    def render(self) -> str:
        quoted = {"quoted": json.dumps}  # a string of JSON is one of YAML
        return template(f"kserve/{SERVICE}.j2", quoted).render(service=self, scaling=self.scaling, mark=MARK)

    def said(self) -> dict[str, str | int]:
        """All that the file must say, by path."""
        scaling, predictor, annotation = self.scaling, "spec.predictor", "metadata.annotations.serving.kserve.io"
        values: dict[str, str | int | None] = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata.name": self.name,
            f"{annotation}/deploymentMode": scaling.mode,
            f"{predictor}.annotations.resnetgen-model": self.model,
            f"{predictor}.serviceAccountName": self.service_account,
            f"{predictor}.minReplicas": scaling.least,
            f"{predictor}.maxReplicas": scaling.most,
            f"{predictor}.model.modelFormat.name": "triton",
            f"{predictor}.model.protocolVersion": "v2",
            f"{predictor}.model.runtimeVersion": self.runtime_version,
            f"{predictor}.model.storageUri": self.storage_uri,
        }
        for name, quantity in self.resources.items():
            values[f"{predictor}.model.resources.requests.{name}"] = quantity
            values[f"{predictor}.model.resources.limits.{name}"] = quantity
        if scaling.autoscaler is not Autoscaler.KNATIVE:
            values[f"{annotation}/autoscalerClass"] = scaling.autoscaler.value
        if scaling.autoscaler is Autoscaler.KEDA:
            metric = f"{predictor}.autoScaling.metrics.0"
            values[f"{metric}.type"] = "Resource"
            values[f"{metric}.resource.name"] = scaling.metric
            values[f"{metric}.resource.target.type"] = "Utilization"
            values[f"{metric}.resource.target.averageUtilization"] = scaling.target
        else:
            values[f"{predictor}.scaleMetric"] = scaling.metric
            values[f"{predictor}.scaleTarget"] = scaling.target
        return {path: value for path, value in values.items() if value is not None}


def service_name(wanted: str | None, model: str) -> str:
    """The one that is wanted, or the model's as Kubernetes can write it. Raises Failure (exit 2) where it cannot."""
    name = wanted or re.sub("[_.]", "-", model.lower())
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        message = f"KServe takes no service called {name!r}"
        hint = f"--service with a-z, 0-9 and -, a letter first and no - last, {_LONGEST} at most"
        raise fail(Exit.USAGE, Code.BAD_NAME, message, hint=hint)
    return name


def service_account(given: str) -> str:
    """Raises Failure (exit 2) where Kubernetes could have none of that name."""
    if not _SUBDOMAIN.fullmatch(given) or len(given) > 253:
        message = f"no service account of Kubernetes is called {given!r}"
        raise fail(Exit.USAGE, Code.BAD_NAME, message, hint="--service-account with a-z, 0-9, - and .")
    return given


def quantity(option: str, given: str) -> str:
    """Return a quantity. Raises Failure (exit 2) where Kubernetes could not read it, or would change it.

    Kubernetes cuts quantities at 2^63 - 1 and rounds them to thousandths.
    """
    found, hint = _QUANTITY.fullmatch(given), "such as 2 or 500m CPUs, 4Gi or 512Mi of memory"
    if found:
        value = Fraction(found["number"]) * _SUFFIXES[found["suffix"] or ""]
        hint = f"above 0, {INT64} at most, in whole thousandths"
    if not found or not 0 < value <= INT64 or (value * 1000).denominator != 1:
        message = f"{option} is no quantity of Kubernetes: {given!r}"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint=hint)
    return given


def runtime_version(profile: Profile | None) -> str | None:
    """24.08-py3, the image of triton-24.08."""
    return f"{profile.name.removeprefix('triton-')}-py3" if profile and profile.family == "triton" else None
