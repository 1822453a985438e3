"""What the pictures show."""

import pytest
from matplotlib import colors, image
from matplotlib.figure import Figure

from training import curves

NAN = float("nan")


@pytest.fixture
def axes():
    return Figure().subplots()


@pytest.fixture
def log():
    """Two intervals of 2 seconds, an evaluation behind each."""
    lines = []
    for step, loss in ((10, 3.0), (20, 2.0)):
        lines.append({"step": step, "split": "train", "loss": loss + 0.5, "seconds": 2.0})
        lines.append({"step": step, "split": "eval", "loss": loss})
    return lines


def test_a_curve_a_run_over_steps_or_seconds(axes, log):
    curves.curves(axes, {"a": log, "b": log[:2]}, split="eval")
    curves.curves(axes, {"c": log}, split="train", x="seconds")
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {"a": [[10, 3], [20, 2]], "b": [[10, 3]], "c": [[2, 3.5], [4, 2.5]]}


def test_numbers_that_are_none_are_left_out(axes, log):
    curves.curves(axes, {"a": [*log, {"step": 30, "split": "eval", "loss": NAN}]}, split="eval")
    assert axes.lines[0].get_xdata().tolist() == [10, 20]


def test_seconds_need_every_log_to_have_them(log):
    old = [{k: v for k, v in entry.items() if k != "seconds"} for entry in log]
    assert curves.are_timed({"a": log})
    assert not curves.are_timed({"a": log, "b": old}) and not curves.are_timed({})


@pytest.mark.parametrize(
    ("texts", "places", "ticks", "scale"),
    [
        (["1e-2", "1e-3"], [0.01, 0.001], ["1e-2", "1e-3"], "log"),
        (["0", "0.1"], [0, 0.1], ["0", "0.1"], "linear"),
        (["pre", "post"], [1, 0], ["pre", "post"], "linear"),
    ],
)
def test_a_field_has_a_dot_a_trial_and_its_values_below(axes, texts, places, ticks, scale):
    curves.field(axes, list(zip(texts, (2.0, 3.0), strict=True)))
    assert [line.get_xdata()[0] for line in axes.lines] == places
    assert {label.get_text() for label in axes.get_xticklabels()} == set(ticks)
    assert axes.get_xscale() == scale
    assert [line.get_color() for line in axes.lines] == [curves.BEST, curves.GREY]


def test_a_sweeps_picture_marks_the_best(tmp_path, log):
    rows = [
        {"values": {"a.rate": rate, "kind": "x"}, "best": best, "watch": "loss"}
        for rate, best in (("1", 2.0), ("2", 2.5), ("3", None))
    ]
    worse = [{**entry, "loss": entry["loss"] + 1} for entry in log]
    file = tmp_path / "a.png"
    curves.swept(file, rows, {"a.rate": "rate", "kind": "kind"}, {"1": log, "2": worse, "3": []})
    pixels = image.imread(file)[..., :3]
    red = abs(pixels - colors.to_rgb(curves.BEST)).max(axis=-1) < 0.02
    assert red.sum() > 100
