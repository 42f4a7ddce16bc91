"""How inputs are damaged: as bytes, and by what they consist of, so that the damage lies behind the first check."""
