"""How tensors and memory words look to the host of a machine."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitwright.targets.host_interface import slice_stride


def tensor_to_words(tensor: NDArray[np.int8], lanes: int) -> NDArray[np.int8]:
    """Activation words `[ceil(C / lanes) * H * W, lanes]` of a tensor `[C, H, W]`.

    The word of (channel block, y, x) is number `(block * H + y) * W + x`; channels that fill up
    the last block are 0.
    """
    channels, height, width = tensor.shape
    blocks = -(-channels // lanes)
    padded = np.zeros((blocks * lanes, height, width), np.int8)
    padded[:channels] = tensor
    return padded.reshape(blocks, lanes, height * width).transpose(0, 2, 1).reshape(-1, lanes)


def words_to_tensor(
    words: NDArray[np.int8], shape: tuple[int, int, int], lanes: int
) -> NDArray[np.int8]:
    """The tensor `[C, H, W]` of activation words; words after it are ignored."""
    channels, height, width = shape
    blocks = -(-channels // lanes)
    used = words[: blocks * height * width].reshape(blocks, height * width, lanes)
    return used.transpose(0, 2, 1).reshape(blocks * lanes, height, width)[:channels].copy()


def activations_to_slices(words: NDArray[np.int8]) -> NDArray[np.uint32]:
    """Activation words `[n, lanes]` as the 32-bit slices that the host transfers."""
    count, lanes = words.shape
    padded = np.zeros((count, 4 * slice_stride(8 * lanes)), np.int8)
    padded[:, :lanes] = words
    return padded.view("<u4").astype(np.uint32).reshape(-1)


def slices_to_activations(slices: NDArray[np.uint32], lanes: int) -> NDArray[np.int8]:
    """Activation words `[n, lanes]` from the 32-bit slices that the host read."""
    stride = slice_stride(8 * lanes)
    return slices.astype("<u4").view(np.int8).reshape(-1, 4 * stride)[:, :lanes].copy()


def memory_to_slices(words: Sequence[int], width: int) -> NDArray[np.uint32]:
    """Memory words of `width` bits as 32-bit slices `[n, slice_stride(width)]`."""
    stride = slice_stride(width)
    raw = b"".join(word.to_bytes(4 * stride, "little") for word in words)
    return np.frombuffer(raw, "<u4").astype(np.uint32).reshape(-1, stride)
