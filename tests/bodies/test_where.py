"""--where: rows of stores and files by an evaluation, by other tables, by targets; through whole runs."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_stores import write_store
from test_light import bare

from drg_hpc.bodies import predict_plan
from drg_hpc.bodies.rows import FastaRows, open_rows
from drg_hpc.bodies.selection import select_fasta, select_store
from drg_hpc.bodies.where_rows import Where, chosen_rows, pack, unpack
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.prediction.config import EvaluateOptions
from drg_hpc.prediction.evaluate import evaluate
from drg_hpc.results.reader import read_attributions, read_predictions
from drg_hpc.runs.plan import preview_plan
from drg_hpc.store.reader import open_dataset
from tests.prediction.small_world import attr, make_model, make_store, predict, write_fasta

ROWS, LENGTH = 600, 60
EXPRESSION = "error.a<q60 and mean_target>0 or not `prediction.b` < q90"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Model, store and evaluation."""
    folder = tmp_path_factory.mktemp("world")
    make_model(folder / "model", length=LENGTH)
    store = make_store(folder, rows=ROWS, length=LENGTH)
    options = EvaluateOptions(model=folder / "model", store=store, out=folder / "eval", device="cpu")
    return folder / "model", store, evaluate(options)


def expected_rows(evaluation: Path) -> list[int]:
    """By pandas, for :data:`EXPRESSION`: where error.a is missing, the rest decides, and so on."""
    table = pd.read_csv(evaluation / "regions.tsv", sep="\t")
    error = table["error.a"] < table["error.a"].quantile(0.6)
    chosen = (error & (table["mean_target"] > 0)) | (table["prediction.b"] >= table["prediction.b"].quantile(0.9))
    assert table["error.a"].isna().any() and 0 < chosen.sum() < len(table)
    return table["row"][chosen].tolist()


def plan(world: tuple[Path, Path, Path], out: Path, **options: Any) -> Any:
    given = {"model": world[0], "input": world[1], "out": out} | options
    return predict_plan.plan_shards(predict_plan.Options(**given))


def test_rows_of_an_evaluation_through_whole_runs(tmp_path: Path, world: tuple[Path, Path, Path]) -> None:
    model, store, evaluation = world
    options: dict[str, Any] = {"where": EXPRESSION, "evaluation": evaluation}
    rows = expected_rows(evaluation)
    done = predict(tmp_path / "some", model, store, **options)
    predict(tmp_path / "all", model, store)
    some, everything = read_predictions(tmp_path / "some"), read_predictions(tmp_path / "all")
    assert some.regions["row"].tolist() == rows
    there = np.searchsorted(everything.regions["row"], rows)
    np.testing.assert_allclose(some.values, everything.values[there], rtol=1e-6)
    assert some.regions["name"].tolist() == everything.regions["name"].iloc[there].tolist()
    assert done["summary"]["rows"] == len(rows) and done["summary"]["split"] == "test"
    params = some.attributes["params"]
    assert params["where"]["condition"] == EXPRESSION
    assert params["where"]["table_sha256"] == sha256_file(evaluation / "regions.tsv")

    for shards in (1, 2):
        attr(tmp_path / f"attr{shards}", model, store, shards=shards, **options)
    assert sha256_file(tmp_path / "attr1" / "out.h5") == sha256_file(tmp_path / "attr2" / "out.h5")
    with read_attributions(tmp_path / "attr1") as found:
        assert found.regions["row"].tolist() == rows
        np.testing.assert_array_equal(found.sequences[()], open_dataset(store).sequences(rows))

    predict(tmp_path / "first", model, store, limit=7, **options)
    assert read_predictions(tmp_path / "first").regions["row"].tolist() == rows[:7]
    assert plan(world, tmp_path / "x", **options).notes[0] == f"{len(rows)} of 200 rows pass --where"


