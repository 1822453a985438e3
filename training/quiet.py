"""TensorFlow starts up in silence: its C++ libraries write to the terminal before they listen."""

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def startup() -> Iterator[None]:
    """Holds back what native code writes to stderr; shows it after all where the start fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def absent(package: str) -> Iterator[None]:
    """Imports of a package fail meanwhile, as if it were not installed."""
    hidden = package not in sys.modules
    if hidden:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[package]


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """What is made meanwhile stays: the garbage collector does not look for any in it, ever."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if on:
            gc.enable()


def import_tensorflow() -> None:
    """Imports TensorFlow and Keras and lets TensorFlow find its devices, silently.

    Keras imports scikit-learn and Matplotlib where they are, for wrappers and galleries that nobody
    here uses (decision 0020); it is told that there are none.
    """
    with startup(), kept(), absent("sklearn"), absent("matplotlib"):
        import keras
        import tensorflow as tf

        tf.config.list_physical_devices()
        del keras
