"""The first convolution of a network as sums over a table of short words: many sequences a second on a CPU.

In a sequence of bases a kernel of 12 positions sees three words of four letters. The sums of its weights over each
word are computed once; a position then takes three lines of a table instead of 48 products per kernel. A ReLU and a max
pooling that follow are computed on the way, so that nothing of the length of the sequence is ever stored.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from drg_hpc.genome.random_words import compiled
from drg_hpc.models.blocks_layout import in_order
from drg_hpc.models.cnn import DrgCnn

_LETTERS = 5
"""A, C, G, T, and an unknown base, which is also what lies beyond the ends: its column is zero."""
_TABLE_BYTES = 4 << 20
"""Of tables that a core's caches hold; larger ones are slower than the products."""
_THREADS = 8
"""Of products up to which words, on one thread, are faster: on one the products take about ten times as long."""
Tables = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """A max pooling: ``count`` windows of ``size`` positions every ``step``, the first one ``pad`` before the start;
    positions beyond the ends do not count."""

    size: int
    step: int
    pad: int
    count: int


class WordScan(nn.Module):
    """What a ``Conv1d`` of one-hot sequences gives, after ReLU and max pooling where there are any.

    ``(n, 4, L) -> (n, kernels, windows)``; the columns of the input are one base, or zero.

    Parameters
    ----------
    tables : from :func:`word_tables`
    letters : of a word
    left : positions before the sequence that the first window of the kernels begins at
    length : positions that the convolution gives
    """

    def __init__(self, tables: Tables, *, letters: int, left: int, length: int, relu: bool, pool: Windows) -> None:
        super().__init__()
        self._tables, self._letters, self._left, self._length = tables, letters, left, length
        self._least = 0.0 if relu else -np.inf
        self._pool = pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = self._pool
        out = np.empty((len(x), self._tables.shape[2], pool.count), np.float32)
        _scan(x.numpy(), self._tables, self._letters, self._left, self._length, self._least,
              np.array([pool.size, pool.step, pool.pad]), out)  # fmt: skip
        return torch.from_numpy(out)


