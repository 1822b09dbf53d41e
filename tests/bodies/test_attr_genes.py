"""drg-attr --gtf: a run holds the statistic and its gradient, whatever else is asked for; one-line errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from bodies.gene_models import GTF, borzoi
from stores import TINY, shard
from support import drg, error_line

from drg_hpc.attribution.targets_gene import GeneStatistic
from drg_hpc.bodies import attr_plan
from drg_hpc.bodies.gene_rows import GeneRows
from drg_hpc.models.io import load_model
from drg_hpc.runs.plan import read_plan
from tests.prediction.small_world import finish


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shard("genome", tmp_path_factory.mktemp("genome") / "run", fasta=[TINY / "genome.fa.gz"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return borzoi(tmp_path_factory.mktemp("model") / "m", length=4096, bins=96)


def values_by_hand(run: Path, *, shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Statistic and corrected gradient of every row, one at a time, in float64; of a window that begins elsewhere."""
    plan = read_plan(run)
    rows = GeneRows(plan)
    module = load_model(plan.inputs["model"]["path"]).double()
    earlier = [replace(row, start=row.start - shift) for row in rows.rows]
    statistic = GeneStatistic.from_params(module, plan.params["genes"], earlier)
    values, forms = [], []
    for number, row in enumerate(rows.rows):
        x = torch.from_numpy(rows.sequences(number, number + 1)[0]).double().roll(shift, -1)
        x[..., :shift] = 0
        x.requires_grad_()
        value = statistic([x], [torch.from_numpy(each) for each in statistic.params([number])])
        (slope,) = torch.autograd.grad(value[:, 0].sum(), x)
        slope = slope - slope.mean(dim=1, keepdim=True)
        values.append(value.item() if row.kept else np.nan)
        slope = torch.cat([slope[..., shift:], torch.zeros_like(slope[..., :shift])], dim=-1)
        forms.append(slope[0].numpy() if row.kept else np.full(slope.shape[1:], np.nan))
    return np.array(values), np.stack(forms)


GENOME = "the genome store"
ONE_WITHOUT_THE_EXON = ["--statistic", "splice", "--exon", "2", "--genes", "TINYD,TINYA", "--limit", "1"]
OPTIONS: dict[str, dict[str, Any]] = {
    "expression": {"span": True, "pseudo": 0.5},
    "polya": {
        "statistic": "polya",
        "untransform_old": True,
        "track_scale": 0.3,
        "track_transform": 0.75,
        "clip_soft": 2.0,
    },
    "splice": {"statistic": "splice", "exon": "all", "junction": "both", "centre": "feature"},
    "compat": {"statistic": "splice", "exon": "random:3", "junction": "donor", "compat": True},
}


def finished(out: Path, model: Path, genome: Path, **options: Any) -> Path:
    """A whole run in this process."""
    given = {"model": model, "genome": genome, "gtf": GTF, "keep": "hypothetical", "store_dtype": "float32"}
    finish(attr_plan.Options(**given, out=out, **options), attr_plan)
    return out / "out.h5"


@pytest.mark.parametrize("name", list(OPTIONS))
def test_a_run_is_its_statistic_and_its_gradient(tmp_path: Path, genome: Path, model: Path, name: str) -> None:
    out = finished(tmp_path / "run", model, genome, **OPTIONS[name])
    values, forms = values_by_hand(tmp_path / "run")
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["tracks/00000/prediction"][()], values, rtol=2e-5, atol=1e-6)
        found = file["tracks/00000/corrected"][()]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(forms))
    scale = np.nan_to_num(np.abs(forms)).max(axis=(1, 2), keepdims=True)
    assert np.nanmax(np.abs(found - forms) - 1e-4 * scale) <= 0


def test_shifts_move_the_bins_with_the_gene(tmp_path: Path, genome: Path, model: Path) -> None:
    """By two bins and by a part of one: what is attributed is the exon, wherever it lies."""
    options = {"statistic": "splice", "exon": "2", "junction": "donor", "limit": 3}
    for shift in (64, 5):
        out = finished(tmp_path / str(shift), model, genome, shifts=str(shift), **options)
        values, forms = values_by_hand(tmp_path / str(shift), shift=shift)
        with h5py.File(out) as file:
            found, predictions = file["tracks/00000/corrected"][()], file["tracks/00000/prediction"][()]
        np.testing.assert_allclose(predictions, values, rtol=2e-5, atol=1e-6)
        assert found.shape[0] == 3 and np.abs(found - forms).max() <= 1e-4 * np.abs(forms).max()


def test_order_of_genes_strands_and_values_asked_for_together(tmp_path: Path, genome: Path, model: Path) -> None:
    """A gene has one result, whichever other genes and values are asked for, in whatever order."""
    options = {"statistic": "splice", "exon": "2", "rc_average": True}
    found = {}
    for name, more in {
        "one": {"genes": "TINYA,TINYB,TINYC", "each_track": True},
        "other": {"genes": "TINYC,TINYB,TINYA", "each_track": True},
        "alone": {"genes": "TINYB", "tracks": "CNhs12184+,CNhs12184-"},
    }.items():
        with h5py.File(finished(tmp_path / name, model, genome, **options, **more)) as file:
            found[name] = {key: file[f"tracks/{key}/corrected"][()] for key in file["tracks"]}
    assert list(found["one"]) == ["00000", "00001"]
    scale = np.abs(found["one"]["00000"]).max()
    for key, values in found["one"].items():
        np.testing.assert_allclose(found["other"][key][::-1], values, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(found["alone"]["00000"][0], found["one"]["00000"][1], rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gtf", GTF), "--gtf needs --genome"),
        (("--exon", "1"), "--exon needs --gtf"),
        (("--gtf", GTF, "--genome", GENOME, "--shifts", "3,-4000"), "--shifts -4000: gene TINYA: "),
        (("--gtf", GTF, "--genome", GENOME, *ONE_WITHOUT_THE_EXON), "none of the 1 rows"),
    ],
)
def test_one_line_errors(
    tmp_path: Path, model: Path, genome: Path, arguments: tuple[object, ...], words: str
) -> None:  # fmt: skip
    given = [genome if argument == GENOME else argument for argument in arguments]
    done = drg("drg-attr", model, *given, "-o", tmp_path / "run", exit_code=3 if "none of" in words else 2)
    assert words in error_line(done)
