"""JSON bodies read as arrays: both formats, both ways of reading, and every refusal."""

import json

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server import json_values
from serving.server.errors import Code, ServingError
from serving.server.json_input import parse, predict_inputs

FLOAT, DOUBLE, STRING = types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE, types_pb2.DT_STRING
INT8, INT32, INT64 = types_pb2.DT_INT8, types_pb2.DT_INT32, types_pb2.DT_INT64
UINT8, UINT64, BOOL = types_pb2.DT_UINT8, types_pb2.DT_UINT64, types_pb2.DT_BOOL
HALF = types_pb2.DT_HALF


def read(text, **dtypes):
    infos = {n: meta_graph_pb2.TensorInfo(dtype=d) for n, d in (dtypes or {"x": FLOAT}).items()}
    return predict_inputs(parse(text if isinstance(text, bytes) else text.encode()), infos)


def refusal(text, **dtypes):
    with pytest.raises(ServingError) as caught:
        read(text, **dtypes)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [
        ('{"instances": [1, 2.5]}', FLOAT, np.float32([1, 2.5])),
        ('{"instances": [[[1]], [[2]]]}', FLOAT, np.float32([[[1]], [[2]]])),
        ('{"instances": [[]]}', FLOAT, np.zeros((1, 0), np.float32)),
        ('{"instances": [{"x": [1, 2]}]}', FLOAT, np.float32([[1, 2]])),
        ('{"inputs": [[1], [2]]}', FLOAT, np.float32([[1], [2]])),
        ('{"inputs": {"x": 4}}', FLOAT, np.float32(4)),
        ('{"inputs": 1e300}', DOUBLE, np.float64(1e300)),
        ('{"instances": [-128, 127]}', INT8, np.int8([-128, 127])),
        ('{"inputs": 18446744073709551615}', UINT64, np.uint64(2**64 - 1)),
        ('{"instances": [true, false]}', BOOL, np.array([True, False])),
        ('{"instances": ["a", "\\u00e4"]}', STRING, np.array([b"a", "ä".encode()], object)),
        ('{"instances": [{"b64": "AP8="}]}', STRING, np.array([b"\x00\xff"], object)),
        ('{"inputs": {"b64": "AP8"}}', STRING, np.array(b"\x00\xff", object)),
        ('{"instances": [{"x": {"b64": ""}}]}', STRING, np.array([b""], object)),
    ],
)
def test_values_become_arrays_of_the_signatures_dtype(text, dtype, expected):
    tensors = read(text, x=dtype)
    (array,) = tensors.inputs.values()
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert array.tolist() == expected.tolist()
    assert tensors.by_rows == ("instances" in text)


def test_named_rows_give_every_input_its_column():
    text = '{"instances": [{"x": [1], "n": "a"}, {"n": "b", "x": [2]}], "signature_name": "s"}'
    assert parse(text.encode()).signature == "s"
    inputs = read(text, n=STRING, x=FLOAT).inputs
    assert inputs["x"].tolist() == [[1], [2]]
    assert inputs["n"].tolist() == [b"a", b"b"]


INFOS = {n: meta_graph_pb2.TensorInfo(dtype=FLOAT) for n in ("x", "y", "z")}


@pytest.mark.parametrize(
    ("text", "optional", "expected"),
    [
        ('{"inputs": {"x": [1]}}', "yz", {"x": [1]}),
        ('{"inputs": {"x": [1], "z": [2]}}', "yz", {"x": [1], "z": [2]}),
        ('{"inputs": {}}', "xyz", {}),
        ('{"inputs": [1]}', "yz", {"x": [1]}),
        ('{"instances": [1, 2]}', "yz", {"x": [1, 2]}),
        ('{"instances": [{"x": 1}, {"x": 2}]}', "yz", {"x": [1, 2]}),
        ('{"instances": [{"x": 1, "z": 3}, {"x": 2, "z": 4}]}', "yz", {"x": [1, 2], "z": [3, 4]}),
    ],
)
def test_what_has_a_default_may_be_left_out(text, optional, expected):
    found = predict_inputs(parse(text.encode()), INFOS, optional=optional).inputs
    assert {name: array.tolist() for name, array in found.items()} == expected


