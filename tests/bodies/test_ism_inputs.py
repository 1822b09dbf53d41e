"""drg-ism on every kind of input: regions on both strands with positions of a BED, FASTA, several inputs; and what it
refuses, in one line before anything runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bodies.gene_models import GTF, borzoi
from small_stores import write_store
from stores import TINY, WINDOWS, shard
from support import drg

from drg_hpc.attribution.targets_gene import GeneStatistic
from drg_hpc.bodies.gene_rows import GeneRows
from drg_hpc.errors import DrgError, InputError
from drg_hpc.files import sha256_file
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import config_from_json
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.registry import build
from drg_hpc.results.reader import read_attributions
from drg_hpc.runs.plan import read_plan
from drg_hpc.store.reader import open_dataset
from tests.bodies.ism_runs import effects, ism, plan
from tests.prediction.small_world import CNN, make_model, write_fasta

LENGTH, SEQ, RNA = 120, 60, 36
BOTH = {"architecture": "multi-input", "trunk": {"kernels": 4, "kernel_size": 5, "pool_size": 4}, "embedding": 6}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one") / "model"
    make_model(path, length=LENGTH)
    return path


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shard("genome", tmp_path_factory.mktemp("genome") / "genome", fasta=[WINDOWS / "genome.fa.gz"])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of inputs seq and rna, and a store of them, with unknown bases."""
    folder = tmp_path_factory.mktemp("two")
    torch.manual_seed(0)
    config = config_from_json(BOTH, source="test")
    module = build(config, ModelShape({"seq": SEQ, "rna": RNA}, (HeadShape("main", 2),))).eval()
    save_model(module, folder / "model", config, ["t0", "t1"])
    generator = np.random.default_rng(0)
    codes = generator.choice(5, (80, SEQ), p=[0.24, 0.24, 0.24, 0.24, 0.04])
    targets = generator.normal(size=(80, 2)).astype(np.float32)
    return folder / "model", write_store(folder / "store.zarr", codes, targets, valid=50, second_input=RNA)


def regions(path: Path) -> Path:
    """Rows on both strands, one of which lies outside the genome."""
    lines = [("w00", 33500 + 60 * i, 33500 + 60 * i + 50, f"r{i}", 0, "+-"[i % 2]) for i in range(4)]
    lines.append(("nowhere", 10, 60, "lost", 0, "+"))
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
    return path


def test_positions_of_a_bed_on_both_strands(tmp_path: Path, model: Path, genome: Path) -> None:
    bed = tmp_path / "sites.bed"
    bed.write_text("w00\t33510\t33515\nw00\t33513\t33530\nw00\t33640\t33641\nw01\t1\t9\n")
    wanted = {*range(33510, 33530), 33640}
    chosen: dict[str, Any] = {"genome": genome, "regions": str(regions(tmp_path / "r.bed")), "stranded": True}
    made = plan(tmp_path / "run", model, None, positions=bed, **chosen)
    ism(tmp_path / "run", model, None, positions=bed, store_dtype="float32", tracks="a", **chosen)
    with read_attributions(tmp_path / "run") as found:
        assert found.scored is not None
        assert found.kept.tolist() == [True] * 4 + [False]
        total = 0
        for row in range(4):
            region = found.regions.iloc[row]
            places = np.arange(region["start"], region["end"])
            places = places[::-1] if region["strand"] == "-" else places
            inside = np.isin(places, list(wanted))
            np.testing.assert_array_equal(found.scored[row].astype(bool), inside)
            total += int(inside.sum())
            x = found.sequences[row].astype(np.float32)
            change = effects(load_model(model), x)[0]
            np.testing.assert_allclose(found.tracks["a"]["ism"][row][:, inside], change[:, inside], atol=2e-6)
        assert not found.scored[4].any() and np.isnan(found.tracks["a"]["ism"][4]).all()
        assert np.isnan(found.tracks["a"]["prediction"][4])
    assert f"5 sequences, {total} positions, {3 * total} edits" in made.notes[-3]