def word_tables(weight: NDArray[np.float32], bias: NDArray[np.float32] | None, letters: int) -> Tables:
    """Sums of the weights over every word at every place of the kernels, (places, 5^letters, kernels).

    Parameters
    ----------
    weight : (kernels, 4, width)
    bias : (kernels,), part of the first place
    """
    kernels, _, width = weight.shape
    places = -(-width // letters)
    columns = np.zeros((places * letters, _LETTERS, kernels))
    columns[:width, :4] = weight.transpose(2, 1, 0)
    words = np.array(list(product(range(_LETTERS), repeat=letters)))
    columns = columns.reshape(places, letters, _LETTERS, kernels)
    tables = sum(columns[:, at][:, words[:, at]] for at in range(letters))
    assert isinstance(tables, np.ndarray)
    tables[0] += 0 if bias is None else bias
    return np.ascontiguousarray(tables, np.float32)


@compiled
def _scan(
    x: NDArray[np.float32], tables: Tables, letters: int, left: int, length: int, least: float, pool: Ints,
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """See :class:`WordScan`; ``length`` positions of the convolution, results (n, kernels, windows)."""
    places, _, kernels = tables.shape
    size, step, pad = pool
    word = np.empty(length + (places - 1) * letters, np.int64)
    letter = np.empty(len(word) + letters - 1, np.int64)
    total, best = np.empty(kernels, np.float32), np.empty(kernels, np.float32)
    for row in range(x.shape[0]):
        _words(x[row], letters, left, letter, word)
        for window in range(out.shape[2]):
            first = window * step - pad
            best[:] = least
            for at in range(max(0, first), min(length, first + size)):
                head = tables[0, word[at]]
                for kernel in range(kernels):
                    total[kernel] = head[kernel]
                for place in range(1, places):
                    line = tables[place, word[at + place * letters]]
                    for kernel in range(kernels):
                        total[kernel] += line[kernel]
                for kernel in range(kernels):
                    best[kernel] = total[kernel] if total[kernel] > best[kernel] else best[kernel]
            for kernel in range(kernels):
                out[row, kernel, window] = best[kernel]


@compiled
def _words(x: NDArray[np.float32], letters: int, left: int, letter: NDArray[np.int64], word: NDArray[np.int64]) -> None:
    """Numbers of the words of a sequence (4, L), the first one ``left`` positions before it."""
    letter[:] = 4
    a, c, g, t = x[0], x[1], x[2], x[3]
    for at in range(min(len(a), len(letter) - left)):
        letter[left + at] = 4 - int(4 * a[at] + 3 * c[at] + 2 * g[at] + t[at])
    number, most = 0, 5 ** (letters - 1)
    for at in range(letters - 1):
        number = 5 * number + letter[at]
    for at in range(len(word)):
        number = 5 * number + letter[at + letters - 1]
        word[at] = number
        number -= letter[at] * most


def scanned_by_words(module: nn.Module) -> nn.Module:
    """The same network with its first convolution by words, for sequences that are one-hot: a base or zeros in each
    column. Values may differ in the last digits. Itself where it does not begin with a convolution, a ReLU if it likes,
    and a max pooling, where one of these has hooks, on a GPU, with many threads, and where the tables would be larger
    than the caches."""
    if type(module) is not DrgCnn or torch.get_num_threads() > _THREADS:
        return module
    names, layers = zip(*module.layers.named_children(), strict=True)
    conv, relu, length = layers[0], type(layers[1]) is nn.ReLU, module.shape.length
    pool = _windows(layers[1 + relu], length)
    if type(conv) is not nn.Conv1d or pool is None or not _plain(conv):
        return module
    if any(each._forward_hooks or each._forward_pre_hooks for each in (module.layers, *layers[: 2 + relu])):
        return module
    letters = next((number for number in (4, 3) if _bytes(conv, number) <= _TABLE_BYTES), None)
    if letters is None:
        return module
    bias = None if conv.bias is None else conv.bias.detach().numpy()
    tables = word_tables(conv.weight.detach().numpy(), bias, letters)
    left = (conv.kernel_size[0] - 1) // 2
    scan = WordScan(tables, letters=letters, left=left, length=length, relu=relu, pool=pool)
    found = copy.copy(module)
    found._modules = dict(module._modules)  # the copy's own list of layers
    found.layers = in_order([("words", scan), *zip(names[2 + relu :], layers[2 + relu :], strict=True)])
    return found


def _plain(conv: nn.Conv1d) -> bool:
    """Whether it is a sum over as many neighbouring bases of finite float32 weights in this computer's memory."""
    return (
        conv.in_channels == 4
        and (conv.padding, conv.padding_mode) == ("same", "zeros")
        and (conv.stride, conv.dilation, conv.groups) == ((1,), (1,), 1)
        and all(_finite(each) for each in (conv.weight, conv.bias) if each is not None)
    )


def _finite(numbers: torch.Tensor) -> bool:
    return (numbers.device.type, numbers.dtype) == ("cpu", torch.float32) and bool(numbers.isfinite().all())


def _bytes(conv: nn.Conv1d, letters: int) -> int:
    places = -(-conv.kernel_size[0] // letters)
    return int(places * _LETTERS**letters * conv.out_channels * 4)


def _windows(layer: nn.Module, positions: int) -> Windows | None:
    """A max pooling of all positions, None where it is another layer."""
    if type(layer) is not nn.MaxPool1d or layer.ceil_mode or layer.return_indices:
        return None
    size, step, pad, dilation = (int(np.ravel(each)[0]) for each in (
        layer.kernel_size, layer.stride, layer.padding, layer.dilation
    ))  # fmt: skip
    if dilation != 1:
        return None
    return Windows(size, step, pad, (positions + 2 * pad - size) // step + 1)
