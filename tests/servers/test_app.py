"""The application of `resnetgen serve` with a model of the test's own, without a server."""

from __future__ import annotations

import asyncio
from threading import Barrier, Lock
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = [pytest.mark.server, pytest.mark.serve]


def test_two_requests_are_computed_at_once() -> None:
    """The others wait, since each takes memory for its numbers and its tensors."""
    from resnetgen.serve.app import create_app
    from resnetgen.serve.limits import MAX_INFERENCES
    from resnetgen.serve.protocol_tensors import TensorSpec

    lock, pairs, running, most = Lock(), Barrier(MAX_INFERENCES), 0, 0

    def infer(body: bytes) -> bytes:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        pairs.wait(20)  # fewer at once would never leave
        with lock:
            running -= 1
        return body

    app = create_app(SimpleNamespace(name="net", input=TensorSpec("input", "FP32", (1,)), infer=infer), 80)  # type: ignore[arg-type]
    statuses = []

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    async def ask() -> None:
        bodies = [{"type": "http.request", "body": b"{}", "more_body": False}]
        scope = {"type": "http", "method": "POST", "path": "/v2/models/net/infer", "headers": [(b"host", b"localhost")]}

        async def receive() -> Any:
            return bodies.pop()

        await app(scope | {"query_string": b"", "root_path": ""}, receive, send)

    async def main() -> None:
        await asyncio.gather(*[ask() for _ in range(4 * MAX_INFERENCES)])

    asyncio.run(main())
    assert (most, statuses) == (MAX_INFERENCES, [200] * 4 * MAX_INFERENCES)
