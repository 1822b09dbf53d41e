"""Transforms undone: the inverse of what made the targets, in both orders, with its derivative."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import EXAMPLES

from drg_hpc.attribution.gene_tracks import TrackTransform, from_json, to_json, transforms_of
from drg_hpc.attribution.untransform import Untransform
from drg_hpc.errors import InputError
from drg_hpc.genome.targets import read_targets
from drg_hpc.genome.transforms import Transform

ORIGINAL = EXAMPLES / "hg38_windows" / "targets_original.tsv"
HEAD = "\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\tstrand_pair\tdescription\n"


@pytest.mark.parametrize("order", ["old", "new"])
def test_undoes_what_made_the_targets(order: str) -> None:
    """The tracks of a published table, forward as the data were made, without the hard clip."""
    targets = read_targets(ORIGINAL)
    names = [target.name for target in targets]
    found = transforms_of(
        range(len(names)), names, order=order, targets=ORIGINAL, scale=None, exponent=None, clip_soft=None  # type: ignore[arg-type]
    )  # fmt: skip
    coverage = np.tile(np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 200)]), (len(names), 1))
    values = [
        Transform(order, target.stat, target.scale, target.clip_soft).forward(row, name=target.name)  # type: ignore[arg-type]
        for target, row in zip(targets, coverage, strict=True)
    ]
    undone = Untransform(order, [found[i] for i in range(len(names))])  # type: ignore[arg-type]
    assert len({t.exponent for t in undone.transforms}) > 1
    back = undone(torch.from_numpy(np.stack(values))[None])[0]
    np.testing.assert_allclose(back.numpy(), coverage, rtol=1e-9, atol=1e-9)


TRANSFORMS = st.builds(
    TrackTransform, st.floats(0.01, 3), st.sampled_from([0.5, 0.75, 1.0]), st.one_of(st.none(), st.floats(1.0, 50))
)


@settings(deadline=None)
@given(st.lists(TRANSFORMS, min_size=1, max_size=4), st.sampled_from(["old", "new"]), st.integers(0, 1000))
def test_derivatives_are_finite_differences_away_from_the_clip(
    transforms: list[TrackTransform], order: str, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    y = torch.from_numpy(generator.uniform(0.05, 60, (1, len(transforms), 9))).requires_grad_()
    undone = Untransform(order, transforms)  # type: ignore[arg-type]
    (slope,) = torch.autograd.grad(undone(y).sum(), y)
    step = 1e-6
    with torch.no_grad():
        difference = (undone(y + step) - undone(y - step)) / (2 * step)
    scale = torch.tensor([t.scale if order == "old" else 1.0 for t in transforms])[:, None]
    clip = torch.tensor([np.inf if t.clip_soft is None else t.clip_soft for t in transforms])[:, None]
    away = (y / scale - clip).abs() > 1e-3
    torch.testing.assert_close(slope[away], difference[away], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("order", "above"), [("old", 0.0), ("new", 2.0)])
def test_the_slope_jumps_at_the_soft_clip(order: str, above: float) -> None:
    undone = Untransform(order, [TrackTransform(clip_soft=10.0)])  # type: ignore[arg-type]
    y = torch.tensor([[[9.999999, 10.000001]]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(undone(y).sum(), y)
    np.testing.assert_allclose(slope[0, 0].numpy(), [1.0, above], atol=1e-5)


def test_no_coverage_and_what_is_below_it_have_finite_slopes() -> None:
    for order in ("old", "new"):
        transforms = [TrackTransform(0.5, 0.75, 5.0), TrackTransform(1.0, 1.0)]
        y = torch.tensor([[[0.0, -0.5, -3.0]] * 2], dtype=torch.float64, requires_grad=True)
        out = Untransform(order, transforms)(y)  # type: ignore[arg-type]
        out.sum().backward()
        assert out.isfinite().all() and y.grad is not None and y.grad.isfinite().all()
        assert out[0, 1].tolist() == [0.0, -0.5, -3.0]  # no root: negative values stay
        assert out[0, 0, 0] == 0.0


def table(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "targets.tsv"
    path.write_text(HEAD + "".join(row.replace(" ", "\t") + "\n" for row in rows))
    return path


def test_settings_of_the_table_and_overrides(tmp_path: Path) -> None:
    """The files of the tracks need not be there."""
    path = table(tmp_path, "0 x gone.bw 768 384 0.3 sum_sqrt 0 rna", "1 y gone.bw   2.0 mean 1 dnase")
    options = {"targets": path, "scale": None, "exponent": None, "clip_soft": None}
    old = transforms_of([0, 1], ["x", "y"], order="old", **options)  # type: ignore[arg-type]
    assert old == {0: TrackTransform(0.3, 0.75, 384.0), 1: TrackTransform(2.0, 1.0, None)}
    new = transforms_of([1, 0], ["x", "y"], order="new", **options | {"scale": 0.02})  # type: ignore[arg-type]
    assert new == {0: TrackTransform(0.02, 0.5, 384.0), 1: TrackTransform(0.02, 1.0, None)}
    every = {"targets": None, "scale": 0.01, "exponent": 0.75, "clip_soft": 384.0}
    assert transforms_of([1], ["x", "y"], order="old", **every) == {1: TrackTransform(0.01, 0.75, 384.0)}  # type: ignore[arg-type]
    assert from_json(to_json(old)) == old
    with pytest.raises(InputError, match="has no row for track 'xx'; did you mean 'x'"):
        transforms_of([0], ["xx"], order="old", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("stat", "order"), [("sum_exp75", "old"), ("peak", "new"), ("peak", "old")])
def test_statistics_without_inverse_are_refused_unless_told(tmp_path: Path, stat: str, order: str) -> None:
    path = table(tmp_path, f"0 x gone.bw   1 {stat} 0 -")
    options = {"order": order, "targets": path, "scale": None, "clip_soft": None}
    with pytest.raises(InputError, match=f"line 2: x: sum_stat {stat} has no inverse"):
        transforms_of([0], ["x"], exponent=None, **options)  # type: ignore[arg-type]
    assert transforms_of([0], ["x"], exponent=0.5, **options)[0].exponent == 0.5  # type: ignore[arg-type]
