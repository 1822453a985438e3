"""Memory that was freed goes back to the system.

The C library keeps what is freed for whoever asks next, and for that has eight arenas a core, of
which threads take one each. Of an arena that is not the first, it gives nothing back from the end.
So each comes to hold as much as the largest request ever took, some 50 MB after broken ones.
"""

import contextlib
import ctypes
import os

SECONDS = 10  # between two times that a server gives back what it does not need
ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


def share_arenas() -> None:
    """From now on threads share one arena for every two cores; MALLOC_ARENA_MAX says otherwise."""
    if "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").mallopt(ARENA_MAX, max(1, (os.cpu_count() or 1) // 2))


def give_back() -> None:
    """All that was freed: some 0.1 s for a gigabyte, next to nothing where nothing was."""
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
