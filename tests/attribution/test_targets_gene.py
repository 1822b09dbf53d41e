"""Borzoi's gene statistics on a network of known coverage, against a calculation base by base in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attribution.gene_world import GEOMETRY, PARTNERS, TRACKS, Known, rows_of, sequence, splice

from drg_hpc.attribution.deeplift import DeepLift
from drg_hpc.attribution.gene_features import GeneSettings
from drg_hpc.attribution.gene_tracks import TrackTransform, values_of
from drg_hpc.attribution.gene_words import Order
from drg_hpc.attribution.genes import GeneRow
from drg_hpc.attribution.targets_gene import GeneStatistic
from drg_hpc.errors import UsageError
from drg_hpc.models.base import SequenceModel

SCALED = {
    track: TrackTransform(scale, exponent, clip)
    for track, (scale, exponent, clip) in enumerate(
        [(0.8, 0.5, 2.6), (0.2, 0.5, None), (1.2, 1.0, 1.6), (0.9, 0.75, 1.7), (1.1, 0.75, 1.5)]
    )
}
SETTINGS: dict[str, GeneSettings] = {
    "exons": GeneSettings("expression"),
    "span": GeneSettings("expression", span=True),
    "polya": GeneSettings("polya"),
    "exon": splice("2"),
    "donor": splice("2", junction="donor"),
    "both": splice("2", junction="both"),
    "compat": GeneSettings("polya", compat=True),
}


def statistic(
    rows: Sequence[GeneRow], *, order: Order = "none", model: SequenceModel | None = None, pseudo: float = 0.0,
    compat: bool = False, each: bool = False, tracks: Sequence[int] = (0, 1, 2, 3, 4),
) -> GeneStatistic:  # fmt: skip
    strands = sorted({row.strand for row in rows})
    values = values_of(tracks, TRACKS, PARTNERS, statistic="value", each=each, strands=strands)
    module = (model or Known()).double().eval()
    return GeneStatistic(
        module, rows, values, SCALED, order=order, geometry=GEOMETRY, pseudo=pseudo, compat=compat
    )  # fmt: skip


def tensors(arrays: Sequence[Any]) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def coverage_by_hand(model: Known, x: np.ndarray, order: Order) -> np.ndarray:
    """(tracks, bins) of one sequence in numpy, with the transforms undone step by step."""
    g, kernel = model.geometry, model.kernel.detach().numpy()
    out = np.zeros((len(TRACKS), g.bins))
    for track in range(len(TRACKS)):
        t = SCALED[track]
        for number in range(g.bins):
            at = g.crop + g.size * number
            mean = np.mean([kernel[track] @ x[:, p] for p in range(at, at + g.size)])
            y = np.log1p(np.exp(2 * mean + 1.5 * mean**2 + 0.4))
            c = np.inf if t.clip_soft is None else t.clip_soft
            if order == "old":
                p = y / t.scale
                p = (p - c) ** 2 + c if p > c else p
                y = p ** (1 / t.exponent)
            elif order == "new":
                p = (y - c + 1) ** 2 + c - 1 if y > c else y
                y = ((p + 1) ** (1 / t.exponent) - 1) / t.scale
            out[track, number] = y
    return out


def by_hand(row: GeneRow, coverage: np.ndarray, *, pseudo: float, compat: bool) -> float:
    """Every base of the output counts by whether it lies in the intervals; of compat, every bin."""
    q = coverage[[0, 2, 3] if row.strand == "+" else [1, 2, 4]].mean(0)
    first, last = GEOMETRY.output(row.start)
    if compat:
        numerator, denominator = ([q[b] for b in side] for side in row.weights(GEOMETRY))
        return float(np.log((np.mean(numerator) + pseudo) / (np.mean(denominator) + pseudo) + 1e-6))
    sides = [
        [q[(p - first) // GEOMETRY.size] for a, b in side for p in range(a, b) if first <= p < last]
        for side in (row.numerator, row.denominator)
    ]
    if not row.denominator:
        return float(np.log(np.sum(sides[0]) / GEOMETRY.size + pseudo + 1e-6))
    return float(np.log(np.mean(sides[0]) + pseudo + 1e-6) - np.log(np.mean(sides[1]) + pseudo + 1e-6))


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("order", ["none", "old", "new"])
def test_is_the_calculation_by_hand(tmp_path: Path, name: str, order: Order) -> None:
    rows = rows_of(tmp_path, SETTINGS[name])
    assert [row.strand for row in rows] == ["+", "-"]
    compat, pseudo = name == "compat", 0.7
    found = statistic(rows, order=order, pseudo=pseudo, compat=compat)
    x = sequence(2, GEOMETRY.length)
    values = found([x], tensors(found.params([0, 1])))
    wanted = [
        by_hand(row, coverage_by_hand(found.module, each.numpy(), order), pseudo=pseudo, compat=compat)  # type: ignore[arg-type]
        for row, each in zip(rows, x, strict=True)
    ]
    np.testing.assert_allclose(values[:, 0].detach().numpy(), wanted, rtol=1e-11)
    single = [found([x[i : i + 1]], tensors(found.params([i])))[0, 0].item() for i in (0, 1)]
    np.testing.assert_allclose(single, wanted, rtol=1e-11)


def test_soft_clips_are_met() -> None:
    """The transforms of this page are no identities: values lie on both sides of every clip."""
    x = sequence(4, GEOMETRY.length)
    y = torch.nn.functional.softplus(Known().double()(x)).detach()
    for track, transform in SCALED.items():
        if transform.clip_soft is not None:
            for values in (y[:, track], y[:, track] / transform.scale):
                assert 0.02 < (values > transform.clip_soft).double().mean() < 0.98


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("order", ["none", "old", "new"])
def test_gradients_are_finite_differences(tmp_path: Path, name: str, order: Order) -> None:
    rows = rows_of(tmp_path, SETTINGS[name])
    found = statistic(rows, order=order, compat=name == "compat")
    params = tensors(found.params([0, 1]))
    x = sequence(2, GEOMETRY.length).requires_grad_()
    found([x], params)[:, 0].sum().backward()
    assert x.grad is not None and x.grad.abs().sum(dim=(1, 2)).min() > 0.01
    generator = np.random.default_rng(1)
    step = 1e-6
    for _ in range(12):
        row, base, place = generator.integers(2), generator.integers(4), generator.integers(64, 448)
        moved = torch.zeros_like(x)
        moved[row, base, place] = step
        with torch.no_grad():
            high, low = (found([x + sign * moved], params)[row, 0].item() for sign in (1, -1))
        assert abs((high - low) / (2 * step) - x.grad[row, base, place].item()) < 1e-7


@pytest.mark.parametrize("name", list(SETTINGS))
def test_mirrored_is_the_statistic_of_the_reverse_complement(tmp_path: Path, name: str) -> None:
    """Bins turned round, tracks by their partners, with the partners' own transforms."""
    rows = rows_of(tmp_path, SETTINGS[name])
    found = statistic(rows, compat=name == "compat", each=True)
    x = sequence(2, GEOMETRY.length)
    turned = found.mirrored()
    values = found([x], tensors(found.params([0, 1])))
    back = turned([x.flip(1, 2)], tensors(turned.params([0, 1])))
    torch.testing.assert_close(back, values, rtol=1e-12, atol=0)
    assert turned.names == found.names == ("a", "d", "e")
    twice = turned.mirrored()
    for one, other in zip(twice.params([0, 1]), found.params([0, 1]), strict=True):
        np.testing.assert_array_equal(one, other)
    part = turned.subset([2]).mirrored()
    torch.testing.assert_close(part([x], tensors(found.subset([2]).params([0, 1]))), values[:, 2:])


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "compat"])
@pytest.mark.parametrize("order", ["none", "old"])
def test_a_gene_and_its_mirror_image_have_one_value(tmp_path: Path, name: str, order: Order) -> None:
    """The contig turned round: a gene on + becomes one on -, its sequence the reverse complement."""
    same = {track: SCALED[min(track, PARTNERS[track] or 0) if track != 2 else 2] for track in range(5)}
    x = sequence(2, GEOMETRY.length)
    values = []
    for mirrored in (False, True):
        rows = rows_of(tmp_path, SETTINGS[name], mirrored=mirrored)
        found = statistic(rows, order=order)
        found._transforms = same
        values.append(found([x.flip(1, 2) if mirrored else x], tensors(found.params([0, 1]))))
    torch.testing.assert_close(values[1], values[0], rtol=1e-12, atol=0)


