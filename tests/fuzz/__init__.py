"""Every parser against damaged input: only a Failure may come of it, at once and in little memory.

From the repository's root, on Linux:

    python -m tests.fuzz                                           ten seconds
    python -m tests.fuzz --inputs 1000000                          the long run
    python -m tests.fuzz --target yaml --target rows --seconds 60
    python -m tests.fuzz --target 'run-*' --inputs 200000          whole commands on hostile folders
    python -m tests.fuzz --target npy tests/fuzz/corpus/npy/*      inputs again
    python -m tests.fuzz --guided --target yaml --seconds 600      by coverage, with atheris (the extra `fuzz`)

A target (targets/) is a parser with inputs that it takes, a mutator (mutate/) and what a refusal of its may be. An
input is a function of the target, a seed and a number, so that a campaign can be run again, and in several processes.
An input that meets a fault is shrunk and saved below corpus/, where the default suite runs it from then on: it belongs
into the commit that mends the fault.
"""
