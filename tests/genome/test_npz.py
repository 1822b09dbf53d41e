"""DRG's npz files, with numpy's own reader and writer as the oracle."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome import npz, npz_blocks
from drg_hpc.genome.counts import load_rows, scan_matrix
from drg_hpc.genome.onehot import codes_to_onehot

# What DRG's transform_seqtofeature.py leaves: int8, zero rows for N and padding, names sorted.
LETTERS = np.array(list("ACGT"))


def load_onehot(path: Path) -> tuple[list[str], np.ndarray]:
    names, codes = npz.load_codes(path)
    return names, codes_to_onehot(codes)


def drg_file(path: Path, codes: NDArray[np.uint8], names: list[str]) -> NDArray[np.int8]:
    onehot = (codes[..., None] == np.arange(4)).astype(np.int8)
    np.savez_compressed(path, seqfeatures=onehot, genenames=np.array(names), featurenames=LETTERS)
    return onehot


@settings(deadline=None)
@given(
    rows=st.integers(1, 9),
    length=st.integers(1, 30),
    seed=st.integers(0, 9999),
    block=st.sampled_from([16, 100, 1 << 20]),
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=9, max_size=9, unique=True
    ),
)
def test_in_and_out_are_the_same_arrays(
    tmp_path_factory: pytest.TempPathFactory, rows: int, length: int, seed: int, block: int, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("npz")
    codes = np.random.default_rng(seed).integers(0, 5, (rows, length)).astype(np.uint8)
    onehot = drg_file(folder / "in.npz", codes, names[:rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npz_blocks, "_BLOCK_BYTES", block)
        assert npz.scan_onehot(folder / "in.npz") == [(name, length) for name in names[:rows]]
        found, read = npz.load_codes(folder / "in.npz")
        assert found == names[:rows]
        np.testing.assert_array_equal(read, codes)
        blocks = (load_onehot(folder / "in.npz")[1][i : i + 2] for i in range(0, rows, 2))
        npz.write_onehot(folder / "out.npz", found, length, blocks)
    with np.load(folder / "out.npz", allow_pickle=False) as out:
        assert sorted(out) == ["featurenames", "genenames", "seqfeatures"]
        assert out["seqfeatures"].dtype == np.int8 and out["featurenames"].tolist() == list("ACGT")
        np.testing.assert_array_equal(out["seqfeatures"], onehot)
        assert out["genenames"].tolist() == names[:rows]


@pytest.mark.parametrize("bins", [0, 3])
def test_counts_in_and_out(tmp_path: Path, bins: int) -> None:
    values = np.random.default_rng(0).normal(size=(7, 2, bins) if bins else (7, 2)).astype(np.float32)
    values[2, 1] = np.nan
    names, tracks = [f"r{i}" for i in range(7)], ["B cell", "T+"]
    npz.write_counts(tmp_path / "c.npz", names, tracks, bins=bins, blocks=[values[:3], values[3:]])
    with np.load(tmp_path / "c.npz", allow_pickle=False) as out:
        assert sorted(out) == ["celltypes", "counts", "names"] and out["counts"].dtype == np.float32
        np.testing.assert_array_equal(out["counts"], values)
        assert (out["names"].tolist(), out["celltypes"].tolist()) == (names, tracks)
    info = scan_matrix(tmp_path / "c.npz", allow_missing=True)
    assert (list(info.names), list(info.tracks), info.bins) == (names, tracks, bins)
    np.testing.assert_array_equal(load_rows(tmp_path / "c.npz", names), values)


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        npz.write_counts(tmp_path / name, ["x"], ["t"], bins=0, blocks=[np.ones((1, 1))])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.testzip() is None


def test_channels_in_any_order(tmp_path: Path) -> None:
    features = np.zeros((1, 3, 4), np.int8)
    features[0, 0, 3] = features[0, 1, 0] = 1
    np.savez(tmp_path / "s.npz", seqfeatures=features, genenames=["a"], featurenames=list("TGCA"))
    names, onehot = load_onehot(tmp_path / "s.npz")
    assert names == ["a"]
    assert onehot[0].astype(int).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    np.savez(
        tmp_path / "f.npz", seqfeatures=np.asfortranarray(features, float), genenames=[b"a"], featurenames=list("TGCA")
    )
    np.testing.assert_array_equal(load_onehot(tmp_path / "f.npz")[1], onehot)


def test_the_legacy_form_is_refused_as_a_pickle(tmp_path: Path) -> None:
    onehot = np.zeros((2, 3, 4), np.int8)
    legacy = np.empty(2, object)
    legacy[0], legacy[1] = onehot, LETTERS
    np.savez(tmp_path / "old.npz", seqfeatures=legacy, genenames=["a", "b"])
    with pytest.raises(InputError, match=r"seqfeatures holds pickled Python objects, .*numpy.savez"):
        npz.scan_onehot(tmp_path / "old.npz")
    np.savez(tmp_path / "n.npz", seqfeatures=onehot, genenames=np.array(["a", "b"], object))
    with pytest.raises(InputError, match="genenames holds pickled"):
        npz.load_codes(tmp_path / "n.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": [1]}, "has no seqfeatures and genenames, only x"),
        ({"seqfeatures": np.full((2, 3, 4), 2), "genenames": ["a", "b"]}, "of 'a' are not one-hot"),
        ({"seqfeatures": np.eye(4)[[[0, 1]]] + [[[0, 0, 0, 1.0]]], "genenames": ["b"]}, "of 'b' are not one-hot"),
        ({"seqfeatures": np.full((1, 2, 4), np.nan), "genenames": ["a"]}, "not one-hot"),
        ({"seqfeatures": np.zeros((1, 2, 4)), "genenames": ["a", "b"]}, r"\(1, 2, 4\) for 2 names"),
        ({"seqfeatures": np.zeros((1, 2, 5)), "genenames": ["a"]}, r"\(1, 2, 5\) for 1 names and letters A,C,G,T"),
        ({"seqfeatures": np.zeros((1, 4, 2)), "genenames": ["a"]}, r"\(1, 4, 2\)"),
        (
            {"seqfeatures": np.zeros((1, 9)), "genenames": ["a"], "featurenames": [f"AAC{i}" for i in range(9)]},
            r"\(1, 9\) for 1 names and letters AAC0,.*,…",  # k-mers
        ),
        ({"seqfeatures": np.zeros((0, 2, 4)), "genenames": np.array([], str)}, "holds no sequence"),
        ({"seqfeatures": np.zeros((2, 2, 4)), "genenames": ["a", "a"]}, "'a' occurs twice"),
        ({"seqfeatures": np.zeros((1, 2, 4)), "genenames": [["a"]]}, r"genenames has shape \(1, 1\)"),
    ],
)
def test_other_layouts_are_refused(tmp_path: Path, arrays: dict[str, NDArray[np.generic]], message: str) -> None:
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(InputError, match=message) as caught:
        npz.scan_onehot(tmp_path / "s.npz")
    assert "\n" not in str(caught.value)


def test_large_files_are_read_in_blocks(tmp_path: Path) -> None:
    rows, length = 4000, 1000
    block = np.zeros((100, length, 4), np.bool_)
    block[:, :, 1] = True
    npz.write_onehot(tmp_path / "s.npz", [f"r{i}" for i in range(rows)], length, [block] * (rows // 100))
    tracemalloc.start()
    npz.scan_onehot(tmp_path / "s.npz")
    scanned = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    _, codes = npz.load_codes(tmp_path / "s.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (codes == 1).all()
    assert scanned < 8 * npz_blocks._BLOCK_BYTES + 200 * rows  # a fifth of the file, with all its masks
    assert peak < 8 * npz_blocks._BLOCK_BYTES + codes.nbytes + 200 * rows
