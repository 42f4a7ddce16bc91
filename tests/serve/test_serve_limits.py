"""Refusals of `serve` before a model runs: hosts, bodies, texts among numbers. Real servers: tests/servers/."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from resnetgen.serve.asgi import Message, Receive, RequestError, Scope, Send
from resnetgen.serve.bodies import LimitedBodies
from resnetgen.serve.hosts import LoopbackHosts
from resnetgen.serve.limits import BATCH_BYTES, FRAME_BYTES, HELD_BYTES, MAX_MESSAGE, VALUE_BYTES, body_limit
from resnetgen.serve.protocol_tensors import ANY, TensorSpec


class Application:
    """Application that answers each request with 200, and keeps the bodies."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert not message["more_body"]
        self.bodies.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


class Client:
    """A request in chunks; counts those that are read, and keeps the answer."""

    def __init__(self, *chunks: bytes, headers: dict[bytes, bytes] | None = None, ends: bool = True) -> None:
        self.scope: Scope = {"type": "http", "headers": list((headers or {}).items())}
        self._messages: Iterator[Message] = self._compose(chunks, ends)
        self.read = 0
        self.status = 0
        self.body = b""

    def _compose(self, chunks: tuple[bytes, ...], ends: bool) -> Iterator[Message]:
        for number, chunk in enumerate(chunks, 1):
            self.read = number
            yield {"type": "http.request", "body": chunk, "more_body": not ends or number < len(chunks)}
        yield {"type": "http.disconnect"}

    async def receive(self) -> Message:
        return next(self._messages)

    async def send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")

    def ask(self, app: Any) -> str:
        """Return the error of the answer, or nothing."""
        asyncio.run(app(self.scope, self.receive, self.send))
        return str(json.loads(self.body or b"{}").get("error", ""))


# Hosts


@pytest.mark.parametrize("host", [b"127.0.0.1:8080", b"localhost:8080", b"LocalHost:8080", b"[::1]:8080"])
def test_loopback_names_are_answered(host: bytes) -> None:
    app = Application()
    client = Client(b"a", headers={b"host": host})
    assert client.ask(LoopbackHosts(app, 8080)) == ""
    assert (client.status, app.bodies) == (200, [b"a"])


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example:8080",
        b"evil.example",
        b"127.0.0.1",
        b"127.0.0.1:80",
        b"127.0.0.1:8081",
        b"127.0.0.1:8080.evil.example",
        b"localhost.evil.example:8080",
        b"localhost.:8080",
        b"0.0.0.0:8080",
        b"127.0.0.2:8080",
        b"user@127.0.0.1:8080",
        b"[::1]",
        b"::1:8080",
        b"",
        b"\xff\x1b[31m" + b"x" * 10_000,
    ],
)
def test_other_hosts_are_refused(host: bytes) -> None:
    app = Application()
    client = Client(b"a", headers={b"host": host})
    said = client.ask(LoopbackHosts(app, 8080))
    assert said.startswith("the host must be a loopback name, not ")
    assert said.isprintable()
    assert len(said) < MAX_MESSAGE + 50
    assert (client.status, client.read, app.bodies) == (421, 0, [])


def test_no_host_and_two_hosts_are_refused() -> None:
    for headers in ([], [(b"host", b"127.0.0.1:8080"), (b"host", b"evil.example")]):
        client = Client(b"a")
        client.scope["headers"] = headers
        assert client.ask(LoopbackHosts(Application(), 8080))
        assert client.status == 421


def test_the_port_that_clients_leave_out() -> None:
    client = Client(b"a", headers={b"host": b"localhost"})
    assert client.ask(LoopbackHosts(Application(), 80)) == ""


# Bodies


@pytest.mark.parametrize(
    ("shape", "limit"),
    [
        ((1, 3, 32, 32), FRAME_BYTES + VALUE_BYTES * 3072),
        ((8, 3, 32, 32), FRAME_BYTES + VALUE_BYTES * 8 * 3072),
        ((ANY, 3, 224, 224), FRAME_BYTES + BATCH_BYTES),
        ((ANY, 3, ANY, ANY), FRAME_BYTES + BATCH_BYTES),
        ((ANY, 3, 4096, 4096), FRAME_BYTES + VALUE_BYTES * 3 * 4096 * 4096),
        ((), FRAME_BYTES + VALUE_BYTES),
    ],
)
def test_the_limit_follows_from_the_input(shape: tuple[int, ...], limit: int) -> None:
    assert body_limit(shape) == limit