def test_a_bed_beside_every_sequence_is_refused(tmp_path: Path, model: Path, genome: Path) -> None:
    bed = tmp_path / "sites.bed"
    bed.write_text("w07\t1\t9\n")
    chosen: dict[str, Any] = {"genome": genome, "regions": str(regions(tmp_path / "r.bed"))}
    with pytest.raises(InputError, match="no base of the 5 sequences lies in its intervals"):
        plan(tmp_path / "run", model, None, positions=bed, **chosen)
    bed.write_text("chr77\t1\t9\n")
    with pytest.raises(InputError, match="shares no contig with the genome: chr77"):
        plan(tmp_path / "run", model, None, positions=bed, **chosen)


def test_fasta_and_sequences_without_a_place(tmp_path: Path, model: Path) -> None:
    fasta = write_fasta(tmp_path / "x.fa", rows=3, length=LENGTH, unknown=0.1)
    bed = tmp_path / "sites.bed"
    bed.write_text("chr2\t1010\t1014\n")
    ism(tmp_path / "run", model, fasta, positions=bed)
    with read_attributions(tmp_path / "run") as found:
        assert found.scored is not None
        assert np.argwhere(found.scored[()]).tolist() == [[1, 10], [1, 11], [1, 12], [1, 13]]
    with open(fasta, "a") as handle:
        handle.write(f">plain\n{'ACGT' * (LENGTH // 4)}\n")
    with pytest.raises(InputError, match=r"sequence 'plain' \(row 3\) has no coordinates"):
        plan(tmp_path / "more", model, fasta, positions=bed)


def test_every_input_is_mutated_with_the_others_as_they_are(tmp_path: Path, two: tuple[Path, Path]) -> None:
    model, store = two
    for shards in (1, 2):
        ism(tmp_path / str(shards), model, store, split="all", store_dtype="float32", shards=shards, start=20, end=30)
    assert sha256_file(tmp_path / "1/out.h5") == sha256_file(tmp_path / "2/out.h5")
    data, module = open_dataset(store), load_model(model)
    xs = [data.input_sequences(name, data.split_rows("all")[:2]) for name in ("seq", "rna")]
    for number, name in enumerate(("seq", "rna")):
        with read_attributions(tmp_path / "1", name) as found:
            assert found.inputs == ("seq", "rna") and found.scored is not None
            assert np.flatnonzero(found.scored[0]).tolist() == list(range(20, 30))
            for row in range(2):
                change = effects(module, xs[number][row], {1 - number: xs[1 - number][row]})[:, :, 20:30]
                for track, group in enumerate(found.tracks.values()):
                    np.testing.assert_allclose(group["ism"][row][:, 20:30], change[track], atol=2e-6)
                known = xs[number][row].any(axis=0)[20:30]
                mean = np.where(known, -change[0].sum(axis=0) / 3, 0)
                np.testing.assert_allclose(found.projected("t0")[row, 20:30], mean, atol=2e-6)
                form = found.contributions("t0")[row]
                np.testing.assert_allclose((form * xs[number][row]).sum(axis=0)[20:30], mean, atol=2e-6)


def test_one_of_several_inputs(tmp_path: Path, two: tuple[Path, Path]) -> None:
    model, store = two
    ism(tmp_path / "run", model, store, split="all", limit=3, mutate="rna", edits="substitutions,deletions:2")
    with read_attributions(tmp_path / "run", "seq") as found:
        assert found.scored is not None and not found.scored[()].any()
        assert not found.projected("t0").any() and np.isnan(found.tracks["t0"]["deletion_2"][()]).all()
    with read_attributions(tmp_path / "run", "rna") as found:
        assert found.scored is not None and found.scored[()].all() and found.projected("t0").any()
    only = ism(tmp_path / "table", model, store, split="all", limit=1, mutate="rna", tracks="t1", format="tsv")
    assert only["summary"]["positions"] == RNA


