"""tangermeme's side of bench/ism; runs in .venv-peers: IN.npz OUT.npz.

IN has ``x`` (1, 4, L), ``net`` (what to build, as JSON) and the weights in the order of the layers. The networks are
the same functions as those of bench/ism_nets.py, from torch's own modules. For every line of JSON on standard input,
``{"side", "threads", "clock", "batch", "mutants"}``, a line of JSON with seconds per mutant on standard output; OUT has
the values of the last mutants.

fast=True is forced: tangermeme leaves it out for short jobs, and where its own check finds it slower. Its capture of
the model is not counted, and its pass of the sequence itself counts as for all mutants of the sequence.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

ism = importlib.import_module("tangermeme.saturation_mutagenesis")  # the package has a function of the same name


class Strands(nn.Module):
    """Kernels on both strands, the larger scan of each."""

    def __init__(self, kernels: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 2 * kernels, size, padding=size // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        forward, reverse = self.conv(x).chunk(2, dim=1)
        return torch.maximum(forward, reverse)


class Calderon(nn.Module):
    """Kernels, GELU, weighted pooling, linear head."""

    def __init__(
        self, pad: int, kernels: int, size: int, window: int, side: int, floor: float, head: list[int]
    ) -> None:
        super().__init__()
        self.pad, self.window, self.side, self.floor = pad, window, side, floor
        self.scan, self.head = Strands(kernels, size), nn.Linear(*head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.gelu(self.scan(functional.pad(x, (self.pad, self.pad), value=0.25)))
        x = functional.pad(x, (self.side, self.side), value=self.floor)
        count = x.shape[-1] // self.window
        windows = x[..., : count * self.window].reshape(*x.shape[:2], count, self.window)
        out: torch.Tensor = self.head((windows * torch.softmax(windows, dim=-1)).sum(-1).flatten(1))
        return out


class Layer(nn.Module):
    """Batch norm, GELU, convolution."""

    def __init__(self, channels: int, size: int, dilation: int, *, bias: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        pad = dilation * (size // 2)
        self.conv = nn.Conv1d(channels, channels, size, padding=pad, dilation=dilation, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv(functional.gelu(self.norm(x)))
        return out


class Deep(nn.Module):
    """Kernels, max-pooling, a dilated tower, a pooling tower, dense layers; DRG's residuals."""

    def __init__(
        self, kernels: int, size: int, tower_size: int, dilations: list[int], pads: list[int], widths: list[int]
    ) -> None:
        super().__init__()
        self.pads = pads
        self.scan = Strands(kernels, size)
        self.dilated = nn.ModuleList(Layer(kernels, tower_size, d, bias=False) for d in dilations)
        self.tower = nn.ModuleList(Layer(kernels, tower_size, 1, bias=True) for _ in pads[1:])
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool1d(functional.gelu(self.scan(x)), 3, padding=self.pads[0])
        kept = x
        for layer in self.dilated:
            new = layer(x)
            x, kept = new + kept, new
        kept = x
        for i, (layer, pad) in enumerate(zip(self.tower, self.pads[1:], strict=True)):
            new = layer(x)
            if i:  # the pooling before this layer, with zeros beyond the ends
                side = self.pads[i]
                kept = functional.max_pool1d(functional.pad(kept, (side, side)) if side else kept, 3)
            x, kept = functional.max_pool1d(new + kept, 3, padding=pad), new
        x = self.dense[0](x.flatten(1))
        for layer in self.dense[1:-1]:
            x = functional.gelu(layer(x))
        out: torch.Tensor = self.dense[-1](x)
        return out


