"""The embedded model server: TF Serving's gRPC and REST interfaces around a SavedModel.

    python -m serving.server --port=8500 --model_name=gpt --model_base_path=exports/gpt

Reading order, each file using only the ones before it:

    errors          a refusal with a status code
    tensors         TensorProto <-> numpy
    versions        the version folders of a model, and which are wanted
    completeness    whether a version folder is whole
    attempts        when to try a version that is not up
    saved_model     one version on disk -> a session that can be run
    prediction      one request against one loaded version
    classification  tf.Examples against one loaded version: classes and values
    warmup          recorded requests replayed before a version is offered
    repository      the versions of one model: which are loaded, since when, and why not
    model_config    which models to serve: a text file or a message, in plain values
    models          a repository for each of them; a new configuration replaces the old
    engine          request -> model, version, answer; no protocol in sight
    methods         gRPC: bytes parsed into messages
    services        gRPC: decode, call the engine, encode
    json_*          JSON bodies <-> arrays and tf.Examples
    rest            REST: decode, call the engine, encode
    connections     HTTP connections, closed when nothing comes of them
    web             HTTP around it, in a thread of its own
    transport       ports, sockets and TLS
    flags           the command line
    addresses       whether one can listen somewhere
    metrics         counts and times, as Prometheus reads them
    request_log     a share of the requests, kept as warmup records
    observation     what is noted of each request, by `observed` of those over gRPC
    watch           from flags to all that
    loading         from flags to how a version is loaded
    operations      from flags to the REST port
    command         puts the parts together and runs until told to stop
"""
