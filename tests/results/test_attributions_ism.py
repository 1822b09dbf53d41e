"""The file of in-silico mutagenesis: what is blank, what is refused, and what readers make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.results import attributions, h5
from drg_hpc.results.attributions_layout import Layout, Mutagenesis
from drg_hpc.results.export_kinds import check_exports
from drg_hpc.results.exports import write_exports
from drg_hpc.results.reader import Attributions, read_attributions
from drg_hpc.results.seqlet_source import AttributionSource
from drg_hpc.runs.spec import block_shards
from tests.results.attribution_files import make_truth, plain

ROWS, LENGTH = 50, 30
LOST = (3, *range(16, 32))
"""Rows that are not kept, a whole block among them."""
Array = NDArray[Any]


def layout(**changes: Any) -> Layout:
    return plain(
        form="ism", keep_form=True, form_is_contribution=False, deviations=True,
        **{"mutagenesis": Mutagenesis(edits=("deletion_3",)), "block_rows": 16} | changes,
    )  # fmt: skip


class Made:
    """Arrays by track, and a file of them."""

    def __init__(self, plan: Layout) -> None:
        self.truth = make_truth(plan, rows=ROWS, seed=1, unkept=LOST)
        self.plan = self.truth.layout
        rng = np.random.default_rng(2)
        self.x = self.truth.onehot[0]
        self.scored = rng.random((ROWS, LENGTH)) < 0.7
        shape = (len(plan.tracks), ROWS, 4, LENGTH)
        self.ism = np.where(self.x.astype(bool), 0, rng.normal(size=shape)).astype(np.float32)
        self.made = rng.normal(size=(len(plan.tracks), ROWS, LENGTH)).astype(np.float32)
        self.made[..., -2:] = np.nan
        self.ism[:, ~self.scored[:, None].repeat(4, 1)] = np.nan

    def contribution(self, track: int) -> Array:
        """The mean-effect form by its definition, base by base."""
        out = np.zeros((ROWS, 4, LENGTH), np.float32)
        for row, place in np.argwhere(self.scored & self.x.any(axis=1)):
            column = self.ism[track, row, :, place]
            out[row, :, place] = column - column[self.x[row, :, place] == 0].mean()
        return out

    def write(self, folder: Path, shards: int) -> Path:
        folder.mkdir()
        parts = []
        for shard in block_shards(ROWS, shards=shards, block=16):
            parts.append(h5.PartFile(folder / f"{shard.id}.part", shard.start, shard.stop))
            with attributions.PartWriter(parts[-1].path, self.plan, rows=shard.rows) as part:
                part.regions(self.truth.regions.iloc[shard.start : shard.stop])
                for first in range(shard.start, shard.stop, 16):
                    self._block(part, first - shard.start, slice(first, min(first + 16, shard.stop)))
        params = {"projection": "mean-effect", "base_freqs": None}
        attributions.merge(parts, folder / "out.h5", plan=self.plan, attributes={"params": params, "stranded": True})
        return folder / "out.h5"

    def _block(self, part: attributions.PartWriter, at: int, rows: slice) -> None:
        onehot = [self.x[rows]]
        if not self.truth.kept[rows].any():
            part.skip(at, rows.stop - rows.start, onehot)
            return
        part.sequences(at, onehot)
        part.scored(at, [self.scored[rows]])
        for track in range(len(self.plan.tracks)):
            form = self.contribution(track)[rows]
            projected = (form * self.x[rows]).sum(axis=1)
            block = attributions.InputBlock(
                projected=projected, form=self.ism[track, rows], contribution=form, projected_sd=np.abs(projected),
                form_sd=np.abs(self.ism[track, rows]), edits={"deletion_3": self.made[track, rows]},
                scored=self.scored[rows],
            )  # fmt: skip
            ones = np.ones(rows.stop - rows.start)
            part.track(at, track, attributions.TrackBlock(ones, ones, inputs=(block,)), onehot=onehot)


@pytest.mark.parametrize("tracks", [((0, "a"),), ((0, "a"), (7, "b"))], ids=["one track", "two tracks"])
def test_content_and_sharding(tmp_path: Path, tracks: Any) -> None:
    made = Made(layout(tracks=tracks))
    paths = [made.write(tmp_path / str(shards), shards) for shards in (1, 3)]
    assert sha256_file(paths[0]) == sha256_file(paths[1])
    kept = made.truth.kept
    with read_attributions(paths[1]) as found:
        assert found.by_base and found.scored is not None
        np.testing.assert_array_equal(found.scored[()].astype(bool), made.scored & kept[:, None])
        for track, (name, group) in enumerate(found.tracks.items()):
            expected = np.where(kept[:, None, None], made.ism[track], np.nan)
            np.testing.assert_array_equal(group["ism"][()], expected)
            np.testing.assert_array_equal(group["ism_sd"][()], np.abs(expected))
            np.testing.assert_array_equal(group["deletion_3"][()], np.where(kept[:, None], made.made[track], np.nan))
            form = np.where(kept[:, None, None], made.contribution(track), 0)
            np.testing.assert_allclose(found.contributions(name), form, atol=1e-6)
            np.testing.assert_allclose(found.projected(name), (form * made.x).sum(axis=1), atol=1e-6)
        assert ("shap" in found.file) == (len(tracks) == 1)


def test_seqlets_and_exports_read_contributions(tmp_path: Path) -> None:
    made = Made(layout())
    path = made.write(tmp_path / "run", 1)
    kept = made.truth.kept
    with AttributionSource(path) as source:
        track = source.tracks[1]
        assert source.form(track) == "contribution"
        np.testing.assert_allclose(source.full(track, 0, ROWS)[kept], made.contribution(1)[kept], atol=1e-6)
    write_exports(path, ["modisco", "drg"], tmp_path / "out")
    with np.load(tmp_path / "out" / "modisco" / "00007.b_c_d.npz") as stored:
        np.testing.assert_allclose(stored["arr_0"], made.contribution(1)[kept], atol=1e-6)
    with np.load(tmp_path / "out" / "drg" / "attributions.npz") as stored:
        np.testing.assert_allclose(stored["values"][:, 0], made.contribution(0)[kept], atol=1e-6)


def test_numbers_that_are_not_finite_are_refused_where_they_are_not_meant(tmp_path: Path) -> None:
    made = Made(layout())
    row, place = np.argwhere(made.scored & made.truth.kept[:, None])[5]
    made.ism[1, row, 2, place] = np.nan
    with pytest.raises(InputError, match=f"the attribution of track 'b/c d' is nan at row {row} of this shard"):
        made.write(tmp_path / "run", 1)
    made = Made(layout())
    made.made[0, 7, 3] = np.inf
    with pytest.raises(InputError, match="the attribution of track 'a' is inf at row 7 of this shard"):
        made.write(tmp_path / "other", 1)


def test_a_file_without_substitutions_has_no_attributions(tmp_path: Path) -> None:
    made = Made(layout(mutagenesis=Mutagenesis(substitutions=False, edits=("deletion_3",))))
    path = made.write(tmp_path / "run", 1)
    assert made.plan.summary()["by_base"] is False and "by_base" not in layout().summary()
    with read_attributions(path) as found:
        assert sorted(found.tracks["a"]) == ["deletion_3", "prediction", "prediction_sd"]
        for read in (Attributions.projected, Attributions.contributions):
            with pytest.raises(
                InputError, match=r"no attributions by base: .*; run drg-ism with --edits substitutions"
            ):
                read(found, "a")
    with pytest.raises(InputError, match="no attributions by base"):
        AttributionSource(path)
    with pytest.raises(
        UsageError, match="--export finemo: edits that are no substitutions are no attributions by base"
    ):
        check_exports(["bed", "finemo"], made.plan, contigs=True)
