"""drg-perturb: every number by a plain calculation, the same bytes for any sharding, and what it refuses."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from bodies.perturb_runs import BACKGROUND, MOTIFS, PAIR, options_of, perturb, read, simulate, table
from experiments.plain_perturb import Plain
from prediction.small_world import finish, make_model, make_store
from scipy.stats import wilcoxon
from stores import fasta
from support import drg, drg_json, error_line
from test_light import bare

from drg_hpc.bodies import perturb_plan
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DrgCnnConfig, UserConfig
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.registry import build
from drg_hpc.results.perturbation import read_table
from drg_hpc.results.simulation import read_simulation
from drg_hpc.rng import row_keys
from drg_hpc.runs.plan import write_plan
from drg_hpc.runs.work import work_run
from drg_hpc.store.reader import open_dataset

LENGTH = 90
BY_WORDS = DrgCnnConfig(kernels=6, kernel_size=12, kernel_activation="relu", strands="off", pool_size=20, hidden=(8,))
FILES = ("out.h5", "out.csv", "out.tsv")
KINDS = ("presence", "order", "distance", "shift", "interaction")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of random weights, whose first layer is computed by words, and a simulation with 270 test sequences."""
    folder = tmp_path_factory.mktemp("world")
    make_model(folder / "model", length=LENGTH, tracks=("label",), config=BY_WORDS)
    return folder / "model", simulate(folder / "sim")


