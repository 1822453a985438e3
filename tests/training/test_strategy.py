"""Replicas: which there are, and which rows each gets."""

import numpy as np
import pytest
import tensorflow as tf

from training import strategy
from training.config import UserError


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)


def test_one_replica_is_the_default_strategy():
    assert strategy.make("one") is tf.distribute.get_strategy()
    assert strategy.make("one", replicas=1).num_replicas_in_sync == 1
    assert strategy.is_chief(strategy.make("one"))


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="about CPUs")
def test_auto_on_a_cpu_is_one():
    assert strategy.make("auto") is tf.distribute.get_strategy()


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match="--strategy=one has one replica; --replicas is 2"):
        strategy.make("one", replicas=2)
    with pytest.raises(UserError, match="needs a cluster: set TF_CONFIG.*--spawn=N"):
        strategy.make("multi_worker")


@pytest.mark.parametrize(("batch", "micro", "near"), [(12, 5, 10), (3, 4, 4), (7, 2, 6)])
def test_a_batch_that_does_not_divide_is_refused_with_the_nearest_that_does(batch, micro, near):
    with pytest.raises(UserError) as caught:
        strategy.check_divides(batch, tf.distribute.get_strategy(), micro)
    assert f"--batch-size {batch} does not divide" in str(caught.value)
    assert str(caught.value).endswith(f"; {near} would.")


def test_a_batch_that_divides_passes():
    strategy.check_divides(12, tf.distribute.get_strategy(), 4)


def test_one_replica_gets_the_batches_as_they_are():
    batches = tf.data.Dataset.from_tensors({"tokens": np.arange(8).reshape(4, 2)}).repeat(2)
    given = list(strategy.spread(batches, tf.distribute.get_strategy()))
    assert len(given) == 2
    assert (given[0]["tokens"].numpy() == np.arange(8).reshape(4, 2)).all()


class Workers:
    """A strategy of two workers with two replicas each, seen by one of them."""

    num_replicas_in_sync = 4

    def __init__(self, worker: int) -> None:
        self.context = tf.distribute.InputContext(
            num_input_pipelines=2, input_pipeline_id=worker, num_replicas_in_sync=4
        )

    def distribute_datasets_from_function(self, function):
        return function(self.context)


def test_every_row_goes_to_exactly_one_replica_in_order():
    rows = np.arange(48).reshape(2, 8, 3)
    batches = tf.data.Dataset.from_tensor_slices({"tokens": rows, "number": rows[:, :, 0]})
    for worker in (0, 1):
        parts = list(strategy.spread(batches, Workers(worker)))
        assert len(parts) == 4, "two replicas, two batches"
        for i, part in enumerate(parts):
            number, replica = divmod(i, 2)
            first = 2 * (2 * worker + replica)
            wanted = rows[number, first : first + 2]
            assert (part["tokens"].numpy() == wanted).all()
            assert (part["number"].numpy() == wanted[:, 0]).all()
            assert part["tokens"].shape == (2, 3)
