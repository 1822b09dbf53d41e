"""--regions BED --genome STORE: windows of real sequence, on both strands, against plain slices of the FASTA."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stores import TINY, WINDOWS, shard

from drg_hpc.bodies import predict_plan
from drg_hpc.bodies.rows import open_rows
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import MultiInputConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from drg_hpc.results.reader import read_attributions, read_predictions
from drg_hpc.runs.plan import preview_plan
from tests.prediction.small_world import attr, finish, make_model

LENGTH = 120
World = tuple[Path, Path, Any, dict[str, str]]
TURNED = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Model, genome store, the module, and the genome's letters."""
    folder = tmp_path_factory.mktemp("world")
    module = make_model(folder / "model", length=LENGTH)
    genome = shard("genome", folder / "genome", fasta=[WINDOWS / "genome.fa.gz"])
    contigs: dict[str, str] = {}
    for record in gzip.decompress((WINDOWS / "genome.fa.gz").read_bytes()).decode().split(">")[1:]:
        name, _, letters = record.partition("\n")
        contigs[name.split()[0]] = letters.replace("\n", "").upper()
    return folder / "model", genome, module, contigs


def letters(onehot: np.ndarray) -> list[str]:
    """Sequences of one-hot (n, 4, L)."""
    codes = np.where(onehot.any(axis=1), onehot.argmax(axis=1), 4)
    return ["".join("ACGTN"[code] for code in row) for row in codes]


def cut(contig: str, start: int, stop: int) -> str:
    """Bases of an interval, N beyond the ends."""
    inside = contig[max(start, 0) : max(stop, 0)]
    return "N" * (min(stop, 0) - min(start, 0)) + inside + "N" * (stop - start - len(inside) - max(-start, 0))


def plan(world: World, out: Path, **options: Any) -> Any:
    given = {"model": world[0], "genome": world[1], "out": out} | options
    return predict_plan.plan_shards(predict_plan.Options(**given))


def rows_of(world: World, out: Path, **options: Any) -> Any:
    """The source of rows of a plan, and the plan."""
    spec = plan(world, out, **options)
    return open_rows(preview_plan(spec, out), name="sequences"), spec


BED = [
    ("w03", 70000, 70300, "inside", "+"),
    ("w01", 500, 601, "odd", "-"),
    ("w00", 0, 20, "before", "-"),
    ("w02", -1, -1, "after", "+"),  # its last 10 bases, see below
    ("chrUn", 5, 100, "unknown", "+"),
    ("w03", 70100, 70200, "inside", "+"),  # the window and the name of the first
    ("w03", 70100, 70200, "same", "-"),
]


def bed(path: Path, contigs: dict[str, str]) -> Path:
    end = len(contigs["w02"])
    rows = [(c, end - 10 if s < 0 else s, end if e < 0 else e, n, "0", strand) for c, s, e, n, strand in BED]
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("stranded", [False, True])
def test_windows_are_slices_of_the_genome(tmp_path: Path, world: World, stranded: bool) -> None:
    contigs = world[3]
    source, spec = rows_of(world, tmp_path / "x", regions=str(bed(tmp_path / "r.bed", contigs)), stranded=stranded)
    table, (onehot,) = source.regions(0, 7), source.sequences(0, 7)
    end = len(contigs["w02"])
    places = [("w03", 70090), ("w01", 490), ("w00", -50), ("w02", end - 65), None, None, ("w03", 70090)]
    strands = ["+-"[stranded and row[4] == "-"] for row in BED]
    expected = []
    for place, strand in zip(places, strands, strict=True):
        found = "N" * LENGTH if place is None else cut(contigs[place[0]], place[1], place[1] + LENGTH)
        expected.append(found[::-1].translate(TURNED) if strand == "-" else found)
    assert letters(onehot) == expected
    assert expected[2].count("N") == 50 and expected[3].count("N") == 55
    assert table["strand"].tolist() == strands
    assert table["kept"].tolist() == [True, True, True, True, False, False, True]
    assert table["row"].tolist() == list(range(7)) and set(table["origin"]) == {"given"}
    assert (
        table["start"].tolist()[:4] == [70090, 490, -50, end - 65] and (table["end"] - table["start"] == LENGTH).all()
    )
    reasons = ["", "", "padded: 50 bases outside the contig", "padded: 55 bases outside the contig",
               "unknown contig", "duplicate of line 1", ""]  # fmt: skip
    assert table["reason"].tolist() == reasons
    assert any("2 regions reach over a contig's end" in note for note in spec.notes)
    assert spec.params["input"] == "regions" and set(spec.inputs) == {"model", "sequences", "regions"}
    np.testing.assert_array_equal(source.sequences(2, 4)[0], onehot[2:4])


