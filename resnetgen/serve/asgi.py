"""Types of an ASGI application, and the answer to a request that is refused before the application sees it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from resnetgen.escape import escape
from resnetgen.serve.limits import MAX_MESSAGE

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class RequestError(Exception):
    """A request without a result; the text is sent to the client."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = escape(text, MAX_MESSAGE)
        """Text in printable characters, at most MAX_MESSAGE; it may quote the request."""
        self.status = status

    async def send(self, send: Send) -> None:
        """Send the error in the protocol's form.

        The connection stays open: further bytes from the client are dropped for as long as a head may take to arrive.
        If it were closed with bytes unread, the client would get a reset in place of the answer.
        """
        body = json.dumps({"error": self.text}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
