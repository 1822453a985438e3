"""How much of a model's speed is left when a server stands before it?

    python -m benchmarks.through --rounds=5

ResNet-50's shape with random weights, batches of 8 pictures of 224 x 224, float32. Two callers in
another process ask our server again and again, so that it has something to do while an answer is
on its way; so does one caller, who waits for each answer. Beside them, in turn, a loop that calls
the session on the same SavedModel, without any server.
"""

import concurrent.futures
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
import tyro

from benchmarks import peers, record, served, servers

BATCH, SIZE = 8, 224
SECONDS = 300.0  # until a call is lost
NAMES = ("ours", "one caller", "session")
CALLERS = {"ours": 2, "one caller": 1}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Asks a model through a server and without one.

    Attributes:
        rounds: Turns of each.
        batches: Batches in a turn, an even number.
        save: Whether to write docs/results/through.json and .png.
        worker: Used by the command itself.
        saved: Used by the command itself.
        port: Used by the command itself.
    """

    rounds: int = 5
    batches: int = 8
    save: bool = True
    worker: str = ""
    saved: pathlib.Path = pathlib.Path()
    port: int = 0


def pictures() -> np.ndarray:
    """Noise, float32 [8, 224, 224, 3]."""
    shape = (BATCH, SIZE, SIZE, 3)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def job(flags: Flags) -> tuple[peers.Job, str]:
    """A loop around the session, or loops around clients of the server."""
    given = pictures()
    if flags.worker == "session":
        call = served.caller(flags.saved, "serving_default", pictures=given)
        return lambda batches: ask(call, batches), "in a loop, no server"
    number = CALLERS[flags.worker]
    calls = [over_grpc(flags.port, given) for _ in range(number)]
    pool = concurrent.futures.ThreadPoolExecutor(number)

    def run(batches: int) -> None:
        list(pool.map(ask, calls, [batches // number] * number))

    return run, f"{number} in another process"


def over_grpc(port: int, given: np.ndarray) -> Callable[[], Mapping[str, np.ndarray]]:
    """Asks the server, on a connection of its own."""
    from serving.client import Client

    client = Client(f"127.0.0.1:{port}")
    return lambda: client.predict("m", {"pictures": given}, timeout_seconds=SECONDS)


def ask(call: Callable[[], Mapping[str, np.ndarray]], batches: int) -> None:
    """So many times, one after the other."""
    for _ in range(batches):
        assert call()["logits"].shape == (BATCH, 1000)


def export(folder: pathlib.Path) -> None:
    """The SavedModel: random weights, ResNet-50's sizes, pictures in, logits out."""
    import tensorflow as tf

    from kmodels import resnet

    model = resnet.build(resnet.PRESETS["resnet-50"])
    given = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, name="pictures")
    function = tf.function(
        lambda pictures: {"logits": model(pictures, training=False)}, input_signature=[given]
    ).get_concrete_function()
    module = tf.Module()
    module.weights = list(function.graph.variables)  # a session does not find Keras's own
    tf.saved_model.save(module, str(folder), signatures={"serving_default": function})


def main() -> None:
    """Exports, serves, asks, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.through")
    if flags.worker == "export":
        export(flags.saved)
        return
    if flags.worker:
        peers.serve(lambda: job(flags), warm=4)
        return
    with tempfile.TemporaryDirectory() as place:
        version = pathlib.Path(place) / "m" / "1"
        peers.call(__file__, [f"--saved={version}", "--worker=export"])
        with servers.server(version.parent) as (_, ports):
            found = peers.measured(
                __file__,
                NAMES,
                rounds=flags.rounds,
                units=flags.batches,
                arguments=[f"--saved={version}", f"--port={ports.grpc}"],
            )
    rates = {name: [BATCH / s for s in row] for name, row in found.seconds.items()}
    title = f"ResNet-50's shape, batches of {BATCH}, through a server and without one"
    peers.show(title, rates, unit="pictures/s", references=["session"], about=found.about)
    if flags.save:
        record.record(
            "through",
            {"float32 pictures": rates},
            unit="pictures/s",
            title=title,
            ratios={"float32 pictures": {"session": peers.ratios(rates, "session")}},
        )


if __name__ == "__main__":
    main()
