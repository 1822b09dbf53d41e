"""Gene statistics from training to report: a small Borzoi on four windows of hg38 and genes made by hand there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from bodies.gene_models import CONFIG, GENES, GTF, borzoi
from stores import TINY, shard
from support import drg, drg_json

from drg_hpc.attribution.targets_gene import GeneStatistic
from drg_hpc.bodies.gene_rows import GeneRows
from drg_hpc.models.io import load_model
from drg_hpc.results.reader import read_attributions
from drg_hpc.runs.plan import read_plan

SITES = GENES / "polya_sites.tsv"


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shard("genome", tmp_path_factory.mktemp("genome") / "run", fasta=[TINY / "genome.fa.gz"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return borzoi(tmp_path_factory.mktemp("model") / "m", length=4096, bins=96)


def attr(out: Path, model: Path, genome: Path, *arguments: object) -> Any:
    return drg_json("drg-attr", model, "--genome", genome, "--gtf", GTF, "--keep", "hypothetical", "--store-dtype",
                    "float32", *arguments, "-o", out, "--workers", 1)  # fmt: skip


@pytest.mark.slow
def test_from_training_to_a_report(tmp_path: Path, genome: Path) -> None:
    store = tmp_path / "coverage"
    drg("drg-shard", "regions", "--genome", genome, "--regions", TINY / "accessible.bed", "--length", 8192,
        "--target-length", 6144, "--tracks", TINY / "targets.tsv", "--bin", 32, "--valid", "w03",
        "-o", store)  # fmt: skip
    config = tmp_path / "mini.toml"
    values = "\n".join(f"{key} = {list(v) if isinstance(v, tuple) else v}" for key, v in CONFIG.items())
    config.write_text(f'[model]\narchitecture = "borzoi"\n{values}\n[optim]\nlr = 2e-3\n'
                      '[train]\nepochs = 2\nbatch_size = 4\nloss = "poisson-multinomial"\n')  # fmt: skip
    trained = tmp_path / "model"
    drg("drg-train", store, "--config", config, "-o", trained)
    runs = {
        "expression": ("--statistic", "expression"),
        "polya": ("--statistic", "polya", "--polya-sites", SITES, "--genes", "TINYA,TINYB,TINYC"),
        "splice": ("--statistic", "splice", "--exon", "2", "--rc-average"),
    }
    for name, arguments in runs.items():
        attr(tmp_path / name, trained, genome, "--targets", TINY / "targets.tsv", *arguments)
        with read_attributions(tmp_path / name) as found:
            assert list(found.tracks) == [name]
            regions = found.regions
            kept = regions["kept"].to_numpy()
            assert set(regions["gene_strand"][kept]) == {"+", "-"} and set(regions["strand"]) == {"+"}
        with h5py.File(tmp_path / name / "out.h5") as file:
            projected = file["tracks/00000/projected"][()]
            prediction = file["tracks/00000/prediction"][()]
            assert np.isnan(projected[~kept]).all() and np.isfinite(projected[kept]).all()
            assert (np.abs(projected[kept]).max(axis=1) > 0).all() and len(set(prediction[kept])) == kept.sum()
    with read_attributions(tmp_path / "polya") as found:
        assert found.regions["choice"].tolist() == ["site w01:75296:+", "site w00:71806:-", "site w02:84195:+"]
    with read_attributions(tmp_path / "splice") as found:
        assert found.regions["kept"].tolist() == [True, True, True, False, True]
        assert found.regions["reason"].tolist()[3] == "no exon 2 in it"
    report = tmp_path / "report.html"
    drg("drg-report", store, trained, *(tmp_path / name for name in runs), "-o", report)
    text = report.read_text()
    assert all(name in text for name in ("TINYA", "TINYB", *runs))


def values_by_hand(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Statistic and corrected gradient of every row, one at a time, in float64."""
    plan = read_plan(run)
    rows = GeneRows(plan)
    module = load_model(plan.inputs["model"]["path"]).double()
    statistic = GeneStatistic.from_params(module, plan.params["genes"], rows.rows)
    values, forms = [], []
    for number, row in enumerate(rows.rows):
        x = torch.from_numpy(rows.sequences(number, number + 1)[0]).double().requires_grad_()
        value = statistic([x], [torch.from_numpy(each) for each in statistic.params([number])])
        (slope,) = torch.autograd.grad(value[:, 0].sum(), x)
        slope = slope - slope.mean(dim=1, keepdim=True)
        values.append(value.item() if row.kept else np.nan)
        forms.append(slope[0].numpy() if row.kept else np.full(slope.shape[1:], np.nan))
    return np.array(values), np.stack(forms)


ARGUMENTS: dict[str, tuple[object, ...]] = {
    "expression": ("--span", "--pseudo", 0.5),
    "polya": ("--statistic", "polya", "--untransform-old", "--track-scale", 0.3, "--track-transform", 0.75,
              "--clip-soft", 2),
    "splice": ("--statistic", "splice", "--exon", "all", "--junction", "both", "--centre", "feature"),
    "compat": ("--statistic", "splice", "--exon", "random:3", "--junction", "donor", "--compat"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_a_run_is_its_statistic_and_its_gradient(tmp_path: Path, genome: Path, model: Path, name: str) -> None:
    attr(tmp_path / "run", model, genome, *ARGUMENTS[name])
    values, forms = values_by_hand(tmp_path / "run")
    with h5py.File(tmp_path / "run" / "out.h5") as file:
        np.testing.assert_allclose(file["tracks/00000/prediction"][()], values, rtol=2e-5, atol=1e-6)
        found = file["tracks/00000/corrected"][()]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(forms))
    scale = np.nan_to_num(np.abs(forms)).max(axis=(1, 2), keepdims=True)
    assert np.nanmax(np.abs(found - forms) - 1e-4 * scale) <= 0
