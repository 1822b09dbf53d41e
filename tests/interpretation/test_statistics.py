"""Statistics of attributions against plain float64 numpy, and the same bytes however the work is cut."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from bodies.seqlet_runs import damaged_copy, write_attributions, write_done
from support import drg, drg_json, error_line

from drg_hpc.errors import CorruptError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.interpretation import statistics as s
from drg_hpc.interpretation.statistics_config import StatsOptions
from drg_hpc.interpretation.statistics_files import Source, make_statistics, task_blocks
from drg_hpc.runs.launch.dask_pools import Here

ROWS, LENGTH = 461, 50  # eight blocks, the last one short


def data(rows: int, length: int, *, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """``projected`` (rows, length) with heavy tails and far from zero mean, and one-hot (rows, 4, length) with N."""
    generator = np.random.default_rng(seed)
    onehot = (generator.integers(0, 5, (rows, 1, length)) == np.arange(4)[:, None]).astype(np.int8)
    values = np.exp(2 * generator.standard_normal((rows, length))) * generator.choice([-1, 3], (rows, length))
    return (values * onehot.any(axis=1)).astype(np.float32), onehot


@pytest.fixture
def attributions(tmp_path: Path) -> Path:
    path = tmp_path / "attr.h5"
    projected, onehot = data(ROWS, LENGTH)
    write_attributions(path, projected, onehot, tracks=3, keep=True)
    return path


def made(path: Path, out: Path, **options: int | None) -> Path:
    return make_statistics(StatsOptions(files=(path,), out=out, **options), Here())


def test_numbers_are_those_of_plain_numpy(attributions: Path, tmp_path: Path) -> None:
    projected, onehot = data(ROWS, LENGTH)
    kept = np.arange(ROWS) != 3  # as write_attributions marks it
    x, sequence = projected[kept].astype(np.float64), onehot[kept]
    with h5py.File(made(attributions, tmp_path / "out.h5")) as out:
        group = out["files/00000"]
        assert (group.attrs["regions"], group.attrs["left_out"]) == (ROWS - 1, 1)
        assert group.attrs["bases"] == x.size
        assert list(group["tracks/name"].asstr()) == ["track 0", "track 1", "track 2"]
        for track in range(3):
            # the file holds float32 of the scaled values
            values = (projected * np.float32(track + 1))[kept].astype(np.float64)
            wanted = {
                "sum": values.sum(), "mean": values.mean(), "sd": values.std(),
                "minimum": values.min(), "maximum": values.max(),
                "absolute_sum": np.abs(values).sum(), "absolute_mean": np.abs(values).mean(),
                "mean_by_position": values.mean(axis=0), "absolute_mean_by_position": np.abs(values).mean(axis=0),
            }  # fmt: skip
            for name, value in wanted.items():
                np.testing.assert_allclose(group[f"tracks/{name}"][track], value, rtol=1e-12, err_msg=name)
            ordered = np.sort(np.abs(values).ravel())
            exact = ordered[np.ceil(np.array([0.5, 0.9, 0.99]) * ordered.size).astype(int) - 1]
            found = group["tracks/quantiles"][track]
            assert (found <= exact).all() and (exact < found * (1 + 1 / 32) + 2.0**-64).all()
            top = ordered[-int(ordered.size * 0.01) :].sum() / ordered.sum()
            assert group["tracks/top_share"][track] == pytest.approx(top, rel=0.01)
        counts = sequence.sum(axis=0)
        np.testing.assert_array_equal(group["base_counts"], np.vstack([counts, len(x) - counts.sum(axis=0)]))
        pairs = np.einsum("nal,nbl->ab", sequence[:, :, :-1].astype(int), sequence[:, :, 1:].astype(int))
        np.testing.assert_array_equal(group["dinucleotide_counts"], pairs)
        assert group.attrs["gc_content"] == counts[[1, 2]].sum() / counts.sum()


def test_same_bytes_whatever_the_tasks(attributions: Path, tmp_path: Path) -> None:
    whole = sha256_file(made(attributions, tmp_path / "whole.h5"))
    for rows in (1, 64, 65, 200, 256, 10_000):
        assert sha256_file(made(attributions, tmp_path / f"{rows}.h5", task_rows=rows)) == whole


@pytest.mark.slow
def test_same_bytes_whatever_the_workers(attributions: Path, tmp_path: Path) -> None:
    digests = set()
    for workers in (1, 2, 3):
        out = tmp_path / f"{workers}.h5"
        drg("drg-stats", attributions, "--workers", workers, "--task-rows", 64, "-o", out)
        digests.add(sha256_file(out))
    assert len(digests) == 1


@pytest.mark.parametrize("count", range(1, 20))
def test_the_tree_does_not_see_how_it_was_cut(count: int) -> None:
    def merge(left: str, right: str) -> str:
        return f"({left}{right})"

    leaves = [f"{i}," for i in range(count)]
    whole = s.fold(leaves, merge)
    for size in (2, 4, 8, 32):
        assert s.fold([s.fold(leaves[i : i + size], merge) for i in range(0, count, size)], merge) == whole
    assert whole.replace("(", "").replace(")", "") == "".join(leaves)


def test_spread_survives_a_large_mean() -> None:
    generator = np.random.default_rng(0)
    values = (1e6 + generator.standard_normal((640, 30))).astype(np.float32)
    sums = s.fold((s.track_block(values[i : i + 64]) for i in range(0, 640, 64)), s.merge_tracks)
    assert s.report_track(sums)["sd"] == pytest.approx(values.astype(np.float64).std(), rel=1e-9)


def test_nothing_kept_and_nothing_but_zeros() -> None:
    empty = s.report_track(s.track_block(np.zeros((0, 7), np.float32)))
    assert all(np.all(value == 0) for value in empty.values())
    zeros = s.report_track(
        s.merge_tracks(s.track_block(np.zeros((0, 7), np.float32)), s.track_block(np.zeros((2, 7), np.float32)))
    )
    assert all(np.all(value == 0) and np.isfinite(value).all() for value in zeros.values())


def test_bins_hold_what_their_edges_say() -> None:
    values = np.float32([0, 1e-30, 1e-5, -0.99, 1, 1.5, -3e7, 1e30])
    edges, bins = s.bin_edges(), s.magnitude_bins(values)
    assert (np.diff(edges) > 0).all() and len(edges) == s.BINS
    for value, index in zip(np.abs(values.astype(np.float64)), bins, strict=True):
        assert edges[index] <= value and (index == s.BINS - 1 or value < edges[index + 1])
    assert (np.diff(edges[1:]) / edges[1:-1]).max() <= 1 / 32


def test_tasks_stay_few_and_small() -> None:
    large = Source(Path("x"), [f"t{i}" for i in range(50)], 10_000_000, 2000)
    (blocks,) = task_blocks([large], None)
    assert blocks & (blocks - 1) == 0
    assert 51 * -(-large.rows // (blocks * 64)) <= 2048
    assert task_blocks([Source(Path("x"), ["t"], 100_000, 1000)], None) == [128]  # 33 MB, of which 16 are held at once


def test_the_same_again_changes_nothing_and_another_is_refused(attributions: Path, tmp_path: Path) -> None:
    out = made(attributions, tmp_path / "out.h5")
    before = out.stat()
    assert made(attributions, out, task_rows=64).stat().st_ino == before.st_ino
    with pytest.raises(UsageError, match="made from other files"):
        make_statistics(StatsOptions(files=(attributions, attributions), out=out), Here())
    note = tmp_path / "note.txt"
    note.write_text("mine")
    with pytest.raises(UsageError, match="not a file of drg-stats"):
        made(attributions, note)
    with pytest.raises(UsageError, match="not a file of drg-stats"):
        made(attributions, attributions)
    assert note.read_text() == "mine"
    assert not list(tmp_path.glob(".*"))


def test_several_files_runs_and_inspection(attributions: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    projected, onehot = data(70, 30, seed=6)
    write_attributions(run / "out.h5", projected, onehot, tracks=1, keep=False)
    write_done(run, "attr", {})
    out = tmp_path / "both.h5"
    result = drg_json("drg-stats", attributions, run, "--workers", 1, "-o", out)
    assert result["out"] == str(out)
    with h5py.File(out) as both, h5py.File(made(attributions, tmp_path / "one.h5")) as one:
        assert sorted(both["files"]) == ["00000", "00001"]
        np.testing.assert_array_equal(both["files/00000/tracks/mean"], one["files/00000/tracks/mean"])
        assert both["files/00001"].attrs["length"] == 30
    facts = drg_json("drg-inspect", out)
    assert facts["attributes"]["format"] == "drg-statistics/1"
    assert len(facts["attributes"]["inputs"]) == 2


def test_bad_files_are_named(attributions: Path, tmp_path: Path) -> None:
    damaged = damaged_copy(attributions, tmp_path / "damaged.h5", track=1)
    with pytest.raises(CorruptError, match=r"damaged\.h5"):
        made(damaged, tmp_path / "x.h5")
    for path, code in ((tmp_path / "none.h5", 3), (tmp_path, 3)):
        assert str(path) in error_line(drg("drg-stats", path, "--workers", 1, "-o", tmp_path / "x.h5", exit_code=code))
    done = drg("drg-stats", attributions, "--workers", 1, "-o", tmp_path / "no" / "x.h5", exit_code=3)
    assert "no such folder" in error_line(done)
    assert not (tmp_path / "x.h5").exists()
