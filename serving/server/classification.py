"""Classify, Regress and MultiInference against one loaded version: tf.Examples in.

A signature of this kind has one input, `inputs`, which takes serialized Examples [batch]. One
that classifies gives `classes` (strings) or `scores` (floats) or both, each [batch, n]; one that
regresses gives `outputs` (floats), [batch] or [batch, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from serving.server.errors import Code, ServingError, invalid_argument
from serving.server.prediction import DEFAULT_SIGNATURE
from serving.server.saved_model import LoadedModel

Array = np.ndarray[Any, Any]

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
INPUT, CLASSES, SCORES, VALUES = "inputs", "classes", "scores", "outputs"

_DTYPES = {
    CLASSES: (types_pb2.DT_STRING, "DT_STRING"),
    SCORES: (types_pb2.DT_FLOAT, "DT_FLOAT"),
    VALUES: (types_pb2.DT_FLOAT, "DT_FLOAT"),
}


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Labels (`bytes`) and float32 scores, each [batch, n]; None where the model gives none."""

    classes: Array | None
    scores: Array | None


@dataclass(frozen=True, kw_only=True)
class Values:
    """One float32 for each example, [batch]."""

    values: Array


@dataclass(frozen=True, kw_only=True)
class Task:
    """One part of a MultiInference request: a method name and the signature to ask by it."""

    model: str
    method: str
    signature: str = ""


def examples_in(message: Any) -> list[bytes]:
    """The serialized Examples of the wire's Input message, the common context merged into each.

    Two serialized messages one after the other are their merger; what an example says itself
    comes last and so overrides the context.
    """
    if message.WhichOneof("kind") == "example_list":
        return [example.SerializeToString() for example in message.example_list.examples]
    listed = message.example_list_with_context
    context = listed.context.SerializeToString()
    return [context + example.SerializeToString() for example in listed.examples]


def tasks_in(request: Any) -> list[Task]:
    """The tasks of the wire's MultiInferenceRequest."""
    return [
        Task(
            model=task.model_spec.name,
            method=task.method_name,
            signature=task.model_spec.signature_name,
        )
        for task in request.tasks
    ]


def classify(
    model: LoadedModel,
    signature_name: str,
    examples: Sequence[bytes],
    *,
    timeout_seconds: float | None = None,
    check_method: bool = False,
) -> Classes:
    """The classes of each example by one signature; an empty name means `serving_default`.

    `check_method` refuses a signature that is not stored as a classifying one; TensorFlow 2
    stores all of them as predicting ones, so by default its inputs and outputs alone decide.

    Raises:
        ServingError: INVALID_ARGUMENT for an unknown or unfit signature and for no examples,
            TensorFlow's code when the graph itself fails.
    """
    task = Task(model="", method=CLASSIFY, signature=signature_name)
    (result,) = _run(
        model, [task], examples, timeout_seconds=timeout_seconds, check_method=check_method
    )
    assert isinstance(result, Classes)
    return result


def regress(
    model: LoadedModel,
    signature_name: str,
    examples: Sequence[bytes],
    *,
    timeout_seconds: float | None = None,
    check_method: bool = False,
) -> Values:
    """The value of each example by one signature; as `classify` in all else."""
    task = Task(model="", method=REGRESS, signature=signature_name)
    (result,) = _run(
        model, [task], examples, timeout_seconds=timeout_seconds, check_method=check_method
    )
    assert isinstance(result, Values)
    return result


def multi_inference(
    model: LoadedModel,
    tasks: Sequence[Task],
    examples: Sequence[bytes],
    *,
    timeout_seconds: float | None = None,
    check_method: bool = False,
) -> list[Classes | Values]:
    """Several signatures of one model on the same examples, in one run of the graph.

    Raises:
        ServingError: INVALID_ARGUMENT for tasks that do not go together, UNIMPLEMENTED for a
            method that neither classifies nor regresses, and what `classify` raises.
    """
    seen: set[str] = set()
    for task in tasks:
        signature_name = task.signature or DEFAULT_SIGNATURE
        if not task.model:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model != tasks[0].model:
            raise invalid_argument(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        if signature_name in seen:
            raise invalid_argument(f"Duplicate evaluation of signature: {signature_name}")
        seen.add(signature_name)
        if signature_name not in model.signatures:
            raise invalid_argument(
                f"Requested signature not found in model graph: {signature_name}"
            )
        if task.method not in (CLASSIFY, REGRESS):
            raise ServingError(
                Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method}"
            )
    return _run(model, tasks, examples, timeout_seconds=timeout_seconds, check_method=check_method)


