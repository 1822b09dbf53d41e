"""drg-marginalize: every number by a plain calculation, the same bytes for any sharding, and what it refuses."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bodies.marginal_nets import Linear
from bodies.marginal_runs import MOTIFS, PAIR, marginalize, options_of, read, table
from prediction.small_world import finish, letters, make_model, make_store
from scipy.stats import false_discovery_control, wilcoxon
from stores import fasta, shard
from test_light import bare

from drg_hpc.bodies import marginalize_plan
from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.genome.motifs import read_motifs
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import MultiInputConfig, UserConfig
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.registry import build
from drg_hpc.results.marginalization_read import read_marginalization
from drg_hpc.runs.plan import write_plan
from drg_hpc.runs.work import work_run

LENGTH, ROWS = 90, 80
TURN = str.maketrans("ACGTN", "TGCAN")
Letters = list[str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of random weights with two tracks, and 80 sequences, some bases of which are unknown."""
    folder = tmp_path_factory.mktemp("world")
    make_model(folder / "model", length=LENGTH)
    rng = np.random.default_rng(2)
    return folder / "model", fasta(folder / "x.fa", {f"s{i}": letters(rng, LENGTH, unknown=0.02) for i in range(ROWS)})


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linear")
    config = UserConfig(factory="bodies.marginal_nets:Linear", kwargs={"length": LENGTH})
    model = build(config, ModelShape.single(LENGTH, 2, link="identity")).eval()
    save_model(model, folder / "model", config, ["a", "b"])
    return folder / "model"