@pytest.mark.parametrize(
    ("text", "optional", "message"),
    [
        ('{"inputs": {"z": [1]}}', "yz", "Missing named input: x in 'inputs' object"),
        ('{"inputs": {"x": [1], "zz": [2]}}', "yz", "does not have named input: zz"),
        ('{"instances": [{"x": 1}, {"x": 2, "z": 4}]}', "yz", "element: 1 key: z"),
        ('{"instances": [{"x": 1, "z": 4}, {"x": 2}]}', "yz", "keys must be equal to: x,z"),
        ('{"instances": [{"z": 1}]}', "yz", "keys must be equal to: x,z"),
        ('{"instances": [1]}', "z", "expecting list of objects as multiple"),
        ('{"inputs": [1]}', "xyz", "expecting an object as multiple"),
    ],
)
def test_a_slip_in_a_name_is_no_default(text, optional, message):
    with pytest.raises(ServingError, match=message):
        predict_inputs(parse(text.encode()), INFOS, optional=optional)


@pytest.mark.parametrize("padding", ["", " " * 1000])
def test_infinities_and_nan_have_all_their_names(padding):
    text = '{"instances": [NaN, Infinity, -Infinity, Inf, -Inf, 1]}' + padding
    assert repr(read(text).inputs["x"].tolist()) == "[nan, inf, -inf, inf, -inf, 1.0]"
    named = '{"inputs": ["Inf", "a \\\\"], "x": NaN}'
    assert read(named, x=STRING).inputs["x"].tolist() == [b"Inf", b"a \\"]


@pytest.mark.parametrize("key", ["instances", "inputs"])
@pytest.mark.parametrize("dtype", [FLOAT, DOUBLE, INT32, INT64, UINT8, UINT64])
def test_large_bodies_are_read_in_bulk_and_give_the_same(key, dtype, monkeypatch):
    values = np.random.default_rng(0).integers(0, 200, (5, 4, 30, 1)).tolist()
    text = json.dumps({"signature_name": "s", key: values}, indent=1).encode()
    assert parse(text).numbers is not None
    fast = read(text, x=dtype).inputs["x"]
    monkeypatch.setattr("serving.server.json_input.BULK_BYTES", len(text) + 1)
    assert parse(text).numbers is None
    slow = read(text, x=dtype).inputs["x"]
    assert fast.dtype == slow.dtype and fast.shape == slow.shape == (5, 4, 30, 1)
    assert fast.tolist() == slow.tolist() == values


ROW = list(range(300))
SIZE = "Encountered list at unexpected size: 199 at level: 1 expected size: 200"
LOST = "Cannot convert JSON value: {} to {} without loss of precision."
KIND = "JSON Value: {} Type: {} is not of expected type: {}"
LEVEL = "JSON Value: 0 found at incorrect level: 3 in the JSON DOM. Expected at level: 3"


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        ([ROW[:200], ROW[:199]], FLOAT, SIZE),
        ([ROW, [*ROW[:-1], True]], FLOAT, KIND.format("true", "True", "float")),
        ([ROW, [*ROW[:-1], 0.5]], INT32, KIND.format(0.5, "Number", "int32")),
        ([ROW, ROW], UINT8, KIND.format(256, "Number", "uint8")),
        ([*ROW, 2**24], FLOAT, LOST.format(2**24, "float")),
        ([*ROW, 2**53], DOUBLE, LOST.format(2**53, "double")),
        ([*ROW, 1e39], FLOAT, LOST.format("1e+39", "float")),
        # as many values as three by three, and the brackets of three rows
        ([[1.25] * 200, [1.25] * 199, [1.25] * 201], FLOAT, SIZE),
        ([[ROW], [0]], FLOAT, LEVEL),
        ([ROW, [ROW] * 300], FLOAT, "Encountered list at unexpected level: 2 expected < 2"),
    ],
)
def test_large_bodies_are_refused_in_the_same_words(value, dtype, text):
    code, message = refusal(json.dumps({"inputs": value}), x=dtype)
    assert (code, message) == (Code.INVALID_ARGUMENT, text)


def test_decimals_beyond_the_integers_of_a_float_are_rounded_in_bulk_too():
    values = [2.0**24 + 1] * 300
    assert read(json.dumps({"inputs": values})).inputs["x"].tolist() == [2.0**24] * 300


TWO = {"x": FLOAT, "y": FLOAT}
MANY = "as multiple input tensors required as per tensorinfo_map"
B64 = 'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data'


def shown(member):
    return f"JSON Value: {{\n    {member}\n}}"


