"""drg-export as a command, on stores and result files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from numpy.typing import NDArray
from stores import TINY, fasta, shard

from drg_hpc.cli.export import ExportOptions, _action
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.results import h5, predictions
from tests.bodies.seqlet_runs import write_attributions, write_done

LENGTH = 12


def export(path: Path, form: str, out: Path, **options: Any) -> dict[str, Any]:
    return _action(ExportOptions.model_validate({"path": path, "format": form, "out": out, **options}))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real windows of hg38 with their tracks at 32 bp."""
    folder = tmp_path_factory.mktemp("tiny")
    shard("genome", folder / "genome", fasta=[TINY / "genome.fa.gz"])
    lines = (TINY / "windows.bed").read_text().split("\n")
    rows = [line.split("\t") for line in lines if line]
    text = "".join(f"{c}\t{s}\t{e}\twin{i}\t0\t{'+-'[i % 2]}\n" for i, (c, s, e, _) in enumerate(rows))
    (folder / "windows.bed").write_text(text)
    shard(
        "regions",
        folder / "data",
        genome=folder / "genome",
        regions=folder / "windows.bed",
        tracks=TINY / "targets.tsv",
        bin=32,
        stranded=True,
    )
    return folder


def test_real_tracks_come_back(tiny: Path, tmp_path: Path) -> None:
    for track, file in (("CNhs12184+", "CNhs12184.plus"), ("CNhs12184-", "CNhs12184.minus"), ("ENCFF136DBS",) * 2):
        out = tmp_path / f"{file}.bw"
        result = export(tiny / "data", "bigwig", out, tracks=track)
        assert result["message"] == f"bigwig: {out} (4 regions, {4 * 65536} bases)" and result["lines"] == []
        with pyBigWig.open(str(out)) as found, pyBigWig.open(str(TINY / "tracks" / f"{file}.bw")) as given:
            assert found.chroms() == given.chroms()
            for contig, size in given.chroms().items():
                np.testing.assert_array_equal(
                    found.values(contig, 0, size, numpy=True), given.values(contig, 0, size, numpy=True)
                )


