"""What the kernels of some models respond to: random k-mers, and those of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from drg_hpc.bodies.kernels_layers import find_branches, own_activation
from drg_hpc.interpretation import kernel_counts as counts
from drg_hpc.interpretation import kernel_kmers as words
from drg_hpc.interpretation import kernel_motifs as motifs
from drg_hpc.interpretation.kernel_ablation import Branch
from drg_hpc.models.base import SequenceModel

Arrays = dict[str, NDArray[Any]]
_SPREAD = ("kmers", "total", "squares", "low", "high")


@dataclass(frozen=True, eq=False)
class Kernels:
    """The kernels of one first layer, on the CPU.

    Parameters
    ----------
    tag : ``m0n1``: first model, second branch
    weight, bias : (K, 4, w), (K,)
    activation : of responses
    """

    tag: str
    model: int
    branch: Branch
    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    activation: motifs.Activation

    @property
    def words(self) -> str:
        """Key of the k-mers that the rows have for it; of one width and of the same inputs they are the same."""
        return f"words_{self.width}_{'-'.join(map(str, self.branch.inputs))}"

    @property
    def width(self) -> int:
        """Bases of a kernel."""
        return int(self.weight.shape[2])


def kernels_of(modules: Sequence[SequenceModel], activated: str) -> list[Kernels]:
    """All first layers of some models, in order.

    Raises
    ------
    InputError : a model without one, or without an activation that can be told
    """
    found = []
    for number, module in enumerate(modules):
        branches, _ = find_branches(module)
        layers = own_activation(branches) if activated == "model" else [None] * len(branches)
        for place, (branch, layer) in enumerate(zip(branches, layers, strict=True)):
            weight, bias = (_array(getattr(branch.scan, name)) for name in ("weight", "bias"))
            assert weight is not None
            found.append(
                Kernels(f"m{number}n{place}", number, branch, weight, bias, _activation(activated, layer))
            )  # fmt: skip
    return found


def _array(tensor: torch.Tensor | None) -> NDArray[np.float32] | None:
    return None if tensor is None else tensor.detach().float().cpu().numpy()


def _as_it_is(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values


def _exp(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.exp(values), np.float32)


def _activation(name: str, layer: torch.nn.Module | None) -> motifs.Activation:
    def own(values: NDArray[np.float32]) -> NDArray[np.float32]:
        assert layer is not None
        given = next((p for p in layer.parameters()), torch.zeros(()))
        with torch.inference_mode():
            made: NDArray[np.float32] = layer(torch.from_numpy(values).to(given.device)).cpu().numpy()
        return made

    if name == "model":
        return own
    return _exp if name == "exp" else _as_it_is


def choice_of(params: Mapping[str, Any]) -> motifs.Choice:
    """Which k-mers make a motif."""
    return motifs.Choice(params["cutoff"], params["max_activation"])


def uses_random(params: Mapping[str, Any]) -> bool:
    """Whether a run needs random k-mers."""
    return bool(params["kmers"] == "random" or (params["nullify_on"] == "random" and params["nullify"] != "zero"))


def uses_rows(params: Mapping[str, Any]) -> bool:
    """Whether a run needs the k-mers of the rows."""
    return "data" in (params["kmers"], params["nullify_on"])


def scan_random(kernels: Sequence[Kernels], params: Mapping[str, Any]) -> Arrays:
    """Means, medians and motifs on random k-mers."""
    found: Arrays = {}
    both = params["kmer_strands"] == "both"
    for item in kernels:
        kmers, choice = motifs.random_kmers(params["seed"], params["n_kmers"], item.width), choice_of(params)
        made = motifs.on_random_kmers(
            item.weight, item.bias, kmers=kmers, both_strands=both, activation=item.activation, choice=choice
        )
        for name in ("mean", "median", "sums", "counts"):
            found[f"{item.tag}_random_{name}"] = getattr(made, name)
        if params["unique"]:
            found |= _on_words(item, words.distinct_words(kmers, both_strands=both), params, tag=f"{item.tag}_random")
    return found


def _on_words(item: Kernels, found: words.Words, params: Mapping[str, Any], *, tag: str) -> Arrays:
    sums, counted = words.motifs_of_words(
        item.weight, item.bias, found, activation=item.activation, choice=choice_of(params)
    )
    return {f"{tag}_sums": sums, f"{tag}_counts": counted}


def distinct_of(
    kernels: Sequence[Kernels], onehot: Sequence[NDArray[Any]], params: Mapping[str, Any]
) -> dict[str, words.Words]:
    """The distinct k-mers of a block of rows, by :attr:`Kernels.words`."""
    return {
        item.words: np.unique(np.concatenate([
            np.zeros(0, np.uint64),
            *(words.window_words(windows, item.width) for windows in windows_of(item, onehot, params)),
        ]))
        for item in {item.words: item for item in kernels}.values()
    }  # fmt: skip


def motifs_of_distinct(kernels: Sequence[Kernels], found: Arrays, params: Mapping[str, Any]) -> Arrays:
    """A merged scan with the motifs of its distinct k-mers in place of these."""
    kept = {name: values for name, values in found.items() if not name.startswith("words_")}
    for item in kernels:
        kept |= _on_words(item, found[item.words], params, tag=item.tag)
    return kept


def windows_of(
    item: Kernels, onehot: Sequence[NDArray[Any]], params: Mapping[str, Any]
) -> Iterator[NDArray[np.float32]]:
    """K-mers of a block of rows, of each input that a first layer takes."""
    for number in item.branch.inputs:
        found = motifs.sequence_windows(onehot[number], item.width, both_strands=params["kmer_strands"] == "both")
        if len(found):
            yield found


class RowScan:
    """Adds up responses to the k-mers of a group of rows."""

    def __init__(self, item: Kernels, params: Mapping[str, Any]) -> None:
        size = len(item.weight)
        self._item, self._params = item, params
        self._bounds = counts.response_bounds(item.weight, item.bias)
        wanted = params["nullify_on"] == "data" and params["nullify"] == "median"
        self.histogram = np.zeros((size, counts.BINS), np.int64) if wanted else None
        self._sums: Arrays = {
            "kmers": np.zeros((), np.int64),
            "responses": np.zeros(size),
            "total": np.zeros(size),
            "squares": np.zeros(size),
            "low": np.full(size, np.inf),
            "high": np.full(size, -np.inf),
        }

    def add(self, onehot: Sequence[NDArray[Any]]) -> None:
        """A block of rows."""
        item, s = self._item, self._sums
        for windows in windows_of(item, onehot, self._params):
            found = motifs.responses(windows, item.weight, item.bias)
            made = motifs.spread_of(item.activation(found))
            s["kmers"] = s["kmers"] + made.count
            s["responses"] = s["responses"] + found.astype(np.float64).sum(0)
            s["total"], s["squares"] = s["total"] + made.total, s["squares"] + made.squares
            s["low"], s["high"] = np.minimum(s["low"], made.low), np.maximum(s["high"], made.high)
            if self.histogram is not None:
                self.histogram += counts.count_responses(found, *self._bounds)

    def sums(self) -> Arrays:
        """The sums so far."""
        return self._sums


def constants(item: Kernels, scanned: Mapping[str, NDArray[Any]], params: Mapping[str, Any]) -> NDArray[np.float64]:
    """What takes the place of each kernel's responses, (K,).

    Parameters
    ----------
    scanned : the merged scan
    """
    if params["nullify"] == "zero":
        return np.zeros(len(item.weight))
    if params["nullify_on"] == "random":
        return np.asarray(scanned[f"{item.tag}_random_{params['nullify']}"])
    if params["nullify"] == "mean":
        return np.asarray(scanned[f"{item.tag}_responses"] / scanned[f"{item.tag}_kmers"])
    return counts.median_of(scanned[f"{item.tag}_histogram"], *counts.response_bounds(item.weight, item.bias))


def spread_on_rows(item: Kernels, scanned: Mapping[str, NDArray[Any]]) -> motifs.Spread:
    """Activations over all k-mers of the rows."""
    n, total, squares, low, high = (scanned[f"{item.tag}_{name}"] for name in _SPREAD)
    return motifs.Spread(int(n), total, squares, low, high)
