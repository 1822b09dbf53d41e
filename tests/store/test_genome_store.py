"""Genome stores: where contigs lie, what windows hold, and damage that is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sequence_files import write
from stores import shard

from drg_hpc.errors import CorruptError
from drg_hpc.genome.onehot import encode
from drg_hpc.store import genome_layout, genome_reader
from drg_hpc.store.genome_layout import contig_geometry, genome_arrays, genome_units, pieces_of, place_contigs
from drg_hpc.store.reader import GenomeStore, open_store, verify_store

RNG = np.random.default_rng(0)
GENOME = {f"c{i}": "".join(RNG.choice(list("ACGTN"), size)) for i, size in enumerate((5000, 700, 1, 1024, 2049, 30))}


@pytest.fixture(scope="module", params=["own", "packed", "blosc"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A genome in arrays of its own, or most of it packed."""
    folder = tmp_path_factory.mktemp("genome")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(genome_layout, "GENOME_CHUNK", 256)
        patch.setattr(genome_layout, "GENOME_SHARD", 1024)
        patch.setattr(genome_layout, "MANY_CONTIGS", 3 if request.param == "packed" else 99)
        codec = "blosc" if request.param == "blosc" else "packbits"
        shard("genome", folder / "run", fasta=[write(folder / "x.fa", GENOME, "plain")], codec=codec)
        return folder / "run" / "out.zarr"


def opened(path: Path) -> GenomeStore:
    store = open_store(path)
    assert isinstance(store, GenomeStore)
    return store


def truth(name: str, start: int, end: int) -> NDArray[np.uint8]:
    padded = "N" * 3000 + GENOME[name] + "N" * 9000
    return encode(padded[3000 + start : 3000 + end].encode())


@settings(max_examples=40, deadline=None)
@given(
    windows=st.lists(st.tuples(st.sampled_from([*GENOME]), st.floats(0, 1), st.integers(1, 3000)), max_size=12),
    kept=st.integers(1, 4),
)
def test_any_window(made: Path, windows: list[tuple[str, float, int]], kept: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (genome_layout, genome_reader):
            patch.setattr(module, "GENOME_CHUNK", 256)
        patch.setattr(genome_layout, "GENOME_SHARD", 1024)
        patch.setattr(genome_reader, "_CACHED_BLOCKS", kept)
        store = opened(made)
        for name, where, size in windows:
            start = int(where * (len(GENOME[name]) + size - 2)) - size + 1
            np.testing.assert_array_equal(store.codes(name, start, start + size), truth(name, start, start + size))
            onehot = store.onehot(name, start, start + size)
            np.testing.assert_array_equal(onehot, truth(name, start, start + size)[:, None] == np.arange(4))


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_damage_is_named_and_never_read(
    made: Path, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (genome_layout, genome_reader):
        monkeypatch.setattr(module, "GENOME_CHUNK", 256)
    monkeypatch.setattr(genome_layout, "GENOME_SHARD", 1024)
    store = Path(shutil.copytree(made, tmp_path / "out.zarr"))
    names = ["contigs/c0/c/1/0", "contigs/c0/c/4/0", "contigs/c4/c/0/0"]
    for name in names:
        raw = bytearray((store / name).read_bytes())
        raw[len(raw) // 3] ^= 4
        (store / name).write_bytes(raw[: -9 if damage == "cut" else None])
        if damage == "delete":
            (store / name).unlink()
    with pytest.raises(CorruptError) as error:
        verify_store(store)
    assert all(str(store / name) in str(error.value) for name in names)
    if damage == "flip":  # sizes are right: found when it is read
        whole = opened(store)
        np.testing.assert_array_equal(whole.codes("c0", 0, 1024), truth("c0", 0, 1024))
        with pytest.raises(CorruptError, match=r"contigs/c0/c/1/0 does not match its sha256"):
            whole.codes("c0", 1000, 2000)
    else:
        with pytest.raises(CorruptError, match=r"c/1/0.*c/4/0.*c4/c/0/0"):
            opened(store)


LENGTHS = st.lists(st.integers(1, 5000), min_size=1, max_size=30)


@settings(max_examples=80, deadline=None)
@given(first=LENGTHS, second=LENGTHS, many=st.integers(0, 20))
def test_every_base_lies_in_one_place(first: list[int], second: list[int], many: int) -> None:
    """Over a genome and what is appended to it: no two contigs share a position, no zarr shard has a gap."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(genome_layout, "GENOME_CHUNK", 256)
        patch.setattr(genome_layout, "GENOME_SHARD", 1024)
        patch.setattr(genome_layout, "MANY_CONTIGS", many)
        contigs: list[dict[str, object]] = []
        for lengths in (first, second):
            named = [(f"c{len(contigs) + i}", length) for i, length in enumerate(lengths)]
            placed = place_contigs(named, after=contigs)
            contigs += [{"name": n, "length": x, **p} for (n, x), p in zip(named, placed, strict=True)]
        header = {"contigs": contigs, "codec": "packbits"}
        seen = {spec.path: np.zeros(spec.shape[0], int) for spec in genome_arrays(header)}
        shards = {spec.path: spec.shard for spec in genome_arrays(header)}
        for array, index, piece in pieces_of(header):
            assert piece.at >= 0 and piece.at + piece.stop - piece.start <= shards[array]
            seen[array][index * shards[array] + piece.at :][: piece.stop - piece.start] += 1
        assert all((count == 1).all() for count in seen.values())
        new = {spec.path for spec, _ in genome_units(header, skip=len(first))}
        assert new == {contig["array"] for contig in contigs[len(first) :]}
        assert not new & {contig["array"] for contig in contigs[: len(first)]}
        assert len({spec.dims[0] for spec in genome_arrays(header)}) == len(seen)
        if len(first) > many:
            assert (
                sum(spec.shape[0] < 1024 for spec in genome_arrays({**header, "contigs": contigs[: len(first)]})) <= 1
            )


@given(st.integers(1, 1 << 30))
def test_geometry(length: int) -> None:
    chunk, bases = contig_geometry(length)
    assert bases % chunk == 0 and chunk <= genome_layout.GENOME_CHUNK and bases <= genome_layout.GENOME_SHARD
    assert bases >= min(length, genome_layout.GENOME_SHARD)
