"""drg-simulate: the same bytes for any sharding, a store and a table that agree, one line for what cannot be done."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import fasta, plan, shard
from support import EXAMPLES, drg, drg_json, error_line, here

from drg_hpc.errors import InputError, UsageError
from drg_hpc.genome.onehot import decode, reverse_complement
from drg_hpc.results.simulation import read_simulation
from drg_hpc.store import dataset_layout
from drg_hpc.store.reader import open_dataset, verify_store

MOTIFS = EXAMPLES / "motifs" / "encode_motifs.txt"
PAIR = ["STAT_known2", "CTCF_known1"]
ALL = [*PAIR, "GATA_disc1", "YY1_disc1"]


def simulate(out: Path, **options: Any) -> Path:
    return shard("simulate", out, **{"motif_db": MOTIFS, "pos_motifs": PAIR, **options})


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 rows a zarr row-shard, so that a few hundred rows make several."""
    monkeypatch.setattr(dataset_layout, "ROW_SHARD_LIMITS", (64, 64))


@pytest.mark.usefixtures("small_shards")
def test_same_bytes_for_any_sharding_and_other_bytes_for_another_seed(tmp_path: Path) -> None:
    like = fasta(tmp_path / "x.fa", {"a": "ACGTTGCAAGGTTCCAATAGCGCTTTAACCGG"})
    options: dict[str, Any] = {
        "num_seqs": 500, "gen_type": "distance", "motifs": ALL, "strands": "both", "background_dist": [f"dinuc:{like}"],
        "labels": "synergistic", "noise": 0.2,
    }  # fmt: skip
    made = [simulate(tmp_path / str(n), shards=n, **options) for n in (1, 3, 7)]
    for name in ("out.zarr/manifest.json", "sites.h5"):
        assert len({(run / name).read_bytes() for run in made}) == 1
    assert len(list((tmp_path / "7/parts/rows").iterdir())) == 4  # 8 row-shards in at most 7 shards: 2 each
    other = simulate(tmp_path / "other", seed=1, **options)
    assert (other / "sites.h5").read_bytes() != (made[0] / "sites.h5").read_bytes()
    a, b = open_dataset(made[0]), open_dataset(other)
    assert (a.codes(0, 500) != b.codes(0, 500)).any(axis=1).all()
    more = open_dataset(simulate(tmp_path / "more", **{**options, "num_seqs": 700}))
    np.testing.assert_array_equal(more.codes(0, 500), a.codes(0, 500))
    np.testing.assert_array_equal(more.targets(slice(0, 500)), a.targets(slice(None)))


@pytest.mark.usefixtures("small_shards")
def test_store_and_table_agree(tmp_path: Path) -> None:
    """Every site is what its sequence has there; labels follow from the table by the words of the rule."""
    run = simulate(tmp_path / "r", num_seqs=300, gen_type="distance", motifs=ALL, strands="both", max_dist=30)
    store, simulation = open_dataset(run), read_simulation(run)
    assert verify_store(run) > 20
    table, codes = simulation.sites, store.codes(0, 300)
    assert (
        table["row"].is_monotonic_increasing and set(table["motif"]) == set(ALL) and set(table["strand"]) == {"+", "-"}
    )
    for site in table.itertuples():
        seen = codes[site.row, site.start : site.end]
        assert decode(seen if site.strand == "+" else reverse_complement(seen)).decode() == site.site
    labels = store.targets(slice(None))[:, 0]
    for row in range(300):
        here = {s.motif: (s.start, s.end) for s in table[table["row"] == row].itertuples()}
        assert list(here.values()) == sorted(here.values())
        (_, end), (start, _) = here.get(PAIR[0], (0, 10**6)), here.get(PAIR[1], (-1, 0))
        assert labels[row] == (0 <= start - end <= 30)
    np.testing.assert_array_equal(labels, simulation.outcome == 1)
    assert simulation.attributes["outcomes"] == ["missing", "holds", "wrong order", "wrong distance"]
    assert simulation.attributes["grammar"]["max_gap"] == 30 and simulation.attributes["grammar"]["needed"] == [0, 1]
    again = read_simulation(run / "out.zarr").sites
    assert again.equals(table) and read_simulation(run / "sites.h5").sites.equals(table)


