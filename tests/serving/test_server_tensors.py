"""TensorProto <-> numpy on the server, against TensorFlow's own conversions."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.server import tensors

KINDS = ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "c8", "c16", "?"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = st.sampled_from(KINDS).flatmap(lambda kind: hnp.arrays(np.dtype(kind), SHAPES))
STRINGS = hnp.arrays(object, SHAPES, elements=st.binary(max_size=5), fill=st.nothing())


def encoded(array):
    proto = tensor_pb2.TensorProto()
    tensors.encode(array, proto)
    return proto


def same(left, right):
    assert left.dtype == right.dtype
    np.testing.assert_array_equal(left, right, strict=True)


@settings(max_examples=150, deadline=None)
@given(NUMBERS)
def test_numbers_are_read_as_tensorflow_writes_them(array):
    same(tensors.decode(tf.make_tensor_proto(array)), array)


@settings(max_examples=150, deadline=None)
@given(NUMBERS)
def test_numbers_are_written_as_tensorflow_reads_them(array):
    proto = encoded(array)
    assert proto.tensor_content == b""
    same(tf.make_ndarray(proto), array)
    same(tensors.decode(proto), array)


@settings(max_examples=50, deadline=None)
@given(STRINGS)
def test_strings_pass_both_ways(array):
    proto = encoded(array)
    np.testing.assert_array_equal(tensors.decode(proto), array, strict=True)
    if array.size:
        np.testing.assert_array_equal(tf.make_ndarray(proto), array, strict=True)


@settings(max_examples=100, deadline=None)
@given(st.one_of(NUMBERS, STRINGS))
def test_raw_content_passes_both_ways(array):
    proto = tensor_pb2.TensorProto()
    tensors.encode(array, proto, as_content=True)
    np.testing.assert_array_equal(tensors.decode(proto), array, strict=True)
    assert bool(proto.tensor_content) == bool(array.size)
    if array.dtype != object:
        same(tf.make_ndarray(proto), array)


def test_bfloat16_travels_as_bits():
    array = np.array([1.5, -2.0, 3e38], ml_dtypes.bfloat16)
    same(tensors.decode(encoded(array)), array)
    same(tf.make_ndarray(encoded(array)), array)


@pytest.mark.parametrize(
    ("values", "expected"), [([], [0, 0, 0]), ([5], [5, 5, 5]), ([5, 6], [5, 6, 6])]
)
def test_short_lists_repeat_their_last_value(values, expected):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT32, int_val=values)
    proto.tensor_shape.dim.add(size=3)
    assert tensors.decode(proto).tolist() == expected


def test_a_short_list_of_strings_repeats_too():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[b"a"])
    proto.tensor_shape.dim.add(size=2)
    assert tensors.decode(proto).tolist() == [b"a", b"a"]
    del proto.string_val[:]
    assert tensors.decode(proto).tolist() == [b"", b""]


def test_strings_may_be_raw_content():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING)
    proto.tensor_shape.dim.add(size=2)
    proto.tensor_content = b"\x01\x82\x01" + b"a" + b"b" * 130
    assert tensors.decode(proto).tolist() == [b"a", b"b" * 130]
    for broken in (b"\x01", b"\x01\x01a", b"\x80" * 20, b"\x01\x01abc"):
        proto.tensor_content = broken
        with pytest.raises(ValueError):
            tensors.decode(proto)


def proto_of(dtype, sizes, **fields):
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    "proto",
    [
        tensor_pb2.TensorProto(),
        proto_of(types_pb2.DT_RESOURCE, []),
        proto_of(types_pb2.DT_FLOAT, [-1], float_val=[1]),
        proto_of(types_pb2.DT_FLOAT, [2], tensor_content=b"123"),
        proto_of(types_pb2.DT_FLOAT, [2**40], float_val=[1]),
        proto_of(types_pb2.DT_STRING, [2**62], string_val=[b""]),
    ],
)
def test_what_is_no_tensor_is_refused(proto):
    with pytest.raises(ValueError):
        tensors.decode(proto)


def test_an_unknown_rank_is_refused():
    proto = proto_of(types_pb2.DT_FLOAT, [], float_val=[1])
    proto.tensor_shape.unknown_rank = True
    with pytest.raises(ValueError, match="unknown rank"):
        tensors.decode(proto)


def test_dtypes_without_a_form_on_the_wire_are_refused():
    with pytest.raises(ValueError, match="datetime64"):
        encoded(np.zeros(1, "M8[s]"))
