"""Operations that an exact mutation scan needs, counted from the sizes of the layers; knows nothing of the engine.

For every mutated position, each layer's positions that can change are followed through the network, those beyond what
the output needs are left out, and two numbers of multiply-adds are counted:

window : each layer computes every changed position again, from all of its inputs; the interval from the first to the
    last one that changes, since that is what a convolution can be given
delta : each layer multiplies only the inputs that change (of a one-hot column two channels), and adds to what was there

Activations, normalisations and poolings count as nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass
class _Layer:
    """One operation: ``taps`` gives, of a mask of its input, one mask of its output for every tap."""

    sources: tuple[int, ...]
    taps: Callable[[Mask], list[Mask]]
    back: Callable[[Mask], Mask]
    length: int
    products: int = 0
    count: int = 1


def _interval(masks: Mask) -> Mask:
    """From the first to the last of each row (n, length)."""
    found: Mask = np.logical_or.accumulate(masks, axis=1)
    found &= np.logical_or.accumulate(masks[:, ::-1], axis=1)[:, ::-1]
    return found


class Tally:
    """Layers as they are put after each other; :meth:`operations` then counts.

    Parameters
    ----------
    length : bases; every one of them is mutated
    """

    sequence = 0

    def __init__(self, length: int) -> None:
        self._layers = [_Layer((), lambda mask: [mask], lambda mask: mask, length)]

    def length(self, layer: int) -> int:
        """Positions that a layer gives."""
        return self._layers[layer].length

    def _add(self, layer: _Layer) -> int:
        self._layers.append(layer)
        return len(self._layers) - 1

    def conv(
        self, source: int, channels: int, out: int, size: int, *, dilation: int = 1, stride: int = 1, pad: int = 0
    ) -> int:
        """A convolution."""
        before = self.length(source)
        length = (before + 2 * pad - dilation * (size - 1) - 1) // stride + 1
        index = np.arange(length) * stride - pad + dilation * np.arange(size)[:, None]
        inside, index = (index >= 0) & (index < before), index.clip(0, before - 1)

        def taps(mask: Mask) -> list[Mask]:
            return [mask[:, i] & real for i, real in zip(index, inside, strict=True)]

        def back(needed: Mask) -> Mask:
            found = np.zeros(before, bool)
            for i, real in zip(index, inside, strict=True):
                found[i[real & needed]] = True
            return found

        return self._add(_Layer((source,), taps, back, length, channels * out, size))

    def pool(self, source: int, size: int, *, pad: int = 0) -> int:
        """A pooling whose windows touch; positions that fill no window are lost."""
        number = self.conv(source, 0, 0, size, stride=size, pad=pad)
        layer = self._layers[number]
        if (self.length(source) + 2 * pad) // size != layer.length:
            raise ValueError("windows of another number")
        return number

    def add(self, *sources: int) -> int:
        """A sum."""
        return self._add(_Layer(sources, lambda mask: [mask], lambda needed: needed, self.length(sources[0])))

    def _moved(self, source: int, left: int, right: int) -> int:
        before = self.length(source)

        def moved(mask: Mask) -> Mask:
            padded = np.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(max(left, 0), max(right, 0))])
            found: Mask = padded[..., max(-left, 0) : padded.shape[-1] - max(-right, 0)]
            return found

        def back(needed: Mask) -> Mask:
            padded = np.pad(needed, (max(-left, 0), max(-right, 0)))
            return padded[max(left, 0) : max(left, 0) + before]

        return self._add(_Layer((source,), lambda mask: [moved(mask)], back, before + left + right))

    def pad(self, source: int, left: int, right: int) -> int:
        """Positions put at both ends."""
        return self._moved(source, left, right)

    def crop(self, source: int, left: int, right: int) -> int:
        """Positions taken off both ends."""
        return self._moved(source, -left, -right)

    def mean(self, source: int) -> int:
        """A mean over positions."""
        before = self.length(source)
        return self._add(_Layer(
            (source,), lambda mask: [mask.any(1, keepdims=True)], lambda needed: np.full(before, needed.any()), 1
        ))  # fmt: skip

    def dense(self, source: int, width: int, units: int) -> int:
        """A linear layer of all positions and channels, ``width`` numbers."""
        before = self.length(source)

        def taps(mask: Mask) -> list[Mask]:
            return [mask[:, i : i + 1] for i in range(before)]

        layer = _Layer(
            (source,), taps, lambda needed: np.full(before, needed.any()), 1, width // before * units, before
        )
        return self._add(layer)

    def _changed(self, layer: _Layer, masks: list[Mask]) -> list[Mask]:
        """Of every tap, positions of the output that it changes."""
        return [tap for source in layer.sources for tap in layer.taps(masks[source])]

    def _needed(self) -> list[Mask]:
        """Of every layer, positions that the output depends on; what nothing takes is the output."""
        taken = {source for layer in self._layers for source in layer.sources}
        needed = [np.full(layer.length, number not in taken) for number, layer in enumerate(self._layers)]
        for number in range(len(self._layers) - 1, 0, -1):
            for source in self._layers[number].sources:
                needed[source] = needed[source] | self._layers[number].back(needed[number])
        return needed

    def operations(self) -> dict[str, Any]:
        """Multiply-adds of a mutant: ``full``, and ``window`` and ``delta`` as means over all positions, with those of
        the position in the middle, and every layer's."""
        masks: list[Mask] = [np.eye(self._layers[0].length, dtype=bool)]
        rows = []
        for layer, needed in zip(self._layers[1:], self._needed()[1:], strict=True):
            taps = self._changed(layer, masks)
            masks.append(np.logical_or.reduce(taps))
            window = (_interval(masks[-1]) & _interval(needed[None])).sum(1) * layer.products * layer.count
            of_sequence = 2 if layer.sources == (0,) or self._only_moved(layer) else 4
            delta = sum((tap & needed).sum(1) for tap in taps) * layer.products * of_sequence // 4
            rows.append((layer.products * layer.count * layer.length, window, delta))
        full = sum(row[0] for row in rows)
        window, delta = (np.array([row[i] for row in rows]).sum(0) for i in (1, 2))
        middle = len(window) // 2
        return {
            "full": full, "window": float(window.mean()), "delta": float(delta.mean()),
            "window_in_the_middle": int(window[middle]), "delta_in_the_middle": int(delta[middle]),
            "layers": [[row[0], float(row[1].mean()), float(row[2].mean())] for row in rows if row[0]],
        }  # fmt: skip

    def _only_moved(self, layer: _Layer) -> bool:
        """Takes the sequence itself, padded or cropped."""
        return all(self._layers[s].products == 0 and self._layers[s].count == 1 and self._layers[s].sources == (0,)
                   for s in layer.sources)  # fmt: skip
