"""How many more rows a second does a server answer whose callers share runs?

    python -m benchmarks.batching --rounds=5

GPT-2 small's shape with random weights, endpoint `score`, texts of 16 tokens. Two servers of the
same export, one of them with `--enable_batching`, and 32 callers in another process that ask for
one text each, again and again; the servers have their turns one after the other.
"""

import concurrent.futures
import contextlib
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import tyro

from benchmarks import generate, peers, record

CALLERS = 32
PARAMETERS = """
max_batch_size {{ value: {callers} }}
batch_timeout_micros {{ value: 0 }}
max_enqueued_batches {{ value: {callers} }}
num_batch_threads {{ value: 1 }}
"""
SECONDS = 300.0  # until a server is ready, or a call is lost
NAMES = ("alone", "together")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Asks a server with batching and one without.

    Attributes:
        rounds: Turns of each server.
        calls: Calls in a turn, of all callers together.
        save: Whether to write docs/results/batching.json and .png.
        worker: Used by the command itself.
        saved: Used by the command itself.
    """

    rounds: int = 5
    calls: int = 256
    save: bool = True
    worker: str = ""
    saved: pathlib.Path = pathlib.Path()


def callers(flags: Flags) -> tuple[peers.Job, str]:
    """So many threads with a client of their own channel each."""
    from serving.client import Client

    clients = [Client(f"unix:{flags.saved / flags.worker}.sock") for _ in range(CALLERS)]
    for client in clients:
        client.wait_until_ready("gpt", timeout_seconds=SECONDS)
    pool = concurrent.futures.ThreadPoolExecutor(CALLERS)
    (text,) = generate.prompts(1)

    def job(calls: int) -> None:
        def ask(client: Client) -> None:
            for _ in range(calls // CALLERS):
                answer = client.predict(
                    "gpt", {"text": [text]}, signature="score", timeout_seconds=SECONDS
                )
                assert answer["token_count"].tolist() == [generate.PROMPT]

        list(pool.map(ask, clients))

    return job, f"{CALLERS} callers of one row"


@contextlib.contextmanager
def servers(folder: pathlib.Path) -> Iterator[None]:
    """Both servers, ended at the end."""
    file = folder / "batching.txt"
    file.write_text(PARAMETERS.format(callers=CALLERS), encoding="utf-8")
    batching = {
        "alone": (),
        "together": ("--enable_batching", f"--batching_parameters_file={file}"),
    }
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "serving.server", "--model_name=gpt", "--port=0"),
                *(f"--model_base_path={folder / 'gpt'}", f"--grpc_max_threads={CALLERS}"),
                *(f"--grpc_socket_path={folder / name}.sock", *batching[name]),
            ]
        )
        for name in NAMES
    ]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def main() -> None:
    """Exports, serves, asks, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.batching")
    if flags.worker == "export":
        export(flags.saved / "gpt" / "1")
        return
    if flags.worker:
        peers.serve(lambda: callers(flags), warm=CALLERS)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        peers.call(__file__, [f"--saved={folder}", "--worker=export"])
        with servers(folder):
            found = peers.measured(
                __file__,
                NAMES,
                rounds=flags.rounds,
                units=flags.calls,
                arguments=[f"--saved={folder}"],
            )
    rates = {name: [1 / s for s in row] for name, row in found.seconds.items()}
    title = f"GPT-2 small, score of 16 tokens, {CALLERS} callers of one row"
    peers.show(title, rates, unit="rows/s", references=["alone"], about=found.about)
    if flags.save:
        record.record(
            "batching",
            {"score": rates},
            unit="rows/s",
            title=title,
            ratios={"score": {"alone": peers.ratios(rates, "alone")}},
            parameters=PARAMETERS.format(callers=CALLERS),
        )


def export(folder: pathlib.Path) -> None:
    """The SavedModel: random weights, GPT-2's sizes."""
    from kmodels import gpt
    from training import saved_model

    model = gpt.build(gpt.PRESETS["gpt2-small"])
    codec = generate.pairs_codec()
    saved_model.write(folder, model, codec, {"score": gpt.endpoints(model, codec)["score"]})


if __name__ == "__main__":
    main()
