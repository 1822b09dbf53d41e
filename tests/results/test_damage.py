"""What cannot be read of an HDF5 file is damage, told in one line; other errors stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from drg_hpc.bodies.seqlets_plan import Options
from drg_hpc.cli.export import ExportOptions, _export
from drg_hpc.errors import CorruptError
from drg_hpc.report.plot import draw_attributions
from drg_hpc.report.plot_config import PlotOptions
from drg_hpc.results import h5
from drg_hpc.results.damage import read_error
from drg_hpc.results.reader import read_attributions
from drg_hpc.results.seqlet_source import AttributionSource
from drg_hpc.runs.attempt import describe_error
from tests.bodies.seqlet_runs import damaged_copy, do_run, write_attributions

ROWS, LENGTH = 150, 30


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Attributions with a damaged chunk, rows 128 to 149 of the second track."""
    folder = tmp_path_factory.mktemp("damage")
    rng = np.random.default_rng(0)
    onehot = np.eye(4, dtype=np.int8)[rng.integers(0, 4, (ROWS, LENGTH))].transpose(0, 2, 1)
    write_attributions(folder / "x.h5", rng.normal(size=(ROWS, LENGTH)).astype("f4"), onehot, tracks=2, keep=False)
    (folder / "g.sizes").write_text("chr9\t1000000\n")
    return damaged_copy(folder / "x.h5", folder / "bad.h5", track=1)


def by_api(path: Path, _: Path) -> None:
    with read_attributions(path) as found:
        assert np.isfinite(found.projected("track 0")).all()
        found.contributions("track 1")


def by_source(path: Path, _: Path) -> None:
    with AttributionSource(path) as source:
        source.full(source.tracks[1], 64, ROWS)


def by_seqlets(path: Path, out: Path) -> None:
    do_run(Options(attributions=path, out=out / "run"))


def by_export(path: Path, out: Path) -> None:
    options = {"path": path, "format": "bigwig", "tracks": "track 1", "genome": path.parent / "g.sizes"}
    _export(ExportOptions.model_validate({**options, "out": out / "x.bw"}))


def by_plot(path: Path, out: Path) -> None:
    draw_attributions(PlotOptions(attributions=path, regions=("r140",), tracks="track 1", out=out / "x.svg"))


@pytest.mark.parametrize("read", [by_api, by_source, by_seqlets, by_export, by_plot])
def test_a_damaged_chunk(read: Callable[[Path, Path], None], damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match=r"bad\.h5 cannot be read: .*/tracks/00001/projected: ") as caught:
        read(damaged, tmp_path)
    assert describe_error(caught.value)["code"] == 5 and "\n" not in str(caught.value)
    assert not list(tmp_path.glob("x.*"))


def changed(path: Path, old: bytes, new: bytes) -> None:
    raw = path.read_bytes()
    assert raw.count(old) == 1 and len(old) == len(new)
    path.write_bytes(raw.replace(old, new))


def test_damaged_text_and_attributes(tmp_path: Path) -> None:
    for name in ("text", "heap"):
        with h5.create(tmp_path / name) as out:
            h5.write_text(out, "names", ["some name"])
            h5.set_attributes(out, {"long": "q" * 100})
    changed(tmp_path / "text", b"some name", b"some \xff\xff\xff\xff")
    told = r"text cannot be read: /names: 'utf-8'"
    with h5.open_file(tmp_path / "text") as held, pytest.raises(CorruptError, match=told):
        h5.read_text(held["names"])
    raw = bytearray((tmp_path / "heap").read_bytes())
    at = raw.index(b"GCOL") + 8
    raw[at : at + 8] = b"\xff" * 8  # how long the heap is
    (tmp_path / "heap").write_bytes(raw)
    for read, what in ((lambda f: h5.read_text(f["names"]), "/names"), (h5.get_attributes, "attributes")):
        with pytest.raises(CorruptError, match=f"heap cannot be read: {what}: "), h5.open_file(tmp_path / "heap") as f:
            read(f)


def test_other_errors_stay_what_they_are(damaged: Path, tmp_path: Path) -> None:
    whole = damaged.with_name("x.h5")

    def other_file(_: h5py.File) -> Any:
        with h5py.File(damaged) as other:
            return other["tracks/00001/projected"][130:]

    def elsewhere(_: h5py.File) -> None:
        raise RuntimeError("a fault of ours") from ValueError("its cause")

    def written(_: h5py.File) -> None:
        pd.DataFrame({"a": [1]}).to_csv(tmp_path / "no" / "x.csv")

    cases: list[tuple[Callable[[h5py.File], Any], type[Exception]]] = [
        (other_file, OSError), (elsewhere, RuntimeError), (written, OSError),
        (lambda f: f["tracks/00007"], KeyError), (lambda f: f["none/at/all"], KeyError),
        (lambda f: f.attrs["none"], KeyError),
    ]  # fmt: skip
    for read, kind in cases:
        with pytest.raises(kind) as caught, h5.open_file(whole) as handle:
            read(handle)
        assert bool(caught.value.__cause__) == (read is elsewhere)


def test_a_file_that_cannot_be_opened_is_not_damage(tmp_path: Path) -> None:
    file = tmp_path / "x.h5"
    with h5py.File(file, "w") as handle:
        handle["a"] = 1
    with h5py.File(file, "r", locking=False), pytest.raises(OSError, match="locking") as caught:
        h5py.File(file, "r", locking=True)
    assert read_error(file, caught.value) is None
