"""REST seen by an HTTP client: paths, codes, bodies, limits; real models, a real port."""

import contextlib
import gc
import gzip
import http.client
import json
import threading
import time
import weakref
from pathlib import Path

import pytest

from serving.server import saved_model
from serving.server.engine import Engine
from serving.server.errors import Code, ServingError
from serving.server.repository import Policy, Repository
from serving.server.rest import Request, RestService, refusal
from serving.server.web import WebConfig, WebServer, listen, unzip

ZOO = "/v1/models/zoo"


@pytest.fixture(scope="module")
def engine(version_folder, examples_folder, tmp_path_factory):
    repositories = {}
    for name, folder in (("zoo", version_folder), ("my zoo", examples_folder), ("none", None)):
        base = tmp_path_factory.mktemp("rest")
        if folder:
            (base / "7").symlink_to(folder)
        repository = Repository(name, base, saved_model.load, policy=Policy())
        repository.refresh()
        repositories[name] = repository
    yield Engine(repositories)
    for repository in repositories.values():
        repository.close()


@contextlib.contextmanager
def serving(engine, *, timeout_seconds=30.0, **options):
    service = RestService(engine, timeout_seconds=timeout_seconds)
    config = {"threads": 4, "max_waiting": 10, "max_request_bytes": 2**31 - 1, **options}
    server = WebServer(service, WebConfig(**config), listen("127.0.0.1", 0))
    server.start()
    yield server
    server.stop(5)


@pytest.fixture(scope="module")
def port(engine):
    with serving(engine) as server:
        yield server.port


