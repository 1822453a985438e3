"""numpy <-> the wire on the client, against TensorFlow's own conversions."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2

from serving.client import tensors, wire

KINDS = ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "c8", "c16", "?"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = st.sampled_from(KINDS).flatmap(lambda kind: hnp.arrays(np.dtype(kind), SHAPES))
STRINGS = hnp.arrays(object, SHAPES, elements=st.binary(max_size=5), fill=st.nothing())


def official(message):
    return tensor_pb2.TensorProto.FromString(message.SerializeToString())


def ours(proto):
    return wire.Tensor.FromString(proto.SerializeToString())


@settings(max_examples=150, deadline=None)
@given(NUMBERS)
def test_numbers_pass_between_this_codec_and_tensorflows(array):
    sent = tensors.encode(array, array.dtype.name)
    np.testing.assert_array_equal(tf.make_ndarray(official(sent)), array, strict=True)
    received = tensors.decode(ours(tf.make_tensor_proto(array)))
    np.testing.assert_array_equal(received, array, strict=True)


@settings(max_examples=100, deadline=None)
@given(NUMBERS)
def test_numbers_in_typed_lists_are_read(array):
    if array.dtype == np.uint64:  # of these TensorFlow makes floats on the way
        proto = tf.make_tensor_proto([0], array.dtype, shape=array.shape)
        proto.uint64_val[:] = array.ravel().tolist()
    else:
        proto = tf.make_tensor_proto(array.ravel().tolist(), array.dtype, shape=array.shape)
    received = tensors.decode(ours(proto))
    np.testing.assert_array_equal(received, array, strict=True)
    assert received.flags.writeable


@settings(max_examples=50, deadline=None)
@given(STRINGS)
def test_strings_pass(array):
    message = tensors.encode(array, "string")
    np.testing.assert_array_equal(tensors.decode(message), array, strict=True)
    if array.size:
        np.testing.assert_array_equal(tf.make_ndarray(official(message)), array, strict=True)


def test_strings_may_be_raw_content():
    message = wire.Tensor(dtype=7, tensor_content=b"\x01\x82\x01" + b"a" + b"b" * 130)
    message.tensor_shape.dim.add(size=2)
    assert tensors.decode(message).tolist() == [b"a", b"b" * 130]
    for broken in (b"\x01", b"\x01\x01a", b"\x80" * 9):
        message.tensor_content = broken
        with pytest.raises(ValueError):
            tensors.decode(message)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float32, (5,)))
def test_float32_is_rounded_to_bfloat16_as_ml_dtypes_does(array):
    with np.errstate(all="ignore"):
        expected = array.astype(ml_dtypes.bfloat16)
    received = tensors.decode(tensors.encode(array, "bfloat16"))
    assert received.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(received.astype("f4"), expected.astype("f4"))
    np.testing.assert_array_equal(
        tf.make_ndarray(official(tensors.encode(expected, "bfloat16"))).astype("f4"),
        expected.astype("f4"),
    )


def test_bfloat16_is_read_as_float32_without_ml_dtypes(monkeypatch):
    message = tensors.encode(np.float32([[1.5, -2]]), "bfloat16")
    monkeypatch.setattr(tensors, "_bfloat16", None)
    received = tensors.decode(message)
    assert received.dtype == np.float32
    assert received.tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize(
    ("values", "expected"), [([], [0, 0, 0]), ([5], [5, 5, 5]), ([5, 6], [5, 6, 6])]
)
def test_short_lists_repeat_their_last_value(values, expected):
    message = wire.Tensor(dtype=1, float_val=values)
    message.tensor_shape.dim.add(size=3)
    assert tensors.decode(message).tolist() == expected


def test_what_is_no_tensor_is_refused():
    message = wire.Tensor(dtype=20)
    with pytest.raises(ValueError, match="dtype 20"):
        tensors.decode(message)
    message = wire.Tensor(dtype=1, tensor_content=b"123")
    with pytest.raises(ValueError, match="3 bytes"):
        tensors.decode(message)
    message.tensor_shape.dim.add(size=2**60)
    with pytest.raises(ValueError, match="not possible"):
        tensors.decode(message)
