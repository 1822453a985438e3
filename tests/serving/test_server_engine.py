"""The engine without a protocol around it."""

import numpy as np
import pytest

from serving.server import saved_model
from serving.server.engine import Engine, ModelChoice
from serving.server.errors import Code, ServingError
from serving.server.repository import Policy, Repository


@pytest.fixture(scope="module")
def engine(version_folder, tmp_path_factory):
    base = tmp_path_factory.mktemp("engine")
    (base / "3").symlink_to(version_folder)
    repository = Repository("zoo", base, saved_model.load, policy=Policy())
    repository.refresh()
    yield Engine({"zoo": repository})
    repository.close()


ZOO = ModelChoice(name="zoo")


def test_predict_takes_and_gives_arrays(engine):
    answer = engine.predict(ZOO, {"x": np.float32([[2]])})
    assert answer.outputs["y"].tolist() == [[3.0]]
    assert (answer.version, answer.signature) == (3, "serving_default")


def test_a_deadline_that_has_passed_runs_nothing(engine):
    with pytest.raises(ServingError) as caught:
        engine.predict(ZOO, {"x": np.float32([[2]])}, timeout_seconds=0.0)
    assert caught.value.code == Code.DEADLINE_EXCEEDED


def test_signatures_and_statuses(engine):
    version, signatures = engine.signatures(ZOO)
    assert version == 3
    assert "upper" in signatures
    assert [status.version for status in engine.statuses("zoo")] == [3]


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        (ModelChoice(name=""), Code.INVALID_ARGUMENT),
        (ModelChoice(name="m"), Code.NOT_FOUND),
        (ModelChoice(name="zoo", version=4), Code.NOT_FOUND),
        (ModelChoice(name="zoo", label="stable"), Code.INVALID_ARGUMENT),
    ],
)
def test_choices_that_fit_nothing(engine, choice, code):
    with pytest.raises(ServingError) as caught:
        engine.signatures(choice)
    assert caught.value.code == code
