"""Perturbation tests one sequence at a time, as a script writes them: the other side of bench/perturb.

Sequences are text; each copy is made, encoded and predicted by itself, and the loss taken of it. It makes the five
tests of drg-perturb (presence of both motifs, order, distance, shift, interaction), each with copies of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

LETTERS = "ACGT"
CODES = {letter: code for code, letter in enumerate(LETTERS)}
Site = tuple[int, int]
Change = Callable[[], str]


class Plain:
    """The tests of single sequences.

    Parameters
    ----------
    background : frequencies of A, C, G, T
    copies : of each random change
    """

    def __init__(self, module: torch.nn.Module, background: list[float], copies: int) -> None:
        self._module, self._background, self._copies = module, background, copies
        self._random = random.Random(0)
        self.predictions = 0

    def _logits(self, text: str) -> torch.Tensor:
        """Of both classes."""
        onehot = np.zeros((1, 4, len(text)), np.float32)
        onehot[0, [CODES[letter] for letter in text], np.arange(len(text))] = 1
        self.predictions += 1
        with torch.no_grad():
            z = self._module(torch.from_numpy(onehot))[0, 0]
        return torch.stack([torch.zeros_like(z), z])

    def _mean_loss(self, change: Change, label: torch.Tensor) -> float:
        losses = [float(functional.cross_entropy(self._logits(change()), label)) for _ in range(self._copies)]
        return sum(losses) / len(losses)

    def _mean_logits(self, change: Change) -> torch.Tensor:
        return torch.stack([self._logits(change()) for _ in range(self._copies)]).mean(dim=0)

    def _replaced(self, text: str, sites: list[Site]) -> str:
        for start, end in sites:
            drawn = "".join(self._random.choices(LETTERS, self._background, k=end - start))
            text = text[:start] + drawn + text[end:]
        return text

    def _moved(self, text: str, left: Site, right: Site) -> str:
        (a, b), (c, d) = left, right
        rest = text[:a] + text[b:c] + text[d:]
        while True:
            first, second = (self._random.randint(0, len(rest)) for _ in range(2))
            if first <= second:
                return rest[:first] + text[a:b] + rest[first:second] + text[c:d] + rest[second:]

    def _slid(self, text: str, left: Site, right: Site) -> str:
        rest = text[: left[0]] + text[right[1] :]
        first = self._random.randrange(len(rest))
        first += first >= left[0]
        return rest[:first] + text[left[0] : right[1]] + rest[first:]

    def effects(self, text: str, sites: dict[str, Site], motifs: list[str], target: int) -> dict[str, float]:
        """Loss effect of each test that the sequence has the motifs for."""
        label, found = torch.tensor(target), {}
        for name in motifs:
            if name in sites:
                before = float(functional.cross_entropy(self._logits(text), label))
                after = self._mean_loss(lambda name=name: self._replaced(text, [sites[name]]), label)
                found[f"presence {name}"] = before - after
        if not all(name in sites for name in motifs):
            return found
        (a, b), (c, d) = left, right = sorted(sites[name] for name in motifs)
        before = functional.cross_entropy(self._logits(text), label)
        swapped = text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]
        found["order"] = float(before - functional.cross_entropy(self._logits(swapped), label))
        for test, change in (("distance", self._moved), ("shift", self._slid)):
            before = functional.cross_entropy(self._logits(text), label)
            after = self._mean_loss(lambda change=change: change(text, left, right), label)
            found[test] = float(before) - after
        o = self._logits(text)
        one, other = (self._mean_logits(lambda site=site: self._replaced(text, [site])) for site in (left, right))
        both = self._mean_logits(lambda: self._replaced(text, [left, right]))
        additive = functional.cross_entropy(one + other - o, label)
        found["interaction"] = float(functional.cross_entropy(both, label) - additive)
        return found
