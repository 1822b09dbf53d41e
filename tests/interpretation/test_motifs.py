"""Planted motifs come back: found on both strands, aligned, averaged, trimmed, and named by Tomtom."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bodies.seqlet_runs import write_attributions, write_done
from interpretation.planted import MOTIFS, Planted, named, plant

from drg_hpc.cli.motifs import top_lines
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import sha256_file, walk_files
from drg_hpc.genome.motifs import read_meme, write_meme
from drg_hpc.interpretation.averages import consensus, trim_core
from drg_hpc.interpretation.centres import unit_windows
from drg_hpc.interpretation.clusters import ClusterRule, cluster_windows, sample_rows
from drg_hpc.interpretation.config import MotifsOptions
from drg_hpc.interpretation.motifs import find_motifs, motifs_of
from drg_hpc.interpretation.naming import benjamini_hochberg, best_matches
from drg_hpc.interpretation.seqlet_methods import call_seqlets
from drg_hpc.results import seqlets as seqlet_files
from drg_hpc.results.motifs import read_motifs
from drg_hpc.results.seqlet_source import cut_windows
from drg_hpc.results.seqlets import Seqlets, read_seqlets
from drg_hpc.runs.here import Here

NAMES, SIGNS = ("CTCF", "GATA1", "SPI1", "REST"), [1, 1, -1, 1]


def write_seqlets(path: Path, planted: Planted, *, window: int = 30) -> pd.DataFrame:
    table = call_seqlets(planted.projected)
    row = table["row"].to_numpy()
    centres = (table["start"].to_numpy() + table["end"].to_numpy()) // 2
    full = (planted.onehot * planted.projected[:, None, :]).astype(np.float32)
    table["sign"] = np.sign(table["attribution"]).astype(int)
    table["track"], table["chrom"], table["name"] = 0, "chr1", "r"
    table["origin"] = "given"
    table["genome_start"], table["genome_end"] = table["start"] + row * 1000, table["end"] + row * 1000
    windows = [cut_windows(values, row, centres, window) for values in (full, planted.onehot)]
    seqlet_files.write_seqlets(path, Seqlets(table, *windows, {"form": "projected", "tracks": ["t"], "params": {}}))
    return table


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(named(*NAMES), SIGNS, rows=1200, length=100, noise=0.15, seed=0)


@pytest.fixture(scope="module")
def seqlets(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seqlets") / "seqlets.h5"
    write_seqlets(path, planted)
    return path


@pytest.fixture(scope="module")
def options(seqlets: Path) -> MotifsOptions:
    return MotifsOptions(seqlets=seqlets, database=(MOTIFS,), max_seqlets=400, out=seqlets.parent / "motifs")


@pytest.fixture(scope="module")
def folder(options: MotifsOptions) -> Path:
    return find_motifs(options)


def test_planted_motifs_are_found_and_named(folder: Path) -> None:
    table = pd.read_csv(folder / "matches.tsv", sep="\t")
    assert sorted(table["target"].str.split(".").str[0]) == sorted(NAMES)
    assert (table["q"] <= 1e-3).all() and (table["strand"] == "+").all()
    assert table["strength"].is_monotonic_decreasing
    assert set(table["motif"]) == {"pos_0", "pos_1", "pos_2", "neg_0"}
    negative = table[table["motif"] == "neg_0"].iloc[0]
    assert negative["target"].startswith("SPI1") and negative["sign"] == -1
    np.testing.assert_allclose(table["strength"], table["n_seqlets"] * table["mean_contribution"], rtol=1e-4)


def test_averages_lie_on_the_planted_matrix(folder: Path) -> None:
    by_target = {str(r.facts["target"]).split(".")[0]: r for r in read_motifs(folder)}
    for motif in named(*NAMES):
        record = by_target[motif.name.split(".")[0]]
        start, end, offset = record.facts["start"], record.facts["end"], record.facts["offset"]
        core = record.arrays["pfm"][:, start:end]
        inside = slice(max(0, -offset), min(end - start, motif.width - offset))
        target = motif.pfm[:, offset + inside.start : offset + inside.stop]
        assert np.corrcoef(core[:, inside].ravel(), target.ravel())[0, 1] > 0.97
        assert 5 <= end - start <= motif.width + 2
        cwm = record.arrays["cwm"][:, start:end]
        assert np.sign(cwm.sum()) == record.facts["sign"]


def test_members_point_at_the_planted_sites(folder: Path, planted: Planted, seqlets: Path) -> None:
    table = call_seqlets(planted.projected)
    widths = np.array([motif.width for motif in named(*NAMES)])
    good = total = 0
    for record in read_motifs(folder):
        rows = table.iloc[record.arrays["members/seqlet"]]
        which = planted.motif[rows["row"]]
        site = planted.start[rows["row"]]
        hit = (rows["end"] > site) & (rows["start"] < site + widths[which])
        wanted = np.array([str(record.facts["target"]).startswith(NAMES[i]) for i in which])
        good += int((hit & wanted).sum())
        total += len(rows)
        strand = record.arrays["members/flipped"].astype(bool) == planted.flipped[rows["row"]]
        assert strand[hit].mean() > 0.97
    assert good / total > 0.97 and total > 0.9 * len(table)


def test_meme_output_is_the_trimmed_motif(folder: Path) -> None:
    motifs = read_meme(folder / "motifs.meme")
    records = read_motifs(folder)
    assert [motif.name for motif in motifs] == [record.name for record in records]
    for motif, record in zip(motifs, records, strict=True):
        np.testing.assert_array_equal(motif.pfm, record.arrays["pfm"][:, record.facts["start"] : record.facts["end"]])
        assert motif.nsites == record.facts["n_seqlets"] and motif.alternate == record.facts["target"]


def test_again_is_a_no_op_and_other_settings_are_refused(folder: Path, options: MotifsOptions) -> None:
    before = {name: sha256_file(folder / name) for name in walk_files(folder)}
    assert find_motifs(options) == folder
    assert before == {name: sha256_file(folder / name) for name in walk_files(folder)}
    with pytest.raises(UsageError, match=r"trim: 0.2 there, 0.3 now"):
        find_motifs(options.model_copy(update={"trim": 0.3}))
    header = json.loads((folder / "motifs.json").read_text())
    assert header["format"] == "drg-motifs/1" and len(header["motifs"]) == 4


def test_same_bytes_again(folder: Path, options: MotifsOptions, tmp_path: Path) -> None:
    other = find_motifs(options.model_copy(update={"out": tmp_path / "again"}))
    for name in ("out.h5", "motifs.meme", "matches.tsv", "motifs.json"):
        assert sha256_file(other / name) == sha256_file(folder / name)


def test_without_database_and_without_seqlets(seqlets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = find_motifs(MotifsOptions(seqlets=seqlets, max_seqlets=300, out=tmp_path / "m"))
    table = pd.read_csv(found / "matches.tsv", sep="\t")
    assert table["target"].isna().all() and len(table) == 4
    empty = plant(named("CTCF"), [1], rows=2, length=40, noise=0.1, seed=0)
    empty.projected[:] = 0
    write_seqlets(tmp_path / "none.h5", empty)
    found = find_motifs(MotifsOptions(seqlets=tmp_path / "none.h5", out=tmp_path / "n"))
    assert (found / "matches.tsv").read_text().count("\n") == 1
    assert read_motifs(found) == []
    assert "holds no seqlets; run drg-seqlets with a larger --threshold" in caplog.text
    find_motifs(MotifsOptions(seqlets=seqlets, max_seqlets=300, min_seqlets=100_000, out=tmp_path / "few"))
    assert "seqlets but no motif reached --min-seqlets=100000" in caplog.text


def test_bad_input(seqlets: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="min-overlap 40"):
        find_motifs(MotifsOptions(seqlets=seqlets, min_overlap=40, out=tmp_path / "m"))
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").touch()
    with pytest.raises(UsageError, match="not a motif folder"):
        find_motifs(MotifsOptions(seqlets=seqlets, out=tmp_path / "x"))
    (tmp_path / "bad.meme").write_text("hello")
    with pytest.raises(InputError, match="not a MEME file"):
        find_motifs(MotifsOptions(seqlets=seqlets, database=(tmp_path / "bad.meme",), out=tmp_path / "m"))
    (tmp_path / "seqlets.bed").write_text("chr1\t1\t2\n")
    with pytest.raises(InputError, match=r"not HDF5.*drg-seqlets"):
        find_motifs(MotifsOptions(seqlets=tmp_path / "seqlets.bed", out=tmp_path / "m"))
    planted = plant(named("CTCF"), [1], rows=70, length=40, noise=0.1, seed=0)
    (tmp_path / "attr").mkdir()
    write_attributions(tmp_path / "attr" / "out.h5", planted.projected, planted.onehot, tracks=1, keep=False)
    with pytest.raises(InputError, match=r"drg-attributions/1, seqlets .* are wanted"):
        find_motifs(MotifsOptions(seqlets=tmp_path / "attr" / "out.h5", out=tmp_path / "m"))
    write_done(tmp_path / "attr", "attr", {"rows": 70, "length": 40, "tracks": ["track 0"]})
    with pytest.raises(InputError, match="run of drg-attr, seqlets are wanted"):
        find_motifs(MotifsOptions(seqlets=tmp_path / "attr", out=tmp_path / "m"))
    with pytest.raises(InputError, match="not a seqlet run"):
        find_motifs(MotifsOptions(seqlets=tmp_path, out=tmp_path / "m"))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".m")]


def test_clusters_do_not_depend_on_scale() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1, (3, 4, 20)).astype(np.float32)
    windows = np.repeat(base, 30, axis=0) + rng.normal(0, 0.1, (90, 4, 20)).astype(np.float32)
    windows *= rng.uniform(0.5, 5, (90, 1, 1)).astype(np.float32)
    rule = ClusterRule(similarity=0.7, merge=0.9, min_overlap=12, min_size=5, sample=60, seed=0)
    found = cluster_windows(unit_windows(windows), np.ones(90), rule, pool=Here())
    assert sorted(tuple(np.unique(cluster.members // 30)) for cluster in found) == [(0,), (1,), (2,)]
    assert sum(len(cluster.members) for cluster in found) == 90


def test_sample_holds_the_strongest_and_a_seeded_draw() -> None:
    strength = np.arange(100.0)
    rows = sample_rows(strength, 20, seed=1)
    assert len(set(rows)) == 20 and set(range(90, 100)) <= set(rows) and rows.min() < 90
    np.testing.assert_array_equal(rows, sample_rows(strength, 20, seed=1))
    assert not np.array_equal(rows, sample_rows(strength, 20, seed=2))
    np.testing.assert_array_equal(sample_rows(strength, 100, seed=1), np.arange(100))


def test_benjamini_hochberg() -> None:
    p = np.array([0.04, 0.001, 0.03, 0.5])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.16 / 3, 0.004, 0.16 / 3, 0.5])
    assert benjamini_hochberg(np.array([0.9, 0.95])).max() <= 1


def test_tomtom_offset_and_strand() -> None:
    motif = named("CTCF")[0]
    part = motif.pfm[:, 3:17]
    forward, reverse = best_matches([part, part[::-1, ::-1].copy()], [MOTIFS])
    assert forward is not None and reverse is not None
    assert forward.target == reverse.target == motif.name
    assert (forward.strand, forward.offset) == ("+", 3)
    assert (reverse.strand, reverse.offset) == ("-", motif.width - 17)
    turned = reverse.turned(part.shape[1])
    assert (turned.strand, turned.offset) == ("+", 3)
    np.testing.assert_array_equal(turned.pfm, motif.pfm)
    assert forward.p <= forward.q <= 1e-10


def test_q_values_pool_the_databases(tmp_path: Path) -> None:
    targets = read_meme(MOTIFS)
    halves = [tmp_path / "even.meme", tmp_path / "odd.meme"]
    for i, path in enumerate(halves):
        write_meme(path, targets[i::2])
    pfm = named("CTCF")[0].pfm[:, 4:12]  # a part, so that q is not extreme
    weak = np.full((4, 8), 0.25)
    weak[:, 2:6] = 0.55 * pfm[:, 2:6] + 0.45 / 4
    whole = best_matches([pfm, weak], [MOTIFS])
    split = best_matches([pfm, weak], halves)
    alone = [best_matches([pfm, weak], [path]) for path in halves]
    for query in range(2):
        one, two = whole[query], split[query]
        assert one is not None and two is not None
        assert two.q > one.q / 2
        best = min((found[query] for found in alone), key=lambda match: match.p)
        assert (two.target, two.p, two.database) == (best.target, best.p, best.database)
        assert two.q >= best.q
    first, lone = split[0], alone[0][0]
    assert first is not None and lone is not None
    assert first.q == pytest.approx(first.p * len(targets))  # not of half the targets
    assert lone.q == pytest.approx(lone.p * len(targets[0::2]))


def test_the_top_motifs_as_lines(folder: Path) -> None:
    motifs = json.loads((folder / "motifs.json").read_text())["motifs"]
    lines = top_lines(motifs, max_q=0.05)
    assert lines[0].split() == ["motif", "seqlets", "strength", "consensus", "target", "q"] and len(lines) == 5
    for line, row in zip(lines[1:], motifs, strict=True):
        assert line.split()[:2] == [row["motif"], str(row["n_seqlets"])] and line.split()[4] == row["target"]
        assert line.index(row["consensus"]) == lines[0].index("consensus")
    assert "no match" in top_lines([motifs[0] | {"q": 0.2}], max_q=0.05)[1]
    assert top_lines(motifs * 2, max_q=0.05)[-1] == "and 3 more" and top_lines([], max_q=0.05) == []


def test_trim_and_consensus() -> None:
    cwm = np.zeros((4, 12))
    cwm[0, 4:7] = 1
    cwm[1, 2] = 0.1
    assert trim_core(cwm, np.ones(12), 0.15) == (3, 7)  # three positions, widened to four on the stronger side
    assert trim_core(cwm, np.ones(12), 0.05) == (2, 7)
    assert trim_core(np.zeros((4, 12)), np.ones(12), 0.15) == (0, 12)
    pfm = np.array([[0.7, 0.5, 0.25], [0.1, 0, 0.25], [0.1, 0.5, 0.25], [0.1, 0, 0.25]])
    assert consensus(pfm) == "ARN"


def test_noise_gives_no_motifs(tmp_path: Path) -> None:
    """Seqlets of noise there are (each is tested alone), motifs there are not."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (2000, 100))
    onehot = (codes[:, None] == np.arange(4)[:, None]).astype(np.int8)
    none, projected = np.zeros(2000, np.int64), rng.normal(size=(2000, 100)).astype(np.float32)
    noise = Planted(onehot=onehot, projected=projected, motif=none, start=none, flipped=none.astype(bool))
    table = write_seqlets(tmp_path / "noise.h5", noise)
    assert len(table) > 500
    found = motifs_of(read_seqlets(tmp_path / "noise.h5"), MotifsOptions(seqlets=tmp_path / "noise.h5", out=tmp_path))
    assert found == []


@pytest.mark.parametrize("fault", ["gone", "changed"])
def test_a_finished_folder_is_verified_before_it_is_called_done(seqlets: Path, tmp_path: Path, fault: str) -> None:
    options = MotifsOptions(seqlets=seqlets, out=tmp_path / "motifs")
    find_motifs(options)
    path = tmp_path / "motifs" / "matches.tsv"
    if fault == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text() + "x")
    with pytest.raises(CorruptError, match=r"matches\.tsv"):
        find_motifs(options)
