"""drg-ablate: every number by a plain calculation, the same bytes for any sharding, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bodies.ablate_runs import FREQUENCIES, ablate, onehot, options_of, plain_copies, plain_effect, predictor, read
from bodies.ism_runs import ism
from prediction.small_world import CNN, finish, letters, make_model, make_store, write_fasta
from stores import fasta, shard
from support import error_line, here
from test_light import bare

from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.attribution.views import View
from drg_hpc.bodies import ablate_plan
from drg_hpc.bodies.ablate_values import Ablator
from drg_hpc.errors import DrgError, InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.genome.fasta import read_records
from drg_hpc.genome.onehot import encode
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import MultiInputConfig
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.registry import build
from drg_hpc.results.ablation_read import read_ablation
from drg_hpc.runs.plan import write_plan
from drg_hpc.runs.work import work_run

LENGTH, ROWS = 40, 470
World = tuple[Path, Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A model of random weights, and sequences some of whose bases are unknown."""
    folder = tmp_path_factory.mktemp("world")
    make_model(folder / "model", length=LENGTH)
    return folder / "model", write_fasta(folder / "x.fa", rows=ROWS, length=LENGTH, unknown=0.05)


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    ablate(out, *world, windows="9:4", shuffles=4, seed=3)
    return out


def sequences(world: World) -> list[Any]:
    return [encode(record.sequence) for record in read_records(world[1])]


@pytest.mark.parametrize("replace", ["mono", "dinuc", "background:0.1,0.2,0.3,0.4"])
def test_equal_to_one_sequence_at_a_time(world: World, whole: Path, tmp_path: Path, replace: str) -> None:
    """Effects, their s.d., what was changed, and positions of some sequences."""
    run = whole
    if replace != "mono":
        run = tmp_path / "run"
        ablate(run, *world, windows="9:4", shuffles=4, seed=3, replace=replace, limit=70)
    found, codes = read(run), sequences(world)
    predict, how = predictor(load_model(world[0])), {"replace": replace, "copies": 4, "seed": 3}
    for row in (0, 5, 69):
        own = np.flatnonzero(found["pieces/row"] == row)
        starts = found["pieces/start"][own]
        assert starts.tolist() == [*range(0, 32, 4), 31]
        effects = []
        for at, start in zip(own.tolist(), starts.tolist(), strict=True):
            effect, sd = plain_effect(predict, codes[row], row, (start, start + 9), **how)
            np.testing.assert_allclose(found["effect"][at], effect, atol=2e-6)
            np.testing.assert_allclose(found["sd"][at], sd, atol=2e-6)
            copies = plain_copies(codes[row], row, start, start + 9, **how)
            share = np.mean([(copy != codes[row]).sum() / 9 for copy in copies])
            assert found["pieces/changed"][at] == pytest.approx(share, abs=1e-6)
            effects.append(effect)
        for base in (0, 4, 30, 39):
            covering = [effect for effect, start in zip(effects, starts, strict=True) if start <= base < start + 9]
            np.testing.assert_allclose(found["positions"][row, :, base], np.mean(covering, axis=0), atol=2e-6)
        np.testing.assert_allclose(found["value"][row], predict(onehot(codes[row])), atol=2e-6)
        np.testing.assert_array_equal(found["sequence"][row], codes[row])


def test_any_sharding_and_an_interrupted_run_give_the_same_bytes(world: World, whole: Path, tmp_path: Path) -> None:
    for shards in (3, 7):
        options = options_of(*world, tmp_path / str(shards), windows="9:4", shuffles=4, seed=3, shards=shards)
        plan = write_plan(ablate_plan.plan_shards(options), options.out)
        assert len(plan.stages[0].shards) == shards if shards == 3 else len(plan.stages[0].shards) > 3
        work_run(plan, device="cpu", shards=[plan.stages[0].shards[i] for i in (2, 0)])
        finish(options, ablate_plan)  # planned again: the same plan goes on
    for name in ("out.h5", "out.tsv"):
        assert len({sha256_file(run / name) for run in (whole, tmp_path / "3", tmp_path / "7")}) == 1, name


def test_every_sequence_has_shuffles_of_its_own(tmp_path: Path, world: World) -> None:
    """Not the same permutation for all, and other ones for another seed; what else is asked for changes nothing."""
    same = fasta(tmp_path / "same.fa", {f"s{i}": "ACGGTCATTGCAGCTTAGCA" * 2 for i in range(6)})
    ablate(tmp_path / "a", world[0], same, windows="10", shuffles=3)
    ablate(tmp_path / "b", world[0], same, windows="10", shuffles=3, seed=1)
    ablate(tmp_path / "c", world[0], same, windows="10:5", shuffles=3, batch_size=3, engine="full", limit=4)
    a, b, c = (read(tmp_path / name) for name in "abc")
    first = a["effect"][a["pieces/start"] == 10]
    assert len(np.unique(first, axis=0)) == 6 and not np.array_equal(a["effect"], b["effect"])
    for row, start in ((0, 0), (1, 20), (3, 30)):
        one, other = ((x["pieces/row"] == row) & (x["pieces/start"] == start) for x in (a, c))
        np.testing.assert_allclose(a["effect"][one], c["effect"][other], atol=1e-6)


