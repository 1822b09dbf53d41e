"""What xarray, and zarr-python alone, see of our stores: labelled dimensions and the same values."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from stores import TINY, fasta, shard
from support import environment

from drg_hpc.store.reader import DatasetStore, GenomeStore, open_dataset, open_store


@pytest.fixture(autouse=True)
def plain_warnings() -> Iterator[None]:
    """packbits is not in the zarr v3 specification; stores are not consolidated; a manifest is no zarr node."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xarray")
    shard("genome", folder / "genome", fasta=[TINY / "genome.fa.gz"])
    common = {"genome": folder / "genome", "regions": TINY / "accessible.bed", "tracks": TINY / "targets.tsv"}
    shard("regions", folder / "data", **common, bin=50, missing="mask")
    fasta(folder / "x.fa", {"a": "ACGTN", "b": "GGGTT"})
    (folder / "m.tsv").write_text("n\tt\tu\na\t0\t1\nb\tNA\t3\n")
    (folder / "k.tsv").write_text("n\tv\na\t7\nb\t8\n")
    counts = [f"first={folder / 'm.tsv'}", f"second={folder / 'k.tsv'}"]
    shard("sequences", folder / "two", sequences=folder / "x.fa", counts=counts, missing="mask", negatives="dinuc:1")
    return folder


def dataset(path: Path) -> DatasetStore:
    return open_dataset(path)


def test_targets_have_labelled_dimensions(made: Path) -> None:
    store = dataset(made / "data")
    found = xarray.open_zarr(made / "data/out.zarr", group="targets")
    mask = xarray.open_zarr(made / "data/out.zarr", group="targets_mask")
    assert found["main"].dims == ("row", "main_track", "main_bin") and found["main"].dtype == np.float32
    assert found["main_track"].values.tolist() == store.tracks == mask["main_track"].values.tolist()
    values = found["main"].where(mask["main"])  # zeros are values, only the mask says what is missing
    np.testing.assert_array_equal(values, store.targets(slice(None)))
    assert (store.targets(slice(None)) == 0).any()
    one = found["main"].sel(main_track="ENCFF136DBS").isel(row=3)
    np.testing.assert_array_equal(one, store.targets([3])[0, 2])
    mean = found["main"].mean(("row", "main_bin"))
    assert mean.sel(main_track="CNhs12184-").compute() == pytest.approx(store.targets(slice(None))[:, 1].mean())


def test_several_modalities(made: Path) -> None:
    found = xarray.open_zarr(made / "two/out.zarr", group="targets")
    assert found["first"].dims == ("row", "first_track") and found["second"].dims == ("row", "second_track")
    assert found["second_track"].values.tolist() == ["v"]
    np.testing.assert_array_equal(found["first"], [[0, 1], [0, 3], [0, 0], [0, 0]])
    mask = xarray.open_zarr(made / "two/out.zarr", group="targets_mask")
    np.testing.assert_array_equal(mask["first"], [[1, 1], [0, 1], [1, 1], [1, 1]])


def test_sequences_and_regions(made: Path) -> None:
    store = dataset(made / "data")
    tree = xarray.open_datatree(made / "data/out.zarr", engine="zarr")
    assert set(tree.children) == {"inputs", "regions", "targets", "targets_mask"}
    assert tree.attrs["drg"]["kind"] == "dataset"
    sequences = tree["inputs/seq"]
    assert sequences.dims == ("row", "seq_position", "base") and sequences.dtype == bool
    assert sequences["base"].values.tolist() == list("ACGT")
    np.testing.assert_array_equal(sequences, store.onehot(0, store.rows))
    share = (sequences.sel(base="C") | sequences.sel(base="G")).mean("seq_position")
    np.testing.assert_allclose(share, store.onehot(0, store.rows)[:, :, 1:3].any(axis=2).mean(axis=1))
    regions = tree["regions"].to_dataset().to_dataframe()
    for name in store.regions.columns:
        assert regions[name].tolist() == store.regions[name].tolist(), name
    joined = xarray.merge([tree["regions"].to_dataset(), tree["targets"].to_dataset()], join="exact")
    assert joined.sizes["row"] == store.rows


def test_genomes(made: Path) -> None:
    genome = open_store(made / "genome")
    assert isinstance(genome, GenomeStore)
    found = xarray.open_zarr(made / "genome/out.zarr", group="contigs")
    assert set(found.data_vars) == set(genome.contigs) and found["base"].values.tolist() == list("ACGT")
    assert found["w01"].dims == ("w01_position", "base")
    window = found["w01"].isel(w01_position=slice(70_000, 70_300))
    np.testing.assert_array_equal(window, genome.onehot("w01", 70_000, 70_300))
    assert xarray.open_datatree(made / "genome/out.zarr", engine="zarr").attrs["drg"]["kind"] == "genome"


def test_zarr_alone(made: Path) -> None:
    """In a process that has never seen this package."""
    code = f"""
import sys, warnings, zarr
warnings.simplefilter("ignore")
data = zarr.open_group({str(made / "data/out.zarr")!r}, mode="r")
targets = data["targets/main"]
print(targets.metadata.dimension_names, list(data["targets/main_track"][:]), data["inputs/base"][:].tolist())
print(float(targets[:].sum()), int(data["inputs/seq"][5].sum()), data["regions/name"][5])
genome = zarr.open_group({str(made / "genome/out.zarr")!r}, mode="r")
print(sorted(genome["contigs"]), int(genome["contigs/w03"][1000:2000].sum()), "drg_hpc" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    store, genome = dataset(made / "data"), open_store(made / "genome")
    assert isinstance(genome, GenomeStore)
    total = float(zarr.open_array(made / "data/out.zarr/targets/main", mode="r")[:].sum())
    assert done.stdout.splitlines() == [
        f"('row', 'main_track', 'main_bin') {store.tracks} ['A', 'C', 'G', 'T']",
        f"{total} {int(store.onehot(5, 6).sum())} {store.regions['name'][5]}",
        f"['base', 'w00', 'w01', 'w02', 'w03'] {int(genome.onehot('w03', 1000, 2000).sum())} False",
    ]
