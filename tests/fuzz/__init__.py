"""Every parser against damaged input: only a Failure may come of it, at once and in little memory.

`python -m tests.fuzz --help` says how it is run; docs/fuzzing.md what it does.
"""
