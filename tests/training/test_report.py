"""The report and the model card of a run."""

import html.parser
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from training import model_card, record, report
from training.config import UserError
from training.journals import Entry, samples


class Page(html.parser.HTMLParser):
    """Checks that tags nest, and keeps texts, tables and addresses."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.addresses = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "\n".join(self.texts)


@pytest.fixture
def run_dir(trained, tmp_path):
    """A copy of the trained run that a test may write to."""
    return shutil.copytree(trained.run_dir, tmp_path / "run")


def test_a_run_that_ends_has_its_report_curves_and_card(trained):
    assert f"Report: {trained.run_dir / 'report.html'}" in trained.output
    assert re.search(r"at step \d+\. MFU \d+\.\d%\.$", trained.output, re.M)
    names = {f.name for f in trained.run_dir.iterdir()}
    assert names >= {"report.html", "curves.png", "curves.svg", "README.md", "logs.csv", "samples"}


def test_the_page_tells_the_run_and_needs_nothing_beside_it(trained):
    page = Page((trained.run_dir / "report.html").read_text(encoding="utf-8"))
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    log = [json.loads(x) for x in (trained.run_dir / "logs.jsonl").read_text().splitlines()]
    best = min(e["loss"] for e in log if e["split"] == "eval")
    for words in (
        "gpt tiny",
        "cpu profile: not the paper's schedule",
        "Finished: step 40 of 40",
        f"{best:.4f} at step",
        "tokens/s",
        "of the measured peak",
        "recipe.optimizer.learning_rate",
        "config.width",
        "sample at step 20",
        f"--run-dir={trained.run_dir} --export-dir={trained.export_dir} --steps=80",
        f"-m training.export --run-dir={trained.run_dir}",
        "-m serving.server --port=8500 --model_name=gpt",
    ):
        assert words in page.text, words
    sample = (trained.run_dir / "samples" / "00000040-sample.txt").read_text(encoding="utf-8")
    assert sample in page.text


def test_pictures_are_part_of_the_page_and_markup_stays_text(run_dir):
    told = record.read(run_dir)
    shutil.rmtree(run_dir / "samples")
    picture = np.full([2, 3, 3], 9, np.uint8)
    sink = samples.Samples(run_dir / "samples")
    for step in range(1, 60):
        sink.write(Entry(step=step, split="eval", numbers={}, texts={"a": "<script>x</script>"}))
    sink.write(Entry(step=60, split="eval", numbers={}, pictures={"grid": picture}))
    text = report.page(told, "<svg></svg>")
    page = Page(text)
    assert "<script>" not in text and "<script>x</script>" in page.text
    assert page.text.count("at step") < 60 and "grid at step 60" in page.text
    assert sum(a.startswith("data:image/png;base64,") for a in page.addresses) == 1
    assert len(re.findall(r"<figure>", text)) == report.MOST_SAMPLES


def test_a_run_that_is_not_finished_says_so_and_how_to_go_on(run_dir):
    (run_dir / "export.json").unlink()
    shutil.rmtree(run_dir / "samples")
    lines = (run_dir / "logs.jsonl").read_text().splitlines(keepends=True)
    (run_dir / "logs.jsonl").write_text("".join(lines[:3]))
    report.write(run_dir)
    page = Page((run_dir / "report.html").read_text())
    assert "Not finished: step 20 of 40" in page.text and "Go on:" in page.text
    assert "not finished, at step 20 of 40" in (run_dir / "README.md").read_text()


def test_a_run_without_a_step_has_a_report_too(run_dir):
    for name in ("export.json", "machine.json", "logs.jsonl"):
        (run_dir / name).unlink()
    report.write(run_dir)
    assert "step 0 of 40" in Page((run_dir / "report.html").read_text()).text


def test_the_front_matter_is_what_the_hub_reads(trained):
    hub = pytest.importorskip("huggingface_hub", reason="comes with tokenizers")
    card = hub.ModelCard((trained.run_dir / "README.md").read_text(encoding="utf-8"))
    data = card.data.to_dict()
    assert data["library_name"] == "keras" and data["license"] == "apache-2.0"
    assert {"gpt", "tiny"} <= set(data["tags"])
    (result,) = card.data.eval_results
    best = record.read(trained.run_dir).best
    assert (result.metric_type, result.metric_value) == ("loss", best[0])
    for words in ("@article{gpt2018,", "Generative Pre-Training", "training.export", "8,352"):
        assert words in card.text, words


def test_a_card_without_an_evaluation_has_no_results(run_dir):
    (run_dir / "logs.jsonl").unlink()
    assert "model-index" not in model_card.front(record.read(run_dir))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(8.46, "8.5 s"), (200, "3 min 20 s"), (3599.9, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations_are_said_in_two_units(seconds, words):
    assert record.duration(seconds) == words


def test_the_first_interval_compiles_and_does_not_count(run_dir):
    told = record.read(run_dir)
    speeds = told.numbers("tokens_per_second")
    assert told.typical("tokens_per_second") == sorted(speeds[1:])[1]
    assert told.typical("gpu_memory_gib") is None or told.machine["devices"] != ["CPU"]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no run\.json"):
        report.write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_by_hand(run_dir):
    (run_dir / "report.html").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "training.report", str(run_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0 and done.stdout == f"Wrote {run_dir / 'report.html'}.\n"


def test_the_command_refuses_a_folder_that_is_no_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path)])
    assert report.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("training.report: ") and "holds no run.json" in said
