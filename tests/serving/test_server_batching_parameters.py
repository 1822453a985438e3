"""The file that says how requests are put together."""

import os

import pytest

from serving.server import batching_parameters
from serving.server.batching import Parameters
from serving.server.errors import Code, ServingError

WHOLE = """
max_batch_size { value: 64 }
batch_timeout_micros { value: 5000 }
max_enqueued_batches { value: 7 }
num_batch_threads { value: 3 }
thread_pool_name { value: "mine" }
allowed_batch_sizes: 8
allowed_batch_sizes: 16
pad_variable_length_inputs: true
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 16 }
"""


def test_without_a_file_all_is_as_tf_serving_has_it():
    given = batching_parameters.read(None)
    assert given == Parameters(num_batch_threads=os.cpu_count())
    assert (given.max_batch_size, given.batch_timeout_micros) == (1000, 0)
    assert (given.max_enqueued_batches, given.allowed_batch_sizes) == (10, ())


def test_a_file_is_read(tmp_path):
    file = tmp_path / "batching.txt"
    file.write_text(WHOLE)
    assert batching_parameters.read(file) == Parameters(
        max_batch_size=64,
        batch_timeout_micros=5000,
        max_enqueued_batches=7,
        num_batch_threads=3,
        allowed_batch_sizes=(8, 16),
        pad_variable_length_inputs=True,
        enable_large_batch_splitting=True,
        max_execution_batch_size=16,
        thread_pool_name="mine",
    )
    file.write_text("batch_timeout_micros { value: 0 }")
    assert batching_parameters.read(file) == batching_parameters.read(None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"max_batch_size: 64", "Invalid protobuf file: .*batching.txt.: 1:17"),
        (b"max_batch { value: 64 }", "no field named .max_batch."),
        (b"\xff", "it is not text"),
        (b"max_batch_size { value: 0 }", "batching.txt: max_batch_size is 0; it must be at least"),
        (b"allowed_batch_sizes: 8", "they must ascend from at least 1 to the rows of the largest"),
    ],
)
def test_a_file_that_cannot_be_is_a_sentence(tmp_path, content, words):
    file = tmp_path / "batching.txt"
    file.write_bytes(content)
    with pytest.raises(ServingError, match=words) as caught:
        batching_parameters.read(file)
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(ServingError, match="none; No such file"):
        batching_parameters.read(tmp_path / "none")