class BPNet(nn.Module):
    """Dilated residual convolutions, profile and counts: log rates (n, 1, bins)."""

    def __init__(self, channels: int, stem: int, dilations: list[int], profile: int, bins: int, length: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, channels, stem, padding=stem // 2)
        self.layers = nn.ModuleList(nn.Conv1d(channels, channels, 3, padding=d, dilation=d) for d in dilations)
        self.profile = nn.Conv1d(channels, 1, profile, padding=profile // 2)
        self.counts = nn.Linear(channels, 1)
        self.start, self.stop, self.margin = (length - bins) // 2, (length - bins) // 2 + bins, profile // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.stem(x))
        for layer in self.layers:
            x = x + functional.relu(layer(x))
        profile = self.profile(x)[..., self.start : self.stop]
        counts = self.counts(x[..., self.start - self.margin : self.stop + self.margin].mean(-1))
        return torch.log_softmax(profile, dim=-1) + counts[..., None]


def basset(length: int, channels: list[int], sizes: list[int], pools: list[int], dense: list[int]) -> nn.Module:
    """Convolution, batch norm, ReLU, max-pooling; dense layers."""
    layers: list[nn.Module] = []
    before = 4
    for width, size, pool in zip(channels, sizes, pools, strict=True):
        layers += [nn.Conv1d(before, width, size), nn.BatchNorm1d(width), nn.ReLU(), nn.MaxPool1d(pool)]
        before, length = width, (length - size + 1) // pool
    layers.append(nn.Flatten())
    before *= length
    for units in dense[:-1]:
        layers += [nn.Linear(before, units), nn.BatchNorm1d(units), nn.ReLU()]
        before = units
    return nn.Sequential(*layers, nn.Linear(before, dense[-1]))


def profile_shape(rates: torch.Tensor) -> torch.Tensor:
    """BPNet's statistic of a profile."""
    return (torch.softmax(rates, dim=-1) * (rates - rates.mean(-1, keepdim=True))).sum(-1)


Clock = Callable[[], float]
KINDS: dict[str, Callable[..., nn.Module]] = {"basset": basset, "calderon": Calderon, "deep": Deep, "bpnet": BPNet}
STATISTICS: dict[str, Callable[[torch.Tensor], torch.Tensor] | None] = {
    "tracks": None,
    "counts": lambda rates: torch.logsumexp(rates, dim=-1),
    "profile": profile_shape,
}


def build(given: dict[str, Any]) -> tuple[nn.Module, Callable[[torch.Tensor], torch.Tensor] | None]:
    """The network with the weights, and what is taken of its output."""
    wanted = json.loads(str(given["net"]))
    model = KINDS[wanted["kind"]](**wanted["sizes"]).eval().requires_grad_(False)
    state = model.state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    for number, name in enumerate(names):
        state[name] = torch.from_numpy(given[f"weight{number}"])
    model.load_state_dict(state)
    return model.to(next(iter(state.values())).dtype), STATISTICS[wanted["statistic"]]


class Sides:
    """Both ways of the package on one sequence."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.model, self.func = build(given)
        self.x = torch.from_numpy(given["x"]).to(torch.int8)
        length = self.x.shape[-1]
        _, self.chars, self.positions = ism._single_edits(self.x[0], 0, length)
        dtype = next(self.model.parameters()).dtype
        started = time.perf_counter()
        with torch.no_grad():
            self.incremental = ism._FastISM(self.model, self.x, None, 0, length, torch.device("cpu"), dtype, False)
        self.capture = time.perf_counter() - started

    def slow(self, clock: Clock, batch: int, mutants: int) -> tuple[float, dict[str, torch.Tensor]]:
        """Mutants in the middle of the sequence, by the public function."""
        count = min(mutants // 3, self.x.shape[-1])
        start = (self.x.shape[-1] - count) // 2
        started = clock()
        found = ism.saturation_mutagenesis(
            self.model, self.x, start=start, end=start + count, batch_size=batch, raw_outputs=True, device="cpu",
            func=self.func, fast=False,
        )  # fmt: skip
        seconds = clock() - started
        return seconds / (3 * count), {"start": torch.tensor(start), "y0": found.y0, "y": found.y_hat}

    def fast(self, clock: Clock, batch: int, mutants: int) -> tuple[float, dict[str, torch.Tensor]]:
        """Batches of the whole job, evenly spread over it."""
        total = len(self.chars)
        batches = -(-total // batch)
        count = min(batches, max(1, mutants // batch))
        chosen = np.unique(np.linspace(0, batches - 1, count).round().astype(int))
        edits = torch.cat([torch.arange(i * batch, min((i + 1) * batch, total)) for i in chosen])
        chars, positions = self.chars[edits], self.positions[edits]
        self.incremental._example = None
        started = clock()
        self.incremental._set_example(0)
        reference = clock() - started
        found = self.incremental.predict_edits(0, chars, positions, batch, self.func)
        seconds = clock() - started - reference
        per_mutant = reference / total + seconds / len(edits)
        return per_mutant, {"chars": chars, "positions": positions, "y": found}


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    sides = Sides(dict(np.load(sys.argv[1])))
    versions = {"torch": torch.__version__, "tangermeme": importlib.metadata.version("tangermeme")}
    print(json.dumps({"capture": sides.capture, "versions": versions}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        torch.set_num_threads(asked["threads"])
        clock = {"wall": time.perf_counter, "cpu": time.process_time}[asked["clock"]]
        seconds, values = getattr(sides, asked["side"])(clock, asked["batch"], asked["mutants"])
        np.savez(sys.argv[2], **{name: value.numpy() for name, value in values.items()})
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
