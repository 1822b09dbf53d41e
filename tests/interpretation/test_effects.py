"""Effects by region and track against a slow calculation from the definition, and the folder that drg-motifs writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from interpretation.planted import MOTIFS, Planted, named, plant
from interpretation.test_motifs import write_seqlets

from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import sha256_file, walk_files
from drg_hpc.interpretation.effects import (
    STATISTICS,
    SeqletEffects,
    group_means,
    region_effects,
    seqlet_values,
    track_effects,
)
from drg_hpc.interpretation.effects_config import EffectFlags
from drg_hpc.interpretation.motifs import find_motifs
from drg_hpc.results.effects import find_effects, read_effects
from drg_hpc.results.motifs import read_motifs
from drg_hpc.results.seqlets import Seqlets, read_seqlets

TRACKS, MOTIF_COUNT, ROWS = 3, 4, 25


@pytest.fixture(scope="module")
def drawn() -> SeqletEffects:
    rng = np.random.default_rng(0)
    n = 160
    value = np.round(rng.normal(0, 1, n), 1)  # with ties in magnitude
    return SeqletEffects(rng.integers(0, MOTIF_COUNT, n), rng.integers(0, ROWS, n), rng.integers(0, TRACKS, n), value)


def by_definition(found: SeqletEffects, motif: int, row: int) -> dict[str, float]:
    """drg.md 4.8, one cell."""
    here = (found.motif == motif) & (found.row == row)
    if not here.any():
        return dict.fromkeys(STATISTICS, 0.0)
    strongest = np.zeros(TRACKS)
    for track in range(TRACKS):
        own = sorted(found.value[here & (found.track == track)], key=lambda v: (abs(v), v))
        strongest[track] = own[-1] if own else 0.0
    top = max(strongest, key=lambda v: (abs(v), v))
    return {
        "max": float(found.value[here].max()),
        "mean": float(np.mean(strongest)),
        "sum": float(np.sum(strongest)),
        "presence": float(np.sign(top)),
        "count": float(len(set(found.track[here].tolist()))),
        "maxdiff": float(strongest.max() - strongest.min()),
    }


def test_cells_follow_the_definition(drawn: SeqletEffects) -> None:
    cells = region_effects(drawn, tracks=TRACKS)
    rows = np.arange(ROWS)
    for statistic in STATISTICS:
        wanted = [[by_definition(drawn, m, r)[statistic] for r in rows] for m in range(MOTIF_COUNT)]
        made = cells.matrix(statistic, rows, motifs=MOTIF_COUNT)
        np.testing.assert_allclose(made, wanted, atol=1e-12, err_msg=statistic)
    some = np.array([3, 7, 20])
    np.testing.assert_array_equal(
        cells.matrix("sum", some, motifs=MOTIF_COUNT), cells.matrix("sum", rows, motifs=MOTIF_COUNT)[:, some]
    )
    with pytest.raises(UsageError, match="no statistic 'median'"):
        cells.matrix("median", rows, motifs=MOTIF_COUNT)


def test_motifs_in_few_regions_are_dropped(drawn: SeqletEffects) -> None:
    regions = [len(set(drawn.row[drawn.motif == m].tolist())) for m in range(MOTIF_COUNT)]
    least = sorted(regions)[2]
    cells = region_effects(drawn, tracks=TRACKS, min_regions=least)
    assert (
        set(cells.motif.tolist()) == {m for m in range(MOTIF_COUNT) if regions[m] >= least} != set(range(MOTIF_COUNT))
    )


def test_tracks_follow_the_definition(drawn: SeqletEffects) -> None:
    made = track_effects(drawn, motifs=MOTIF_COUNT, tracks=TRACKS)
    for m in range(MOTIF_COUNT):
        regions = len(set(drawn.row[drawn.motif == m].tolist()))
        for t in range(TRACKS):
            here = (drawn.motif == m) & (drawn.track == t)
            strongest = [
                max(drawn.value[here & (drawn.row == r)], key=lambda v: (abs(v), v))
                for r in set(drawn.row[here].tolist())
            ]
            assert made.seqlets[m, t] == here.sum() and made.regions[m, t] == len(strongest)
            assert made.total[m, t] == pytest.approx(sum(strongest))
            assert made.mean[m, t] == pytest.approx(sum(strongest) / regions)


def test_no_seqlets_give_empty_tables() -> None:
    none = SeqletEffects(*(np.zeros(0, np.int64) for _ in range(3)), np.zeros(0))
    assert region_effects(none, tracks=2).matrix("max", np.zeros(0, np.int64), motifs=2).shape == (2, 0)
    assert not track_effects(none, motifs=2, tracks=3).total.any()


def test_groups_of_regions_are_averaged() -> None:
    names, means = group_means(np.array([[1.0, 2, 6], [0, 0, 3]]), ["b", "a", "b"])
    assert names == ["a", "b"]
    np.testing.assert_allclose(means, [[2, 3.5], [0, 1.5]])


def test_values_of_seqlets() -> None:
    rng = np.random.default_rng(1)
    sequence = np.eye(4, dtype=np.int8)[rng.integers(0, 4, (2, 8))].transpose(0, 2, 1)
    contribution = rng.normal(0, 1, (2, 4, 8)).astype(np.float32)
    table = pd.DataFrame({"start": [10, 2], "end": [15, 16], "attribution": [5.0, -2.8]})
    seqlets = Seqlets(table, contribution, sequence, {})
    np.testing.assert_allclose(seqlet_values(seqlets, "sum"), [5, -2.8])
    np.testing.assert_allclose(seqlet_values(seqlets, "mean"), [1, -0.2])
    there = (contribution * sequence).sum(axis=1)
    # the first seqlet's window starts at 12 - 4 = 8, so its bases are 2 to 6; the second is longer than its window
    inside = [there[0, 2:7], there[1]]
    np.testing.assert_allclose(seqlet_values(seqlets, "max"), [max(v, key=abs) for v in inside], rtol=1e-6)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(named("CTCF", "SPI1"), [1, -1], rows=240, length=90, noise=0.15, seed=2)


@pytest.fixture(scope="module")
def options(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> EffectFlags:
    folder = tmp_path_factory.mktemp("effects")
    write_seqlets(folder / "seqlets.h5", planted)
    return EffectFlags(
        seqlets=folder / "seqlets.h5", database=(MOTIFS,), max_seqlets=200, effects=True, permutations=99,
        out=folder / "motifs",
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(options: EffectFlags) -> Path:
    return find_motifs(options)


def test_sites_lie_on_the_planted_ones(folder: Path, planted: Planted) -> None:
    path = find_effects(folder)
    assert path is not None
    found = read_effects(path)
    sites = found.groups["sites"]
    records = {record.name: record for record in read_motifs(folder)}
    good = 0
    for number, name in enumerate(found.motifs):
        record, own = records[name], sites["motif"] == number
        which = 0 if str(record.facts["target"]).startswith("CTCF") else 1
        width = named("CTCF", "SPI1")[which].width
        core = int(record.facts["end"]) - int(record.facts["start"])
        assert set((sites["end"] - sites["start"])[own].tolist()) == {core}
        row, offset = sites["row"][own], int(record.facts["offset"])
        forward = sites["start"][own] - offset
        backward = sites["end"][own] + offset - width
        begin = np.where(sites["strand"][own] > 0, forward, backward)
        right = (begin == planted.start[row]) & ((sites["strand"][own] < 0) == planted.flipped[row])
        good += int((right & (planted.motif[row] == which)).sum())
    assert good > 0.93 * 240 and len(sites["row"]) < 1.05 * 240


def test_tables_say_what_the_file_says(folder: Path, options: EffectFlags) -> None:
    found = read_effects(folder / "effects.h5")
    seqlets = read_seqlets(options.seqlets)
    by_track = pd.read_csv(folder / "motif_tracks.tsv", sep="\t")
    for number, record in enumerate(read_motifs(folder)):
        rows = seqlets.table["row"].to_numpy()[record.arrays["members/seqlet"]]
        assert found.groups["by_track"]["seqlets"][number, 0] == len(rows) == by_track["seqlets"][number]
        assert found.groups["by_track"]["regions"][number, 0] == len(set(rows.tolist()))
    cells = pd.read_csv(folder / "motif_regions.tsv", sep="\t")
    np.testing.assert_allclose(cells["max"], found.groups["cells"]["max"], rtol=1e-5)
    assert list(cells.columns) == ["motif", "row", "region", *STATISTICS]
    pairs = pd.read_csv(folder / "motif_pairs.tsv", sep="\t")
    assert len(pairs) == len(found.motifs) * (len(found.motifs) - 1) // 2
    assert found.attributes["params"]["permutations"] == 99


def test_again_gives_the_same_bytes(folder: Path, options: EffectFlags, tmp_path: Path) -> None:
    again = find_motifs(options.model_copy(update={"out": tmp_path / "again"}))
    names = sorted(set(walk_files(folder)) - {"done.json"})
    assert {"effects.h5", "motif_tracks.tsv", "motif_spacing.tsv"} <= set(names)
    assert all(sha256_file(folder / name) == sha256_file(again / name) for name in names)
    assert find_motifs(options) == folder
    with pytest.raises(UsageError, match="permutations: 99 there, 100 now"):
        find_motifs(options.model_copy(update={"permutations": 100}))


def test_flags_without_effects_are_refused(options: EffectFlags, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--permutations without --effects"):
        find_motifs(options.model_copy(update={"effects": False, "out": tmp_path / "m"}))
    assert not (tmp_path / "m").exists()


def test_without_motifs_the_tables_are_empty(options: EffectFlags, tmp_path: Path) -> None:
    made = find_motifs(options.model_copy(update={"min_seqlets": 5000, "out": tmp_path / "none"}))
    found = read_effects(made / "effects.h5")
    assert found.motifs == [] and found.groups["by_track"]["mean"].shape == (0, 1)
    for name in ("motif_tracks", "motif_regions", "motif_pairs", "motif_spacing"):
        assert len((made / f"{name}.tsv").read_text().splitlines()) == 1


def test_other_files_are_told_apart(folder: Path, tmp_path: Path) -> None:
    assert find_effects(tmp_path) is None
    with pytest.raises(CorruptError, match="no file of effects"):
        read_effects(folder / "out.h5")
    with pytest.raises(InputError, match="no such HDF5 file"):
        read_effects(tmp_path / "effects.h5")
