"""The server's command line."""

import dataclasses
import os
import re
from pathlib import Path

import pytest

from serving.server.flags import ServerConfig, parse

BASE = "--model_base_path=/models/gpt"


def test_defaults_are_those_of_tf_serving():
    config, unknown = parse([BASE])
    assert (config.host, config.port, config.model_name) == ("0.0.0.0", 8500, "default")
    assert config.model_base_path == Path("/models/gpt")
    assert config.file_system_poll_wait_seconds == 1
    assert (config.max_num_load_retries, config.load_retry_interval_micros) == (5, 60_000_000)
    assert config.enable_model_warmup is True
    assert config.saved_model_tags == ("serve",)
    assert (config.rest_api_port, config.rest_api_timeout_in_ms) == (0, 30_000)
    assert config.rest_api_enable_cors_support is False
    assert (config.num_load_threads, config.model_config_file_poll_wait_seconds) == (0, 0)
    assert config.model_config_file is None
    assert config.ssl_config_file is None
    assert config.tensorflow_session_config_file is None
    assert config.enable_grpc_healthcheck_service is False
    assert config.enable_serialization_as_tensor_content is False
    assert config.enable_signature_method_name_check is False
    assert config.allow_version_labels_for_unavailable_models is False
    assert config.grpc_max_threads == config.rest_api_num_threads == 4 * os.cpu_count()
    assert (config.grpc_socket_path, config.grpc_channel_arguments) == ("", ())
    assert (config.num_request_iterations_for_warmup, config.monitoring_config_file) == (0, None)
    assert (config.enable_batching, config.batching_parameters_file) == (False, None)
    assert config.enable_per_model_batching_parameters is False
    assert config.tensorflow_session_parallelism == 0
    assert config.tensorflow_intra_op_parallelism == config.tensorflow_inter_op_parallelism == 0
    assert unknown == []


@pytest.mark.parametrize(
    "arguments",
    [["--model_name=gpt"], ["--model-name=gpt"], ["--model_name", "gpt"], ["--model-name", "gpt"]],
)
def test_flags_may_be_written_in_four_ways(arguments):
    assert parse([BASE, *arguments])[0].model_name == "gpt"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--enable_model_warmup", True),
        ("--enable_model_warmup=true", True),
        ("--enable_model_warmup=false", False),
        ("--enable-model-warmup=0", False),
    ],
)
def test_boolean_flags_may_be_bare(argument, expected):
    assert parse([BASE, argument])[0].enable_model_warmup is expected


def test_tags_are_a_comma_list():
    assert parse([BASE, "--saved_model_tags=serve,gpu"])[0].saved_model_tags == ("serve", "gpu")


def test_unknown_flags_are_handed_back():
    assert parse([BASE, "--rest_port=8501", "--model_nam=x"])[1] == [
        "--rest_port=8501",
        "--model_nam=x",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--model_base_path is missing"),
        ([BASE, "--model_name="], "--model_name must not be empty"),
        ([BASE, "--port=http"], "'http' is not a whole number from 0 to 65535"),
        ([BASE, "--port=70000"], "'70000' is not a whole number from 0 to 65535"),
        ([BASE, "--grpc_max_threads=0"], "'0' is not a whole number from 1 up"),
        ([BASE, "--enable_model_warmup=maybe"], "'maybe' is neither true nor false"),
        ([BASE, "--saved_model_tags=,"], "at least one tag"),
        ([BASE, "--request_log_sampling_rate=2"], "'2' is not a number from 0 to 1"),
        ([BASE, "--request_log_sampling_rate=all"], "'all' is not a number from 0 to 1"),
        ([BASE, "--rest_api_port=-1"], "'-1' is not a whole number from 0 to 65535"),
        ([BASE, "--rest_api_timeout_in_ms=0"], "'0' is not a whole number from 1 up"),
        ([BASE, "--max_request_bytes=3e9"], "'3e9' is not a whole number from 1 to 2147483647"),
        ([BASE, "--grpc_channel_arguments=a"], "'a' is not written name=value"),
        ([BASE, "--file_system_poll_wait_seconds=-2"], "'-2' is not a whole number from -1 up"),
        ([BASE, "--batching_parameters_file=b"], "is given without --enable_batching"),
        (
            [
                BASE,
                "--tensorflow_session_parallelism=1",
                "--tensorflow_intra_op_parallelism=1",
                "--tensorflow_inter_op_parallelism=1",
            ],
            "do not give all three",
        ),
    ],
)
def test_bad_values_end_with_one_sentence_and_status_255(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    error = capsys.readouterr().out  # where TF Serving says it, too
    assert caught.value.code == 255
    assert sentence in error
    assert error.count("\n") == 1


def test_help_explains_every_flag(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    for field in dataclasses.fields(ServerConfig):
        assert f"--{field.name} " in text


def test_flags_that_change_nothing_here_are_handed_back_with_a_word(capsys):
    _, unknown = parse([BASE, "--enable_profiler=false", "--prefer_tflite_model"])
    assert unknown == [
        "--enable_profiler (it has no effect here)",
        "--prefer_tflite_model (it has no effect here)",
    ]


def test_channel_arguments_are_numbers_where_they_can_be():
    config, _ = parse([BASE, "--grpc_channel_arguments=grpc.max_connection_age_ms=5,grpc.x=y=z"])
    assert config.grpc_channel_arguments == (("grpc.max_connection_age_ms", 5), ("grpc.x", "y=z"))


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(["--version"])
    assert caught.value.code == 0
    assert re.match(r"serving.server on TensorFlow \d+\.\d+", capsys.readouterr().out)
