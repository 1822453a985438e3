"""Where others keep a paper's weights: one file per paper, the paper's name.

Such a file has `LAYOUTS`, a `Layout` for each form that is known for the paper: "hugging_face"
(config.json and model.safetensors), "keras_hub" (a preset's folder) and "keras_applications" (an
.h5 file). It may have `resized(path, tensor, shape)`, which makes a tensor of another shape fit
where the paper says how, and gives None elsewhere.
"""

import dataclasses
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, cast

import numpy as np

from training.config import UserError

FORMS = {
    "hugging_face": "Hugging Face",
    "keras_hub": "keras-hub",
    "keras_applications": "keras.applications",
}

Settings = Mapping[str, Any]  # what the weights come with: config.json, or what a file shows
Tensors = Mapping[str, np.ndarray]
Resize = Callable[[str, np.ndarray, tuple[int, ...]], np.ndarray | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How somebody keeps a paper's weights.

    Attributes:
        fixed: Settings to fields of our config that no tensor's shape tells; UserError where no
            config of ours computes what the network there does.
        name: Our variable's path and the settings to the name of its tensor there.
        types: What config.json calls networks that this paper can be; of an .h5 file, a tensor
            that it holds then.
        prefix: What stands before the names where the network is part of a larger one.
        turned: Our variable's path and the tensor there to the tensor in our form.
        mended: All tensors to those that do the same in our network.
    """

    fixed: Callable[[Settings], dict[str, Any]]
    name: Callable[[str, Settings], str]
    types: tuple[str, ...] = ()
    prefix: str = ""
    turned: Callable[[str, np.ndarray], np.ndarray] = lambda path, tensor: tensor
    mended: Callable[[Tensors], Tensors] = lambda tensors: tensors


def layout(model: str, form: str) -> Layout:
    """How a paper's weights lie in one of `FORMS`; raises UserError where that is not known."""
    if not known(model, form):
        raise UserError(f"No {FORMS[form]} layout is known for {model}.")
    found: Layout = cast(Any, _module(model)).LAYOUTS[form]
    return found


def known(model: str, form: str) -> bool:
    """Whether it is known how a paper's weights lie in one of `FORMS`."""
    return form in getattr(_module(model), "LAYOUTS", ())


def resize(model: str) -> Resize:
    """How tensors of another shape are made to fit a paper's network: see above."""
    own: Resize = getattr(_module(model), "resized", lambda path, tensor, shape: None)
    return own


def _module(model: str) -> ModuleType | None:
    name = f"training.pretrained.{model}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def of_torch(path: str, tensor: np.ndarray) -> np.ndarray:
    """Kernels [out, in] to [in, out] and [out, in, H, W] to [H, W, in, out]; others as they are."""
    if not path.endswith("/kernel"):
        return tensor
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T


def needs(what: str, given: Any, must: Any) -> None:
    """Raises UserError where a setting is one that no config of ours computes."""
    if given != must:
        raise UserError(f"the network there has {what} {given!r}; only {must!r} can be read.")