def test_summits_of_narrow_peaks(tmp_path: Path, world: World) -> None:
    path = tmp_path / "x.narrowPeak"
    path.write_text("".join(f"w01\t{s}\t{s + 500}\tp{s}\t9\t.\t1\t2\t3\t{summit}\n"
                            for s, summit in ((2000, 130), (3000, 499), (4000, -1))))  # fmt: skip
    source, spec = rows_of(world, tmp_path / "x", regions=str(path))
    table = source.regions(0, 3)
    assert table["start"].tolist()[:2] == [2000 + 130 - 60, 3000 + 499 - 60]
    assert table["reason"].tolist() == ["", "", "no summit"] and table["kept"].tolist() == [True, True, False]
    found = letters(source.sequences(0, 3)[0])
    assert found[0] == world[3]["w01"][2070:2190]
    assert any("around the summits" in note for note in spec.notes)


def test_whole_runs(tmp_path: Path, world: World) -> None:
    model, genome, module, contigs = world
    path = bed(tmp_path / "regions.txt.bed", contigs)
    options: dict[str, Any] = {"genome": genome, "regions": str(path), "stranded": True}
    for shards in (1, 3):
        done = finish(
            predict_plan.Options(model=model, out=tmp_path / f"p{shards}", shards=shards, **options), predict_plan
        )
        assert done["summary"]["rows"] == 7
    made = read_predictions(tmp_path / "p1")
    np.testing.assert_array_equal(made.values, read_predictions(tmp_path / "p3").values)
    kept = made.regions["kept"].to_numpy(dtype=bool)
    assert kept.tolist() == [True, True, True, True, False, False, True]
    assert np.isnan(made.values[~kept]).all()
    source, _ = rows_of(world, tmp_path / "x", regions=str(path), stranded=True)
    with torch.no_grad():
        expected = module(torch.from_numpy(source.sequences(0, 7)[0])).numpy()
    np.testing.assert_allclose(made.values[kept], expected[kept], rtol=1e-5)

    attr(tmp_path / "attr", model, None, store_dtype="float32", **options)  # type: ignore[arg-type]
    with read_attributions(tmp_path / "attr") as found:
        np.testing.assert_array_equal(found.sequences[()], source.sequences(0, 7)[0])
        projected = found.tracks["a"]["projected"][()]
        assert np.isnan(projected[~kept]).all() and np.isfinite(projected[kept]).all()
        assert found.regions["reason"].tolist() == source.regions(0, 7)["reason"].tolist()


def test_real_regions_and_a_condition(tmp_path: Path, world: World) -> None:
    path = WINDOWS / "accessible.bed"
    every, _ = rows_of(world, tmp_path / "a", regions=str(path))
    some, spec = rows_of(world, tmp_path / "b", regions=str(path), where="chrom='w01' and start>q50", limit=5)
    table = every.regions(0, 483)
    rows = np.flatnonzero((table["chrom"] == "w01") & (table["start"] > table["start"].quantile()))[:5]
    assert len(rows) == spec.params["rows"] == 5
    assert some.regions(0, 5)["row"].tolist() == rows.tolist()
    for at, row in enumerate(rows):
        np.testing.assert_array_equal(some.sequences(at, at + 1)[0], every.sequences(row, row + 1)[0])
    for row in (0, 100, 482):
        chrom, start = table["chrom"][row], table["start"][row]
        assert letters(every.sequences(row, row + 1)[0]) == [world[3][chrom][start : start + LENGTH]]
    scores = tmp_path / "scores.tsv"
    scores.write_text(f"name\tscore\n{table['name'][7]}\t1\n{table['name'][3]}\t2\n{table['name'][5]}\tNA\n")
    some, _ = rows_of(world, tmp_path / "c", regions=str(path), where="score>0", evaluation=scores)
    assert some.regions(0, 2)["row"].tolist() == [3, 7]
    with pytest.raises(InputError, match="'inside' is the name of two"):
        plan(world, tmp_path / "x", regions=str(bed(tmp_path / "r.bed", world[3])), where="score>0", evaluation=scores)


