"""Server of a deployed folder by the v2 inference protocol, on this machine only, to try a model; uses Starlette."""

from resnetgen.serve.server import Address, serve

__all__ = ["Address", "serve"]