def test_partners_have_their_own_transforms(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, SETTINGS["exons"])
    turned = statistic(rows, order="old").mirrored()
    x = sequence(2, GEOMETRY.length)
    values = turned([x.flip(1, 2)], tensors(turned.params([0, 1])))
    model = turned.module
    for i, row in enumerate(rows):
        coverage = coverage_by_hand(model, x[i].flip(0, 1).numpy(), "old")[:, ::-1]  # type: ignore[arg-type]
        other = replace(row, strand="-" if row.strand == "+" else "+")
        np.testing.assert_allclose(values[i, 0].item(), by_hand(other, coverage, pseudo=0.0, compat=False), rtol=1e-11)


def test_values_of_each_track(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, SETTINGS["exon"])
    each = statistic(rows, each=True)
    x = sequence(2, GEOMETRY.length)
    values = each([x], tensors(each.params([0, 1])))
    assert each.names == ("a", "d", "e") and values.shape == (2, 3)
    for j, tracks in enumerate([(0, 1), (2,), (3, 4)]):
        alone = statistic(rows, tracks=tracks)
        torch.testing.assert_close(alone([x], tensors(alone.params([0, 1])))[:, 0], values[:, j])
        part = each.subset([j])
        torch.testing.assert_close(part([x], tensors(part.params([0, 1])))[:, 0], values[:, j])
        assert part.names == (each.names[j],) and part.tracks == list(tracks)


