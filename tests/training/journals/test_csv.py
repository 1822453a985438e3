"""logs.csv is logs.jsonl as a table."""

import csv
import math

from training.journals import Entry, jsonl
from training.journals import csv as table


def test_rows_are_the_entries_and_columns_their_numbers(make_run):
    run = make_run()
    run.run_dir.mkdir()
    log = jsonl.make(run)
    log.write(Entry(step=10, split="train", numbers={"loss": 2.5, "mfu": 0.1}))
    log.write(Entry(step=10, split="eval", numbers={"loss": 2.0}, texts={"sample": "a,\nb"}))
    log.write(Entry(step=20, split="train", numbers={"loss": math.nan, "mfu": 0.2}))
    table.make(run).close()
    with (run.run_dir / "logs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"step": "10", "split": "train", "loss": "2.5", "mfu": "0.1"},
        {"step": "10", "split": "eval", "loss": "2.0", "mfu": ""},
        {"step": "20", "split": "train", "loss": "", "mfu": "0.2"},
    ]
    log.rewind(10)
    table.make(run).close()
    assert len((run.run_dir / "logs.csv").read_text().splitlines()) == 3, "and it is wound back"


def test_without_a_log_there_is_no_table(make_run):
    run = make_run()
    run.run_dir.mkdir()
    table.make(run).close()
    assert not list(run.run_dir.iterdir())
