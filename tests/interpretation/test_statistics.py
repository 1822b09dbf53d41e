"""Statistics of attributions against plain float64 numpy, and the same bytes however the work is cut."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from bodies.seqlet_runs import damaged_copy, do_run, write_attributions, write_done
from support import drg, drg_json, error_line, here

from drg_hpc.bodies.seqlets_plan import Options as SeqletOptions
from drg_hpc.errors import CorruptError, DiskFullError, InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.interpretation import statistics as s
from drg_hpc.interpretation.statistics_config import StatsOptions
from drg_hpc.interpretation.statistics_files import make_statistics
from drg_hpc.interpretation.statistics_plan import Source, task_blocks
from drg_hpc.results import h5
from drg_hpc.results.seqlets import read_seqlets
from drg_hpc.runs.here import Here

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
    assert -(-large.rows // (blocks * 64)) <= 2048
    assert task_blocks([Source(Path("x"), ["t"], 100_000, 1000)], None) == [128]  # 33 MB, of which 16 are held at once


def test_the_same_again_changes_nothing_and_another_is_refused(attributions: Path, tmp_path: Path) -> None:
    out = made(attributions, tmp_path / "out.h5")
    before = out.stat()
    assert made(attributions, out, task_rows=64).stat().st_ino == before.st_ino
    with pytest.raises(UsageError, match="made from other files or with other flags"):
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
    assert not (tmp_path / "x.h5").exists()


def test_bad_places_are_refused_before_anything_starts(
    attributions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def never(*_: object) -> None:
        raise AssertionError("workers were started")

    monkeypatch.setattr("drg_hpc.cli.stats.connect", never)
    (tmp_path / "file").touch()
    for out, code, told in (
        (tmp_path, 2, "is a folder"), (tmp_path / "no" / "x.h5", 3, "no such folder"),
        (tmp_path / "file" / "x.h5", 3, "no such folder"), (Path("/proc/x.h5"), 3, "cannot make /proc/x.h5"),
        (tmp_path / ("m" * 250), 3, "cannot make"),
    ):  # fmt: skip
        assert told in error_line(here("drg-stats", attributions, "-o", out, exit_code=code))
    assert "AssertionError" in error_line(here("drg-stats", attributions, "-o", tmp_path / "x.h5", exit_code=1))


def test_full_disk(attributions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "private")

    monkeypatch.setattr(h5, "write_new", full)
    with pytest.raises(DiskFullError, match=r"out of space while writing .*/x\.h5: ") as caught:
        made(attributions, tmp_path / "x.h5")
    assert "parts" not in str(caught.value) and [path.name for path in tmp_path.iterdir()] == ["attr.h5"]


@pytest.mark.parametrize("command", ["stats", "motifs"])
def test_after_a_stop_it_starts_again(
    command: str, attributions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def stopped(_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(f"drg_hpc.cli.{command}.connect", stopped)
    flags = [attributions, "-o", tmp_path / "x", "--workers", 1]
    told = error_line(here(f"drg-{command}", *flags, exit_code=143))
    assert "stopped by SIGTERM; nothing was written; the same command starts from the beginning" in told


def correlated(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel().astype(np.float64), b.ravel().astype(np.float64))[0, 1])


def test_distance_to_the_summit(attributions: Path, tmp_path: Path) -> None:
    projected, _ = data(ROWS, LENGTH)
    summits = np.random.default_rng(2).integers(-1, LENGTH, ROWS)
    with h5py.File(attributions, "r+") as handle:
        handle["regions/summit"] = summits
    places = np.where(summits < 0, LENGTH // 2, summits)
    sums, counts = np.zeros(2 * LENGTH - 1), np.zeros(2 * LENGTH - 1, int)
    for row in range(ROWS):
        for j in range(LENGTH) if row != 3 else ():
            sums[j - places[row] + LENGTH - 1] += abs(float(projected[row, j]))
            counts[j - places[row] + LENGTH - 1] += 1
    with h5py.File(made(attributions, tmp_path / "out.h5", task_rows=64)) as out:
        group = out["files/00000"]
        np.testing.assert_array_equal(group["distance"], np.arange(-LENGTH + 1, LENGTH))
        np.testing.assert_array_equal(group["distance_counts"], counts)
        found = group["tracks/absolute_mean_by_distance"][0]
        np.testing.assert_allclose(found, sums / np.maximum(counts, 1), rtol=1e-12)


def test_without_summits_distances_count_from_the_centre(attributions: Path, tmp_path: Path) -> None:
    with h5py.File(made(attributions, tmp_path / "out.h5")) as out:
        group = out["files/00000"]
        inside = np.abs(group["distance"][()] + 0.5) < LENGTH / 2
        np.testing.assert_array_equal(group["distance_counts"][()] > 0, inside)
        by_distance = group["tracks/absolute_mean_by_distance"][:, inside]
        np.testing.assert_allclose(by_distance, group["tracks/absolute_mean_by_position"][()], rtol=1e-12)


def test_kmers_by_weight(attributions: Path, tmp_path: Path) -> None:
    projected, onehot = data(ROWS, LENGTH)
    weights: dict[str, float] = {}
    counts: dict[str, int] = {}
    for row in range(ROWS):
        text = "".join("ACGT"[c.argmax()] if c.any() else "N" for c in onehot[row].T)
        for j in range(LENGTH - 2) if row != 3 else ():
            word = text[j : j + 3]
            if "N" not in word:
                counts[word] = counts.get(word, 0) + 1
                weights[word] = weights.get(word, 0.0) + float(np.abs(projected[row, j : j + 3].astype(float)).sum())
    wanted = sorted(weights, key=lambda word: (-weights[word], word))[:5]
    with h5py.File(made(attributions, tmp_path / "out.h5", kmer=3, top_kmers=5, task_rows=64)) as out:
        table = out["files/00000/kmers"]
        assert table["track"][()].tolist() == [0] * 5 + [1] * 5 + [2] * 5
        assert list(table["kmer"].asstr()[:5]) == wanted == list(table["kmer"].asstr()[10:])
        np.testing.assert_allclose(table["weight"][:5], [weights[word] for word in wanted], rtol=1e-12)
        np.testing.assert_array_equal(table["count"][:5], [counts[word] for word in wanted])
    with h5py.File(made(attributions, tmp_path / "none.h5", kmer=0)) as out:
        assert "kmers" not in out["files/00000"]


@pytest.fixture
def three(tmp_path: Path) -> tuple[list[Path], list[np.ndarray]]:
    """Two files with the same rows, and one with others; their values that are kept, one a file (tracks are scaled)."""
    paths, values = [], []
    first, onehot = data(ROWS, LENGTH)
    second = first + data(ROWS, LENGTH, seed=9)[0]
    for name, projected, more in (("a", first, {}), ("b", second, {}), ("c", first, {"chrom": "chr8"})):
        paths.append(tmp_path / f"{name}.h5")
        write_attributions(paths[-1], projected, onehot, tracks=2, keep=False, **more)
        values.append(projected[np.arange(ROWS) != 3])
    return paths, values


def test_correlations_of_tracks_and_files(
    three: tuple[list[Path], list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, values = three
    digests = set()
    for panel_bytes in (1 << 27, 3 * 8 * 64 * LENGTH, 1):  # all tracks at once, three, one by one
        monkeypatch.setattr("drg_hpc.interpretation.statistics_plan._PANEL_BYTES", panel_bytes)
        for rows in (64, 10_000):
            out = make_statistics(
                StatsOptions(files=tuple(paths), out=tmp_path / f"{panel_bytes}-{rows}.h5", task_rows=rows), Here()
            )
            with h5py.File(out) as found:
                assert list(found["correlations"]) == ["00000"]
                group = found["correlations/00000"]
                assert group["file"][()].tolist() == [0, 0, 1, 1]
                assert list(group["track"].asstr()) == ["track 0", "track 1"] * 2
                r = correlated(values[0], values[1])
                wanted = np.array([[1, 1, r, r], [1, 1, r, r], [r, r, 1, 1], [r, r, 1, 1]])
                np.testing.assert_allclose(group["values"], wanted, atol=1e-9)
                np.testing.assert_allclose(found["files/00002/tracks/correlation"], np.ones((2, 2)), atol=1e-9)
            digests.add((panel_bytes, sha256_file(out)))
    assert len(digests) == 3  # the tasks change nothing


def test_less_is_compared_when_less_is_asked_for(three: tuple[list[Path], list[np.ndarray]], tmp_path: Path) -> None:
    paths = tuple(three[0])
    for what, within in (("tracks", True), ("none", False)):
        out = make_statistics(StatsOptions(files=paths, out=tmp_path / f"{what}.h5", correlate=what), Here())
        with h5py.File(out) as found:
            assert "correlations" not in found
            assert ("correlation" in found["files/00001/tracks"]) == within


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(tmp_path: Path, wrong: float) -> None:
    projected, onehot = data(ROWS, LENGTH)
    write_attributions(tmp_path / "x.h5", projected, onehot, tracks=2, keep=True)
    with h5py.File(tmp_path / "x.h5", "r+") as found:
        found["tracks/00000/projected"][3, 7] = wrong  # is not kept
    made(tmp_path / "x.h5", tmp_path / "before.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as found:
        found["tracks/00000/projected"][200:202, 7] = wrong, -wrong
    done = drg("drg-stats", tmp_path / "x.h5", "--workers", 1, "-o", tmp_path / "out.h5", exit_code=3)
    assert f"row 200 of track 'track 0' in {tmp_path / 'x.h5'} has NaN or infinite" in error_line(done)
    assert not (tmp_path / "out.h5").exists()


def test_files_that_are_not_compared_are_named(
    three: tuple[list[Path], list[np.ndarray]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths, _ = three
    projected, onehot = data(64, LENGTH)
    write_attributions(tmp_path / "other.h5", projected, onehot, tracks=1, keep=False)
    with caplog.at_level("INFO"):
        make_statistics(StatsOptions(files=(paths[0], tmp_path / "other.h5"), out=tmp_path / "out.h5"), Here())
    assert f"not compared: other rows in {tmp_path / 'other.h5'} than in {paths[0]}" in caplog.text
    caplog.clear()
    make_statistics(StatsOptions(files=tuple(paths[:1]), out=tmp_path / "one.h5"), Here())
    assert "not compared" not in caplog.text


def test_a_constant_track_has_no_correlation(tmp_path: Path) -> None:
    _, onehot = data(70, 20)
    write_attributions(tmp_path / "x.h5", np.ones((70, 20), np.float32), onehot, tracks=2, keep=False)
    with h5py.File(made(tmp_path / "x.h5", tmp_path / "out.h5")) as out:
        assert np.isnan(out["files/00000/tracks/correlation"]).all()


def test_seqlets_by_track(attributions: Path, tmp_path: Path) -> None:
    _, summary = do_run(SeqletOptions(attributions=attributions, out=tmp_path / "seqlets", threshold=0.05))
    write_done(tmp_path / "seqlets", "seqlets", summary)
    out = tmp_path / "out.h5"
    make_statistics(StatsOptions(files=(tmp_path / "seqlets", attributions), out=out), Here())
    table = read_seqlets(tmp_path / "seqlets").table
    assert len(table) > 100
    with h5py.File(out) as found:
        assert list(found["files"]) == ["00000"]
        group = found["seqlets/00000"]
        assert list(group["track"].asstr()) == ["track 0", "track 1", "track 2"]
        for track in range(3):
            own = table[table["track"] == track]
            assert group["positive"][track] == (own["sign"] > 0).sum()
            assert group["negative"][track] == (own["sign"] < 0).sum()
            assert group["regions"][track] == own["row"].nunique()
            np.testing.assert_allclose(group["attribution"][track], own["attribution"].astype(float).sum(), rtol=1e-9)
    path = tmp_path / "seqlets" / "out.h5"
    with h5py.File(path, "r+") as found:
        found["seqlets/attribution"][5] = np.nan
        name = found.attrs["format"]
    with pytest.raises(InputError, match=r"seqlet 5 of track 'track \d' in .* has a NaN"):
        make_statistics(StatsOptions(files=(path,), out=tmp_path / "nan.h5"), Here())
    with h5py.File(path, "r+") as found:
        found.attrs["format"] = name.replace("/", "/0")
    with pytest.raises(InputError, match=r"attributions \(.*\) or seqlets \(.*\) are wanted"):
        make_statistics(StatsOptions(files=(path,), out=tmp_path / "old.h5"), Here())
