"""Statistics of chosen bins under --shifts: the bins follow the sequence, or the shift is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from attribution.gene_world import GEOMETRY, Known, rows_of, sequence
from attribution.test_targets_gene import SETTINGS, by_hand, coverage_by_hand, statistic, tensors
from hypothesis import given, settings
from hypothesis import strategies as st

from drg_hpc.attribution.engine import Engine
from drg_hpc.attribution.gene_windows import Geometry, bin_weights, count_bins
from drg_hpc.attribution.recipe import make_recipe
from drg_hpc.attribution.targets import Inputs, TrackStatistic
from drg_hpc.attribution.targets_make import make_statistic
from drg_hpc.attribution.transform_spec import plan_target
from drg_hpc.attribution.views import View, make_views
from drg_hpc.errors import UsageError
from drg_hpc.genome.regions import merged
from tests.attribution.transform_models import Mirrored, header, sequences

SHIFTS = (16, -32, 5, -21)


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("shift", SHIFTS)
def test_a_genes_bins_follow_the_sequence(tmp_path: Path, name: str, shift: int) -> None:
    """The same as the window that begins ``shift`` bases earlier, base by base; on both strands."""
    rows, compat = rows_of(tmp_path, SETTINGS[name]), name == "compat"
    x = sequence(2, GEOMETRY.length)
    moved = View(shift=shift).apply(x)
    there = statistic(rows, compat=compat).shifted(shift)
    wanted = []
    for row, each in zip(rows, moved, strict=True):
        coverage = coverage_by_hand(there.module, each.numpy(), "none")  # type: ignore[arg-type]
        here = replace(row, start=row.start - shift)
        if not compat:
            wanted.append(by_hand(here, coverage, pseudo=0.0, compat=False))
            continue
        q = coverage[[0, 2, 3] if row.strand == "+" else [1, 2, 4]].mean(0)
        means = [
            np.average(q[list(side)], weights=list(side.values()))
            for side in (bin_weights(each, here.start, GEOMETRY) for each in (row.numerator, row.denominator))
        ]
        wanted.append(float(np.log(means[0] / means[1] + 1e-6)))
    values = there([moved], tensors(there.params([0, 1])))
    np.testing.assert_allclose(values[:, 0].detach().numpy(), wanted, rtol=1e-11)
    back = there.mirrored()
    turned = back([View(reverse=True, shift=shift).apply(x)], tensors(back.params([0, 1])))
    torch.testing.assert_close(turned, values, rtol=1e-12, atol=0)
    other = there.mirrored().shifted(-shift)
    for one, two in zip(other.params([0, 1]), statistic(rows, compat=compat).mirrored().params([0, 1]), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["exons", "exon", "donor", "both"])
def test_an_average_over_whole_bins_is_the_prediction(tmp_path: Path, name: str) -> None:
    """This network's bins are of their own bases: a sequence moved by whole bins has the coverage moved."""
    rows = rows_of(tmp_path, SETTINGS[name])
    assert all(row.covered == 1.0 for row in rows)
    x = [sequence(2, GEOMETRY.length).numpy()]
    found = []
    for shifts in ((), (32, 16, -16)):
        views = make_views(rc_average=True, shifts=shifts)
        engine = Engine([statistic(rows)], make_recipe("gradient", "raw"), views=views, batch=2)
        found.append(next(iter(engine.block(x, [0, 1]))).prediction)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)


def test_passes_of_a_shift_have_the_bins_of_its_widest_row(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, SETTINGS["donor"])
    for shift in (0, 3, 7):
        counts = [len({b for side in row.weights(GEOMETRY, shift) for b in side}) for row in rows]
        for part in ([0], [1], [0, 1]):
            assert statistic(rows).shifted(shift).params(part)[0].shape == (len(part), max(counts))


def test_a_gene_that_is_moved_out_is_refused(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, SETTINGS["exon"])
    part = rows[0].weights(GEOMETRY, 250)
    assert part[0] == {} and part[1] != {}
    moved = statistic(rows).shifted(250)
    with pytest.raises(UsageError, match=r"--shifts 250: gene g1: exon .*: one side of it is moved out of the bins"):
        moved.params([0])
    with pytest.raises(UsageError, match=r"--shifts -400: gene g2: .*: all of it is moved out of the bins"):
        statistic(rows).shifted(-400).params([1])
    less = statistic(rows).shifted(150).params([0])
    assert less[1].sum() == pytest.approx(1) and less[2].sum() == pytest.approx(1)


@settings(deadline=None)
@given(
    st.builds(
        lambda crop, size, bins: Geometry(2 * crop + size * bins, crop, size, bins),
        st.integers(0, 70), st.integers(1, 40), st.integers(1, 30),
    ),
    st.lists(st.tuples(st.integers(-300, 900), st.integers(1, 200)), min_size=1, max_size=5),
    st.integers(-200, 500),
)  # fmt: skip
def test_bins_are_counted(geometry: Geometry, pairs: list[tuple[int, int]], start: int) -> None:
    intervals = list(merged([(at, at + size) for at, size in pairs]))
    assert count_bins(intervals, start, geometry) == len(bin_weights(intervals, start, geometry))


class Follows(TrackStatistic):
    """Its value says which shift it was made for."""

    shift = 0

    def __call__(self, xs: Inputs, params: object = ()) -> torch.Tensor:
        return 0 * super().__call__(xs) + self.shift

    def shifted(self, shift: int) -> Follows:
        found = Follows(self.module, self.tracks, self.scale)
        found.shift = shift
        return found


def test_the_engine_has_a_function_for_each_shift() -> None:
    made = Follows(Known().eval(), [0], "output")
    x = [sequence(3, GEOMETRY.length).float().numpy()]
    views = make_views(rc_average=False, shifts=(0, 4, 11))
    (found,) = Engine([made], make_recipe("gradient", "raw"), views=views, batch=2).block(x, [0, 1, 2])
    np.testing.assert_allclose(found.prediction, 5.0)


def test_whole_tracks_do_not_depend_on_the_shift() -> None:
    made = TrackStatistic(Known().eval(), [0], "output")
    assert made.shifted(70) is made


CHOSEN = [
    "aggregate:bins=1-3", "aggregate:over-bins=none", "specificity:on=plus:bins=0,2",
    "specificity:on=plus:over-bins=none", "profile-shape:bins=1-5",
]  # fmt: skip
WHOLE = ["aggregate", "specificity:on=plus", "profile-shape"]


@pytest.mark.parametrize("text", [*CHOSEN, *WHOLE])
def test_transforms_of_chosen_bins_take_shifts_below_a_bin(text: str) -> None:
    """Bins are of 5 bases."""
    module = Mirrored()
    made = make_statistic(plan_target(header(module), transform=text, tracks="all", groups={}).record(), module)
    for shift in (0, 4, -4):
        torch.testing.assert_close(made.shifted(shift)([sequences()]), made([sequences()]))
    for shift in (5, -5, 12):
        if text in WHOLE:
            assert made.shifted(shift) is made
            continue
        with pytest.raises(UsageError, match=rf"--shifts {shift}: chosen bins stay .* below one bin, of 5 bases"):
            made.shifted(shift)
