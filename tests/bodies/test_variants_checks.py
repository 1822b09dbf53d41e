"""drg-variants ends with the line of the VCF where there is no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bodies.test_variants import run, vcf
from bodies.test_variants_genes import GENES, GENOME, gtf, snvs
from numpy.typing import NDArray
from stores import fasta, shard

from drg_hpc.bodies.variants_score import Scorer
from drg_hpc.bodies.variants_seen import Scores
from drg_hpc.errors import InputError
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DilatedResidualConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build

LENGTH, BINS = 45, 9


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A genome, genes, alleles from line 3 on, and models whose outputs are as they are named."""
    folder = tmp_path_factory.mktemp("checks")
    shard("genome", folder / "genome", fasta=[fasta(folder / "genome.fa", GENOME)])
    gtf(folder / "genes.gtf", GENES)
    vcf(folder / "v.vcf", snvs(40, seed=2))
    for name, link, bias in (("zero", "identity", 0.0), ("large", "log", 800.0), ("nan", "log", float("nan"))):
        torch.manual_seed(0)
        config = DilatedResidualConfig(
            channels=4, layers=1, stem_size=5, profile_size=5, output="values" if link == "identity" else "log-rate"
        )
        module = build(config, ModelShape.single(LENGTH, 1, bins=BINS, link=link)).eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += bias if parameter.shape == (1,) else 0
        save_model(module, folder / name, config, ["a"])
    return folder


@pytest.mark.parametrize(
    ("model", "chosen", "message"),
    [
        ("nan", {}, r"the prediction of 'a' with the reference allele is nan at .*v.vcf: line 3, v0"),
        ("large", {}, r"SAD of 'a' is nan at .*v.vcf: line 3, v0: outputs are too large.*leave it out of --stats"),
        ("large", {"stats": "none", "gtf": True}, r"ref of 'a' of a gene is inf at .*v.vcf: line \d+, v\d+"),
        ("zero", {"compare": "log2fc"}, r"--compare log2fc of 'a' is not defined at .*v.vcf: line \d+, v\d+; --pseudo"),
    ],
)
def test_what_is_no_number_ends_the_run(
    tmp_path: Path, world: Path, model: str, chosen: dict[str, Any], message: str
) -> None:
    options = chosen | ({"gtf": world / "genes.gtf"} if chosen.get("gtf") else {})
    with pytest.raises(InputError, match=message), np.errstate(all="raise"):
        run(tmp_path / "run", world / model, world / "genome", world / "v.vcf", **options)


def test_large_predictions_have_effects(tmp_path: Path, world: Path) -> None:
    done = run(tmp_path / "run", world / "large", world / "genome", world / "v.vcf", stats="none")
    assert done["summary"]["rows"] == 40


def test_shuffles_are_told_by_their_number(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def score(self: Scorer, ref: NDArray[Any], alt: NDArray[Any], gained: object, genes: object = None) -> Scores:
        effect = np.full((len(ref), 1), np.nan if gained is None else 1.0)
        return Scores({"ref": np.ones((len(ref), 1)), "alt": np.ones((len(ref), 1)), "effect": effect}, {})

    monkeypatch.setattr(Scorer, "score", score)
    with pytest.raises(InputError, match=r"--compare divide of 'a' is not defined at .*: line 3 in shuffle 1, v0"):
        run(tmp_path / "run", world / "large", world / "genome", world / "v.vcf", compare="divide", backgrounds=2)
