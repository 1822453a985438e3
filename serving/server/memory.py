"""Memory that was freed goes back to the system.

The C library keeps what is freed for whoever asks next. Requests of all sizes, in many threads,
leave it with holes of all sizes, so that it keeps more and more.
"""

import contextlib
import ctypes

SECONDS = 10  # between two times that a server gives back what it does not need


def give_back() -> None:
    """All that was freed: some 0.1 s for a gigabyte, next to nothing where nothing was."""
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
