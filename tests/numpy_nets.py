"""Layers of convolutional networks in NumPy, to compare with; pictures are [B, H, W, C]."""

import numpy as np


def padded(x, top, bottom, left, right, value=0.0):
    return np.pad(x, [(0, 0), (top, bottom), (left, right), (0, 0)], constant_values=value)


def patches(x, side, stride):
    """[B, H', W', side, side, C]: what each place of a kernel sees."""
    seen = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    return np.moveaxis(seen[:, ::stride, ::stride], 3, -1)


def convolution(x, kernel, bias=None, *, stride=1, groups=1):
    """Kernel [side, side, in / groups, out]; no padding."""
    outputs = []
    for own, seen in zip(np.split(kernel, groups, -1), np.split(x, groups, -1), strict=True):
        outputs.append(np.einsum("bhwijc,ijco->bhwo", patches(seen, kernel.shape[0], stride), own))
    y = np.concatenate(outputs, -1)
    return y if bias is None else y + bias


def same(x, kernel, bias=None, **options):
    """With as many zeros on each side as an odd kernel needs."""
    p = kernel.shape[0] // 2
    return convolution(padded(x, p, p, p, p), kernel, bias, **options)


def max_pool(x, side, stride):
    return patches(x, side, stride).max(axis=(3, 4))


def max_pool_to_the_end(x, side, stride):
    """Windows go on as long as one begins inside: the size is rounded up."""
    short = [(-(n - side)) % stride for n in x.shape[1:3]]
    return max_pool(padded(x, 0, short[0], 0, short[1], -np.inf), side, stride)


def mean_pool(x, side, stride):
    return patches(x, side, stride).mean(axis=(3, 4))


def relu(x):
    return np.maximum(x, 0)


def responses(x, alpha, *, size=5, beta=0.75, k=2.0):
    """AlexNet, section 3.3, with the alpha that multiplies the sum."""
    squares = np.pad(x**2, [(0, 0)] * 3 + [(size // 2, size // 2)])
    sums = sum(squares[..., i : i + x.shape[-1]] for i in range(size))
    return x / (k + alpha * sums) ** beta
