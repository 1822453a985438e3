"""The version folders of a model: which there are, which are wanted, whether they changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MAX_VERSION = 2**63 - 1

Fingerprint = tuple[tuple[str, int, int], ...]  # (path, bytes, modification time) of each file


@dataclass(frozen=True, kw_only=True)
class VersionPolicy:
    """Which versions are served: the `latest` newest ones, or every one (None), or `specific`."""

    latest: int | None = 1
    specific: frozenset[int] = frozenset()

    def candidates(self, versions: Iterable[int]) -> list[int]:
        """Those that may be served, newest first; more than `latest` in case one does not load."""
        allowed = self.specific or versions
        return sorted((v for v in versions if v in allowed), reverse=True)

    def is_enough(self, served: int) -> bool:
        """Whether no more than `served` versions are wanted."""
        return not self.specific and self.latest is not None and served >= self.latest


NEWEST = VersionPolicy()


def find_versions(base_path: Path) -> dict[int, Path]:
    """The version folders under `base_path` by number; `00000123` is version 123."""
    return {
        int(child.name): child
        for child in base_path.iterdir()
        if child.name.isascii() and child.name.isdecimal() and int(child.name) <= MAX_VERSION
        if child.is_dir()
    }


def fingerprint(path: Path) -> Fingerprint:
    """Equal for equal contents of the folder, as far as sizes and times can tell."""
    return tuple(
        (str(file), stat.st_size, stat.st_mtime_ns)
        for file in sorted(path.rglob("*"))
        if file.is_file() and (stat := file.stat())
    )
