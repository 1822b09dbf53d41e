"""The section on scored variants."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from bodies.test_variants import run, vcf
from bodies.test_variants_genes import GENES, GENOME, gtf, small, snvs
from report.test_page import check
from stores import fasta, shard

from drg_hpc.errors import InputError
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.page import write_report
from drg_hpc.results.variants_read import open_variants


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("variants")
    genome = shard("genome", folder / "genome", fasta=[fasta(folder / "genome.fa", GENOME)])
    one, other = GENOME["chr1"][99], GENOME["chr2"][11]
    more = f"chr1\t100\tm\t{one}\t<DEL>,*,N\nchr2\t12\tlong\t{other}\t{other}{'CA' * 9}\n"
    given = vcf(folder / "v.vcf", snvs(80, seed=2), more)
    run(folder / "run", small(folder / "model", length=45, bins=9), genome, given, gtf=gtf(folder / "g.gtf", GENES),
        backgrounds=3, rc_average=True)  # fmt: skip
    return folder


def test_the_strongest_alleles_are_on_the_page(scored: Path, tmp_path: Path) -> None:
    page = write_report(ReportOptions(paths=(scored / "run", scored / "model"), out=tmp_path / "r.html")).read_text()
    words = check(page)
    assert "81 alleles of a VCF, in windows of 45 bases. Effect: alternative minus reference on the link scale" in words
    assert re.search(r"symbolic allele\s*2", words) and re.search(r"unknown bases\s*1", words)
    with h5py.File(scored / "run" / "out.h5") as handle:
        effect, z = handle["effect"][:, 0], handle["background/z"][:, 0]
        starts, names = handle["variants/start"][()], [name.decode() for name in handle["variants/name"]]
        folds, alleles = handle["genes/logSED"][:, 1], handle["genes/allele"][()]
    order = np.argsort(-np.abs(effect), kind="stable")[:10]
    rows = re.findall(r"<tr><td[^>]*>(chr\d:[\d,]+)</td><td[^>]*>([^<]*)</td>(.*?)</tr>", page)
    assert [row[0].partition(":")[2] for row in rows[:10]] == [f"{starts[at] + 1:,}" for at in order]
    for (_, name, rest), at in zip(rows[:10], order, strict=False):
        cells = re.findall(r">([^<]*)</td>", rest)
        assert (name, cells[4], cells[5]) == (names[at][:19] + "…" * (len(names[at]) > 20), f"{effect[at]:.3g}",
                                              f"{z[at]:.3g}")  # fmt: skip
    strongest = np.argmax(np.abs(folds))
    assert f"{folds[strongest]:.3g}" in page and names[alleles[strongest]] in page
    assert f"{len(folds)} pairs of an allele and a gene near it." in words
    assert page.count("<figcaption>") == 3 and "CNhs12184+: effects of 81 alleles" in words
    assert re.search(r"\bnan\b", words) is None


def test_rows_are_read_in_blocks(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drg_hpc.results.variants_read._STEP", 7)
    with h5py.File(scored / "run" / "out.h5") as handle:
        effect = handle["effect"][()]
    with open_variants(scored / "run" / "out.h5") as found:
        for column, rows in enumerate(found.strongest("effect", 5)):
            assert rows.tolist() == np.argsort(-np.abs(effect[:, column]), kind="stable")[:5].tolist()
        edges = np.linspace(-0.01, 0.01, 6)
        expected = np.histogram(effect[:, 1].astype(float), edges)[0]
        np.testing.assert_array_equal(found.histogram("effect", 1, edges), expected)


def test_ratios_are_ranked_by_their_distance_from_one(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drg_hpc.results.variants_read._STEP", 3)
    effect = np.array([[1.5], [0.25], [1.0], [np.nan], [3.0], [-0.9]])
    with h5py.File(tmp_path / "x.h5", "w") as handle:
        handle.attrs["format"] = "drg-variants/1"
        handle["effect"], handle["variants/start"], handle["tracks"] = effect, np.arange(6), [b"a"]
    with open_variants(tmp_path / "x.h5") as found:
        assert [rows.tolist() for rows in found.strongest("effect", 4, ratio=True)] == [[5, 1, 4, 0]]
        assert found.extent("effect", 0) == (-0.9, 3.0)
        assert found.histogram("effect", 0, np.linspace(-0.9, 3.0, 4)).tolist() == [2, 2, 1]
    run(tmp_path / "run", scored / "model", scored / "genome", scored / "v.vcf", compare="divide", pseudo=0.5, limit=70)
    page = write_report(ReportOptions(paths=(tmp_path / "run", scored / "model"), out=tmp_path / "r.html")).read_text()
    assert "alternative divided by reference on the output scale, 0.5 added to both" in check(page)
    with h5py.File(tmp_path / "run" / "out.h5") as handle:
        ratios, starts = handle["effect"][:, 0], handle["variants/start"][()]
    order = np.argsort(-np.abs(np.log2(ratios)), kind="stable")[:10]
    assert (ratios[order] < 1).any() and (ratios[order] > 1).any()
    places = re.findall(r"<tr><td[^>]*>chr\d:([\d,]+)</td>", page)[:10]
    assert places == [f"{starts[at] + 1:,}" for at in order]
    assert page.count("effects of 70 alleles") == 3


def test_another_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as handle:
        handle.attrs["format"] = "drg-predictions/1"
    with pytest.raises(InputError, match="scores of variants"), open_variants(tmp_path / "x.h5"):
        pass
