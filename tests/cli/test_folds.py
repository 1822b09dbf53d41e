from __future__ import annotations

import json
import random
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from support import EXAMPLES

from drg_hpc.bodies.split_options import SplitOptions, describe_split, make_splitter
from drg_hpc.cli import folds
from drg_hpc.genome.region_files import Reading, read_regions
from drg_hpc.genome.splits import from_file


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run drg-folds; its exit code, standard output and standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["drg-folds", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            folds.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def bed(path: Path, *, contigs: int = 12) -> Path:
    generator = random.Random(3)
    rows = [
        f"chr{contig}\t{i * 1000}\t{i * 1000 + 500}\tpeak{contig}_{i}\n"
        for contig in range(1, contigs + 1)
        for i in range(generator.randrange(5, 60))
    ]
    path.write_text("".join(rows))
    return path


def test_the_same_sets_as_drg_shard_with_folds(tmp_path: Path, run: Any) -> None:
    path, out = bed(tmp_path / "x.bed"), tmp_path / "folds.txt"
    code, text, _ = run(path, "--folds", 4, "--seed", 5, "-o", out)
    assert code == 0
    assert text.splitlines()[-1].startswith(f"folds: {out}, 4 sets of ")
    rows = list(read_regions(path, Reading("bed")))
    for fold in range(4):
        with_folds = make_splitter(SplitOptions(out=tmp_path, folds=4, fold=fold, seed=5), rows)
        options = SplitOptions(out=tmp_path, split_file=out, fold=fold)
        with_file = make_splitter(options, rows)
        assert [with_folds.assign(r.name, r.chrom) for r in rows] == [with_file.assign(r.name, r.chrom) for r in rows]
        assert describe_split(options, with_file, rows) == []


def test_excluded_chromosomes_are_in_no_set(tmp_path: Path, run: Any) -> None:
    path, out = bed(tmp_path / "x.bed"), tmp_path / "folds.txt"
    code, text, _ = run(path, "--folds", 3, "--exclude", "chr2,chr7,chrY", "-o", out, "--json")
    assert code == 0
    result = json.loads(text)
    rows = list(read_regions(path, Reading("bed")))
    left = [row for row in rows if row.chrom not in ("chr2", "chr7")]
    assert sum(entry["rows"] for entry in result["sets"]) == len(left)
    assert sum(result["excluded"].values()) == len(rows) - len(left)
    assert result["excluded"]["chrY"] == 0
    assert [line.split()[0] for line in out.read_text().splitlines()[::2]] == ["#"] * 3
    splitter = from_file(out, 2)
    for row in rows:
        assert (splitter.assign(row.name, row.chrom)[0] == "excluded") == (row.chrom in ("chr2", "chr7"))
    options = SplitOptions(out=tmp_path, split_file=out, fold=2)
    (note,) = describe_split(options, splitter, rows)
    assert note.startswith(f"{len(rows) - len(left)} rows are in no set of {out} and are excluded")


def test_genes_of_a_gtf_without_gene_rows(tmp_path: Path, run: Any) -> None:
    path, out = tmp_path / "genes.gtf", tmp_path / "folds.txt"
    path.write_text("".join(file.read_text() for file in sorted((EXAMPLES / "genes").glob("*.gtf"))))
    wanted = {}  # gene id -> chromosome, by an independent reading
    for line in path.read_text().splitlines():
        columns = line.split("\t")
        if len(columns) == 9:
            wanted[columns[8].split('gene_id "')[1].split('"')[0]] = columns[0]
    contigs = sorted(set(wanted.values()))
    assert len(contigs) == 4
    code, _, _ = run(path, "--folds", 3, "-o", out, "--exclude", contigs[0])
    assert code == 0
    sets = [line.split() for line in out.read_text().splitlines()[1::2]]
    assert sorted(name for names in sets for name in names) == sorted(n for n, c in wanted.items() if c != contigs[0])
    assert all(not {wanted[n] for n in a} & {wanted[n] for n in b} for a, b in combinations(sets, 2))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--folds", "2"), 2, "folds = '2': must be greater than or equal to 3"),
        (("--folds", "20"), 2, "the rows lie on 12 contigs only"),
        (("--exclude", "1"), 3, "--exclude 1: "),
        (("--feature", "gene"), 2, "--feature gene: only GTF and GFF3"),
        (("--fold", "1"), 2, "--fold"),
    ],
)
def test_what_cannot_be_done(tmp_path: Path, run: Any, arguments: tuple[str, ...], code: int, message: str) -> None:
    out = tmp_path / "folds.txt"
    found, _, error = run(bed(tmp_path / "x.bed"), "-o", out, *arguments)
    assert found == code
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_nothing_is_overwritten_or_half_written(tmp_path: Path, run: Any) -> None:
    path, out = bed(tmp_path / "x.bed"), tmp_path / "folds.txt"
    out.write_text("precious")
    code, _, error = run(path, "-o", out)
    assert (code, out.read_text()) == (2, "precious")
    assert "exists; nothing is overwritten" in error
    code, _, error = run(path, "-o", tmp_path / "no" / "folds.txt")
    assert code == 3
    assert "no such folder" in error
    named = tmp_path / "named.bed"
    named.write_text("chr1\t0\t5\ta b\nchr2\t0\t5\tc\n")
    code, _, error = run(named, "-o", tmp_path / "other.txt")
    assert code == 3
    assert "line 1: a fold file cannot hold the name 'a b'" in error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folds.txt", "named.bed", "x.bed"]