def test_what_a_store_says(tmp_path: Path) -> None:
    done = drg_json(
        "drg-simulate", "--num-seqs", 200, "--seq-length", 80, "--gen-type", "order", "--motif-db", MOTIFS,
        "--pos-motifs", *PAIR, "--background-dist", 0.15, 0.2, 0.3, 0.35, "--test-fraction", 0.1, "-o", tmp_path / "r",
    )  # fmt: skip
    summary = done["summary"]
    assert [Path(path).name for path in done["outputs"]] == ["out.zarr", "sites.h5"]
    assert summary["splits"] == {"train": 150, "valid": 30, "test": 20, "excluded": 0}
    assert sum(summary["outcomes"].values()) == summary["rows"] == 200 and summary["tracks"] == 1
    store = open_dataset(tmp_path / "r")
    assert store.tracks == ["label"] and store.length == 80
    assert store.split_rows("valid").tolist() == list(range(150, 180))
    assert store.split_rows("test").tolist() == list(range(180, 200))
    regions = store.regions
    assert regions["kept"].all() and list(regions["name"][:2]) == ["seq0", "seq1"] and set(regions["chrom"]) == {""}
    assert summary["sites"] == len(read_simulation(tmp_path / "r").sites)
    text = drg("drg-inspect", tmp_path / "r" / "out.zarr", "--verify").stdout
    assert "from rule: label" in text and "150 train, 30 valid, 20 test" in text
    described = drg_json("drg-inspect", tmp_path / "r" / "sites.h5", "--verify")
    assert described["attributes"]["format"] == "drg-simulation/1"


def test_tracks_of_values(tmp_path: Path) -> None:
    weights = tmp_path / "w.tsv"
    weights.write_text("track\tSTAT_known2\tGATA_disc1\tsynergy\nx\t1\t-2\t0\ny\t0.5\t0\t4\n")
    run = simulate(tmp_path / "r", num_seqs=150, gen_type="order", motifs=ALL, labels="synergistic", weights=weights)
    store, simulation = open_dataset(run), read_simulation(run)
    assert store.tracks == ["x", "y"]
    present = np.array([[m in set(t["motif"]) for m in ALL] for _, t in simulation.sites.groupby("row")], float)
    rows = np.unique(simulation.sites["row"])
    want = np.stack([present @ [1, 0, -2, 0], present @ [0.5, 0, 0, 0] + 4 * (simulation.outcome[rows] == 1)], axis=1)
    np.testing.assert_allclose(store.targets(slice(None))[rows], want)
    plain = open_dataset(simulate(tmp_path / "p", num_seqs=50, labels="additive"))
    assert plain.tracks == ["activity"] and set(plain.targets(slice(None))[:, 0]) == {0.0, 1.0, 2.0}


