"""Which models to serve: ModelServerConfig, as a text file or as a message, in plain values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.server.errors import Code, ServingError, invalid_argument
from serving.server.versions import NEWEST, VersionPolicy

PLATFORM = "tensorflow"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One model: its name, where its versions are, which of them are served, and their labels.

    `logging` is the wire's LoggingConfig, or None.
    """

    name: str
    base_path: Path
    versions: VersionPolicy = NEWEST
    labels: Mapping[str, int] = field(default_factory=dict)
    platform: str = PLATFORM
    logging: Any = None


def read(file: Path) -> list[ModelConfig]:
    """The models of a text file.

    Raises:
        ServingError: NOT_FOUND if it cannot be read, INVALID_ARGUMENT for what stands in it.
    """
    message = model_server_config_pb2.ModelServerConfig()
    read_text_message(file, message)
    return from_message(message)


def read_text_message(file: Path, message: Any) -> None:
    """Fill `message` from a text file.

    Raises:
        ServingError: NOT_FOUND if it cannot be read, INVALID_ARGUMENT if it is no such message.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ServingError(Code.NOT_FOUND, f"{file}; {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise invalid_argument(f"Invalid protobuf file: '{file}': it is not text") from error
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise invalid_argument(f"Invalid protobuf file: '{file}': {error}") from error


def from_message(message: Any) -> list[ModelConfig]:
    """The models of a ModelServerConfig.

    Raises:
        ServingError: INVALID_ARGUMENT for models without or with the same name, relative paths,
            or another kind of configuration than a list.
    """
    kind = message.WhichOneof("config")
    if kind == "custom_model_config":
        raise invalid_argument("a custom_model_config cannot be served, only a model_config_list")
    configs = [_from_entry(entry) for entry in message.model_config_list.config]
    check(configs)
    return configs


def _from_entry(entry: Any) -> ModelConfig:
    if not Path(entry.base_path).is_absolute():
        raise invalid_argument(
            f"Expected model {entry.name} to have an absolute path or URI; "
            f"got base_path()={entry.base_path}"
        )
    return ModelConfig(
        name=entry.name,
        base_path=Path(entry.base_path),
        versions=_versions(entry.model_version_policy),
        labels=dict(entry.version_labels),
        platform=_platform(entry),
        logging=entry.logging_config if entry.HasField("logging_config") else None,
    )


def _versions(policy: Any) -> VersionPolicy:
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return VersionPolicy(latest=None)
    if kind == "specific":
        if not policy.specific.versions:
            raise invalid_argument("a specific model_version_policy must name versions")
        return VersionPolicy(specific=frozenset(policy.specific.versions))
    return VersionPolicy(latest=max(policy.latest.num_versions, 1))


def _platform(entry: Any) -> str:
    if entry.model_type == model_server_config_pb2.TENSORFLOW and not entry.model_platform:
        return PLATFORM
    if not entry.model_platform:
        raise invalid_argument(
            f"model {entry.name} has no model_platform; write model_platform: '{PLATFORM}'"
        )
    return str(entry.model_platform)


def check(configs: Iterable[ModelConfig]) -> None:
    """Refuse lists that cannot be served whatever is in the folders.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    seen: set[str] = set()
    for config in configs:
        if not config.name:
            raise invalid_argument("a model has no name")
        if config.name in seen:
            raise invalid_argument(
                f"Illegal to list model {config.name} multiple times in config list"
            )
        seen.add(config.name)


def check_platforms(old: Mapping[str, ModelConfig], new: Iterable[ModelConfig]) -> None:
    """Refuse platforms that are not served, and say so where one has changed.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    for config in new:
        before = old.get(config.name)
        if before is not None and before.platform != config.platform:
            raise invalid_argument(
                f"Illegal to change a model's platform. For model {config.name} platform was "
                f"{before.platform} and new platform requested is {config.platform}"
            )
        if config.platform != PLATFORM:
            raise invalid_argument(
                f"model {config.name} has platform {config.platform}; "
                f"this server has {PLATFORM} alone"
            )