def test_formats_of_a_store(tiny: Path, tmp_path: Path) -> None:
    assert export(tiny / "data", "bed", tmp_path / "x.bed", split="train")["regions"] == 4
    assert (tmp_path / "x.bed").read_text() == (tiny / "windows.bed").read_text()
    export(tiny / "data", "npz", tmp_path / "t.npz", array="targets/main", tracks="ENCFF136DBS,CNhs12184+")
    with np.load(tmp_path / "t.npz") as found:
        assert found["counts"].shape == (4, 2, 2048) and found["celltypes"].tolist() == ["ENCFF136DBS", "CNhs12184+"]
    export(tiny / "data", "fasta", tmp_path / "x.fa")
    export(tiny / "genome", "fasta", tmp_path / "g.fa")
    assert (tmp_path / "g.fa").read_text().startswith(">w00\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "bigwig"}, r"a bigWig file holds one track, targets/main has CNhs12184\+, .*--tracks"),
        ({"format": "bigwig", "tracks": "CNhs12184"}, r"no track 'CNhs12184' in targets/main; did you mean 'CNhs"),
        ({"format": "tsv"}, "targets/main has 2048 bins a track"),
        ({"format": "fasta", "array": "targets/main"}, "--array targets/main does not fit --format; one of inputs/seq"),
        ({"format": "npz", "array": "targets/other"}, "one of targets/main"),
        ({"format": "bed", "tracks": "x"}, "--tracks is for targets"),
        ({"format": "npz", "split": "tst"}, "no split 'tst'"),
        ({"format": "npz", "out": "x.txt/y.npz"}, "no such folder"),
    ],
)
def test_what_does_not_fit(tiny: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    out = tmp_path / options.pop("out", "x")
    with pytest.raises((UsageError, InputError), match=message):
        export(tiny / "data", options.pop("format"), out, **options)
    assert list(tmp_path.iterdir()) == []


def test_other_paths(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a genome store, it has no bed; --format fasta"):
        export(tiny / "genome", "bed", tmp_path / "x")
    with pytest.raises(InputError, match="no such file or folder"):
        export(tmp_path / "absent", "bed", tmp_path / "x")
    (tmp_path / "x.sizes").write_text("w00\t99\n")
    with pytest.raises(CorruptError, match="is not an HDF5 file"):
        export(tmp_path / "x.sizes", "bed", tmp_path / "x")
    with h5.create(tmp_path / "other.h5") as other:
        h5.write_array(other, "x", np.zeros(3))
    with pytest.raises(InputError, match="holds neither attributions nor predictions"):
        export(tmp_path / "other.h5", "bed", tmp_path / "x")


def test_several_modalities_are_named(tmp_path: Path) -> None:
    fasta(tmp_path / "x.fa", {"a": "ACGT", "b": "ACGA"})
    for name in ("m", "n"):
        (tmp_path / f"{name}.tsv").write_text(f"x\t{name}0\na\t1\nb\t2\n")
    counts = [str(tmp_path / "m.tsv"), f"other={tmp_path / 'n.tsv'}"]
    shard("sequences", tmp_path / "run", sequences=tmp_path / "x.fa", counts=counts)
    with pytest.raises(UsageError, match="has targets/m, targets/other; choose one with --array"):
        export(tmp_path / "run", "tsv", tmp_path / "x.tsv")
    export(tmp_path / "run", "tsv", tmp_path / "x.tsv", array="targets/other")
    assert (tmp_path / "x.tsv").read_text() == "name\tn0\na\t1.0\nb\t2.0\n"
    export(tmp_path / "run", "npz", tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as found:
        assert found["genenames"].tolist() == ["a", "b"]


@pytest.fixture
def attributions(tmp_path: Path) -> tuple[Path, NDArray[np.float32]]:
    rows = 70  # more than a block
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, LENGTH)).astype(np.float32)
    onehot = np.eye(4, dtype=np.int8)[rng.integers(0, 4, (rows, LENGTH))].transpose(0, 2, 1)
    origin = ["given"] * rows
    origin[5] = "dinuc"
    columns = {"chrom": ["chr9"] * 69 + [""], "origin": origin}
    columns |= {"start": (7 * np.arange(rows)).tolist(), "end": (7 * np.arange(rows) + LENGTH).tolist()}
    write_attributions(
        tmp_path / "out.h5", values, onehot, tracks=2, keep=True, attributes={"stranded": True}, **columns
    )
    (tmp_path / "g.sizes").write_text("chr1\t10\nchr9\t400\n")
    return tmp_path, values


def test_attributions_as_bigwig(attributions: tuple[Path, NDArray[np.float32]]) -> None:
    folder, values = attributions
    result = export(
        folder / "out.h5", "bigwig", folder / "x.bw", array="tracks/00001/projected", genome=folder / "g.sizes"
    )
    assert result["left_out"] == {
        "rows are not kept": 1,
        "shuffled sequences are not on the genome": 1,
        "rows have no coordinates": 1,
        "rows lie off their contig": 11,
    }
    assert result["lines"][3] == "left out: 11 rows lie off their contig"
    covered: dict[int, list[float]] = {}
    for row in range(69):
        if row in (3, 5) or 7 * row >= 400:  # not kept, shuffled, off the contig
            continue
        found = values[row] * 2
        for i, value in enumerate(found[::-1] if row % 2 else found):
            covered.setdefault(7 * row + i, []).append(float(value))
    expected = [np.mean(covered.get(at, [np.nan])) for at in range(400)]
    with pyBigWig.open(str(folder / "x.bw")) as handle:
        assert handle.chroms() == {"chr1": 10, "chr9": 400} and handle.intervals("chr1") is None
        np.testing.assert_allclose(handle.values("chr9", 0, 400), expected, rtol=1e-6)


def test_results_as_bed_and_what_they_do_not_have(attributions: tuple[Path, NDArray[np.float32]]) -> None:
    folder, _ = attributions
    assert export(folder / "out.h5", "bed", folder / "x.bed")["regions"] == 67
    first, second = (folder / "x.bed").read_text().splitlines()[:2]
    assert (first, second) == ("chr9\t0\t12\tr0\t0\t+", "chr9\t7\t19\tr1\t0\t-")
    write_done(folder, "attr", {"rows": 70})
    assert export(folder, "bed", folder / "y.bed")["regions"] == 67  # a RUN
    sizes = {"genome": folder / "g.sizes"}
    for options, message in (
        ({"format": "bigwig", "array": "tracks/00000/projected"}, "does not know its contigs; give --genome"),
        ({"format": "bigwig", **sizes}, "choose one with --array, such as tracks/00000/projected"),
        ({"format": "bigwig", "array": "raw/seq", **sizes}, "it has .*tracks/00000/projected"),
        ({"format": "npz"}, "is a result file, it has no npz"),
        ({"format": "bed", "split": "test"}, "--split is for dataset stores"),
    ):
        with pytest.raises(UsageError, match=message):
            export(folder / "out.h5", str(options.pop("format")), folder / "z", **options)


def test_another_file_than_the_run_made(attributions: tuple[Path, NDArray[np.float32]]) -> None:
    folder, _ = attributions
    write_done(folder, "attr", {"rows": 70})
    raw = bytearray((folder / "out.h5").read_bytes())
    raw[-9] ^= 1
    (folder / "out.h5").write_bytes(raw)
    for path in (folder, folder / "out.h5"):
        with pytest.raises(CorruptError, match=r"done\.json lists: another sha256"):
            export(path, "bed", folder / "y.bed")


def test_binned_predictions_as_bigwig(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    regions = pd.DataFrame({"chrom": ["c", "c"], "start": [0, 20], "end": [12, 32], "name": ["a", "b"], "reason": ""})
    regions = regions.assign(strand=["+", "-"], kept=True, origin=["given", "gc"], row=[0, 1])
    predictions.write_part(tmp_path / "p.h5", regions=regions, values=values)
    part = h5.PartFile(tmp_path / "p.h5", 0, 2)
    predictions.merge([part], tmp_path / "out.h5", tracks=["t", "u"], scale="link", attributes={})
    (tmp_path / "g.sizes").write_text("c\t40\n")
    result = export(tmp_path / "out.h5", "bigwig", tmp_path / "x.bw", tracks="u", genome=tmp_path / "g.sizes")
    assert result["bases"] == 24
    with pyBigWig.open(str(tmp_path / "x.bw")) as handle:
        assert handle.intervals("c") == (
            (0, 4, 3.0), (4, 8, 4.0), (8, 12, 5.0), (20, 24, 11.0), (24, 28, 10.0), (28, 32, 9.0),
        )  # fmt: skip
    with pytest.raises(UsageError, match="a bigWig file holds one track"):
        export(tmp_path / "out.h5", "bigwig", tmp_path / "y.bw", genome=tmp_path / "g.sizes")