@pytest.mark.parametrize("bins", [0, 4])
def test_targets_of_a_store_are_those_of_its_evaluation(tmp_path: Path, bins: int) -> None:
    rng = np.random.default_rng(0)
    targets = rng.gamma(1.0, size=(90, 2, *([bins] if bins else [])))
    targets[rng.random(targets.shape) < 0.3] = np.nan
    targets[75] = np.nan
    store = write_store(
        tmp_path / "store", rng.integers(0, 4, (90, LENGTH)), targets, valid=40, second_modality=0 if bins else 3
    )  # fmt: skip
    header = {
        "tracks": ["t1", "t0"], "inputs": [{"name": "seq", "length": LENGTH}],
        "heads": [{"name": "main", "tracks": 2, "link": "log"}],
    }  # fmt: skip
    flat = np.nan_to_num(targets[50:].astype(np.float32)).reshape(40, -1)
    known = ~np.isnan(targets[50:]).reshape(40, -1)
    mean = pd.Series(np.where(known.any(axis=1), flat.sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan))
    largest = pd.Series(np.where(known.any(axis=1), np.where(known, flat, -np.inf).max(axis=1), np.nan))
    for text, chosen in (
        ("mean_target >= q50 and max_target<q90", (mean >= mean.quantile()) & (largest < largest.quantile(0.9))),
        ("max_target>q50 or (start < 60 and name != 'r51')", (largest > largest.quantile()) | pd.Series(
            [row < 60 and row != 51 for row in range(50, 90)])),
        ("not mean_target > q20", ~(mean > mean.quantile(0.2)) & mean.notna()),
    ):  # fmt: skip
        found = select_store(store, header, split="valid", limit=None, where=Where(text))
        assert unpack(found.aside["chosen_rows"]) == [50 + i for i in np.flatnonzero(chosen)]
        assert (found.rows, found.split) == (int(chosen.sum()), "valid")


def test_targets_come_from_the_table_where_it_has_them(tmp_path: Path, world: tuple[Path, Path, Path]) -> None:
    evaluation = world[2]
    by_store = plan(world, tmp_path / "a", where="max_target > mean_target and chrom = 'chr3'")
    by_table = plan(world, tmp_path / "b", where="max_target > mean_target and chrom = 'chr3'", evaluation=evaluation)
    assert by_store.aside == by_table.aside
    both = plan(world, tmp_path / "c", where="error.b < q50 and origin = 'given'", evaluation=evaluation)
    table = pd.read_csv(evaluation / "regions.tsv", sep="\t")
    assert unpack(both.aside["chosen_rows"]) == table["row"][table["error.b"] < table["error.b"].quantile()].tolist()


def test_planning_by_a_table_needs_no_library(tmp_path: Path, world: tuple[Path, Path, Path]) -> None:
    model, store, evaluation = world
    flags = ["--where", EXPRESSION, "--plan-only"]
    bare("drg-predict", model, store, "--evaluation", evaluation, *flags, "-o", tmp_path / "run")
    failed = bare("drg-predict", model, store, "--where", "max_target>q50", "-o", tmp_path / "x", exit_code=3)
    assert "read from" in failed.stderr and "it is not installed here; give --evaluation DIR" in failed.stderr
    both = ["--evaluation", evaluation, "--where", "error.a<1 and origin='given'", "-o", tmp_path / "x"]
    assert "origin is read from" in bare("drg-predict", model, store, *both, exit_code=3).stderr


def table(path: Path, text: str) -> Path:
    path.write_text(text.replace(" ", "\t"))
    return path


def test_rows_of_other_tables(tmp_path: Path, world: tuple[Path, Path, Path]) -> None:
    some = table(tmp_path / "t.tsv", "score row split kind\n0.5 8 test x\nNA 5 test x\n2 2 test y\n7 3 train x\n")
    found = plan(world, tmp_path / "x", where="score<5", evaluation=some, split="test")
    assert unpack(found.aside["chosen_rows"]) == [2, 8]
    found = plan(world, tmp_path / "x", where="kind='x' and score>0", evaluation=some)
    assert unpack(found.aside["chosen_rows"]) == [3, 8] and found.params["split"] is None


