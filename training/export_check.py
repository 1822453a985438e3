"""Asks a SavedModel the way TensorFlow Serving does: in a session, with none of our code.

    python export_check.py SAVED_MODEL asked.npz answered.npz

`asked.npz` holds arrays by "signature/number/input", `answered.npz` "signature/number/output".
Strings travel as bytes with one mark behind them.
"""

import collections
import importlib.abc
import os
import sys
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"


class Refuse(importlib.abc.MetaPathFinder):
    """Makes the modules that production lacks fail to import."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.split(".")[0] in ("kmodels", "training", "serving"):
            raise ImportError(f"{name} is not there in production")


def main(folder: str, asked: str, answered: str) -> None:
    sys.modules["keras"] = None  # type: ignore[assignment]  # TensorFlow goes without (decision 0020)
    import numpy as np
    import tensorflow as tf

    sys.meta_path.insert(0, Refuse())
    requests: dict[tuple[str, str], dict[str, Any]] = collections.defaultdict(dict)
    for name, value in np.load(asked).items():
        signature, number, key = name.split("/")
        strings = value.dtype.kind == "S"
        requests[signature, number][key] = _each(value, lambda v: v[:-1]) if strings else value
    answers = {}
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        for (name, number), request in requests.items():
            signature = graph.signature_def[name]
            feeds = {signature.inputs[key].name: value for key, value in request.items()}
            fetches = {key: tensor.name for key, tensor in signature.outputs.items()}
            for key, value in session.run(fetches, feeds).items():
                strings = value.dtype == object
                marked = _each(value, lambda v: v + b".").astype("S") if strings else value
                answers[f"{name}/{number}/{key}"] = marked
    np.savez(answered, **answers)


def _each(values: Any, change: Any) -> Any:
    import numpy as np

    return np.array([change(v) for v in values.ravel()], object).reshape(values.shape)


if __name__ == "__main__":
    main(*sys.argv[1:])