@pytest.fixture(scope="module")
def kept(world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each kind on all sequences, with effects on each; 70 designs and more, so that blocks are cut."""
    folder = tmp_path_factory.mktemp("runs")
    common: dict[str, Any] = {"keep_effects": True, "seed": 3, "motifs": PAIR, "sequences": ["GGNNCC", "site=TGACTCA"]}
    chosen: dict[str, dict[str, Any]] = {
        "motif": {"strands": "both", "motifs": ["all"], "engine": "auto"},
        "position": {"by": "position", "positions": "::4", "strands": "both", "engine": "incremental"},
        "spacing": {"by": "spacing", "spacings": "0:6:5,30", "both_orders": True, "sequences": ["GGNNCC"]},
    }
    for name, own in chosen.items():
        marginalize(folder / name, *world, **(common | own))
    return {name: folder / name for name in chosen}


def consensus() -> dict[str, str]:
    """What is put in, by name."""
    found = {m.name: "".join("ACGT"[b] for b in m.pfm.argmax(axis=0)) for m in read_motifs(MOTIFS)}
    return found | {"GGNNCC": "GGNNCC", "site": "TGACTCA"}


def inserted(background: str, site: str, strand: str, start: int) -> str:
    site = site if strand == "+" else site[::-1].translate(TURN)
    kept = background[start : start + len(site)]
    return background[:start] + "".join(b if s == "N" else s for s, b in zip(site, kept, strict=True)) + background[
        start + len(site) :
    ]  # fmt: skip


class Plain:
    """Values of texts, one at a time."""

    def __init__(self, model: Path) -> None:
        self._module = load_model(model)

    def __call__(self, text: str) -> np.ndarray[Any, Any]:
        x = torch.zeros(1, 4, len(text))
        for at, letter in enumerate(text):
            if letter != "N":
                x[0, "ACGT".index(letter), at] = 1
        with torch.no_grad():
            found: np.ndarray[Any, Any] = self._module(x)[0].double().numpy()
        return found


def texts(found: dict[str, Any]) -> Letters:
    return ["".join("ACGTN"[code] for code in row) for row in found["backgrounds/codes"].tolist()]


@pytest.mark.parametrize("by", ["motif", "position", "spacing"])
def test_equal_to_one_sequence_at_a_time(world: tuple[Path, Path], kept: dict[str, Path], by: str) -> None:
    """Effects of all designs on some backgrounds, by putting letters into texts."""
    plain, found, sites = Plain(world[0]), read(kept[by]), consensus()
    names, designs = found["motifs/name"], read_marginalization(kept[by] / "out.h5").designs.to_dict("records")
    assert [sites[name] for name in names] == found["motifs/letters"]
    for number in (0, 41, ROWS - 1):
        background = texts(found)[number]
        before = plain(background)
        np.testing.assert_allclose(found["before"][number], before, atol=2e-6)
        for row, design in enumerate(designs):
            if by != "spacing":
                changed = plain(inserted(background, sites[design["motif"]], design["strand"], design["start"]))
                np.testing.assert_allclose(found["effects/effect"][row, number], changed - before, atol=3e-6)
                continue
            left, right = (sites[design[side]] for side in ("left", "right"))
            one, other = design["orientation"]
            assert design["right_start"] - design["start"] - len(left) == design["spacing"]
            block = len(left) + design["spacing"] + len(right)
            assert (design["start"], design["end"]) == (LENGTH // 2 - block // 2, LENGTH // 2 - block // 2 + block)
            a = inserted(background, left, one, design["start"])
            b = inserted(background, right, other, design["right_start"])
            both = inserted(a, right, other, design["right_start"])
            wanted = {
                "effect": plain(both) - before, "left": plain(a) - before, "right": plain(b) - before,
                "interaction": plain(both) - plain(a) - plain(b) + before,
            }  # fmt: skip
            for name, values in wanted.items():
                np.testing.assert_allclose(found[f"effects/{name}"][row, number], values, atol=5e-6)


def test_designs_are_in_order(kept: dict[str, Path]) -> None:
    sites = consensus()
    single = read_marginalization(kept["motif"] / "out.h5").designs
    assert list(zip(single["motif"], single["strand"], strict=True)) == list(product(sites, "+-"))
    assert [LENGTH // 2 - len(sites[name]) // 2 for name in single["motif"]] == single["start"].tolist()
    placed = read_marginalization(kept["position"] / "out.h5").designs
    names = [*PAIR, "GGNNCC", "site"]
    widest = max(len(sites[name]) for name in names)
    wanted = list(product(names, "+-", range(0, LENGTH - widest + 1, 4)))
    assert list(zip(placed["motif"], placed["strand"], placed["start"], strict=True)) == wanted
    pairs = read_marginalization(kept["spacing"] / "out.h5").designs
    names = names[:3]
    ordered = [
        (a, b) for i, one in enumerate(names) for other in names[i + 1 :] for a, b in ((one, other), (other, one))
    ]
    wanted = [(*pair, strands, gap) for pair, strands, gap in product(ordered, ["++", "+-", "-+", "--"], [0, 5, 30])]
    found = zip(pairs["left"], pairs["right"], pairs["orientation"], pairs["spacing"], strict=True)
    assert list(found) == wanted


@pytest.mark.parametrize("by", ["motif", "spacing"])
def test_statistics_are_of_the_effects(kept: dict[str, Path], by: str) -> None:
    found = read(kept[by])
    for quantity in ["effect"] if by == "motif" else ["effect", "left", "right", "interaction"]:
        effects = found[f"effects/{quantity}"].astype(np.float64)
        own = {
            name: found[f"statistics/{quantity}/{name}"]
            for name in ("count", "mean", "sd", "se", "low", "high", "p", "q")
        }
        assert (own["count"] == ROWS).all()
        np.testing.assert_allclose(own["mean"], effects.mean(axis=1), rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(own["sd"], effects.std(axis=1, ddof=1), rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(own["se"], own["sd"] / math.sqrt(ROWS), rtol=1e-5)
        # the percentile bootstrap of 80 values is close to the normal interval
        np.testing.assert_allclose(own["high"] - own["low"], 3.92 * own["se"], rtol=0.15, atol=1e-7)
        assert ((own["low"] <= own["mean"]) & (own["mean"] <= own["high"])).all()
        for track in range(2):
            np.testing.assert_allclose(own["q"][:, track], false_discovery_control(own["p"][:, track]))
        clear = np.abs(effects).min(axis=1) > 1e-5  # nowhere near rounding
        assert clear.any()
        for row, track in np.argwhere(clear)[:20].tolist():
            assert own["p"][row, track] == pytest.approx(wilcoxon(effects[row, :, track]).pvalue, rel=1e-6)


def test_the_table(kept: dict[str, Path]) -> None:
    found, wide = read(kept["spacing"]), table(kept["spacing"])
    assert wide.columns.tolist() == [
        "left", "right", "orientation", "spacing", "start", "right_start", "end", "track", "count", "mean", "sd", "se",
        "low", "high", "p", "q", "left_mean", "right_mean", "interaction", "interaction_low", "interaction_high",
        "interaction_p", "interaction_q",
    ]  # fmt: skip
    assert wide["track"].tolist() == ["a", "b"] * (len(wide) // 2)
    for column, name in (("mean", "effect/mean"), ("q", "effect/q"), ("interaction", "interaction/mean"),
                         ("left_mean", "left/mean"), ("interaction_q", "interaction/q")):  # fmt: skip
        np.testing.assert_allclose(wide[column].astype(float), found[f"statistics/{name}"].ravel(), rtol=1e-5)
    single = table(kept["motif"])
    assert single.columns.tolist()[:5] == ["motif", "strand", "start", "end", "track"]
    assert len(single) == 2 * 2 * 12


@pytest.mark.parametrize("by", ["motif", "spacing"])
def test_any_sharding_and_an_interrupted_run_give_the_same_bytes(
    world: tuple[Path, Path], kept: dict[str, Path], tmp_path: Path, by: str
) -> None:
    chosen: dict[str, Any] = {
        "by": by, "sites": "sampled", "shuffles": 2, "backgrounds": 35, "seed": 5, "motifs": [*PAIR, "CTCF_disc1"],
        "sequences": ["GGNNCC"], "keep_effects": True,
    }  # fmt: skip
    chosen |= (
        {"spacings": "0:50:7", "motifs": PAIR}
        if by == "spacing"
        else {"strands": "both", "by": "position", "positions": "::3", "engine": "auto"}
    )
    for shards in (1, 3, 7):
        options = options_of(*world, tmp_path / str(shards), shards=shards, **chosen)
        plan = write_plan(marginalize_plan.plan_shards(options), options.out)
        assert len(plan.stages[1].shards) == min(shards, {"spacing": 2, "motif": 3}[by])
        work_run(plan, device="cpu", stage=plan.stages[0], shards=list(plan.stages[0].shards)[::-1][:2])
        finish(options, marginalize_plan)  # planned again: the same plan goes on
    for name in ("out.h5", "out.tsv"):
        assert len({sha256_file(tmp_path / str(shards) / name) for shards in (1, 3, 7)}) == 1, name


def test_engines_and_passes_agree(world: tuple[Path, Path], tmp_path: Path) -> None:
    """With both strands and shifts; a shift moves a part of the pairs out of sight. Of two models means are kept."""
    chosen: dict[str, Any] = {
        "by": "spacing", "motifs": PAIR, "spacings": "0,50", "backgrounds": 7, "rc_average": True, "shifts": "-25,3",
        "keep_effects": True, "scale": "output",
    }  # fmt: skip
    runs = {"full": {}, "incremental": {}, "small": {"engine": "full", "batch_size": 4}}
    done = {}
    for name, own in runs.items():
        done[name] = marginalize(tmp_path / name, *world, **({"engine": name} | chosen | own))
    assert done["incremental"]["summary"]["engines"] == ["incremental"]
    found = {name: read(tmp_path / name) for name in runs}
    for name in ("effects/effect", "effects/interaction", "before"):
        for other in ("incremental", "small"):
            np.testing.assert_allclose(found[other][name], found["full"][name], atol=2e-6)


def test_of_several_models_effects_are_means(world: tuple[Path, Path], linear: Path, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"sequences": ["TGACTCA", "GGG"], "backgrounds": 7, "keep_effects": True, "engine": "full"}
    config = UserConfig(factory="bodies.marginal_nets:Linear", kwargs={"length": LENGTH})
    other = build(config, ModelShape.single(LENGTH, 2, link="identity"))
    with torch.no_grad():
        other.get_parameter("module.weights").neg_().add_(0.5)
    save_model(other.eval(), tmp_path / "other", config, ["a", "b"])
    models = {"one": linear, "other": tmp_path / "other", "both": Path(f"{linear},{tmp_path / 'other'}")}
    found = {}
    for name, model in models.items():
        done = marginalize(tmp_path / f"run_{name}", model, world[1], **chosen)
        assert done["summary"]["models"] == (2 if name == "both" else 1)
        found[name] = read(tmp_path / f"run_{name}")
    for name in ("before", "effects/effect"):
        mean = (found["one"][name] + found["other"][name]) / 2
        assert np.abs(mean - found["one"][name]).max() > 0.1
        np.testing.assert_allclose(found["both"][name], mean, atol=1e-6)


def test_values_of_other_kinds(world: tuple[Path, Path], kept: dict[str, Path], tmp_path: Path) -> None:
    """The output of one track, averaged over both strands."""
    marginalize(tmp_path / "run", *world, motifs=["CTCF_known1"], tracks="b", scale="output", rc_average=True, seed=3,
                keep_effects=True, strands="both")  # fmt: skip
    found, sites, plain = read(tmp_path / "run"), consensus(), Plain(world[0])
    assert found["tracks"] == ["b"] and texts(found) == texts(read(kept["motif"]))

    def value(text: str) -> float:
        return float(np.mean([1 / (1 + np.exp(-plain(each)[1])) for each in (text, text[::-1].translate(TURN))]))

    for row, strand in enumerate("+-"):
        for number in (0, 5):
            background = texts(found)[number]
            changed = inserted(background, sites["CTCF_known1"], strand, LENGTH // 2 - 19 // 2)
            assert found["effects/effect"][row, number, 0] == pytest.approx(
                value(changed) - value(background), abs=1e-6
            )


def test_a_linear_model_has_no_interaction(linear: Path, world: tuple[Path, Path], tmp_path: Path) -> None:
    """Effects are sums of weights; interaction is 0, and no test finds rounding significant."""
    for engine in ("full", "incremental"):
        marginalize(tmp_path / engine, linear, world[1], by="spacing", motifs=PAIR, spacings="0,3,20", engine=engine,
                    keep_effects=True, shuffle="mono")  # fmt: skip
        found, sites = read(tmp_path / engine), consensus()
        assert not found["effects/interaction"].any()
        assert (found["statistics/interaction/p"] == 1).all() and (found["statistics/effect/p"] < 0.05).any()
        weights = Linear(LENGTH).weights.detach().numpy()
        design = read_marginalization(tmp_path / engine / "out.h5").designs.iloc[0]
        background = texts(found)[0]
        changed = inserted(background, sites[PAIR[0]], "+", design["start"])
        changed = inserted(changed, sites[PAIR[1]], "+", design["right_start"])
        for track in range(2):
            sums = [sum(weights[track, "ACGT".index(base), at] for at, base in enumerate(text) if base != "N")
                    for text in (background, changed)]  # fmt: skip
            assert found["effects/effect"][0, 0, track] == pytest.approx(sums[1] - sums[0], abs=1e-5)


def test_what_lies_out_of_sight_has_no_effect(linear: Path, tmp_path: Path) -> None:
    """A sequence that keeps every base of the background changes nothing, and p says so."""
    marginalize(tmp_path / "run", linear, None, background_dist=["0.25"] * 4, sequences=["NNNN"], backgrounds=10,
                keep_effects=True)  # fmt: skip
    found = read(tmp_path / "run")
    assert not found["effects/effect"].any() and (found["statistics/effect/p"] == 1).all()


def test_sampled_sites_follow_the_matrix_and_the_background(linear: Path, tmp_path: Path) -> None:
    """A site depends on motif and background: not on the other motifs, the place or the engine."""
    chosen: dict[str, Any] = {"sites": "sampled", "background_dist": ["0.25"] * 4, "keep_effects": True, "seed": 2}
    marginalize(tmp_path / "one", linear, None, motifs=["CTCF_known1"], backgrounds=40, **chosen)
    marginalize(tmp_path / "two", linear, None, motifs=PAIR, backgrounds=60, engine="incremental", **chosen)
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    np.testing.assert_array_equal(one["backgrounds/codes"], two["backgrounds/codes"][:40])
    np.testing.assert_allclose(one["effects/effect"][0], two["effects/effect"][1, :40], atol=1e-5)
    marginalize(
        tmp_path / "fixed", linear, None, motifs=["CTCF_known1"], backgrounds=40, **(chosen | {"sites": "consensus"})
    )
    assert not np.allclose(read(tmp_path / "fixed")["effects/effect"], one["effects/effect"], atol=1e-3)


def test_backgrounds_are_drawn_and_shuffled_by_what_a_row_is(world: tuple[Path, Path], tmp_path: Path) -> None:
    model, source = world
    runs = {"some": {"backgrounds": 9}, "more": {"backgrounds": 30}, "all": {}, "twice": {"shuffles": 2}}
    found = {}
    for name, chosen in runs.items():
        marginalize(tmp_path / name, model, source, sequences=["TGACTCA"], **chosen)
        found[name] = read(tmp_path / name)
    by_row = {
        name: dict(zip(each["backgrounds/row"].tolist(), texts(each), strict=True)) for name, each in found.items()
    }
    assert len(by_row["some"]) == 9 and set(by_row["some"]) < set(by_row["more"]) < set(by_row["all"])
    assert list(by_row["some"]) == sorted(by_row["some"])
    for name in ("some", "more"):
        assert all(by_row["all"][row] == text for row, text in by_row[name].items())
    given = dict(enumerate(line for line in source.read_text().split("\n") if line and line[0] != ">"))
    for row, text in by_row["all"].items():
        pairs = [sorted(each[i : i + 2] for i in range(LENGTH - 1)) for each in (text, given[row])]
        assert pairs[0] == pairs[1] and text != given[row]
    twice = found["twice"]
    assert twice["backgrounds/row"].tolist() == [row for row in range(ROWS) for _ in range(2)]
    assert twice["backgrounds/shuffle"].tolist() == [0, 1] * ROWS and len(set(texts(twice))) == 2 * ROWS
    assert texts(twice)[::2] == texts(found["all"])
    assert twice["backgrounds/name"][:4] == ["s0", "s0", "s1", "s1"]


def test_rows_that_are_not_kept_are_no_backgrounds(world: tuple[Path, Path], tmp_path: Path) -> None:
    """Regions of a genome, some of them beyond the end of their contig; a shard without any background."""
    contig = letters(np.random.default_rng(4), 9000)
    genome = shard("genome", tmp_path / "genome", fasta=[fasta(tmp_path / "g.fa", {"chr1": contig})])
    starts = [60 * i if i % 3 else 20_000 + i for i in range(140)]
    (tmp_path / "x.bed").write_text("".join(f"chr1\t{start}\t{start + 90}\tr{i}\n" for i, start in enumerate(starts)))
    chosen: dict[str, Any] = {"regions": str(tmp_path / "x.bed"), "genome": genome, "sequences": ["TGACTCA"]}
    for name, own in {"run": {"shuffle": "none"}, "some": {"backgrounds": 20}, "parts": {"shards": 3}}.items():
        marginalize(tmp_path / name, world[0], None, **(chosen | {"backgrounds": 140} | own))
    found = read(tmp_path / "run")
    assert found["backgrounds/name"] == [f"r{i}" for i in range(140) if i % 3]
    assert texts(found) == [contig[start : start + 90] for start in starts if start < 9000]
    assert len(read(tmp_path / "some")["before"]) == 20 and len(read(tmp_path / "parts")["before"]) == 93


def test_few_backgrounds_are_said(world: tuple[Path, Path], tmp_path: Path) -> None:
    marginalize(tmp_path / "run", *world, backgrounds=4, sequences=["TGACTCA"])
    (line, _) = table(tmp_path / "run").to_dict("records")
    assert (line["count"], line["p"], line["q"], line["low"]) == (4, "", "", "") and line["mean"] != ""


def test_rows_of_a_store_and_a_dinucleotide_chain(world: tuple[Path, Path], tmp_path: Path) -> None:
    store = make_store(tmp_path, rows=30, length=LENGTH)
    done = marginalize(tmp_path / "run", world[0], store, split="valid", shuffle="none", format="h5", sequences=["ACG"])
    assert done["summary"]["backgrounds"] == 10 and not (tmp_path / "run" / "out.tsv").exists()
    given = fasta(tmp_path / "at.fa", {"a": "ACGT" * 20 + "A" + "CTAG" * 20})
    marginalize(tmp_path / "chain", world[0], None, background_dist=[f"dinuc:{given}"], backgrounds=20, sequences=["G"])
    pairs = {text[i : i + 2] for text in texts(read(tmp_path / "chain")) for i in range(LENGTH - 1)}
    assert pairs <= {"AC", "CG", "GT", "TA", "CT", "AG", "GC"} and len(pairs) > 4


@pytest.mark.parametrize(
    ("base", "weight", "place"),
    [(0, math.nan, r"in background 'random0' \(row 0, shuffle 0\)"),
     (3, 3e38, r"with TTT at 44 in background 'random0' \(row 0, shuffle 0\)")],
)  # fmt: skip
def test_values_that_are_not_finite_end_the_run(tmp_path: Path, base: int, weight: float, place: str) -> None:
    """Of every background, or with the sum of three weights that is beyond what a number can be."""
    config = UserConfig(factory="bodies.marginal_nets:Linear", kwargs={"length": LENGTH})
    model = build(config, ModelShape.single(LENGTH, 2, link="identity")).eval()
    with torch.no_grad():
        model.get_parameter("module.weights")[1] = 0
        model.get_parameter("module.weights")[1, base] = weight
    save_model(model, tmp_path / "model", config, ["a", "b"])
    chosen: dict[str, Any] = {"background_dist": [1, 0, 0, 0], "sequences": ["TTT"], "backgrounds": 8}
    with pytest.raises(InputError, match=f"the value of track 'b' is not finite {place}.*weights are not finite"):
        marginalize(tmp_path / "run", tmp_path / "model", None, **chosen)


def test_backgrounds_that_are_the_same_are_said(linear: Path, tmp_path: Path, caplog: Any) -> None:
    with caplog.at_level("WARNING"):
        marginalize(tmp_path / "run", linear, None, background_dist=[1, 0, 0, 0], sequences=["TTT"], backgrounds=8)
    assert "8 backgrounds, 1 of them distinct: p and q count each by itself" in caplog.text
    assert read_marginalization(tmp_path / "run" / "out.h5").distinct == 1


def test_where_operations_are_not_counted_auto_takes_the_whole_model(linear: Path, tmp_path: Path) -> None:
    done = marginalize(tmp_path / "run", linear, None, **BACKGROUND, sequences=["TTT"], backgrounds=7, engine="auto")
    assert done["summary"]["engines"] == ["full"]


BACKGROUND: dict[str, Any] = {"background_dist": ["0.25"] * 4}


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ({"motifs": ["STAT_know2"]}, InputError, "no motif 'STAT_know2' among the 10 of .*; nearest: STAT_known2"),
        ({"motif_db": [], "sequences": []}, UsageError, "nothing to put in; give --motif-db FILE, or"),
        ({"motif_db": [], "sequences": ["ACGT"], "motifs": ["A"]}, UsageError, "--motifs without --motif-db, .*; give"),
        ({"motif_db": [MOTIFS, MOTIFS]}, UsageError, "--motif-db: .*encode_motifs.txt is given twice; give it once"),
        ({"motifs": [PAIR[0], *PAIR]}, UsageError, "--motifs: STAT_known2 is named twice"),
        ({"motifs": ["all", *PAIR]}, UsageError, "--motifs all STAT_known2 CTCF_known1: all stands by itself"),
        ({"sequences": ["ACGT", "acgt"]}, UsageError, "--sequences: ACGT stands twice"),
        ({"motifs": PAIR, "sequences": ["CTCF_known1=ACG"]}, InputError,
         "a motif of .* and a given sequence are both called 'CTCF_known1'; give the sequence another name, NAME=ACG"),
        ({"sequences": ["ACGU"]}, UsageError, "--sequences 'ACGU': letters are A, C, G, T, and N"),
        ({"sequences": ["A" * 91]}, UsageError, "A{91} has 91 positions, the model takes 90 bases"),
        ({"positions": "3"}, UsageError, "--positions has no use with --by motif; --by position, or leave it out"),
        ({"by": "position"}, UsageError, "--by position needs --positions"),
        ({"by": "position", "positions": "0:90:5", "motifs": PAIR}, UsageError,
         "--positions 0:90:5: 85 does not fit, STAT_known2 has 21 positions, the model takes 90 bases; at most 69"),
        ({"by": "position", "positions": "9:9"}, UsageError, "--positions 9:9: no number is in this range"),
        ({"by": "position", "positions": "0:9:0"}, UsageError, "--positions 0:9:0: a step is at least 1; such"),
        ({"by": "position", "positions": "-3"}, UsageError, "--positions '-3' is not understood"),
        ({"by": "position", "positions": "5,,6"}, UsageError, "--positions '5,,6' is not understood"),
        ({"by": "position", "positions": "5,x,6"}, UsageError, "--positions '5,x,6': 'x' is not understood"),
        ({"by": "position", "positions": "\u0663"}, UsageError, "--positions '\u0663' is not understood"),
        ({"by": "spacing", "motifs": PAIR, "spacings": "0:99:10"}, UsageError,
         "--spacings 0:99:10: 90 does not fit, STAT_known2 and CTCF_known1 have 40 positions, .*; at most 50"),
        ({"by": "spacing", "motifs": PAIR[:1]}, UsageError, "--by spacing: of pairs, and there is only STAT_known2"),
        ({"by": "spacing", "pairs": PAIR[:1]}, UsageError, "--pairs: 1 name, STAT_known2 has no partner; give"),
        ({"by": "spacing", "pairs": ["STAT_know2", "B"]}, InputError,
         r"no motif 'STAT_know2' among the 10 of what is put in \(--pairs\); nearest: STAT_known2"),
        ({"by": "spacing", "orientations": [""]}, UsageError, "--orientations '': no strands; one or more of ff, fr"),
        ({"by": "spacing", "motifs": PAIR, "orientations": ["+*"]}, UsageError, r"--orientations '\+\*': the strand"),
        ({"by": "spacing", "motif_db": [], "sequences": ["A" * 50, "C" * 50]}, UsageError, "have 100 positions, the"),
        ({"by": "spacing", "motifs": PAIR, "strands": "both"}, UsageError, "--strands both has no use with --by spac"),
        ({"shuffle": "none", "shuffles": 2}, UsageError, "--shuffles 2 with --shuffle none"),
        (BACKGROUND, UsageError, r"x.fa with --background-dist: backgrounds come from one of them"),
        ({**BACKGROUND, "input": None, "shuffles": 3}, UsageError, "--shuffles with --background-dist: random seq"),
        ({**BACKGROUND, "input": None, "limit": 3}, UsageError, "--limit with --background-dist: random seq"),
        ({"input": None, "background_dist": [0.3] * 4}, UsageError, "--background-dist 0.3 0.3 0.3 0.3: sums to 1.2"),
        ({"input": None}, UsageError, "no input for backgrounds; .* or random ones by --backg"),
        ({"input": None, "background_dist": ["dinuc:"]}, UsageError, "--background-dist dinuc: needs a FASTA"),
        ({"tracks": "x"}, UsageError, "--tracks: no track 'x'"),
        ({"batch_size": 3}, UsageError, "--batch-size 3 is no power of two up to 64"),
        ({"groups": Path("g.tsv")}, UsageError, "has no effect: no group is named"),
    ],
)  # fmt: skip
def test_what_cannot_be_done(
    world: tuple[Path, Path], tmp_path: Path, chosen: dict[str, Any], error: type[Exception], message: str
) -> None:
    model, source = world
    with pytest.raises(error, match=message) as caught:
        marginalize_plan.plan_shards(
            options_of(
                model,
                chosen.get("input", source),
                tmp_path / "run",
                **{k: v for k, v in chosen.items() if k != "input"},
            )
        )
    assert "\n" not in str(caught.value)


def test_models_of_several_inputs_and_other_lengths_are_refused(world: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'s' has 50 bases, the model takes 90"):
        marginalize_plan.plan_shards(options_of(world[0], fasta(tmp_path / "x.fa", {"s": "A" * 50}), tmp_path / "run"))
    config = MultiInputConfig.model_validate(
        {"trunk": {"kernels": 4, "kernel_size": 5, "pool_size": 4}, "embedding": 6}
    )
    shape = ModelShape({"dna": LENGTH, "rna": 30}, (HeadShape("main", 1, "identity"),))
    save_model(build(config, shape).eval(), tmp_path / "two", config, ["t"])
    with pytest.raises(
        UsageError, match=r"takes 2 sequences \(.*\), motifs are put into one; ask a model of one input"
    ):
        marginalize_plan.plan_shards(options_of(tmp_path / "two", world[1], tmp_path / "run"))


def test_planning_needs_no_heavy_library(world: tuple[Path, Path], tmp_path: Path) -> None:
    given = ("--motif-db", MOTIFS, "--motifs", *PAIR, "--by", "spacing", "-o", tmp_path / "run")
    bare("drg-marginalize", *world, *given, "--plan-only")
    found = finish(
        options_of(*world, tmp_path / "run", motifs=PAIR, by="spacing", engine="auto"), marginalize_plan
    )  # the same plan
    assert found["summary"]["designs"] == 60 and found["summary"]["backgrounds"] == ROWS
