"""drg-seqlets as a run: the same bytes for any sharding, coordinates on the genome, one-line errors."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from bodies.seqlet_runs import do_run, write_attributions, write_done

from drg_hpc.bodies import seqlets_work
from drg_hpc.bodies.seqlets_plan import Options, plan_shards
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.interpretation.seqlet_methods import call_seqlets
from drg_hpc.results.seqlets import read_seqlets, write_seqlets

ROWS, LENGTH = 500, 90


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    projected = rng.normal(0, 1, (ROWS, LENGTH)).astype(np.float32)
    projected[:, 30:42] += 3
    projected[::2, 60:68] -= 4
    projected[::5, -6:] += 4
    projected[3] = 1e6  # a row that is not kept must not touch the null
    codes = rng.integers(0, 4, (ROWS, LENGTH))
    return projected, (codes[:, None, :] == np.arange(4)[None, :, None]).astype(np.int8)


@pytest.fixture
def source(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> Path:
    write_attributions(tmp_path / "attr.h5", *arrays, tracks=2, keep=False)
    return tmp_path / "attr.h5"


def test_bytes_do_not_depend_on_shards(source: Path, tmp_path: Path) -> None:
    found = set()
    for shards in (1, 3, 7):
        plan, summary = do_run(Options(attributions=source, out=tmp_path / f"run{shards}", shards=shards))
        assert len(plan.stages[0].shards) == {1: 1, 3: 3, 7: 4}[shards]
        found.add((sha256_file(plan.folder / "out.h5"), sha256_file(plan.folder / "seqlets.bed"), str(summary)))
    assert len(found) == 1


def test_run_equals_the_array_interface(source: Path, tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    plan, summary = do_run(Options(attributions=source, out=tmp_path / "run", shards=3, track="track 1", window=20))
    seqlets = read_seqlets(plan.folder / "out.h5")
    write_seqlets(tmp_path / "again.h5", seqlets)  # from memory
    assert sha256_file(tmp_path / "again.h5") == sha256_file(plan.folder / "out.h5")
    projected, onehot = arrays
    kept = np.delete(np.arange(ROWS), 3)
    expected = call_seqlets(projected[kept] * 2)
    table = seqlets.table
    assert summary["rows"] == len(table) == len(expected)
    assert summary["positive"] == (table["sign"] > 0).sum() > 0 < summary["negative"]
    np.testing.assert_array_equal(kept[expected["row"]], table["row"])
    np.testing.assert_array_equal(expected[["start", "end"]], table[["start", "end"]])
    np.testing.assert_allclose(expected["p_value"], table["p_value"])
    np.testing.assert_allclose(expected["attribution"], table["attribution"], rtol=1e-6)
    assert (table["genome_start"] == table["row"] * 1000 + 7 + table["start"]).all()
    assert set(table["chrom"]) == {"chr9"} and set(table["track"]) == {1}
    for i in (0, len(table) // 2, len(table) - 1):
        row, centre = int(table["row"][i]), (int(table["start"][i]) + int(table["end"][i])) // 2
        padded = np.pad(onehot[row], ((0, 0), (10, 10)))[:, centre : centre + 20]
        values = np.pad(projected[row] * 2, (10, 10))[centre : centre + 20]
        np.testing.assert_array_equal(seqlets.sequence[i], padded)
        np.testing.assert_allclose(seqlets.contribution[i], padded * values)
    lines = (plan.folder / "seqlets.bed").read_text().splitlines()
    assert lines.pop(0) == "#chrom\tstart\tend\ttrack|row_name\tscore\tstrand\tattribution\tp_value\trow"
    assert len(lines) == len(table)
    fields = lines[0].split("\t")
    place = ["chr9", str(table["genome_start"][0]), str(table["genome_end"][0])]
    assert fields[:4] == [*place, f"track_1|r{table['row'][0]}"]


def test_reverse_strand_rows_run_backwards(source: Path, tmp_path: Path) -> None:
    stranded = tmp_path / "stranded.h5"
    shutil.copy(source, stranded)
    with h5py.File(stranded, "r+") as handle:
        handle.attrs["stranded"] = True
    plan, _ = do_run(Options(attributions=stranded, out=tmp_path / "run"))
    table = read_seqlets(plan.folder / "out.h5").table
    minus = table[table["row"] % 2 == 1]
    assert (minus["genome_start"] == minus["row"] * 1000 + 7 + LENGTH - minus["end"]).all()
    assert (table["genome_end"] - table["genome_start"] == table["end"] - table["start"]).all()


def test_sequences_without_coordinates_go_by_their_names(source: Path, tmp_path: Path) -> None:
    with h5py.File(source, "r+") as handle:
        handle["regions/chrom"][:] = [""] * ROWS
    plan, _ = do_run(Options(attributions=source, out=tmp_path / "run"))
    table = read_seqlets(plan.folder / "out.h5").table
    assert (table["chrom"] == "r" + table["row"].astype(str)).all()
    assert all(line.startswith(("r", "#")) for line in (plan.folder / "seqlets.bed").read_text().splitlines())


def test_shuffles_have_no_place_on_the_genome(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    names = [f"chr9:{i}-{i + 9}" + ("_dinuc0" if i % 3 == 1 else "") for i in range(ROWS)]
    origins = ["dinuc" if i % 3 == 1 else "given" for i in range(ROWS)]
    attributes = {"stranded": True}
    columns = {"name": names, "origin": origins}
    write_attributions(tmp_path / "a.h5", *arrays, tracks=1, keep=False, attributes=attributes, **columns)
    plan, _ = do_run(Options(attributions=tmp_path / "a.h5", out=tmp_path / "run", shards=2))
    table = read_seqlets(plan.folder / "out.h5").table
    made = table["row"] % 3 == 1
    assert made.any() and (table["name"] == [names[row] for row in table["row"]]).all()
    assert (table.loc[made, "chrom"] == table.loc[made, "name"]).all() and set(table.loc[~made, "chrom"]) == {"chr9"}
    assert (table.loc[made, "genome_start"] == table.loc[made, "start"]).all()
    assert (table.loc[made, "genome_end"] == table.loc[made, "end"]).all()
    for line in (plan.folder / "seqlets.bed").read_text().splitlines()[1:]:
        fields = line.split("\t")
        assert fields[3] == f"track_0|{names[int(fields[8])]}"
        assert fields[0] == ("chr9" if int(fields[8]) % 3 != 1 else names[int(fields[8])])


def test_windows_take_the_kept_form(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    write_attributions(tmp_path / "attr.h5", *arrays, tracks=1, keep=True)
    plan, summary = do_run(Options(attributions=tmp_path / "attr.h5", out=tmp_path / "run"))
    assert summary["form"] == "hypothetical" == read_seqlets(plan.folder / "out.h5").attributes["form"]


def test_constant_attributions_have_no_seqlets(
    tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    write_attributions(tmp_path / "attr.h5", np.zeros((70, LENGTH), np.float32), arrays[1][:70], tracks=1, keep=False)
    plan, summary = do_run(Options(attributions=tmp_path / "attr.h5", out=tmp_path / "run", shards=2))
    assert summary["rows"] == 0 and summary["constant_tracks"] == ["track 0"]
    assert len(read_seqlets(plan.folder / "out.h5").table) == 0
    assert (plan.folder / "seqlets.bed").read_text().count("\n") == 1
    (record,) = caplog.records
    assert record.getMessage() == "no seqlets in track 0: all attributions are equal"


def test_why_there_are_none(
    tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    path, none = tmp_path / "attr.h5", np.zeros(70, bool)
    noise = np.random.default_rng(0).normal(size=(70, LENGTH)).astype(np.float32)
    write_attributions(path, noise, arrays[1][:70], tracks=2, keep=False)
    do_run(Options(attributions=path, out=tmp_path / "run", threshold=1e-9))
    write_attributions(tmp_path / "none.h5", noise, arrays[1][:70], tracks=2, keep=False, kept=none)
    do_run(Options(attributions=tmp_path / "none.h5", out=tmp_path / "none"))
    few, left_out = (record.getMessage() for record in caplog.records)
    assert few.startswith("no seqlets: no stretch of 70 rows is significant; give a larger --threshold than 1e-09")
    assert left_out == f"no seqlets: no row is kept, see regions/reason in {tmp_path / 'none.h5'}"


def test_shards_and_blocks_without_seqlets(
    tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """First, in between and last; the whole is that of one shard."""
    values, onehot = np.zeros((5 * 64, LENGTH), np.float32), np.resize(arrays[1], (5 * 64, 4, LENGTH))
    values[70:75, 20:30] = values[200:210, 40:50] = 1
    write_attributions(tmp_path / "attr.h5", values, onehot, tracks=2, keep=False)
    runs = [do_run(Options(attributions=tmp_path / "attr.h5", out=tmp_path / str(n), shards=n))[0] for n in (1, 5)]
    monkeypatch.setattr(seqlets_work, "_WINDOW_VALUES", 1)
    runs.append(do_run(Options(attributions=tmp_path / "attr.h5", out=tmp_path / "blocks", shards=2))[0])
    assert len({sha256_file(run.folder / "out.h5") for run in runs}) == 1
    found = read_seqlets(runs[1].folder / "out.h5")
    assert set(found.table["row"]) == {*range(70, 75), *range(200, 210)} and found.contribution.shape[1:] == (4, 30)


def test_lengths_beyond_the_rows_change_nothing(source: Path, tmp_path: Path) -> None:
    plans = [do_run(Options(attributions=source, out=tmp_path / str(n), max_length=n))[0] for n in (LENGTH, 3 * LENGTH)]
    tables = [read_seqlets(plan.folder / "out.h5").table for plan in plans]
    pd.testing.assert_frame_equal(*tables)
    assert len(tables[0]) > 20


def test_bad_input(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no track 'x'"):
        plan_shards(Options(attributions=source, out=tmp_path / "r", track="x"))
    with pytest.raises(UsageError, match="above"):
        plan_shards(Options(attributions=source, out=tmp_path / "r", min_length=9, max_length=5))
    with pytest.raises(InputError, match="no such file"):
        plan_shards(Options(attributions=tmp_path / "none.h5", out=tmp_path / "r"))
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as handle:
        handle["x"] = [1]
    with pytest.raises(InputError, match=r"of no format that is known here, attributions .* are wanted"):
        plan_shards(Options(attributions=other, out=tmp_path / "r"))
    with h5py.File(other, "r+") as handle:
        handle.attrs["format"] = "drg-attributions/1"
    with pytest.raises(CorruptError, match="not a whole attribution file"):
        plan_shards(Options(attributions=other, out=tmp_path / "r"))
    (tmp_path / "x.bed").write_text("chr1\t1\t2\n")
    with pytest.raises(InputError, match="not HDF5, attributions are wanted"):
        plan_shards(Options(attributions=tmp_path / "x.bed", out=tmp_path / "r"))
    do_run(Options(attributions=source, out=tmp_path / "run"))
    write_done(tmp_path / "run", "seqlets", {"rows": 1})
    with pytest.raises(InputError, match="run of drg-seqlets, attributions are wanted"):
        plan_shards(Options(attributions=tmp_path / "run", out=tmp_path / "r"))
    with h5py.File(source, "r+") as handle:
        handle["tracks/00000/projected"][1, 5] = np.nan
    with pytest.raises(InputError, match=r"^row 1 of track 'track 0' in .* has NaN or infinite attributions"):
        do_run(Options(attributions=source, out=tmp_path / "r"))


@pytest.mark.parametrize(("kept", "expected"), [("tism", "corrected"), ("global", "projected"), ("raw", "raw")])
def test_windows_are_contributions_whatever_form_was_kept(
    source: Path, tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray], kept: str, expected: str
) -> None:
    projected, onehot = arrays
    gradient = np.random.default_rng(1).normal(size=onehot.shape).astype(np.float32)
    centred = gradient - gradient.mean(axis=1, keepdims=True)
    value = centred if kept == "tism" else gradient
    here = (value * onehot).sum(axis=1)
    # the projection stays the stated one; only the four-base form beside it differs
    form = gradient - (gradient * onehot).sum(axis=1, keepdims=True) if kept == "tism" else gradient
    with h5py.File(source, "r+") as handle:
        for name in handle["tracks"]:
            handle[f"tracks/{name}"].create_dataset(kept, data=form)
    plan, summary = do_run(Options(attributions=source, out=tmp_path / "run", track="track 0", window=12))
    assert summary["form"] == expected
    seqlets = read_seqlets(plan.folder / "out.h5")
    wanted = projected if expected == "projected" else here
    for i in (0, len(seqlets.table) - 1):
        row, centre = (
            int(seqlets.table["row"][i]),
            (int(seqlets.table["start"][i]) + int(seqlets.table["end"][i])) // 2,
        )
        there = (seqlets.contribution[i] * seqlets.sequence[i]).sum(axis=0)
        np.testing.assert_allclose(there, np.pad(wanted[row], (6, 6))[centre : centre + 12], atol=2e-3)
