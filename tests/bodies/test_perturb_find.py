"""Where drg-perturb finds motifs: in a simulation's table, by a scan, in a BED file, in a folder of drg-motifs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bodies.perturb_runs import MOTIFS, PAIR, options_of, perturb, read, simulate
from prediction.small_world import make_model
from stores import fasta

from drg_hpc.bodies import perturb_plan
from drg_hpc.bodies.perturb_find import Called, Columns, Placed, Scanned, Simulated, block_sites
from drg_hpc.bodies.perturb_sites import lines_of
from drg_hpc.errors import CorruptError, InputError
from drg_hpc.files import write_json
from drg_hpc.genome.motifs import read_motifs
from drg_hpc.genome.onehot import codes_to_onehot, encode
from drg_hpc.genome.regions import Region
from drg_hpc.results.effects import GROUPS, write_effects
from drg_hpc.results.simulation import read_simulation
from drg_hpc.store.reader import open_dataset

SCAN = {"motif_format": "auto", "max_p": 1e-4, "scan_strands": "both"}


def regions(rows: list[dict[str, Any]]) -> pd.DataFrame:
    plain = {"chrom": "chr1", "start": 0, "end": 10, "name": "r", "strand": "+", "kept": True, "origin": "given"}
    return pd.DataFrame([{**plain, "row": number, **row} for number, row in enumerate(rows)])


def sites(found: Columns) -> list[tuple[int, int, int, int]]:
    return list(zip(*(found[name].tolist() for name in ("row", "motif", "start", "end")), strict=True))


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("sim") / "sim", num_seqs=200, motifs=[*PAIR, "GATA_disc1"])


def test_sites_of_a_simulation(sim: Path) -> None:
    rows, names = np.array([3, 4, 9, 150, 199]), ["GATA_disc1", PAIR[0]]
    table = read_simulation(sim).sites
    finder = Simulated(sim / "sites.h5", names)
    found = finder.find(regions([{"row": row} for row in rows]), np.zeros((5, 4, 90)))
    own = table[table["row"].isin(rows) & table["motif"].isin(names)]
    wanted = {(rows.tolist().index(s.row), names.index(s.motif), s.start, s.end) for s in own.itertuples()}
    assert set(sites(found)) == wanted and len(wanted) == len(found["row"]) > 2


def test_sites_that_are_read_ahead_are_those_of_the_rows(sim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block after block, within what was read and beyond it, and back."""
    monkeypatch.setattr("drg_hpc.results.simulation._AHEAD", 16)
    table, finder = read_simulation(sim).sites, Simulated(sim / "sites.h5", PAIR)
    for first in (0, 10, 12, 40, 190, 5):
        rows = np.arange(first, min(first + 10, 200))
        found = finder.find(regions([{"row": row} for row in rows]), np.zeros((len(rows), 4, 90)))
        own = table[table["row"].isin(rows) & table["motif"].isin(PAIR)]
        assert sorted(sites(found)) == sorted(
            (s.row - first, PAIR.index(s.motif), s.start, s.end) for s in own.itertuples()
        )


def test_a_scan_finds_what_was_put_there(sim: Path) -> None:
    store, table = open_dataset(sim), read_simulation(sim).sites
    onehot = store.sequences(slice(0, 200))
    found = set(sites(Scanned(MOTIFS, PAIR, SCAN).find(regions([{}] * 200), onehot)))
    own = table[table["motif"].isin(PAIR)]
    wanted = {(s.row, PAIR.index(s.motif), s.start, s.end) for s in own.itertuples()}
    assert len(found & wanted) > 0.8 * len(wanted) and len(found - wanted) < 0.2 * len(found)


def test_overlapping_hits_are_one_and_the_best_is_preferred() -> None:
    pfm = next(motif.pfm for motif in read_motifs(MOTIFS) if motif.name == PAIR[1])
    best = "".join("ACGT"[i] for i in pfm.argmax(axis=0))
    order = np.argsort(pfm.max(axis=0))
    weak = list(best)
    weak[order[-1]] = "ACGT"[int(pfm[:, order[-1]].argmin())]
    text = "A" * 5 + best + "A" * 8 + "".join(weak) + "A" * 4
    onehot = codes_to_onehot(encode(text.encode())[None]).transpose(0, 2, 1).astype(np.float32)
    finder = Scanned(MOTIFS, [PAIR[1]], {**SCAN, "max_p": 1e-3})
    found = sites(finder.find(regions([{}]), onehot))
    width = len(best)
    assert found[-1] == (0, 0, 5, 5 + width) and (0, 0, 13 + width, 13 + 2 * width) in found
    spans = sorted(site[2:] for site in found)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    chosen = block_sites(finder, [PAIR[1]], regions([{}]), onehot)
    assert chosen.chosen(PAIR[1]).tolist() == [[5, 5 + width]]


