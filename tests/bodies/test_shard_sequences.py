from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import PEAKS, fasta, plan, shard
from support import drg, drg_json, error_line

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.fasta import read_records
from drg_hpc.genome.onehot import encode
from drg_hpc.genome.shuffle import dinucleotide_shuffle, shuffle_keys
from drg_hpc.store import dataset_layout
from drg_hpc.store.reader import open_dataset, verify_store


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 rows a zarr row-shard, so that a few hundred rows make several."""
    monkeypatch.setattr(dataset_layout, "ROW_SHARD_LIMITS", (64, 64))


def records(count: int = 250, length: int = 30) -> dict[str, str]:
    rng = np.random.default_rng(count)
    return {f"chr{1 + i % 5}:{i}-{i + length}": "".join(rng.choice(list("ACGTacgtN"), length)) for i in range(count)}


def manifest(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "out.zarr" / "manifest.json").read_text()))


@pytest.mark.usefixtures("small_shards")
def test_same_bytes_for_any_sharding_and_order(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa", records())
    made = {
        n: shard("sequences", tmp_path / str(n), sequences=path, negatives="dinuc:2", shards=n, folds=3, fold=1)
        for n in (1, 3, 7)
    }
    assert manifest(made[1]) == manifest(made[3]) == manifest(made[7])
    assert len(list((tmp_path / "7/parts/rows").iterdir())) == 6  # 12 row-shards in at most 7 shards: 2 each
    assert (made[1] / "out.zarr/manifest.json").read_bytes() == (made[7] / "out.zarr/manifest.json").read_bytes()


def test_real_peaks(tmp_path: Path) -> None:
    """The whole set by the command, two workers; sequences, negatives and splits against the FASTA itself."""
    done = drg_json(
        "drg-shard", "sequences", PEAKS, "--negatives", "dinuc:1", "--valid", "chr8", "--test", "chr9",
        "--workers", 2, "--shards", 3, "-o", tmp_path / "run",
    )  # fmt: skip
    assert done["summary"]["rows"] == 78368 and done["summary"]["unshuffled"] == 0
    store = open_dataset(tmp_path / "run")
    assert store.header["splits"] == {"train": 71770, "valid": 3372, "test": 3226, "excluded": 0}
    truth = list(read_records(PEAKS))
    for row in (0, 1, 16384, 39183):
        np.testing.assert_array_equal(store.codes(row, row + 1)[0], encode(truth[row].sequence))
        negative = row + 39184
        want = dinucleotide_shuffle(store.codes(row, row + 1), shuffle_keys(0, [negative], 0))
        np.testing.assert_array_equal(store.codes(negative, negative + 1), want)
        assert store.regions.iloc[negative]["name"] == f"{truth[row].name}_dinuc0"
        assert store.regions.iloc[negative]["split"] == store.regions.iloc[row]["split"]
    np.testing.assert_array_equal(store.targets([0, 39183, 39184])[:, 0], [1, 1, 0])
    assert set(store.regions.iloc[store.split_rows("test")]["chrom"]) == {"chr9"}
    assert verify_store(tmp_path / "run") > 50


def test_seed_changes_negatives_only(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa", records(60))
    a, b = (
        open_dataset(shard("sequences", tmp_path / s, sequences=path, negatives="dinuc:1", seed=int(s))) for s in "01"
    )
    np.testing.assert_array_equal(a.codes(0, 60), b.codes(0, 60))
    assert (a.codes(60, 120) != b.codes(60, 120)).any(axis=1).mean() > 0.9


def test_low_diversity_is_counted(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa", {"a": "A" * 20, "b": "ACACACGTTGCATGACCATG", "c": "N" * 20})
    shard("sequences", tmp_path / "run", sequences=path, negatives="dinuc:2")
    summary = json.loads((tmp_path / "run/done.json").read_text())["summary"]
    assert summary["unshuffled"] == 4 and summary["unknown_bases"] == 60


@pytest.mark.usefixtures("small_shards")
def test_counts_by_name(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa", records(100))
    names = list(records(100))
    (tmp_path / "b.csv").write_text("#n,t2\n" + "".join(f"{n},{i}\n" for i, n in enumerate(names)) + "other,5\n")
    np.savez(
        tmp_path / "a.npz", counts=np.arange(200.0).reshape(100, 2)[::-1], names=names[::-1], celltypes=["t0", "t1"]
    )
    run = shard("sequences", tmp_path / "run", sequences=path, counts=[tmp_path / "a.npz", tmp_path / "b.csv"])
    store = open_dataset(run)
    want = np.column_stack([np.arange(200.0).reshape(100, 2), np.arange(100)])
    np.testing.assert_array_equal(store.targets(slice(None)), want)
    assert store.tracks == ["t0", "t1", "t2"] and [t["group"] for t in store.header["track_info"]] == ["a", "a", "b"]
    assert store.header["splits"]["train"] == 100


def test_binned_counts(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    np.savez(tmp_path / "m.npz", counts=values, names=["a", "b"])
    path = fasta(tmp_path / "x.fa", {"b": "ACGT", "a": "ACGT"})
    store = open_dataset(
        shard("sequences", tmp_path / "r", sequences=path, counts=[tmp_path / "m.npz"], negatives="dinuc:1")
    )
    assert store.bins == 4
    np.testing.assert_array_equal(store.targets(slice(None)), np.concatenate([values[::-1], 0 * values]))


def test_lengths(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa", {"chr1:10-16": "ACGTAC", "chr1:10-14": "ACGT", "chr1:10-16(-)": "ACGTAC"})
    with pytest.raises(InputError, match="2 lengths, from 4 to 6; choose one with --length, such as --length 6"):
        plan("sequences", tmp_path / "r", sequences=path, negatives="dinuc:1")
    store = open_dataset(shard("sequences", tmp_path / "r", sequences=path, negatives="dinuc:1", length=5))
    assert store.codes(0, 2).tolist() == [[1, 2, 3, 0, 1], [0, 1, 2, 3, 4]]
    assert store.regions[["start", "end", "strand"]].iloc[:3].to_numpy().tolist() == [
        [11, 16, "+"], [10, 15, "+"], [10, 15, "-"],
    ]  # fmt: skip


def test_npz_and_fasta_give_the_same_rows(tmp_path: Path) -> None:
    rows = records(20)
    onehot = np.eye(5, 4, dtype=np.int8)[np.stack([encode(s.encode()) for s in rows.values()])]
    np.savez(tmp_path / "x.npz", seqfeatures=onehot, genenames=list(rows), featurenames=list("ACGT"))
    a = open_dataset(shard("sequences", tmp_path / "a", sequences=tmp_path / "x.npz", negatives="dinuc:1"))
    b = open_dataset(shard("sequences", tmp_path / "b", sequences=fasta(tmp_path / "x.fa", rows), negatives="dinuc:1"))
    np.testing.assert_array_equal(a.codes(0, 40), b.codes(0, 40))
    assert a.regions.equals(b.regions)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, UsageError, "no labels"),
        ({"negatives": "dinuc:0"}, UsageError, "the form is dinuc:R"),
        ({"negatives": "gc:1"}, UsageError, "--negatives gc needs a genome"),
        (
            {"negatives": "dinuc:1", "test": "chr99"},
            InputError,
            r"the test split \(chr99\) has no rows; contigs of the rows",
        ),
        ({"negatives": "dinuc:1", "valid": "chr1", "folds": 3}, UsageError, "exclude each other"),
        ({"negatives": "dinuc:1", "folds": 3}, UsageError, "needs --fold"),
        ({"negatives": "dinuc:1", "folds": 3, "fold": 3}, UsageError, "folds are 0 to 2"),
        ({"negatives": "dinuc:1", "fold": 3}, UsageError, "--fold 3 needs"),
        ({"negatives": "dinuc:1", "shards": 2, "shard_size": 5}, UsageError, "exclude each other"),
    ],
)
def test_refusals(tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str) -> None:
    path = fasta(tmp_path / "x.fa", records(20))
    with pytest.raises(error, match=message):
        plan("sequences", tmp_path / "r", sequences=path, **options)


def test_label_faults(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa", {"a": "ACGT", "b": "ACGT"})
    (tmp_path / "m.tsv").write_text("n\tt\na\t1\nb\tnan\n")
    with pytest.raises(InputError, match="row 'b', column 't'"):
        plan("sequences", tmp_path / "r", sequences=path, counts=[tmp_path / "m.tsv"])
    (tmp_path / "m.tsv").write_text("n\tt\na\t1\nc\t2\n")
    notes = plan("sequences", tmp_path / "r", sequences=path, counts=[tmp_path / "m.tsv"]).notes
    assert any("1 rows have no labels in" in note and "such as b" in note for note in notes)
    (tmp_path / "m.tsv").write_text("n\tt\nd\t1\nc\t2\n")
    with pytest.raises(InputError, match="no labels for 2 of 2 rows: a, b; its names look like d, c"):
        plan("sequences", tmp_path / "r", sequences=path, counts=[tmp_path / "m.tsv"])
    (tmp_path / "k.tsv").write_text("n\tt\na\t1\nb\t2\n")
    with pytest.raises(UsageError, match="two modalities are called 'k'"):
        plan("sequences", tmp_path / "r", sequences=path, counts=[tmp_path / "k.tsv", tmp_path / "k.tsv"])


def test_bad_input_leaves_nothing_behind(tmp_path: Path) -> None:
    cut = tmp_path / "cut.fa.gz"
    cut.write_bytes(PEAKS.read_bytes()[:100_000])
    done = drg("drg-shard", "sequences", cut, "--negatives", "dinuc:1", "-o", tmp_path / "run", exit_code=3)
    assert "truncated gzip file" in error_line(done)
    assert not (tmp_path / "run").exists()


def test_input_changed_since_the_plan(tmp_path: Path) -> None:
    path = fasta(tmp_path / "x.fa", records(20))
    drg("drg-shard", "sequences", path, "--negatives", "dinuc:1", "-o", tmp_path / "run", "--plan-only")
    fasta(path, records(21))
    assert "changed since the run was planned" in error_line(drg("drg-work", tmp_path / "run", exit_code=3))


def test_split_file_is_an_input(tmp_path: Path) -> None:
    path, split = fasta(tmp_path / "x.fa", records(20)), tmp_path / "s.tsv"
    split.write_text("chr1\ttest\nchr2\tvalid\nchr3\ttrain\n")
    run = shard("sequences", tmp_path / "run", sequences=path, negatives="dinuc:1", split_file=split)
    store = open_dataset(run)
    assert store.header["splits"] == {"train": 8, "valid": 8, "test": 8, "excluded": 16}
    assert "split_file" in store.header["sources"]
