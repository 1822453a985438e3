"""What a server is told to serve: models, their versions and their labels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from serving.client import wire
from serving.client.errors import InvalidInput

PLATFORM = "tensorflow"


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One model: the folder on the server that holds its versions, and which are wanted.

    The `latest` newest versions are served, or all of them (None), or those in `versions`.
    `labels` are names for versions by which callers may ask.
    """

    name: str
    base_path: str
    latest: int | None = 1
    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)


def request_for(models: Iterable[ServedModel]) -> Any:
    """The wire's ReloadConfigRequest, which replaces the whole list of models."""
    request = wire.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    for model in models:
        config = request.config.model_config_list.config.add(
            name=model.name, base_path=model.base_path, model_platform=PLATFORM
        )
        policy = config.model_version_policy
        if model.versions:
            policy.specific.versions.extend(model.versions)
        elif model.latest is None:
            policy.all.SetInParent()
        else:
            policy.latest.num_versions = model.latest
        for label, version in model.labels.items():
            config.version_labels[label] = version
    return request


def read_request(file: Path) -> Any:
    """The same from a text ModelServerConfig, as a server reads with --model_config_file.

    Raises:
        InvalidInput: if the file cannot be read or is no such text.
    """
    request = wire.ReloadConfigRequest()
    try:
        text_format.Parse(file.read_text(encoding="utf-8"), request.config)
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror}") from error
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise InvalidInput(f"{file} is no text ModelServerConfig: {error}") from error
    return request
