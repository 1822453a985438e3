"""What was freed goes back to the system."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serving.server import memory


def megabytes():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) / 1024


def test_holes_between_what_is_kept_are_given_back():
    blocks = [bytes(1000) for _ in range(100_000)]
    kept = blocks[::50]
    del blocks
    before = megabytes()
    memory.give_back()
    assert megabytes() < before - 50
    assert len(kept) == 2000


ARENAS = """
import ctypes, threading
from serving.server import memory
memory.share_arenas()
together, libc = threading.Barrier(20), ctypes.CDLL("libc.so.6")
def work():
    libc.malloc(10_000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.fdopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, file)
libc.fflush(file)
"""


@pytest.mark.parametrize("asked", [None, "3"])
def test_threads_share_arenas_as_many_as_the_user_says(asked):
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    environment |= {"MALLOC_ARENA_MAX": asked} if asked else {}
    told = subprocess.run(
        [sys.executable, "-c", ARENAS], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert told.count("<heap nr=") == int(asked or max(1, (os.cpu_count() or 1) // 2))
