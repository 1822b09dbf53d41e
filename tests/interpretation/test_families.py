"""Planted motif families come back: simulated, learnt, attributed, called, clustered and named by the commands."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from interpretation.families import (
    Judged,
    Task,
    attribute,
    directions,
    judge,
    make_model,
    owners,
    precision,
    recall,
    repeats,
)
from support import drg

PLANTED = {
    "CTCF.H12CORE.0.P.B": (1.0,),
    "HNF1A.H12CORE.0.PS.A": (1.0,),
    "SPI1.H12CORE.0.P.B": (-1.0,),
    "FOSL1.H12CORE.0.P.B": (1.0,),
    "NRF1.H12CORE.0.PS.A": (1.0,),
}
ABSENT = "REST.H12CORE.0.P.B"


@pytest.mark.slow
def test_each_planted_family_is_found_by_match_and_by_sites(tmp_path: Path) -> None:
    """By default flags: none is lost, and next to no motif is made of chance or of two families."""
    make_model(Task(PLANTED, rows=1500, length=120, kernels=48, pool=53, epochs=15), tmp_path)
    attribute(tmp_path, "shap", "--method", "deepshap", "--references", "dinuc:3")
    drg("drg-motifs", tmp_path / "seqlets-shap", "-o", tmp_path / "motifs")
    names = [*PLANTED, ABSENT]
    found = judge(tmp_path / "motifs", tmp_path / "seqlets-shap", tmp_path / "sim", names)
    assert recall(found, list(PLANTED)) == 1 and directions(found, PLANTED) == 1
    assert precision(found) >= 0.8
    assert not [motif for motif in found if ABSENT in (motif.by_match, motif.by_sites)]
    strongest = {motif.family: motif.sign for motif in reversed(found) if motif.family}
    assert strongest == {name: int(weight) for name, (weight,) in PLANTED.items()}


def test_the_owner_of_a_seqlet() -> None:
    seqlets = pd.DataFrame({"row": [0, 0, 0, 1, 2], "start": [10, 18, 40, 10, 12], "end": [20, 26, 50, 20, 16]})
    sites = pd.DataFrame({"row": [0, 0, 2], "motif": ["a", "b", "a"], "start": [8, 22, 0], "end": [19, 30, 14]})
    # 9 of 10 bases; 4 of 8 with b, 1 with a; none; another row; 2 of 4
    assert owners(seqlets, sites).tolist() == ["a", "b", "", "", "a"]


def test_recall_counts_families_and_precision_motifs() -> None:
    def motif(by_match: str, by_sites: str, sign: int = 1) -> Judged:
        return Judged("m", sign, 30, "ACGT", 0.01, by_match, 0.7, by_sites)

    names = ["a", "b", "c"]
    found = [motif("a", "a"), motif("a", "a"), motif("a", "a", -1), motif("b", "c"), motif("b", ""), motif("", "")]
    assert recall(found, names) == pytest.approx(1 / 3) and precision(found) == 0.5 and repeats(found) == 1
    assert directions(found, {"a": (1, -1), "b": (0, -2), "c": (1, 0)}) == 0.5
    assert recall([], names) == 0 and precision([]) == 0
