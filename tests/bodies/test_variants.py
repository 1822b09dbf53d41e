"""drg-variants: every number by its definition, the same bytes for any sharding, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy import stats
from sequence_files import bgzip
from stores import fasta, shard

from drg_hpc.bodies import variants_plan
from drg_hpc.bodies.variants_score import Scorer
from drg_hpc.errors import DrgError, InputError, UsageError
from drg_hpc.experiments.variant_windows import make_window
from drg_hpc.files import sha256_file
from drg_hpc.genome.onehot import decode, encode
from drg_hpc.genome.vcf import Variant
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config import DilatedResidualConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from drg_hpc.store.reader import open_store
from tests.prediction.small_world import finish, letters, make_model

LENGTH, BINS = 40, 10
GENOME = {"chr1": letters(np.random.default_rng(0), 3000), "chr2": letters(np.random.default_rng(1), 500)}
TURN = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("genome")
    return shard("genome", folder / "genome", fasta=[fasta(folder / "genome.fa", GENOME)])


def random_rows(count: int, *, seed: int = 0) -> list[tuple[str, int, str, str]]:
    """(chrom, start, ref, alt) of SNVs, insertions and deletions, also at the ends of contigs."""
    rng = np.random.default_rng(seed)
    rows = [("chr1", 0, GENOME["chr1"][:2], GENOME["chr1"][0]), ("chr2", 499, GENOME["chr2"][499], "ACGTAC")]
    while len(rows) < count:
        chrom = str(rng.choice(["chr1", "chr2"]))
        start = int(rng.integers(0, len(GENOME[chrom]) - 12))
        ref = GENOME[chrom][start : start + int(rng.choice([1, 1, 1, 5, 9]))]
        alt = ref[0] if len(ref) > 1 else letters(rng, int(rng.choice([1, 1, 1, 4, 9])))
        if alt != ref:
            rows.append((chrom, start, ref, alt))
    return rows


def vcf(path: Path, rows: list[tuple[str, int, str, str]], more: str = "") -> Path:
    text = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n"
    text += "".join(f"{chrom}\t{start + 1}\tv{i}\t{ref}\t{alt}\n" for i, (chrom, start, ref, alt) in enumerate(rows))
    data = (text + more).encode()
    path.write_bytes(bgzip(data) if path.suffix == ".gz" else data)
    return path


def run(folder: Path, model: Path, genome: Path, given: Path, **chosen: Any) -> dict[str, Any]:
    """A whole run; its done.json."""
    return finish(variants_plan.Options(model=model, vcf=given, genome=genome, out=folder, **chosen), variants_plan)


def onehot(texts: list[str]) -> torch.Tensor:
    return torch.tensor(
        np.array([[[float(c == b) for c in text] for b in "ACGT"] for text in texts]), dtype=torch.float
    )


def sequences(row: tuple[str, int, str, str]) -> tuple[str, str]:
    """Both sequences of a variant, from the letters of the contig."""
    chrom, start, ref, alt = row
    text, first = GENOME[chrom], start
    last = 0
    while last < min(len(ref), len(alt)) and ref[-1 - last] == alt[-1 - last]:
        last += 1
    short = min(len(ref), len(alt)) - last
    first += next((i for i in range(short) if ref[i] != alt[i]), short)
    found = []
    for allele in (ref, alt):
        whole = "N" * LENGTH + text[:start] + allele + text[start + len(ref) :] + "N" * LENGTH
        found.append(whole[LENGTH + first - LENGTH // 2 :][:LENGTH])
    return found[0], found[1]


def binned(path: Path) -> Any:
    torch.manual_seed(0)
    config = DilatedResidualConfig(channels=4, layers=1, stem_size=5, profile_size=5)
    module = build(config, ModelShape.single(LENGTH, 2, bins=BINS, link="log")).eval()
    save_model(module, path, config, ["a", "b"])
    return module


def read(run: Path) -> dict[str, Any]:
    with h5py.File(run / "out.h5") as handle:
        return {name: handle[name][()] for name in ("ref", "alt", "effect")} | {
            f"{group}/{name}": handle[group][name][()]
            for group in ("variants", "scores", "background")
            if group in handle
            for name in handle[group]
        }


@pytest.mark.parametrize("rc_average", [False, True])
def test_effects_by_their_definition(tmp_path: Path, genome: Path, rc_average: bool) -> None:
    module, rows = make_model(tmp_path / "model", length=LENGTH), random_rows(100)
    done = run(tmp_path / "run", tmp_path / "model", genome, vcf(tmp_path / "v.vcf.gz", rows), rc_average=rc_average)
    assert done["summary"]["rows"] == 100 and done["summary"]["skipped"] == {}
    pairs = [sequences(row) for row in rows]
    expected = []
    for side in (0, 1):
        texts = [pair[side] for pair in pairs]
        with torch.no_grad():
            found = module(onehot(texts))
            turned = module(onehot([text[::-1].translate(TURN) for text in texts]))
        expected.append((0.5 * (found + turned) if rc_average else found).numpy())
    found = read(tmp_path / "run")
    np.testing.assert_allclose(found["ref"], expected[0], atol=2e-6)
    np.testing.assert_allclose(found["alt"], expected[1], atol=2e-6)
    np.testing.assert_allclose(found["effect"], expected[1] - expected[0], atol=2e-6)
    outputs = [1 / (1 + np.exp(-np.float64(each))) for each in expected]
    if not rc_average:
        np.testing.assert_allclose(found["scores/SAD"], outputs[1] - outputs[0], atol=2e-6)
        np.testing.assert_allclose(found["scores/D2"], np.abs(outputs[1] - outputs[0]), atol=2e-6)
    assert found["variants/start"].tolist() == [row[1] for row in rows]
    with open(tmp_path / "run" / "out.tsv") as table:
        lines = list(csv.DictReader(table, delimiter="\t"))
    heads = [
        f"{name}:{track}"
        for name in ("effect", "ref", "alt", "scores_SAD", "scores_logSAD", "scores_D2")
        for track in "ab"
    ]
    assert list(lines[0]) == ["chrom", "pos", "id", "ref", "alt", *heads]
    assert [(r["chrom"], int(r["pos"]) - 1, r["ref"], r["alt"]) for r in lines] == rows
    np.testing.assert_allclose([float(r["effect:a"]) for r in lines], found["effect"][:, 0], rtol=1e-5)
    np.testing.assert_allclose([float(r["scores_SAD:b"]) for r in lines], found["scores/SAD"][:, 1], rtol=1e-5)


def test_bins_of_indels_are_moved_back(tmp_path: Path, genome: Path) -> None:
    module, rows = binned(tmp_path / "model"), random_rows(60, seed=2)
    run(tmp_path / "run", tmp_path / "model", genome, vcf(tmp_path / "v.vcf", rows))
    found, width = read(tmp_path / "run"), LENGTH // BINS
    with torch.no_grad():
        profiles = [module(onehot([sequences(row)[side] for row in rows])).exp().double().numpy() for side in (0, 1)]
    middle = LENGTH // 2 // width
    kinds = set()
    for number, (_, _, ref, alt) in enumerate(rows):
        r, a = profiles[0][number], profiles[1][number]
        moved = round((len(alt) - len(ref)) / width)
        kinds.add(moved)
        if moved > 0:
            inserted = a[:, middle + 1 : middle + 1 + moved].sum(axis=1)
            a = np.delete(a, np.s_[middle + 1 : middle + 1 + moved], axis=1)
            a[:, middle] += inserted
            r = r[:, : BINS - moved]
        elif moved < 0:
            a = np.insert(a, [middle + 1] * -moved, 0, axis=1)[:, :BINS]
        np.testing.assert_allclose(found["scores/SAD"][number], (a - r).sum(axis=1), rtol=2e-5, atol=1e-5)
        logs = np.log2(a + 1).sum(axis=1) - np.log2(r + 1).sum(axis=1)
        np.testing.assert_allclose(found["scores/logSAD"][number], logs, rtol=2e-5, atol=1e-5)
        np.testing.assert_allclose(found["scores/D2"][number], ((a - r) ** 2).sum(axis=1) ** 0.5, rtol=2e-5, atol=1e-5)
    assert min(kinds) < 0 < max(kinds)
    totals = [np.log(profile.sum(axis=-1)) for profile in profiles]
    np.testing.assert_allclose(found["effect"], totals[1] - totals[0], atol=1e-5)


class Linear(torch.nn.Module):
    """Values that are sums of weights, one for each base and position."""

    link = "identity"

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(weights)
        self.passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return torch.einsum("ncl,tcl->nt", x, self.weights)


@pytest.mark.parametrize(("rc_average", "shifts"), [(False, (0,)), (True, (0,)), (True, (-2, 0, 3))])
def test_scores_of_a_linear_model_are_its_weights(rc_average: bool, shifts: tuple[int, ...]) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 4, LENGTH))
    params: dict[str, Any] = {
        "target": {"kind": "tracks", "names": ["a", "b", "c"], "scale": "link", "tracks": [0, 1, 2]},
        "compare": "subtract", "pseudo": 0.0, "stats": ["SAD", "D2"], "rc_average": rc_average, "shifts": shifts,
        "length": LENGTH, "bins": 0, "span": 0,
    }  # fmt: skip
    module = Linear(torch.tensor(weights))
    scorer = Scorer([module], params, rows=4)
    at, text = LENGTH // 2, letters(np.random.default_rng(5), LENGTH)
    alts = [text[:at] + base + text[at + 1 :] for base in "ACGT"] * 3
    ref, alt = np.stack([encode(text.encode())] * 12), np.stack([encode(t.encode()) for t in alts])
    found = scorer.score(ref, alt, [0] * 12).alleles
    assert module.passes == 4 * len(shifts) * (2 if rc_average else 1), "12 alleles and the one sequence without them"
    there = "ACGT".index(text[at])
    for number in range(12):
        base = number % 4
        effects = []
        for shift in shifts:
            here = at + shift
            effects.append(weights[:, base, here] - weights[:, there, here])
            if rc_average:
                turned = LENGTH - 1 - here
                effects.append(weights[:, 3 - base, turned] - weights[:, 3 - there, turned])
        expected = np.mean(effects, axis=0)
        np.testing.assert_allclose(found["effect"][number], expected, atol=1e-12)
        np.testing.assert_allclose(found["SAD"][number], expected, atol=1e-12)
        np.testing.assert_allclose(found["D2"][number], np.abs(expected), atol=1e-12)


@pytest.mark.slow
def test_ten_thousand_alleles_in_any_shards(tmp_path: Path, genome: Path) -> None:
    make_model(tmp_path / "model", length=LENGTH)
    given = vcf(tmp_path / "v.vcf.gz", random_rows(10_000, seed=3))
    for shards in (1, 7):
        run(tmp_path / str(shards), tmp_path / "model", genome, given, shards=shards, tracks="a", stats="SAD")
    for name in ("out.h5", "out.tsv"):
        assert sha256_file(tmp_path / "1" / name) == sha256_file(tmp_path / "7" / name)


def test_backgrounds_in_any_shards(tmp_path: Path, genome: Path) -> None:
    module, rows = make_model(tmp_path / "model", length=LENGTH), random_rows(150, seed=4)
    given = vcf(tmp_path / "v.vcf", rows)
    for shards in (1, 3):
        run(tmp_path / str(shards), tmp_path / "model", genome, given, shards=shards, backgrounds=5, seed=9)
    assert sha256_file(tmp_path / "1" / "out.h5") == sha256_file(tmp_path / "3" / "out.h5")
    found = read(tmp_path / "1")
    z = (found["effect"] - found["background/mean"]) / found["background/sd"]
    np.testing.assert_allclose(found["background/z"], z, rtol=1e-3, atol=1e-4)
    store = open_store(genome)
    for number in (0, 1, 77, 149):
        chrom, start, ref, alt = rows[number]
        window = make_window(store, Variant(chrom, start, "v", ref, alt, 1), length=LENGTH, path=given)
        effects = []
        for copy in range(5):
            sides = (decode(each).decode() for each in window.shuffled(seed=9, row=number, copy=copy))
            with torch.no_grad():
                one, other = module(onehot(list(sides))).double().numpy()
            effects.append(other - one)
        mean, sd = np.mean(effects, axis=0), np.std(effects, axis=0, ddof=1)
        plain = (found["effect"][number] - mean) / sd
        np.testing.assert_allclose(found["background/z"][number], plain, rtol=1e-3, atol=1e-4)
        p = 2 * stats.t.sf(np.abs(plain) / 1.2**0.5, 4)
        np.testing.assert_allclose(found["background/p"][number], p, rtol=1e-2, atol=1e-4)


def test_alleles_that_are_given_twice_are_told(tmp_path: Path, genome: Path) -> None:
    make_model(tmp_path / "model", length=LENGTH)
    rows = random_rows(4)
    options = variants_plan.Options(
        model=tmp_path / "model", vcf=vcf(tmp_path / "v.vcf", [*rows, rows[3]]), genome=genome, out=tmp_path / "run"
    )
    spec = variants_plan.plan_shards(options)
    assert spec.params["rows"] == 5 and "1 allele given before, and scored again" in spec.notes


def test_alleles_that_are_left_out_are_counted(tmp_path: Path, genome: Path) -> None:
    make_model(tmp_path / "model", length=LENGTH)
    base = GENOME["chr1"][99]
    three = [other for other in "ACGT" if other != base]
    more = f"chr1\t100\tm\t{base}\t{','.join(three)},<DEL>,*,N\nchrUn\t5\t.\tA\tC\n"
    done = run(tmp_path / "run", tmp_path / "model", genome, vcf(tmp_path / "v.vcf", [], more), format="h5")
    assert done["summary"]["skipped"] == {"symbolic allele": 2, "unknown bases": 1, "unknown contig": 1}
    found = read(tmp_path / "run")
    assert [alt.decode() for alt in found["variants/alt"]] == three and len(set(found["effect"][:, 0])) == 3
    assert not (tmp_path / "run" / "out.tsv").exists()


def test_another_assembly_is_refused_with_the_line(tmp_path: Path, genome: Path) -> None:
    make_model(tmp_path / "model", length=LENGTH)
    wrong = next(base for base in "ACGT" if base != GENOME["chr1"][100])
    rows = [*random_rows(70), ("chr1", 100, wrong, GENOME["chr1"][100])]
    with pytest.raises(DrgError, match=r"line 73: REF of v70 is . the genome has . at chr1:101|line 73: REF of v70"):
        run(tmp_path / "run", tmp_path / "model", genome, vcf(tmp_path / "v.vcf", rows))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"stats": "SAX"}, "--stats: no score 'SAX'"),
        ({"pseudo": 1.0}, "--pseudo 1 has no effect with --compare subtract"),
        ({"backgrounds": 1}, "--backgrounds 1: one shuffle has no standard deviation"),
        ({"batch_size": 3}, "--batch-size 3 is no power of two"),
        ({"transform": "aggregate:tracks=a", "stats": "SAD"}, "scores are of the bins of tracks"),
        ({"compare": "log2fc", "scale": "link"}, "ratios are of outputs"),
        ({"tracks": "x"}, "no track"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, genome: Path, chosen: dict[str, Any], message: str) -> None:
    make_model(tmp_path / "model", length=LENGTH)
    given = vcf(tmp_path / "v.vcf", random_rows(3))
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "run", tmp_path / "model", genome, given, **chosen)


def test_log_sad_needs_outputs_above_zero(tmp_path: Path, genome: Path) -> None:
    make_model(tmp_path / "model", length=LENGTH, link="identity")
    given = vcf(tmp_path / "v.vcf", random_rows(3))
    with pytest.raises(UsageError, match="--stats logSAD: outputs of a track with the link identity"):
        run(tmp_path / "run", tmp_path / "model", genome, given, stats="logSAD")
    assert run(tmp_path / "run", tmp_path / "model", genome, given)["summary"]["stats"] == ["SAD", "D2"]


def test_ratios_and_transforms(tmp_path: Path, genome: Path) -> None:
    module, rows = make_model(tmp_path / "model", length=LENGTH), random_rows(20)
    given = vcf(tmp_path / "v.vcf", rows)
    chosen: dict[str, Any] = {"compare": "log2fc", "transform": "aggregate:tracks=a,b:over-tracks=mean"}
    done = run(tmp_path / "run", tmp_path / "model", genome, given, **chosen)
    assert done["summary"]["stats"] == []
    with torch.no_grad():
        ref, alt = (
            torch.sigmoid(module(onehot([sequences(row)[side] for row in rows]))).mean(dim=1) for side in (0, 1)
        )
    np.testing.assert_allclose(read(tmp_path / "run")["effect"][:, 0], torch.log2(alt / ref), atol=5e-6)


def test_a_vcf_without_variants(tmp_path: Path, genome: Path) -> None:
    make_model(tmp_path / "model", length=LENGTH)
    with pytest.raises(InputError, match="no variants that can be scored"):
        run(tmp_path / "run", tmp_path / "model", genome, vcf(tmp_path / "v.vcf", []))


def test_bins_of_the_other_strand_are_turned(tmp_path: Path, genome: Path) -> None:
    module = binned(tmp_path / "model")
    rows = [row for row in random_rows(60, seed=6) if len(row[2]) == len(row[3])]
    run(tmp_path / "run", tmp_path / "model", genome, vcf(tmp_path / "v.vcf", rows), rc_average=True)
    profiles = []
    for side in (0, 1):
        texts = [sequences(row)[side] for row in rows]
        with torch.no_grad():
            found = module(onehot(texts)).exp()
            turned = module(onehot([text[::-1].translate(TURN) for text in texts])).exp()
        profiles.append(0.5 * (found + turned.flip(-1)).double().numpy())
    distance = ((profiles[1] - profiles[0]) ** 2).sum(axis=-1) ** 0.5
    np.testing.assert_allclose(read(tmp_path / "run")["scores/D2"], distance, rtol=2e-5, atol=1e-6)
