"""Where drg-ablate finds pieces: in a BED file, in seqlets, in a folder of drg-motifs; and the table of named ones."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from bodies.ablate_runs import ablate, onehot, options_of, plain_effect, predictor, read
from bodies.test_perturb_find import regions, write_sites
from prediction.small_world import letters, make_model
from scipy.stats import wilcoxon
from stores import fasta

from drg_hpc.bodies import ablate_plan
from drg_hpc.bodies.ablate_find import Listed, _of_lines
from drg_hpc.errors import CorruptError, DrgError, InputError, UsageError
from drg_hpc.files import describe_files, read_json, sha256_file, write_json
from drg_hpc.genome.onehot import encode
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import UserConfig
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.registry import build
from drg_hpc.results import seqlets
from drg_hpc.results.ablation_read import read_ablation

LENGTH = 40
RNG = np.random.default_rng(0)
RECORDS = {f"s{i}": letters(RNG, LENGTH) for i in range(20)}
_VALUE = "track '[^']+'"
World = tuple[Path, Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    make_model(folder / "model", length=LENGTH)
    return folder / "model", fasta(folder / "x.fa", RECORDS)


def bed(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def placed(found: Listed, rows: int) -> list[tuple[int, int, int, str, int]]:
    names = [*found.names, "."]
    every = [(row, found.of(row)) for row in range(rows)]
    return [
        (row, *(int(getattr(each, key)[n]) for key in ("start", "end")), names[each.name[n]], int(each.strand[n]))
        for row, each in every for n in range(len(each))
    ]  # fmt: skip


def test_lines_on_the_genome_and_within_sequences(tmp_path: Path) -> None:
    lines = ["chr1\t102\t105\tA\t0\t+", "chr1\t109\t111\tA", "chr1\t103\t109\tB\t0\t-", "own\t1\t4\tA\t0\t-"]
    path = bed(tmp_path / "x.bed", *lines, "chr1\t101\t104")
    rows = [
        {"start": 100, "end": 110},
        {"start": 100, "end": 110, "strand": "-"},
        {"start": 100, "end": 110, "origin": "dinuc"},
        {"chrom": "own", "start": 0, "end": 10, "name": "own"},
    ]
    found = _of_lines(path, regions(rows), length=10)
    assert found.names == ["A", "B"]
    assert placed(found, 4) == [
        (0, 1, 4, ".", 0), (0, 2, 5, "A", 1), (0, 3, 9, "B", -1),
        (1, 1, 7, "B", 1), (1, 5, 8, "A", -1), (1, 6, 9, ".", 0),
        (3, 1, 4, "A", -1),
    ]  # fmt: skip


def test_a_row_that_is_called_like_its_contig(tmp_path: Path) -> None:
    path = bed(tmp_path / "x.bed", "chr1\t102\t105\tA\t0\t+")
    rows = regions([{"start": 100, "end": 110, "name": "chr1", "strand": "-"}])
    assert placed(_of_lines(path, rows, length=10), 1) == [(0, 5, 8, "A", -1)]


def test_contigs_of_another_naming(tmp_path: Path) -> None:
    path = bed(tmp_path / "x.bed", "1\t102\t105\tA", "2\t1\t5\tA")
    assert placed(_of_lines(path, regions([{"start": 100, "end": 110}]), length=10), 1) == [(0, 2, 5, "A", 0)]
    with pytest.raises(InputError, match="shares no contig with the genome: 7 against chr1"):
        _of_lines(bed(tmp_path / "y.bed", "7\t1\t5"), regions([{}]), length=10)


def test_effects_of_named_spans_and_their_table(world: World, tmp_path: Path) -> None:
    """Each span by a plain calculation; a span under two names has one effect; a sequence counts once."""
    lines = [f"s{i}\t{i}\t{i + 6}\tA\t0\t+" for i in range(15)] + [f"s{i}\t25\t32\tA" for i in range(5)]
    lines += ["s3\t25\t32\tB", "s4\t0\t40", "zz\t1\t2\tA"]
    done = ablate(tmp_path / "run", *world, spans=bed(tmp_path / "x.bed", *lines), shuffles=5, seed=9)
    assert done["summary"] | {"replaced": 22, "names": 2} == done["summary"]
    found, predict = read(tmp_path / "run"), predictor(load_model(world[0]))
    how = {"replace": "mono", "copies": 5, "seed": 9}
    for at, row in enumerate(found["pieces/row"].tolist()):
        span = int(found["pieces/start"][at]), int(found["pieces/end"][at])
        effect, sd = plain_effect(predict, encode(RECORDS[f"s{row}"].encode()), row, span, **how)
        np.testing.assert_allclose(found["effect"][at], effect, atol=2e-6)
        np.testing.assert_allclose(found["sd"][at], sd, atol=2e-6)
    twice = found["effect"][(found["pieces/row"] == 3) & (found["pieces/start"] == 25)]
    np.testing.assert_array_equal(twice[0], twice[1])
    assert np.isnan(found["value"][15:]).all() and "positions" not in found
    with read_ablation(tmp_path / "run") as opened:
        table, pieces = opened.table(), opened.piece_table()
    assert table is not None and pieces["name"].value_counts().to_dict() == {"A": 20, "B": 1, ".": 1}
    assert pieces.loc[pieces["name"] == "A", "strand"].value_counts().to_dict() == {"+": 15, ".": 5}
    means = pieces[pieces["name"] == "A"].groupby("row")["b"].mean().to_numpy(np.float64)
    line = table[(table["name"] == "A") & (table["track"] == "b")].iloc[0]
    assert (line["sequences"], line["pieces"]) == (15, 20) and line["mean"] == pytest.approx(means.mean(), rel=1e-5)
    assert line["p"] == pytest.approx(wilcoxon(means).pvalue) and line["low"] < line["mean"] < line["high"]
    with open(tmp_path / "run" / "summary.tsv") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert [(row["name"], row["track"]) for row in rows] == [("A", "a"), ("A", "b"), ("B", "a"), ("B", "b")]
    assert rows[2]["p"] == rows[2]["q"] == "" and rows[2]["note"] == "1 sequence, a test needs 6"


@pytest.mark.parametrize("pieces", [{"windows": "6"}, {"spans": "x.bed"}])
def test_values_that_are_not_finite(tmp_path: Path, pieces: dict[str, Any]) -> None:
    """A ratio of values of opposite signs has no logarithm: said of the sequence, or of a copy of it."""
    config = UserConfig(factory="bodies.marginal_nets:Linear", kwargs={"length": LENGTH})
    model = build(config, ModelShape.single(LENGTH, 2, link="identity")).eval()
    save_model(model, tmp_path / "model", config, ["a", "b"])
    records = {f"s{i}": letters(np.random.default_rng(i), LENGTH) for i in range(30)}
    with torch.no_grad():
        x = torch.from_numpy(np.stack([onehot(encode(text.encode())) for text in records.values()]))
        ratio = (model(x)[:, 0] / model(x)[:, 1]).numpy()
    bad = int((ratio < 0).argmax())
    assert (ratio > 0).any() and ratio[bad] < 0
    given = {name: text for (name, text), r in zip(records.items(), ratio, strict=True) if r > 0}
    bed(tmp_path / "x.bed", *(f"{name}\t3\t9\tA" for name in records))
    chosen: dict[str, Any] = {"transform": "specificity:on=a:compare=log2fc", "shuffles": 30} | {
        name: tmp_path / value if name == "spans" else value for name, value in pieces.items()
    }
    with pytest.raises(InputError, match=rf"the prediction of {_VALUE} is nan at row {bad} of the input; the stat"):
        ablate(tmp_path / "one", tmp_path / "model", fasta(tmp_path / "x.fa", records), **chosen)
    with pytest.raises(InputError, match=rf"the prediction of a changed copy of {_VALUE} is nan at row \d+ of the inp"):
        ablate(tmp_path / "two", tmp_path / "model", fasta(tmp_path / "y.fa", given), **chosen)


def test_other_pieces_change_nothing_in_one(world: World, tmp_path: Path) -> None:
    lines = [f"s{i}\t{3 + i}\t{9 + i}\tA" for i in range(6)]
    ablate(tmp_path / "some", *world, spans=bed(tmp_path / "x.bed", *lines), shuffles=3, format="h5")
    more = [*lines, "s1\t0\t30\tC", "s1\t7\t12\tB", "s2\t0\t6\tA"]
    ablate(tmp_path / "more", *world, spans=bed(tmp_path / "y.bed", *more), shuffles=3, limit=4)
    some, other = read(tmp_path / "some"), read(tmp_path / "more")
    assert not (tmp_path / "some" / "out.tsv").exists() and (tmp_path / "some" / "summary.tsv").exists()
    for row in range(4):
        one, two = ((x["pieces/row"] == row) & (x["pieces/start"] == 3 + row) for x in (some, other))
        np.testing.assert_allclose(some["effect"][one], other["effect"][two], atol=1e-7)


def test_shards_without_pieces(world: World, tmp_path: Path) -> None:
    """The same bytes, whichever shards have some."""
    given = fasta(tmp_path / "x.fa", {f"s{i}": letters(RNG, LENGTH) for i in range(150)})
    spans = bed(tmp_path / "x.bed", "s70\t3\t9\tA", "s90\t3\t9\tB", "s70\t1\t4\tB")
    for shards in (1, 3):
        done = ablate(tmp_path / str(shards), world[0], given, spans=spans, shuffles=2, shards=shards)
        assert done["summary"]["replaced"] == 3
    for name in ("out.h5", "out.tsv", "summary.tsv"):
        assert sha256_file(tmp_path / "1" / name) == sha256_file(tmp_path / "3" / name), name


def write_seqlets(path: Path, rows: list[tuple[int, str, int, int, int, int]]) -> Path:
    """A file of seqlets: row, name of the sequence, start, end, sign, track."""
    columns = ("row", "name", "start", "end", "sign", "track")
    table = pd.DataFrame(dict(zip(columns, zip(*rows, strict=True), strict=True)))
    table = table.assign(attribution=1.0, p_value=0.1, chrom="", origin="given", genome_start=0, genome_end=0)
    none = np.zeros((len(rows), 4, 8))
    with seqlets.PartWriter(path.with_suffix(".part"), window=8) as out:
        out.add(table, contribution=none.astype(np.float32), sequence=none.astype(np.int8))
    seqlets.merge_parts([path.with_suffix(".part")], path, {"tracks": ["liver", "brain"]})
    return path


def test_seqlets_by_the_names_of_their_sequences(world: World, tmp_path: Path) -> None:
    rows = [(7, "s2", 3, 10, 1, 0), (7, "s2", 30, 40, -1, 1), (9, "s0", 5, 9, 1, 1), (11, "elsewhere", 0, 4, 1, 0)]
    ablate(tmp_path / "run", *world, seqlets=write_seqlets(tmp_path / "s.h5", rows), shuffles=2)
    with read_ablation(tmp_path / "run") as opened:
        found = opened.piece_table()
    listed = list(zip(found["row"], found["start"], found["end"], found["name"], strict=True))
    assert listed == [(0, 5, 9, "brain:positive"), (2, 3, 10, "liver:positive"), (2, 30, 40, "brain:negative")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, "x", 0, 4, 1, 0)], "no sequence of .* is among the 20 here: 'x' there, 's0' here; give the sequences"),
        ([(0, "s1", 0, 4, 1, 0), (1, "s1", 0, 4, 1, 0)], "two sequences of .* are called 's1', so its pieces"),
        ([(0, "s1", 30, 44, 1, 0)], "30-44 of 's1': the sequence has 40 bases here"),
    ],
)
def test_seqlets_of_other_sequences(world: World, tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ablate(tmp_path / "run", *world, seqlets=write_seqlets(tmp_path / "s.h5", rows))
    assert "\n" not in str(caught.value)


def test_sites_of_motifs(world: World, tmp_path: Path) -> None:
    """Those that reach beyond the ends of their sequence are cut."""
    folder = write_sites(tmp_path / "motifs", ["s4", "s5", "s6"])
    ablate(tmp_path / "run", *world, seqlets=folder, shuffles=2)
    with read_ablation(tmp_path / "run") as opened:
        found, table = opened.piece_table(), opened.table()
    listed = list(zip(found["row"], found["start"], found["end"], found["name"], found["strand"], strict=True))
    assert listed == [
        (4, 2, 6, "pos_0", "+"), (4, 8, 12, "pos_1", "+"), (5, 3, 7, "pos_0", "+"), (6, 0, 4, "pos_1", "+")
    ]  # fmt: skip
    assert table is not None and table["sequences"].tolist() == [2, 2, 2, 2]
    (folder / "effects.h5").unlink()
    with pytest.raises(InputError, match="has no sites of its motifs; run drg-motifs with --effects"):
        ablate_plan.plan_shards(options_of(*world, tmp_path / "other", seqlets=folder))


def test_spans_that_lie_nowhere(world: World, tmp_path: Path) -> None:
    cases: list[tuple[str, type[DrgError], str]] = [
        ("s1\t30\t41\tA", InputError, r"x.bed: line 1: 30-41 of s1: the sequence has 40 bases"),
        ("zz\t3\t4\tA", InputError, r"x.bed: no line lies within a sequence \(1 line, 20 sequences\); check the as"),
    ]
    for line, error, message in cases:  # the plan already knows
        with pytest.raises(error, match=message) as caught:
            ablate_plan.plan_shards(options_of(*world, tmp_path / "run", spans=bed(tmp_path / "x.bed", line)))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"no line lies within a sequence \(1 line, 1 sequence\)"):
        _of_lines(bed(tmp_path / "y.bed", "chr1\t5\t15"), regions([{}]), length=10)


def test_what_are_no_pieces(world: World, tmp_path: Path) -> None:
    path = bed(tmp_path / "x.bed", "s1\t3\t9\tA")
    with pytest.raises(UsageError, match="--start has no use without --windows"):
        ablate_plan.plan_shards(options_of(*world, tmp_path / "a", spans=path, start=3))
    ablate(tmp_path / "run", *world, spans=path, shuffles=1)
    with pytest.raises(InputError, match="is a run of drg-ablate, seqlets are wanted"):
        ablate_plan.plan_shards(options_of(*world, tmp_path / "b", seqlets=tmp_path / "run"))
    with pytest.raises(InputError, match="no run of drg-seqlets and no folder of drg-motifs"):
        ablate_plan.plan_shards(options_of(*world, tmp_path / "c", seqlets=world[0]))
    with pytest.raises(InputError, match=r"drg-ablation/1, seqlets \(drg-seqlets/1\) are wanted"):
        ablate(tmp_path / "d", *world, seqlets=Path(shutil.copy(tmp_path / "run" / "out.h5", tmp_path / "x.h5")))
    assert np.isnan(read(tmp_path / "run")["sd"]).all()  # one copy has none
    with open(tmp_path / "run" / "out.tsv") as handle:
        assert next(csv.DictReader(handle, delimiter="\t"))["sd:a"] == ""


def test_what_are_no_ablations(world: World, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as handle:
        handle.attrs["format"] = "other"
    with (
        pytest.raises(InputError, match=r"format 'other', ablations \(drg-ablation/1\) are wanted"),
        read_ablation(tmp_path / "other.h5"),
    ):
        pass
    with h5py.File(tmp_path / "part.h5", "w") as handle:
        handle.attrs["format"] = "drg-ablation/1"
    with pytest.raises(CorruptError, match="has no value"), read_ablation(tmp_path / "part.h5"):
        pass


def test_what_is_no_seqlets_or_damaged(world: World, tmp_path: Path) -> None:
    """Said by the plan; and what it knows of the number of pieces."""
    path = bed(tmp_path / "x.bed", "s1\t3\t9\tA", "s2\t3\t9\tA", "elsewhere\t1\t5\tA")
    with pytest.raises(InputError, match=r"x.bed is not an HDF5 file, seqlets are wanted; give a run of drg-seqlets"):
        ablate_plan.plan_shards(options_of(*world, tmp_path / "a", seqlets=path))
    notes = ablate_plan.plan_shards(options_of(*world, tmp_path / "a", spans=path, shuffles=5)).notes
    assert any(note.startswith("about 10 predictions") for note in notes)
    file = write_seqlets(tmp_path / "s.h5", [(7, "s2", 3, 10, 1, 0)])
    notes = ablate_plan.plan_shards(options_of(*world, tmp_path / "a", seqlets=file, shuffles=5)).notes
    assert any(note.startswith("with one piece a sequence 100 predictions") for note in notes)
    folder = write_sites(tmp_path / "motifs", ["s4", "s5", "s6"])
    notes = ablate_plan.plan_shards(options_of(*world, tmp_path / "a", seqlets=folder, shuffles=5)).notes
    assert any(note.startswith("at most 20 predictions") for note in notes)
    record = read_json(folder / "motifs.json") | {"files": describe_files(folder)}
    write_json(folder / "motifs.json", record)
    (folder / "effects.h5").write_bytes((folder / "effects.h5").read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptError, match=r"effects.h5 is not as it was written: another sha256"):
        ablate_plan.plan_shards(options_of(*world, tmp_path / "a", seqlets=folder))
