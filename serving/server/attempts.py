"""A version that is not up yet: whether it is whole, and when to try it, again perhaps."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serving.server.versions import Fingerprint, fingerprint


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When to look for versions and how often to try one that does not load.

    `poll_seconds` 0 means: look once. `retries` counts the attempts after the first.
    """

    poll_seconds: float = 1.0
    retries: int = 5
    retry_seconds: float = 60.0


@dataclass
class Attempt:
    """What one folder lacks, its failed loads, and how its files looked at those times."""

    path: Path
    policy: Policy
    lacking: str = ""
    failures: int = 0
    _looks: int = 0
    _seen: Fingerprint = ()
    _tried: Fingerprint = ()
    _changed_at: float = 0.0
    _failed_at: float = 0.0

    def is_due(self, lacks: Callable[[Path], str]) -> bool:
        """Look at the folder; whether it should be loaded now.

        One that lacks something waits while it changes and for `retry_seconds` after that; then
        its failure to load says what is wrong. One that failed is tried again at intervals, and
        afresh when its files have changed and two looks in a row see the same.
        """
        now, files = time.monotonic(), fingerprint(self.path)
        changed, self._seen = files != self._seen or not self._looks, files
        self._looks += 1
        if changed:
            self._changed_at = now
            self.lacking = lacks(self.path)
        elif files != self._tried:
            self.failures = 0
        if self.lacking and (changed or now < self._changed_at + self.policy.retry_seconds):
            return False
        if self.failures:
            too_early = now < self._failed_at + self.policy.retry_seconds
            if self.is_exhausted or too_early or files != self._tried:
                return False
        self._tried = files
        return True

    def note_failure(self) -> None:
        """The load did not succeed."""
        self.failures += 1
        self._failed_at = time.monotonic()

    @property
    def is_exhausted(self) -> bool:
        """Whether only a change of its files leads to another try."""
        return self.failures > self.policy.retries