def _run(
    model: LoadedModel,
    tasks: Sequence[Task],
    examples: Sequence[bytes],
    *,
    timeout_seconds: float | None,
    check_method: bool,
) -> list[Classes | Values]:
    """Check every task, run the graph once for all of them, check and hand out what came."""
    wanted: dict[str, Any] = {}  # graph tensor name -> TensorInfo, each once
    feeds, plans = set(), []
    for task in tasks:
        signature = _find(model, task, check_method)
        outputs = _outputs(task.method, signature)
        feeds.add(signature.inputs[INPUT].name)
        wanted.update((info.name, info) for info in outputs.values())
        plans.append((task.method, outputs))
    if len(feeds) != 1:
        raise invalid_argument("Input tensor must be the same for all Signatures.")
    if not examples:
        raise invalid_argument("Input is empty.")
    batch = np.empty(len(examples), object)
    batch[:] = examples
    values = model.run({feeds.pop(): batch}, list(wanted.values()), timeout_seconds=timeout_seconds)
    computed = dict(zip(wanted, values, strict=True))
    results: list[Classes | Values] = []
    for method, outputs in plans:
        parts = {name: computed[info.name] for name, info in outputs.items()}
        read = _as_classes if method == CLASSIFY else _as_values
        results.append(read(parts, len(examples)))
    return results


def _find(model: LoadedModel, task: Task, check_method: bool) -> Any:
    name = task.signature or DEFAULT_SIGNATURE
    signature = model.signatures.get(name)
    if signature is None:
        raise invalid_argument(f"No signature was found with the name: {name}")
    if check_method and signature.method_name != task.method:
        raise invalid_argument(
            f"Expected {_kind(task.method)} signature method_name to be {task.method}. "
            f"Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise invalid_argument(f"Expected one input Tensor, not {len(signature.inputs)}.")
    if INPUT not in signature.inputs:
        (given,) = signature.inputs
        raise invalid_argument(
            f"No {_kind(task.method)} inputs found in signature {name}: "
            f"its input is called {given}, not {INPUT}"
        )
    return signature


def _kind(method: str) -> str:
    return "classification" if method == CLASSIFY else "regression"


def _outputs(method: str, signature: Any) -> dict[str, Any]:
    """The outputs of the signature that the method returns, as TensorInfos by name."""
    named = (CLASSES, SCORES) if method == CLASSIFY else (VALUES,)
    found = {name: signature.outputs[name] for name in named if name in signature.outputs}
    if not found or len(signature.outputs) > len(named):
        raise invalid_argument(
            f"Expected {_kind(method)} signature outputs to be {' or '.join(named)}. "
            f"Were: {', '.join(sorted(signature.outputs))}"
        )
    for name, info in found.items():
        number, shown = _DTYPES[name]
        if info.dtype != number:
            raise invalid_argument(
                f"Expected {name} Tensor of {shown}. Got: {types_pb2.DataType.Name(info.dtype)}"
            )
    return found


def _as_classes(parts: dict[str, Array], batch: int) -> Classes:
    for name, array in parts.items():
        if array.ndim != 2:
            raise invalid_argument(
                f"Expected {name} of shape [batch_size num_classes] but got {list(array.shape)}"
            )
        _check_batch(name, array, batch)
    classes, scores = parts.get(CLASSES), parts.get(SCORES)
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). "
            f"Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    return Classes(classes=classes, scores=scores)


def _as_values(parts: dict[str, Array], batch: int) -> Values:
    values = parts[VALUES]
    if values.ndim not in (1, 2) or values.shape[1:] not in ((), (1,)):
        raise invalid_argument(
            f"Expected {VALUES} of shape [batch_size] or [batch_size 1] "
            f"but got {list(values.shape)}"
        )
    _check_batch(VALUES, values, batch)
    return Values(values=values.reshape(batch))


def _check_batch(name: str, array: Array, batch: int) -> None:
    if array.shape[0] != batch:
        raise invalid_argument(f"Expected {name} for {batch} examples. Got: {array.shape[0]}")
