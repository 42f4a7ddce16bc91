"""Server of a deployed folder by the v2 inference protocol, on this machine alone, for trying it; uses MLServer."""

from resnetgen.serve.run import Address, serve

__all__ = ["Address", "serve"]
