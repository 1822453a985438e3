"""Pictures one after another as a film, for players and browsers."""

import contextlib
import io
import os
import pathlib
from typing import Any

import numpy as np

from training.files import write_atomically

GIF_SECONDS = 20.0  # of an animated picture; a film has them all
GIF_RATE = 25.0  # pictures a second that browsers show, about


class Film:
    """Takes pictures, all of the same size, and writes STEM.mp4 and STEM.gif as they come.

    The film is H.264 in yuv420p, which every browser plays; the animated picture has its beginning.
    A file is there when it is complete. Use as a context.

    Args:
        stem: The files' path without the ending.
        rate: Pictures a second.
    """

    def __init__(self, stem: pathlib.Path, *, rate: float) -> None:
        self.mp4, self.gif = (stem.with_name(f"{stem.name}.{kind}") for kind in ("mp4", "gif"))
        self.part = self.mp4.with_name(f".{self.mp4.name}")
        self.rate, self.count = rate, 0
        self.first: list[np.ndarray] = []
        self.every = max(round(rate / GIF_RATE), 1)  # of the pictures, for the animated one
        self.stream: Any = None

    def __enter__(self) -> "Film":
        import av

        self.container = av.open(str(self.part), "w", format="mp4")
        return self

    def add(self, picture: np.ndarray) -> None:
        """The next picture, uint8 [H, W, 3]."""
        import av

        picture = _even(picture)
        if self.stream is None:
            self.stream = self.container.add_stream("libx264", rate=round(self.rate))
            self.stream.height, self.stream.width = picture.shape[:2]
            self.stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self.container.mux(self.stream.encode(frame))
        if self.count % self.every == 0 and self.count < GIF_SECONDS * self.rate:
            self.first.append(picture)
        self.count += 1

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self.part.unlink, missing_ok=True)
            with self.container:
                if self.stream is not None:
                    self.container.mux(self.stream.encode(None))
            if kind is None and self.count:
                os.replace(self.part, self.mp4)
                write_atomically(self.gif, animated(self.first, rate=self.rate / self.every))


def animated(pictures: list[np.ndarray], *, rate: float) -> bytes:
    """A GIF that begins again, of uint8 [H, W, 3] pictures; so many a second."""
    import PIL.Image

    data = io.BytesIO()
    first, *others = (PIL.Image.fromarray(picture) for picture in pictures)
    milliseconds = round(100 / rate) * 10  # the format counts hundredths
    first.save(data, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    return data.getvalue()


def _even(picture: np.ndarray) -> np.ndarray:
    """With sides that the encoder takes: one more row or column where they are odd."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