def test_a_window_for_each_input_of_a_model(tmp_path: Path, world: World) -> None:
    torch.manual_seed(0)
    config = MultiInputConfig.model_validate(
        {"trunk": {"kernels": 4, "kernel_size": 5, "pool_size": 4}, "embedding": 6}
    )
    shape = ModelShape({"far": 36, "near": LENGTH}, (HeadShape("main", 2, "identity"),))
    save_model(build(config, shape).eval(), tmp_path / "model", config, ["t0", "t1"])
    near, far = tmp_path / "near.bed", tmp_path / "far.bed"
    near.write_text("w01\t1000\t1200\ta\nw02\t900\t1000\tb\nw03\t500\t600\tc\n")
    far.write_text("w05\t5000\t5100\tc\nw06\t6000\t6100\ta\n")
    options: dict[str, Any] = {"model": tmp_path / "model"}
    source, spec = rows_of(world, tmp_path / "x", regions=f"near={near},far={far}", **options)
    table, found = source.regions(0, 2), source.sequences(0, 2)
    assert set(spec.inputs) == {"model", "sequences", "regions_near", "regions_far"}
    assert table["name"].tolist() == ["c", "a"] and table["chrom"].tolist() == ["w05", "w06"]
    assert letters(found[0]) == [world[3]["w05"][5032:5068], world[3]["w06"][6032:6068]]
    assert letters(found[1]) == [world[3]["w03"][490:610], world[3]["w01"][1040:1160]]
    for regions, message in (
        (str(near), "the model has 2 inputs: far, near; give NAME=FILE for each"),
        (f"near={near}", "no file for the model's input 'far'"),
        (f"near={near},fra={far}", "the model has no input 'fra'; did you mean 'far'"),
        (f"near={near},near={far}", "input 'near' has a file already"),
        (f"near={near},far={far}:35", "input 'far' has 36 bases"),
    ):
        with pytest.raises(UsageError, match=message):
            plan(world, tmp_path / "y", regions=regions, **options)


def test_flags_that_do_not_fit(tmp_path: Path, world: World) -> None:
    path = str(bed(tmp_path / "r.bed", world[3]))
    for options, message in (
        ({"genome": None, "regions": path}, "--regions needs --genome"),
        ({"regions": path, "input": Path("store")}, "store and --regions: rows are of one"),
        ({"regions": path, "split": "test"}, "regions of a file have no splits"),
        ({"regions": None}, "no input; give a dataset store, a FASTA, or --regions BED --genome STORE"),
        ({"input": TINY / "genome.fa.gz"}, "--genome without --regions"),
        ({"input": TINY / "genome.fa.gz", "genome": None, "stranded": True}, "--stranded without --regions"),
        ({"regions": path, "where": "max_target>1"}, "no column 'max_target'"),
    ):
        with pytest.raises(UsageError, match=message):
            plan(world, tmp_path / "x", **options)
    with pytest.raises(InputError, match="no such file"):
        plan(world, tmp_path / "x", regions=str(tmp_path / "absent.bed"))
    with pytest.raises(InputError, match="no such file or folder"):
        plan(world, tmp_path / "x", regions=path, genome=tmp_path / "absent")
    none = tmp_path / "none.bed"
    none.write_text("w01\t90000000\t90000100\n")
    with pytest.raises(InputError, match=r"none of the 1 regions of .* can be used"):
        plan(world, tmp_path / "x", regions=str(none))


def test_rows_that_are_left_none_of_which_can_be_used(tmp_path: Path, world: World) -> None:
    some = tmp_path / "r.bed"
    some.write_text("chrUn\t5\t100\ta\nw01\t90000000\t90000100\tb\nw01\t500\t600\tc\n")
    for options, count, why in (
        ({"limit": 2}, 2, "1 unknown contig, 1 outside the contig"), ({"where": "name!='c'"}, 2, "1 unknown"),
        ({"where": "start>9", "limit": 1}, 1, "1 outside"), ({"where": "chrom='chrUn'"}, 1, "1 unknown contig"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"none of the {count} rows that are left .*can be used: {why}"):
            plan(world, tmp_path / "x", regions=str(some), **options)
    assert plan(world, tmp_path / "x", regions=str(some), limit=3).params["rows"] == 3


def test_a_chosen_row_of_a_store_that_is_not_kept(tmp_path: Path, world: World) -> None:
    store = shard(
        "regions", tmp_path / "s", genome=world[1], regions=bed(tmp_path / "r.bed", world[3]), length=LENGTH,
        negatives="dinuc:1", stranded=True, test="w03,w01,w00,w02",
    )  # fmt: skip
    rows = tmp_path / "rows.tsv"
    rows.write_text("row\tscore\n0\t1\n4\t1\n")
    spec = plan(world, tmp_path / "x", input=store, genome=None, where="score=1", evaluation=rows)
    with pytest.raises(InputError, match="row 4, which was chosen by --where, has kept=false"):
        open_rows(preview_plan(spec, tmp_path / "x"), name="store")
