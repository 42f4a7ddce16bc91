"""Check of the host name of requests: only those of loopback are answered.

A web page of another site can give its own name the address 127.0.0.1 (DNS rebinding). A browser then lets the page's
scripts read the answers, but still sends the page's name as the host.
"""

from __future__ import annotations

from resnetgen.serve.asgi import App, Receive, RequestError, Scope, Send

_NAMES = ("127.0.0.1", "localhost", "[::1]")
_MISDIRECTED = 421
_HTTP_PORT = 80
"""Port that clients leave out."""


class LoopbackHosts:
    """ASGI application that passes on the requests to a loopback name with the right port."""

    def __init__(self, app: App, port: int) -> None:
        self._app = app
        self._allowed = {f"{name}:{port}".encode() for name in _NAMES}
        if port == _HTTP_PORT:
            self._allowed |= {name.encode() for name in _NAMES}
        self._hint = f"use http://127.0.0.1:{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            if len(hosts) != 1 or hosts[0].lower() not in self._allowed:
                shown = b", ".join(hosts).decode("latin-1") or "none"
                text = f"the host must be a loopback name, not {shown}: {self._hint}"
                return await RequestError(text, _MISDIRECTED).send(send)
        return await self._app(scope, receive, send)
