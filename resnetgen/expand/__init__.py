"""Expansion of a stage table into a Graph: rows and brackets are unrolled and sizes checked; every node knows its place
in the table."""

from resnetgen.expand.expander import expand

__all__ = ["expand"]
