"""Stage table + blocks -> Graph: rows and brackets unrolled, sizes checked, every node with its place in the table."""

from resnetgen.expand.network import expand

__all__ = ["expand"]