def test_lines_of_a_bed_file(tmp_path: Path) -> None:
    """On the genome, on either strand; within named sequences; not in shuffles, nor beyond an end."""
    (tmp_path / "x.bed").write_text(
        "chr1\t102\t105\tA\nchr1\t109\t112\tA\nchr1\t103\t109\tB\nchr1\t101\t104\tC\ns1\t1\t4\tA\nchr2\t100\t103\tA\n"
    )
    rows = [
        {"start": 100, "end": 110},
        {"start": 100, "end": 110, "strand": "-"},
        {"start": 100, "end": 110, "origin": "dinuc"},
        {"start": 95, "end": 105},
        {"chrom": "", "start": 0, "end": 0, "name": "s1"},
        {"start": 100, "end": 112},  # not as long as the sequence
        {"chrom": "chr3", "start": 100, "end": 110},
    ]
    placed = Placed.of_bed(tmp_path / "x.bed", ["A", "B"], regions(rows), length=10)
    found = sites(placed.find(regions(rows), np.zeros((7, 4, 10))))
    assert sorted(found) == [(0, 0, 2, 5), (0, 1, 3, 9), (1, 0, 5, 8), (1, 1, 1, 7), (3, 0, 7, 10), (4, 0, 1, 4)]


def test_lines_of_another_naming_or_of_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file without chr, lines that lie nowhere, and one beyond the end of its sequence."""
    path, rows = tmp_path / "x.bed", regions([{"start": 100, "end": 110}, {"start": 105, "end": 115}])
    path.write_text("1\t106\t109\tA\n1\t300\t305\tA\n1\t101\t109\tC\n")
    with caplog.at_level("INFO"):
        placed = Placed.of_bed(path, ["A"], rows, length=10)
    assert sites(placed.find(rows, np.zeros((2, 4, 10)))) == [(0, 0, 6, 9), (1, 0, 1, 4)]
    assert f"{path}: 1 of 2 lines of A lie within a sequence" in caplog.text
    for text, message in (
        ("1\t300\t305\tA\n", "no line of A lies within a sequence \\(1 line, 2 sequences\\); check the assembly"),
        ("r\t5\t11\tA\n", "line 1: 5-11 of r: the sequence has 10 bases"),
        ("7\t100\t105\tA\n", "shares no contig with the genome: 7 against chr1"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            Placed.of_bed(path, ["A"], rows, length=10)


def test_lines_are_counted_in_the_plan_as_they_are_placed(tmp_path: Path) -> None:
    """Random lines on sequences with and without a place on the genome."""
    rng, path = np.random.default_rng(3), tmp_path / "x.bed"
    rows = [{"start": int(at), "end": int(at) + 10, "name": f"c1:{at}"} for at in rng.integers(0, 60, 12)]
    rows += [{"chrom": f"s{i}", "name": f"s{i}"} for i in range(3)] + [{"start": 3, "end": 9, "name": "short"}]
    chosen = [("chr1", int(at), int(at) + width) for at in range(70) for width in (1, 6, 10, 11)]
    chosen += [(name, 2, 9) for name in ("s0", "s2", "c1:0", "short")]
    path.write_text("".join(f"{chrom}\t{start}\t{end}\tA\n" for chrom, start, end in chosen))
    table = regions(rows)
    wanted = len(Placed.of_bed(path, ["A"], table, length=10).within(table, length=10)["row"])
    columns = ("chrom", "start", "end", "name")
    places = [Region(*place) for place in zip(*(table[name].tolist() for name in columns), strict=True)]
    assert lines_of(path, ["A"]).count_within(places, length=10) == wanted > 100


def write_sites(folder: Path, names: list[str]) -> Path:
    """A motif folder with the sites of two motifs in three sequences."""
    folder.mkdir()
    columns = {
        "motif": np.array([0, 0, 1, 1]), "row": np.array([7, 8, 7, 9]), "start": np.array([2, 3, 8, -1]),
        "end": np.array([6, 7, 12, 4]), "strand": np.ones(4, np.int8), "value": np.ones(4, np.float32),
    }  # fmt: skip
    none = np.zeros(0)
    groups: dict[str, dict[str, Any]] = {group: dict.fromkeys(members, none) for group, members in GROUPS.items()}
    groups["sites"] = columns
    groups["regions"] = {"row": np.array([7, 8, 9]), "name": names, "chrom": [""] * 3, "origin": ["given"] * 3}
    write_effects(folder / "effects.h5", groups, {"motifs": ["pos_0", "pos_1"], "tracks": ["t"]})
    write_json(folder / "motifs.json", {"motifs": [{"motif": name, "n_seqlets": 2} for name in ("pos_0", "pos_1")]})
    return folder


def test_sites_of_called_motifs(tmp_path: Path) -> None:
    folder = write_sites(tmp_path / "motifs", ["a", "b", "c"])
    finder = Called(folder / "effects.h5", ["pos_1", "pos_0"])
    rows = regions([{"name": "c"}, {"name": "x"}, {"name": "a"}])
    found = block_sites(finder, ["pos_1", "pos_0"], rows, np.zeros((3, 4, 20)))
    assert found.chosen("pos_0").tolist() == [[-1, -1], [-1, -1], [2, 6]]
    assert found.chosen("pos_1").tolist() == [[-1, -1], [-1, -1], [8, 12]]  # that of c begins before the sequence
    with pytest.raises(InputError, match=r"two sequences of .* have one name"):
        Called(write_sites(tmp_path / "twice", ["a", "a", "c"]) / "effects.h5", ["pos_0"])


def test_runs_on_what_was_found(tmp_path: Path) -> None:
    """By a scan, and by called motifs; the same sequences have the motifs."""
    make_model(tmp_path / "model", length=90, tracks=("label",))
    sim = simulate(tmp_path / "sim", num_seqs=150)
    perturb(tmp_path / "scan", tmp_path / "model", sim, sites="scan", motif_db=MOTIFS, motifs=PAIR, tests="order")
    perturb(tmp_path / "table", tmp_path / "model", sim, motifs=PAIR, tests="order")
    statuses = [read(tmp_path / name, 0)["status"] == 0 for name in ("scan", "table")]
    assert (statuses[0] == statuses[1]).mean() > 0.7
    rng = np.random.default_rng(0)
    records = {name: "".join(rng.choice(list("ACGT"), 90)) for name in ("a", "b", "c", "d")}
    folder = str(write_sites(tmp_path / "motifs", ["a", "b", "c"]))
    given = fasta(tmp_path / "x.fa", records)
    chosen: dict[str, Any] = {"sites": folder, "motifs": ["pos_0"], "tests": "presence"}
    perturb(tmp_path / "called", tmp_path / "model", given, **chosen)
    assert read(tmp_path / "called", 0)["status"].tolist() == [0, 0, 1, 1]
    with pytest.raises(InputError, match=r"no motif 'neg_0' among the 2 of .*; "):
        perturb_plan.plan_shards(options_of(tmp_path / "model", given, tmp_path / "n", sites=folder, motifs=["neg_0"]))
    (tmp_path / "motifs" / "effects.h5").unlink()
    with pytest.raises(InputError, match="has no sites of its motifs; run drg-motifs with --effects"):
        perturb_plan.plan_shards(options_of(tmp_path / "model", given, tmp_path / "n", **chosen))


def test_damaged_sites_of_a_simulation(tmp_path: Path) -> None:
    """Flipped bytes, the sites of another simulation, none, and damage after the plan: one line each, exit code 5."""
    make_model(tmp_path / "model", length=90, tracks=("label",))
    sim, other = (simulate(tmp_path / name, num_seqs=20, seed=seed) for seed, name in enumerate(("a", "b")))
    file, whole = sim / "sites.h5", (sim / "sites.h5").read_bytes()
    options = options_of(tmp_path / "model", sim, tmp_path / "run")
    flipped = bytearray(whole)
    flipped[len(whole) // 2 :] = bytes(255 - byte for byte in whole[len(whole) // 2 :])
    for content in (bytes(flipped), (other / "sites.h5").read_bytes()):
        file.write_bytes(content)
        with pytest.raises(CorruptError, match=r"sites.h5 is not the file that .*done.json lists: .*; restore it"):
            perturb_plan.plan_shards(options)
    for at in range(0, len(whole), 101):  # whatever is hit
        damaged = tmp_path / f"{at}.sites.h5"  # HDF5 may keep the last one open
        damaged.write_bytes(whole[:at] + bytes(255 - byte for byte in whole[at : at + 40]) + whole[at + 40 :])
        try:
            Simulated(damaged, PAIR).find(regions([{"row": row} for row in range(20)]), np.zeros((20, 4, 90)))
        except (CorruptError, InputError) as error:
            assert "sites.h5" in str(error) and "\n" not in str(error)
    file.unlink()
    with pytest.raises(
        CorruptError, match=r"done.json lists sites.h5, but it is missing; drg-merge .* writes it again"
    ):
        perturb_plan.plan_shards(options)
