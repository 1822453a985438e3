"""How weights want their pictures: what their files say, as choices of our codec.

Pictures hold 0 to 255 and the codec computes (x - mean) / deviation. Who scales by f first and then
subtracts m and divides by s has a mean of m / f and a deviation of s / f.
"""

import math
from collections.abc import Sequence
from typing import Any

from training.config import ImageCodecChoice
from training.pretrained import Settings

CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red, of ImageNet
WHOLE_FROM = 384  # side from which transformers' ConvNeXT processor cuts nothing away
BICUBIC = 3  # PIL's number


def of_applications() -> ImageCodecChoice:
    """What keras.applications calls "caffe", which its VGG and ResNet want.

    It has no rule for sizes: both sides are resized.
    """
    return ImageCodecChoice(mean=CAFFE_MEAN, deviation=(1.0,), order="bgr")


def of_hugging_face(settings: Settings, *, size: int) -> ImageCodecChoice:
    """preprocessor_config.json, for a network that sees pictures of another size maybe.

    Args:
        size: Side of what our network sees.
    """
    scale = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    normalises = settings.get("do_normalize", True)
    mean = settings["image_mean"] if normalises else [0.0]
    deviation = settings["image_std"] if normalises else [1.0]
    return ImageCodecChoice(
        short=_short(settings, size),
        mean=_numbers([m / scale for m in mean]),
        deviation=_numbers([d / scale for d in deviation]),
        resample="bicubic" if settings.get("resample") == BICUBIC else "bilinear",
    )


def _short(settings: Settings, size: int) -> int | None:
    """The short side before the cut, in the same ratio to what is cut out as there."""
    given, share = settings.get("size", size), settings.get("crop_pct")
    kind = settings.get("image_processor_type", settings.get("feature_extractor_type", ""))
    if kind.startswith("ConvNext"):  # which ResNets have; in older files the size is a number
        share = share or 224 / 256
        side = given["shortest_edge"] if isinstance(given, dict) else given
        return None if side >= WHOLE_FROM else math.floor(size / float(share))
    shortest = given.get("shortest_edge") if isinstance(given, dict) else None
    if shortest is None:
        return None
    if not settings.get("do_center_crop", True):
        return size
    crop = settings.get("crop_size", shortest)
    share = (crop["height"] if isinstance(crop, dict) else crop) / shortest
    return max(size, round(size / float(share)))


def of_keras_hub(settings: Settings, *, size: int) -> ImageCodecChoice:
    """A preset's image converter, which computes x * scale + offset.

    Where it cuts, it resizes the short side to what is cut out.
    """
    scale, offset = settings.get("scale"), settings.get("offset")
    scales = _list(1.0 if scale is None else scale)
    offsets = _list(0.0 if offset is None else offset)
    count = max(len(scales), len(offsets))
    scales, offsets = (values * (count // len(values)) for values in (scales, offsets))
    return ImageCodecChoice(
        short=size if settings.get("crop_to_aspect_ratio", True) else None,
        mean=_numbers([-o / s for o, s in zip(offsets, scales, strict=True)]),
        deviation=_numbers([1 / s for s in scales]),
        resample="bicubic" if settings.get("interpolation") == "bicubic" else "bilinear",
    )


def _list(value: Any) -> list[float]:
    return [float(v) for v in value] if isinstance(value, Sequence) else [float(value)]


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    """Rounded where that changes nothing a float32 can hold; no negative zero."""
    return tuple(float(f"{v:.8g}") if math.isfinite(v) and v else 0.0 for v in values)
