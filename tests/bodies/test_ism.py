"""drg-ism as a run: every number by its definition, the same bytes for any sharding, files that readers know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from drg_hpc.attribution.attribute import attribute
from drg_hpc.errors import InputError
from drg_hpc.files import sha256_file
from drg_hpc.models.io import save_model
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.page import write_report
from drg_hpc.report.plot import draw_attributions
from drg_hpc.report.plot_config import PlotOptions
from drg_hpc.results.reader import read_attributions
from drg_hpc.results.seqlet_source import AttributionSource
from drg_hpc.store.reader import open_dataset
from tests.bodies.ism_runs import LENGTH, World, effects, ism, make_world, values
from tests.prediction.small_world import CNN, make_model


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def wanted(world: World, rows: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Sequences (n, 4, L) of the first test rows, and effects (n, tracks, 4, L)."""
    _, path, module = world
    store = open_dataset(path)
    x = store.sequences(store.split_rows("test")[:rows])
    return x, np.stack([effects(module, each) for each in x])


def report(run: Path) -> str:
    """The page of one run."""
    return write_report(ReportOptions(paths=(run,), out=run.parent / f"{run.name}.html")).read_text()


def test_every_number_by_its_definition(tmp_path: Path, world: World) -> None:
    model, store, module = world
    done = ism(tmp_path / "run", model, store, limit=8, store_dtype="float32")
    x, expected = wanted(world, 8)
    known = x.any(axis=1)
    assert not known.all(), "there are unknown bases to test"
    with read_attributions(tmp_path / "run") as found:
        assert found.scored is not None and found.scored[()].all()
        for number, (name, group) in enumerate(found.tracks.items()):
            np.testing.assert_allclose(group["ism"][()], expected[:, number], atol=2e-6)
            there = np.where(x.astype(bool), group["ism"][()], 0)
            assert not there.any(), "no change at the bases that are there"
            mean = np.where(known, -expected[:, number].sum(axis=1) / 3, 0)
            np.testing.assert_allclose(group["projected"][()], mean, atol=2e-6)
            np.testing.assert_allclose(group["prediction"][()], values(module, x)[:, number], atol=2e-6)
            form = found.contributions(name)
            np.testing.assert_allclose((form * x).sum(axis=1), mean, atol=2e-6)
            change = expected[:, number]
            np.testing.assert_allclose(
                form, (change - change.sum(axis=1, keepdims=True) / 3) * known[:, None], atol=2e-6
            )
        assert found.attributes["params"]["compare"] == "subtract"
        assert "NaN where nothing was mutated" in found.attributes["conventions"]["ism"]
        assert str(tmp_path) not in str(found.attributes)
    assert done["summary"]["method"] == "ism" and done["summary"]["tracks"] == ["a", "b"]


