"""Server of a folder, until the process is told to stop."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from resnetgen import manifest
from resnetgen.backends.onnxruntime import Device, Session
from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.paths import real_path
from resnetgen.predict import Served, read_served
from resnetgen.serve.limits import ACCEPTED_AT_ONCE, IDLE_SECONDS, MAX_HEAD, QUEUE

LOOPBACK = "127.0.0.1"
_MAX_NAME = 256
"""Limit in characters; the name is part of each URL."""
_GRACE = 5
"""Time in seconds that running requests get when the server ends."""


class Address(Struct, frozen=True):
    """Address and name of a served model."""

    served: Served
    name: str
    port: int

    @property
    def url(self) -> str:
        """URL of the model; requests go to /infer below it."""
        return f"http://{LOOPBACK}:{self.port}/v2/models/{quote(self.name, safe='')}"


def serve(folder: Path, name: str | None, port: int, ready: Callable[[Address], None]) -> None:
    """Serve the model of a folder on this machine alone; `ready` is called with the address. `port` 0 takes a free one.

    Returns at Ctrl-C. Raises Failure: exit 2 if MLServer is missing or the name cannot be part of a URL, exit 5 if the
    port is taken, and the errors of `read_served` and `Session`.
    """
    _require_mlserver()
    served = read_served(folder)
    called = _checked(name or Path(manifest.spec_name(folder)).name or real_path(folder).name)
    with _listen(port) as listener:
        session = Session(served.model, Device())
        address = Address(served, called, listener.getsockname()[1])
        with suppress(KeyboardInterrupt):
            asyncio.run(_run(address, session, listener, ready))


async def _run(address: Address, session: Session, listener: socket.socket, ready: Callable[[Address], None]) -> None:
    import uvicorn

    from resnetgen.serve.app import build
    from resnetgen.serve.connections import Connection, Server

    app = await build(address.served, session, address.name, address.port)
    listener.listen(QUEUE)
    ready(address)
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_level="error",  # warnings about broken requests would let clients fill the terminal
        access_log=False,
        proxy_headers=False,
        # By default uvicorn takes these two from the environment.
        workers=1,
        forwarded_allow_ips="",
        backlog=ACCEPTED_AT_ONCE,
        timeout_keep_alive=IDLE_SECONDS,
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_graceful_shutdown=_GRACE,
    )
    await Server(config).serve([listener])


def _require_mlserver() -> None:
    try:
        import mlserver  # noqa: F401
    except ImportError as error:
        raise _missing(error) from None


def _missing(error: ImportError) -> Failure:
    message = f"models are served by MLServer, which cannot be imported: {error}"
    hint = "pip install 'resnetgen[serve]'"
    if sys.version_info >= (3, 13):
        hint += " with Python 3.11 or 3.12: MLServer has no release for a newer one"
    return fail(Exit.USAGE, Code.UNSUPPORTED, message, hint=hint)


def _listen(port: int) -> socket.socket:
    """Return a socket bound to the port, before the model is loaded. Raises Failure (exit 5) if the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # allows a port that was just left
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        message = f"port {port} of {LOOPBACK} cannot be taken: {error.strerror}"
        raise fail(Exit.IO, Code.OUTPUT, message, hint="--port names another; 0 takes one that is free") from None
    return listener


def _checked(name: str) -> str:
    """Return a name that can be part of a URL. Raises Failure (exit 2) for others."""
    if not name or "/" in name or name in (".", "..") or len(name) > _MAX_NAME or not name.isprintable():
        hint = f"--name with letters, digits, _, - and ., {_MAX_NAME} at most"
        raise fail(Exit.USAGE, Code.BAD_NAME, f"no model can be served as {name!r}", hint=hint)
    return name
