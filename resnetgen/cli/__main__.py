"""python -m resnetgen.cli"""

from resnetgen.cli import run

run()
