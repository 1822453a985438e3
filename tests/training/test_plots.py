"""Curves: what is drawn is what the log says."""

import xml.etree.ElementTree as xml

import pytest
import tensorflow as tf

from training import plots

LOG = [
    {"step": 10, "split": "train", "loss": 3.0, "learning_rate": 1e-3, "tokens_per_second": 100.0},
    {"step": 20, "split": "train", "loss": None, "learning_rate": 5e-4, "tokens_per_second": 120.0},
    {"step": 20, "split": "eval", "loss": 2.5, "sample": "words"},
    {"step": 30, "split": "train", "loss": 2.0, "learning_rate": 1e-4, "tokens_per_second": 110.0},
    {"step": 30, "split": "eval", "loss": 2.75},
]


def drawn(figure):
    """Title of each panel -> its lines as (label, x, y)."""
    return {
        axes.get_title(): [
            (line.get_label(), list(line.get_xdata()), list(line.get_ydata()))
            for line in axes.get_lines()
        ]
        for axes in figure.axes
    }


def test_returns_and_worths_have_panels_where_games_are_played():
    log = [
        {"step": 10, "split": "train", "loss": 3.0, "train_return": 1.0},
        {"step": 20, "split": "eval", "loss": 2.5, "return": 7.0, "q": 0.5},
    ]
    panels = drawn(plots.curves(log, unit="transitions", title="dqn tiny"))
    assert list(panels) == ["loss", "return of whole games", "worth of the best action"]
    assert panels["return of whole games"] == [
        ("training", [10], [1.0]),
        ("held out", [20], [7.0]),
    ]
    assert panels["worth of the best action"] == [("held out", [20], [0.5])]


def test_every_number_has_its_panel_and_what_was_not_finite_is_left_out():
    panels = drawn(plots.curves(LOG, unit="tokens", title="gpt tiny"))
    assert list(panels) == ["loss", "learning rate", "tokens per second"], "no MFU, no panel"
    assert panels["loss"] == [
        ("training", [10, 30], [3.0, 2.0]),
        ("held out", [20, 30], [2.5, 2.75]),
        ("2.5 at step 20", [20], [2.5]),
    ]
    assert panels["learning rate"][0][1:] == ([10, 20, 30], [1e-3, 5e-4, 1e-4])
    assert panels["tokens per second"][0][1:] == ([10, 20, 30], [100.0, 120.0, 110.0])


def test_the_mfu_is_in_percent():
    log = [{**entry, "mfu": 0.25} for entry in LOG if entry["split"] == "train"]
    panels = drawn(plots.curves(log, unit="tokens", title=""))
    assert panels["MFU, % of the measured peak"][0][2] == [25.0] * 3


@pytest.mark.parametrize(("losses", "scale"), [((3.0, 2.0), "linear"), ((3000.0, 2.0), "log")])
def test_a_loss_over_orders_of_magnitude_has_a_logarithmic_axis(losses, scale):
    log = [{"step": i, "split": "train", "loss": loss} for i, loss in enumerate(losses)]
    assert plots.curves(log, unit="tokens", title="").axes[0].get_yscale() == scale


@pytest.mark.parametrize("log", [[], LOG[:1], LOG[2:3]], ids=["nothing", "a step", "an evaluation"])
def test_a_short_log_is_drawn_too(log, tmp_path):
    plots.save(plots.curves(log, unit="tokens", title="short"), tmp_path)
    picture = tf.io.decode_png((tmp_path / "curves.png").read_bytes()).numpy()
    assert picture.shape[0] > 300 and picture.shape[1] > 1000
    assert len(set(picture[..., :3].reshape(-1, 3).max(1).tolist())) > 10, "it is not blank"


def test_the_svg_is_whole_equal_for_equal_logs_and_loads_nothing():
    first, second = (plots.svg(plots.curves(LOG, unit="tokens", title="a")) for _ in range(2))
    assert first == second
    root = xml.fromstring(first)
    assert root.tag.endswith("svg")
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.endswith("href"):
                assert value.startswith("#")
