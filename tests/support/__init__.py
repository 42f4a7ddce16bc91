"""What several tests share.

One BLAS thread, set before numpy is imported: for matrices as small as those of the tests, more
threads only wait for each other, which takes CPU time.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
