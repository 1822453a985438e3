"""What was freed goes back to the system."""

import re
from pathlib import Path

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