def test_a_batch_of_doubles_fits() -> None:
    """Each value written as long as JSON writers do, and nested with spaces."""
    data = np.full((4, 3, 32, 32), -1.2345678901234567e-200).tolist()
    assert len(json.dumps({"inputs": [{"data": data}]})) < body_limit((4, 3, 32, 32))


def test_a_body_is_passed_on_whole() -> None:
    app = Application()
    client = Client(b"ab", b"", b"c")
    assert client.ask(LimitedBodies(app, 3)) == ""
    assert app.bodies == [b"abc"]


def test_a_length_beyond_the_limit_is_refused_before_anything_is_read() -> None:
    app = Application()
    client = Client(*[b"x"] * 400, headers={b"content-length": b"400000000"})
    assert client.ask(LimitedBodies(app, 100)) == "the body is larger than 100 bytes, the limit for this model"
    assert (client.status, client.read, app.bodies) == (413, 0, [])


def test_a_body_without_a_length_is_read_up_to_the_limit() -> None:
    app = Application()
    client = Client(*[b"x" * 10] * 400)
    assert "larger than 100 bytes" in client.ask(LimitedBodies(app, 100))
    assert (client.status, client.read, app.bodies) == (413, 11, [])


def test_a_compressed_body_is_refused() -> None:
    for encoding in (b"gzip", b"br", b"gzip, identity"):
        client = Client(b"x", headers={b"content-encoding": encoding})
        assert client.ask(LimitedBodies(Application(), 100))
        assert (client.status, client.read) == (415, 0)
    client = Client(b"x", headers={b"content-encoding": b"identity"})
    assert client.ask(LimitedBodies(Application(), 100)) == ""


def test_a_client_that_leaves_is_not_answered() -> None:
    app = Application()
    client = Client(b"x", ends=False)
    assert client.ask(LimitedBodies(app, 100)) == ""
    assert (client.status, app.bodies) == (0, [])


def test_a_body_that_does_not_arrive_in_time() -> None:
    class Slow(Client):
        async def receive(self) -> Message:
            await asyncio.Event().wait()
            raise AssertionError

    client = Slow()
    assert client.ask(LimitedBodies(Application(), 100, seconds=0)) == "the body did not arrive in 0 seconds"
    assert client.status == 408


def test_all_bodies_together_are_bounded_and_counted_back() -> None:
    """Clients that have sent a body and await the answer hold it; one more is refused, and taken once they are gone."""
    chunk = bytes(HELD_BYTES // 4)

    async def main() -> None:
        app, answered = Application(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await answered.wait()
            await app(scope, receive, send)

        limited = LimitedBodies(slow, len(chunk))
        clients = [Client(chunk) for _ in range(4)]
        asked = [asyncio.create_task(limited(c.scope, c.receive, c.send)) for c in clients]
        await asyncio.sleep(0)
        late = Client(b"x")
        await limited(late.scope, late.receive, late.send)
        assert late.status == 503
        assert "ask again later" in late.body.decode()
        answered.set()
        await asyncio.gather(*asked)
        assert [client.status for client in clients] == [200] * 4
        again = Client(chunk)
        await limited(again.scope, again.receive, again.send)
        assert again.status == 200

    asyncio.run(main())


# Tensors


def test_texts_among_the_numbers_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As numpy's texts these would be 1,000 times 1,000,000 characters of four bytes."""
    made: list[int] = []
    real = np.array

    def array(*args: Any, **kwargs: Any) -> Any:
        made.append((found := real(*args, **kwargs)).nbytes)
        return found

    monkeypatch.setattr(np, "array", array)
    with pytest.raises(RequestError, match="are not numbers"):
        TensorSpec("input", "FP32", (ANY, 1000)).read("input", "FP32", [1, 1000], ["a" * 1_000_000, *[""] * 999])
    assert max(made) <= 8000
