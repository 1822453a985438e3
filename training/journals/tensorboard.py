"""Event files for TensorBoard, under tensorboard/."""

import tensorflow as tf

from training.config import Run
from training.journals import Entry


class TensorBoard:
    """A sink. A run that goes on writes a new file; steps told twice have equal values."""

    def __init__(self, folder: str) -> None:
        self.events = tf.summary.create_file_writer(folder)

    def write(self, entry: Entry) -> None:
        with self.events.as_default(entry.step):
            for name, value in entry.numbers.items():
                tf.summary.scalar(f"{entry.split}/{name}", value)
            for name, text in entry.texts.items():
                tf.summary.text(f"{entry.split}/{name}", text)
            for name, picture in entry.pictures.items():
                tf.summary.image(f"{entry.split}/{name}", picture[None])
        self.events.flush()

    def rewind(self, step: int, *, evaluated: bool = True) -> None:
        pass

    def close(self) -> None:
        self.events.flush()


def make(run: Run) -> TensorBoard:
    """The sink of a run."""
    return TensorBoard(str(run.run_dir / "tensorboard"))
