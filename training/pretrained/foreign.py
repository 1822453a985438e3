"""Weights that somebody else wrote: recognised by their files, checked, read."""

import dataclasses
import pathlib
from typing import Any

from training import pretrained
from training.config import ImageCodecChoice, UserError
from training.pretrained import Layout, Tensors, preprocessing, reading

SAFETENSORS = "model.safetensors"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Foreign:
    """A place with weights of a paper.

    Attributes:
        place: A folder, or an .h5 file.
        form: One of `pretrained.FORMS`.
        settings: What is said there about the network.
    """

    place: pathlib.Path
    model: str
    form: str
    settings: dict[str, Any]

    @property
    def layout(self) -> Layout:
        """How the weights lie there."""
        return pretrained.layout(self.model, self.form)

    def check(self, config: Any) -> None:
        """Raises UserError unless a config computes what the network there does."""
        try:
            fixed = self.layout.fixed(self.settings)
        except KeyError as error:
            raise UserError(f"{self.place / 'config.json'} does not say {error}.") from None
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise UserError(f"{self.place} does not describe a {self.model}: {error}.") from None
        except UserError as error:
            raise UserError(f"{self.place}: {error}") from None
        other = {n: v for n, v in fixed.items() if getattr(config, n) != v}
        if other:
            differs = [f"{n} {v}, and config.{n} is {getattr(config, n)}" for n, v in other.items()]
            flags = " ".join(_flag(name, value) for name, value in other.items())
            raise UserError(f"{self.place} has {'; '.join(differs)}; give {flags}.")

    def tensors(self) -> Tensors:
        """All there by name, as our network would need them to do the same."""
        if self.form == "keras_applications":
            return self.layout.mended(reading.keras(self.place))
        if self.form == "keras_hub":
            body, head = (self.place / f"{part}.weights.h5" for part in ("model", "task"))
            return reading.keras(body) | (reading.keras(head) if head.exists() else {})
        index = self.place / f"{SAFETENSORS}.index.json"
        shards = reading.settings(index).get("weight_map") if index.exists() else None
        files = sorted(set(shards.values())) if shards else [SAFETENSORS]
        return reading.safetensors([self.place / file for file in files])

    def wants(self, *, size: int, short: int | None) -> ImageCodecChoice | None:
        """How pictures of a side are to be seen by these weights; None where nothing says so.

        Args:
            short: The short side before the cut where there is no rule for it.
        """
        if self.form == "keras_applications":
            return dataclasses.replace(preprocessing.of_applications(), short=short)
        hub = self.form == "keras_hub"
        file = self.place / ("image_converter.json" if hub else "preprocessor_config.json")
        if not file.exists():
            return None
        said = reading.settings(file)
        try:
            if hub:
                return preprocessing.of_keras_hub(said["config"], size=size)
            return preprocessing.of_hugging_face(said, size=size)
        except (KeyError, TypeError, ValueError, ZeroDivisionError, AttributeError) as error:
            raise UserError(f"{file} does not describe a preprocessing: {error!r}.") from None


def _flag(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return f"--config.{name.replace('_', '-')} {' '.join(map(str, value))}"
    return f"--config.{name.replace('_', '-')}={value}"


def recognised(given: str, model: str) -> Foreign | None:
    """What `--init-from` names where it is neither a run nor a file of this project's.

    Raises:
        UserError: a file is missing or unreadable, or holds another kind of network.
    """
    path = pathlib.Path(given.removeprefix("hf:"))
    if given.startswith("hf:") or (path / "config.json").exists():
        return _folder(path, model)
    if path.suffix == ".h5":
        return _file(path, model)
    return None


def _folder(folder: pathlib.Path, model: str) -> Foreign:
    settings = reading.settings(folder / "config.json")
    hub = str(settings.get("registered_name", "")).startswith("keras_hub>")
    form = "keras_hub" if hub else "hugging_face"
    kind = settings.get("class_name" if hub else "model_type")
    if hub:
        task = folder / "task.json"
        more = reading.settings(task).get("config", {}) if task.exists() else {}
        kept = {name: more[name] for name in ("pooling",) if name in more}
        settings = {**settings.get("config", {}), **kept}
    types = pretrained.layout(model, form).types
    if kind not in types:
        raise UserError(
            f"{folder} holds a model of type {kind!r}; {model} reads {', '.join(types)}."
        )
    return Foreign(place=folder, model=model, form=form, settings=settings)


def _file(file: pathlib.Path, model: str) -> Foreign | None:
    """An .h5 file; None for one that `keras.Model.save_weights` made of our own network."""
    own = file.name.endswith(".weights.h5")
    form = "keras_applications"
    if own and not pretrained.known(model, form):
        return None
    layout, names = pretrained.layout(model, form), reading.keras_names(file)
    if not set(layout.types) & set(names):
        if own:
            return None
        mark = layout.types[0].partition("/")[0]
        raise UserError(f"{file} holds another network: it has no layer {mark!r}, as {model} has.")
    return Foreign(place=file, model=model, form=form, settings={"names": names})
