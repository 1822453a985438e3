"""The embedded model server: TF Serving's gRPC and REST interfaces around a SavedModel.

    python -m serving.server --port=8500 --model_name=gpt --model_base_path=exports/gpt

Reading order, each file using only the ones before it:

    errors          a refusal with a status code
    tensors         TensorProto <-> numpy
    saved_model     one version on disk -> a session that can be run
    prediction      one request against one loaded version
    classification  tf.Examples against one loaded version: classes and values
    warmup          recorded requests replayed before a version is offered
    repository      the versions of one model: which are loaded, since when, and why not
    engine          request -> model, version, prediction; no protocol in sight
    services        gRPC: decode, call the engine, encode
    json_*          JSON bodies <-> arrays and tf.Examples
    rest            REST: decode, call the engine, encode
    web             HTTP around it, in a thread of its own
    flags           the command line
    command         puts the parts together and runs until told to stop
"""