def test_numbers_that_are_not_finite_are_missing(tmp_path: Path, world: tuple[Path, Path, Path]) -> None:
    cells = ("5", "11", "NAN", "inf", "-Infinity", "-nan", "20", "1e999")
    some = table(tmp_path / "t.tsv", "row score\n" + "".join(f"{i} {cell}\n" for i, cell in enumerate(cells)))
    for text, rows in (("not score > 10", [0]), ("score > 10", [1, 6]), ("score >= q50", [1, 6])):
        assert unpack(plan(world, tmp_path / "x", where=text, evaluation=some).aside["chosen_rows"]) == rows


def test_names_that_look_like_numbers_are_texts(tmp_path: Path, world: tuple[Path, Path, Path]) -> None:
    lines = "row chrom name split strand origin score\n4 1 7 1 + 1 3\n6 2 8 2 - 1 4\n9 2 8.0 1 - 1 5\n"
    some = table(tmp_path / "t.tsv", lines)
    for text, rows in (
        ("chrom == '2'", [6, 9]), ("name = '8'", [6]), ("split != '2'", [4, 9]), ("origin='1' and score<5", [4, 6]),
    ):  # fmt: skip
        assert unpack(plan(world, tmp_path / "x", where=text, evaluation=some).aside["chosen_rows"]) == rows
    with pytest.raises(UsageError, match="no column 'zzzzzz'; known: ") as failed:
        plan(world, tmp_path / "x", where="zzzzzz>1", evaluation=some)
    known = str(failed.value).rpartition("known: ")[2].split(", ")
    assert "chrom" in known and len(known) == len(set(known))


def test_memory_is_that_of_the_sequences_of_a_fasta(tmp_path: Path, world: tuple[Path, Path, Path]) -> None:
    path = write_fasta(tmp_path / "x.fa", rows=20_000, length=LENGTH)
    header = {"inputs": [{"name": "seq", "length": LENGTH}]}
    for where, limit, rows in ((None, None, 20_000), (None, 9000, 9000), (Where("start>q80"), None, 4000)):
        found = select_fasta(path, header, limit=limit, where=where)
        numbers = None if where is None else unpack(found.aside["chosen_rows"])
        assert found.rows == pytest.approx(rows, rel=0.01)
        tracemalloc.start()
        source = FastaRows(path, rows=found.rows, chosen=numbers)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert source.sequences(0, 2)[0].shape == (2, 4, LENGTH)
        assert peak / 3 < found.memory
        assert peak - (4 << 20) < found.memory  # text is read in blocks


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("row score\n1 2\n1 3\n", {}, "row 1 has two lines"),
        ("row score\n600 2\n", {}, "row 600 of an input of 600 rows, which count from 0"),
        ("row score\n-1 2\n", {}, "row '-1' is no number of a row"),
        ("row score\n1 2 3\n", {}, "line 2: 3 columns, the header has 2"),
        ("row score\n", {}, "has no rows"),
        ("name score\nx 2\n", {}, "has no column row"),
        ("row score\n1 2\n2 NA\n", {"where": "score>5"}, "none of 2 rows passes --where 'score>5', 1 of them for want"),
        ("row score\n1 2\n", {"where": "scor>5"}, "no column 'scor'; did you mean 'score'"),
        ("row score\n1 2\n", {"split": "valid"}, "--split valid: .* does not say which rows are in it"),
        ("row split score\n1 test 2\n", {"split": "valid"}, "has no rows of split 'valid'"),
        ("row score\n1 2\n", {"where": None}, "--evaluation without --where"),
        ("row score\n1 2\n", {"evaluation": Path("nowhere")}, "no such evaluation: nowhere"),
    ],
)
def test_wrong_tables(
    tmp_path: Path, world: tuple[Path, Path, Path], text: str, options: dict[str, Any], message: str
) -> None:
    given = {"where": "score>0", "evaluation": table(tmp_path / "t.tsv", text)} | options
    with pytest.raises((InputError, UsageError), match=message):
        plan(world, tmp_path / "x", **given)


