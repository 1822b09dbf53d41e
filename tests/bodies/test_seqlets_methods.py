"""Every method of drg-seqlets as a run: the same bytes for any sharding, equal to the array interface."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bodies.seqlet_runs import do_run, write_attributions

from drg_hpc.bodies import seqlets_tfmodisco
from drg_hpc.bodies.seqlets_plan import Options, plan_shards
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.interpretation import seqlet_methods
from drg_hpc.interpretation.seqlet_methods import call_seqlets
from drg_hpc.interpretation.sorted_pieces import SortedPieces
from drg_hpc.interpretation.tfmodisco import drawn_places
from drg_hpc.results.seqlets import read_seqlets

ROWS, LENGTH, COPIES = 300, 70, 3
KEPT = np.delete(np.arange(ROWS), 3)
# settings of the run -> settings of the array interface
METHODS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "compat": ({"compat": True, "threshold": 0.02}, {"compat": True, "threshold": 0.02}),
    "tfmodisco": ({"method": "tfmodisco", "core": 9, "flank": 3}, {"method": "tfmodisco", "core": 9, "flank": 3}),
    "wide": ({"method": "tfmodisco", "fdr": 0.05}, {"method": "tfmodisco", "fdr": 0.05}),
    "zscore": ({"method": "zscore"}, {"method": "zscore"}),
    "condition": ({"method": "zscore", "norm": "condition", "cut": 1.5}, {"method": "zscore", "cut": 1.5}),
    "seq": ({"method": "zscore", "norm": "seq"}, {"method": "zscore", "norm": "seq"}),
    "std": ({"method": "zscore", "norm": "std", "std": 1.5, "max_gap": 2}, {"method": "zscore", "norm": "std",
            "std": 1.5, "max_gap": 2}),
}  # fmt: skip


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    projected = rng.laplace(0, 1, (ROWS, LENGTH)).astype(np.float32)
    projected[:, 20:31] += 3
    projected[::2, 45:52] -= 4
    projected[3] = 1e6  # a row that is not kept must not touch anything
    codes = rng.integers(0, 4, (ROWS, LENGTH))
    return projected, (codes[:, None, :] == np.arange(4)[None, :, None]).astype(np.int8)


@pytest.fixture(scope="module")
def source(arrays: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attr") / "attr.h5"
    write_attributions(path, *arrays, tracks=2, keep=False)
    return path


@pytest.fixture(scope="module")
def shuffles(
    arrays: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray]:
    """COPIES shuffles of every row, copy by copy, named as drg-shard names them; all but a few are kept."""
    rng = np.random.default_rng(8)
    values = rng.laplace(0, 1, (COPIES * ROWS, LENGTH)).astype(np.float32)
    names = [f"r{row}_dinuc{copy}" for copy in range(COPIES) for row in range(ROWS)]
    path = tmp_path_factory.mktemp("null") / "null.h5"
    write_attributions(path, values, np.tile(arrays[1], (COPIES, 1, 1)), tracks=2, keep=False, name=names,
                       origin="dinuc", kept=np.arange(COPIES * ROWS) != 3)  # fmt: skip
    return path, values


def same_calls(table: Any, expected: Any, rows: np.ndarray) -> None:
    assert len(table) == len(expected) > 20
    np.testing.assert_array_equal(table["row"], rows[expected["row"]])
    np.testing.assert_array_equal(table[["start", "end"]], expected[["start", "end"]])
    np.testing.assert_allclose(table["attribution"], expected["attribution"], rtol=1e-5)
    np.testing.assert_allclose(table["p_value"], expected["p_value"])


@pytest.mark.parametrize("name", METHODS)
def test_any_sharding_equals_the_array_interface(
    source: Path, tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray], name: str
) -> None:
    given, asked = METHODS[name]
    found = set()
    for shards in (1, 2, 5):
        plan, summary = do_run(Options(attributions=source, out=tmp_path / f"{shards}", shards=shards, **given))
        found.add((sha256_file(plan.folder / "out.h5"), sha256_file(plan.folder / "seqlets.bed"), str(summary)))
    assert len(found) == 1
    seqlets = read_seqlets(plan.folder / "out.h5")
    values = arrays[0][KEPT]
    for track in (0, 1):
        own = values * np.float32(track + 1)
        settings = dict(asked)
        if name == "zscore":  # one scale for both tracks, the mean of theirs
            settings |= {"norm": "std", "std": 1.5 * np.sqrt((values.astype(float) ** 2).mean(axis=1) / 4).mean()}
        if name == "seq":  # the mean over tracks of a row's scale is 1.5 times that of its first track
            own, settings = values, {"method": "zscore", "norm": "seq", "cut": 1.96 * 1.5 / (track + 1)}
        expected = call_seqlets(own, **settings)
        if name == "seq":
            expected["attribution"] *= track + 1
        if "sign" in expected:
            expected = expected[expected["sign"] != 0]
        same_calls(seqlets.table[seqlets.table["track"] == track], expected, KEPT)
    assert summary["rows"] == len(seqlets.table) == summary["positive"] + summary["negative"]
    assert (summary["negative"] > 0) == (name != "compat")
    fields = (plan.folder / "seqlets.bed").read_text().splitlines()[1].split("\t")
    assert (fields[4], fields[7]) == ("0", ".") or name == "compat"


def test_windows_that_are_mapped(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given back after each search is there again for the next one."""
    digests = set()
    for small in (0, 1 << 30):  # all files of window sums are mapped, and none
        monkeypatch.setattr(seqlets_tfmodisco, "_SMALL", small)
        options = Options(attributions=source, out=tmp_path / str(small), method="tfmodisco", core=9, shards=2)
        digests.add(sha256_file(do_run(options)[0].folder / "out.h5"))
    assert len(digests) == 1
    values = np.sort(np.random.default_rng(0).normal(size=(2, 100_000)))
    np.save(tmp_path / "windows.npy", values)
    mapped = np.load(tmp_path / "windows.npy", mmap_mode="r")
    before = _resident(mapped)
    pieces = SortedPieces([mapped[0], mapped[1]], seqlets_tfmodisco._release)
    assert pieces.order([0, 77_777]) == tuple(np.sort(values.ravel())[[0, 77_777]])
    assert _resident(mapped) <= before < _resident(mapped, read=True)


