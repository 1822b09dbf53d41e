from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sequence_files import KINDS, wrapped, write

from drg_hpc.errors import InputError
from drg_hpc.genome import compressed, fasta
from drg_hpc.genome.bgzip import Window
from drg_hpc.genome.fasta import scan_file
from drg_hpc.genome.onehot import encode
from drg_hpc.genome.sources import open_source
from drg_hpc.genome.twobit import is_twobit, scan_twobit

RNG = np.random.default_rng(0)
RECORDS = {
    f"c{number}": "".join(RNG.choice(list("ACGTacgtN"), size)) + "N" * 20 + "acgt"
    for number, size in enumerate((5000, 1, 300, 61, 2500))
}


@pytest.fixture(scope="module", params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sources") / "x", RECORDS, request.param)


@settings(max_examples=25, deadline=None)
@example(wanted=[("c0", 0.5, 0.5), ("c0", 1.0, 0.5)], block=5)
@given(
    wanted=st.lists(st.tuples(st.sampled_from([*RECORDS]), st.floats(0, 1), st.floats(0, 1)), max_size=8),
    block=st.integers(5, 500),
)
def test_any_stretch_in_any_order(path: Path, wanted: list[tuple[str, float, float]], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compressed, "BLOCK", block)
        patch.setattr("drg_hpc.genome.sources.BLOCK", block)
        patch.setattr(fasta, "SEEK_STEP", 128)
        patch.setattr(fasta, "_INDEX_STEP", 300)
        scan = scan_twobit(path) if is_twobit(path) else scan_file(path)
        places = {contig.name: contig.places for contig in scan.contigs}
        with closing(open_source(path, scan.kind, scan.index)) as source:
            for name, low, high in wanted:
                sequence = RECORDS[name]
                start, stop = sorted((int(low * len(sequence)), int(high * len(sequence))))
                out = np.full(stop - start, 77, np.uint8)
                source.codes(name, places[name], start, out)
                np.testing.assert_array_equal(out, encode(sequence[start:stop].encode()))


@pytest.mark.parametrize("kind", ["plain", "bgzip"])
def test_the_end_of_a_long_sequence_is_sought(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes read do not grow with what lies before."""
    monkeypatch.setattr(fasta, "SEEK_STEP", 1 << 16)
    sequence = "ACGTA" * 400_000
    path = write(tmp_path / "x", {"c": sequence, "d": "ACGT"}, kind)
    scan = scan_file(path)
    sizes: list[int] = []
    with closing(open_source(path, scan.kind, scan.index)) as source:
        file = source._file  # type: ignore[attr-defined]
        read = file.read
        monkeypatch.setattr(file, "read", lambda start, size: sizes.append(size) or read(start, size))
        out = np.empty(1000, np.uint8)
        source.codes("c", scan.contigs[0].places, len(sequence) - 1000, out)
    np.testing.assert_array_equal(out, encode(b"ACGTA" * 200))
    assert sum(sizes) < 800_000
    if kind == "bgzip":
        assert len(scan.index) >= 2


@pytest.mark.parametrize("kind", ["plain", "2bit"])
def test_a_file_that_shrank_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "x", RECORDS, kind)
    scan = scan_twobit(path) if is_twobit(path) else scan_file(path)
    with closing(open_source(path, scan.kind, scan.index)) as source:
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(InputError, match=r"is not what it was when the run was planned|truncated"):
            source.codes("c4", scan.contigs[4].places, 0, np.empty(len(RECORDS["c4"]), np.uint8))


@pytest.mark.parametrize("kind", ["gzip", "bgzip"])
def test_sequences_in_order_are_inflated_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small they are and wherever blocks end: what was read too far is not sought again."""
    records = {f"c{number}": "ACGTN" * 19 for number in range(3000)}
    path = write(tmp_path / "x", records, kind)
    monkeypatch.setattr(compressed, "BLOCK", 2000)
    scan = scan_file(path)
    assert scan.kind == kind
    inflated: list[int] = []
    add = Window.add
    monkeypatch.setattr(Window, "add", lambda window, block: inflated.append(len(block)) or add(window, block))
    with closing(open_source(path, scan.kind, scan.index[:1])) as source:
        for contig in scan.contigs:
            for start in (0, 50):
                out = np.empty(95 - start, np.uint8)
                source.codes(contig.name, contig.places, start, out[:50])
    assert sum(inflated) <= len(wrapped(records))