def element(place, problem):
    return f"Failed to process element: {place} of 'instances' list. {problem}"


def element_error(place, problem):
    return element(place, f"Error: INVALID_ARGUMENT: {problem}")


@pytest.mark.parametrize(
    ("text", "dtypes", "message"),
    [
        ("", {}, "JSON Parse error: The document is empty"),
        ("[1]", {}, "JSON Value: [\n    1\n] Is not object"),
        ("{}", {}, "Missing 'inputs' or 'instances' key"),
        (
            '{"instances": 1}',
            {},
            shown('"instances": 1') + " Excepting 'instances' to be an list/array",
        ),
        ('{"instances": []}', {}, shown('"instances": []') + " No values in 'instances' array"),
        ('{"instances": [1, "a"]}', {}, element_error("1", KIND.format('"a"', "String", "float"))),
        ('{"instances": [null]}', {}, element_error("0", KIND.format("null", "Null", "float"))),
        (
            '{"instances": [[1, 2], [1]]}',
            {},
            element_error("1", "Expecting tensor size: 2 but got: 1"),
        ),
        (
            '{"instances": [[[1, 2]], [[1], [2]]]}',
            {},
            element_error("1", "Expecting shape [1,2] but got: [2,1]"),
        ),
        (
            '{"instances": [1, {"x": 1}]}',
            {},
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            '{"instances": [{"x": 1}, 1]}',
            {},
            "Expecting object but got list at item 1 of input list",
        ),
        (
            '{"instances": [{"z": 1}]}',
            {},
            element_error("0 key: z", "JSON object: does not have named input: z"),
        ),
        (
            '{"instances": [{"x": 1}]}',
            TWO,
            element("0", 'JSON object: {\n    "x": 1\n} keys must be equal to: x,y'),
        ),
        (
            '{"instances": [1]}',
            TWO,
            f"instances is a plain list, but expecting list of objects {MANY}",
        ),
        ('{"inputs": [1]}', TWO, f"inputs is a plain value/list, but expecting an object {MANY}"),
        ('{"inputs": {"x": 1}}', TWO, "Missing named input: y in 'inputs' object."),
        ('{"inputs": "a b"}', {"x": BOOL}, KIND.format('"a b"', "String", "bool")),
        ('{"inputs": {"x": {"b64": 1}}}', {"x": STRING}, B64),
        ('{"inputs": {"b64": "a"}}', {"x": STRING}, "Unable to base64 decode"),
        ('{"inputs": {"b64": "&&&&"}}', {"x": STRING}, "Unable to base64 decode"),
    ],
)
def test_refusals_say_what_tf_serving_says(text, dtypes, message):
    assert refusal(text, **dtypes) == (Code.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"instances": [1,]}',
        "nonsense",
        '{"inputs": 1e999}',
        '{"inputs": NaN,}',
        "\xff",
        "[" * 5000,
        '{"a": NaN, "b": ' + "[" * 5000,
        '{"inputs": NaN, "b": ' + "9" * 5000 + "}",
    ],
)
def test_what_is_no_json_is_a_parse_error(text):
    code, message = refusal(text.encode("latin-1"))
    assert code == Code.INVALID_ARGUMENT
    assert message.startswith("JSON Parse error: ")


def test_deep_nests_and_both_keys_and_odd_signatures_are_refused():
    assert refusal('{"inputs": ' + "[" * 900 + "]" * 900 + "}")[1].startswith("Encountered list")
    assert "expecting only one of" in refusal('{"inputs": 1, "instances": [1]}')[1]
    with pytest.raises(ServingError, match="'signature_name' key must be a string value"):
        parse(b'{"signature_name": 1}').signature  # noqa: B018


def test_types_without_a_json_form_are_unimplemented():
    code, message = refusal('{"inputs": 1}', x=HALF)
    assert code == Code.UNIMPLEMENTED
    assert message == "Conversion of JSON Value: 1 to type: half"


def test_of_a_large_value_only_what_is_quoted_is_written():
    assert json_values.shown([1, {"b64": ""}]) == json.dumps([1, {"b64": ""}], indent=4)
    text = json_values.shown([*range(1000), object()])  # the last is no JSON
    assert text == json.dumps([*range(1000)], indent=4)[: json_values.SHOWN_CHARACTERS] + "..."
    assert json_values.shown([object()]) == "..."
