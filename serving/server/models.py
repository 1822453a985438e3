"""All models of a server: one repository each, replaced as a whole by a new configuration."""

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from serving.server import model_config
from serving.server.attempts import Policy
from serving.server.errors import Code, ServingError
from serving.server.model_config import ModelConfig
from serving.server.repository import Closeable, Repository, State

log = logging.getLogger(__name__)

WAIT_TICK_SECONDS = 0.1  # how often one who waits looks whether the caller still does

Model = TypeVar("Model", bound=Closeable)


class Models(Mapping[str, Repository[Model]], Generic[Model]):
    """The repositories by name; each has a thread of its own, so none waits for another.

    `load` makes a model of its name and a version folder; at most `load_threads` calls run at
    the same time, any number where that is 0. `early_labels` lets new labels be given to
    versions that are not available.
    """

    def __init__(
        self,
        load: Callable[[str, Path], Model],
        *,
        policy: Policy,
        lacks: Callable[[Path], str] = lambda path: "",
        load_threads: int = 0,
        early_labels: bool = False,
    ) -> None:
        self._load = load
        self._policy = policy
        self._lacks = lacks
        self._loads = threading.Semaphore(load_threads) if load_threads else None
        self._early_labels = early_labels
        self._lock = threading.Lock()
        self._configs: dict[str, ModelConfig] = {}
        self._repositories: dict[str, Repository[Model]] = {}
        self._leaving: list[Repository[Model]] = []
        self._draining = threading.Event()
        self._applied = 0  # how many configurations there have been
        self.changed = threading.Event()
        """Set whenever a repository has news; whoever waits clears it."""

    def __getitem__(self, name: str) -> Repository[Model]:
        return self._repositories[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._repositories))

    def __len__(self) -> int:
        return len(self._repositories)

    @property
    def configs(self) -> Mapping[str, ModelConfig]:
        """What was asked for last, by model name."""
        return self._configs

    def start(self, configs: Sequence[ModelConfig]) -> None:
        """Begin to serve `configs` and nothing else; their labels hold from the start.

        Raises:
            ServingError: INVALID_ARGUMENT for configurations that cannot be.
        """
        _, new = self._apply(configs)
        for repository in new:
            repository.set_labels(self._configs[repository.name].labels)

    def reload(
        self, configs: Sequence[ModelConfig], *, is_cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        """Serve `configs` and nothing else, and wait for the models that are new or changed.

        What is already served goes on meanwhile. Labels move to versions that are available,
        all of them or none, and before the wait for models that have none.

        Raises:
            ServingError: INVALID_ARGUMENT for configurations that cannot be, before anything is
                changed; UNKNOWN if a model does not load, FAILED_PRECONDITION for a label,
                CANCELLED, ABORTED or UNAVAILABLE if the caller, a newer configuration or the
                end of the server ends the wait.
        """
        turn, changed = self._apply(configs)
        labelled = {config.name for config in configs if config.labels}
        self._wait([r for r in changed if r.name in labelled], turn, is_cancelled)
        with self._lock:
            self._check_turn(turn)
            self._move_labels(configs)
        self._wait([r for r in changed if r.name not in labelled], turn, is_cancelled)

    def _wait(
        self,
        repositories: Sequence[Repository[Model]],
        turn: int,
        is_cancelled: Callable[[], bool],
    ) -> None:
        for repository in repositories:
            while not repository.settled.wait(WAIT_TICK_SECONDS) and self._applied == turn:
                if self._draining.is_set():
                    raise ServingError(Code.UNAVAILABLE, "the server is stopping")
                if is_cancelled():
                    raise ServingError(Code.CANCELLED, "the caller does not wait any longer")
        with self._lock:
            self._check_turn(turn)
            failed = [r.name for r in repositories if r.latest() is None]
            if failed:
                raise self.unavailable(failed, "model(s)")

    def _check_turn(self, turn: int) -> None:
        if self._applied != turn:
            raise ServingError(Code.ABORTED, "another configuration has replaced this one")

    def _apply(self, configs: Sequence[ModelConfig]) -> tuple[int, list[Repository[Model]]]:
        """How many configurations this makes, and the models that are new or changed by it."""
        model_config.check(configs)
        with self._lock:
            model_config.check_platforms(self._configs, configs)
            self._configs = {config.name: config for config in configs}
            kept, changed = dict(self._repositories), []
            for config in configs:
                repository = kept.get(config.name)
                if repository is None:
                    repository = kept[config.name] = self._open(config)
                elif not repository.update(config.base_path, config.versions):
                    continue
                changed.append(repository)
            self._leaving = [r for r in self._leaving if r.is_running()]
            for name in [name for name in kept if name not in self._configs]:
                log.info("%s: removed from the configuration", name)
                self._leaving.append(kept.pop(name))
                self._leaving[-1].stop()
            self._repositories = kept
            self._applied += 1
            return self._applied, changed

    def _open(self, config: ModelConfig) -> Repository[Model]:
        repository = Repository(
            config.name,
            config.base_path,
            functools.partial(self._load_in_turn, config.name),
            policy=self._policy,
            versions=config.versions,
            lacks=self._lacks,
            on_change=self.changed.set,
        )
        repository.start()
        return repository

    def _load_in_turn(self, name: str, path: Path) -> Model:
        if self._loads is None:
            return self._load(name, path)
        with self._loads:
            return self._load(name, path)

    def _move_labels(self, configs: Sequence[ModelConfig]) -> None:
        for config in configs:
            repository = self._repositories[config.name]
            available = repository.available()
            for label, version in config.labels.items():
                is_new = repository.labels.get(label, version) == version
                if version not in available and not (self._early_labels and is_new):
                    raise ServingError(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {config.name}, "
                        "which is not currently available for inference",
                    )
        for config in configs:
            self._repositories[config.name].set_labels(config.labels)

    # what the one who starts the server asks

    def can_serve(self) -> bool:
        """Whether every model was tried once and at least one of them is available."""
        repositories = list(self._repositories.values())
        return all(r.looked.is_set() for r in repositories) and (
            not repositories or any(r.latest() is not None for r in repositories)
        )

    def is_hopeless(self) -> bool:
        """Whether every model has come to an end and none is available."""
        repositories = list(self._repositories.values())
        return all(r.settled.is_set() for r in repositories) and not self.can_serve()

    def unavailable(self, names: Sequence[str], noun: str = "servable(s)") -> ServingError:
        """Why none of these models is available."""
        reasons = []
        for name in names:
            failed = [s for s in self._repositories[name].statuses() if s.state != State.AVAILABLE]
            if failed:
                newest = failed[0]
                which = f"{{name: {name} version: {newest.version}}}"
                why = f"{newest.code.name}: {newest.message}"
            else:
                which = f"{{name: {name}}}"
                why = f"NOT_FOUND: no version to serve in {self._configs[name].base_path}"
            reasons.append(f"{{{which} due to error: {why}}}")
        return ServingError(
            Code.UNKNOWN,
            f"{len(names)} {noun} did not become available: {{{', '.join(reasons)}}}",
        )

    def drain(self) -> None:
        """End all waits for new models; what is available goes on."""
        self._draining.set()

    def close(self, timeout_seconds: float = 10.0) -> bool:
        """Let every model go; False if a load is still going on then."""
        repositories = [*self._repositories.values(), *self._leaving]
        for repository in repositories:
            repository.stop()
        return all([repository.close(timeout_seconds) for repository in repositories])
