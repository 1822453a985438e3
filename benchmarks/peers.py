"""Peers that are timed in turn: each in its own process, one computing at a time."""

import dataclasses
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import rich
import rich.console
import rich.progress
import rich.table

REST_SECONDS = 0.3  # lets a thread pool that spins after its work fall asleep
QUIET = 0.05  # share of the processors that others may take in a turn
Job = Callable[[int], None]  # does n units of work


class Peer:
    """A process that holds one job; it is stopped (SIGSTOP) whenever it is not its turn."""

    def __init__(self, script: str, name: str, arguments: Sequence[str] = ()) -> None:
        self.name = name
        root = pathlib.Path(__file__).resolve().parents[1]
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, script, *arguments, f"--worker={name}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"},
            text=True,
        )
        self.others = 0.0  # largest share of the processors that other programs took in a turn
        self.about = self._answer()
        self.process.send_signal(signal.SIGSTOP)

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"The peer {self.name} died with status {self.process.wait()}.")
        return line.strip()

    def run(self, units: int) -> float:
        """Seconds for `units` units of work."""
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        before = self._ticks()
        print(units, file=self.process.stdin, flush=True)
        seconds = float(self._answer())
        everyone, own, whole = (b - a for a, b in zip(before, self._ticks(), strict=True))
        self.others = max(self.others, (everyone - own) / max(whole, 1))
        time.sleep(REST_SECONDS)
        self.process.send_signal(signal.SIGSTOP)
        return seconds

    def _ticks(self) -> tuple[int, int, int]:
        """Processor time used by everyone, by this peer, and had by all processors."""
        cpu = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        fields = (
            pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        )
        return sum(cpu) - cpu[3] - cpu[4], int(fields[11]) + int(fields[12]), sum(cpu)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def call(script: str, arguments: Sequence[str]) -> None:
    """Runs a script once, to its end, in a process of its own."""
    root = pathlib.Path(script).resolve().parents[1]
    module = f"benchmarks.{pathlib.Path(script).stem}"
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=root, check=True)


def warn(others: float) -> None:
    """Says so where other programs took processor time while the peers computed."""
    if others > QUIET:
        share = f"Other programs took up to {100 * others:.0f} % of the processors in a turn"
        rich.print(f"[yellow]{share}: the figures are not good for more than a direction.[/yellow]")


def serve(make: Callable[[], tuple[Job, str]], *, warm: int) -> None:
    """The worker's side: makes the job, warms it up, then answers each count with seconds.

    Args:
        make: Gives the job and one line about it.
        warm: Units of work before the first answer.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    job, about = make()
    job(warm)
    print(about, file=answers, flush=True)
    for line in sys.stdin:
        units = int(line)
        start = time.perf_counter()
        job(units)
        print(time.perf_counter() - start, file=answers, flush=True)


def alternate(peers: Sequence[Peer], *, rounds: int, units: int) -> dict[str, list[float]]:
    """Seconds a unit by peer, one value a round: A B C A B C ..., the order turned each round."""
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for number in rich.progress.track(range(rounds), description=f"{rounds} rounds"):
        turn = number % len(peers)
        for peer in [*peers[turn:], *peers[:turn]]:
            seconds[peer.name].append(peer.run(units) / units)
    return seconds


@dataclasses.dataclass(frozen=True)
class Measured:
    """Of each peer: seconds a unit by round, what it says of itself, what others took of the CPU.

    Attributes:
        others: The largest share of the processors in one of its turns.
    """

    seconds: dict[str, list[float]]
    about: dict[str, str]
    others: dict[str, float]

    @property
    def busy(self) -> float:
        """The largest share that others took in any turn."""
        return max(self.others.values())


def measured(
    script: str, names: Sequence[str], *, rounds: int, units: int, arguments: Sequence[str] = ()
) -> Measured:
    """Starts the peers of a script, lets them work in turn, and ends them."""
    running: list[Peer] = []
    try:
        for name in names:
            running.append(Peer(script, name, arguments))
        seconds = alternate(running, rounds=rounds, units=units)
    finally:
        for peer in running:
            peer.close()
    about = {peer.name: peer.about for peer in running}
    return Measured(seconds, about, {peer.name: peer.others for peer in running})


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratios(
    values: Mapping[str, Sequence[float]], reference: str, *, inverse: bool = False
) -> dict[str, Spread]:
    """Each peer's value over the reference's of the same round (or the inverse)."""
    base = values[reference]
    out = {}
    for name, row in values.items():
        pairs = [(b / v if inverse else v / b) for v, b in zip(row, base, strict=True)]
        out[name] = Spread.of(pairs)
    return out


def fastest(values: dict[str, list[float]], about: dict[str, str]) -> None:
    """Of variants PEER:VARIANT keeps the one with the smallest median, of floors each round's."""
    for name in dict.fromkeys(n.partition(":")[0] for n in values if ":" in n):
        found = {n: (values.pop(n), about.pop(n)) for n in list(values) if n.startswith(f"{name}:")}
        best = min(found, key=lambda n: statistics.median(found[n][0]))
        about[name] = f"{found[best][1]}, {best.partition(':')[2]}"
        values[name] = found[best][0]
        if name == "floor":
            values[name] = [min(row) for row in zip(*(v for v, _ in found.values()), strict=True)]


def show(
    title: str,
    values: Mapping[str, Sequence[float]],
    *,
    unit: str,
    references: Sequence[str],
    about: Mapping[str, str],
) -> None:
    """A table with one row a peer: its values, and their ratios to the references by round."""
    table = rich.table.Table(title=title)
    for column in ["peer", "median", "min", "max", *(f"/ {name}" for name in references), "about"]:
        table.add_column(column, justify="left" if column in ("peer", "about") else "right")
    columns = [ratios(values, name) for name in references]
    for name, row in values.items():
        spread = Spread.of(row)
        cells = [f"{x:.1f} {unit}" for x in (spread.median, spread.low, spread.high)]
        table.add_row(name, *cells, *(str(c[name]) for c in columns), about.get(name, ""))
    rich.console.Console(width=160).print(table)
