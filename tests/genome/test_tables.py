"""Targets tables, contig names, assemblies."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from stores import TINY

from drg_hpc.errors import InputError
from drg_hpc.genome import contigs
from drg_hpc.genome.assemblies import check_assembly
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.targets import read_targets


def write(folder: Path, text: str, name: str = "x.tsv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_contig_names(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contigs, "_said", set())
    genome = {"chr1": 100, "chr2": 50, "chrM": 16}
    assert map_contigs(["chr1", "x"], genome, what="b") == {"chr1": "chr1"}
    with caplog.at_level(logging.INFO):
        assert map_contigs(["1", "MT", "2"], genome, what="b") == {"1": "chr1", "MT": "chrM", "2": "chr2"}
        map_contigs(["1", "2"], genome, what="another")
    said = [record.getMessage() for record in caplog.records]
    assert said == ["contig names of b are mapped to the genome's, such as 1 to chr1"]
    assert map_contigs(["chr7"], {"7": 9}, what="b", lengths={"chr7": 9}) == {"chr7": "7"}
    with pytest.raises(InputError, match="1 and chr1 would be the same contig"):
        map_contigs(["chr1", "1"], genome, what="b")
    with pytest.raises(InputError, match=r"shares no contig with the genome: u, v, w … against chr1, chr2, chrM"):
        map_contigs(["u", "v", "w", "x"], genome, what="b")
    with pytest.raises(InputError, match="contig 1 has length 99, the genome's chr1 100"):
        map_contigs(["1"], genome, what="b", lengths={"1": 99})


def test_assemblies() -> None:
    check_assembly("hg38", {"chr1": 248956422, "odd": 5})
    check_assembly("hg38", {"21": 46709983})
    with pytest.raises(InputError, match="chr1 has length 249250621"):
        check_assembly("hg38", {"chr1": 249250621})


def test_targets_table(tmp_path: Path) -> None:
    targets = read_targets(TINY / "targets.tsv")
    assert [(t.name, t.strand_partner) for t in targets] == [("CNhs12184+", 1), ("CNhs12184-", 0), ("ENCFF136DBS", 2)]
    with pytest.raises(InputError, match="no column 'file'"):
        read_targets(write(tmp_path, "\tidentifier\n0\ta\n"))
    with pytest.raises(InputError, match=r"line 2: no such file"):
        read_targets(write(tmp_path, "\tidentifier\tfile\n0\ta\tb.bw\n"))
    write(tmp_path, "", "b.bw")
    with pytest.raises(InputError, match=r"line 2: strand_pair '7'"):
        read_targets(write(tmp_path, "\tidentifier\tfile\tstrand_pair\n0\ta\tb.bw\t7\n"))
    with pytest.raises(InputError, match=r"line 3: identifier 'a' occurs twice"):
        read_targets(write(tmp_path, "\tidentifier\tfile\n0\ta\tb.bw\n1\ta\tb.bw\n"))