def test_reads_no_more_than_it_needs(tmp_path: Path) -> None:
    """Tracks of the strands that are there, and of every row its own bins, as many as the row with most has."""

    class Spy(Known):
        asked: tuple[list[int], tuple[int, ...]] | None = None

        def part(self, x: Any, *, tracks: Any, bins: torch.Tensor | None = None) -> torch.Tensor:
            assert bins is not None
            self.asked = list(tracks), tuple(bins.shape)
            return super().part(x, tracks=tracks, bins=bins)

    rows = rows_of(tmp_path, SETTINGS["donor"])
    counts = [len({b for side in row.weights(GEOMETRY) for b in side}) for row in rows]
    most = max(counts)
    spy = Spy()
    found = statistic(rows, model=spy)
    found([sequence(2, GEOMETRY.length)], tensors(found.params([0, 1])))
    assert spy.asked == ([0, 1, 2, 3, 4], (2, most)) and most < GEOMETRY.bins
    found = statistic(rows[:1], model=spy)
    found([sequence(1, GEOMETRY.length)], tensors(found.params([0])))
    assert spy.asked == ([0, 2, 3], (1, counts[0]))


@pytest.mark.parametrize("compat", [False, True])
def test_rows_that_fill_a_batch_up(tmp_path: Path, compat: bool) -> None:
    """As the engine does it: zeros with the parameters of the last row."""
    rows = rows_of(tmp_path, SETTINGS["polya"])
    found = statistic(rows, compat=compat)
    x = sequence(2, GEOMETRY.length)
    alone = found([x], tensors(found.params([0, 1])))
    x = torch.cat([x, torch.zeros(2, 4, GEOMETRY.length, dtype=torch.float64)]).requires_grad_()
    values = found([x], tensors(found.params([0, 1, 1, 1])))
    torch.testing.assert_close(values[:2], alone)
    values.sum().backward()
    assert values.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


def test_compat_without_transforms_is_the_plain_sum(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, GeneSettings("expression", compat=True))
    x = sequence(2, GEOMETRY.length)
    for order, plain in (("none", True), ("old", False)):
        found = statistic(rows, order=order, compat=True)  # type: ignore[arg-type]
        values = found([x], tensors(found.params([0, 1])))
        for i, row in enumerate(rows):
            q = coverage_by_hand(found.module, x[i].numpy(), order)  # type: ignore[arg-type]
            total = q[[0, 2, 3] if row.strand == "+" else [1, 2, 4]].mean(0)[list(row.weights(GEOMETRY)[0])].sum()
            np.testing.assert_allclose(values[i, 0].item(), total if plain else np.log(total + 1e-6), rtol=1e-11)


def test_is_traced_without_looking_at_data(tmp_path: Path) -> None:
    """What DeepLIFT does: a graph of plain operations, the same for other values."""
    from torch.fx.experimental.proxy_tensor import make_fx

    for order in ("none", "old", "new"):
        rows = rows_of(tmp_path, SETTINGS["both"])
        found = statistic(rows, order=order)  # type: ignore[arg-type]
        params = tensors(found.params([0, 1]))
        graph = make_fx(lambda x, *params, found=found: found([x], params))(sequence(2, GEOMETRY.length), *params)
        other = sequence(2, GEOMETRY.length, seed=9)
        swapped = [each.flip(0) for each in params]
        torch.testing.assert_close(graph(other, *swapped), found([other], swapped))


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("order", ["none", "old", "new"])
def test_deeplift_accounts_for_all_of_it(tmp_path: Path, name: str, order: Order) -> None:
    """Completeness per pair of sequence and reference, for the value of every track."""
    rows = rows_of(tmp_path, SETTINGS[name])
    found = statistic(rows, order=order, compat=name == "compat", each=True)
    params, x = tensors(found.params([0, 1])), sequence(2, GEOMETRY.length)
    references = torch.stack([sequence(2, GEOMETRY.length, seed=seed) for seed in (1, 2)], dim=1)
    pairs = DeepLift(found, [x], params).pairs([x], [references], params)
    differences = pairs.values[:, None] - pairs.reference_values
    for value, cotangent in enumerate(torch.eye(3, dtype=torch.float64)):
        sums = (pairs.multipliers(cotangent)[0] * (x[:, None] - references)).sum(dim=(-1, -2))
        assert (sums - differences[..., value]).abs().max() <= 1e-9 * differences[..., value].abs().max()


