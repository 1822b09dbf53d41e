"""DeepSHAP of the network of examples/calderon (401 bp, 45 tracks), 20 references: here and with tangermeme.

The same sequences and references (shuffled beforehand, so that neither side's clock has them), one thread of torch
each, single precision, in turn. tangermeme runs in .venv-peers on the same network from modules that it has rules for,
with the fastest of some batch sizes, once for each track; here one call serves all tracks. For 45 tracks tangermeme
attributes some regions for one track, and the ratio is of seconds per region and track.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import ROOT, show
from models.drg_files import files
from stores_windows import peers_python

from drg_hpc.attribution.deeplift import DeepLift
from drg_hpc.attribution.reference_spec import parse_references
from drg_hpc.attribution.references import draw
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.models.importers.drg import import_drg

COPIES, TRACK, TRACKS, ROWS = 20, 7, 45, 2
BATCHES = (10, 20, 32, 64)


class Theirs:
    """tangermeme, in a process of its own."""

    def __init__(self, scratch: Path, python: Path) -> None:
        self.answer = scratch / "out.npz"
        line = [python, ROOT / "bench/peer_deepshap.py", scratch / "in.npz", self.answer]
        self._process = subprocess.Popen(
            [str(item) for item in line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"tangermeme ended with {self._process.wait()}")
        return json.loads(answer)

    def seconds(self, rows: int, batch: int) -> float:
        """Of one track of some regions."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{rows} {TRACK} {batch}\n")
        self._process.stdin.flush()
        return float(self._read())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Ours:
    """DeepLift as the engine uses it: passes of two regions, all tracks from one pass."""

    def __init__(self, module: torch.nn.Module, x: torch.Tensor, references: torch.Tensor) -> None:
        self.x, self.references = x, references
        self.lift = DeepLift(TrackStatistic(module, range(TRACKS), "link"), [x[:ROWS]])
        self.hypothetical = torch.empty(0)

    def seconds(self, rows: int, tracks: int) -> float:
        """Of some tracks of some regions: hypothetical attributions and deltas."""
        started = time.perf_counter()
        found = []
        for at in range(0, rows, ROWS):
            pairs = self.lift.pairs([self.x[at : at + ROWS]], [self.references[at : at + ROWS]])
            for track in range(TRACK, TRACK + tracks):
                (mean,), (product,), _ = pairs.accumulate(torch.eye(TRACKS)[track % TRACKS])
                hypothetical = mean - product.sum(1, keepdim=True)
                if track == TRACK:
                    found.append(hypothetical)
        self.hypothetical = torch.cat(found)
        return time.perf_counter() - started


def network(scratch: Path, rows: int) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """The network, random sequences, and their references; for the other side too, as a file."""
    module = import_drg(*files("calderon"), reverse_complement=None).module.eval().requires_grad_(False)
    codes = np.random.default_rng(0).integers(0, 4, (rows, 401))
    x = np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1).copy()
    references = draw(parse_references(f"dinuc:{COPIES}"), x, range(rows), seed=0)
    arrays = {key.removeprefix("layers."): value.numpy() for key, value in module.state_dict().items()}
    np.savez(scratch / "in.npz", x=x, references=references, kernels=arrays["scan.weight"], head=arrays["head.weight"],
             bias=arrays["head.bias"])  # fmt: skip
    return module, torch.from_numpy(x), torch.from_numpy(references)


def run(scratch: Path, *, small: bool) -> dict[str, Any]:
    """Time both in turn."""
    python = peers_python()
    if python is None:
        sys.exit(
            "bench/attr deepshap needs .venv-peers with tangermeme (DRG_MAKE_PEERS=1 bench/stores windows makes it)"
        )
    torch.set_num_threads(1)
    rows, some, rounds = (2, 2, 1) if small else (64, 8, 5)
    module, x, references = network(scratch, rows)
    ours, theirs = Ours(module, x, references), Theirs(scratch, python)
    ours.seconds(ROWS, 2)  # warms up
    theirs.seconds(ROWS, BATCHES[0])
    by_batch = {batch: min(theirs.seconds(some, batch) for _ in range(2)) for batch in BATCHES[: 1 if small else None]}
    batch = min(by_batch, key=by_batch.__getitem__)
    one: list[tuple[float, float]] = []
    for _ in range(rounds):
        one.append((ours.seconds(some, 1) / some, theirs.seconds(some, batch) / some))
    answers = {"ours": ours.hypothetical.numpy(), "tangermeme": np.load(theirs.answer)["hypothetical"]}
    tracks = 3 if small else TRACKS
    before = theirs.seconds(some, batch) / some
    all_tracks = ours.seconds(rows, tracks) / rows / tracks
    after = theirs.seconds(some, batch) / some
    theirs.close()
    double = Ours(module.double(), x.double(), references.double())
    double.seconds(some, 1)
    exact = double.hypothetical.numpy()
    errors = {name: float(np.abs(found - exact).max() / np.abs(exact).max()) for name, found in answers.items()}
    results = {
        "references": COPIES, "regions": rows, "tracks": tracks, "batch": batch, "their_batches": by_batch,
        "one_track": {"ours": statistics.median(a for a, _ in one), "tangermeme": statistics.median(b for _, b in one)},
        "one_track_ratio": statistics.median(b / a for a, b in one),
        "all_tracks": {"ours": all_tracks, "tangermeme": (before + after) / 2},
        "all_tracks_ratio": (before + after) / 2 / all_tracks,
        "largest_difference_from_double_precision": errors,
    }  # fmt: skip
    show("DeepSHAP, seconds per region and track", [
        ("", "here", f"tangermeme (batch {batch})", "ratio"),
        *((name, f"{results[key]['ours']:.4f}", f"{results[key]['tangermeme']:.4f}",
           f"{results[f'{key}_ratio']:.2f} (asked {asked})")
          for name, key, asked in (("1 track", "one_track", 2), (f"{tracks} tracks", "all_tracks", 5))),
        ("from double precision", f"{errors['ours']:.1e}", f"{errors['tangermeme']:.1e}", "of the largest value"),
    ])  # fmt: skip
    return results
