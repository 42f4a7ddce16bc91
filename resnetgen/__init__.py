"""resnetgen: one table in, two formats out, proven equal. The Python API is in resnetgen.network."""

__version__ = "0.1.0"
