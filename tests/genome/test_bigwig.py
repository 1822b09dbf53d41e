from __future__ import annotations

from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from stores import TINY

from drg_hpc.errors import InputError
from drg_hpc.genome.bigwig import BigWig, reduce_values, region_values
from drg_hpc.genome.bigwig_header import read_contigs
from drg_hpc.genome.regions import Region

CONTIGS = {f"w0{i}": 131072 for i in range(4)}
TRACK = TINY / "tracks" / "ENCFF136DBS.bw"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "s.bw"
    with pyBigWig.open(str(path), "w") as handle:
        handle.addHeader([("1", 20)])
        handle.addEntries(["1", "1"], [2, 10], ends=[4, 12], values=[1.0, 5.0])
    return path


def test_means_equal_pybigwig() -> None:
    rng = np.random.default_rng(1)
    starts = rng.integers(30000, 98000, 40)
    regions = [Region(f"w0{rng.integers(4)}", int(s), int(s) + 640, "x") for s in starts]
    with BigWig(TRACK, CONTIGS) as track:
        got = region_values(track, regions, bins=0, reduce="mean", missing="zero")
        bins = region_values(track, regions, bins=5, reduce="sum", missing="zero")
    with pyBigWig.open(str(TRACK)) as handle:
        for i, r in enumerate(regions):
            want = handle.stats(r.chrom, r.start, r.end, type="sum", exact=True)[0] or 0.0
            assert got[i] == pytest.approx(want / 640, abs=1e-6)
            values = np.nan_to_num(handle.values(r.chrom, r.start, r.end, numpy=True)).astype(np.float64)
            np.testing.assert_allclose(bins[i], values.reshape(5, 128).sum(axis=1), rtol=1e-6)


def test_missing_values_and_ends(small: Path) -> None:
    with BigWig(small, {"chr1": 20}) as track:  # named 1 there: one-to-one and equal length
        inside, off = Region("chr1", 0, 12, "a"), Region("chr1", -4, 8, "b")
        zero = region_values(track, [inside, off], bins=3, reduce="mean", missing="zero")
        np.testing.assert_allclose(zero, [[0.5, 0, 2.5], [0, 0.5, 0]])
        masked = region_values(track, [inside, off], bins=3, reduce="mean", missing="mask")
        np.testing.assert_allclose(masked, [[1, np.nan, 5], [np.nan, 1, np.nan]])
        minus = region_values(track, [Region("chr1", 0, 12, "a", "-")], bins=3, reduce="max", missing="zero")
        np.testing.assert_allclose(minus, [[5, 0, 1]])
        lost = region_values(track, [Region("chr9", 0, 12, "a", "+", False)], bins=0, reduce="mean", missing="zero")
        assert np.isnan(lost).all()


@pytest.mark.parametrize("reduce", ["mean", "sum", "max"])
def test_negative_values_masked(reduce: str) -> None:
    values = np.array([-3.0, np.nan, -1.0, np.nan])
    want = {"mean": [-3, -1], "sum": [-3, -1], "max": [-3, -1]}[reduce]
    got = reduce_values(values, bins=2, reduce=reduce, missing="mask")  # type: ignore[arg-type]
    np.testing.assert_allclose(got, want)


def test_contigs_without_pybigwig(tmp_path: Path) -> None:
    assert read_contigs(TRACK) == CONTIGS
    many = {f"contig_{i:05d}": i + 1 for i in range(3000)}  # more than one node of the tree
    with pyBigWig.open(str(tmp_path / "m.bw"), "w") as handle:
        handle.addHeader(list(many.items()))
        handle.addEntries(["contig_00005"], [0], ends=[2], values=[1.0])
    assert read_contigs(tmp_path / "m.bw") == many
    for content, message in ((b"", "not a bigWig"), (TRACK.read_bytes()[:80], "truncated"), (b"junk", "not a bigWig")):
        (tmp_path / "bad.bw").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_contigs(tmp_path / "bad.bw")
    with pytest.raises(InputError, match="no such file"):
        read_contigs(tmp_path / "absent.bw")


def test_faults(tmp_path: Path, small: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        BigWig(tmp_path / "absent.bw", CONTIGS)
    (tmp_path / "junk.bw").write_bytes(b"junk" * 100)
    with pytest.raises(InputError, match="not a bigWig"):
        BigWig(tmp_path / "junk.bw", CONTIGS)
    with pytest.raises(InputError, match="shares no contig with the genome: 1 against w00, w01, w02 …"):
        BigWig(small, CONTIGS)
    with pytest.raises(InputError, match="contig 1 has length 20, the genome's chr1 30"):
        BigWig(small, {"chr1": 30})
