"""JPEG and PNG bytes to what a network sees, and class numbers to labels.

Everything happens inside the graph, so an exported model answers bytes as they came from a camera
or a browser: of any size, grey or coloured, with transparency, lying on their side.
"""

import dataclasses
import pathlib
from typing import Any, Literal

import tensorflow as tf

from kmodels.core.codecs import exif
from kmodels.core.codecs import folder as codec_folder

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"
LEAST = 4  # pixels a side
MOST = 50_000_000  # pixels: three bytes each of host memory
TAIL = 1024  # bytes in which the end of a file must stand; some programs write behind it
GREY = (0.299, 0.587, 0.114)  # luma of red, green and blue (ITU-R BT.601)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images:
    """A codec of square pictures.

    Attributes:
        labels: Of the classes, in order.
        size: Height and width of what the network sees.
        channels: 3 for colour, 1 for grey.
        short: The short side is resized to this, then the centre is cut out; None resizes both
            sides to `size`, whatever their ratio.
        mean: Subtracted: one number a channel, or one for each of the picture's size * size *
            channels values; in units of 0 to 255.
        deviation: Divides: one number a channel, in the same units.
        order: "bgr" turns colours round, for weights that were trained so.
        resample: How pictures are resized, with what is lost in between smoothed away first.
        examples: A few pictures as files hold them, for warmup and a first question; at least two.
    """

    labels: tuple[str, ...]
    size: int
    channels: int = 3
    short: int | None = None
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (255.0,)
    order: Literal["rgb", "bgr"] = "rgb"
    resample: Literal["bilinear", "bicubic"] = "bilinear"
    examples: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ValueError(f"A picture has 1 or 3 channels, not {self.channels}.")
        if self.short is not None and self.short < self.size:
            raise ValueError(
                f"A short side of {self.short} is less than the {self.size} to be cut from it."
            )
        if min(self.deviation, default=0.0) <= 0:
            raise ValueError(f"The deviation is {self.deviation}; it must be above 0.")
        whole = self.size * self.size * self.channels
        for name, allowed in (
            ("mean", (1, self.channels, whole)),
            ("deviation", (1, self.channels)),
        ):
            if len(getattr(self, name)) not in allowed:
                raise ValueError(
                    f"The {name} has {len(getattr(self, name))} numbers; allowed: "
                    f"{', '.join(map(str, sorted(set(allowed))))}."
                )

    @property
    def resources(self) -> tuple[Any, ...]:
        """Nothing: all is constants of the graph."""
        return ()

    def label(self, ids: tf.Tensor) -> tf.Tensor:
        """int32 [...] -> string [...]; traceable."""
        return tf.gather(tf.constant(self.labels), ids)

    def read(self, contents: tf.Tensor) -> tf.Tensor:
        """string [B], JPEG or PNG -> float32 [B, size, size, channels] as `see` gives; traceable.

        Raises:
            tf.errors.InvalidArgumentError: something is no picture, not whole, or too small or
                large; the message names its row, counted from 0.
        """

        @tf.autograph.experimental.do_not_convert
        def one(row_and_content: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            row, content = row_and_content
            about = tf.strings.format("image {}", row)
            return self.fit(tf.cast(picture(content, about), tf.float32))

        rows = tf.range(tf.size(contents))
        shape = (self.size, self.size, self.channels)
        pictures = tf.map_fn(
            one, (rows, contents), fn_output_signature=tf.TensorSpec(shape, tf.float32)
        )
        return self.see(pictures)

    def fit(self, pictures: tf.Tensor) -> tf.Tensor:
        """Colours, then sides: [..., H, W, 1 or 3] to [..., size, size, channels], 0 to 255."""
        resized = self.resized(pictures, self.short)
        height, width = tf.shape(resized)[-3], tf.shape(resized)[-2]
        top, left = (height - self.size) // 2, (width - self.size) // 2
        cut = resized[..., top : top + self.size, left : left + self.size, :]
        return tf.ensure_shape(cut, [*pictures.shape[:-3], self.size, self.size, self.channels])

    def resized(self, pictures: tf.Tensor, short: int | None) -> tf.Tensor:
        """Colours, then sides, the short one to `short`: [..., H, W, 1 or 3] to [..., h, w, C].

        Args:
            short: None makes both sides `size`, whatever their ratio.
        """
        pictures = coloured(pictures, self.channels)
        if short is None:
            sides = tf.constant([self.size, self.size])
        else:
            height, width = tf.shape(pictures)[-3], tf.shape(pictures)[-2]
            scale = short / tf.minimum(height, width)
            sides = tf.cast(
                tf.round(tf.cast(tf.stack([height, width]), scale.dtype) * scale), tf.int32
            )
        resized = tf.image.resize(pictures, sides, self.resample, antialias=True)
        if self.resample == "bicubic":
            resized = tf.clip_by_value(resized, 0.0, 255.0)  # it goes beyond what it is given
        return resized

    def see(self, pictures: tf.Tensor) -> tf.Tensor:
        """0 to 255 -> what the network takes: centred, scaled, in its order of colours."""
        if self.order == "bgr":
            pictures = pictures[..., ::-1]
        return (pictures - self._mean(pictures)) / self._row(self.deviation, pictures)

    def unsee(self, seen: tf.Tensor) -> tf.Tensor:
        """What the network takes -> uint8 0 to 255, to be looked at."""
        pictures = seen * self._row(self.deviation, seen) + self._mean(seen)
        if self.order == "bgr":
            pictures = pictures[..., ::-1]
        return tf.cast(tf.clip_by_value(tf.round(pictures), 0, 255), tf.uint8)

    def _mean(self, pictures: tf.Tensor) -> tf.Tensor:
        """As it is subtracted from those: a number a channel, or a whole picture."""
        if len(self.mean) <= self.channels:
            return self._row(self.mean, pictures)
        mean = tf.constant(self.mean, tf.float32)
        return tf.reshape(mean, (self.size, self.size, self.channels))

    def _row(self, values: tuple[float, ...], pictures: tf.Tensor) -> tf.Tensor:
        """A number a channel, for all places of a row of pictures: so it is broadcast faster."""
        width = tf.shape(pictures)[-2]
        return tf.broadcast_to(tf.constant(values, tf.float32), (width, self.channels))

    def save(self, folder: pathlib.Path) -> None:
        """Writes `codec.json` and the examples as files."""
        fields = dataclasses.asdict(self)
        names = []
        folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(fields.pop("examples")):
            names.append(f"example-{number}{'.png' if content.startswith(PNG) else '.jpg'}")
            (folder / names[-1]).write_bytes(content)
        codec_folder.save(folder, "images", examples=names, **fields)

    @classmethod
    def from_folder(cls, folder: pathlib.Path, fields: dict[str, Any]) -> "Images":
        """What `save` wrote; `fields` are those of `codec.json`."""
        contents = [(folder / name).read_bytes() for name in fields.pop("examples", ())]
        return cls(**fields, examples=tuple(contents))


def coloured(pictures: tf.Tensor, channels: int) -> tf.Tensor:
    """[..., 1 or 3] to [..., channels]: luma where colours become grey; float32 if these differ."""
    have = pictures.shape[-1]
    if have == 3 and channels == 1:
        grey = tf.cast(pictures, tf.float32) * tf.constant(GREY)
        return tf.reduce_sum(grey, axis=-1, keepdims=True)
    return tf.repeat(pictures, 3, axis=-1) if have == 1 and channels == 3 else pictures


def picture(content: tf.Tensor, about: tf.Tensor) -> tf.Tensor:
    """string [], a JPEG or PNG -> uint8 [H, W, 3], upright, transparency over white; traceable.

    One function of TensorFlow's for all graphs: hundreds of operations are traced once.

    Args:
        about: string [], how messages call it.

    Raises:
        tf.errors.InvalidArgumentError: as `Images.read`.
    """
    seen: tf.Tensor = _picture(content, about)
    return seen


@tf.function(input_signature=[tf.TensorSpec([], tf.string)] * 2, autograph=False)
def _picture(content: tf.Tensor, about: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies(_checks(content, about)):
        content = tf.identity(content)
    seen: tf.Tensor = tf.cond(
        _is_jpeg(content), lambda: _jpeg(content, about), lambda: _png(content, about)
    )
    return tf.ensure_shape(seen, [None, None, 3])


def _is_jpeg(content: tf.Tensor) -> tf.Tensor:
    return tf.equal(tf.strings.substr(content, 0, len(JPEG)), JPEG)


def _checks(content: tf.Tensor, about: tf.Tensor) -> list[tf.Operation]:
    """That the bytes begin and end as a picture does."""
    jpeg, png = _is_jpeg(content), tf.equal(tf.strings.substr(content, 0, len(PNG)), PNG)
    length = tf.strings.length(content)
    tail = tf.strings.substr(content, tf.maximum(length - TAIL, 0), TAIL)
    end = tf.where(jpeg, b"\xff\xd9", b"IEND")
    ends = tf.size(tf.strings.split(tail, end)) > 1
    return [
        *_require(length > 0, about, " is empty: it has no bytes"),
        *_require(
            tf.logical_or(tf.logical_or(jpeg, png), tf.equal(length, 0)),
            about,
            " is neither a JPEG nor a PNG",
        ),
        *_require(
            tf.logical_or(ends, tf.logical_not(tf.logical_or(jpeg, png))),
            about,
            " is cut off: the end of the file is missing",
        ),
    ]


def _require(holds: tf.Tensor, about: tf.Tensor, what: Any) -> list[tf.Operation]:
    check = tf.debugging.Assert(holds, [tf.strings.join([about, what])])
    return [] if check is None else [check]


def _sized(height: tf.Tensor, width: tf.Tensor, about: tf.Tensor) -> list[tf.Operation]:
    pixels = tf.cast(height, tf.float32) * tf.cast(width, tf.float32)
    has = tf.strings.join([about, tf.strings.format(" has {} x {} pixels", (width, height))])
    return [
        *_require(tf.minimum(height, width) >= LEAST, has, f"; a side has at least {LEAST}"),
        *_require(pixels <= MOST, has, f"; it may have {MOST:,} in all"),
    ]


def _jpeg(content: tf.Tensor, about: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(content)
    plain = _require(
        shape[2] < 4,
        about,
        " is a CMYK JPEG, for printing; save it as RGB or grey",
    )
    with tf.control_dependencies([*_sized(shape[0], shape[1], about), *plain]):
        decoded = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
    return exif.upright(decoded, exif.orientation(content))


def _png(content: tf.Tensor, about: tf.Tensor) -> tf.Tensor:
    header = tf.cast(tf.io.decode_raw(tf.strings.substr(content, 16, 9), tf.uint8), tf.int32)
    width, height = (
        tf.reduce_sum(part * tf.constant([1 << 24, 1 << 16, 1 << 8, 1]))
        for part in (header[:4], header[4:8])
    )
    with tf.control_dependencies(_sized(height, width, about)):
        decoded = tf.cast(tf.io.decode_png(content, channels=4), tf.float32)
    # Where there is no alpha, the decoder fills in the largest number of the file's own depth.
    filler = tf.cast(tf.bitwise.left_shift(1, tf.minimum(header[8], 8)) - 1, tf.float32)
    opaque = tf.reduce_all(tf.equal(decoded[..., 3:], filler))
    covers = tf.where(opaque, tf.ones_like(decoded[..., 3:]), decoded[..., 3:] / 255)
    return tf.cast(tf.round(decoded[..., :3] * covers + 255 * (1 - covers)), tf.uint8)
