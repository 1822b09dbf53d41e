"""The file of attributions: every dataset that a layout can ask for, the same bytes for any sharding."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import correlate1d
from support import ROOT

from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.files import sha256_file
from drg_hpc.results import attributions, layout
from drg_hpc.results.attributions_blocks import to_storage
from drg_hpc.results.attributions_layout import Attention
from drg_hpc.results.attributions_top import expand, strengths, take, top_positions
from drg_hpc.results.reader import list_inputs, read_attributions
from tests.results.attribution_files import TWO, make_truth, plain, scores, track_block, write_file

ATTENTION = Attention(("encoder.0", "encoder.1"), heads=3, positions=6)
EVERYTHING: dict[str, Any] = {
    "inputs": TWO, "keep_form": True, "delta": True, "deviations": True, "attention": ATTENTION,
    "columns": ("gene_id", "covered"),
}  # fmt: skip
LOST = (3, 70, *range(128, 192))
"""Rows that are not kept, a whole block among them."""


@pytest.mark.parametrize("top", [0, 8])
@pytest.mark.parametrize("tracks", [((5, "one"),), ((0, "a"), (7, "b"))], ids=["one track", "two tracks"])
def test_bytes_do_not_depend_on_the_sharding(tmp_path: Path, top: int, tracks: Any) -> None:
    truth = make_truth(plain(**EVERYTHING, top=top, tracks=tracks), rows=250, unkept=LOST)
    found = {sha256_file(write_file(tmp_path / str(shards), truth, shards=shards)) for shards in (1, 3, 4)}
    assert len(found) == 1


def test_one_input_has_only_what_is_asked_for(tmp_path: Path) -> None:
    with h5py.File(write_file(tmp_path / "run", make_truth(plain()))) as found:
        assert sorted(found) == ["raw", "regions", "tracks"]
        assert sorted(found["tracks/00007"]) == ["prediction", "projected"]
        assert {f"regions/{name}" for name in found["regions"]} == set(layout.REGION_DATASETS)
    with h5py.File(write_file(tmp_path / "all", make_truth(plain(delta=True, deviations=True)))) as found:
        assert sorted(found["tracks/00007"]) == ["delta", "prediction", "prediction_sd", "projected", "projected_sd"]


def test_content_of_several_inputs(tmp_path: Path) -> None:
    truth = make_truth(plain(**EVERYTHING), rows=250, seed=1, unkept=LOST)
    path = write_file(tmp_path / "run", truth, shards=3)
    assert list_inputs(path) == ("promoter", "enhancer")
    kept = truth.kept
    for number, (name, length) in enumerate(TWO):
        with read_attributions(path, name) as found:
            assert (found.rows, found.length, found.inputs) == (250, length, ("promoter", "enhancer"))
            np.testing.assert_array_equal(found.sequences[()], truth.onehot[number])
            np.testing.assert_array_equal(found.kept, kept)
            assert found.regions["chrom"].unique().tolist() == [f"chr{number}"]
            assert (found.regions["end"] - found.regions["start"]).unique().tolist() == [length]
            assert found.regions["gene_id"].tolist() == truth.regions["gene_id"].tolist()
            np.testing.assert_array_equal(found.regions["covered"], truth.regions["covered"])
            assert list(found.tracks) == ["a", "b/c d"]
            for position, (track, group) in enumerate(found.tracks.items()):
                own = truth.projected(position, number)
                values = {"projected": own, "projected_sd": np.abs(own) / 10,
                          "corrected": truth.multipliers[number][position],
                          "prediction": np.arange(250) + 1000.0 * position}  # fmt: skip
                values |= {"prediction_sd": values["prediction"] / 7, "delta": -values["prediction"] / 1024}
                assert sorted(group) == sorted(values)
                for key, expected in values.items():
                    np.testing.assert_allclose(group[key][()][kept], expected[kept], rtol=1e-6)
                    assert np.isnan(group[key][()][~kept]).all(), key
                np.testing.assert_array_equal(found.projected(track)[kept], own[kept])
                assert not found.projected(track, 120, 200)[8:72].any()
                full = found.contributions(track, 60, 130)
                np.testing.assert_array_equal(
                    full[kept[60:130]], truth.multipliers[number][position, 60:130][kept[60:130]]
                )
                assert not full[~kept[60:130]].any()
            assert found.attention is not None and found.attention.attrs["layers"] == '["encoder.0","encoder.1"]'
            expected = scores(ATTENTION, slice(0, 250))
            np.testing.assert_allclose(found.attention[()][kept], expected[kept], rtol=1e-6)
            assert np.isnan(found.attention[()][~kept]).all()
            assert found.attention.chunks == (1, 1, 1, 6, 6)
    with h5py.File(path) as handle:
        for name in ("prediction", "prediction_sd", "delta"):
            assert handle[f"inputs/enhancer/tracks/00007/{name}"] == handle[f"tracks/00007/{name}"]
        assert "raw" not in handle and "projected" not in handle["tracks/00007"]


@pytest.mark.parametrize("inputs", [(("sequence", 30),), TWO], ids=["one input", "two inputs"])
@pytest.mark.parametrize("unkept", [(), (3, 70)], ids=["all kept", "some not kept"])
def test_motif_finders_never_meet_a_missing_value(tmp_path: Path, inputs: Any, unkept: tuple[int, ...]) -> None:
    truth = make_truth(plain(inputs=inputs, tracks=((7, "x"),), keep_form=True), unkept=unkept)
    with h5py.File(write_file(tmp_path / "run", truth)) as found:
        for number, (name, _) in enumerate(inputs):
            root = found if len(inputs) == 1 else found[f"inputs/{name}"]
            shap, projected = root["shap/seq"][()], root["projected_shap/seq"][()]
            expected = truth.multipliers[number][0] * truth.kept[:, None, None]
            np.testing.assert_array_equal(shap, expected)
            np.testing.assert_array_equal(projected, expected * truth.onehot[number])
            linked = root["tracks/00007/corrected"] == root["shap/seq"]
            assert linked == (not unkept)
            assert np.isnan(root["tracks/00007/corrected"][()][~truth.kept]).all()


def test_rows_without_intervals_have_no_place(tmp_path: Path) -> None:
    truth = make_truth(plain(inputs=TWO))
    del truth.intervals["enhancer"]
    with read_attributions(write_file(tmp_path / "run", truth), "enhancer") as found:
        assert set(found.regions["chrom"]) == {""} and set(found.regions["end"]) == {20}


def test_what_the_layout_promises_is_kept(tmp_path: Path) -> None:
    truth = make_truth(plain(), kept=np.arange(150) != 9)
    with pytest.raises(AssertionError, match="all rows are kept"):
        write_file(tmp_path / "run", truth)
    chosen = plain(**EVERYTHING)
    truth = make_truth(chosen)
    path = write_file(tmp_path / "all", truth)
    with h5py.File(path) as found:
        stored = sum(found[name].dtype.itemsize * found[name].size for name in chosen.datasets())
        assert stored == chosen.row_bytes() * truth.rows
        assert {"tracks/00000/delta", "attention"} < set(chosen.summary()["datasets"])
    assert chosen.summary()["inputs"] == [list(pair) for pair in TWO] and plain().summary()["length"] == 30
    assert plain(top=4).summary()["top"] == 4 and "top" not in plain().summary()


def test_a_value_that_is_not_finite_is_refused_in_kept_rows_only(tmp_path: Path) -> None:
    write_file(tmp_path / "good", make_truth(plain(dtype="float16"), unkept=(5,)))
    truth = make_truth(plain(), unkept=(5,))
    truth.multipliers[0][1, 80, :, 2] = np.nan
    truth.multipliers[0][1, 82, :, 2] = np.nan
    expected = r"the attribution of track 'b/c d' is nan at row 80 of this shard, row 1080 of the input.*"
    expected += "statistic is not defined there.*log of negative coverage.*weights are not finite"
    truth.regions["row"] += 1000
    with pytest.raises(InputError, match=expected):
        write_file(tmp_path / "bad", truth)
    with pytest.raises(InputError, match=r"is nan at row 16 of this shard, row 1080 of the input"):
        write_file(tmp_path / "sharded", truth, shards=3)
    values = np.array([[1.0, 2.0], [3.0, -np.inf], [np.nan, 0.0]])
    with pytest.raises(InputError, match=r"it is -inf at row 65 of this shard, row 7 of the input"):
        to_storage(values, "float32", what="it", at=64, rows=np.array([5, 7, 9]))
    truth = make_truth(plain(dtype="float16"))
    truth.multipliers[0][0, 130:] *= 1e5
    with pytest.raises(InputError, match=r"of track 'a' reaches .* at row 1[34]\d of this shard.* beyond float16"):
        write_file(tmp_path / "large", truth)


def test_digits_that_float16_loses_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def faint(dtype: str) -> dict[str, float]:
        truth = make_truth(plain(dtype=dtype), rows=64)
        truth.multipliers[0][1] *= 1e-5
        block, onehot = slice(0, 64), [truth.onehot[0]]
        with attributions.PartWriter(tmp_path / f"{dtype}.h5", truth.layout, rows=64) as part:
            part.regions(truth.regions)
            part.sequences(0, onehot)
            for position in range(2):
                part.track(0, position, track_block(truth, position, block), onehot=onehot)
        assert ("attributions of track 'b/c d' reach only" in caplog.text) == bool(part.faint)
        assert not part.faint or part.faint["b/c d"] == pytest.approx(np.abs(truth.projected(1)).max())
        return part.faint

    assert faint("float32") == {}
    assert list(faint("float16")) == ["b/c d"]


def test_inputs_are_asked_for_by_name(tmp_path: Path) -> None:
    two = write_file(tmp_path / "two", make_truth(plain(inputs=TWO)))
    one = write_file(tmp_path / "one", make_truth(plain()))
    assert list_inputs(one) == ()
    with pytest.raises(UsageError, match="2 inputs: promoter, enhancer; choose one with --input NAME"):
        read_attributions(two)
    with pytest.raises(UsageError, match=r"no input 'promotor' .* it has promoter, enhancer"):
        read_attributions(two, "promotor")
    with pytest.raises(UsageError, match=r"no input 'sequence' .* leave it out"):
        read_attributions(one, "sequence")
    with h5py.File(two, "a") as handle:
        del handle["inputs/enhancer/raw"]
    with pytest.raises(CorruptError, match="incomplete"):
        read_attributions(two, "enhancer")


def test_attention_alone(tmp_path: Path) -> None:
    truth = make_truth(plain(tracks=(), attention=ATTENTION), unkept=(2,))
    with read_attributions(write_file(tmp_path / "run", truth)) as found:
        assert found.tracks == {} and found.attention is not None
        np.testing.assert_array_equal(found.attention[5], scores(ATTENTION, slice(5, 6))[0])


def test_large_attention_maps_are_cut_by_rows() -> None:
    chunks = plain(attention=Attention(("x",), heads=8, positions=1536)).chunks()
    assert chunks is not None and chunks[:3] == (1, 1, 1) and chunks[4] == 1536
    assert 4 * chunks[3] * chunks[4] <= 4 << 20 < 4 * (chunks[3] + 1) * chunks[4]


def test_strengths_are_those_of_the_drg_tools() -> None:
    projected = np.random.default_rng(0).normal(size=(20, 50)).astype(np.float32)
    weights = np.array([1, 2, 3, 2, 1]) / 9
    expected = correlate1d(np.abs(projected).astype(np.float64), weights, axis=1, mode="mirror")
    np.testing.assert_allclose(strengths(projected), expected, rtol=1e-12)
    best = top_positions(projected, 7)
    for row, positions in enumerate(best):
        assert (np.diff(positions) > 0).all()
        worst = expected[row, positions].min()
        assert (np.delete(expected[row], positions) <= worst).all()
    assert top_positions(np.zeros((1, 9), np.float32), 4).tolist() == [[0, 1, 2, 3]]


@given(
    arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(2, 12)), elements=st.floats(-8, 8, width=32)),
    st.integers(1, 12),
)
def test_sparse_rows_come_back_at_their_places(values: np.ndarray, count: int) -> None:
    length = values.shape[1]
    best = top_positions(values, count)
    assert best.shape == (len(values), min(count, length))
    back = expand(take(values, best), best, length)
    chosen = np.zeros(values.shape, bool)
    np.put_along_axis(chosen, best.astype(np.int64), True, axis=1)
    np.testing.assert_array_equal(back, np.where(chosen, values, 0))
    four = np.stack([values] * 4, axis=1)
    np.testing.assert_array_equal(expand(take(four, best), best, length), np.stack([back] * 4, axis=1))


def test_a_sparse_file(tmp_path: Path) -> None:
    truth = make_truth(plain(top=8, keep_form=True, deviations=True), unkept=(3, 70))
    kept = truth.kept
    with read_attributions(write_file(tmp_path / "run", truth)) as found:
        group, own = found.tracks["a"], truth.projected(0)
        assert sorted(group) == ["prediction", "prediction_sd", "top"]
        positions = group["top/positions"][()]
        assert positions.dtype == np.int32 and (positions[~kept] == -1).all()
        np.testing.assert_array_equal(positions[kept], top_positions(own, 8)[kept])
        for key, expected in {"projected": own, "projected_sd": np.abs(own) / 10}.items():
            stored = group[f"top/{key}"][()]
            np.testing.assert_array_equal(stored[kept], np.take_along_axis(expected, positions, 1)[kept])
            assert np.isnan(stored[~kept]).all()
        assert group["top/corrected"].shape == (150, 4, 8)
        there = np.zeros((150, 30), bool)
        np.put_along_axis(there, positions.astype(np.int64), True, axis=1)
        there[~kept] = False
        np.testing.assert_array_equal(found.projected("a"), np.where(there, own, 0))
        full = np.where(there[:, None], truth.multipliers[0][0], 0)
        np.testing.assert_array_equal(found.contributions("a", 40, 90), full[40:90])
        assert "shap" not in found.file


def test_more_top_positions_than_bases_are_all_of_them(tmp_path: Path) -> None:
    truth = make_truth(plain(inputs=TWO, top=25))
    path = write_file(tmp_path / "run", truth)
    for number, (name, length) in enumerate(TWO):
        with read_attributions(path, name) as found:
            assert found.tracks["a"]["top/positions"].shape == (150, min(25, length))
            if length == 20:
                np.testing.assert_array_equal(found.projected("a"), truth.projected(0, number))


def test_contributions_where_only_the_projection_was_kept(tmp_path: Path) -> None:
    truth = make_truth(plain(), unkept=(4,))
    with read_attributions(write_file(tmp_path / "run", truth)) as found:
        expected = truth.onehot[0] * truth.projected(1)[:, None] * truth.kept[:, None, None]
        np.testing.assert_array_equal(found.contributions("b/c d"), expected)
    truth = make_truth(plain(form="global", keep_form=True, form_is_contribution=False, tracks=((0, "a"),)))
    with read_attributions(write_file(tmp_path / "one", truth)) as found:  # the companion of the global form
        np.testing.assert_array_equal(found.contributions("a"), truth.multipliers[0][0])
        np.testing.assert_allclose(found.tracks["a"]["global"], truth.multipliers[0][0] * (truth.onehot[0] - 0.25))


def test_layouts_are_light() -> None:
    code = """
import sys
from drg_hpc.results import attributions_layout, export_kinds
layout = attributions_layout.Layout((("s", 9),), ((0, "a"),), "raw", True, True, "float16", delta=True)
assert layout.row_bytes() == 4 * 9 + 4 + 4 + 2 * 9 + 2 * 2 * 4 * 9
heavy = {"numpy", "torch", "zarr", "h5py", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
