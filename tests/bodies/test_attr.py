"""drg-attr as a run: the same bytes for any sharding, the layout of COMMANDS.md, one-line errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import drg_hpc.attribution.engine as engine_module
from drg_hpc.attribution.attribute import attribute
from drg_hpc.bodies import attr_plan
from drg_hpc.errors import CorruptError, IncompleteError, InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.results.reader import read_attributions, read_predictions
from drg_hpc.runs.plan import write_plan
from drg_hpc.runs.spec import RunSpec
from drg_hpc.store.reader import open_dataset
from tests.prediction.small_world import attr, finish, letters, make_model, make_store, predict, write_fasta

World = tuple[Path, Path, Any]
ROWS, LENGTH = 1000, 120  # 333 rows on chr3: not a multiple of 64


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    module = make_model(folder / "model", length=LENGTH)
    return folder / "model", make_store(folder, rows=ROWS, length=LENGTH), module


def plan(model: Path, source: Path, out: Path, **options: Any) -> RunSpec:
    return attr_plan.plan_shards(attr_plan.Options(model=model, input=source, out=out, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"keep": "hypothetical"},
        {"tracks": "b", "method": "tism", "keep": "hypothetical", "store_dtype": "float32"},
        {"method": "inputxgradient", "rc_average": True, "scale": "output"},
    ],
    ids=["two tracks", "one track", "both strands"],
)
def test_bytes_do_not_depend_on_the_sharding(tmp_path: Path, world: World, options: dict[str, Any]) -> None:
    model, store, _ = world
    found = set()
    for shards in (1, 3, 7):
        done = attr(tmp_path / str(shards), model, store, shards=shards, **options)
        found.add(sha256_file(tmp_path / str(shards) / "out.h5"))
        assert done["summary"]["rows"] == 333
        assert len(list((tmp_path / str(shards) / "parts" / "attr").glob("0*"))) == min(shards, 6)
    assert len(found) == 1


def test_bytes_of_a_file_beyond_the_chunk_cache(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    options: dict[str, Any] = {"split": "all", "keep": "hypothetical", "store_dtype": "float32"}
    for shards in (1, 7):
        attr(tmp_path / str(shards), model, store, shards=shards, **options)
    assert (tmp_path / "1" / "out.h5").stat().st_size > 4 << 20
    assert sha256_file(tmp_path / "1" / "out.h5") == sha256_file(tmp_path / "7" / "out.h5")


def test_content_equals_the_engine_in_memory(tmp_path: Path, world: World) -> None:
    model, path, module = world
    done = attr(tmp_path / "run", model, path, keep="hypothetical", store_dtype="float32", shards=2)
    store = open_dataset(path)
    rows = store.split_rows("test")
    x = store.sequences(rows)
    expected = attribute(module, x, "gradient")
    with read_attributions(tmp_path / "run") as found:
        assert (found.rows, found.length, list(found.tracks)) == (len(rows), LENGTH, ["a", "b"])
        np.testing.assert_array_equal(found.sequences[()], x)
        np.testing.assert_array_equal(found.regions["row"], rows)
        assert found.regions["name"].tolist() == store.regions["name"].iloc[rows].tolist()
        assert set(found.regions["chrom"]) == {"chr3"} and found.regions["kept"].all()
        for i, group in enumerate(found.tracks.values()):
            np.testing.assert_array_equal(group["corrected"][()], expected[:, i])
            np.testing.assert_allclose(group["projected"][()], (expected[:, i] * x).sum(axis=1), atol=1e-7)
        assert "shap" not in found.file
        params = found.attributes["params"]
        assert (params["method"], params["output"], params["target"]["scale"]) == ("gradient", "corrected", "link")
        assert set(found.attributes["inputs"]) == {"model", "sequences"}
        assert str(tmp_path) not in str(found.attributes)
    assert done["summary"]["tracks"] == ["a", "b"]
    assert done["devices"] == {"cpu": 2}


def test_statistic_equals_the_prediction(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    attr(tmp_path / "attr", model, store, scale="output")
    predict(tmp_path / "predict", model, store, scale="output")
    made = read_predictions(tmp_path / "predict")
    with read_attributions(tmp_path / "attr") as found:
        for i, group in enumerate(found.tracks.values()):
            np.testing.assert_allclose(group["prediction"][()], made.values[:, i], rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "output", "linked"),
    [("gradient", "corrected", True), ("gradient", "global", False), ("tism", "raw", False), ("gradient", "raw", True)],
)
def test_one_track_feeds_motif_finders(tmp_path: Path, world: World, method: str, output: str, linked: bool) -> None:
    model, store, _ = world
    attr(
        tmp_path / "run", model, store, tracks="a", method=method, output=output, keep="hypothetical", limit=70,
        store_dtype="float32",
    )  # fmt: skip
    with read_attributions(tmp_path / "run") as found:
        x, group = found.sequences[()], found.tracks["a"]
        form = "tism" if method == "tism" else output
        assert (group[form] == found.file["shap/seq"]) == linked
        assert found.file["shap/seq"].shape == (70, 4, LENGTH)
        np.testing.assert_allclose(found.file["projected_shap/seq"][()], found.file["shap/seq"][()] * x)
        np.testing.assert_allclose(found.file["projected_shap/seq"][()].sum(axis=1), group["projected"][()], atol=1e-6)


def test_default_keeps_the_projection_only_in_float16(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    attr(tmp_path / "run", model, store, limit=100)
    with h5py.File(tmp_path / "run" / "out.h5") as found:
        assert sorted(found) == ["raw", "regions", "tracks"]
        assert sorted(found["tracks"]) == ["00000", "00001"]
        assert sorted(found["tracks/00001"]) == ["prediction", "projected"]
        assert found["tracks/00001"].attrs["name"] == "b"
        projected = found["tracks/00001/projected"]
        assert (projected.dtype, projected.shape, projected.chunks) == (np.float16, (100, LENGTH), (64, LENGTH))


def test_fasta(tmp_path: Path, world: World) -> None:
    model, _, module = world
    path = write_fasta(tmp_path / "x.fa", rows=70, length=LENGTH, unknown=0.1)
    with open(path, "a") as handle:
        handle.write(f">plain_name\n{letters(np.random.default_rng(3), LENGTH)}\n")
    done = attr(tmp_path / "run", model, path, store_dtype="float32", keep="hypothetical")
    assert done["summary"]["rows"] == 71
    with read_attributions(tmp_path / "run") as found:
        assert found.regions.iloc[1][["chrom", "start", "end"]].tolist() == ["chr2", 1000, 1000 + LENGTH]
        plain = found.regions.iloc[70][["chrom", "start", "end", "name"]].tolist()
        assert plain == ["plain_name", 0, LENGTH, "plain_name"]
        expected = attribute(module, found.sequences[()].astype(np.float32), "gradient", tracks=[0])
        np.testing.assert_array_equal(found.tracks["a"]["corrected"][()], expected[:, 0])
    with pytest.raises(UsageError, match="has no splits"):
        plan(model, path, tmp_path / "run2", split="test")
    with open(path, "a") as handle:
        handle.write(">short\nACGT\n")
    with pytest.raises(InputError, match=r"x\.fa: 'short' has 4 bases, the model takes 120"):
        plan(model, path, tmp_path / "run3")


def test_plan_refuses_what_does_not_fit(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    out = tmp_path / "run"
    with pytest.raises(UsageError, match="no track 'aa'; did you mean 'a'"):
        plan(model, store, out, tracks="aa")
    with pytest.raises(UsageError, match="means nothing for --method tism"):
        plan(model, store, out, method="tism", output="global")
    with pytest.raises(InputError, match="no split 'tset'"):
        plan(model, store, out, split="tset")
    with pytest.raises(InputError, match=r"split 'excluded' .* has no rows"):
        plan(model, store, out, split="excluded")
    with pytest.raises(UsageError, match=r"one model twice"):
        plan(Path(f"{model},{model}"), store, out)
    with pytest.raises(InputError, match="no such file or folder"):
        plan(model, tmp_path / "absent", out)
    make_model(tmp_path / "longer", length=LENGTH + 10)
    with pytest.raises(InputError, match="have 120 bases, the model takes 130"):
        plan(tmp_path / "longer", store, out)
    assert not out.exists()


def test_a_plan_with_other_parameters_is_refused(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    write_plan(plan(model, store, tmp_path / "run", limit=100), tmp_path / "run")
    with pytest.raises(UsageError, match=r"params\.method"):
        write_plan(plan(model, store, tmp_path / "run", limit=100, method="tism"), tmp_path / "run")
    with pytest.raises(IncompleteError, match="not merged"):
        read_attributions(tmp_path / "run")


def test_values_beyond_float16_are_refused(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    model, store, _ = world
    original = engine_module.forms.projected
    monkeypatch.setattr(engine_module.forms, "projected", lambda form, x: original(form, x) * 1e9)
    with pytest.raises(InputError, match=r"track 'a' reaches .* at row 0 .* beyond float16; use --store-dtype float32"):
        attr(tmp_path / "run", model, store)
    assert not list((tmp_path / "run" / "parts" / "attr").iterdir())


def test_faint_values_in_float16_are_warned_of(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, store, _ = world
    original = engine_module.forms.projected
    monkeypatch.setattr(engine_module.forms, "projected", lambda form, x: original(form, x) * 1e-6)
    attr(tmp_path / "run", model, store, limit=10, tracks="a")
    assert "attributions of track 'a' reach only" in caplog.text
    caplog.clear()
    attr(tmp_path / "full", model, store, limit=10, tracks="a", store_dtype="float32")
    assert "reach only" not in caplog.text


def test_reader_names_what_is_wrong(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    attr(tmp_path / "run", model, store, limit=100)
    predict(tmp_path / "predicted", model, store, limit=100)
    with pytest.raises(InputError, match="has format 'drg-predictions/1', expected 'drg-attributions/1'"):
        read_attributions(tmp_path / "predicted" / "out.h5")
    with pytest.raises(InputError, match="is a folder and not a run"):
        read_attributions(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_attributions(tmp_path / "absent")
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as handle:
        handle["x"] = 1
    with pytest.raises(InputError, match="has no format attribute"):
        read_attributions(foreign)
    raw = (tmp_path / "run" / "out.h5").read_bytes()
    for share in (0.0, 0.3, 0.99):
        (tmp_path / "cut.h5").write_bytes(raw[: int(len(raw) * share)])
        with pytest.raises(CorruptError, match=r"cut\.h5 is (cut off|not an HDF5 file)"):
            read_attributions(tmp_path / "cut.h5")


def test_estimate_covers_the_output(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    for name, options in (("a", {"keep": "hypothetical"}), ("b", {"tracks": "a"})):
        chosen = attr_plan.Options(model=model, input=store, out=tmp_path / name, store_dtype="float32", **options)
        spec = attr_plan.plan_shards(chosen)
        finish(chosen, attr_plan)
        written = sum(path.stat().st_size for path in (tmp_path / name).rglob("*") if path.is_file())
        assert written < 1.2 * spec.estimate.bytes + (100 << 10)
        assert "before compression" in spec.notes[0]


def test_planning_is_light(tmp_path: Path, world: World) -> None:
    model, store, _ = world
    code = f"""
import sys
import subprocess
import sys
from pathlib import Path
from drg_hpc.bodies import attr_plan, predict_plan
import drg_hpc.prediction.config
attr_plan.plan_shards(attr_plan.Options(model=Path({str(model)!r}), input=Path({str(store)!r}), out=Path("x")))
predict_plan.plan_shards(predict_plan.Options(model=Path({str(model)!r}), input=Path({str(store)!r}), out=Path("x")))
heavy = {{"numpy", "torch", "zarr", "h5py", "pandas", "captum"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