@pytest.fixture(scope="module")
def whole(world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    perturb(out, *world, effects="loss,logit,value", seed=3)
    return out


def plain_values(model: Path, sim: Path, kind: str, motifs: list[str], rows: list[int]) -> dict[int, list[float]]:
    """Effects of some rows that have the motifs, one sequence at a time."""
    module, store = load_model(model), open_dataset(sim)
    codes, labels = store.codes(0, store.rows), store.targets(slice(None))[:, 0]
    sites: dict[int, dict[str, tuple[int, int]]] = {}
    for site in read_simulation(sim).sites.itertuples():
        sites.setdefault(site.row, {})[site.motif] = (site.start, site.end)

    def predict(s: list[int]) -> float:
        x = torch.zeros(1, 4, len(s))
        for at, base in enumerate(s):
            x[0, base, at] = 1
        with torch.no_grad():
            return float(module(x))

    found = {}
    for row in rows:
        own = sites.get(row, {})
        if all(name in own for name in motifs):
            one = Plain(
                predict, lambda stream, row=row: int(row_keys(3, np.array([row]), stream)[0]), first=BACKGROUND,
                following=[BACKGROUND] * 4, copies=5,
            )  # fmt: skip
            found[row] = one.effects(kind, motifs, codes[row].tolist(), own, int(labels[row]))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_one_sequence_at_a_time(world: tuple[Path, Path], whole: Path, tmp_path: Path, kind: str) -> None:
    """Effects of each of 200 sequences; then count, sum, mean and Wilcoxon's p of these alone."""
    perturb(tmp_path / "run", *world, effects="loss,logit", seed=3, limit=200)
    motifs = PAIR[:1] if kind == "presence" else PAIR
    name = " ".join([kind, *motifs])
    wanted = plain_values(*world, kind, motifs, list(range(30, 230)))  # the test split begins at row 30
    number = list(dict.fromkeys(read_table(whole / "out.h5")["test"])).index(name)
    found = read(tmp_path / "run", number)
    tested = np.flatnonzero(found["status"] == 0)
    assert (tested + 30).tolist() == list(wanted)
    for effect, place in (("loss", 0), ("logit", 1)):
        values = np.array([each[place] for each in wanted.values()])
        np.testing.assert_allclose(found[effect][tested, 0], values, atol=2e-6)
        line = table(tmp_path / "run").loc[(effect, name, "label")]
        assert line["count"] == len(values)
        assert float(line["total"]) == pytest.approx(values.sum(), abs=1e-5 * np.abs(values).sum())
        assert float(line["mean"]) == pytest.approx(values.mean(), abs=1e-5 * np.abs(values).mean())
        assert float(line["p"]) == pytest.approx(wilcoxon(values).pvalue, rel=1e-3)
        assert float(line["low"]) < values.mean() < float(line["high"])
    whole_run = read(whole, number)
    np.testing.assert_array_equal(whole_run["loss"][:192], found["loss"][:192])  # rows say what is drawn


def test_value_is_the_logit_without_the_sign(world: tuple[Path, Path], whole: Path) -> None:
    labels = open_dataset(world[1]).targets(slice(30, 300))[:, 0]
    for test in range(6):
        found = read(whole, test)
        np.testing.assert_allclose(found["logit"][:, 0], (2 * labels - 1) * found["value"][:, 0], atol=1e-12)


def test_any_sharding_and_an_interrupted_run_give_the_same_bytes(
    world: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    for shards in (3, 7):
        options = options_of(*world, tmp_path / str(shards), effects="loss,logit,value", seed=3, shards=shards)
        plan = write_plan(perturb_plan.plan_shards(options), options.out)
        numbers = [shard.id for shard in plan.stages[0].shards]
        work_run(plan, device="cpu", shards=[plan.stages[0].shards[i] for i in numbers[::2]])
        finish(options, perturb_plan)  # planned again: the same plan goes on
    for name in FILES:
        assert len({sha256_file(run / name) for run in (whole, tmp_path / "3", tmp_path / "7")}) == 1, name
    other = perturb(tmp_path / "other", *world, effects="loss,logit,value", seed=4)
    assert other["summary"]["tests"] == 6
    assert not np.array_equal(read(tmp_path / "other", 0)["loss"], read(whole, 0)["loss"])


def test_the_files(world: tuple[Path, Path], whole: Path) -> None:
    with open(whole / "out.csv") as handle:
        rows = list(csv.reader(handle))
    assert rows[0][:5] == ["test", "effect_size", "count", "avg_loss", "p_value"]
    assert [row[0] for row in rows[1:]] == [
        "presence STAT_known2", "presence CTCF_known1", "order STAT_known2 CTCF_known1",
        "distance STAT_known2 CTCF_known1", "shift STAT_known2 CTCF_known1", "interaction STAT_known2 CTCF_known1",
    ]  # fmt: skip
    for row in rows[1:]:
        assert float(row[1]) / int(row[2]) == pytest.approx(float(row[3]))
    found = read_table(whole / "out.h5")
    assert found["effect"].tolist() == ["loss"] * 6 + ["logit"] * 6 + ["value"] * 6
    assert [float(row[4]) for row in rows[1:]] == found["p"][:6].tolist()
    assert found["q"][:6].tolist() >= found["p"][:6].tolist()
    presence = found["mean"][:2].abs().mean()
    np.testing.assert_allclose(found["relative"][2:6], found["mean"][2:6] / presence)
    assert found["relative"][:2].isna().all()
    with h5py.File(whole / "out.h5") as handle:
        assert handle["tests/0002"].attrs["kind"] == "order" and len(handle["regions/row"]) == 270
        assert handle["regions/row"][0] == 30 and handle.attrs["format"] == "drg-perturbation/1"
        assert handle["tests/0000/loss"].shape == (270, 1)
        before, labels = handle["before"][:, 0], handle["labels"][:, 0]
    store, tested = open_dataset(world[1]), np.isfinite(before)
    np.testing.assert_array_equal(labels, store.targets(slice(30, 300))[:, 0])
    with torch.no_grad():
        wanted = load_model(world[0])(torch.from_numpy(store.sequences(list(range(30, 300)))))[:, 0].numpy()
    assert tested.any() and not tested.all()
    np.testing.assert_allclose(before[tested], wanted[tested], atol=2e-6)


def test_too_few_sequences_are_said(world: tuple[Path, Path], tmp_path: Path) -> None:
    perturb(tmp_path / "run", *world, limit=4, num_perturbs=2)
    for line in table(tmp_path / "run").itertuples():
        assert line.note == f"{line.count} sequence{'s' * (line.count != 1)}, a test needs 6"
        assert line.p == line.q == line.low == line.relative == ""
    with open(tmp_path / "run" / "out.csv") as handle:
        cells = [cell for row in csv.reader(handle) for cell in row]
    assert "nan" not in cells and "" in cells


def test_gaps_of_the_rule_are_not_drawn(world: tuple[Path, Path], tmp_path: Path) -> None:
    """Of a distance simulation by themselves; where every gap is one of them, the sequence has no other place."""
    sim = simulate(tmp_path / "sim", gen_type="distance", max_dist=10)
    perturb(tmp_path / "run", world[0], sim, tests="distance")
    plan = write_plan(
        perturb_plan.plan_shards(options_of(world[0], sim, tmp_path / "run", tests="distance")), tmp_path / "run"
    )
    assert [test["excluded"] for test in plan.params["tests"]] == [[0, 10], None]
    perturb(tmp_path / "other", world[0], sim, tests="distance", min_dist=3, max_dist=40)
    assert not np.array_equal(read(tmp_path / "run", 0)["loss"], read(tmp_path / "other", 0)["loss"], equal_nan=True)
    assert np.array_equal(read(tmp_path / "run", 1)["loss"], read(tmp_path / "other", 1)["loss"], equal_nan=True)


def test_values_of_other_kinds(world: tuple[Path, Path], tmp_path: Path) -> None:
    """Outputs, both strands, two models: the means that they are defined to be."""
    model, sim = world
    other = tmp_path / "other"
    make_model(other, length=LENGTH, tracks=("label",))
    chosen: dict[str, Any] = {"tests": "order", "motifs": PAIR, "limit": 100, "effects": "value", "scale": "output"}
    perturb(tmp_path / "run", Path(f"{model},{other}"), sim, rc_average=True, **chosen)
    store, sites = open_dataset(sim), read_simulation(sim).sites
    modules = [load_model(path) for path in (model, other)]
    found = read(tmp_path / "run", 0)
    for n in np.flatnonzero(found["status"] == 0)[:20].tolist():
        own = sites[sites["row"] == n + 30].set_index("motif")
        (a, b), (c, d) = sorted((int(own.loc[name, "start"]), int(own.loc[name, "end"])) for name in PAIR)
        x = torch.from_numpy(store.sequences([n + 30]))
        y = torch.cat([x[..., :a], x[..., c:d], x[..., b:c], x[..., a:b], x[..., d:]], dim=-1)
        with torch.no_grad():
            one, other_strand, swapped, swapped_other = (
                sum(torch.sigmoid(module(each)) for module in modules) for each in (x, x.flip(1, 2), y, y.flip(1, 2))
            )
        wanted = float(swapped + swapped_other - one - other_strand) / 4
        assert found["value"][n, 0] == pytest.approx(wanted, abs=1e-6)
    assert not (tmp_path / "run" / "out.csv").exists()


def test_labels_that_are_missing_or_none(tmp_path: Path) -> None:
    """Sites of a BED file on a store with missing targets, and on one with values."""
    store = make_store(tmp_path, rows=60, length=40)
    make_model(tmp_path / "model", length=40)
    regions = open_dataset(store).regions
    lines = [f"{r.chrom}\t{r.start + 5}\t{r.start + 12}\tA\n{r.chrom}\t{r.start + 20}\t{r.start + 26}\tB\n"
             for r in regions.itertuples() if r.Index % 6]  # fmt: skip
    (tmp_path / "sites.bed").write_text("".join(lines))
    chosen: dict[str, Any] = {"sites": str(tmp_path / "sites.bed"), "motifs": ["A", "B"], "split": "all"}
    perturb(tmp_path / "run", tmp_path / "model", store, **chosen)
    targets = open_dataset(store).targets(slice(None))
    has = np.arange(60) % 6 > 0
    found = table(tmp_path / "run")
    for track, name in enumerate(("a", "b")):
        line = found.loc[("loss", "presence A", name)]
        assert line["missing"] == 10 and line["unlabelled"] == np.isnan(targets[has, track]).sum() > 0
        assert line["count"] == 50 - line["unlabelled"]
    sim = simulate(tmp_path / "sim", labels="additive", noise=0.1, seq_length=40, gen_type="presence")
    make_model(tmp_path / "other", length=40, tracks=("activity",))
    with pytest.raises(InputError, match=r"row 30: the target of activity is .*, a label is 0 or 1; --effects value"):
        perturb(tmp_path / "values", tmp_path / "other", sim)
    assert perturb(tmp_path / "v2", tmp_path / "other", sim, effects="value")["summary"]["effects"] == ["value"]


@pytest.mark.parametrize("worst", [float("nan"), float("inf")])
def test_values_that_are_not_finite(world: tuple[Path, Path], tmp_path: Path, worst: float) -> None:
    """The row is named, and nothing is dropped."""
    model = load_model(world[0])
    with torch.no_grad():
        list(model.parameters())[-1].fill_(worst)
    save_model(model, tmp_path / "model", BY_WORDS, ["label"])
    with pytest.raises(
        InputError, match=rf"the prediction of track 'label' is {worst} at row \d+ of the input; the stat"
    ):
        perturb(tmp_path / "run", tmp_path / "model", world[1], limit=70)


def test_copies_that_have_no_value(tmp_path: Path) -> None:
    config = UserConfig(factory="bodies.marginal_nets:Linear", kwargs={"length": 40})
    model = build(config, ModelShape.single(40, 2, link="identity")).eval()
    save_model(model, tmp_path / "model", config, ["a", "b"])
    store = open_dataset(make_store(tmp_path, rows=60, length=40))
    with torch.no_grad():
        values = model(torch.from_numpy(store.sequences(slice(0, 60)))).numpy()
    good = values[:, 0] * values[:, 1] > 0
    chosen: dict[str, Any] = {"sites": str(tmp_path / "sites.bed"), "motifs": ["A"], "split": "all"}
    places = [f"{r.chrom}\t{r.start + 5}\t{r.start + 30}\tA\n" for r in store.regions.itertuples()]
    for lines, what in (
        ([place for place, ok in zip(places, good, strict=True) if ok], "the prediction of a changed copy of"),
        ([place for place, ok in zip(places, good, strict=True) if not ok][:1], "the prediction of"),
    ):
        (tmp_path / "sites.bed").write_text("".join(lines))
        with pytest.raises(InputError, match=f"{what} track '.*' is nan at row [0-9]+ of the input"):
            perturb(tmp_path / what.replace(" ", "_"), tmp_path / "model", tmp_path / "store", tests="presence",
                    transform="specificity:on=a:compare=log2fc", **chosen)  # fmt: skip


def test_without_labels_effects_are_of_values(world: tuple[Path, Path], tmp_path: Path) -> None:
    given = fasta(tmp_path / "x.fa", {f"s{i}": "ACGT" * 22 + "AC" for i in range(3)})
    (tmp_path / "sites.bed").write_text("s1\t3\t9\tA\ns9\t1\t4\tA\n")
    options = options_of(world[0], given, tmp_path / "run", sites=str(tmp_path / "sites.bed"), motifs=["A"],
                         tests="presence")  # fmt: skip
    spec = perturb_plan.plan_shards(options)
    assert "effects are changes of the value: only a dataset store has labels" in spec.notes
    finish(options, perturb_plan)
    assert read(tmp_path / "run", 0)["status"].tolist() == [1, 0, 1]
    for line, message in (
        ("s2\t80\t95\tA", "line 1: 80-95 of s2: the sequence has 90 bases"),
        ("s9\t1\t4\tA", r"no line of A lies within a sequence \(1 line, 3 sequences\); check the assembly"),
    ):
        (tmp_path / "sites.bed").write_text(f"{line}\n")
        with pytest.raises(InputError, match=message):
            perturb_plan.plan_shards(options)


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ({"motifs": ["STAT_know2"]}, InputError, "no motif 'STAT_know2' among the 2 of .*; nearest: STAT_known2"),
        ({"motifs": [PAIR[0]] * 2}, UsageError, "--motifs: STAT_known2 stands twice"),
        ({"motifs": PAIR[:1], "tests": "order"}, UsageError, "order: of pairs, and there is one motif, STAT_known2"),
        ({"tests": "presense"}, UsageError, "--tests: no test 'presense'; did you mean 'presence'"),
        ({"tests": ","}, UsageError, "--tests: none"),
        ({"effects": "los"}, UsageError, "--effects: no effect 'los'; did you mean 'loss'"),
        ({"effects": ","}, UsageError, "--effects: none"),
        ({"scale": "output", "effects": "loss"}, UsageError, "--effects loss: what is tested are not the model's tra"),
        ({"background_dist": [0.3] * 4}, UsageError, "--background-dist 0.3 0.3 0.3 0.3: sums to 1.2, not 1"),
        ({"tests": "order", "num_perturbs": 9}, UsageError, "--num-perturbs has no use with --tests order; leave it"),
        (
            {"tests": "distance,order", "background_dist": [0.25] * 3 + [0.26]},
            UsageError,
            "sums to 1.01, not 1",
        ),
        (
            {"tests": "distance,order", "background_dist": [0.1, 0.2, 0.3, 0.4]},
            UsageError,
            "--background-dist has no use with --tests order, distance",
        ),
        ({"min_dist": 5}, UsageError, "--max-dist is needed too"),
        ({"min_dist": 9, "max_dist": 8}, UsageError, "--min-dist 9 is above --max-dist 8"),
        (
            {"min_dist": 51, "max_dist": 60},
            UsageError,
            r"no gap of --min-dist 51 to --max-dist 60 fits into 90 bases: "
            r"with the motifs \(40 bases\) gaps are 0 to 50",
        ),
        ({"min_dist": 0, "max_dist": 50}, UsageError, r"every gap that fits into 90 bases \(0 to 50\) is within --min"),
        ({"min_dist": 0, "max_dist": 5, "tests": "order"}, UsageError, "have no use without the test distance"),
        ({"max_p": 1e-3}, UsageError, "--max-p has no use without --sites scan"),
        ({"sites": "scan"}, UsageError, "--motifs is needed"),
        ({"sites": "scan", "motifs": PAIR}, UsageError, "--sites scan needs --motif-db"),
        (
            {"sites": "scan", "motif_db": MOTIFS, "motifs": ["ctcf_known"]},
            InputError,
            "no motif 'ctcf_known' among the 10 of .*; nearest: CTCF_known1",
        ),
        ({"sites": "none.bed", "motifs": PAIR}, InputError, "no such file"),
        ({"batch_size": 3}, UsageError, "--batch-size 3 is no power of two up to 64"),
        ({"tracks": "x"}, UsageError, "--tracks: no track 'x'"),
        ({"groups": Path("g.tsv")}, UsageError, "has no effect: no group is named"),
    ],
)
def test_what_cannot_be_done(
    world: tuple[Path, Path], tmp_path: Path, chosen: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        perturb_plan.plan_shards(options_of(*world, tmp_path / "run", **chosen))
    assert "\n" not in str(caught.value)


def test_what_is_no_simulation(world: tuple[Path, Path], tmp_path: Path) -> None:
    model, sim = world
    store = make_store(tmp_path, rows=20, length=LENGTH)
    with pytest.raises(InputError, match=r"is not of drg-simulate, so nothing says where its motifs are; .*scan"):
        perturb_plan.plan_shards(options_of(model, store, tmp_path / "run"))
    given = fasta(tmp_path / "x.fa", {"a": "A" * LENGTH})
    with pytest.raises(InputError, match="no such file or folder: nothere; give a dataset store"):
        perturb_plan.plan_shards(options_of(model, Path("nothere"), tmp_path / "run"))
    with pytest.raises(UsageError, match="where are the motifs"):
        perturb_plan.plan_shards(options_of(model, given, tmp_path / "run"))
    with pytest.raises(InputError, match="is no folder of drg-motifs"):
        perturb_plan.plan_shards(options_of(model, sim, tmp_path / "run", sites=str(sim), motifs=PAIR))
    short = tmp_path / "short"
    make_model(short, length=15, tracks=("label",))
    given = fasta(tmp_path / "y.fa", {"a": "A" * 15})
    with pytest.raises(UsageError, match="motif STAT_known2 has 21 positions, the sequences have 15 bases"):
        perturb_plan.plan_shards(options_of(short, given, tmp_path / "run", sites="scan", motif_db=MOTIFS, motifs=PAIR))
    (tmp_path / "sites.bed").write_text("chr1\t3\t9\tAP1\n")
    with pytest.raises(InputError, match=r"no motif 'AP2' among the 1 of .*sites.bed; nearest: AP1"):
        perturb_plan.plan_shards(
            options_of(model, sim, tmp_path / "run", sites=str(tmp_path / "sites.bed"), motifs=["AP2"])
        )


def test_planning_needs_no_heavy_library(world: tuple[Path, Path], tmp_path: Path) -> None:
    bare("drg-perturb", *world, "--tests", "distance,order", "--plan-only", "-o", tmp_path / "run")
    bare("drg-perturb", *world, "--sites", "scan", "--motif-db", MOTIFS, "--motifs", *PAIR, "--dry-run", "-o", tmp_path)


def test_on_the_command_line(world: tuple[Path, Path], tmp_path: Path) -> None:
    model, sim = world
    done = drg_json(
        "drg-perturb", model, sim / "out.zarr", "--motifs", *PAIR, "--tests", "presence,order", "--num-perturbs", 2,
        "--background-dist", *BACKGROUND, "-o", tmp_path / "run",
    )  # fmt: skip
    assert [Path(path).name for path in done["outputs"]] == ["out.csv", "out.h5", "out.tsv"]
    assert done["summary"]["tests"] == 3 and done["summary"]["sites"] == "simulation"
    text = drg("drg-inspect", tmp_path / "run" / "out.h5", "--verify").stdout
    assert "drg-perturbation/1" in text
    line = error_line(drg("drg-perturb", model, sim, "--motifs", "CTCF", "-o", tmp_path / "no", exit_code=3))
    assert "no motif 'CTCF'" in line and "nearest: CTCF_known1" in line and not (tmp_path / "no").exists()
    assert math.isfinite(float(table(tmp_path / "run").iloc[0]["p"]))
