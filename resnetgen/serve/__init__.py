"""A deployed folder on the v2 inference protocol, on this machine alone: for trying it, by MLServer."""

from resnetgen.serve.run import Address, serve

__all__ = ["Address", "serve"]