@pytest.mark.parametrize("engine", ["full", "incremental"])
def test_copies_without_a_change_have_no_effect(world: World, tmp_path: Path, engine: str) -> None:
    """Exactly: what rounding leaves would be tested."""
    text = "A" * 20 + letters(np.random.default_rng(1), 10) + "N" * 10
    ablate(tmp_path / "run", world[0], fasta(tmp_path / "x.fa", {"x": text}), windows="5", engine=engine, shuffles=6)
    found = read(tmp_path / "run")
    still = [True] * 4 + [False] * 2 + [True] * 2
    assert (found["pieces/changed"] == 0).tolist() == still
    assert (found["effect"] == 0).all(axis=1).tolist() == (found["sd"] == 0).all(axis=1).tolist() == still


def test_copies_that_hardly_differ_are_warned_of(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    ablate(tmp_path / "run", *world, windows="4", replace="dinuc", shuffles=2, limit=20)
    share = read(tmp_path / "run")["pieces/changed"].mean()
    assert 0 < share < 0.05 and f"differ from the sequence at {100 * share:.2g} % of the bases" in caplog.text
    caplog.clear()
    ablate(tmp_path / "other", *world, windows="1", replace="background:0.25,0.25,0.25,0.25", shuffles=2, limit=20)
    assert "differ from" not in caplog.text


def test_rows_of_a_store(world: World, whole: Path, tmp_path: Path) -> None:
    """Random numbers go by the number of a row in its input, whichever of them are asked for."""
    make_store(tmp_path, rows=60, length=LENGTH)  # the same sequences
    chosen: dict[str, Any] = {"windows": "9:4", "shuffles": 4, "seed": 3, "where": "start >= 30000"}
    ablate(tmp_path / "run", world[0], tmp_path / "store", split="test", **chosen)
    found, other = read(tmp_path / "run"), read(whole)
    numbers = found["regions/row"][found["pieces/row"]]
    assert numbers.min() >= 30 and (numbers % 3 == 2).all() and len(numbers) == 90
    theirs = other["pieces/row"] * LENGTH + other["pieces/start"]
    places = np.searchsorted(theirs, numbers * LENGTH + found["pieces/start"])
    np.testing.assert_allclose(found["effect"], other["effect"][places], atol=1e-6)


def test_engines_agree(world: World, whole: Path, tmp_path: Path) -> None:
    done = ablate(tmp_path / "full", *world, windows="9:4", shuffles=4, seed=3, engine="full", limit=64)
    assert done["summary"]["engines"] == ["full"]
    found, other = read(whole), read(tmp_path / "full")
    count = len(other["effect"])
    for name in ("effect", "sd"):
        largest = np.abs(other[name]).max()
        assert np.abs(found[name][:count] - other[name]).max() <= 1e-5 * largest
    with read_ablation(whole) as opened:
        assert opened.tiled and opened.tracks == ["a", "b"] and opened.table() is None
        table = opened.piece_table()
        assert len(table) == opened.pieces == ROWS * 9
        np.testing.assert_array_equal(table["a"], found["effect"][:, 0])


def test_the_windows_of_drg_ism(world: World, whole: Path, tmp_path: Path) -> None:
    """The same shuffles, so the same effects where both have a window."""
    ism(tmp_path / "ism", *world, edits="windows:9/4:shuffle:4", seed=3, store_dtype="float32", limit=64)
    found, theirs = read(whole), read(tmp_path / "ism")
    stored = theirs["tracks/00001/window_9_shuffle"]
    for row in range(64):
        own = (found["pieces/row"] == row) & (found["pieces/start"] % 4 == 0)
        np.testing.assert_allclose(found["effect"][own, 1], stored[row, :32:4], atol=1e-6)


def test_drg_ism_counts_the_rows_of_its_run(world: World, tmp_path: Path) -> None:
    """On a split its shuffles are those of other numbers: ablations go by the row in the input."""
    store = make_store(tmp_path, rows=30, length=LENGTH)
    chosen: dict[str, Any] = {"split": "test", "tracks": "b", "seed": 3}
    ablate(tmp_path / "run", world[0], store, windows="9:4", shuffles=4, **chosen)
    ism(tmp_path / "ism", world[0], store, edits="windows:9/4:shuffle:4", store_dtype="float32", **chosen)
    found, stored = read(tmp_path / "run"), read(tmp_path / "ism")["tracks/00001/window_9_shuffle"]
    codes, predict = sequences(world), predictor(load_model(world[0]))
    how = {"replace": "mono", "copies": 4, "seed": 3}
    for at, number in enumerate(found["regions/row"][:4].tolist()):
        assert number == 3 * at + 2
        own = found["effect"][found["pieces/row"] == at, 0]
        for window, start in enumerate((0, 4, 20)):
            by_input, by_run = (
                plain_effect(predict, codes[number], row, (start, start + 9), **how)[0][1] for row in (number, at)
            )
            assert own[(0, 1, 5)[window]] == pytest.approx(by_input, abs=2e-6)
            assert stored[at, start] == pytest.approx(by_run, abs=2e-6)
            assert abs(by_input - by_run) > 1e-5


def test_values_of_other_kinds(world: World, tmp_path: Path) -> None:
    """Outputs, both strands, a shift, two models: the means that they are defined to be."""
    codes, second = sequences(world), load_model(world[0])
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(1.5)
    save_model(second, tmp_path / "second", CNN, ("a", "b"))
    chosen: dict[str, Any] = {"windows": "8", "shuffles": 3, "limit": 2, "scale": "output", "tracks": "b"}
    ablate(
        tmp_path / "run", Path(f"{world[0]},{tmp_path / 'second'}"), world[1], rc_average=True, shifts="0,3", **chosen
    )
    modules = [load_model(path) for path in (world[0], tmp_path / "second")]

    def shifted(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros(1, 4, 3), x[..., :-3]], dim=-1)

    views = [lambda x: x, shifted, lambda x: x.flip(1, 2), lambda x: shifted(x).flip(1, 2)]
    of = [predictor(torch.nn.Sequential(module, torch.nn.Sigmoid()), views=views) for module in modules]
    found = read(tmp_path / "run")
    for at, (row, start) in enumerate(zip(found["pieces/row"], found["pieces/start"], strict=True)):
        copies = plain_copies(codes[row], int(row), start, start + 8, replace="mono", copies=3, seed=0)
        values = np.array([[predict(onehot(copy))[1] for copy in copies] for predict in of])
        by_model = values.mean(axis=1) - [predict(onehot(codes[row]))[1] for predict in of]
        assert found["effect"][at, 0] == pytest.approx(by_model.mean(), abs=2e-6)
        assert found["sd"][at, 0] == pytest.approx(values.mean(axis=0).std(ddof=1), abs=2e-6)
        assert found["model_sd"][at, 0] == pytest.approx(by_model.std(), abs=2e-6)


