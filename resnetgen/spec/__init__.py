"""The spec language: YAML text -> values with places -> a validated stage table. This package knows no graph."""
