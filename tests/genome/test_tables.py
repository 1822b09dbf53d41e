"""BED, count matrices, targets tables, regions in headers, contig names."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import TINY

from drg_hpc.errors import InputError
from drg_hpc.genome import contigs
from drg_hpc.genome.assemblies import check_assembly
from drg_hpc.genome.bed import read_bed
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.counts import load_matrix, scan_matrix
from drg_hpc.genome.npz import load_onehot
from drg_hpc.genome.regions import Region, centred, parse_region
from drg_hpc.genome.targets import read_targets


def write(folder: Path, text: str, name: str = "x.tsv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_bed_forms(tmp_path: Path) -> None:
    text = "# c\ntrack name=x\nbrowser y\n\nchr1\t0\t10\r\nchr2 5 9 peak . -\nchr3\t1\t2\t.\t0\t+\textra\n"
    assert list(read_bed(write(tmp_path, text))) == [
        Region("chr1", 0, 10, "chr1:0-10", "."),
        Region("chr2", 5, 9, "peak", "-"),
        Region("chr3", 1, 2, "chr3:1-2", "+"),
    ]
    assert len(list(read_bed(TINY / "accessible.bed"))) == 34


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t-1\t5", "line 2: negative start -1"),
        ("chr1\t5\t5", "line 2: end 5 is not above start 5"),
        ("chr1\t5\t1", "line 2: end 1"),
        ("chr1\t1.5\t5", "line 2: start and end must be whole numbers"),
        ("chr1\tx\ty", "whole numbers"),
        ("chr1\t5", "line 2: 2 columns"),
        ("chr1\t1\t5\tn\t0\t?", "strand must be"),
        ("\t1\t5", "contig name is empty"),
    ],
)
def test_bed_faults(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_bed(write(tmp_path, f"chr1\t0\t10\n{line}\n")))


def test_bed_empty_missing_binary(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no regions"):
        list(read_bed(write(tmp_path, "# nothing\n")))
    with pytest.raises(InputError, match="no such file"):
        list(read_bed(tmp_path / "absent"))
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        list(read_bed(tmp_path / "b"))


@given(
    rows=st.lists(
        st.tuples(st.text("chr12_X", min_size=1, max_size=5), st.integers(0, 10**9), st.integers(1, 10**6)), min_size=1
    )
)
def test_any_bed3_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, int]]) -> None:
    text = "".join(f"{chrom}\t{start}\t{start + size}\n" for chrom, start, size in rows)
    found = [(r.chrom, r.start, r.end - r.start) for r in read_bed(write(tmp_path_factory.mktemp("bed"), text))]
    assert found == rows


def test_headers_as_regions() -> None:
    assert parse_region("chr1:10-20", 10) == Region("chr1", 10, 20, "chr1:10-20")
    assert parse_region("chr1:10-20", 11) == Region("chr1", 9, 20, "chr1:10-20")  # samtools: 1-based, closed
    assert parse_region("p::chr1:10-20(-)", 10) == Region("chr1", 10, 20, "p::chr1:10-20(-)", "-")
    assert parse_region("chr1:10-20", 12) is None
    assert parse_region("peak1", 12) is None


@given(st.integers(0, 1000), st.integers(1, 500), st.integers(1, 700))
def test_centring_keeps_the_middle(start: int, size: int, length: int) -> None:
    region = centred(Region("c", start, start + size, "n"), length)
    assert region.end - region.start == length
    assert abs((region.start + region.end) - (2 * start + size)) <= 1
    assert centred(Region("c", start, start + size, "n"), size).start == start


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


def test_matrices_read_alike(tmp_path: Path) -> None:
    names, tracks, values = ["a", "b"], ["t-1", "t+1"], np.array([[1.5, -2], [0, 1e30]])
    csv = write(tmp_path, "#name,t-1,t+1\na,1.5,-2\nb,0,1e30\n", "m.csv")
    tsv = write(tmp_path, "t-1\tt+1\r\na\t1.5\t-2\r\nb\t0\t1e30\r\n", "m.tsv")
    np.savez(tmp_path / "m.npz", counts=values, names=names, celltypes=tracks)
    np.savez(tmp_path / "v.npz", values=values, names=names, columns=tracks)
    pd.DataFrame(values, index=names, columns=tracks).to_parquet(tmp_path / "m.parquet")
    for path in (csv, tsv, tmp_path / "m.npz", tmp_path / "v.npz", tmp_path / "m.parquet"):
        info = scan_matrix(path, allow_missing=False)
        assert (list(info.names), list(info.tracks), info.bins) == (names, tracks, 0)
        found, loaded = load_matrix(path)
        assert found == names
        np.testing.assert_array_equal(loaded, values.astype(np.float32))


@pytest.mark.parametrize("label", ["nan", "", "NA", "x", "inf", "1e39"])
def test_bad_labels_name_row_and_column(tmp_path: Path, label: str) -> None:
    path = write(tmp_path, f"n\tt0\tt1\nr0\t1\t2\nr1\t3\t{label}\n")
    with pytest.raises(InputError, match=r"row 'r1', column 't1': label '.*' is not a finite number"):
        scan_matrix(path, allow_missing=False)


def test_bad_label_in_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", counts=np.array([[0, np.nan]]), names=["r"])
    with pytest.raises(InputError, match="row 'r', column 'C1'"):
        scan_matrix(tmp_path / "m.npz", allow_missing=False)
    assert scan_matrix(tmp_path / "m.npz", allow_missing=True).tracks == ("C0", "C1")
    np.savez(tmp_path / "o.npz", counts=np.array([{}], dtype=object), names=["r"])
    with pytest.raises(InputError, match="cannot read"):
        scan_matrix(tmp_path / "o.npz", allow_missing=True)


def test_missing_labels_when_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, "n\tt0\tt1\nr0\t\tNA\nr1\t3\t4\n")
    scan_matrix(path, allow_missing=True)
    np.testing.assert_array_equal(load_matrix(path)[1], [[np.nan, np.nan], [3, 4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n\tt\na\t1\na\t2\n", "row 'a' occurs twice"),
        ("n\tt\tt\na\t1\t2\n", "track 't' occurs twice"),
        ("n\tt\na\t1\nb\t1\t2\n", "line 3: 3 columns"),
        ("a\t1\nb\t2\n", "no header line"),
        ("n\tt\n", "no labels"),
        ("", "no labels"),
        ("n\na\n", "the header has 1 columns"),
    ],
)
def test_matrix_faults(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scan_matrix(write(tmp_path, text), allow_missing=False)


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


def test_onehot_npz(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    features = np.zeros((1, 3, 4), np.int8)
    features[0, 0, 3] = features[0, 1, 0] = 1
    np.savez(path, seqfeatures=features, genenames=["a"], featurenames=list("TGCA"))
    names, onehot = load_onehot(path)
    assert names == ["a"]
    assert onehot[0].astype(int).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    np.savez(path, seqfeatures=features * 2, genenames=["a"])
    with pytest.raises(InputError, match="not one-hot"):
        load_onehot(path)
    np.savez(path, x=features)
    with pytest.raises(InputError, match="no seqfeatures"):
        load_onehot(path)