class Linear(torch.nn.Module):
    """Weights of every base at every position."""

    def __init__(self, length: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Conv1d(4, 2, length).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)[..., 0]
        return out


@pytest.mark.parametrize("replace", ["mono", "background"])
def test_a_linear_model_has_the_expected_effect(replace: str) -> None:
    """The mean over all shuffles is known exactly, and the mean over many lies within its standard error; a few of
    them give the weights times the change of the sequence exactly."""
    module, copies = Linear(LENGTH), 200
    codes = encode(letters(np.random.default_rng(4), LENGTH, unknown=0.1).encode())
    params = {"replace": replace, "background": FREQUENCIES, "shuffles": copies, "engine": "auto", "seed": 2}
    ablator = Ablator([TrackStatistic(module, [0, 1], "link")], params, views=[View()], batch=8)
    starts, ends = np.array([0, 30, 5]), np.array([40, 37, 6])
    found = ablator.ablate(onehot(codes), 11, starts, ends)
    weights = module.layer.weight.detach().numpy()
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        x = onehot(codes)[:, start:end].astype(np.float64)
        known = x.any(axis=0)
        mean = x[:, known].mean(axis=1) if replace == "mono" else np.array(FREQUENCIES)
        change = np.where(known, mean[:, None] - x, 0)
        wanted = (weights[:, :, start:end] * change).sum(axis=(1, 2))
        error = 5 * found.effects["sd"][number] / np.sqrt(copies) + 1e-12
        assert (np.abs(found.effects["effect"][number] - wanted) <= error).all()
        drawn = plain_copies(codes, 11, start, end, replace=replace, copies=copies, seed=2)
        exact = np.mean([(weights * (onehot(copy) - onehot(codes))).sum(axis=(1, 2)) for copy in drawn], axis=0)
        np.testing.assert_allclose(found.effects["effect"][number], exact, atol=1e-9)


