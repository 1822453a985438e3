"""What the server can do, free of any protocol: gRPC decodes, calls this, and encodes."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.server import prediction
from serving.server.errors import Code, ServingError, invalid_argument, servable_not_found
from serving.server.repository import Repository, VersionStatus
from serving.server.saved_model import LoadedModel

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which model a request means: by version, by label, or the latest where both are None."""

    name: str
    version: int | None = None
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Outputs by name, and the version and signature that computed them."""

    outputs: dict[str, Array]
    version: int
    signature: str


class Engine:
    """Answers requests about the models of its repositories; safe to call from many threads."""

    def __init__(self, repositories: Mapping[str, Repository[LoadedModel]]) -> None:
        self._repositories = repositories

    def predict(
        self,
        choice: ModelChoice,
        inputs: Mapping[str, Array],
        *,
        signature: str = "",
        output_filter: Sequence[str] = (),
        timeout_seconds: float | None = None,
    ) -> Prediction:
        """Run `signature` of the chosen version; shapes are the model's own business.

        Raises:
            ServingError: with TF Serving's code and text for every way this can fail.
        """
        if timeout_seconds is not None and timeout_seconds <= 0:
            raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline exceeded before the model ran.")
        signature = signature or prediction.DEFAULT_SIGNATURE
        with self._lease(choice) as (version, model):
            outputs = prediction.predict(
                model,
                signature,
                inputs,
                output_filter=output_filter,
                timeout_seconds=timeout_seconds,
            )
        return Prediction(outputs=outputs, version=version, signature=signature)

    def signatures(self, choice: ModelChoice) -> tuple[int, Mapping[str, Any]]:
        """The chosen version's number and its SignatureDefs by name.

        Raises:
            ServingError: NOT_FOUND or INVALID_ARGUMENT if the choice fits no loaded version.
        """
        with self._lease(choice) as (version, model):
            return version, model.signatures

    def statuses(self, name: str, *, version: int | None = None) -> list[VersionStatus]:
        """One version's state, or those of all, newest first.

        Raises:
            ServingError: NOT_FOUND if there is nothing to tell.
        """
        repository = self._repositories.get(name)
        known = repository.statuses() if repository else []
        if version is None:
            if not known:
                raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
            return known
        chosen = [status for status in known if status.version == version]
        if not chosen:
            raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        return chosen

    def _lease(self, choice: ModelChoice) -> AbstractContextManager[tuple[int, LoadedModel]]:
        if not choice.name:
            raise invalid_argument("ModelSpec has no name specified.")
        if choice.label is not None:  # labels are assigned in a config file, which comes later
            raise invalid_argument(f"Unrecognized servable version label: {choice.label}")
        repository = self._repositories.get(choice.name)
        if repository is None:
            raise servable_not_found(choice.name, choice.version)
        return repository.lease(choice.version)
