"""Layout, reading, damage, and what zarr alone sees."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from stores import fasta, shard
from support import environment

from drg_hpc.errors import CorruptError, InputError
from drg_hpc.store import dataset_layout, genome_layout
from drg_hpc.store.header import read_header, require_kind, split_count
from drg_hpc.store.reader import DatasetStore, GenomeStore, open_dataset, open_store, verify_store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 3 zarr row-shards, and a genome."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    names = [f"chr{1 + i % 3}:{i * 10}-{i * 10 + 20}" for i in range(150)]
    records = {name: "".join(rng.choice(list("ACGTacgtN"), 20)) for name in names}
    fasta(folder / "x.fa", records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_layout, "ROW_SHARD_LIMITS", (64, 64))
        shard("sequences", folder / "data", sequences=folder / "x.fa", negatives="dinuc:1", valid="chr2", test="chr3")
    shard("genome", folder / "genome", fasta=[folder / "x.fa"])
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made / "data" / "out.zarr", tmp_path / "out.zarr"))


@given(st.integers(0, 1 << 40))
def test_row_geometry(size: int) -> None:
    shard_rows, chunk = dataset_layout.row_geometry(size)
    assert 8 <= chunk <= 1024 and chunk <= shard_rows <= 16384
    assert shard_rows % chunk == 0 and shard_rows & (shard_rows - 1) == 0
    assert shard_rows * size <= dataset_layout.ROW_SHARD_BYTES or shard_rows == 8


@given(st.integers(1, 1 << 30))
def test_contig_geometry(length: int) -> None:
    chunk, bases = genome_layout.contig_geometry(length)
    assert bases % chunk == 0 and chunk <= genome_layout.GENOME_CHUNK and bases <= genome_layout.GENOME_SHARD
    if length >= genome_layout.GENOME_SHARD:
        assert (chunk, bases) == (1 << 18, 1 << 22)
    else:
        assert bases >= length


def test_dataset_is_read_as_written(made: Path) -> None:
    store = open_store(made / "data")
    assert isinstance(store, DatasetStore)
    assert (store.rows, store.length, store.tracks, store.bins) == (300, 20, ["bound"], 0)
    rows = np.array([299, 3, 150, 3, 64])
    codes = store.codes(0, 300)
    np.testing.assert_array_equal(store.sequences(rows).argmax(axis=1) * (codes[rows] < 4), codes[rows] % 4)
    assert store.sequences(rows).shape == (5, 4, 20) and store.sequences(rows).dtype == np.float32
    np.testing.assert_array_equal(store.targets(rows)[:, 0], [0, 1, 0, 1, 1])
    np.testing.assert_array_equal(store.targets(slice(149, 151))[:, 0], [1, 0])
    np.testing.assert_array_equal(store.onehot(5, 9), store.onehot(0, 300)[5:9])
    assert store.regions.iloc[0].tolist() == ["chr1", 0, 20, "chr1:0-20", "+", "train", -1, True, "", "given", 0]
    assert store.regions.iloc[151]["name"] == "chr2:10-30_dinuc0"
    assert store.regions.iloc[151][["origin", "parent"]].tolist() == ["dinuc", 1]
    for split in ("train", "valid", "test"):
        assert len(store.split_rows(split)) == split_count(store.header, split) == 100
        assert (store.regions.iloc[store.split_rows(split)]["split"] == split).all()
    assert len(store.split_rows("all")) == 300
    assert store.targets([]).shape == (0, 1)
    with pytest.raises(InputError, match="row 300 of a store of 300 rows"):
        store.targets([300])
    with pytest.raises(InputError, match="no split 'tst'"):
        store.split_rows("tst")


def test_zarr_alone_reads_one_hot(made: Path) -> None:
    code = (
        "import zarr, sys, warnings; warnings.simplefilter('ignore'); "
        f"g = zarr.open_group({str(made / 'data' / 'out.zarr')!r}, mode='r'); a = g['inputs/seq']; "
        "print(a.shape, a.dtype, int(a[:].sum()), g['regions/name'][299], 'drg_hpc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    expected = int(open_dataset(made / "data").onehot(0, 300).sum())
    assert done.stdout.split("\n")[0] == f"(300, 20, 4) bool {expected} chr3:1490-1510_dinuc0 False"


def test_genome_windows(made: Path) -> None:
    store = open_store(made / "genome")
    assert isinstance(store, GenomeStore)
    contig = "chr1:0-20"
    assert store.contigs[contig] == 20
    whole = store.codes(contig, 0, 20)
    np.testing.assert_array_equal(store.codes(contig, -3, 25), [4] * 3 + whole.tolist() + [4] * 5)
    assert store.onehot(contig, 18, 22).shape == (4, 4) and not store.onehot(contig, 18, 22)[2:].any()
    for start, end in ((20, 25), (-5, 0), (3, 3)):
        with pytest.raises(InputError, match="outside the contig"):
            store.codes(contig, start, end)
    with pytest.raises(InputError, match="no contig 'chrU'"):
        store.codes("chrU", 0, 1)


def test_kinds_and_foreign_folders(made: Path, tmp_path: Path) -> None:
    assert require_kind(made / "genome", "genome")["kind"] == "genome"
    with pytest.raises(InputError, match="is a genome store, a dataset store is needed"):
        require_kind(made / "genome", "dataset")
    with pytest.raises(InputError, match="a dataset store is needed"):
        open_dataset(made / "genome")
    with pytest.raises(InputError, match="no such file or folder"):
        open_store(tmp_path / "absent")
    with pytest.raises(InputError, match="not a store"):
        open_store(tmp_path)
    zarr.open_group(tmp_path / "foreign", mode="w")
    with pytest.raises(InputError, match="not made by drg-shard"):
        read_header(tmp_path / "foreign")


def test_other_format_is_refused(store: Path) -> None:
    root = json.loads((store / "zarr.json").read_text())
    root["attributes"]["drg"]["format"] = "drg-store/9"
    (store / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(InputError, match="store format 'drg-store/9'"):
        read_header(store)


def test_missing_file_is_named(store: Path) -> None:
    (store / "inputs/seq/c/1/0/0").unlink()
    with pytest.raises(CorruptError, match=r"store file is missing: .*inputs/seq/c/1/0/0"):
        open_store(store)


def test_truncated_file_is_named(store: Path) -> None:
    path = store / "targets/main/c/2/0"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CorruptError, match=r"targets/main/c/2/0 has \d+ bytes, not"):
        open_store(store)


@pytest.mark.parametrize("name", ["inputs/seq/c/1/0/0", "targets/main/c/1/0", "regions/name/c/1"])
def test_flipped_bits_raise_on_read_and_are_named(store: Path, name: str) -> None:
    path = store / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 4] ^= 0x10
    path.write_bytes(raw)
    with pytest.raises(CorruptError, match=f"{name} does not match its sha256"):
        verify_store(store)
    opened = open_dataset(store)  # sizes are right
    opened.codes(0, 64)  # other files are readable
    with pytest.raises(CorruptError, match=f"{name} does not match its sha256"):
        _ = (opened.regions, opened.targets([70]), opened.codes(64, 128))


def test_every_flipped_byte_of_a_chunk_is_noticed(made: Path, tmp_path: Path) -> None:
    """No flip may read as data: checksums cover chunk and index."""
    source = made / "data" / "out.zarr"
    name = "inputs/seq/c/2/0/0"
    truth = open_dataset(source).codes(128, 192)
    target = Path(shutil.copytree(source, tmp_path / "out.zarr"))
    raw = (source / name).read_bytes()
    for position in range(0, len(raw), max(len(raw) // 40, 1)):
        damaged = bytearray(raw)
        damaged[position] ^= 0x01
        (target / name).write_bytes(damaged)
        try:
            read = open_dataset(target).codes(128, 192)
        except CorruptError:
            continue
        np.testing.assert_array_equal(read, truth)  # a bit that does not matter, such as zstd's unused flags


@pytest.mark.parametrize("content", [None, "", "{", '{"files": 3}'])
def test_store_cut_off_before_its_manifest(store: Path, content: str | None) -> None:
    (store / "manifest.json").unlink()
    if content is not None:
        (store / "manifest.json").write_text(content)
    with pytest.raises(CorruptError, match=r"manifest"):
        open_store(store)


def test_lost_or_damaged_root(store: Path) -> None:
    (store / "zarr.json").write_text('{"attributes": ')
    with pytest.raises(CorruptError, match=r"damaged .*zarr.json"):
        read_header(store)
    (store / "zarr.json").unlink()
    with pytest.raises(CorruptError, match="has lost its zarr"):
        read_header(store)


def test_verify_counts_files(made: Path) -> None:
    assert verify_store(made / "data") == len(json.loads((made / "data/out.zarr/manifest.json").read_text())["files"])


def test_blosc_store_has_the_same_bases_and_checksums(made: Path, tmp_path: Path) -> None:
    shard("genome", tmp_path / "g", fasta=[made / "x.fa"], codec="blosc", contigs="chr1:*")
    blosc, packed = open_store(tmp_path / "g"), open_store(made / "genome")
    assert isinstance(blosc, GenomeStore) and isinstance(packed, GenomeStore)
    for contig in blosc.contigs:
        np.testing.assert_array_equal(blosc.codes(contig, 0, 20), packed.codes(contig, 0, 20))
    text = (tmp_path / "g/out.zarr" / blosc.header["contigs"][0]["array"] / "zarr.json").read_text()
    assert "numcodecs" not in text and "crc32c" in text


LIGHT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"numpy", "zarr", "pandas", "numba", "h5py", "torch", "pyBigWig", "pyfaidx"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from drg_hpc.store import header, layout, manifest
from drg_hpc.genome import assemblies, bed, contigs, counts, fasta, npz, regions, splits, targets
from drg_hpc.bodies import datasets, shard_genome_plan, shard_regions_plan, shard_sequences_plan, split_options
print(header.read_header(sys.argv[1])["rows"])
"""


def test_light_modules_import_nothing_heavy(made: Path) -> None:
    command = [sys.executable, "-c", LIGHT, str(made / "data")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.stdout.strip() == "300", done.stderr
