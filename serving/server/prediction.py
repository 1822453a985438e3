"""One Predict request against one loaded version: names checked, defaults filled, graph run.

The order of the checks and the words of their messages are those a TF Serving client sees.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from serving.server import tensors
from serving.server.errors import Code, ServingError, invalid_argument
from serving.server.saved_model import LoadedModel

Array = np.ndarray[Any, Any]

DEFAULT_SIGNATURE = "serving_default"


class ProtoInputs(Mapping[str, Array]):
    """A request's `inputs` map, each tensor decoded when it is read.

    Decoding inside the mapping keeps the order of refusals: a request that names an unknown
    model and holds a broken tensor is told about the model.
    """

    def __init__(self, protos: Mapping[str, Any]) -> None:
        self._protos = protos

    def __getitem__(self, name: str) -> Array:
        if name not in self._protos:  # protobuf maps create what they are asked for
            raise KeyError(name)
        return _decode(name, self._protos[name])

    def __contains__(self, name: object) -> bool:
        return name in self._protos

    def __iter__(self) -> Any:
        return iter(self._protos)

    def __len__(self) -> int:
        return len(self._protos)


def _decode(name: str, proto: Any) -> Array:
    try:
        return tensors.decode(proto)
    except ValueError as error:
        raise invalid_argument(f"tensor parsing error: {name}") from error


def predict(
    model: LoadedModel,
    signature_name: str,
    inputs: Mapping[str, Array],
    *,
    output_filter: Sequence[str] = (),
    timeout_seconds: float | None = None,
) -> dict[str, Array]:
    """Run one signature of `model`; an empty name means `serving_default`.

    `output_filter` names the outputs to compute, all of them when empty. Input shapes are left
    to the graph, as in TF Serving.

    Raises:
        ServingError: FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for inputs
            or outputs that it does not have, TensorFlow's code when the graph itself fails.
    """
    signature_name = signature_name or DEFAULT_SIGNATURE
    signature = model.signatures.get(signature_name)
    if signature is None:
        raise ServingError(
            Code.FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.'
        )
    feeds, defaults = _feeds(signature, inputs)
    wanted = _wanted_outputs(signature, output_filter)
    values = model.run(
        {**feeds, **defaults},
        [signature.outputs[name] for name in wanted],
        timeout_seconds=timeout_seconds,
        constant=defaults,
    )
    return dict(zip(wanted, values, strict=True))


def _feeds(
    signature: Any, inputs: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Graph tensor name -> value: what the request gives, and the defaults of the rest."""
    _check_count(signature, inputs)
    feeds, defaults, used = {}, {}, set()
    for name in sorted(signature.inputs):
        feed_name = signature.inputs[name].name
        if name in inputs:
            feeds[feed_name] = inputs[name]
            used.add(name)
        elif name in signature.defaults:
            defaults[feed_name] = _decode(name, signature.defaults[name])
        else:
            raise invalid_argument(
                f"Signature input alias: {name}(feed name: {feed_name}) not found in request and "
                "no default value provided. Inputs expected to be in the request "
                f"{{{_listed(inputs)}}}, or default input alias set: {_listed(signature.defaults)}"
            )
    if len(used) != len(inputs):
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {_listed(used)}, "
            f"request input: {_listed(inputs)}"
        )
    return feeds, defaults


def _check_count(signature: Any, inputs: Mapping[str, Array]) -> None:
    given, known = len(inputs), len(signature.inputs)
    if given > known or (given < known and not signature.defaults):
        extra, missing = set(inputs) - set(signature.inputs), set(signature.inputs) - set(inputs)
        raise invalid_argument(
            f"input size does not match signature: {given}!={known} "
            f"len({{{_listed(inputs)}}}) != len({{{_listed(signature.inputs)}}}). "
            f"Sent extra: {{{_listed(extra)}}}. Missing but required: {{{_listed(missing)}}}."
        )


def _wanted_outputs(signature: Any, output_filter: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    for name in output_filter:
        if name not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {{{_listed(signature.outputs)}}}."
            )
        if name in seen:
            raise invalid_argument(f"duplicate output tensor alias: {name}")
        seen.add(name)
    return list(output_filter) or sorted(signature.outputs)


def _listed(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
