"""GenVarLoader's side of bench/stores_windows.py; runs in .venv-peers: FASTA BED BIGWIG FOLDER ROUNDS -> one JSON line.

Shuffled windows of a reference, one core: batches by index (RefDataset), large reads cut into batches, its PyTorch
DataLoader over a RefDataset, and its buffered loader over a Dataset.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import genvarloader as gvl
import numpy as np
import seqpro
import torch

BATCHES = (64, 256, 1024)
READ = 4096
ONEHOT_ROWS = 20_000
Batches = Callable[[], Iterator[np.ndarray]]


def by_index(data: gvl.RefDataset, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches of letters."""
    order = rng.permutation(len(data))
    for start in range(0, len(order), size):
        yield data[order[start : start + size]]


def by_read(data: gvl.RefDataset, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """As by_index, from reads of many windows."""
    for windows in by_index(data, READ, rng):
        for start in range(0, len(windows), size):
            yield windows[start : start + size]


def letters(batch: np.ndarray) -> np.ndarray:
    """Letters as bytes: PyTorch has no type for text."""
    return batch.view(np.uint8).reshape(len(batch), -1)


def compared(batch: np.ndarray) -> torch.Tensor:
    """One-hot float32 (rows, 4, length) by comparison."""
    return (torch.from_numpy(letters(batch))[:, None] == ACGT[:, None]).to(torch.float32)


def encoded(batch: np.ndarray) -> torch.Tensor:
    """One-hot float32 (rows, 4, length) by SeqPro."""
    onehot = seqpro.DNA.ohe(batch)
    return torch.from_numpy(onehot).permute(0, 2, 1).to(torch.float32, memory_format=torch.contiguous_format)


ACGT = torch.tensor(list(b"ACGT"), dtype=torch.uint8)


def rate(batches: Iterator[np.ndarray], use: Callable[[np.ndarray], object], limit: int) -> float:
    """Windows a second."""
    started, rows = time.perf_counter(), 0
    for batch in batches:
        use(batch)
        rows += len(batch)
        if rows >= limit:
            break
    return rows / (time.perf_counter() - started)


def main() -> None:
    """Measure every way, several times; the best of each."""
    fasta, bed, bigwig, folder, rounds = sys.argv[1:]
    torch.set_num_threads(1)
    rng, regions = np.random.default_rng(0), gvl.read_bedlike(bed)
    length = int(regions["chromEnd"][0] - regions["chromStart"][0])
    data = gvl.RefDataset(gvl.Reference.from_path(fasta), regions).with_len(length)
    if not Path(folder).exists():
        gvl.write(folder, regions, tracks=gvl.BigWigs("depth", {"sample": bigwig}))
    stored = gvl.Dataset.open(folder, fasta).with_seqs("reference").with_tracks(False).with_len(length)
    ways: dict[str, Batches] = {}
    for size in BATCHES:
        ways[f"index, batch {size}"] = lambda size=size: by_index(data, size, rng)
        ways[f"reads of {READ}, batch {size}"] = lambda size=size: by_read(data, size, rng)
        ways[f"DataLoader, batch {size}"] = lambda size=size: iter(
            data.to_dataloader(batch_size=size, shuffle=True, transform=letters)
        )
        ways[f"buffered, batch {size}"] = lambda size=size: iter(
            stored.to_dataloader(batch_size=size, shuffle=True, mode="buffered")
        )
    windows: dict[str, float] = {}
    onehot: dict[str, float] = {}
    failed: dict[str, str] = {}
    for name, batches in ways.items():
        try:
            found = [rate(batches(), lambda batch: None, len(data)) for _ in range(int(rounds))]
        except Exception as error:  # a way that this release does not offer is reported, not hidden
            failed[name] = f"{type(error).__name__}: {error}"[:200]
            continue
        windows[name] = max(found)
        if name.startswith(("index", "reads")):
            for use in (compared, encoded):
                found = [rate(batches(), use, ONEHOT_ROWS) for _ in range(int(rounds))]
                onehot[f"{name}, {use.__name__}"] = max(found)
    first = letters(data[np.arange(min(1000, len(data)))])
    codes = np.searchsorted(np.frombuffer(b"ACGT", np.uint8), first).astype(np.uint8)
    result = {
        "version": gvl.__version__, "windows": windows, "onehot": onehot, "failed": failed,
        "sha256": hashlib.sha256(codes.tobytes()).hexdigest(),
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
