"""python -m resnetgen"""

from resnetgen.cli import run

run()
