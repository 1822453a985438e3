"""What `benchmarks.echo` measures beside our server: each a program that serves until it is told
to end.

    python -m benchmarks.echo_peers echo|fastapi|fastapi-session|ray PORT VERSION_FOLDER
"""

import os
import pathlib
import signal
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

THREADS = 4 * (os.cpu_count() or 1)  # as many as our server has
SERVICER = (
    "tensorflow_serving.apis.prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server"
)


def until_told() -> None:
    """Waits for SIGTERM."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    while not told.wait(1.0):
        pass


def echo(port: int, _: pathlib.Path) -> None:
    """A grpcio server that answers with what it was sent."""
    import grpc

    class Everything(grpc.GenericRpcHandler):  # type: ignore[type-arg]
        def service(self, _: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda text, context: text)

    server = grpc.server(futures.ThreadPoolExecutor(THREADS))
    server.add_generic_rpc_handlers((Everything(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    until_told()
    server.stop(None).wait()


def fastapi(port: int, version: pathlib.Path) -> None:
    """A FastAPI service as one writes it: the SavedModel's function, lists in and out."""
    import tensorflow as tf

    model = tf.saved_model.load(str(version))
    function = model.signatures["serving_default"]

    def ask(**given: Any) -> dict[str, Any]:
        answer = function(**{name: tf.constant(value) for name, value in given.items()})
        return {name: value.numpy() for name, value in answer.items()}

    serve_http(port, ask)


def fastapi_session(port: int, version: pathlib.Path) -> None:
    """The same around a session, which is the fastest way into the SavedModel."""
    from benchmarks.served import asker

    serve_http(port, asker(version, "serving_default"))


def serve_http(port: int, ask: Callable[..., dict[str, Any]]) -> None:
    """FastAPI, with uvicorn around it."""
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()

    @app.post("/predict")
    def predict(inputs: dict[str, list[list[float]]]) -> dict[str, Any]:
        return {name: value.tolist() for name, value in ask(**inputs).items()}

    # Connections stay open while others have their turns.
    quiet: dict[str, Any] = {"log_level": "warning", "access_log": False}
    uvicorn.run(app, host="127.0.0.1", port=port, timeout_keep_alive=3600, **quiet)


def ray(port: int, version: pathlib.Path) -> None:
    """Ray Serve with its gRPC proxy, and one replica that speaks TF Serving's messages."""
    import ray
    from ray import serve

    from benchmarks import servers

    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(
        grpc_options={"port": port, "grpc_servicer_functions": [SERVICER]},
        http_options={"host": "127.0.0.1", "port": servers.free_port(), "location": "HeadOnly"},
    )
    serve.run(serve.deployment(max_ongoing_requests=100)(RayModel).bind(str(version)))
    until_told()
    ray.shutdown()


class RayModel:
    """The function as a deployment."""

    def __init__(self, version: str) -> None:
        from benchmarks.served import asker

        self._ask = asker(pathlib.Path(version), "serving_default")

    def Predict(self, request: Any) -> Any:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        given = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        reply = predict_pb2.PredictResponse()
        for name, value in self._ask(**given).items():
            reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return reply


PEERS = {"echo": echo, "fastapi": fastapi, "fastapi-session": fastapi_session, "ray": ray}

if __name__ == "__main__":
    PEERS[sys.argv[1]](int(sys.argv[2]), pathlib.Path(sys.argv[3]))