def test_a_sequence_may_have_no_site(tmp_path: Path) -> None:
    """A table without lines too."""
    run = simulate(tmp_path / "r", num_seqs=1, seed=2, valid_fraction=0, test_fraction=0)
    seeds = [simulate(tmp_path / str(s), num_seqs=1, seed=s, valid_fraction=0, test_fraction=0) for s in range(3, 9)]
    counts = [len(read_simulation(made).sites) for made in (run, *seeds)]
    assert 0 in counts and max(counts) > 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pos_motifs": ["STAT_know2"]}, InputError, "no motif 'STAT_know2' among the 10 of .*; nearest: STAT_known2"),
        ({"motif_db": EXAMPLES / "none.txt"}, InputError, "no such motif file"),
        ({"seq_length": 15}, UsageError, "motif STAT_known2 has 21 positions, --seq-length is 15; .*--seq-length 21"),
        ({"seq_length": 39}, UsageError, "the 2 motifs take 40 bases, --seq-length is 39"),
        (
            {"gen_type": "order", "seq_length": 59},
            UsageError,
            r"a gap of 20 bases \(--max-dist\) .* --max-dist 19 at most",
        ),
        (
            {"gen_type": "distance", "seq_length": 60},
            UsageError,
            r"every gap that fits into 60 bases \(0 to 20\) is within",
        ),
        ({"gen_type": "order", "min_dist": 9, "max_dist": 8}, UsageError, "--min-dist 9 is above --max-dist 8"),
        ({"background_dist": ["0.3"] * 4}, UsageError, "sums to 1.2, not 1"),
        ({"background_dist": ["dinuc:none.fa"]}, InputError, "no such file: none.fa"),
        ({"pos_motifs": ["CTCF_known1"] * 2}, UsageError, "--pos-motifs: CTCF_known1 stands twice"),
        ({"motifs": ["GATA_disc1"]}, UsageError, "--pos-motifs STAT_known2 is not among --motifs"),
        ({"gen_type": "order", "pos_motifs": ["CTCF_known1"]}, UsageError, "is about two motifs, --pos-motifs has 1"),
        ({"min_dist": 3}, UsageError, "--min-dist has no use with --gen-type presence"),
        ({"near_misses": 0.3}, UsageError, "--near-misses has no use with --gen-type presence"),
        ({"gen_type": "order", "starts": [0, 50], "max_dist": 3}, UsageError, "--max-dist has no use with --starts"),
        ({"synergy": 2.0}, UsageError, "--synergy has no use with --labels rule"),
        ({"labels": "additive", "synergy": 2.0}, UsageError, "--synergy has no use with --labels additive"),
        ({"gen_type": "order", "positives": 0.8, "near_misses": 0.3}, UsageError, "are more than all sequences"),
        ({"valid_fraction": 0.5, "test_fraction": 0.5}, UsageError, "leave none to train on"),
        ({"starts": [0, 20]}, UsageError, "--starts 0 and 20 are 20 bases apart, motif STAT_known2 has 21 positions"),
        ({"starts": [0, 180]}, UsageError, r"does not fit between --starts 180 and the end .* last start may be 179"),
        ({"starts": [0]}, UsageError, "1 --starts for 2 motifs"),
        ({"starts": [5, 5]}, UsageError, "positions from 0, each once"),
        (
            {"gen_type": "distance", "starts": [0, 100]},
            UsageError,
            "no gap between two of --starts is within --min-dist 0",
        ),
    ],
)
def test_what_cannot_be_done(tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        plan("simulate", tmp_path / "r", **{"motif_db": MOTIFS, "pos_motifs": PAIR, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_dist": 5, "max_dist": 12}, "97.9 % of positives have a gap of 12 bases: .*; --gap-mean 0 draws"),
        ({"min_dist": 40, "max_dist": 60, "gen_type": "distance"}, "100.0 % of positives have a gap of 40 bases"),
        ({}, ""),
        ({"min_dist": 5, "max_dist": 12, "gap_mean": 0}, ""),
        ({"min_dist": 12, "max_dist": 12}, ""),
        ({"starts": [0, 50, 100]}, ""),
        ({"gen_type": "presence"}, ""),
    ],
)
def test_pairs_of_one_gap_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: dict[str, Any], said: str
) -> None:
    """Where most of Poisson's distribution lies beyond the range; not where one gap is asked for, nor by default."""
    plan("simulate", tmp_path / "r", **{"motif_db": MOTIFS, "pos_motifs": PAIR, "gen_type": "order", **options})
    assert re.search(said, caplog.text) if said else not caplog.records


@pytest.mark.parametrize("given", [("--noise", "inf"), ("--noise", "1e39"), ("--synergy", "inf"), ("--synergy", "nan"),
                                   ("--synergy", "-1e39")])  # fmt: skip
def test_values_that_labels_cannot_hold(tmp_path: Path, given: tuple[str, str]) -> None:
    common = ("--pos-motifs", *PAIR, "--motif-db", MOTIFS, "--labels", "synergistic", "-o", tmp_path / "r")
    line = error_line(here("drg-simulate", *common, f"{given[0]}={given[1]}", exit_code=2))
    assert f"{given[0][2:]} = " in line and "must be a number that is not beyond 1e+30, since labels are" in line
    assert not (tmp_path / "r").exists()


def test_a_fault_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    given = ("--pos-motifs", "ctcf", "--motif-db", MOTIFS, "-o", tmp_path / "r")
    line = error_line(drg("drg-simulate", *given, exit_code=3))
    assert "no motif 'ctcf'" in line and "nearest: CTCF_disc1, CTCF_known1" in line
    assert not (tmp_path / "r").exists()


def test_the_sites_of_another_run_are_refused(tmp_path: Path) -> None:
    run = simulate(tmp_path / "r", num_seqs=20)
    other = shard("sequences", tmp_path / "s", sequences=fasta(tmp_path / "x.fa", {"a": "ACGT"}), negatives="dinuc:1")
    with pytest.raises(InputError, match="was made by drg-shard sequences"):
        read_simulation(other)
    (run / "done.json").write_text(json.dumps(json.loads((run / "done.json").read_text()) | {"outputs": {}}))
    with pytest.raises(InputError):
        read_simulation(run)
