"""The configurations that come with the package, each trained for two steps on a store as its first lines make it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import PEAKS, WINDOWS, shard
from support import EXAMPLES, ROOT
from training.simulations import two_inputs

from drg_hpc.errors import Stopped
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train

CONFIGS = sorted(path for path in (ROOT / "configs").glob("*.toml") if path.stem != "site")


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shard("genome", tmp_path_factory.mktemp("genome") / "run", fasta=[WINDOWS / "genome.fa.gz"])


def _peaks(genome: Path, folder: Path) -> Path:
    return shard("sequences", folder / "store", sequences=PEAKS, negatives="dinuc:1", valid="chr8", test="chr9")


def _simulation(genome: Path, folder: Path, **options: Any) -> Path:
    motifs = EXAMPLES / "motifs" / "encode_motifs.txt"
    pair = ["STAT_known2", "CTCF_known1"]
    given = {"num_seqs": 64, "gen_type": "order", "motif_db": motifs, "pos_motifs": pair}
    return shard("simulate", folder / "store", **given, **options)


def _matrix(genome: Path, folder: Path) -> Path:
    """Accessible regions with a matrix of 45 tracks."""
    names = [line.split("\t")[3] for line in (WINDOWS / "accessible.bed").read_text().splitlines()]
    values = np.random.default_rng(0).normal(size=(len(names), 45))
    header = "\t".join(["name", *(f"cell{i}" for i in range(45))])
    rows = ["\t".join([name, *(f"{value:.3f}" for value in row)]) for name, row in zip(names, values, strict=True)]
    (folder / "counts.tsv").write_text("\n".join([header, *rows]) + "\n")
    return _regions(genome, folder, regions=WINDOWS / "accessible.bed", length=401, flank=10,
                    counts=[folder / "counts.tsv"])  # fmt: skip


def _regions(genome: Path, folder: Path, **options: Any) -> Path:
    return shard("regions", folder / "store", genome=genome, valid="w01", test="w02", **options)


def _tiles(folder: Path, length: int) -> Path:
    """Windows of some contigs, around the bases that have tracks."""
    rows = [f"w{contig:02d}\t{start}\t{start + length}\n" for contig in range(4) for start in (32768, 65536)]
    (folder / "tiles.bed").write_text("".join(rows))
    return folder / "tiles.bed"


def _binned(length: int, span: int, bin: int, **more: Any) -> Callable[[Path, Path], Path]:
    def make(genome: Path, folder: Path) -> Path:
        tracks = WINDOWS / "targets.tsv"
        regions = _tiles(folder, length)
        return _regions(genome, folder, regions=regions, target_length=span, tracks=tracks, bin=bin, **more)

    return make


STORES: dict[str, Callable[[Path, Path], Path]] = {
    "ctcf": _peaks,
    "calderon-shallow": _matrix,
    "calderon-deep": _matrix,
    "profile": _binned(4096, 2048, 32),
    "bpnet": _binned(2114, 1000, 1, reduce="sum"),
    "borzoi-mini": _binned(16384, 12288, 32),
    "perturbation_cnn": _simulation,
    "perturbation_values": lambda genome, folder: _simulation(genome, folder, labels="synergistic"),
    "dna-rna": lambda genome, folder: two_inputs(folder / "genes", genes=60),
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_trains(path: Path, genome: Path, tmp_path: Path) -> None:
    """Loss and gradient are finite (else the training ends with another error), and steps are taken."""
    values = tomllib.loads(path.read_text())
    values["train"]["batch_size"] = 4
    values |= {"store": STORES[path.stem](genome, tmp_path), "out": tmp_path / "model", "max_steps": 2, "device": "cpu"}
    options = TrainOptions.model_validate(values)
    with pytest.raises(Stopped, match="checkpoint written at step 2"):
        train(options)
