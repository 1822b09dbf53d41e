"""Attributions for other programs: bigWig, BED, modisco, finemo and DRG files of what an attribution file holds."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import pytest

from drg_hpc.cli.export import ExportOptions, _action
from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.npz import load_codes
from drg_hpc.genome.npz_blocks import NpzReader
from drg_hpc.results.export_kinds import KINDS, check_exports, export_bytes, parse_exports
from drg_hpc.results.exports import write_exports
from tests.results.attribution_files import TWO, Truth, make_truth, plain, write_file

CONTIGS = {"chr0": 20_000, "chr1": 10_000}
SIZES = "chr0\t20000\nchr1\t10000\n"


def loaded(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def export(path: Path, form: str, out: Path, **options: Any) -> dict[str, Any]:
    return _action(ExportOptions.model_validate({"path": path, "format": form, "out": out, **options}))


def on_genome(values: np.ndarray, starts: list[int], turned: list[bool], size: int) -> np.ndarray:
    """Mean over rows of each base of a contig, NaN where there is none."""
    sums, counts = np.zeros(size), np.zeros(size)
    for row, start, minus in zip(values, starts, turned, strict=True):
        own = row[::-1] if minus else row
        for i, value in enumerate(own):
            if 0 <= start + i < size and not np.isnan(value):
                sums[start + i] += value
                counts[start + i] += 1
    with np.errstate(invalid="ignore"):
        return sums / counts


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """Overlapping regions on two strands, one beyond its contig's start, one shuffled, one without coordinates, two not
    kept."""
    origin, chrom = np.array(["given"] * 150, object), np.array(["chr1"] * 150, object)
    origin[10], chrom[11] = "dinuc", ""
    start = np.arange(150) * 13 - 20
    places = {"start": start, "end": start + 30, "origin": origin, "chrom": chrom}
    truth = make_truth(plain(keep_form=True, delta=True), seed=1, unkept=(3, 70), **places)
    return write_file(tmp_path_factory.mktemp("whole") / "run", truth), truth


def test_all_kinds_at_once(tmp_path: Path, whole: tuple[Path, Truth]) -> None:
    path, _ = whole
    done = write_exports(path, KINDS, tmp_path / "export", contigs=CONTIGS)
    files = sorted(str(found.relative_to(tmp_path / "export")) for found in (tmp_path / "export").rglob("*.*"))
    assert files == [
        "bigwig/00000.a.bw", "bigwig/00007.b_c_d.bw", "drg/attributions.npz", "drg/sequences.npz",
        "finemo/00000.a.npz", "finemo/00007.b_c_d.npz", "modisco/00000.a.npz", "modisco/00007.b_c_d.npz",
        "modisco/regions.bed", "modisco/sequences.npz", "regions.bed",
    ]  # fmt: skip
    off = {"shuffled sequences are not on the genome": 1, "rows have no coordinates": 1}
    assert done["bed"] == {"regions": 146, "left_out": {"rows are not kept": 2, **off}}
    assert done["modisco"] == {"rows": 148, "tracks": 2, "left_out": {"rows are not kept": 2}}
    assert list(done) == list(KINDS)


def test_bigwig(tmp_path: Path, whole: tuple[Path, Truth]) -> None:
    path, truth = whole
    write_exports(path, ["bigwig"], tmp_path / "x", contigs=CONTIGS)
    there = truth.kept & (np.arange(150) != 10) & (np.arange(150) != 11)
    starts = truth.regions["start"].to_numpy()[there].tolist()
    minus = (truth.regions["strand"] == "-").to_numpy()[there].tolist()
    for i, name in enumerate(("00000.a", "00007.b_c_d")):
        expected = on_genome(truth.projected(i)[there], starts, minus, 10_000)
        with pyBigWig.open(str(tmp_path / "x" / "bigwig" / f"{name}.bw")) as found:
            np.testing.assert_allclose(found.values("chr1", 0, 10_000), expected, rtol=1e-5)
    export(path, "bigwig", tmp_path / "one.bw", tracks="b/c d", genome=_sizes(tmp_path))
    made = (tmp_path / "x" / "bigwig" / "00007.b_c_d.bw").read_bytes()
    assert (tmp_path / "one.bw").read_bytes() == made


def _sizes(folder: Path) -> Path:
    (folder / "g.sizes").write_text(SIZES)
    return folder / "g.sizes"


def test_modisco(tmp_path: Path, whole: tuple[Path, Truth]) -> None:
    path, truth = whole
    assert export(path, "modisco", tmp_path / "m", tracks="b/c d")["rows"] == 148
    assert sorted(found.name for found in (tmp_path / "m").iterdir()) == [
        "00007.b_c_d.npz", "regions.bed", "sequences.npz",
    ]  # fmt: skip
    sequences, values = (loaded(tmp_path / "m" / name)["arr_0"] for name in ("sequences.npz", "00007.b_c_d.npz"))
    assert (sequences.dtype, values.dtype) == (np.int8, np.float32)
    np.testing.assert_array_equal(sequences, truth.onehot[0][truth.kept])
    np.testing.assert_array_equal(values, truth.multipliers[0][1][truth.kept])
    lines = [line.split("\t") for line in (tmp_path / "m" / "regions.bed").read_text().splitlines()]
    assert [fields[3] for fields in lines] == truth.regions["name"][truth.kept].tolist()
    assert lines[9] == ["r10", "0", "30", "r10", "0", "+"] and lines[10][0] == "r11"


def test_finemo_is_in_genome_direction(tmp_path: Path, whole: tuple[Path, Truth]) -> None:
    path, truth = whole
    export(path, "finemo", tmp_path / "f", genome=_sizes(tmp_path))
    found = loaded(tmp_path / "f" / "00000.a.npz")
    assert found["sequences"].shape == (148, 4, 30) and found["contributions"].dtype == np.float32
    kinds = {name: found[name].dtype.kind + str(found[name].dtype.itemsize) for name in ("chr_id", "start", "peak_id")}
    assert kinds == {"chr_id": "u4", "start": "i4", "peak_id": "u4"}
    rows = np.flatnonzero(truth.kept)
    minus = ((truth.regions["strand"] == "-") & (truth.regions["origin"] == "given")).to_numpy()
    for i, row in enumerate(rows):
        turn = slice(None, None, -1 if minus[row] else 1)
        np.testing.assert_array_equal(found["sequences"][i], truth.onehot[0][row][turn, turn])
        np.testing.assert_array_equal(found["contributions"][i], truth.multipliers[0][0, row][turn, turn])
    places = {int(row): (str(c), int(s)) for row, c, s in zip(rows, found["chr"], found["start"], strict=True)}
    assert (places[0], places[1], places[10]) == (("chr1", -20), ("chr1", -7), ("r10", 0))
    assert found["chr_id"][:2].tolist() == [1, 1] and found["peak_id"].tolist() == list(range(148))
    assert found["peak_name"].tolist() == truth.regions["name"][truth.kept].tolist()


def test_finemo_takes_projections_of_even_width(tmp_path: Path) -> None:
    truth = make_truth(plain(inputs=(("s", 31),), dtype="float16"), strand="-")
    export(write_file(tmp_path / "run", truth), "finemo", tmp_path / "f", tracks="a")
    found = loaded(tmp_path / "f" / "00000.a.npz")
    assert found["contributions"].dtype == np.float16
    np.testing.assert_array_equal(found["contributions"], truth.projected(0)[:, ::-1][:, :30].astype(np.float16))
    np.testing.assert_array_equal(found["sequences"], truth.onehot[0][:, ::-1, ::-1][:, :, :30])


def test_drg(tmp_path: Path, whole: tuple[Path, Truth]) -> None:
    path, truth = whole
    export(path, "drg", tmp_path / "d")
    found = loaded(tmp_path / "d" / "attributions.npz")
    assert found["experiments"].tolist() == ["a", "b/c d"]
    assert found["names"].tolist() == truth.regions["name"][truth.kept].tolist()
    assert found["values"].dtype == np.float32
    np.testing.assert_array_equal(found["values"], truth.multipliers[0][:, truth.kept].transpose(1, 0, 2, 3))
    names, codes = load_codes(tmp_path / "d" / "sequences.npz")
    assert names == found["names"].tolist()
    onehot = truth.onehot[0][truth.kept]
    np.testing.assert_array_equal(codes, np.where(onehot.any(axis=1), onehot.argmax(axis=1), 4))


def test_drg_of_sparse_attributions(tmp_path: Path) -> None:
    truth = make_truth(plain(top=5), unkept=(3,))
    path = write_file(tmp_path / "run", truth)
    export(path, "drg", tmp_path / "d", tracks="b/c d")
    values = loaded(tmp_path / "d" / "attributions.npz")["values"]
    assert (values.dtype, values.shape) == (np.float64, (149, 1, 5, 5))
    rows = np.flatnonzero(truth.kept)
    for i, row in enumerate(rows):
        at = values[i, 0, 4].astype(int)
        np.testing.assert_allclose(values[i, 0, :4], (truth.onehot[0][row] * truth.projected(1)[row])[:, at], rtol=1e-6)
    for kind in ("modisco", "finemo"):
        with pytest.raises(InputError, match=f"strongest positions of 'a' only, {kind} needs all of them"):
            export(path, kind, tmp_path / kind)
        assert not (tmp_path / kind).exists()
    write_exports(path, ["bigwig"], tmp_path / "x", contigs=CONTIGS)
    with pyBigWig.open(str(tmp_path / "x" / "bigwig" / "00000.a.bw")) as found:
        assert sum(end - start for start, end, _ in found.intervals("chr1")) == 5 * 99  # chr1 ends where row 100 starts


@pytest.mark.parametrize("lengths", [(30, 20), (30, 30)], ids=["unequal", "equal"])
def test_several_inputs(tmp_path: Path, lengths: tuple[int, int]) -> None:
    inputs = tuple((name, length) for (name, _), length in zip(TWO, lengths, strict=True))
    truth = make_truth(plain(inputs=inputs, keep_form=True), unkept=(70,))
    path = write_file(tmp_path / "run", truth)
    done = write_exports(path, KINDS, tmp_path / "x", contigs=CONTIGS)
    assert "reason" not in str(done)
    for kind in ("bigwig", "bed", "modisco", "finemo"):
        assert set(done[kind]) == {"inputs"} and list(done[kind]["inputs"]) == ["promoter", "enhancer"]
    left_out = {"rows are not kept": 1, "rows lie off their contig": 50}  # chr1 ends where row 100 starts
    assert done["bed"]["inputs"]["enhancer"] == {"regions": 99, "left_out": left_out}
    assert done["bed"]["inputs"]["promoter"] == {"regions": 149, "left_out": {"rows are not kept": 1}}
    assert done["modisco"]["inputs"]["promoter"]["rows"] == 149
    assert ("inputs" in done["drg"]) == (lengths[0] != lengths[1])
    for number, (name, length) in enumerate(inputs):
        folder = tmp_path / "x" / "inputs" / name
        expected = on_genome(
            truth.projected(0, number)[truth.kept],
            truth.intervals[name]["start"].to_numpy()[truth.kept].tolist(),
            [False] * 149,
            CONTIGS[f"chr{number}"],
        )
        with pyBigWig.open(str(folder / "bigwig" / "00000.a.bw")) as found:
            np.testing.assert_allclose(found.values(f"chr{number}", 0, len(expected)), expected, rtol=1e-5)
        first = (folder / "regions.bed").read_text().splitlines()[0]
        assert first == f"chr{number}\t{number}\t{length + number}\tr0\t0\t+"
        own = folder / "drg" if lengths[0] != lengths[1] else None
        if own is not None:
            assert loaded(own / "attributions.npz")["values"].shape == (149, 2, 4, length)
    if lengths[0] == lengths[1]:
        values = loaded(tmp_path / "x" / "drg" / "attributions.npz")["values"]
        expected = np.stack(truth.multipliers)[:, :, truth.kept].transpose(0, 2, 1, 3, 4)
        np.testing.assert_array_equal(values, expected)
        assert (tmp_path / "x" / "drg" / "sequences.enhancer.npz").is_file()
    export(path, "bed", tmp_path / "e.bed", input="enhancer", genome=_sizes(tmp_path))
    assert (tmp_path / "e.bed").read_bytes() == (tmp_path / "x" / "inputs" / "enhancer" / "regions.bed").read_bytes()
    with pytest.raises(UsageError, match="2 inputs: promoter, enhancer; choose one with --input NAME"):
        export(path, "bed", tmp_path / "p.bed")
    if lengths[0] != lengths[1]:
        with pytest.raises(InputError, match="unequal lengths, the DRG tools take one; export each input by itself"):
            export(path, "drg", tmp_path / "d")


def test_what_cannot_be_written_is_said_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    truth = make_truth(plain(), chrom="")
    path = write_file(tmp_path / "run", truth)
    with caplog.at_level(logging.WARNING):
        done = write_exports(path, ["bigwig", "bed", "modisco", "finemo"], tmp_path / "x", contigs=CONTIGS)
    assert "no row has a place on the genome" in done["bigwig"]["reason"] and "no bigwig was written" in caplog.text
    assert "no form of all four bases of 'a'" in done["modisco"]["reason"] and "place" in done["bed"]["reason"]
    assert [found.name for found in (tmp_path / "x").iterdir()] == ["finemo"]
    done = write_exports(path, ["bigwig"], tmp_path / "y")
    assert "lengths of contigs are not known" in done["bigwig"]["reason"]
    none = write_file(tmp_path / "none", make_truth(plain(), unkept=tuple(range(150))))
    for kind in ("finemo", "drg"):
        with pytest.raises(InputError, match="has no kept rows"):
            export(none, kind, tmp_path / "z")
    assert not (tmp_path / "z").exists()


def test_a_kind_that_one_input_does_not_allow_leaves_nothing(tmp_path: Path) -> None:
    truth = make_truth(plain(inputs=TWO))
    truth.intervals["enhancer"].loc[:, "chrom"] = ""
    path = write_file(tmp_path / "run", truth)
    done = write_exports(path, ["bigwig", "bed", "finemo"], tmp_path / "x", contigs=CONTIGS)
    assert "place" in done["bed"]["reason"] and "place" in done["bigwig"]["reason"]
    files = {str(found.relative_to(tmp_path / "x")) for found in (tmp_path / "x").rglob("*") if found.is_file()}
    assert files == {f"inputs/{name}/finemo/{file}.npz" for name, _ in TWO for file in ("00000.a", "00007.b_c_d")}


def test_rows_that_each_input_lacks_are_counted_by_input(tmp_path: Path) -> None:
    truth = make_truth(plain(inputs=TWO))
    truth.intervals["enhancer"].loc[:9, "chrom"] = ""
    done = write_exports(write_file(tmp_path / "run", truth), ["bed"], tmp_path / "x")
    assert done["bed"]["inputs"]["promoter"] == {"regions": 150, "left_out": {}}
    assert done["bed"]["inputs"]["enhancer"] == {"regions": 140, "left_out": {"rows have no coordinates": 10}}


SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("bigwig,bed,modisco,finemo,drg", {"keep_form": True}),
    ("bigwig,bed,finemo,drg", {"dtype": "float16"}),
    ("bigwig,bed,modisco,finemo,drg", {"tracks": ((3, "c"),), "dtype": "float16"}),
    ("bigwig,bed,modisco,finemo,drg", {"inputs": (("promoter", 300), ("enhancer", 300)), "keep_form": True}),
    ("bigwig,bed,finemo,drg", {"inputs": (("promoter", 300), ("enhancer", 200))}),
    ("bigwig,bed,drg", {"top": 40}),
]


@pytest.mark.parametrize(("kinds", "changes"), SHAPES)
def test_bytes_that_a_plan_counts(tmp_path: Path, kinds: str, changes: dict[str, Any]) -> None:
    truth = make_truth(plain(**({"inputs": (("sequence", 300),)} | changes)), rows=400)
    truth.regions["start"] *= 4
    truth.regions["end"] = truth.regions["start"] + 300
    for place, (_, length) in zip(truth.intervals.values(), truth.layout.inputs, strict=True):
        place["start"], place["end"] = place["start"] * 4, place["start"] * 4 + length
    sizes = {f"chr{i}": 200_000 for i in range(3)}
    done = write_exports(write_file(tmp_path / "run", truth), kinds.split(","), tmp_path / "x", contigs=sizes)
    assert "reason" not in str(done)
    for kind in kinds.split(","):
        name = "regions.bed" if kind == "bed" else kind
        files = [f for top in (tmp_path / "x").rglob(name) for f in ([top] if top.is_file() else top.iterdir())
                 if kind == "bed" or top.is_dir()]  # fmt: skip
        counted = export_bytes([kind], truth.layout, 400)
        written = sum(file.stat().st_size for file in files)
        assert 0 < written <= counted
        whole = sum(array.nbytes for file in files if file.suffix == ".npz" for array in loaded(file).values())
        if whole:
            assert whole == pytest.approx(counted, rel=0.1)
        else:
            assert counted < 3 * written + 50_000
    assert export_bytes(kinds.split(","), truth.layout, 400) == sum(
        export_bytes([kind], truth.layout, 400) for kind in kinds.split(",")
    )
    assert export_bytes([], truth.layout, 400) == 0


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[Path, Truth]) -> None:
    path, _ = whole
    write_exports(path, ["modisco", "finemo", "drg"], tmp_path / "once")
    monkeypatch.setattr("drg_hpc.results.exports_arrays._BLOCK_BYTES", 20_000)
    write_exports(path, ["modisco", "finemo", "drg"], tmp_path / "blocks")
    for file in (tmp_path / "once").rglob("*.npz"):
        other = loaded(tmp_path / "blocks" / file.relative_to(tmp_path / "once"))
        for name, values in loaded(file).items():
            np.testing.assert_array_equal(values, other[name])
            with NpzReader(file) as reader:
                assert name in reader


def test_command_line(tmp_path: Path, whole: tuple[Path, Truth]) -> None:
    path, _ = whole
    (tmp_path / "taken").mkdir()
    sizes = _sizes(tmp_path)
    for options, kind, message in (
        ({"format": "drg", "out": tmp_path / "taken"}, UsageError, "taken exists"),
        ({"format": "drg", "out": tmp_path / "no" / "d"}, InputError, "no such folder"),
        ({"format": "drg", "tracks": "c"}, UsageError, "--tracks: no track 'c'"),
        ({"format": "npz"}, UsageError, "it has no npz; --format bed, bigwig, modisco, finemo, drg"),
        ({"format": "bed", "input": "x"}, UsageError, r"no input 'x' .* leave it out"),
        ({"format": "bigwig", "genome": sizes, "tracks": "a,b/c d"}, UsageError, "a bigWig file holds one track"),
        ({"format": "bigwig", "genome": sizes, "tracks": "a", "array": "tracks/00000/projected"}, UsageError,
         "leave out --array or --tracks"),
    ):  # fmt: skip
        with pytest.raises(kind, match=message):
            export(path, str(options.pop("format")), Path(str(options.pop("out", tmp_path / "x"))), **options)


def test_kinds() -> None:
    assert parse_exports(None) == () and parse_exports("bed, bigwig,bed") == ("bigwig", "bed")
    for text, message in (("bedd", "no kind 'bedd'; did you mean 'bed'"), (",", "names nothing")):
        with pytest.raises(UsageError, match=message):
            parse_exports(text)
    check_exports(KINDS, plain(keep_form=True), contigs=True)
    check_exports(KINDS, plain(tracks=((0, "a"),)), contigs=True)
    check_exports(KINDS, plain(form="tism", keep_form=True, form_is_contribution=False), contigs=True)
    check_exports(["bed", "finemo", "drg"], plain(), contigs=False)
    for kinds, layout, contigs, message in (
        (["bigwig"], plain(), False, "needs the lengths of contigs"),
        (["modisco"], plain(), True, "needs a form of all four bases"),
        (["modisco"], plain(form="global", keep_form=True, form_is_contribution=False), True, "needs a form of all"),
        (["finemo"], plain(top=5), True, "needs all positions; leave --top out"),
        (["drg"], plain(tracks=()), True, "attention scores are no attributions"),
    ):
        with pytest.raises(UsageError, match=message):
            check_exports(kinds, layout, contigs=contigs)
