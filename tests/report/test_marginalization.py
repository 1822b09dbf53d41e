"""The section on motifs put into backgrounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from bodies.marginal_runs import PAIR, marginalize
from prediction.small_world import make_model
from report.test_page import check

from drg_hpc.report import marginalization
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.page import write_report
from drg_hpc.results.marginalization_read import read_marginalization

RUNS: dict[str, dict[str, Any]] = {
    "motif": {"sequences": ["ACGT", "TGACTCA", *("ACGTACG"[:i] + "TTT" for i in range(7))], "strands": "both"},
    "position": {"by": "position", "positions": "::9", "motifs": PAIR},
    "spacing": {"by": "spacing", "spacings": "0:20:4", "motifs": PAIR, "both_orders": True},
    "one": {
        "sequences": ["TTT"],
        "background_dist": [1, 0, 0, 0],
        "by": "position",
        "positions": "5",
        "format": "h5",
    },
    "few": {"motifs": PAIR, "backgrounds": 3, "sites": "sampled"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marginalization")
    make_model(folder / "model", length=90)
    for name, chosen in RUNS.items():
        marginalize(
            folder / name, folder / "model", None, **{"background_dist": ["0.25"] * 4, "backgrounds": 12, **chosen}
        )
    return folder


def page(run: Path, out: Path) -> tuple[str, str]:
    text = write_report(ReportOptions(paths=(run,), out=out / "r.html")).read_text()
    return text, check(text)


def test_the_strongest_motifs(runs: Path, tmp_path: Path) -> None:
    text, words = page(runs / "motif", tmp_path)
    assert re.findall(r"<h2>([^<]+)</h2>", text) == ["Motifs in backgrounds", "Provenance"]
    assert "Into 12 backgrounds (random sequences) 9 given sequences were put, each by itself, in the middle" in words
    found = read_marginalization(runs / "motif" / "out.h5")
    rows = re.findall(r"<tr><td[^>]*>([ACGT]+)</td><td[^>]*>([+-])</td><td[^>]*>([-.\de]+)</td>", text)
    assert len(rows) == 2 * 18
    for track in range(2):
        means = found.statistics["effect"]["mean"][:, track]
        own = rows[18 * track : 18 * track + 18]
        order = abs(means).argsort(kind="stable")[::-1]
        assert [(motif, strand) for motif, strand, _ in own[:3]] == [
            tuple(found.designs.loc[row, ["motif", "strand"]]) for row in order[:3]
        ]
        assert [float(mean) for _, _, mean in own[:3]] == pytest.approx(means[order[:3]], rel=0.01)
    assert text.count("<figure>") == 0  # all 18 are in the table


def test_effects_by_position(runs: Path, tmp_path: Path) -> None:
    text, words = page(runs / "position", tmp_path)
    assert text.count("<figure>") == 2 * 2 and "strongest at" in words
    assert f"{PAIR[0]}: effect by position, mean and 95 % interval." in words


def test_pairs_by_spacing(runs: Path, tmp_path: Path) -> None:
    text, words = page(runs / "spacing", tmp_path)
    assert text.count("<figure>") == 2 * 2 and words.count("interaction by spacing") >= 4
    for strands in ("++", "+-", "-+", "--"):
        assert text.count(f"{strands} {' '.join(PAIR)}") >= 1


def test_one_of_each_is_said_as_one(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marginalization, "_TRACKS", 1)
    _, words = page(runs / "one", tmp_path)
    assert (
        "Into 12 backgrounds (random sequences) 1 given sequence was put, by itself, at 1 position, in place of the "
        "bases that were there. The effect is the value with it minus that without. They are 1 different sequence; p "
        "and q count each background by itself."
    ) in words
    assert "1 of 2 tracks: those with the largest effects. The others are in out.h5." in words


def test_too_few_backgrounds_are_said(runs: Path, tmp_path: Path) -> None:
    _, words = page(runs / "few", tmp_path)
    assert "3 backgrounds, too few" in words and "a site, drawn anew for each background, of 2 motifs" in words
    assert re.search(r"\bnan\b", words) is None
