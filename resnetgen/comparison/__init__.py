"""Comparison of networks by meaning: `compare(load(a), load(b))`.

It prints nothing, and imports neither the compiler nor the command line. A net need not come from a prototxt: any
Records can be compared.
"""

from resnetgen.comparison.compare import compare
from resnetgen.comparison.difference import Difference, FieldDifference, LayerDifference, Only, Side
from resnetgen.comparison.net import INPUT, Net, Record
from resnetgen.comparison.prototxt import load, parse
from resnetgen.formats.values import Value, Word

__all__ = [
    "INPUT",
    "Difference",
    "FieldDifference",
    "LayerDifference",
    "Net",
    "Only",
    "Record",
    "Side",
    "Value",
    "Word",
    "compare",
    "load",
    "parse",
]
