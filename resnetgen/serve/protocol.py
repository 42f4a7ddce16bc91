"""Requests of the v2 inference protocol (Open Inference Protocol), decoded with bounds and types."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder

from resnetgen.serve.asgi import RequestError
from resnetgen.serve.limits import MAX_ID, MAX_RANK


class RequestedInput(Struct):
    """A tensor that the client sends."""

    name: str
    shape: Annotated[list[int], Meta(max_length=MAX_RANK)]
    datatype: str
    data: list[Any]
    """Values, flat or nested; `TensorSpec.read` checks them."""


class RequestedOutput(Struct):
    """An output that the client asks for."""

    name: str
    parameters: dict[str, Any] | None = None

    @property
    def classes(self) -> int:
        """Number of classes of Triton's classification extension; 0 for the tensor itself. Raises RequestError."""
        count = (self.parameters or {}).get("classification", 0)
        if type(count) is not int or count < 0:
            raise RequestError(f"classification of output '{self.name}' must be a number of classes")
        return count


class InferenceRequest(Struct):
    """Body of a request. Unknown fields are ignored."""

    inputs: list[RequestedInput]
    outputs: list[RequestedOutput] | None = None
    id: Annotated[str, Meta(max_length=MAX_ID)] | None = None


_DECODER = Decoder(InferenceRequest)


def decode_request(body: bytes) -> InferenceRequest:
    """Return the request. Raises RequestError, which names the place, if it is not JSON or not a request."""
    try:
        return _DECODER.decode(body)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"the body is not a request of the v2 protocol: {error}") from None
