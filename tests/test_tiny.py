"""The whole path at its smallest: train, export, serve, ask."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from kmodels import gpt
from kmodels.core.codecs import folder as codec_folder
from serving.client import Client, InvalidArgument
from training import checkpoints, runs

ROOT = pathlib.Path(__file__).parents[1]
PROMPTS = ["The", "In a class", "x"]

pytestmark = pytest.mark.tiny


@pytest.fixture(scope="module")
def target(trained):
    """The address of a server of that export, in a process of its own."""
    process = subprocess.Popen(
        [
            sys.executable, "-m", "serving.server", "--host=127.0.0.1", "--port=0",
            "--model_name=gpt", f"--model_base_path={trained.version.parent}",
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )  # fmt: skip
    lines = []
    with process:
        try:
            for line in process.stderr:
                lines.append(line)
                if match := re.search(r"^serving gpt .* at (127\.0\.0\.1:\d+) \(gRPC\)", line):
                    break
            else:
                raise AssertionError("".join(lines))
            yield match[1]
        finally:
            process.kill()


@pytest.fixture(scope="module")
def python(trained):
    """Asks the trained network in this process."""
    weights = checkpoints.model_weights(runs.tensors(trained.run_dir))
    config = json.loads((trained.run_dir / "run.json").read_text())["config"]
    model = gpt.build(gpt.Config(**config))
    for variable in model.weights:
        variable.assign(weights[variable.path])
    endpoints = gpt.endpoints(model, codec_folder.load(trained.run_dir / "codec"))

    def ask(name, **request):
        endpoint = endpoints[name]
        whole = {**endpoint.defaults, **request}
        tensors = {k: tf.constant(v, endpoint.inputs[k].dtype) for k, v in whole.items()}
        return {k: v.numpy() for k, v in endpoint.function(**tensors).items()}

    return ask


def shell(*words):
    """The client's command line."""
    return subprocess.run(
        [sys.executable, "-m", "serving.client", *words], capture_output=True, text=True, cwd=ROOT
    )


def test_the_command_says_what_it_did_and_what_to_do_next(trained):
    assert re.search(r"^step 10/40  loss \d\.\d{3}  [\d,]+ tokens/s", trained.output, re.M)
    assert re.search(r"^step 20  val loss \d\.\d{4}$", trained.output, re.M)
    assert "sample at step 40" in trained.output
    assert re.search(
        r"^Trained to step 40 in \d+ s; best loss \d\.\d{4} at step \d+\. MFU \d+\.\d%\.$",
        trained.output,
        re.M,
    )
    assert f"Exported to {trained.version}." in trained.output
    assert (
        f"-m serving.server --port=8500 --model_name=gpt --model_base_path={trained.version.parent}"
        in trained.output
    )
    assert "-m serving.client predict gpt --target=localhost:8500" in trained.output
    assert "Warning" not in trained.output and "Traceback" not in trained.output


def test_the_run_folder_holds_the_record(trained):
    assert {p.name for p in trained.run_dir.iterdir()} >= {
        "run.json", "logs.jsonl", "checkpoints", "codec", "tensorboard", "export.json",
        "logs.csv", "machine.json", "samples", "report.html", "README.md",
    }  # fmt: skip
    entries = [
        json.loads(line) for line in (trained.run_dir / "logs.jsonl").read_text().splitlines()
    ]
    assert [(e["step"], e["split"]) for e in entries] == [
        (10, "train"), (20, "train"), (20, "eval"), (30, "train"), (40, "train"), (40, "eval"),
    ]  # fmt: skip
    assert entries[-1]["loss"] < entries[2]["loss"] < 5
    assert not list(trained.run_dir.rglob("*.part"))


def test_the_export_holds_each_weight_once(trained):
    version = trained.version
    assert {p.name for p in version.iterdir()} >= {
        "saved_model.pb", "variables", "assets.extra", "card.json",
    }  # fmt: skip
    assert [p.name for p in version.parent.iterdir()] == ["1"]
    card = json.loads((version / "card.json").read_text())
    (data,) = (version / "variables").glob("variables.data-*")
    size = 4 * card["parameters"]
    assert size <= data.stat().st_size < 1.2 * size + 4096
    assert card["model"] == "gpt" and card["preset"] == "tiny"
    assert card["paper"]["year"] == 2018
    assert set(card["endpoints"]) == {"serving_default", "generate", "score"}
    assert card["endpoints"]["generate"]["temperature"] == {
        "dtype": "float32", "shape": [None], "default": [0.0],
    }  # fmt: skip


