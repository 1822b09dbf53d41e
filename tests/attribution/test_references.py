"""Reference sets: what is asked for, what is drawn, and that it depends on seed and row alone."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from drg_hpc.attribution.reference_files import count_references
from drg_hpc.attribution.reference_spec import COUNT, ReferenceSpec, parse_frequencies, parse_references
from drg_hpc.attribution.references import draw
from drg_hpc.errors import DrgError, InputError, UsageError
from drg_hpc.genome.onehot import codes_to_onehot

LENGTH = 50
PEERS = ROOT / ".venv-peers" / "bin" / "python"


def sequences(rows: int, seed: int = 0) -> np.ndarray:
    codes = np.random.default_rng(seed).integers(0, 4, (rows, LENGTH)).astype(np.uint8)
    codes[0, :7] = codes[0, 20] = 4
    return codes_to_onehot(codes).transpose(0, 2, 1).astype(np.float32)


def dinucleotides(onehot: np.ndarray) -> Counter[tuple[int, int]]:
    codes = np.where(onehot.any(0), onehot.argmax(0), 4)
    return Counter(zip(codes.tolist(), codes[1:].tolist(), strict=False))


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("zero", ReferenceSpec("zero", 1, (0, 0, 0, 0))),
        ("uniform", ReferenceSpec("uniform", 1, (0.25,) * 4)),
        ("freq:0.3,0.2,0.2,0.3", ReferenceSpec("freq", 1, (0.3, 0.2, 0.2, 0.3))),
        ("dinuc", ReferenceSpec("dinuc", COUNT)),
        ("dinuc:5", ReferenceSpec("dinuc", 5)),
        ("euler:7", ReferenceSpec("dinuc", 7)),
        ("dinuc-compat:20", ReferenceSpec("dinuc-compat", 20)),
    ],
)
def test_parsed(text: str, spec: ReferenceSpec) -> None:
    assert parse_references(text) == spec
    assert parse_references(spec.text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "is not known, and no file; zero, uniform"),
        ("dinuc:0", "no number of shuffles from 1 to 10,000"),
        ("dinuc:", "no number"),
        ("euler:1e3", "no number"),
        ("dinuc:99999", "no number"),
        ("freq:1,2", "not four frequencies"),
        ("freq:0.3,0.3,0.3,0.3", "sums to 1.2, not 1; for example 0.3,0.2,0.2,0.3"),
        ("freq:nan,0,0,1", "not four frequencies"),
    ],
)
def test_not_parsed(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_references(text)


@given(st.text())
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    for parse in (parse_references, lambda value: parse_frequencies(value, option="--base-freqs")):
        try:
            parse(text)
        except (DrgError, ValueError) as error:
            assert isinstance(error, UsageError) or "\0" in text or not text.isprintable()


@pytest.mark.parametrize("text", ["zero", "uniform", "freq:0.1,0.2,0.3,0.4"])
def test_one_column_everywhere(text: str) -> None:
    spec, x = parse_references(text), sequences(3)
    found = draw(spec, x, [0, 1, 2], seed=0)
    assert found.shape == (3, 1, 4, LENGTH) and found.dtype == np.float32
    known = x.any(axis=1)
    np.testing.assert_array_equal(
        found[:, 0].transpose(0, 2, 1)[known], np.tile(spec.frequencies, (known.sum(), 1)).astype(np.float32)
    )
    assert not found[:, 0].transpose(0, 2, 1)[~known].any()


@pytest.mark.parametrize("kind", ["dinuc", "dinuc-compat"])
def test_shuffles(kind: str) -> None:
    spec, x = parse_references(f"{kind}:6"), sequences(3)
    found = draw(spec, x, [10, 11, 12], seed=4)
    assert found.shape == (3, 6, 4, LENGTH) and found.dtype == np.float32
    for row in (1, 2):
        assert all(dinucleotides(copy) == dinucleotides(x[row]) for copy in found[row])
        assert len({copy.tobytes() for copy in found[row]}) == 6
    assert not found[0][:, :, ~x[0].any(axis=0)].any()
    if kind == "dinuc":  # unknown bases stay where they are, and so do counts around them
        assert all(dinucleotides(copy) == dinucleotides(x[0]) for copy in found[0])
    # Rows and copies do not depend on what else is drawn.
    np.testing.assert_array_equal(draw(spec, x[2:], [12], seed=4), found[2:])
    np.testing.assert_array_equal(draw(parse_references(f"{kind}:2"), x, [10, 11, 12], seed=4), found[:, :2])
    assert not np.array_equal(draw(spec, x, [10, 11, 12], seed=5), found)
    other_rows = draw(spec, x, [20, 21, 22], seed=4)
    assert np.array_equal(other_rows, found) == (kind == "dinuc-compat")


def test_inputs_of_one_row_are_shuffled_apart() -> None:
    x = sequences(2)
    spec = parse_references("dinuc:1")
    one, two = (draw(spec, x, [0, 1], seed=1, input_name=name) for name in ("dna", "rna"))
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one, draw(spec, x, [0, 1], seed=1, input_name="dna"))


def test_compatible_shuffles_share_references_of_neighbouring_seeds() -> None:
    x, spec = sequences(2), parse_references("dinuc-compat:3")
    np.testing.assert_array_equal(draw(spec, x, [0, 1], seed=8)[:, 1:], draw(spec, x, [0, 1], seed=9)[:, :2])


def test_compatible_shuffles_are_those_of_tangermeme(tmp_path: Path) -> None:
    if not PEERS.exists():
        pytest.skip("no .venv-peers: tangermeme is not here to compare with")
    x = sequences(3)[1:]
    np.save(tmp_path / "x.npy", x)
    code = (
        "import sys, numpy, torch; from tangermeme.deep_lift_shap import deep_lift_shap\n"
        "x = torch.from_numpy(numpy.load(sys.argv[1]))\n"
        "net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(x[0].numel(), 1))\n"
        "r = deep_lift_shap(net, x, n_shuffles=4, random_state=6, return_references=True, device='cpu')[1]\n"
        "numpy.save(sys.argv[2], r.numpy())\n"
    )
    subprocess.run([PEERS, "-c", code, tmp_path / "x.npy", tmp_path / "r.npy"], check=True, capture_output=True)
    found = draw(parse_references("dinuc-compat:4"), x, [5, 6], seed=6)
    np.testing.assert_array_equal(found, np.load(tmp_path / "r.npy"))


def test_files(tmp_path: Path) -> None:
    x = sequences(3)
    generator = np.random.default_rng(1)
    shared, own = generator.random((5, 4, LENGTH)), generator.random((9, 2, 4, LENGTH))
    known = x.any(axis=1)[:, None, None]
    np.savez(tmp_path / "shared.npz", references=shared)
    np.savez(tmp_path / "own.npz", rna=own)
    (tmp_path / "r.fa").write_text(f">a\n{'ACGTN' * 10}\n>b\n{'g' * LENGTH}\n")
    spec = parse_references(str(tmp_path / "shared.npz"))
    assert count_references(tmp_path / "shared.npz", length=LENGTH) == 5
    np.testing.assert_allclose(draw(spec, x, [0, 1, 2], seed=0), shared * known, rtol=1e-6)
    spec = parse_references(str(tmp_path / "own.npz"))
    assert count_references(tmp_path / "own.npz", length=LENGTH, input_name="rna") == 2
    np.testing.assert_allclose(draw(spec, x, [6, 1, 8], seed=0, input_name="rna"), own[[6, 1, 8]] * known, rtol=1e-6)
    spec = parse_references(str(tmp_path / "r.fa"))
    assert count_references(tmp_path / "r.fa", length=LENGTH) == 2
    found = draw(spec, x, [0, 1, 2], seed=0)
    assert found.shape == (3, 2, 4, LENGTH)
    np.testing.assert_array_equal(found[1, 0].sum(0), np.array([1, 1, 1, 1, 0] * 10))
    np.testing.assert_array_equal(found[1, 1].sum(1), [0, 0, LENGTH, 0])


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    x = sequences(2)
    cases = {
        "rows": ({"references": np.zeros((1, 2, 4, LENGTH))}, "references of 1 rows, row 1"),
        "length": ({"references": np.zeros((2, 4, LENGTH + 1))}, "have shape"),
        "axes": ({"references": np.zeros((4, LENGTH))}, "have shape"),
        "values": ({"references": np.full((2, 4, LENGTH), 2.0)}, "from 0 to 1"),
        "name": ({"others": np.zeros((2, 4, LENGTH))}, "no array 'references'; it has others"),
        "objects": ({"references": np.array([None])}, "cannot be read"),
    }
    for name, (arrays, message) in cases.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(InputError, match=message):
            draw(parse_references(str(tmp_path / f"{name}.npz")), x, [0, 1], seed=0)
    (tmp_path / "damaged.npz").write_bytes(b"PK\3\4 no archive")
    (tmp_path / "short.fa").write_text(">short\nACGT\n")
    for name, message in (("damaged.npz", "cannot be read"), ("short.fa", "short has 4 bases, the model takes 50")):
        with pytest.raises(InputError, match=message):
            draw(parse_references(str(tmp_path / name)), x, [0, 1], seed=0)
