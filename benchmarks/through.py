"""How much of a model's speed is left when a server stands before it?

    python -m benchmarks.through --rounds=5

ResNet-50's shape with random weights, batches of 8 pictures of 224 x 224, float32. One caller in
another process asks our server again and again; beside it, in turn, a loop that calls the session
on the same SavedModel, without any server.
"""

import dataclasses
import pathlib
import tempfile
from typing import Any

import numpy as np
import tyro

from benchmarks import peers, record, served, servers

BATCH, SIZE = 8, 224
SECONDS = 300.0  # until a call is lost
NAMES = ("ours", "session")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Asks a model through a server and without one.

    Attributes:
        rounds: Turns of each.
        batches: Batches in a turn.
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
    """A loop around the session, or around a client of the server."""
    from serving.client import Client

    given = pictures()
    if flags.worker == "session":
        call, about = served.caller(flags.saved, "serving_default", pictures=given), "in a loop"
    else:
        client = Client(f"127.0.0.1:{flags.port}")

        def call() -> dict[str, Any]:
            return dict(client.predict("m", {"pictures": given}, timeout_seconds=SECONDS))

        about = "one caller in another process"

    def run(batches: int) -> None:
        for _ in range(batches):
            assert call()["logits"].shape == (BATCH, 1000)

    return run, about


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
        peers.serve(lambda: job(flags), warm=2)
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
