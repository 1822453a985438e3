"""What the server can do, free of any protocol: gRPC decodes, calls this, and encodes."""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.server import classification, prediction
from serving.server.classification import Task
from serving.server.errors import Code, ServingError, invalid_argument, servable_not_found
from serving.server.model_config import ModelConfig
from serving.server.models import Models
from serving.server.repository import Repository, VersionStatus, unrecognized_label
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


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Labels (`bytes`) and float32 scores, each [batch, n] or None where the model gives none."""

    classes: Array | None
    scores: Array | None
    version: int
    signature: str


@dataclass(frozen=True, kw_only=True)
class Regression:
    """One float32 for each example, [batch], and what computed it."""

    values: Array
    version: int
    signature: str


class Engine:
    """Answers requests about the models of its repositories; safe to call from many threads.

    `check_methods` makes Classify and Regress refuse signatures that are stored as others;
    `on_run` is told model, API, signature and seconds of each run that succeeded.
    """

    def __init__(
        self,
        repositories: Mapping[str, Repository[LoadedModel]],
        *,
        check_methods: bool = False,
        on_run: Callable[[str, str, str, float], None] | None = None,
    ) -> None:
        self._repositories = repositories
        self._check_methods = check_methods
        self._on_run = on_run
        self._only_at_once = False

    def at_once(self) -> "Engine":
        """The same, but NotAtOnce is raised where a run may take its time."""
        engine = copy.copy(self)
        engine._only_at_once = True
        return engine

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
        _check_deadline(timeout_seconds)
        signature = signature or prediction.DEFAULT_SIGNATURE
        with self._run(choice, "Predict", signature) as (version, model):
            outputs = prediction.predict(
                self._runner(model),
                signature,
                inputs,
                output_filter=output_filter,
                timeout_seconds=timeout_seconds,
            )
        return Prediction(outputs=outputs, version=version, signature=signature)

    def classify(
        self,
        choice: ModelChoice,
        examples: Sequence[bytes],
        *,
        signature: str = "",
        timeout_seconds: float | None = None,
    ) -> Classification:
        """The classes of each serialized tf.Example, by `signature` of the chosen version.

        Raises:
            ServingError: with TF Serving's code and text for every way this can fail.
        """
        _check_deadline(timeout_seconds)
        with self._run(choice, "Classify", signature) as (version, model):
            found = classification.classify(
                self._runner(model),
                signature,
                examples,
                timeout_seconds=timeout_seconds,
                check_method=self._check_methods,
            )
        return _classification(found, version, signature)

    def regress(
        self,
        choice: ModelChoice,
        examples: Sequence[bytes],
        *,
        signature: str = "",
        timeout_seconds: float | None = None,
    ) -> Regression:
        """The value of each serialized tf.Example, by `signature` of the chosen version.

        Raises:
            ServingError: with TF Serving's code and text for every way this can fail.
        """
        _check_deadline(timeout_seconds)
        with self._run(choice, "Regress", signature) as (version, model):
            found = classification.regress(
                self._runner(model),
                signature,
                examples,
                timeout_seconds=timeout_seconds,
                check_method=self._check_methods,
            )
        return _regression(found, version, signature)

    def multi_inference(
        self,
        choice: ModelChoice,
        tasks: Sequence[Task],
        examples: Sequence[bytes],
        *,
        timeout_seconds: float | None = None,
    ) -> list[Classification | Regression]:
        """Several signatures of the chosen version on the same serialized tf.Examples.

        Raises:
            ServingError: with TF Serving's code and text for every way this can fail.
        """
        _check_deadline(timeout_seconds)
        with self._run(choice, "MultiInference", "") as (version, model):
            results = classification.multi_inference(
                self._runner(model),
                tasks,
                examples,
                timeout_seconds=timeout_seconds,
                check_method=self._check_methods,
            )
        return [
            _classification(result, version, task.signature)
            if isinstance(result, classification.Classes)
            else _regression(result, version, task.signature)
            for task, result in zip(tasks, results, strict=True)
        ]

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

    def overview(self) -> dict[str, list[VersionStatus]]:
        """Every model by name, with the state of its versions, newest first."""
        return {name: found.statuses() for name, found in sorted(self._repositories.items())}

    def reload(
        self, configs: Sequence[ModelConfig], *, is_cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Serve these models and no others; returns when they are available.

        Raises:
            ServingError: as `Models.reload`; UNIMPLEMENTED if the models are fixed.
        """
        if not isinstance(self._repositories, Models):
            raise ServingError(Code.UNIMPLEMENTED, "the models of this server are fixed")
        self._repositories.reload(configs, is_cancelled=is_cancelled)

    def _run(
        self, choice: ModelChoice, api: str, signature: str
    ) -> AbstractContextManager[tuple[int, LoadedModel]]:
        """A lease for one run, whose time is told to whoever wants to know."""
        lease = self._lease(choice)
        on_run = self._on_run
        if on_run is None:
            return lease
        signature = signature or prediction.DEFAULT_SIGNATURE
        return _timed(lease, lambda spent: on_run(choice.name, api, signature, spent))

    def _runner(self, model: LoadedModel) -> LoadedModel:
        return model.at_once if self._only_at_once else model

    def _lease(self, choice: ModelChoice) -> AbstractContextManager[tuple[int, LoadedModel]]:
        if not choice.name:
            raise invalid_argument("ModelSpec has no name specified.")
        repository = self._repositories.get(choice.name)
        if repository is not None:
            return repository.lease(choice.version, label=choice.label)
        if choice.label is not None:
            raise unrecognized_label(choice.label)
        raise servable_not_found(choice.name, choice.version)


def _check_deadline(timeout_seconds: float | None) -> None:
    if timeout_seconds is not None and timeout_seconds <= 0:
        raise ServingError(Code.DEADLINE_EXCEEDED, "Deadline exceeded before the model ran.")


def _classification(found: classification.Classes, version: int, signature: str) -> Classification:
    return Classification(
        classes=found.classes,
        scores=found.scores,
        version=version,
        signature=signature or prediction.DEFAULT_SIGNATURE,
    )


def _regression(found: classification.Values, version: int, signature: str) -> Regression:
    return Regression(
        values=found.values, version=version, signature=signature or prediction.DEFAULT_SIGNATURE
    )


@contextmanager
def _timed(
    lease: AbstractContextManager[tuple[int, LoadedModel]], tell: Callable[[float], None]
) -> Iterator[tuple[int, LoadedModel]]:
    with lease as leased:
        started = time.perf_counter()
        yield leased
        spent = time.perf_counter() - started
    tell(spent)
