"""The spec language: YAML text -> values with spans -> a validated stage table. Knows no network, only the table."""