def test_rows_that_are_not_kept(tmp_path: Path, world: World) -> None:
    """A region off its contig has no pieces; the strand of another turns the coordinates."""
    text = letters(np.random.default_rng(0), 500)
    genome = shard("genome", tmp_path / "genome", fasta=[fasta(tmp_path / "g.fa", {"chr1": text})])
    (tmp_path / "r.bed").write_text(
        "chr1\t100\t140\tone\t0\t-\nchr1\t900\t940\ttwo\t0\t+\nchr1\t200\t240\tthree\t0\t+\n"
    )
    done = ablate(tmp_path / "run", world[0], None, windows="20", shuffles=2, regions=str(tmp_path / "r.bed"),
                  genome=genome, stranded=True)  # fmt: skip
    found = read(tmp_path / "run")
    assert found["pieces/row"].tolist() == [0, 0, 2, 2] and done["summary"]["replaced"] == 4
    assert np.isnan(found["value"][1]).all() and np.isnan(found["positions"][1]).all()
    with open(tmp_path / "run" / "out.tsv") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    assert [(line["chrom_start"], line["chrom_end"]) for line in lines[:2]] == [("120", "140"), ("100", "120")]
    assert [line["chrom_start"] for line in lines[2:]] == ["200", "220"]
    assert float(lines[1]["effect:b"]) == pytest.approx(found["effect"][1, 1], rel=1e-5)


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ({}, UsageError, "no pieces: pieces are of one source; give one of --windows, --spans and --seqlets"),
        ({"windows": "5", "spans": Path("x.bed")}, UsageError, "--windows and --spans: pieces are of one source"),
        ({"windows": "41"}, UsageError, "--windows 41: 41 bases, wider than the 40 of the sequences"),
        ({"windows": "5/2"}, UsageError, "--windows '5/2' is not known; W or W:STEP"),
        ({"windows": "5", "start": 9, "end": 50}, UsageError, "--start 9 --end 50: sequences have 40 bases"),
        ({"spans": Path("none.bed")}, InputError, "no such file"),
        ({"seqlets": Path("none.h5")}, InputError, "no such file or folder: none.h5"),
        ({"windows": "1"}, UsageError, "windows of 1 base with --replace mono: a shuffle changes nothing; give wider"),
        (
            {"windows": "3:1", "replace": "dinuc"},
            UsageError,
            r"windows of 3 bases with --replace dinuc: .* \(4 bases or",
        ),
        ({"windows": "5", "replace": "di"}, UsageError, "--replace 'di' is not known"),
        ({"windows": "5", "replace": "background:1,1,0,0"}, UsageError, "--replace background: '1,1,0,0' sums to 2"),
        ({"windows": "5", "tracks": "x"}, UsageError, "--tracks: no track 'x'"),
        ({"windows": "5", "groups": Path("g.tsv")}, UsageError, "has no effect: no group is named"),
    ],
)
def test_what_cannot_be_done(
    world: World, tmp_path: Path, chosen: dict[str, Any], error: type[DrgError], message: str
) -> None:  # fmt: skip
    with pytest.raises(error, match=message) as caught:
        ablate_plan.plan_shards(options_of(*world, tmp_path / "run", **chosen))
    assert "\n" not in str(caught.value)


def test_models_of_several_inputs_are_refused(world: World, tmp_path: Path) -> None:
    config = MultiInputConfig.model_validate(
        {"trunk": {"kernels": 4, "kernel_size": 5, "pool_size": 4}, "embedding": 6}
    )  # fmt: skip
    shape = ModelShape({"dna": LENGTH, "rna": 30}, (HeadShape("main", 1, "identity"),))
    save_model(build(config, shape).eval(), tmp_path / "model", config, ["t"])
    with pytest.raises(
        UsageError, match=r"takes 2 sequences \(dna, rna\), pieces are of one; take a model of one input"
    ):
        ablate_plan.plan_shards(options_of(tmp_path / "model", world[1], tmp_path / "run", windows="5"))


def test_planning_needs_no_heavy_library(world: World, tmp_path: Path) -> None:
    bare("drg-ablate", *world, "--windows", "9:3", "--plan-only", "-o", tmp_path / "run")
    (tmp_path / "x.bed").write_text("chr1\t3\t9\tA\n")
    bare("drg-ablate", *world, "--spans", tmp_path / "x.bed", "--dry-run", "-o", tmp_path / "other")


def test_on_the_command_line(world: World, tmp_path: Path) -> None:
    asked = ("--windows", 20, "--shuffles", 2, "--limit", 3, "--json")
    done = json.loads(here("drg-ablate", *world, *asked, "-o", tmp_path / "run").stdout)
    assert [Path(path).name for path in done["outputs"]] == ["out.h5", "out.tsv"]
    assert done["summary"]["replaced"] == 6 and done["summary"]["windows"]["step"] == 20
    assert "drg-ablation/1" in here("drg-inspect", tmp_path / "run" / "out.h5", "--verify").stdout
    line = error_line(here("drg-ablate", *world, "--windows", 50, "-o", tmp_path / "no", exit_code=2))
    assert "wider than the 40 of the sequences" in line and not (tmp_path / "no").exists()
