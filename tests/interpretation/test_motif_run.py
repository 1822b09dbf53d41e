"""drg-motifs as a command: one motif that does opposite things in two tracks, and the same bytes for any threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from interpretation.planted import MOTIFS, Planted, named, plant
from interpretation.test_motifs import write_seqlets
from support import drg, error_line

from drg_hpc.files import sha256_file
from drg_hpc.genome.motifs import read_meme, write_meme
from drg_hpc.interpretation.seqlet_methods import call_seqlets
from drg_hpc.results import seqlets as seqlet_files
from drg_hpc.results.motifs import MotifRecord, read_motifs
from drg_hpc.results.seqlet_source import cut_windows

ROWS, WINDOW = 600, 30
UP, DOWN, SAME = (1.0, -1.0, 0.4), (-1.0, 1.0, 0.4), (0.6, 1.2, 2.4)


def opposite(row: np.ndarray) -> np.ndarray:
    """Which rows with CTCF have it down in the first track and up in the second: every other one of them."""
    return row // 2 % 2 == 1


def write_tracks(path: Path, planted: Planted, effects: np.ndarray) -> pd.DataFrame:
    """Seqlets of several tracks, in which the contributions of row r are those planted times ``effects[r]``."""
    rng, tables, contributions, sequences = np.random.default_rng(9), [], [], []
    for track in range(effects.shape[1]):
        noise = rng.normal(0, 0.02, planted.projected.shape)
        values = (planted.projected * effects[:, track, None] + noise).astype(np.float32)
        table = call_seqlets(values)
        row = table["row"].to_numpy()
        centres = (table["start"].to_numpy() + table["end"].to_numpy()) // 2
        tables.append(table.assign(track=track, sign=np.sign(table["attribution"]).astype(int)))
        contributions.append(cut_windows((planted.onehot * values[:, None]).astype(np.float32), row, centres, WINDOW))
        sequences.append(cut_windows(planted.onehot, row, centres, WINDOW))
    whole = pd.concat(tables, ignore_index=True)
    whole = whole.assign(chrom="chr1", name="r", origin="given", genome_start=whole["start"], genome_end=whole["end"])
    order = np.lexsort((whole["start"], whole["track"], whole["row"]))
    whole = whole.iloc[order].reset_index(drop=True)
    contribution, sequence = np.concatenate(contributions)[order], np.concatenate(sequences)[order]
    names = [f"track {track}" for track in range(effects.shape[1])]
    attributes = {"form": "projected", "tracks": names, "params": {}}
    seqlet_files.write_seqlets(path, seqlet_files.Seqlets(whole, contribution, sequence, attributes))
    return whole


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """CTCF in half of the rows, up in the first track and down in the second or the reverse; SPI1 always the same."""
    planted = plant(named("CTCF", "SPI1"), [1, 1], rows=ROWS, length=90, noise=0.02, seed=2)
    effects = np.tile(SAME, (ROWS, 1))
    ctcf = planted.motif == 0
    effects[ctcf] = np.where(opposite(np.flatnonzero(ctcf))[:, None], DOWN, UP)
    path = tmp_path_factory.mktemp("tracks") / "seqlets.h5"
    return path, write_tracks(path, planted, effects)


def rows_of(record: MotifRecord, table: pd.DataFrame) -> np.ndarray:
    return np.unique(table["row"].to_numpy()[record.arrays["members/seqlet"]])


def named_as(folder: Path, name: str, sign: int) -> list[MotifRecord]:
    found = read_motifs(folder)
    return [r for r in found if str(r.facts["target"]).split(".")[0] == name and r.facts["sign"] == sign]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every eighth motif of HOCOMOCO and those planted here."""
    path = tmp_path_factory.mktemp("database") / "some.meme"
    write_meme(path, [*named("CTCF", "GATA1", "SPI1", "REST"), *read_meme(MOTIFS)[3::8]])
    return path


@pytest.fixture(scope="module")
def whole(tracks: tuple[Path, pd.DataFrame], database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "whole"
    drg("drg-motifs", tracks[0], "--database", database, "-o", out)
    return out


def test_one_motif_with_opposite_effects_is_split_by_them(
    tracks: tuple[Path, pd.DataFrame], whole: Path, database: Path, tmp_path: Path
) -> None:
    path, table = tracks
    drg("drg-motifs", path, "--database", database, "--split-by-effects", "0.7", "-o", tmp_path / "split")
    for sign in (1, -1):
        (one,) = named_as(whole, "CTCF", sign)
        share = opposite(rows_of(one, table)).mean()
        assert 0.4 < share < 0.6 and len(rows_of(one, table)) > 0.45 * ROWS
        parts = named_as(tmp_path / "split", "CTCF", sign)
        assert len(parts) == 2
        shares = sorted(opposite(rows_of(part, table)).mean() for part in parts)
        assert shares[0] < 0.02 and shares[1] > 0.98
        assert all(len(rows_of(part, table)) > 0.2 * ROWS for part in parts)
    for folder in (whole, tmp_path / "split"):  # what does the same everywhere stays one
        (other,) = named_as(folder, "SPI1", 1)
        assert len(rows_of(other, table)) > 0.45 * ROWS


def test_the_largest_cut_splits_nothing_and_two_tracks_are_refused(
    tracks: tuple[Path, pd.DataFrame], whole: Path, tmp_path: Path
) -> None:
    path, _ = tracks
    drg("drg-motifs", path, "--split-by-effects", "2", "-o", tmp_path / "same")
    members = [
        [sorted(r.arrays["members/seqlet"].tolist()) for r in read_motifs(f)] for f in (whole, tmp_path / "same")
    ]
    assert members[0] == members[1] and len(members[0]) >= 3
    planted = plant(named("CTCF"), [1], rows=60, length=60, noise=0.02, seed=2)
    write_tracks(tmp_path / "two.h5", planted, np.tile((1.0, -1.0), (60, 1)))
    done = drg("drg-motifs", tmp_path / "two.h5", "--split-by-effects", "0.7", "-o", tmp_path / "m", exit_code=2)
    assert "2 tracks" in error_line(done) and not (tmp_path / "m").exists()


@pytest.mark.parametrize("method", ["linkage", "leiden"])
def test_threads_do_not_change_a_byte(method: str, database: Path, tmp_path: Path) -> None:
    """--threads, whatever the environment says to BLAS, OpenMP and numba: the command sets these itself."""
    planted = plant(named("CTCF", "GATA1", "SPI1", "REST"), [1, 1, -1, 1], rows=1200, length=100, noise=0.15, seed=0)
    write_seqlets(tmp_path / "seqlets.h5", planted)
    sums = []
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        line = [tmp_path / "seqlets.h5", "--method", method, "--database", database, "--threads", threads]
        drg("drg-motifs", *line, "-o", tmp_path / threads, **dict.fromkeys(names, threads))
        sums.append({name: sha256_file(tmp_path / threads / name)
                     for name in ("out.h5", "motifs.meme", "matches.tsv", "motifs.json")})  # fmt: skip
    assert sums[0] == sums[1]
    assert len(read_motifs(tmp_path / "1")) >= 4
