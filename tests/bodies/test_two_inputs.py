"""A model of DNA and RNA through drg-kernels, drg-attr and drg-seqlets, against calculations of one row at a time.

Rows are places of hg38 on both strands, whose RNA lies elsewhere than their DNA; the network is configs/dna-rna.toml
with DNA scanned on both strands.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from stores import TINY, shard
from support import ROOT

from drg_hpc.bodies import kernels_plan
from drg_hpc.bodies.seqlets_plan import Options as SeqletOptions
from drg_hpc.bodies.seqlets_plan import plan_shards as plan_seqlets
from drg_hpc.errors import UsageError
from drg_hpc.files import sha256_file
from drg_hpc.interpretation.kernel_motifs import random_kmers
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import config_from_json
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from drg_hpc.results.kernels import KernelResult, read_kernels
from drg_hpc.results.reader import read_attributions
from drg_hpc.results.seqlets import read_table
from drg_hpc.runs.merge import ensure_reduced, merge_run
from drg_hpc.runs.plan import write_plan
from drg_hpc.runs.work import work_run
from drg_hpc.store.reader import open_dataset, open_store
from tests.bodies import kernel_formula as plain
from tests.prediction.small_world import attr, finish

NEAR = 1e-5
ROWS, DNA, RNA, KERNELS, WIDTH, POOL = 140, 1000, 600, 16, 9, 25
TRACKS = {"expression": ("liver", "brain"), "decay": ("rate",), "transcription": ("start",)}
NAMES = [name for own in TRACKS.values() for name in own]
LENGTHS = {"dna": DNA, "rna": RNA}
World = dict[str, Any]


def write_inputs(folder: Path) -> None:
    """Regions of both sequences in different orders, and a matrix of each modality; row 7 has no RNA."""
    rng = np.random.default_rng(0)
    places = {
        name: [(f"w{i % 4:02d}", int(rng.integers(2, 120_000)), "+-"[rng.integers(2)]) for i in range(ROWS)]
        for name in LENGTHS
    }
    for name, length in LENGTHS.items():
        rows = [(*place, f"gene{i}") for i, place in enumerate(places[name]) if (name, i) != ("rna", 7)]
        lines = [f"{c}\t{s}\t{s + length}\t{gene}\t0\t{strand}\n" for c, s, strand, gene in rows]
        (folder / f"{name}.bed").write_text("".join(lines[::-1] if name == "rna" else lines))
    for modality, tracks in TRACKS.items():
        values = rng.normal(size=(ROWS, len(tracks)))
        lines = ["\t".join(("gene", *tracks))]
        for i, row in enumerate(values):
            cells = ["nan" if rng.random() < 0.05 else f"{value:.4f}" for value in row]
            lines.append("\t".join((f"gene{i}", *cells)))
        (folder / f"{modality}.tsv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("genes")
    genome = shard("genome", folder / "genome", fasta=[TINY / "genome.fa.gz"])
    write_inputs(folder)
    store = shard(
        "regions", folder / "store", genome=genome, stranded=True, missing="mask",
        input=[f"{name}={folder / name}.bed:{length}" for name, length in LENGTHS.items()],
        counts=[f"{name}={folder / name}.tsv" for name in TRACKS],
    )  # fmt: skip
    values = tomllib.loads((ROOT / "configs/dna-rna.toml").read_text())["model"]
    values["strands"]["dna"] = "max"
    config = config_from_json(values, source="test")
    torch.manual_seed(0)
    heads = tuple(HeadShape(name, len(tracks)) for name, tracks in TRACKS.items())
    module = build(config, ModelShape(dict(LENGTHS), heads)).eval()
    with torch.no_grad():
        for network in module.networks:  # type: ignore[union-attr]
            network.scan.weight.mul_(4)  # type: ignore[union-attr, operator]
    save_model(module, folder / "model", config, NAMES)
    weights = {name: value.astype(float) for name, value in load_file(folder / "model/weights.safetensors").items()}
    return {"folder": folder, "genome": genome, "store": store, "model": folder / "model", "weights": weights}


def rows_of(world: World) -> tuple[list[list[np.ndarray]], np.ndarray, np.ndarray]:
    """One-hot sequences and measured values of the rows that are kept, and their numbers."""
    data = open_dataset(world["store"])
    rows = data.split_rows("all")
    x = [data.input_sequences(name, rows).astype(float) for name in LENGTHS]
    y = np.concatenate([data.targets(rows, modality=name).astype(float) for name in TRACKS], axis=1)
    return [[part[i] for part in x] for i in range(len(rows))], y, rows


def kernels(world: World, out: Path, **options: Any) -> KernelResult:
    (world["folder"] / "classes.tsv").write_text("".join(f"{name}\tall\n" for name in NAMES))
    values: dict[str, Any] = {"n_kmers": 2000, "split": "all", "classes": world["folder"] / "classes.tsv"} | options
    finish(kernels_plan.Options(model=world["model"], input=world["store"], out=out, **values), kernels_plan)
    return read_kernels(out)


def rest_of(t: dict[str, np.ndarray]) -> plain.Rest:
    """Expression is a number of the DNA less one of the RNA, decay one of the RNA, transcription one of the DNA."""

    def number(head: str, vector: np.ndarray) -> np.ndarray:
        return t[f"heads.{head}.head.weight"] @ vector + t[f"heads.{head}.head.bias"]

    def rest(scans: Any) -> np.ndarray:
        dna, rna = (plain.max_pool(plain.gelu(scan), POOL).ravel() for scan in (scans[0].max(0), scans[1]))
        return np.concatenate([
            number("0.values.0", dna) - number("0.values.1", rna), number("1.values.0", rna), number("2.values.0", dna),
        ])  # fmt: skip

    return rest


def test_kernels_of_both_networks(tmp_path: Path, world: World) -> None:
    found = kernels(world, tmp_path / "run")
    assert [k.name for k in found.kernels] == [f"filter{i}_CNN{j}" for j in range(2) for i in range(KERNELS)]
    t, (rows, y, _) = world["weights"], rows_of(world)
    assert len(rows) == ROWS - 1 and np.isnan(y).sum() > 5
    scans = [(t[f"networks.{j}.scan.weight"], t[f"networks.{j}.scan.bias"]) for j in range(2)]
    kmers = plain.every_kmer(random_kmers(0, 2000, WIDTH).astype(int), both=True)
    for number, kernel in enumerate(found.kernels):
        j, i = divmod(number, KERNELS)
        weight, bias = scans[j][0][i], scans[j][1][i]
        assert kernel.constant == pytest.approx(plain.kmer_responses(kmers, weight, bias).mean(), abs=2e-6)
        np.testing.assert_allclose(kernel.ppm, plain.direct_motif(weight, bias), rtol=1e-6)
        pfm, count = plain.activation_motif(kmers, weight, bias, active=lambda a: a, cutoff=1.64, maximum=None)
        assert kernel.kmers == count
        np.testing.assert_allclose(kernel.pfm, pfm, atol=5e-6)
    made = plain.ablated(
        rows, [lambda x: plain.both_strands(x, *scans[0]), lambda x: plain.scanned(x, *scans[1])],
        [[k.constant for k in found.kernels[j * KERNELS : (j + 1) * KERNELS]] for j in range(2)], rest_of(t),
    )  # fmt: skip
    for name, values in plain.five_statistics(made, y, [range(len(NAMES))], 0.3).items():
        columns, lines, written = plain.read_table(tmp_path / f"run/{name}.tsv")
        assert lines == [kernel.name for kernel in found.kernels]
        assert columns == (["all"] if name == "kernattmeantestclass" else NAMES)
        np.testing.assert_allclose(written, values, rtol=0, atol=5e-4 * np.abs(values).max(), err_msg=name)
    effect = found.effects["effect"]
    assert (effect[:KERNELS, 2] == 0).all() and (effect[KERNELS:, 3] == 0).all()  # decay of RNA, transcription of DNA
    assert np.abs(effect[:, :2]).min() > 1e-3


def test_kernels_do_not_depend_on_the_shards(tmp_path: Path, world: World) -> None:
    options = {"kmers": "data", "nullify_on": "data", "unique": True, "per_row": True, "n_kmers": 200_000}
    for shards in (1, 3):
        kernels(world, tmp_path / str(shards), shards=shards, **options)
    names = sorted(p.name for p in (tmp_path / "1").iterdir() if p.suffix in (".h5", ".tsv", ".meme"))
    assert len(names) == 12
    for name in names:
        assert sha256_file(tmp_path / "1" / name) == sha256_file(tmp_path / "3" / name)


def gradients(world: World, row: list[np.ndarray], track: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of one track in one row, by torch's own functions; and which bases they are sure of (L,): not those under two
    maxima that differ by rounding."""
    t = {name: torch.from_numpy(value) for name, value in world["weights"].items()}
    parts = [torch.from_numpy(part)[None].requires_grad_() for part in row]
    vectors, sure = [], []
    for j, x in enumerate(parts):
        weight, bias = t[f"networks.{j}.scan.weight"], t[f"networks.{j}.scan.bias"]
        out = torch.nn.functional.conv1d(x, weight, bias, padding=WIDTH // 2)
        if j == 0:
            turned = torch.nn.functional.conv1d(x.flip(1, 2), weight, bias, padding=WIDTH // 2).flip(2)
            close = (out - turned).abs() < NEAR
            out = torch.maximum(out, turned)
        else:
            close = torch.zeros_like(out, dtype=torch.bool)
        out = torch.nn.functional.gelu(out)
        pooled = torch.nn.functional.max_pool1d(out, POOL)
        largest = out > pooled.repeat_interleave(POOL, 2) - NEAR
        several = largest.view(1, KERNELS, -1, POOL).sum(3).repeat_interleave(POOL, 2) > 1
        unsure = (largest & (several | close)).any(1).double()
        sure.append((torch.nn.functional.max_pool1d(unsure, WIDTH, 1, WIDTH // 2) == 0)[0].numpy())
        vectors.append(pooled.flatten(1))
    heads = {"0.values.0": 0, "0.values.1": 1, "1.values.0": 1, "2.values.0": 0}
    n = {h: vectors[j] @ t[f"heads.{h}.head.weight"].T + t[f"heads.{h}.head.bias"] for h, j in heads.items()}
    values = torch.cat([n["0.values.0"] - n["0.values.1"], n["1.values.0"], n["2.values.0"]], 1)
    values[0, track].backward()
    return [np.zeros(x.shape[1:]) if x.grad is None else x.grad[0].numpy() for x in parts], sure


@pytest.fixture(scope="module")
def attributed(world: World) -> Path:
    attr(world["folder"] / "attr", world["model"], world["store"], split="all", store_dtype="float32", shards=2)
    return Path(world["folder"] / "attr")


def test_attributions_of_both_inputs(world: World, attributed: Path) -> None:
    rows, _, _ = rows_of(world)
    counted = 0
    for number, name in enumerate(LENGTHS):
        with read_attributions(attributed, name) as found:
            for track in range(len(NAMES)):
                projected = found.projected(NAMES[track])
                for i in range(0, len(rows), 9):
                    found_at, sure = (both[number] for both in gradients(world, rows[i], track))
                    expected = ((found_at - found_at.mean(0)) * rows[i][number]).sum(0)
                    np.testing.assert_allclose(projected[i][sure], expected[sure], atol=1e-5 * np.abs(expected).max())
                    counted += int(sure.sum())
    assert counted > 0.9 * len(range(0, len(rows), 9)) * len(NAMES) * (DNA + RNA)


def seqlets(attributed: Path, out: Path, **options: Any) -> Any:
    plan = write_plan(plan_seqlets(SeqletOptions(attributions=attributed, out=out, **options)), out)
    for stage in plan.stages:
        work_run(plan, device="cpu", stage=stage)
        if stage is not plan.stages[-1]:
            ensure_reduced(plan, stage)
    merge_run(plan)
    return read_table(out)[0]


@pytest.mark.parametrize(("name", "own"), [("dna", "start"), ("rna", "rate")])
def test_seqlets_of_each_input(tmp_path: Path, world: World, attributed: Path, name: str, own: str) -> None:
    """Called by DRG's rule, by its plain form, and lying where the genome has their sequence."""
    found = seqlets(attributed, tmp_path / "one", input=name, method="zscore", cut=1.5, min_size=3)
    rows, _, numbers = rows_of(world)
    which, genome = list(LENGTHS).index(name), open_store(world["genome"])
    with read_attributions(attributed, name) as handle:
        values = np.stack([handle.projected(track) for track in NAMES], 1).astype(float)
    # of the attributions that the file keeps: those of the bases that are there, the others being 0
    scale = np.sqrt((values**2).sum(2) / (4 * LENGTHS[name])).mean()
    wanted = []
    for i in range(len(rows)):
        for track in range(len(NAMES)):
            z = values[i, track] / scale
            wanted += [
                (i, m[0], m[-1] + 1, track, values[i, track, m[0] : m[-1] + 1].sum()) for m in members(z, 1.5, 1, 3)
            ]
    wanted.sort(key=lambda item: item[:4])
    table = found.sort_values(["row", "start", "end", "track"], kind="stable")
    assert len(wanted) > 200
    assert [tuple(item) for item in table[["row", "start", "end", "track"]].to_numpy().tolist()] == [
        w[:4] for w in wanted
    ]
    np.testing.assert_allclose(table["attribution"], [w[4] for w in wanted], rtol=1e-4, atol=1e-6)
    assert (
        set(table["track"]) >= {0, 1, NAMES.index(own)} and len(set(table["track"])) == 3
    )  # what the input has a part in
    places = open_dataset(world["store"]).intervals(name).iloc[numbers].reset_index(drop=True)
    for seqlet in table.iloc[:: max(len(table) // 150, 1)].itertuples():
        assert seqlet.chrom == places["chrom"][seqlet.row] and seqlet.name == f"gene{numbers[seqlet.row]}"
        bases = genome.onehot(seqlet.chrom, seqlet.genome_start, seqlet.genome_end).T
        turned = bases[::-1, ::-1] if places["strand"][seqlet.row] == "-" else bases
        np.testing.assert_array_equal(turned, rows[seqlet.row][which][:, seqlet.start : seqlet.end])
    seqlets(attributed, tmp_path / "three", input=name, method="zscore", cut=1.5, min_size=3, shards=3)
    for file in ("out.h5", "seqlets.bed"):
        assert sha256_file(tmp_path / "one" / file) == sha256_file(tmp_path / "three" / file)


def members(z: np.ndarray, cut: float, gap: int, size: int) -> list[list[int]]:
    """Positions of the members of each seqlet of DRG's scan."""
    found: list[list[int]] = []
    at, run, skipped = 0, [], []
    while at < len(z) or run:
        if len(skipped) > gap or at >= len(z):
            if len(run) >= size:
                found.append(run)
            at = skipped[0] if len(skipped) > gap else len(z)
            run, skipped = [], []
            continue
        sign = np.sign(z[run[0]]) if run else 0
        if abs(z[at]) > cut and (not run or np.sign(z[at]) == sign):
            run, skipped = [*run, at], []
        elif run and sign * z[max(at - gap, 0) : at + gap + 1].mean() < cut:
            skipped = [*skipped, at]
        at += 1
    return found


def test_recursive_seqlets_of_each_input(tmp_path: Path, world: World, attributed: Path) -> None:
    """The default method: same bytes for any shards, sums of the file's own values, and an input must be named."""
    for name in LENGTHS:
        table = seqlets(attributed, tmp_path / f"{name}1", input=name)
        seqlets(attributed, tmp_path / f"{name}3", input=name, shards=3)
        assert sha256_file(tmp_path / f"{name}1/out.h5") == sha256_file(tmp_path / f"{name}3/out.h5")
        assert len(table) > 50 and table["end"].max() <= LENGTHS[name]
        with read_attributions(attributed, name) as handle:
            values = [handle.projected(track).astype(float) for track in NAMES]
        sums = [values[s.track][s.row, s.start : s.end].sum() for s in table.itertuples()]
        np.testing.assert_allclose(table["attribution"], sums, rtol=1e-4, atol=1e-6)
    with pytest.raises(UsageError, match="attributions to 2 inputs; --input dna or rna"):
        seqlets(attributed, tmp_path / "none")
