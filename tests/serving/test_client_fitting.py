"""Which values fit which dtypes, and what is said about those that do not."""

import ml_dtypes
import numpy as np
import pytest

from serving.client import InvalidInput, Signature, TensorSpec
from serving.client.fitting import fit, fit_all


def spec(dtype, shape=(None,), default=None):
    return TensorSpec(dtype=dtype, shape=shape, default=default)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ([5], "float32", np.float32([5])),
        ([0.1], "float32", np.float32([0.1])),
        ([5.0], "int32", np.int32([5])),
        ([True], "bool", np.array([True])),
        ([True], "float32", np.float32([1])),
        ([1, 2], "int64", np.int64([1, 2])),
        ([2**63], "uint64", np.uint64([2**63])),
        ([[1, 2], [3, 4]], "uint8", np.uint8([[1, 2], [3, 4]])),
        (np.float64([1e-3]), "float16", np.float16([1e-3])),
        ([float("nan"), float("inf")], "float32", np.float32([np.nan, np.inf])),
        ([1 + 2j], "complex64", np.complex64([1 + 2j])),
        ([1], "complex64", np.complex64([1])),
        ([], "float32", np.float32([])),
        (np.array([1.5], ml_dtypes.bfloat16), "float32", np.float32([1.5])),
    ],
)
def test_numbers_are_converted_when_nothing_but_precision_is_lost(value, dtype, expected):
    np.testing.assert_array_equal(fit(value, spec(dtype), "x"), expected, strict=True)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([0.5], "int32"), ([300], "uint8"), ([-1], "uint64"), ([2**63], "int64"),
        ([1e300], "float32"), ([70000], "float16"), ([float("nan")], "int32"), ([2], "bool"),
        (["5"], "float32"), ([1j], "float32"), ([None], "float32"), ([2**80], "float32"),
        ([2.0**63], "int64"),
    ],
)  # fmt: skip
def test_numbers_that_do_not_fit_are_refused_by_name(value, dtype):
    with pytest.raises(InvalidInput, match=f"input 'x' wants {dtype}"):
        fit(value, spec(dtype), "x")


@pytest.mark.parametrize(
    ("value", "shape", "expected"),
    [
        (5, (None,), (1,)), (5, (None, 1), (1, 1)), (5, (), ()), (5, None, (1,)),
        ([5], (), (1,)), ([5], None, (1,)),
    ],
)  # fmt: skip
def test_a_lone_value_is_a_batch_of_one(value, shape, expected):
    assert fit(value, spec("float32", shape), "x").shape == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("é", [b"\xc3\xa9"]),
        (b"\xff\0", [b"\xff\0"]),
        (["a", b"b\0"], [b"a", b"b\0"]),
        (np.array(["a", "bc"]), [b"a", b"bc"]),
        (np.array([b"a"], object), [b"a"]),
        ([["a"], ["b"]], [[b"a"], [b"b"]]),
    ],
)
def test_text_and_bytes_become_bytes(value, expected):
    array = fit(value, spec("string"), "s")
    assert array.dtype == object
    assert array.tolist() == expected


@pytest.mark.parametrize("value", [5, [5], ["a", None], ["\ud800"], [["a"], "b"]])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(InvalidInput, match="input 's'"):
        fit(value, spec("string"), "s")


def test_ragged_lists_are_refused():
    with pytest.raises(InvalidInput, match="not a rectangular array"):
        fit([[1], [1, 2]], spec("float32"), "x")


def test_dtypes_that_cannot_be_sent_are_named():
    with pytest.raises(InvalidInput, match="wants dtype 20"):
        fit(1, spec("dtype 20"), "x")


SIGNATURE = Signature(
    inputs={
        "prompt": spec("string"),
        "seed": spec("int64", (None,), np.int64([0])),
    },
    outputs={},
    method="",
)


def test_inputs_with_defaults_may_be_left_out():
    assert set(fit_all(SIGNATURE, {"prompt": "a"})) == {"prompt"}


def test_unknown_and_missing_inputs_are_named_with_their_dtypes():
    with pytest.raises(InvalidInput) as caught:
        fit_all(SIGNATURE, {"promt": "a"})
    assert str(caught.value) == (
        "no input is called 'promt' (did you mean 'prompt'?); "
        "inputs: prompt (string [?]), seed (int64 [?])"
    )
    with pytest.raises(InvalidInput, match=r"^missing input: prompt \(string \[\?\]\)$"):
        fit_all(SIGNATURE, {"seed": 1})
