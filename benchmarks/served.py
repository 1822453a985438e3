"""A SavedModel as TensorFlow Serving has it: in a session, with none of our code."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Answer = dict[str, np.ndarray]


def asker(folder: pathlib.Path, signature: str) -> Callable[..., Answer]:
    """Asks one signature anything, all its inputs by name, with no more ado than is needed."""
    session, found = opened(folder, signature)
    names = list(found.inputs)
    with session.graph.as_default():
        run = session.make_callable(
            [info.name for info in found.outputs.values()],
            [session.graph.get_tensor_by_name(found.inputs[name].name) for name in names],
        )

    def ask(**given: Any) -> Answer:
        return dict(zip(found.outputs, run(*(given[name] for name in names)), strict=True))

    return ask


def opened(folder: pathlib.Path, signature: str, *, threads: int = 0) -> tuple[Any, Any]:
    """A session that has loaded the model, and the SignatureDef.

    Args:
        threads: That share an operation, the server's `--tensorflow_intra_op_parallelism`; 0 is
            one for each processor.
    """
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads)
    session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    with session.graph.as_default():
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
    return session, meta.signature_def[signature]


def caller(
    folder: pathlib.Path, signature: str, *, threads: int = 0, **given: Any
) -> Callable[[], Answer]:
    """Asks one signature the same question again and again; what is left out has its default."""
    import tensorflow as tf

    session, found = opened(folder, signature, threads=threads)
    values: Mapping[str, Any] = {
        **{name: tf.make_ndarray(value) for name, value in found.defaults.items()},
        **given,
    }
    feed = {found.inputs[name].name: value for name, value in values.items()}
    fetch = {name: info.name for name, info in found.outputs.items()}

    def call() -> Answer:
        answer: Answer = session.run(fetch, feed)
        return answer

    return call
