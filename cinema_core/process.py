"""Settings of a whole process that computes with torch; never called by a library function on its own account.

The engine's child and the command line call :func:`prepare_to_compute` before they import torch.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

import threadpoolctl

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD: Final = -1
M_TOP_PAD: Final = -2
M_MMAP_MAX: Final = -4


def prepare_to_compute() -> None:
    """Make a process that will use torch a quick and quiet neighbour."""
    wait_without_spinning()
    use_one_blas_thread()
    keep_freed_memory()


def wait_without_spinning() -> None:
    """Let OpenMP threads that have nothing to do give up their core; must come before torch is imported.

    By default they spin. On two cores of which something else uses one, each of the thousand small
    parallel loops of a training step then waits for a thread that is not running: a step of the bundled model
    took 1.2 s instead of 2.4 to 15 s, and a step of a tiny model 0.36 s instead of 3.5 s.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_one_blas_thread() -> None:
    """Keep NumPy's and SciPy's own thread pools out of it; torch has its own.

    The threads of OpenBLAS wait for each other by spinning. The small products that bring probabilities back to
    the study's grid gain nothing from a second one, and lose much where something else uses a core: eight
    phases of a real cine took 4 to 9 s instead of 22 to 29 s beside two busy processes on two cores.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for a library that is loaded from now on
    threadpoolctl.threadpool_limits(1, user_api="blas")  # for those that are loaded already


def keep_freed_memory() -> bool:
    """Stop glibc from mapping and unmapping every large array anew.

    The arrays of one training step (tens of MB each) come and go, and the kernel must clear fresh pages each
    time; keeping them halved the time of a step. The memory goes back when the process ends. Other C libraries
    are left as they are.

    Returns
    -------
    Whether that was possible.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    asked = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 256 * 2**20))
    return all(mallopt(parameter, value) == 1 for parameter, value in asked)