def test_a_function_of_the_users(tmp_path: Path, model: Path) -> None:
    (tmp_path / "ism_compare_module.py").write_text(
        "def half(mutant, reference):\n    return (mutant - reference) / 2\n"
    )
    fasta = write_fasta(tmp_path / "x.fa", rows=2, length=LENGTH)
    sys.path.insert(0, str(tmp_path))
    try:
        shared: dict[str, Any] = {"scale": "link", "store_dtype": "float32", "start": 3, "end": 6}
        ism(tmp_path / "half", model, fasta, compare="ism_compare_module:half", **shared)
        ism(tmp_path / "whole", model, fasta, **shared)
        inputs = json.loads((tmp_path / "half" / "plan.json").read_text())["inputs"]
        assert inputs["compare"]["path"].endswith("ism_compare_module.py")
    finally:
        sys.path.remove(str(tmp_path))
    with read_attributions(tmp_path / "half") as half, read_attributions(tmp_path / "whole") as whole:
        np.testing.assert_allclose(2 * half.tracks["a"]["ism"][()], whole.tracks["a"]["ism"][()], atol=1e-7)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"start": 9, "end": 9}, "--start 9 --end 9: sequences have 120 bases; 0 <= start < end <= 120"),
        ({"end": 121}, "--start 0 --end 121: sequences have 120 bases"),
        ({"edits": "deletion:3"}, "--edits 'deletion:3' is not known; one or more of: substitutions, deletions:S"),
        ({"edits": "deletions:200"}, "--edits deletions:200: sequences have 120 bases; at most 120 "),
        ({"compare": "log2FC"}, "unknown --compare 'log2FC'; did you mean 'log2fc'?"),
        ({"compare": "divide", "scale": "link"}, "--scale link with --compare divide: ratios are of outputs"),
        ({"pseudo": 1.0}, "--pseudo has no effect on --compare subtract"),
        ({"base_freqs": "0.1,0.2,0.3,0.4"}, "--base-freqs has no effect on --projection mean-effect"),
        (
            {"edits": "deletions:2", "projection": "centred"},
            "--projection centred has no effect on --edits deletions:2",
        ),
        (
            {"edits": "deletions:2", "export": "modisco"},
            "--export modisco: edits that are no substitutions are no attri",
        ),
        ({"screen": "tism"}, "--screen 'tism' is not known; tism:K"),
        ({"screen": "tism:120"}, "--screen tism:120 leaves nothing out: a row has 120 positions"),
        ({"screen": "tism:5", "start": 4, "end": 8}, "--screen tism:5 leaves nothing out: a row has 4 positions"),
        ({"mutate": "rna"}, "--mutate rna: the model takes one sequence"),
        ({"tracks": "c"}, "--tracks: no track 'c'"),
        ({"format": "tsv"}, "--format tsv is a table of one sequence, there are 3; .*--limit 1"),
        ({"format": "tsv", "limit": 1}, "--format tsv is a table of one value, there are 2; .*--tracks a"),
        (
            {"format": "tsv", "limit": 1, "tracks": "a", "edits": "substitutions,deletions:1"},
            "--format tsv is a table of substitutions, not of --edits substitutions,deletions:1",
        ),
        ({"format": "tsv", "limit": 1, "tracks": "a", "export": "bed"}, "--export bed with --format tsv"),
        ({"positions": Path("absent.bed")}, "no such file: absent.bed"),
        ({"groups": Path("g.tsv")}, "--groups g.tsv has no effect: no group is named"),
        (
            {"gtf": Path("x.gtf"), "compare": "divide"},
            "--compare divide with --gtf: statistics of genes are logarithms",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_the_plan(
    tmp_path: Path, model: Path, chosen: dict[str, Any], message: str
) -> None:
    fasta = write_fasta(tmp_path / "x.fa", rows=3, length=LENGTH)
    with pytest.raises(DrgError, match=message):
        plan(tmp_path / "run", model, fasta, **chosen)
    assert not (tmp_path / "run").exists()


def test_a_ratio_to_nothing_ends_the_run_in_one_line(tmp_path: Path) -> None:
    module = make_model(tmp_path / "model", length=LENGTH, link="log")
    fasta = write_fasta(tmp_path / "x.fa", rows=3, length=LENGTH)
    with torch.no_grad():
        module.layers.head.bias.fill_(-200.0)  # rates of 0
    save_model(module, tmp_path / "dead", CNN, ("a", "b"))
    with pytest.raises(
        InputError, match=r"--compare log2fc of track 'a' is not defined at row 0, position 0; --pseudo"
    ):
        ism(tmp_path / "run", tmp_path / "dead", fasta, compare="log2fc", store_dtype="float32")
    ism(tmp_path / "more", tmp_path / "dead", fasta, compare="log2fc", pseudo=1e-3, store_dtype="float32")


@pytest.mark.slow
def test_the_command(tmp_path: Path, model: Path) -> None:
    fasta = write_fasta(tmp_path / "x.fa", rows=3, length=LENGTH)
    told = drg("drg-ism", model, fasta, "--start", 4, "--end", 8, "--dry-run", "-o", tmp_path / "run")
    assert "3 sequences, 12 positions, 36 edits, 2 values" in told.stdout
    assert "multiply-adds" in told.stdout and "one CPU core" in told.stdout
    done = drg("drg-ism", model, fasta, "--start", 4, "--end", 8, "-o", tmp_path / "run")
    assert done.stdout.strip() == f"wrote: {tmp_path / 'run' / 'out.h5'}"
    record = json.loads((tmp_path / "run" / "done.json").read_text())
    assert record["summary"]["engines"] == ["incremental"] and record["summary"]["deviation"] < 1e-5
    log = next((tmp_path / "run" / "logs").glob("ism.*.log")).read_text()
    assert "incremental engine: at the positions tried it differs from the whole model by" in log
    wrong = drg("drg-ism", model, fasta, "--end", 500, "-o", tmp_path / "wrong", exit_code=2)
    assert wrong.stderr.count("\n") == 1 and "--end 500: sequences have 120 bases" in wrong.stderr
    helped = drg("drg-ism", "--help").stdout
    for words in (
        "mutagenesis:",
        "--screen tism:K",
        "--projection mean-effect|centred|hypothetical",
        "--positions BED",
    ):
        assert words in helped


def test_statistics_of_genes(tmp_path: Path) -> None:
    genome = shard("genome", tmp_path / "genome", fasta=[TINY / "genome.fa.gz"])
    model = borzoi(tmp_path / "model", length=4096, bins=96)
    chosen: dict[str, Any] = {"genome": genome, "gtf": GTF, "pseudo": 0.5, "store_dtype": "float32", "limit": 2}
    ism(tmp_path / "run", model, None, start=2046, end=2048, **chosen)
    made = read_plan(tmp_path / "run")
    rows, module = GeneRows(made), load_model(model)
    statistic = GeneStatistic.from_params(module, made.params["genes"], rows.rows)
    assert made.params["genes"]["pseudo"] == 0.5 and made.params["pseudo"] == 0.0
    with read_attributions(tmp_path / "run") as found:
        assert found.kept.all() and {"gene_id", "covered"} <= set(found.regions)
        for row, group in ((row, group) for row in range(2) for group in found.tracks.values()):
            x = torch.from_numpy(rows.sequences(row, row + 1)[0]).repeat(5, 1, 1)
            x[1:, :, 2046] = torch.eye(4)
            params = [torch.from_numpy(each).repeat_interleave(5, dim=0) for each in statistic.params([row])]
            with torch.no_grad():
                values = statistic([x], params)[:, 0].numpy()
            np.testing.assert_allclose(group["prediction"][row], values[0], rtol=1e-5)
            np.testing.assert_allclose(group["ism"][row, :, 2046], values[1:] - values[0], atol=2e-6)