def _resident(mapped: np.ndarray, *, read: bool = False) -> int:
    """kB of a mapped file that are in this process, after ``read`` of all of it."""
    assert not read or np.isfinite(mapped.sum())
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    return next(
        int(line.split()[1]) for entry in lines if entry.endswith(mapped.filename.name)
        for line in lines if line.startswith("Rss:")
    )  # fmt: skip


def test_thresholds_from_a_draw(
    source: Path, tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drawn windows are those of the kept rows by global number, whichever shard they are in."""
    for module in (seqlets_tfmodisco, seqlet_methods):
        monkeypatch.setattr(module, "drawn_places", partial(drawn_places, sample=3000))
    drawn = call_seqlets(arrays[0][KEPT], "tfmodisco", core=9, flank=3)
    monkeypatch.setattr(seqlet_methods, "drawn_places", drawn_places)
    plan, _ = do_run(
        Options(
            attributions=source, out=tmp_path / "run", method="tfmodisco", core=9, flank=3, track="track 0", shards=3
        )
    )
    found = read_seqlets(plan.folder / "out.h5")
    same_calls(found.table, drawn[drawn["sign"] != 0], KEPT)
    plan, _ = do_run(
        Options(attributions=source, out=tmp_path / "all", method="tfmodisco", core=9, flank=3, track="track 0")
    )
    assert found.attributes["thresholds"] == read_seqlets(plan.folder / "out.h5").attributes["thresholds"]
    monkeypatch.undo()
    plan, _ = do_run(
        Options(attributions=source, out=tmp_path / "whole", method="tfmodisco", core=9, flank=3, track="track 0")
    )
    assert found.attributes["thresholds"] != read_seqlets(plan.folder / "out.h5").attributes["thresholds"]


def test_scale_is_of_all_four_bases(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    path = tmp_path / "attr.h5"
    write_attributions(path, *arrays, tracks=1, keep=True)
    rng = np.random.default_rng(9)
    full = (rng.normal(0, 2, (ROWS, 4, LENGTH)) * (1 - arrays[1]) + arrays[0][:, None] * arrays[1]).astype(np.float32)
    with h5py.File(path, "r+") as handle:
        handle["tracks/00000/hypothetical"][:] = full
    plan, _ = do_run(Options(attributions=path, out=tmp_path / "run", method="zscore", cut=1.2, shards=2))
    expected = call_seqlets(arrays[0][KEPT], "zscore", attributions=full[KEPT], cut=1.2)
    found = read_seqlets(plan.folder / "out.h5")
    same_calls(found.table, expected, KEPT)
    scale = np.sqrt((full[KEPT].astype(float) ** 2).mean(axis=(1, 2))).mean()
    assert found.attributes["scales"] == pytest.approx([scale])


def test_cutoffs_from_shuffles(
    source: Path, tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray], shuffles: tuple[Path, np.ndarray]
) -> None:
    path, values = shuffles
    found = set()
    for shards in (1, 4):
        given = {"track": "track 1", "threshold": 0.02, "null": path, "shards": shards}
        plan, _ = do_run(Options(attributions=source, out=tmp_path / f"{shards}", **given))
        assert [stage.name for stage in plan.stages] == ["calls"]
        found.add(sha256_file(plan.folder / "out.h5"))
    assert len(found) == 1
    null = values.reshape(COPIES, ROWS, LENGTH).transpose(1, 0, 2) * 2
    expected = call_seqlets(arrays[0][KEPT] * 2, shuffles=null[KEPT], threshold=0.02)
    same_calls(read_seqlets(plan.folder / "out.h5").table, expected, KEPT)


def test_shuffles_that_do_not_fit(
    source: Path, tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray], shuffles: tuple[Path, np.ndarray]
) -> None:
    with pytest.raises(InputError, match="has no shuffles in --null"):
        do_run(Options(attributions=source, out=tmp_path / "own", null=source, threshold=0.02))
    with pytest.raises(InputError, match="r0 has 201 spans of 4 positions in 3 shuffles"):
        do_run(Options(attributions=source, out=tmp_path / "few", null=shuffles[0], threshold=0.002))
    write_attributions(tmp_path / "short.h5", arrays[0][:, :60], arrays[1][:, :, :60], tracks=2, keep=False)
    with pytest.raises(InputError, match="60 bases, those of ATTR 70"):
        plan_shards(Options(attributions=source, out=tmp_path / "r", null=tmp_path / "short.h5"))
    write_attributions(tmp_path / "one.h5", *arrays, tracks=1, keep=False)
    with pytest.raises(InputError, match="has no track 'track 1'"):
        plan_shards(Options(attributions=source, out=tmp_path / "r", null=tmp_path / "one.h5"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "zscore", "threshold": 0.02}, "--threshold goes with --method recursive, not with zscore"),
        ({"cut": 2.0}, "--cut goes with --method zscore, not with recursive"),
        ({"method": "zscore", "flank": 3}, "--flank goes with --method recursive"),
        ({"method": "tfmodisco", "compat": True}, "--compat goes with --method recursive"),
        ({"method": "tfmodisco", "null": "x.h5"}, "--null goes with --method recursive"),
        ({"compat": True, "clip": 0.99}, "--clip does not go with --compat"),
        ({"compat": True, "null": "x.h5"}, "--null does not go with --compat"),
        ({"bins": 100, "null": "x.h5"}, "--bins does not go with --null"),
        ({"method": "zscore", "std": 2.0}, "--std does not go with --norm global"),
        ({"method": "tfmodisco", "min_passing": 0.3}, "--min-passing 0.3 is above --max-passing 0.2"),
        ({"method": "tfmodisco", "core": 51}, "--core 51 with --flank 10 at both ends is longer than the sequences"),
        ({"min_length": 71, "max_length": 80}, "--min-length 71 is longer than the sequences of .*, 70 bases"),
        ({"method": "zscore", "min_size": 71}, "--min-size 71 is longer"),
    ],
)
def test_flags_that_do_not_go_together(source: Path, tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_shards(Options(attributions=source, out=tmp_path / "r", **given))


@pytest.mark.parametrize("method", ["tfmodisco", "zscore"])
def test_nothing_to_call_and_nan(
    tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray], method: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "attr.h5"
    write_attributions(path, np.zeros((70, LENGTH), np.float32), arrays[1][:70], tracks=1, keep=False)
    _, summary = do_run(Options(attributions=path, out=tmp_path / "flat", method=method, shards=2))
    assert summary["rows"] == 0 and summary["constant_tracks"] == ["track 0"]
    assert caplog.text.count("no seqlets") == 1 and "all attributions are equal" in caplog.text
    with h5py.File(path, "r+") as handle:
        handle["tracks/00000/projected"][1, 5] = np.nan
    with pytest.raises(InputError, match=r"row 1 of track 'track 0' in .* has NaN"):
        do_run(Options(attributions=path, out=tmp_path / "nan", method=method))
    with h5py.File(path, "r+") as handle:
        handle["tracks/00000/projected"][1, 5] = np.inf
    with warnings.catch_warnings(), pytest.raises(InputError, match=r"row 1 of track 'track 0' in .* has NaN"):
        warnings.simplefilter("error")
        do_run(Options(attributions=path, out=tmp_path / "inf", method=method))
