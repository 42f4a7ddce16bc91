"""Weights, apart from structure: where their numbers come from, and what other worlds call them."""
