"""InferenceService of KServe, and its manifest by templates/kserve/inferenceservice.yaml.j2."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from fractions import Fraction

from msgspec import Struct, field

from resnetgen.deploy.schema_ranges import INT64
from resnetgen.errors import Code, UsageError
from resnetgen.profiles import Profile
from resnetgen.render import template

SERVICE = "inferenceservice.yaml"
FIRST_LINE = "# Written by resnetgen, which writes this file anew as long as this line stands first."

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""Rule of KServe, stricter than RFC 1123: the first character is a letter."""
_LONGEST = 63 - len("-predictor")
"""Limit in characters: KServe names its Kubernetes service <name>-predictor, which must be a DNS label."""
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""Subdomain by RFC 1123."""
_QUANTITY = re.compile(r"(?P<number>[0-9]{1,40}(\.[0-9]{1,3})?)(?P<suffix>m|k|[MGTPE]|[KMGTPE]i)?")
"""Quantity of Kubernetes for CPUs (500m is half of one) and bytes, without exponents, which it allows as well."""
_SUFFIXES = {"": Fraction(1), "m": Fraction(1, 1000)}
_SUFFIXES |= {suffix: Fraction(1000**power) for power, suffix in enumerate("kMGTPE", 1)}
_SUFFIXES |= {f"{suffix}i": Fraction(1024**power) for power, suffix in enumerate("KMGTPE", 1)}


class Autoscaler(StrEnum):
    """Autoscaler that sets the number of replicas."""

    KNATIVE = "knative"
    """Scales by requests in flight; the only one that can scale to zero."""
    HPA = "hpa"
    """Kubernetes' own, by the use of CPUs."""
    KEDA = "keda"
    """KEDA, by the use of CPUs."""


class Scaling(Struct, frozen=True):
    """Number of replicas, and the load at which another one is started."""

    autoscaler: Autoscaler
    min_replicas: int
    max_replicas: int
    scale_target: int
    """Load per replica: requests in flight, or percent of its CPUs."""

    @property
    def mode(self) -> str:
        """Name of the deployment mode, as in KServe 0.16 and later; earlier versions use Serverless and
        RawDeployment."""
        return "Knative" if self.autoscaler is Autoscaler.KNATIVE else "Standard"

    @property
    def metric(self) -> str:
        return "concurrency" if self.autoscaler is Autoscaler.KNATIVE else "cpu"


class Service(Struct, frozen=True):
    """Values of inferenceservice.yaml."""

    name: str
    storage_uri: str
    """URI of the repository."""
    model: str
    """Model deployed last, with the checksum of its files; a new value makes KServe start new replicas."""
    runtime_version: str | None
    """Tag of Triton's image; None for the default of the cluster."""
    service_account: str | None
    """Service account with the secrets of the storage; None for the default of the namespace."""
    scaling: Scaling
    resources: dict[str, str] = field(default_factory=dict)
    """Resources of each replica, by name and as quantities of Kubernetes; both the request and the limit."""

    def render(self) -> str:
        quoted = {"quoted": json.dumps}  # a JSON string is a valid YAML string
        return template(f"kserve/{SERVICE}.j2", quoted).render(service=self, scaling=self.scaling, mark=FIRST_LINE)


def choose_service_name(requested: str | None, model: str) -> str:
    """Return the requested name of the service, or the model's name adapted to Kubernetes.

    Raises UsageError if it is invalid.
    """
    name = requested or re.sub("[_.]", "-", model.lower())
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        message = f"invalid name of a KServe service: {name!r}"
        hint = f"--service with a-z, 0-9 and -, a letter first and no - last, {_LONGEST} at most"
        raise UsageError.of(Code.BAD_NAME, message, hint=hint)
    return name


def require_service_account(text: str) -> str:
    """Return the name of a service account. Raises UsageError if it is invalid."""
    if not _SUBDOMAIN.fullmatch(text) or len(text) > 253:
        message = f"invalid name of a Kubernetes service account: {text!r}"
        raise UsageError.of(Code.BAD_NAME, message, hint="--service-account with a-z, 0-9, - and .")
    return text


def require_quantity(option: str, text: str) -> str:
    """Return a quantity. Raises UsageError if Kubernetes cannot read it, or would change it.

    Kubernetes limits quantities to 2^63 - 1 and rounds them to thousandths.
    """
    match, hint = _QUANTITY.fullmatch(text), "such as 2 or 500m CPUs, 4Gi or 512Mi of memory"
    if match:
        value = Fraction(match["number"]) * _SUFFIXES[match["suffix"] or ""]
        hint = f"above 0, {INT64} at most, in whole thousandths"
    if not match or not 0 < value <= INT64 or (value * 1000).denominator != 1:
        message = f"{option} is not a Kubernetes quantity: {text!r}"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)
    return text


def runtime_version(profile: Profile | None) -> str | None:
    """Return the tag of a profile's Triton image, 24.08-py3 for triton-24.08; None for other profiles."""
    return f"{profile.name.removeprefix('triton-')}-py3" if profile and profile.family == "triton" else None
