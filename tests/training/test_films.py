"""Films: the pictures that were given, in a file that players know."""

import av
import numpy as np
import PIL.Image
import pytest

from training.films import GIF_SECONDS, Film


def bars(count, height=48, width=64):
    """A bright bar that moves to the right, uint8 [count, H, W, 3]."""
    pictures = np.zeros((count, height, width, 3), np.uint8)
    for i, picture in enumerate(pictures):
        picture[:, i % width : i % width + 8] = (200, 100, 50)
    return pictures


def written(stem, pictures, rate=10.0):
    with Film(stem, rate=rate) as film:
        for picture in pictures:
            film.add(picture)
    with av.open(str(stem.with_suffix(".mp4"))) as container:
        stream = container.streams.video[0]
        told = stream.codec_context.name, stream.pix_fmt, float(stream.average_rate)
        return told, [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_film_holds_every_picture(tmp_path):
    pictures = bars(40)
    told, seen = written(tmp_path / "bar", pictures)
    assert told == ("h264", "yuv420p", 10.0)
    assert len(seen) == 40
    for given, shown in zip(pictures, seen, strict=True):
        assert np.abs(given.astype(int) - shown).mean() < 8
    assert sorted(f.name for f in tmp_path.iterdir()) == ["bar.gif", "bar.mp4"]


def test_sides_that_are_odd_are_made_even(tmp_path):
    _, seen = written(tmp_path / "odd", bars(3, height=47, width=63))
    assert seen[0].shape == (48, 64, 3)


@pytest.mark.parametrize(("rate", "milliseconds", "shown"), [(10.0, 100, 200), (50.0, 40, 500)])
def test_the_animated_picture_has_the_first_seconds(tmp_path, rate, milliseconds, shown):
    count = round(GIF_SECONDS * rate) + 20
    written(tmp_path / "long", bars(count, height=16, width=count + 8), rate=rate)
    with PIL.Image.open(tmp_path / "long.gif") as picture:
        assert (picture.n_frames, picture.info["loop"]) == (shown, 0)
        assert picture.info["duration"] == milliseconds


def test_a_film_that_was_not_finished_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), Film(tmp_path / "half", rate=10) as film:
        film.add(bars(1)[0])
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
