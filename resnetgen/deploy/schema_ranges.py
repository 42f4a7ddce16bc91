"""Ranges of the integers that servers read, from the servers' own schemas.

- Triton's configuration: protobuf/model_config.proto in triton-inference-server/common (83adf7c) gives the types;
  ValidateModelConfig in src/model_config_utils.cc of triton-inference-server/core (73aad7c) gives the lower bounds.
- A version's directory: VersionsToLoad in src/model_repository_manager/model_lifecycle.cc of the same repository reads
  its name as an int64, and crashes on a larger number.
- KServe's replicas and targets: ComponentExtensionSpec in pkg/apis/serving/v1beta1/component.go of kserve/kserve
  (aaac4e2).
- Kubernetes' quantities: pkg/api/resource/quantity.go in kubernetes/apimachinery (eed236c) allows 2^63 - 1 at most.
"""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.ranges import Range

INT32, UINT32, INT64, UINT64 = 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1
"""Largest number of each type."""


class ServerField(Range):
    """Range of the integers that a server accepts in a field.

    `option` is the option of `resnetgen deploy` that sets the field, `field` its name and type in the schema.
    """

    def __init__(self, option: str, smallest: int, largest: int, field: str) -> None:
        super().__init__(smallest, largest)
        self.option, self.field = option, field


RANGES = {
    "max_batch": ServerField("--max-batch", 0, INT32, "max_batch_size, an int32"),
    "preferred": ServerField("--preferred-batch", 1, INT32, "preferred_batch_size, an int32"),
    "queue_delay": ServerField("--queue-delay", 0, UINT64, "max_queue_delay_microseconds, a uint64"),
    "instances": ServerField("--instances", 1, INT32, "instance_group.count, an int32"),
    "latest": ServerField("--latest", 1, UINT32, "version_policy.latest.num_versions, a uint32"),
    "version": ServerField("--model-version", 1, INT64, "the name of a version's directory, an int64"),
    "gpus": ServerField("--gpus", 1, INT64, "nvidia.com/gpu, a quantity"),
    "min_replicas": ServerField("--min-replicas", 0, INT32, "minReplicas, an int32"),
    "max_replicas": ServerField("--max-replicas", 1, INT32, "maxReplicas, an int32"),
    "scale_target": ServerField("--scale-target", 1, INT32, "scaleTarget, an int32"),
}


def require_in_range(**numbers_by_name: int | Sequence[int] | None) -> None:
    """Check numbers by their names in RANGES; None is a field that is not set. Raises UsageError."""
    from resnetgen.errors import Code, UsageError

    for name, numbers in numbers_by_name.items():
        allowed = RANGES[name]
        for number in (numbers,) if isinstance(numbers, int) else numbers or ():
            if not allowed.smallest <= number <= allowed.largest:
                message = f"{allowed.option} {number} is out of range: it becomes {allowed.field}"
                hint = f"{allowed.smallest} to {allowed.largest}"
                raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)