def ask(port, method, path, body=None, **headers):
    """Status, headers and text of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read().decode()
    finally:
        connection.close()


def error(port, method, path, body=None):
    status, _, text = ask(port, method, path, body)
    value = json.loads(text)
    assert list(value) == ["error"]
    return status, value["error"]


def test_predict_by_rows_and_by_columns(port):
    status, headers, text = ask(port, "POST", f"{ZOO}:predict", '{"instances": [[1], [2.5]]}')
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(text) == {
        "predictions": [{"double": [2.0], "y": [2.5]}, {"double": [5.0], "y": [3.25]}]
    }
    _, _, text = ask(port, "POST", f"{ZOO}:predict", '{"inputs": {"x": [[NaN], [-Infinity]]}}')
    assert text.split() == json.dumps(
        {"outputs": {"double": [["@"], ["-@"]], "y": [["@"], ["-@"]]}}, indent=4
    ).replace('"-@"', "-Infinity").replace('"@"', "NaN").split()  # fmt: skip


def test_defaults_stand_for_what_is_left_out(port):
    body = '{"signature_name": "defaulted", "inputs": {"count": [4]}}'
    status, _, text = ask(port, "POST", f"{ZOO}:predict", body)
    assert status == 200 and json.loads(text)["outputs"] == {"name": ["anon"], "product": [6.0]}


@pytest.mark.parametrize(
    "path", [ZOO, f"{ZOO}/versions/7", "/V1/Models/zoo/Versions/007", "/v1/models/%7aoo"]
)
def test_paths_choose_the_model_and_the_version(port, path):
    body = '{"signature_name": "count", "inputs": 3}'
    assert ask(port, "POST", f"{path}:predict", body)[::2] == (200, '{\n    "outputs": 3\n}')
    assert ask(port, "GET", path)[0] == ask(port, "GET", f"{path}/metadata")[0] == 200


def test_bytes_travel_as_base64(port):
    body = '{"signature_name": "upper", "instances": [{"b64": "YQD/"}, "\u00e4"]}'
    status, _, text = ask(port, "POST", f"{ZOO}:predict", body.encode())
    first, second = json.loads(text)["predictions"]
    assert status == 200
    assert first == {"image": "a\0\ufffd\ufffd", "raw_bytes": {"b64": "YQD/"}, "text": "A\0\ufffd"}
    assert second["raw_bytes"] == {"b64": "w6Q="}


def test_classify_and_regress_take_examples(port):
    body = '{"context": {"y": 2.5}, "examples": [{"x": 1.0}, {"x": [2.0], "y": 0.5}]}'
    status, _, text = ask(port, "POST", "/v1/models/my%20zoo:classify", body)
    assert (status, text) == (
        200,
        '{\n    "results": [[["x", 1.0], ["y", 2.5]], [["x", 2.0], ["y", 0.5]]\n    ]\n}',
    )
    named = body[:-1] + ', "signature_name": "regress"}'
    status, _, text = ask(port, "POST", "/v1/models/my%20zoo/versions/7:regress", named)
    assert (status, text) == (200, '{\n    "results": [26.0, 7.0]\n}')


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "When method is classify, key 'examples' is expected and was not found"),
        ('{"examples": 1}', "Expecting 'examples' value to be an list/array"),
        ('{"examples": []}', "'examples' value is an empty array"),
        ('{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        ('{"examples": [{"x": null}]}', "Feature: x has element with unexpected JSON type: Null"),
        ('{"examples": [{"x": [[1]]}]}', "Feature: x has element with unexpected JSON type: Array"),
        (
            '{"examples": [{"x": [1.5, 1]}]}',
            "Unexpected element type in feature: x expecting type: float",
        ),
        (
            '{"examples": [{"x": [true, {"b64": ""}]}]}',
            "Unexpected element type in feature: x expecting type: int64",
        ),
        (
            '{"examples": [{"x": 18446744073709551615}]}',
            "Feature: x has uint64 element. Only int64 is supported.",
        ),
        ('{"examples": [{"x": 1e39}]}', "JSON value: 1e+39 to float without loss of precision."),
    ],
)
def test_what_are_no_examples_is_refused(port, body, message):
    status, text = error(port, "POST", "/v1/models/my%20zoo:classify", body)
    assert status == 400
    assert text.endswith(message)


PREDICT = '{"instances": [[1]]}'
NO_SIGNATURE = 'Serving signature name: "nope" not found in signature def'


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", ZOO, PREDICT, 400, f"Malformed request: POST {ZOO}"),
        ("GET", f"{ZOO}:predict", None, 400, f"Malformed request: GET {ZOO}:predict"),
        ("PUT", f"{ZOO}:predict", PREDICT, 400, f"Malformed request: PUT {ZOO}:predict"),
        ("POST", "/v1/", "", 400, "Malformed request: POST /v1/"),
        ("GET", "/v1/models", None, 400, "Missing model name in request."),
        ("GET", f"{ZOO}/versions/x", None, 400, f"Malformed request: GET {ZOO}/versions/x"),
        ("GET", "/v1/models/m", None, 404, "Could not find any versions of model m"),
        ("GET", f"{ZOO}/versions/8", None, 404, "Could not find version 8 of model zoo"),
        ("POST", "/v1/models/m:predict", PREDICT, 404, "Servable not found for request: Latest(m)"),
        (
            "POST",
            f"{ZOO}/versions/8:predict",
            PREDICT,
            404,
            "Servable not found for request: Specific(zoo, 8)",
        ),
        (
            "POST",
            f"{ZOO}/labels/a%20b:predict",
            PREDICT,
            400,
            "Unrecognized servable version label: a b",
        ),
        (
            "POST",
            f"{ZOO}/versions/9223372036854775808:predict",
            PREDICT,
            400,
            "Failed to convert version: 9223372036854775808 to numeric.",
        ),
        ("POST", f"{ZOO}:predict", "", 400, "JSON Parse error: The document is empty"),
        (
            "POST",
            f"{ZOO}:predict",
            '{"signature_name": "nope", "instances": [1]}',
            400,
            NO_SIGNATURE,
        ),
        (
            "POST",
            f"{ZOO}:predict",
            '{"signature_name": "echo", "inputs": {"b": 1, "u": 1}}',
            501,
            "Conversion of JSON Value: 1 to type: bfloat16",
        ),
        (
            "POST",
            f"{ZOO}:classify",
            '{"signature_name": "nope", "examples": [{}]}',
            400,
            "No signature was found with the name: nope",
        ),
    ],
)
def test_refusals_have_tf_servings_codes_and_texts(port, method, path, body, status, text):
    assert error(port, method, path, body) == (status, text)


def test_an_operation_that_fails_gives_its_own_status(port):
    body = '{"signature_name": "check", "inputs": -1}'
    status, text = error(port, "POST", f"{ZOO}:predict", body)
    assert status == 400
    assert text.startswith("assertion failed: [mmm")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.CANCELLED, 499), (Code.UNKNOWN, 500), (Code.INVALID_ARGUMENT, 400),
        (Code.DEADLINE_EXCEEDED, 504), (Code.NOT_FOUND, 404), (Code.ALREADY_EXISTS, 409),
        (Code.PERMISSION_DENIED, 403), (Code.RESOURCE_EXHAUSTED, 429),
        (Code.FAILED_PRECONDITION, 400), (Code.ABORTED, 409), (Code.OUT_OF_RANGE, 400),
        (Code.UNIMPLEMENTED, 501), (Code.INTERNAL, 500), (Code.UNAVAILABLE, 503),
        (Code.DATA_LOSS, 500), (Code.UNAUTHENTICATED, 401),
    ],
)  # fmt: skip
def test_each_code_has_its_http_status(code, status):
    reply = refusal(ServingError(code, 'so "it" is'))
    assert (reply.status, json.loads(reply.body)) == (status, {"error": 'so "it" is'})


def test_outside_v1_there_are_the_models_their_readiness_and_nothing(port):
    assert ask(port, "GET", "/")[0] == ask(port, "POST", "/models/zoo:predict", "{}")[0] == 404
    status, _, text = ask(port, "GET", "/models")
    assert status == 200
    listed = {model["name"]: model["versions"] for model in json.loads(text)["models"]}
    assert list(listed) == ["my zoo", "none", "zoo"]
    assert [(v["version"], v["state"]) for v in listed["zoo"]] == [("7", "AVAILABLE")]
    status, _, text = ask(port, "GET", "/ready")
    assert (status, json.loads(text)) == (503, {"ready": False, "waiting": ["none"]})


def test_a_server_whose_models_are_all_up_is_ready(version_folder, tmp_path: Path):
    (tmp_path / "7").symlink_to(version_folder)
    repository = Repository("zoo", tmp_path, saved_model.load, policy=Policy())
    repository.refresh()
    with serving(Engine({"zoo": repository})) as server:
        status, _, text = ask(server.port, "GET", "/ready")
        assert (status, json.loads(text)) == (200, {"ready": True, "waiting": []})
    repository.close()


def test_status_prints_whole_numbers_as_strings_and_defaults_too(port):
    _, _, text = ask(port, "GET", ZOO)
    (entry,) = json.loads(text)["model_version_status"]
    ok = {"error_code": "OK", "error_message": ""}
    assert entry == {"version": "7", "state": "AVAILABLE", "status": ok}


def test_metadata_holds_the_signatures(port):
    _, _, text = ask(port, "GET", f"{ZOO}/metadata")
    value = json.loads(text)
    assert value["model_spec"] == {"name": "zoo", "version": "7", "signature_name": ""}
    signatures = value["metadata"]["signature_def"]["signature_def"]
    shape = signatures["serving_default"]["inputs"]["x"]["tensor_shape"]
    assert [dim["size"] for dim in shape["dim"]] == ["-1", "1"]
    assert signatures["defaulted"]["defaults"]["scale"]["dtype"] == "DT_FLOAT"


def test_gzip_requests_are_unzipped(port):
    body = gzip.compress(PREDICT.encode())
    zipped = {"Content-Encoding": "gzip"}
    assert ask(port, "POST", f"{ZOO}:predict", body, **zipped)[0] == 200
    for broken in (body[:-4], b"nothing", b""):
        status, _, text = ask(port, "POST", f"{ZOO}:predict", broken, **zipped)
        assert status == 400
        assert "not gzip as its header says" in text


def test_gzip_that_unfolds_too_far_is_refused():
    bomb = gzip.compress(b" " * (100 * 2**20 + 1), 1)
    with pytest.raises(Exception, match="larger than 104857600 bytes unzipped"):
        unzip(bomb)
    assert unzip(gzip.compress(b"x" * 2**20)) == b"x" * 2**20


def test_other_origins_may_ask_where_they_are_let(engine, port):
    asked = {"Origin": "http://a", "Access-Control-Request-Method": "POST"}
    assert ask(port, "GET", ZOO, Origin="http://a")[1]["access-control-allow-origin"] is None
    with serving(engine, cors=True) as server:
        status, headers, _ = ask(server.port, "OPTIONS", f"{ZOO}:predict", **asked)
        assert (status, headers["access-control-allow-origin"]) == (200, "*")
        headers = ask(server.port, "GET", ZOO, Origin="http://a")[1]
        assert headers["access-control-allow-origin"] == "*"


def test_too_large_a_request_is_refused_whether_it_says_its_size_or_not(engine):
    body = PREDICT.encode()
    with serving(engine, max_request_bytes=len(body)) as server:
        assert ask(server.port, "POST", f"{ZOO}:predict", body)[0] == 200
        for large in (body + b" ", iter([body, b" "])):
            status, text = error(server.port, "POST", f"{ZOO}:predict", large)
            assert (status, text) == (413, f"The request is larger than {len(body)} bytes.")


@pytest.mark.parametrize(
    ("path", "body"),
    [(f"{ZOO}:predict", b"["), (f"{ZOO}:predict", b"{}"), (f"{ZOO}:x", b""), ("/v1/models/m", b"")],
)
def test_a_refused_request_is_forgotten_at_once(engine, path, body):
    """And not only when Python looks for garbage: its body may be large."""
    service = RestService(engine, timeout_seconds=30.0)
    gc.disable()
    try:
        request = Request(method="POST", path=path, body=body, arrived=time.monotonic())
        kept = weakref.ref(request)
        assert service.answer(request).status == 400
        del request
        assert kept() is None
    finally:
        gc.enable()


def let_in(port, body, answers):
    """A thread that asks until it is not refused for want of a place, and notes the answer."""

    def insist():
        while (answer := ask(port, "POST", f"{ZOO}:predict", body))[0] == 429:
            pass
        answers.append(answer[::2])

    thread = threading.Thread(target=insist)
    thread.start()
    return thread


def test_the_timeout_stops_the_model_and_a_full_queue_refuses_at_once(engine, eventually):
    endless = '{"signature_name": "count", "inputs": 2147483647}'
    with serving(engine, threads=1, max_waiting=0, timeout_seconds=1.0) as server:
        answers = []
        slow = let_in(server.port, endless, answers)
        eventually(lambda: ask(server.port, "GET", ZOO)[0] == 429)
        assert ask(server.port, "GET", "/ready")[0] == 503  # it is not among those that wait
        slow.join(30)
        assert [status for status, _ in answers] == [504]
        status, text = error(server.port, "POST", "/v1/models/m:predict", PREDICT)
        assert (status, text) == (404, "Servable not found for request: Latest(m)")


def test_requests_inside_are_answered_before_the_server_ends(engine, eventually):
    answers = []
    body = '{"signature_name": "count", "inputs": 300000}'
    with serving(engine, threads=1, max_waiting=0) as server:
        slow = let_in(server.port, body, answers)
        eventually(lambda: answers or ask(server.port, "GET", ZOO)[0] == 429)
    slow.join(30)
    assert answers == [(200, '{\n    "outputs": 300000\n}')]
    with pytest.raises(ConnectionError):
        ask(server.port, "GET", ZOO)
