"""Data with a known truth, as files, and the stores that the commands make of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stores import fasta, shard

BASES = np.array(list("ACGT"))
Array = np.ndarray[Any, Any]


def _random(generator: np.random.Generator, rows: int, length: int) -> Array:
    return generator.integers(0, 4, (rows, length))


def _plant(generator: np.random.Generator, codes: Array, motif: Array, counts: Array) -> None:
    """Put ``counts[row]`` copies of a motif into each row, at places that do not overlap."""
    slots = codes.shape[1] // (2 * len(motif))
    for row, count in enumerate(counts):
        for slot in generator.permutation(slots)[:count]:
            start = slot * 2 * len(motif) + generator.integers(0, len(motif))
            codes[row, start : start + len(motif)] = motif


def _text(codes: Array) -> list[str]:
    return ["".join(BASES[row]) for row in codes]


TRANSCRIPTION, DECAY = np.array([2, 0, 3, 0, 0, 1, 2, 3]), np.array([3, 2, 3, 0, 3, 0, 3, 1])  # GATAACGT, TGTATATC


def two_inputs(folder: Path, *, genes: int = 3000, dna: int = 1000, rna: int = 600, seed: int = 3) -> Path:
    """Genes with a DNA and an RNA window. Log transcription rises by 1 with each GATAACGT in the DNA, log decay by 0.8
    with each TGTATATC in the RNA; measured are their difference (expression), decay and transcription, with noise of
    0.2. Contigs c0 to c9 of ``genes / 10`` genes; c8 validates, c9 tests.
    """
    generator = np.random.default_rng(seed)
    sequences = {"dna": _random(generator, genes, dna), "rna": _random(generator, genes, rna)}
    numbers = {name: generator.integers(0, 4, genes) for name in sequences}
    _plant(generator, sequences["dna"], TRANSCRIPTION, numbers["dna"])
    _plant(generator, sequences["rna"], DECAY, numbers["rna"])
    transcription, decay = numbers["dna"] - 1.5, 0.8 * numbers["rna"] - 1.2
    measured = {"expression": transcription - decay, "decay": decay, "transcription": transcription}
    folder.mkdir(parents=True)
    for name, values in measured.items():
        noisy = values + generator.normal(0, 0.2, genes)
        lines = [f"name,{name}_rate", *(f"g{gene},{value:.5f}" for gene, value in enumerate(noisy))]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    each = genes // 10
    joined = [a + b for a, b in zip(_text(sequences["dna"]), _text(sequences["rna"]), strict=True)]
    contigs = {f"c{i}": "".join(joined[i * each : (i + 1) * each]) for i in range(10)}
    shard("genome", folder / "genome", fasta=[fasta(folder / "genome.fa", contigs)])
    for name, (offset, size) in {"dna": (0, dna), "rna": (dna, rna)}.items():
        rows = []
        for gene in range(genes):
            start = gene % each * (dna + rna) + offset
            rows.append(f"c{gene // each}\t{start}\t{start + size}\tg{gene}\n")
        (folder / f"{name}.bed").write_text("".join(rows))
    return shard(
        "regions", folder / "store", genome=folder / "genome", input=[f"{n}={folder / n}.bed" for n in sequences],
        counts=[f"{name}={folder / name}.csv" for name in measured], valid="c8", test="c9",
    )  # fmt: skip


@dataclass(frozen=True)
class Footprints:
    """A store of integer counts at each base, and the distributions that they were drawn from.

    Attributes
    ----------
    shapes : (rows, length), each row sums to 1
    """

    store: Path
    shapes: Array


SITE = np.array([1, 1, 2, 1, 3, 2, 0, 1])  # CCGCTGAC


def footprints(folder: Path, *, rows: int = 1500, length: int = 256, seed: int = 4) -> Footprints:
    """Around every CCGCTGAC cutting is 13 times as likely 8 to 20 bases on either side, and five times less on it:
    a footprint. Each row has about 150 cuts for each site and 50 besides.
    """
    generator = np.random.default_rng(seed)
    codes = _random(generator, rows, length)
    numbers = generator.integers(0, 3, rows)
    _plant(generator, codes, SITE, numbers)
    rates = np.ones((rows, length))
    distance = np.arange(length)[None, :] - np.arange(length)[:, None] - (len(SITE) - 1) / 2
    bump = 12.0 * np.exp(-(((np.abs(distance) - 14) / 4.0) ** 2))
    found = (np.lib.stride_tricks.sliding_window_view(codes, len(SITE), axis=1) == SITE).all(-1)
    for row, start in np.argwhere(found):
        rates[row] += bump[start]
        rates[row, start : start + len(SITE)] *= 0.2
    shapes = rates / rates.sum(1, keepdims=True)
    counts = generator.poisson(shapes * (50 + 150 * found.sum(1))[:, None])
    folder.mkdir(parents=True)
    names = [f"chr{1 + row * 10 // rows}:{row * length}-{(row + 1) * length}" for row in range(rows)]
    records = dict(zip(names, _text(codes), strict=True))
    np.savez(folder / "counts.npz", counts=counts[:, None].astype(np.float32), names=names, celltypes=["cuts"])
    store = shard(
        "sequences", folder / "store", sequences=fasta(folder / "sequences.fa", records),
        counts=[folder / "counts.npz"], valid="chr9", test="chr10",
    )  # fmt: skip
    return Footprints(store, shapes)
