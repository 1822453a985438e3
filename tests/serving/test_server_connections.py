"""Slow HTTP callers: what they are told, when they are hung up on, and whom they hold up."""

import contextlib
import http.client
import json
import socket

import pytest

from serving.server import saved_model
from serving.server.engine import Engine
from serving.server.repository import Policy, Repository
from serving.server.rest import RestService
from serving.server.web import WebConfig, WebServer, listen

ZOO = "/v1/models/zoo"
PREDICT = '{"instances": [[1]]}'


@pytest.fixture(scope="module")
def engine(version_folder, tmp_path_factory):
    base = tmp_path_factory.mktemp("slow")
    (base / "7").symlink_to(version_folder)
    repository = Repository("zoo", base, saved_model.load, policy=Policy())
    repository.refresh()
    yield Engine({"zoo": repository})
    repository.close()


@contextlib.contextmanager
def serving(engine, **options):
    config = {"threads": 2, "max_waiting": 10, "max_request_bytes": 2**31 - 1, **options}
    service = RestService(engine, timeout_seconds=30.0)
    server = WebServer(service, WebConfig(**config), listen("127.0.0.1", 0))
    server.start()
    yield server.port
    server.stop(5)


def status(port):
    """Of a request in order."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", f"{ZOO}:predict", PREDICT)
        return connection.getresponse().status


HEAD = f"POST {ZOO}:predict HTTP/1.1\r\nHost: m\r\n"
NEVER = f"{HEAD}Content-Length: 100\r\n\r\n{{".encode()


@pytest.fixture(scope="module")
def impatient(engine):
    """The port of a server that waits for a tenth of a second."""
    with serving(engine, read_seconds=0.1) as port:
        yield port


def told(port, *texts):
    """What is said before the other side hangs up, after these texts have been sent."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        reply = b""
        for text in texts:
            connection.sendall(text)
        while part := connection.recv(65536):
            reply += part
    return reply.decode()


@pytest.mark.parametrize("start", [b"", b"POST", HEAD.encode(), HEAD.encode() + b"X: "])
def test_whoever_never_sends_the_head_of_a_request_is_hung_up_on(impatient, start):
    assert told(impatient, start) == ""


def test_whoever_never_sends_the_rest_of_a_request_is_told_and_hung_up_on(impatient):
    for head in (NEVER, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n".encode()):
        reply = told(impatient, head)
        assert reply.startswith("HTTP/1.1 408 ")
        assert '"error": "The request did not arrive within 0.1 seconds."' in reply


def test_the_next_request_on_a_connection_may_not_take_longer_either(impatient):
    whole = f"{HEAD}Content-Length: {len(PREDICT)}\r\n\r\n{PREDICT}"
    reply = told(impatient, f"{whole}POST".encode())
    assert reply.count("HTTP/1.1 200 ") == 1


def test_many_slow_callers_stop_no_others(engine):
    with serving(engine, threads=1, max_waiting=1, read_seconds=30) as port:
        slow = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(20)]
        for connection in slow:
            connection.sendall(NEVER)
        assert status(port) == 200
        for connection in slow:
            connection.close()


def test_whoever_does_not_read_the_reply_is_hung_up_on(impatient):
    rows = 200_000
    body = json.dumps({"instances": [[1.0]] * rows})
    with socket.create_connection(("127.0.0.1", impatient), 30) as connection:
        connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(ConnectionError):
            while True:  # writing tells when the other side is gone, and reads nothing
                connection.sendall(b"\r\n")
    assert status(impatient) == 200
