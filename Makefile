MODEL ?= gpt

.PHONY: setup train test slow lint types imports lock gallery figures fit golden bench

setup:
	uv sync

train:
	uv run python -m training.run --model=$(MODEL)

test:
	uv run pytest

slow:
	uv run pytest -m slow

lint:
	uv run ruff format .
	uv run ruff check --fix .

types:
	uv run mypy

imports:
	uv run lint-imports --no-logo

lock:
	uv pip compile --quiet --upgrade --universal --python-version=3.11 --group=dev pyproject.toml --output-file=requirements.lock

gallery:
	uv run python -m docs.gallery

figures:
	uv run python -m docs.figures

fit:
	uv run python -m docs.fit

golden:
	uv run python tests/golden/generate.py $(MODEL)

bench:
	uv run --no-sync python -m benchmarks.train_step
	uv run --no-sync python -m benchmarks.generate
	uv run --no-sync python -m benchmarks.trainer
	uv run --no-sync python -m benchmarks.fit
