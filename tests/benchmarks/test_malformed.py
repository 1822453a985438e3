"""Malformed requests against a real server, fewer than the benchmark sends."""

from benchmarks import malformed, servers


def test_every_malformed_request_gets_an_answer_that_blames_the_caller(tmp_path):
    folder = tmp_path / "m"
    servers.save_model(folder / "1")
    with servers.server(folder, servers.monitoring(folder)) as (process, ports):
        sender = malformed.Sender(ports, seed=1)
        answers = [sender.send() for _ in range(300)]
        sender.close()
        assert servers.memory_mib(process) < 2000
    assert {port for port, _ in answers} == {"REST", "REST bytes", "gRPC", "gRPC bytes"}
    statuses = {status for _, status in answers}
    assert statuses >= {"200", "400", "404", "OK", "INVALID_ARGUMENT", "hung up"}
    assert not statuses & {"500", "INTERNAL", "UNKNOWN"}
