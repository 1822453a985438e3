"""Pictures as files hold them: read in the graph as Pillow reads them, or refused by row."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from kmodels.core.codecs import folder, images
from kmodels.core.codecs.images import PNG, Images, picture

SMOOTH = np.stack(
    [*np.meshgrid(np.linspace(0, 255, 40), np.linspace(255, 0, 24)), np.full((24, 40), 90.0)], -1
).astype(np.uint8)  # [24, 40, 3]


def encoded(pixels, kind="PNG", mode=None, **options):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode or "RGB").save(file, kind, **options)
    return file.getvalue()


def codec(**changes):
    fields = {"labels": ("a", "b"), "size": 16, "mean": (0.0,), "deviation": (1.0,)}
    return Images(**{**fields, "examples": (encoded(SMOOTH), encoded(SMOOTH, "JPEG")), **changes})


def pixels(content):
    return picture(tf.constant(content), tf.constant("image 0")).numpy()


def by_pillow(content):
    return np.asarray(
        PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(content))).convert("RGB")
    )


def test_a_png_is_read_to_the_bit():
    assert np.array_equal(pixels(encoded(SMOOTH)), SMOOTH)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_read_as_pillow_reads_it(mode):
    content = encoded(SMOOTH, "JPEG", mode=mode, quality=90)
    away = pixels(content).astype(int) - by_pillow(content)
    assert np.abs(away).max() <= 2


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA"])
def test_other_pngs_become_colours(mode):
    content = encoded(SMOOTH, mode=mode)
    assert np.array_equal(pixels(content), by_pillow(content))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("options", [{}, {"transparency": 0}])
def test_few_colours_in_few_bits_are_read(bits, options):
    file = io.BytesIO()
    few = PIL.Image.fromarray(SMOOTH).quantize(2**bits)
    few.save(file, "PNG", bits=bits, **options)
    white = PIL.Image.new("RGBA", few.size, "white")
    white.alpha_composite(PIL.Image.open(file).convert("RGBA"))
    assert np.array_equal(pixels(file.getvalue()), np.asarray(white.convert("RGB")))


def test_what_is_transparent_is_white():
    covers = np.dstack([SMOOTH, np.linspace(0, 255, 24 * 40).reshape(24, 40)]).astype(np.uint8)
    white = PIL.Image.new("RGBA", (40, 24), "white")
    white.alpha_composite(PIL.Image.fromarray(covers))
    away = pixels(encoded(covers, mode="RGBA")).astype(int) - np.asarray(white.convert("RGB"))
    assert np.abs(away).max() <= 1


@pytest.mark.parametrize("way", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_photograph_stands_as_it_was_taken(way, order):
    exif = PIL.Image.Exif()
    exif.endian = order
    exif[0x010F] = "A maker whose name comes before the orientation"
    exif[0x0112] = way
    content = encoded(SMOOTH, "JPEG", quality=95, exif=exif.tobytes())
    seen = pixels(content)
    assert seen.shape == ((24, 40, 3) if way < 5 else (40, 24, 3))
    assert np.abs(seen.astype(int) - by_pillow(content)).max() <= 2


@pytest.mark.parametrize("noted", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_none(noted):
    exif = PIL.Image.Exif()
    exif[0x0112] = noted
    content = encoded(SMOOTH, "JPEG", exif=exif.tobytes())
    assert pixels(content).shape == (24, 40, 3)


def header(width, height):
    """A PNG that says it has so many pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    end = b"IEND"
    return PNG + chunk + struct.pack(">I", 0) + end + struct.pack(">I", zlib.crc32(end))


