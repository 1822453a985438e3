"""Replies as TF Serving lays them out, to the byte."""

import json

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from serving.server import json_output
from serving.server.errors import Code, ServingError


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"y": np.float32([2.5, 3])}, '{\n    "predictions": [2.5, 3.0\n    ]\n}'),
        (
            {"y": np.float32([[0.1, 1e16], [1e-7, -0.0]])},
            '{\n    "predictions": [[0.1, 1e+16], [1e-7, -0.0]\n    ]\n}',
        ),
        ({"y": np.zeros((2, 0), np.float32)}, '{\n    "predictions": [[], []\n    ]\n}'),
        ({"y": np.zeros((0, 2), np.float32)}, '{\n    "predictions": []\n}'),
        ({"y": strings(b"a,b", b'"')}, '{\n    "predictions": ["a,b", "\\""\n    ]\n}'),
        (
            {"y_bytes": strings(b"\xff")},
            '{\n    "predictions": [{\n            "b64": "/w=="\n        }\n    ]\n}',
        ),
        (
            {
                "a": np.int32([[1, 2], [3, 4]]),
                "b": strings(b"x", b"y"),
                "c": np.bool_([True, False]),
            },
            '{\n    "predictions": [\n        {\n            "a": [1, 2],\n            "b": "x",\n'
            '            "c": true\n        },\n        {\n            "a": [3, 4],\n'
            '            "b": "y",\n            "c": false\n        }\n    ]\n}',
        ),
    ],
)
def test_rows(outputs, expected):
    assert json_output.predictions(outputs).decode() == expected


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"y": np.float64(0.1)}, '{\n    "outputs": 0.1\n}'),
        ({"y": np.int64([2**62])}, '{\n    "outputs": [\n        4611686018427387904\n    ]\n}'),
        (
            {"y": np.uint8([[1, 2], [3, 4]])},
            '{\n    "outputs": [\n        [\n            1,\n            2\n        ],\n'
            "        [\n            3,\n            4\n        ]\n    ]\n}",
        ),
        (
            {"a": np.float32([1]), "b_bytes": strings(b"")},
            '{\n    "outputs": {\n        "a": [\n            1.0\n        ],\n'
            '        "b_bytes": [\n            {\n                "b64": ""\n            }\n'
            "        ]\n    }\n}",
        ),
        ({"y": np.zeros((0, 3), np.float32)}, '{\n    "outputs": []\n}'),
    ],
)
def test_columns(outputs, expected):
    assert json_output.outputs(outputs).decode() == expected


def test_what_is_no_number_has_a_name():
    values = np.float32([[np.nan, 1], [np.inf, -np.inf]])
    text = json_output.predictions({"y": values}).decode()
    assert "[[NaN, 1.0], [Infinity, -Infinity]\n" in text
    assert json_output.outputs({"y": values[0, 0]}).decode() == '{\n    "outputs": NaN\n}'


@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=1, max_dims=4, max_side=4)))
def test_floats_read_back_as_they_were_and_lie_one_a_line(values):
    text = json_output.outputs({"y": values}).decode()
    again = np.array(json.loads(text)["outputs"], np.float32)
    np.testing.assert_array_equal(again, values)
    brackets = sum(int(np.prod(values.shape[:axis])) for axis in range(values.ndim))
    assert len(text.splitlines()) == 2 + values.size + 2 * brackets
    rows = json.loads(json_output.predictions({"y": values}))["predictions"]
    np.testing.assert_array_equal(np.array(rows, np.float32), values)


@given(arrays.arrays(np.int16, arrays.array_shapes(min_dims=2, max_dims=4, max_side=3)))
def test_columns_of_any_shape_are_indented_as_json_itself_would(values):
    text = json_output.outputs({"y": values}).decode()
    assert text == json.dumps({"outputs": values.tolist()}, indent=4)
    both = json_output.outputs({"a": values, "y": values[0]}).decode()
    nested = {"outputs": {"a": values.tolist(), "y": values[0].tolist()}}
    assert both == json.dumps(nested, indent=4)


def test_results_of_examples():
    classes = np.array([[b"a", b"b"], [b"c", b"d"]], object)
    scores = np.float32([[0.1, 2], [np.nan, 4]])
    assert json_output.classifications(classes, scores).decode() == (
        '{\n    "results": [[["a", 0.1], ["b", 2.0]], [["c", NaN], ["d", 4.0]]\n    ]\n}'
    )
    assert b'[["", 0.1], ["", 2.0]]' in json_output.classifications(None, scores)
    assert b'[["a", 0.0], ["b", 0.0]]' in json_output.classifications(classes, None)
    assert json_output.regressions(np.float32([1, 0.5])).decode() == (
        '{\n    "results": [1.0, 0.5]\n}'
    )


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"y": np.float32(1)}, "Tensor name: y has no shape information "),
        (
            {"a": np.float32([1]), "b": np.float32([1, 2])},
            "Tensor name: b has inconsistent batch size: 2 expecting: 1",
        ),
        ({"y": np.float16([1])}, "Failed to write JSON value for tensor type: half"),
        (
            {"y": np.ones(1, ml_dtypes.bfloat16)},
            "Failed to write JSON value for tensor type: bfloat16",
        ),
        ({"y": np.complex64([1])}, "Failed to write JSON value for tensor type: complex64"),
    ],
)
def test_what_rows_cannot_hold_is_refused(outputs, message):
    with pytest.raises(ServingError) as caught:
        json_output.predictions(outputs)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


def test_text_that_is_no_utf8_is_replaced_and_errors_are_objects():
    assert json.loads(json_output.outputs({"y": strings(b"a\xff")}))["outputs"] == ["a\ufffd"]
    assert json_output.error('a "b"\n').decode() == '{\n    "error": "a \\"b\\"\\n"\n}'
    assert json.loads(json_output.error("\ud800")) == {"error": "?"}