def test_bytes_do_not_depend_on_the_sharding(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    found = set()
    for shards in (1, 3):
        ism(tmp_path / str(shards), model, store, shards=shards, start=10, end=13)
        assert len(list((tmp_path / str(shards) / "parts" / "ism").glob("0*"))) == shards
        found.add(sha256_file(tmp_path / str(shards) / "out.h5"))
    assert len(found) == 1


def test_passes_of_any_size_give_the_same(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    chosen: dict[str, Any] = {"limit": 5, "store_dtype": "float32", "engine": "full", "rc_average": True}
    for batch in (1, 100):
        ism(tmp_path / str(batch), model, store, batch_size=batch, **chosen)
    with read_attributions(tmp_path / "1") as one, read_attributions(tmp_path / "100") as other:
        for name in one.tracks:
            np.testing.assert_allclose(one.tracks[name]["ism"][()], other.tracks[name]["ism"][()], atol=1e-6)


def test_engines_agree(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    for engine in ("incremental", "full"):
        ism(tmp_path / engine, model, store, limit=4, store_dtype="float32", engine=engine)
    with read_attributions(tmp_path / "incremental") as one, read_attributions(tmp_path / "full") as other:
        for name in one.tracks:
            np.testing.assert_allclose(one.tracks[name]["ism"][()], other.tracks[name]["ism"][()], atol=2e-6)


def test_positions_that_were_not_mutated_are_told_apart(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    ism(tmp_path / "run", model, store, limit=3, start=5, end=9, tracks="a")
    with read_attributions(tmp_path / "run") as found:
        assert found.scored is not None
        inside = np.zeros(LENGTH, bool)
        inside[5:9] = True
        np.testing.assert_array_equal(found.scored[()].astype(bool), np.tile(inside, (3, 1)))
        form = found.tracks["a"]["ism"][()]
        np.testing.assert_array_equal(np.isnan(form), np.broadcast_to(~inside, form.shape))
        assert not found.projected("a")[:, ~inside].any() and found.projected("a")[:, inside].any()
        shap = found.file["shap/seq"][()]
        assert np.isfinite(shap).all() and not shap[..., ~inside].any()
        np.testing.assert_allclose(found.file["projected_shap/seq"][()].sum(axis=1), found.projected("a"), atol=1e-3)
    assert "; 10 % of the positions were mutated, the others have 0" in report(tmp_path / "run")
    drawing = PlotOptions(attributions=tmp_path / "run", regions=("1",), heatmap=True, out=tmp_path / "f.svg")
    assert draw_attributions(drawing)["tracks"] == ["a"]


@pytest.mark.parametrize(
    ("chosen", "compared"),
    [
        ({"compare": "divide", "pseudo": 0.5}, lambda m, r: (m + 0.5) / (r + 0.5)),
        ({"compare": "log2fc"}, lambda m, r: np.log2(m / r)),
        ({"compare": "none", "scale": "output"}, lambda m, r: m),
    ],
    ids=["divide", "log2fc", "none"],
)
def test_comparisons_are_of_outputs(tmp_path: Path, world: World, chosen: dict[str, Any], compared: Any) -> None:
    model, store, module = world
    ism(tmp_path / "run", model, store, limit=2, store_dtype="float32", tracks="b", **chosen)
    x, change = wanted(world, 2)
    link = values(module, x)[:, 1][:, None, None]
    mutant, reference = (1 / (1 + np.exp(-value)) for value in (change[:, 1] + link, link))
    with read_attributions(tmp_path / "run") as found:
        group = found.tracks["b"]
        np.testing.assert_allclose(group["ism"][()], compared(mutant, reference), atol=5e-6)
        np.testing.assert_allclose(group["prediction"][()], reference[:, 0, 0], atol=2e-6)
        unchanged = compared(reference, reference)
        mean = -((compared(mutant, reference) - unchanged) * (1 - x)).sum(axis=1) / 3
        np.testing.assert_allclose(group["projected"][()], np.where(x.any(axis=1), mean, 0), atol=5e-6)


@pytest.mark.parametrize("frequencies", [None, "0.3,0.2,0.2,0.3"])
def test_projections(tmp_path: Path, world: World, frequencies: str | None) -> None:
    model, store, _ = world
    projection = "centred" if frequencies is None else "hypothetical"
    chosen = {"projection": projection, "base_freqs": frequencies, "store_dtype": "float32"}
    ism(tmp_path / "run", model, store, limit=3, **chosen)
    x, change = wanted(world, 3)
    weights = np.full(4, 0.25) if frequencies is None else np.array([0.3, 0.2, 0.2, 0.3])
    with read_attributions(tmp_path / "run") as found:
        for number, (name, group) in enumerate(found.tracks.items()):
            form = change[:, number] - (weights[:, None] * change[:, number]).sum(axis=1, keepdims=True)
            form *= x.any(axis=1)[:, None]
            np.testing.assert_allclose(found.contributions(name), form, atol=2e-6)
            np.testing.assert_allclose(group["projected"][()], (form * x).sum(axis=1), atol=2e-6)


def test_other_edits_and_files_without_substitutions(tmp_path: Path, world: World) -> None:
    model, store, module = world
    ism(tmp_path / "both", model, store, limit=2, edits="substitutions,deletions:2", store_dtype="float32")
    ism(tmp_path / "windows", model, store, limit=2, edits="windows:8/4:n", store_dtype="float32")
    x, _ = wanted(world, 2)
    with read_attributions(tmp_path / "both") as found:
        made = found.tracks["a"]["deletion_2"][()]
        assert np.isnan(made[:, LENGTH - 1]).all() and np.isfinite(made[:, : LENGTH - 1]).all()
        short = np.concatenate([x[:, :, :10], x[:, :, 12:], np.zeros((2, 4, 2))], axis=2)
        change = (values(module, short) - values(module, x))[:, 0]
        np.testing.assert_allclose(made[:, 10], change, atol=2e-6)
    with read_attributions(tmp_path / "windows") as found:
        assert not found.by_base and "shap" not in found.file
        made = found.tracks["b"]["window_8_n"][()]
        np.testing.assert_array_equal(np.flatnonzero(np.isfinite(made[0])), np.arange(0, LENGTH - 7, 4))
        blank = x.copy()
        blank[:, :, 12:20] = 0
        np.testing.assert_allclose(made[:, 12], (values(module, blank) - values(module, x))[:, 1], atol=2e-6)
        with pytest.raises(InputError, match=r"no attributions by base.*--edits substitutions"):
            found.projected("b")
    with pytest.raises(InputError, match="no attributions by base"):
        AttributionSource(tmp_path / "windows" / "out.h5")
    assert "2 sequences mutated (windows:8/4:n)" in report(tmp_path / "windows")
    drawing = PlotOptions(attributions=tmp_path / "windows", regions=("1",), out=tmp_path / "f.svg")
    with pytest.raises(InputError, match="holds no attributions of bases: substitutions were not among its edits"):
        draw_attributions(drawing)


def test_a_screen_mutates_the_strongest_positions(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    ism(tmp_path / "some", model, store, limit=4, screen="tism:6", tracks="a", store_dtype="float32")
    ism(tmp_path / "all", model, store, limit=4, tracks="a", store_dtype="float32")
    with read_attributions(tmp_path / "some") as some, read_attributions(tmp_path / "all") as every:
        assert some.scored is not None
        scored = some.scored[()].astype(bool)
        assert (scored.sum(axis=1) == 6).all()
        mine, theirs = some.projected("a"), every.projected("a")
        np.testing.assert_allclose(mine[scored], theirs[scored], atol=1e-6)
        assert not mine[~scored].any()
    x, _ = wanted(world, 4)
    gradient = attribute(world[2], x, "gradient", output="raw", tracks=[0])[:, 0]
    mean = np.abs((gradient - (gradient * x).sum(axis=1, keepdims=True)).sum(axis=1) / 3) * x.any(axis=1)
    strongest = np.argsort(-mean, axis=1)[:, :6]
    np.testing.assert_array_equal(np.argwhere(scored)[:, 1].reshape(4, 6), np.sort(strongest, axis=1))


def test_several_models(tmp_path: Path, world: World) -> None:
    model, store, module = world
    second = make_model(tmp_path / "second", length=LENGTH)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(1.1)
    save_model(second, tmp_path / "other", CNN, ("a", "b"))
    ism(tmp_path / "run", Path(f"{model},{tmp_path / 'other'}"), store, limit=3, store_dtype="float32")
    x, first = wanted(world, 3)
    other = np.stack([effects(second, each) for each in x])
    pair = np.stack([first, other])
    projected = -(pair * x.any(axis=1)[:, None, None]).sum(axis=3) / 3
    with read_attributions(tmp_path / "run") as found:
        for number, group in enumerate(found.tracks.values()):
            np.testing.assert_allclose(group["ism"][()], pair.mean(axis=0)[:, number], atol=3e-6)
            np.testing.assert_allclose(group["ism_sd"][()], pair.std(axis=0)[:, number], atol=3e-6)
            np.testing.assert_allclose(group["projected_sd"][()], projected.std(axis=0)[:, number], atol=3e-6)
            both = np.stack([values(each, x)[:, number] for each in (module, second)])
            np.testing.assert_allclose(group["prediction_sd"][()], both.std(axis=0), atol=3e-6)


def test_both_strands(tmp_path: Path, world: World) -> None:
    model, store, module = world
    ism(tmp_path / "run", model, store, limit=2, rc_average=True, store_dtype="float32")
    x, forward = wanted(world, 2)
    backward = np.stack([effects(module, each[::-1, ::-1]) for each in x])[:, :, ::-1, ::-1]
    with read_attributions(tmp_path / "run") as found:
        for number, group in enumerate(found.tracks.values()):
            np.testing.assert_allclose(group["ism"][()], (forward + backward)[:, number] / 2, atol=2e-6)