BAD = {
    "nothing": (b"", "is empty: it has no bytes"),
    "text": (b"The with statement", "is neither a JPEG nor a PNG"),
    "a GIF": (encoded(SMOOTH, "GIF"), "is neither a JPEG nor a PNG"),
    "half a PNG": (encoded(SMOOTH)[:-30], "is cut off"),
    "half a JPEG": (encoded(SMOOTH, "JPEG")[:-30], "is cut off"),
    "a pixel": (encoded(SMOOTH[:1, :1]), "has 1 x 1 pixels; a side has at least 4"),
    "a pixel as JPEG": (encoded(SMOOTH[:1, :1], "JPEG"), "has 1 x 1 pixels; a side has at least 4"),
    "too many": (header(20_000, 20_000), "has 20000 x 20000 pixels; it may have 50,000,000 in all"),
    "for printing": (encoded(SMOOTH, "JPEG", mode="CMYK"), "is a CMYK JPEG"),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_what_is_no_usable_picture_is_refused_by_its_row(content, words):
    good = encoded(SMOOTH)
    read = tf.function(codec().read, autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"image 1 {words}"):
        read(tf.constant([good, content, good]))


def test_sides_are_resized_whole_or_their_middle_is_cut_out():
    whole = codec().fit(tf.constant(SMOOTH, tf.float32)).numpy()
    assert whole.shape == (16, 16, 3)
    assert whole[0, 0, 0] < 10 and whole[0, -1, 0] > 245, "from edge to edge"
    middle = codec(short=24, size=24).fit(tf.constant(SMOOTH, tf.float32)).numpy()
    assert np.array_equal(middle.astype(np.uint8), SMOOTH[:, 8:32])
    scaled = codec(short=18).fit(tf.constant(SMOOTH, tf.float32)).numpy()
    assert scaled.shape == (16, 16, 3)


def test_a_picture_alone_is_the_picture_in_a_batch():
    contents = [encoded(SMOOTH), encoded(SMOOTH[:, :24], "JPEG"), encoded(SMOOTH[:7])]
    read = tf.function(codec().read, autograph=False)
    together = read(tf.constant(contents)).numpy()
    for row, content in enumerate(contents):
        assert np.array_equal(read(tf.constant([content])).numpy()[0], together[row])


def test_reading_is_traced_once_for_all_graphs():
    for made in (codec(), codec(channels=1)):
        tf.function(made.read, autograph=False)(tf.constant(made.examples))
    assert images._picture.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mean": (100.0, 110.0, 120.0), "deviation": (50.0, 60.0, 70.0)},
        {"mean": (100.0, 110.0, 120.0), "order": "bgr"},
        {"mean": tuple(np.linspace(0, 255, 16 * 16 * 3).tolist())},
        {"channels": 1, "mean": (33.0,)},
    ],
)
def test_what_the_network_sees_can_be_looked_at_again(changes):
    made = codec(**changes)
    fitted = made.fit(tf.constant(SMOOTH, tf.float32)[None])
    seen = made.unsee(made.see(fitted)).numpy()
    assert np.abs(seen - fitted.numpy()).max() <= 0.5 + 1e-3


def test_colours_are_turned_round_for_weights_that_want_it():
    red = tf.constant([[[[200.0, 0.0, 0.0]]]])
    made = codec(size=1, order="bgr", mean=(1.0, 2.0, 3.0))
    assert made.see(red).numpy().ravel().tolist() == [-1, -2, 197]


def test_grey_of_grey_is_the_same_grey():
    grey = np.repeat(SMOOTH[..., :1], 3, axis=-1)
    seen = codec(channels=1, size=24, short=24).fit(tf.constant(grey, tf.float32))
    np.testing.assert_allclose(seen.numpy(), grey[:, 8:32, :1], atol=1e-3)


def test_a_codec_comes_back_from_its_folder(tmp_path):
    made = codec(labels=("Hund", "Straße"), mean=(1.5, 2.5, 3.5), short=20)
    made.save(tmp_path / "codec")
    assert folder.load(tmp_path / "codec") == made
    assert (tmp_path / "codec" / "example-0.png").read_bytes() == made.examples[0]
    (tmp_path / "codec" / "example-1.jpg").unlink()
    with pytest.raises(ValueError, match=r"is not a codec: .*example-1.jpg"):
        folder.load(tmp_path / "codec")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": 2}, "1 or 3 channels, not 2"),
        ({"short": 8}, "short side of 8 is less than the 16"),
        ({"mean": (1.0, 2.0)}, "mean has 2 numbers; allowed: 1, 3, 768"),
        ({"deviation": (1.0, 2.0)}, "deviation has 2 numbers; allowed: 1, 3"),
        ({"deviation": (0.0,)}, "it must be above 0"),
    ],
)
def test_a_codec_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        codec(**changes)


def test_a_class_has_its_name():
    assert codec().label(tf.constant([[1, 0]])).numpy().tolist() == [[b"b", b"a"]]