def test_evaluations_of_something_else(tmp_path: Path, world: tuple[Path, Path, Path]) -> None:
    (tmp_path / "w").mkdir()
    other = make_store(tmp_path / "w", rows=ROWS + 3, length=LENGTH)
    with pytest.raises(InputError, match="is an evaluation on another store than"):
        plan((world[0], other, world[2]), tmp_path / "x", where="error.a<1", evaluation=world[2])
    with pytest.raises(InputError, match="has no rows of split 'valid'"):
        plan(world, tmp_path / "x", where="error.a<1", evaluation=world[2], split="valid")
    with pytest.raises(InputError, match="the rows of the store are in no folds"):
        plan(world, tmp_path / "x", where="error.a<1", evaluation=world[2], split="fold:1")


def test_rows_of_a_fasta(tmp_path: Path, world: tuple[Path, Path, Path]) -> None:
    path = write_fasta(tmp_path / "x.fa", rows=90, length=LENGTH)
    by_name = table(tmp_path / "t.tsv", "name score\nchr2:1000-1060 3\nchr1:87000-87060 4\nchr1:0-60 1\n")
    options: dict[str, Any] = {"where": "score>1 and start<80000", "evaluation": by_name}
    attr(tmp_path / "named", world[0], path, **options)
    attr(tmp_path / "own", world[0], path, where="chrom='chr2' and (start>q50 or end<2000)", store_dtype="float32")
    attr(tmp_path / "all", world[0], path, store_dtype="float32")
    with read_attributions(tmp_path / "named") as found:
        assert found.regions["row"].tolist() == [1]
    with read_attributions(tmp_path / "own") as found, read_attributions(tmp_path / "all") as everything:
        rows = [row for row in range(90) if row % 3 == 1 and (row > 44.5 or row == 1)]
        assert found.regions["row"].tolist() == rows
        np.testing.assert_array_equal(found.sequences[()], everything.sequences[()][rows])
        np.testing.assert_allclose(
            found.tracks["a"]["projected"][()], everything.tracks["a"]["projected"][()][rows], rtol=1e-5, atol=1e-7
        )
    unknown = table(tmp_path / "u.tsv", "name score\nchr9:1000-1060 3\n")
    with pytest.raises(InputError, match="no row is named 'chr9:1000-1060'"):
        plan(world, tmp_path / "x", input=path, where="score>1", evaluation=unknown)
    with pytest.raises(UsageError, match="no column 'max_target'; "):
        plan(world, tmp_path / "x", input=path, where="max_target>1")


def test_the_list_of_rows_is_that_of_the_plan(tmp_path: Path, world: tuple[Path, Path, Path]) -> None:
    spec = plan(world, tmp_path / "x", where=EXPRESSION, evaluation=world[2])
    assert chosen_rows(spec.params, spec.aside) == expected_rows(world[2])
    changed = {"chosen_rows": [0, *spec.aside["chosen_rows"][1:]]}
    with pytest.raises(CorruptError, match="not the one that it was made with"):
        chosen_rows(spec.params, changed)
    with pytest.raises(CorruptError, match="not the one that it was made with"):
        chosen_rows(spec.params, {})
    found = open_rows(preview_plan(spec, tmp_path / "x"), name="store")
    assert found.regions(0, 3)["row"].tolist() == expected_rows(world[2])[:3]


@given(st.sets(st.integers(0, 60)))
def test_rows_in_runs(rows: set[int]) -> None:
    packed = pack(sorted(rows))
    assert unpack(packed) == sorted(rows)
    assert packed == sorted(set(packed))  # runs that touch are one
