"""The client's own messages against the official ones: same bytes."""

import numpy as np
import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from serving.client import wire


def test_a_request_is_read_by_the_official_message():
    ours = wire.PredictRequest(output_filter=["y"])
    ours.model_spec.name = "m"
    ours.model_spec.signature_name = "s"
    ours.model_spec.version.value = 3
    ours.inputs["x"].float_val.extend([1.0, 2.0])
    ours.inputs["x"].dtype = 1
    ours.inputs["x"].tensor_shape.dim.add(size=2)
    theirs = predict_pb2.PredictRequest.FromString(ours.SerializeToString())
    assert theirs.model_spec.version.value == 3
    assert (theirs.model_spec.name, theirs.model_spec.signature_name) == ("m", "s")
    assert list(theirs.output_filter) == ["y"]
    assert tf.make_ndarray(theirs.inputs["x"]).tolist() == [1.0, 2.0]
    assert theirs.SerializeToString(deterministic=True) == ours.SerializeToString(
        deterministic=True
    )


def test_labels_are_read_by_the_official_message():
    ours = wire.ModelSpec(name="m", version_label="stable")
    theirs = predict_pb2.PredictRequest().model_spec.FromString(ours.SerializeToString())
    assert theirs.version_label == "stable"


def test_every_typed_list_keeps_its_number():
    for kind in (np.float32, np.float64, np.int32, np.int64, np.uint32, np.uint64, np.bool_,
                 np.complex64, np.complex128, np.float16, np.int8):  # fmt: skip
        theirs = tf.make_tensor_proto(np.array([1, 0, 1], kind).tolist(), dtype=kind)
        ours = wire.Tensor.FromString(theirs.SerializeToString())
        assert ours.SerializeToString() == theirs.SerializeToString()
        names = {field.name for field, _ in theirs.ListFields()}
        assert {field.name for field, _ in ours.ListFields()} == names


def test_official_replies_are_read():
    status = get_model_status_pb2.GetModelStatusResponse()
    entry = status.model_version_status.add(version=3, state=50)
    entry.status.error_code = 5
    entry.status.error_message = "gone"
    ours = wire.StatusResponse.FromString(status.SerializeToString())
    (entry,) = ours.model_version_status
    assert (entry.version, entry.state) == (3, 50)
    assert (entry.status.error_code, entry.status.error_message) == (5, "gone")

    signature = meta_graph_pb2.SignatureDef(method_name="m")
    signature.inputs["x"].name = "x:0"
    signature.inputs["x"].dtype = 1
    signature.inputs["x"].tensor_shape.unknown_rank = True
    signature.defaults["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    table = get_model_metadata_pb2.SignatureDefMap(signature_def={"s": signature})
    packed = any_pb2.Any()
    packed.Pack(table)
    reply = get_model_metadata_pb2.GetModelMetadataResponse(metadata={"signature_def": packed})
    ours = wire.MetadataResponse.FromString(reply.SerializeToString())
    value = wire.SignatureDefMap.FromString(ours.metadata["signature_def"].value)
    assert value.SerializeToString(deterministic=True) == table.SerializeToString(
        deterministic=True
    )
    assert value.signature_def["s"].inputs["x"].tensor_shape.unknown_rank