def test_warmup_asks_every_endpoint(trained):
    file = trained.version / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(file))
    ]
    requests = [log.predict_log.request for log in logs]
    assert {r.model_spec.signature_name for r in requests} == {
        "serving_default",
        "generate",
        "score",
    }
    rows = [len(r.inputs["text" if "text" in r.inputs else "prompt"].string_val) for r in requests]
    assert rows == [2, 1] * 3, "together, and a row alone"


def test_a_served_answer_is_pythons(target, python):
    with Client(target) as client:
        for options in (
            {"max_new_tokens": [20]},
            {"temperature": [0.9], "top_k": [8], "seed": [4, 5, 6], "max_new_tokens": [30]},
            {"stop": ["e"], "max_new_tokens": [5, 10, 15], "repetition_penalty": [1.3]},
        ):
            asked = {"prompt": PROMPTS, **options}
            given = client.predict("gpt", asked, signature="generate")
            wanted = python("generate", **asked)
            assert given["text"].tolist() == [text.decode() for text in wanted["text"]]
            assert given["token_count"].tolist() == wanted["token_count"].tolist()
            np.testing.assert_allclose(given["log_probs"], wanted["log_probs"], atol=1e-4)
        given = client.predict("gpt", {"text": PROMPTS[:2]}, signature="score")
        wanted = python("score", text=PROMPTS[:2])
        for name, value in wanted.items():
            np.testing.assert_allclose(given[name], value, rtol=1e-4, atol=1e-4)


def test_the_default_signature_is_generate_with_all_options_left_out(target):
    with Client(target) as client:
        default = client.predict("gpt", {"prompt": ["The"]})
        named = client.predict("gpt", {"prompt": ["The"]}, signature="generate")
        assert default["text"][0] == named["text"][0]
        assert default["token_count"].tolist() == [100]
        assert [(s.version, s.state) for s in client.status("gpt")] == [(1, "AVAILABLE")]
        assert set(client.metadata("gpt").signatures) >= {"serving_default", "generate", "score"}


def test_the_shell_gets_the_same_answer(target, python):
    flag = f"--target={target}"
    done = shell("predict", "gpt", flag, "--signature=generate", "prompt=The", "max_new_tokens=12",
                 "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    wanted = python("generate", prompt=["The"], max_new_tokens=[12])["text"][0].decode()
    assert wanted in json.loads(done.stdout)["text"]
    status = shell("status", "gpt", flag)
    assert status.returncode == 0 and "AVAILABLE" in status.stdout


WRONG = [
    ({"prompt": ["The", ""]}, "prompt 1 has 0 tokens; it must have at least 1."),
    (
        {"prompt": ["a prompt beyond the context"]},
        "prompt 0 has 27 tokens; it must have at most 16.",
    ),
    ({"prompt": ["\u4f60"]}, "(U+4F60), which the model has never seen"),
    ({"prompt": ["The"], "temperature": [-1.0]}, "temperature must be at least 0 (0 is greedy)"),
    ({"prompt": ["The"], "max_new_tokens": [5000]}, "max_new_tokens must lie in [1, 4096]"),
]


@pytest.mark.parametrize(("request_", "sentence"), WRONG)
def test_a_wrong_request_is_answered_with_one_sentence(target, request_, sentence):
    with Client(target) as client:
        with pytest.raises(InvalidArgument) as caught:
            client.predict("gpt", request_)
        assert sentence in str(caught.value)
        assert client.predict("gpt", {"prompt": ["The"], "max_new_tokens": [1]})["token_count"] == 1


def test_the_shell_says_what_is_wrong_with_a_request(target):
    done = shell("predict", "gpt", f"--target={target}", "prompt=")
    assert done.returncode == 2
    assert "prompt 0 has 0 tokens; it must have at least 1." in done.stderr
    assert "Traceback" not in done.stderr