def test_a_network_of_the_users_own_is_read_whole(tmp_path: Path) -> None:
    class Plain(torch.nn.Module):
        """No SequenceModel: no part, no links, no partners."""

        def __init__(self) -> None:
            super().__init__()
            self.known = Known()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.softplus(self.known(x))

    rows = rows_of(tmp_path, SETTINGS["polya"])
    ours, theirs = statistic(rows), statistic(rows, model=Plain())  # type: ignore[arg-type]
    x, params = sequence(2, GEOMETRY.length), tensors(ours.params([0, 1]))
    torch.testing.assert_close(theirs([x], params), ours([x], params))


def test_a_missing_strand_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no track for genes on -: a\+ is of the other strand"):
        values_of([0], TRACKS, PARTNERS, statistic="x", each=False, strands=["+", "-"])
    assert values_of([0], TRACKS, PARTNERS, statistic="x", each=False, strands=["+"])[0].plus == (0,)
    with pytest.raises(UsageError, match="its strand is unknown"):
        values_of([0], ["plus", "minus"], [1, 0], statistic="x", each=False, strands=["+"])


def test_an_unstranded_track_is_not_merged_with_a_pair_of_its_name() -> None:
    names, partners = ["X", "X+", "X-", "Y+", "Y-"], [0, 2, 1, 4, 3]
    found = values_of(range(5), names, partners, statistic="x", each=True, strands=["+", "-"])
    assert [(value.name, value.plus, value.minus) for value in found] == [
        ("X", (0,), (0,)), ("X+-", (1,), (2,)), ("Y", (3,), (4,)),
    ]  # fmt: skip
    (pair,) = values_of([1, 2], names, partners, statistic="x", each=True, strands=["+", "-"])
    assert pair.name == "X"


def test_params_do_not_grow_with_tracks_and_values(tmp_path: Path) -> None:
    """Thousands of tracks with one value each: of a row, its bins and its strand."""
    rows = rows_of(tmp_path, SETTINGS["exon"])
    count = 6000
    names = [f"t{number // 2}{'+-'[number % 2]}" for number in range(count)]
    partners = [number ^ 1 for number in range(count)]
    values = values_of(range(count), names, partners, statistic="x", each=True, strands=["+", "-"])
    module = Known().double().eval()
    made = GeneStatistic(module, rows, values, {}, order="none", geometry=GEOMETRY)
    assert made.tracks == list(range(count)) and len(made.names) == count // 2
    params = made.params([0, 1])
    assert sum(each.nbytes for each in params) < 2 * GEOMETRY.bins * 24 + 64
    assert params[-1].shape == (2,)


@pytest.mark.parametrize("each", [False, True])
def test_means_by_strand(tmp_path: Path, each: bool) -> None:
    """Rows of all strands in one pass: of one track, of two and of many."""
    rows = rows_of(tmp_path, SETTINGS["exons"])
    rows = [rows[0], rows[1], replace(rows[0], strand=".")]
    found = statistic(rows, each=each)
    x = sequence(1, GEOMETRY.length).expand(3, -1, -1)
    values = found([x], tensors(found.params([0, 1, 2])))
    for i, row in enumerate(rows):
        q = coverage_by_hand(found.module, x[i].numpy(), "none")  # type: ignore[arg-type]
        for j, value in enumerate(found.values):
            sums = [(weight, q[list(value.of(row.strand)), b].mean()) for b, weight in row.weights(GEOMETRY)[0].items()]
            wanted = np.log(sum(weight * mean for weight, mean in sums) + 1e-6)
            np.testing.assert_allclose(values[i, j].item(), wanted, rtol=1e-12)
    references = sequence(6, GEOMETRY.length, seed=3).view(3, 2, 4, -1)
    pairs = DeepLift(found, [x], tensors(found.params([0, 1, 2]))).pairs(
        [x], [references], tensors(found.params([0, 1, 2]))
    )  # fmt: skip
    differences = pairs.values[:, None] - pairs.reference_values
    for j, cotangent in enumerate(torch.eye(len(found.values), dtype=torch.float64)):
        sums = (pairs.multipliers(cotangent)[0] * (x[:, None] - references)).sum(dim=(-1, -2))
        torch.testing.assert_close(sums, differences[..., j], rtol=1e-9, atol=1e-12)
    single = found.subset([len(found.values) - 1])
    torch.testing.assert_close(single([x], tensors(single.params([0, 1, 2])))[:, 0], values[:, -1])
