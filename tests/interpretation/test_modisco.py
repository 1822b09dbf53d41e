"""Files of modisco-lite in and out, against its own writer and reader; modisco-lite as a method of drg-motifs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bodies.seqlet_runs import do_run, write_attributions, write_done
from interpretation.planted import named, plant
from support import ROOT, drg, drg_json, environment

from drg_hpc.bodies.seqlets_plan import Options
from drg_hpc.cli.export import ExportOptions, _action
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.genome.motifs import read_meme
from drg_hpc.interpretation import modisco_method
from drg_hpc.interpretation.config import MotifsOptions
from drg_hpc.interpretation.motifs import find_motifs, motifs_of
from drg_hpc.results.modisco_file import Pattern, Patterns, read_patterns, write_patterns
from drg_hpc.results.motifs import read_motifs
from drg_hpc.results.seqlets import read_seqlets

KEPT = ROOT / "tests" / "data" / "modisco" / "patterns.h5"
PEER = ROOT / ".venv-peers/bin/python"
LENGTH = 60


def export(path: Path, form: str, out: Path, **options: Any) -> dict[str, Any]:
    return _action(ExportOptions.model_validate({"path": path, "format": form, "out": out, **options}))


def make_world(folder: Path, *, rows: int, length: int) -> tuple[Path, Path, Path]:
    """Attributions with CTCF in every row, the seqlets of them, and motifs."""
    truth = plant(named("CTCF"), [1], rows=rows, length=length, noise=0.05, seed=4)
    (folder / "attr").mkdir()
    write_attributions(folder / "attr" / "out.h5", truth.projected, truth.onehot, tracks=1, keep=True)
    write_done(folder / "attr", "attr", {"rows": rows, "length": length, "tracks": ["track 0"]})
    _, summary = do_run(Options(attributions=folder / "attr", out=folder / "seqlets"))
    write_done(folder / "seqlets", "seqlets", summary)
    find_motifs(MotifsOptions(seqlets=folder / "seqlets", out=folder / "motifs"))
    return folder / "attr" / "out.h5", folder / "seqlets", folder / "motifs"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return make_world(tmp_path_factory.mktemp("world"), rows=260, length=LENGTH)


def test_its_file_is_read_and_written_again(tmp_path: Path) -> None:
    found = read_patterns(KEPT)
    assert found.window == 60 and [pattern.sign for pattern in found.patterns] == [1, -1]
    write_patterns(tmp_path / "again.h5", found.patterns, window=60)
    with h5py.File(KEPT) as given, h5py.File(tmp_path / "again.h5") as made:
        assert dict(given.attrs) == dict(made.attrs)
        names: list[str] = []
        given.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            np.testing.assert_allclose(made[name][()], given[name][()], rtol=1e-6, err_msg=name)
            assert made[name].dtype.kind == given[name].dtype.kind


def test_motifs_go_out_with_the_bases_of_their_rows(world: tuple[Path, Path, Path], tmp_path: Path) -> None:
    attributions, seqlets, motifs = world
    out = tmp_path / "patterns.h5"
    done = export(motifs, "modisco-motifs", out)
    (record,) = read_motifs(motifs)
    assert done["motifs"] == 1 and done["seqlets"] == len(record.arrays["members/seqlet"])
    table = read_seqlets(seqlets).table
    with h5py.File(out, locking=False) as found, h5py.File(attributions) as source:
        pattern = found["pos_patterns/pattern_0"]
        assert found.attrs["window_size"] == LENGTH
        np.testing.assert_array_equal(pattern["sequence"][()].T, record.arrays["pfm"])
        own = pattern["seqlets"]
        start, end, turned, rows = (own[key][()] for key in ("start", "end", "is_revcomp", "example_idx"))
        assert own["n_seqlets"][()].tolist() == [len(rows)] and turned.any() and not turned.all()
        np.testing.assert_array_equal(rows, table["row"].to_numpy()[record.arrays["members/seqlet"]])
        checked = 0
        for i in range(len(rows)):
            if start[i] < 0 or end[i] > LENGTH:
                continue
            bases = source["raw/seq"][rows[i]][:, start[i] : end[i]].T
            bases = bases[::-1, ::-1] if turned[i] else bases
            seen = own["sequence"][i].any(axis=1)  # what the seqlet's window reaches
            np.testing.assert_array_equal(own["sequence"][i][seen], bases[seen])
            checked += int(seen.sum())
        assert checked > 1000
        mean = own["sequence"][()].sum(axis=0)
        close = np.abs(mean / mean.sum(axis=1, keepdims=True) - record.arrays["pfm"].T).max()
        assert close < 0.02
        scores = own["contrib_scores"][()]
    export(out, "motifs", tmp_path / "back")
    (back,) = read_motifs(tmp_path / "back")
    core = slice(int(back.facts["start"]), int(back.facts["end"]))
    assert core.start > 0 and core.stop < scores.shape[1]  # flanks of the frame do not count
    again = read_seqlets(tmp_path / "back" / "seqlets.h5").table["attribution"]
    np.testing.assert_allclose(again, scores[:, core].sum(axis=(1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not PEER.exists(), reason="modisco-lite is not here")
def test_its_reader_reads_ours(world: tuple[Path, Path, Path], tmp_path: Path) -> None:
    export(world[2], "modisco-motifs", tmp_path / "x.h5")
    line = [PEER, Path(__file__).with_name("peer_modisco.py"), "read", tmp_path / "x.h5", tmp_path / "x.meme"]
    subprocess.run(line, check=True, capture_output=True, env=environment(), timeout=300)
    text = (tmp_path / "x.meme").read_text().splitlines()
    assert sum(line.startswith("MOTIF pos_patterns.pattern_0") for line in text) == 1
    first = next(i for i, line in enumerate(text) if line.startswith("letter-probability"))
    (record,) = read_motifs(world[2])
    values = np.array([line.split() for line in text[first + 1 : first + 1 + record.arrays["pfm"].shape[1]]], float)
    np.testing.assert_allclose(values.T, record.arrays["pfm"], atol=1e-4)


def test_its_file_becomes_a_motif_folder(tmp_path: Path) -> None:
    out = tmp_path / "motifs"
    done = drg_json("drg-export", KEPT, "--format", "motifs", "--length", "101", "-o", out)
    assert (done["motifs"], done["seqlets"]) == (2, 47)
    records = read_motifs(out)
    assert [record.name for record in records] == ["pos_0", "neg_0"]
    assert [motif.name for motif in read_meme(out / "motifs.meme")] == ["pos_0", "neg_0"]
    seqlets = read_seqlets(out / "seqlets.h5")
    with h5py.File(KEPT) as given:
        own = given["neg_patterns/pattern_0/seqlets"]
        part = seqlets.table[seqlets.table["sign"] < 0]
        np.testing.assert_array_equal(part["start"], own["start"][()] + 50 - 30)
        np.testing.assert_array_equal(part["row"], own["example_idx"][()])
        core = slice(int(records[1].facts["start"]), int(records[1].facts["end"]))
        np.testing.assert_allclose(part["attribution"], own["contrib_scores"][:, core].sum(axis=(1, 2)), rtol=1e-5)
        rows = np.flatnonzero(seqlets.table["sign"] < 0)
        turned = own["is_revcomp"][()]
        np.testing.assert_array_equal(seqlets.sequence[rows[~turned]].transpose(0, 2, 1), own["sequence"][()][~turned])
        np.testing.assert_array_equal(
            seqlets.sequence[rows[turned]][:, ::-1, ::-1].transpose(0, 2, 1), own["sequence"][()][turned]
        )
    assert records[0].facts["consensus"] == "CCACCAGGGGGCGC" and records[1].facts["n_seqlets"] == 22
    drg("drg-report", out, "-o", tmp_path / "report.html")
    assert "pos_0" in (tmp_path / "report.html").read_text()
    again = tmp_path / "again.h5"
    export(out, "modisco-motifs", again, length=101)
    with h5py.File(KEPT) as given, h5py.File(again) as made:
        for name in ("sequence", "contrib_scores", "seqlets/sequence", "seqlets/hypothetical_contribs"):
            np.testing.assert_allclose(
                made[f"neg_patterns/pattern_0/{name}"][()], given[f"neg_patterns/pattern_0/{name}"][()], atol=1e-6
            )


def test_what_is_no_such_file(world: tuple[Path, Path, Path], tmp_path: Path) -> None:
    attributions, seqlets, motifs = world
    (tmp_path / "text").write_text("x")
    for path, error, said in (
        (tmp_path / "none", InputError, "no such"),
        (tmp_path / "text", InputError, "not HDF5"),
        (attributions, InputError, "no pos_patterns"),
        (motifs, InputError, "a motif folder already, an HDF5 file of modisco-lite is wanted"),
        (seqlets, InputError, "is a folder, an HDF5 file of modisco-lite is wanted"),
    ):
        with pytest.raises(error, match=said):
            export(path, "motifs", tmp_path / "out")
    (tmp_path / "cut.h5").write_bytes(KEPT.read_bytes()[:-100])
    with pytest.raises(CorruptError, match="is cut off") as caught:
        export(tmp_path / "cut.h5", "motifs", tmp_path / "out")
    assert "drg-merge" not in str(caught.value) and "modisco motifs" in str(caught.value)
    with pytest.raises(UsageError, match=f"have {LENGTH} bases"):
        export(motifs, "modisco-motifs", tmp_path / "out", length=LENGTH + 1)
    for path, form in ((KEPT, "motifs"), (motifs, "modisco-motifs")):
        with pytest.raises(UsageError, match="text exists"):
            export(path, form, tmp_path / "text")
    broken = tmp_path / "broken.h5"
    broken.write_bytes(KEPT.read_bytes())
    with h5py.File(broken, "r+") as handle:
        del handle["pos_patterns/pattern_0/seqlets/start"]
    with pytest.raises(CorruptError, match="lacks seqlets/start"):
        export(broken, "motifs", tmp_path / "out")
    with pytest.raises(InputError, match="not a motif folder"):
        export(attributions, "modisco-motifs", tmp_path / "out")
    with pytest.raises(UsageError, match="--tracks is not for"):
        export(motifs, "modisco-motifs", tmp_path / "out", tracks="a")
    with pytest.raises(UsageError, match="--length is for"):
        export(attributions, "bed", tmp_path / "out", length=3)
    with pytest.raises(UsageError, match="less than the window"):
        export(KEPT, "motifs", tmp_path / "out", length=59)
    assert not (tmp_path / "out").exists()


def test_other_seqlets_are_refused(world: tuple[Path, Path, Path], tmp_path: Path) -> None:
    export(KEPT, "motifs", tmp_path / "other")
    with pytest.raises(UsageError, match="made from other seqlets"):
        export(world[2], "modisco-motifs", tmp_path / "x.h5", seqlets=tmp_path / "other" / "seqlets.h5")


def test_method_without_modisco(world: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    options = MotifsOptions(seqlets=world[1], out=Path("unused"))
    with pytest.raises(UsageError, match="needs modisco-lite"):
        modisco_method.modisco_motifs(read_seqlets(world[1]), options)


def test_method_takes_the_patterns_and_our_members(
    world: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command of that name that gives our own motifs back: the members are those that went out."""
    export(world[2], "modisco-motifs", tmp_path / "own.h5")
    with h5py.File(tmp_path / "own.h5", "r+") as handle:  # rows that are not kept are not among its examples
        rows = handle["pos_patterns/pattern_0/seqlets/example_idx"]
        rows[...] = rows[()] - (rows[()] > 3)
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "modisco"
    code = "import shutil, sys, numpy as np\nw = sys.argv\n"
    code += "s, a = (np.load(w[w.index(f) + 1])['arr_0'] for f in ('-s', '-a'))\n"
    code += f"assert s.shape == a.shape == (259, 4, {LENGTH}) and w[w.index('-w') + 1] == '{LENGTH}'\n"
    code += f"shutil.copy({str(tmp_path / 'own.h5')!r}, w[w.index('-o') + 1])\n"
    fake.write_text(f"#!{sys.executable}\n{code}")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    (motif,) = modisco_method.modisco_motifs(read_seqlets(world[1]), MotifsOptions(seqlets=world[1], out=Path("x")))
    (record,) = read_motifs(world[2])
    order = np.argsort(record.arrays["members/seqlet"])
    np.testing.assert_array_equal(motif.members, record.arrays["members/seqlet"][order])
    np.testing.assert_array_equal(motif.offset, record.arrays["members/offset"][order])
    np.testing.assert_array_equal(motif.flipped, record.arrays["members/flipped"][order])
    np.testing.assert_allclose(motif.cwm, record.arrays["cwm"])
    fake.write_text("#!/bin/sh\necho this went wrong >&2\nexit 3\n")
    with pytest.raises(UsageError, match="ended with 3: this went wrong"):
        modisco_method.modisco_motifs(read_seqlets(world[1]), MotifsOptions(seqlets=world[1], out=Path("x")))


@pytest.mark.slow
@pytest.mark.skipif(not PEER.with_name("modisco").exists(), reason="modisco-lite is not here")
def test_modisco_itself_finds_the_same_motif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path, rows=400, length=120)  # modisco-lite finds nothing in shorter rows
    monkeypatch.setenv("PATH", f"{PEER.parent}{os.pathsep}{os.environ['PATH']}")
    kept: list[Pattern] = []

    def read(path: Path) -> Patterns:
        result = read_patterns(path)
        kept.extend(result.patterns)
        return result

    monkeypatch.setattr(modisco_method, "read_patterns", read)
    options = MotifsOptions(seqlets=world[1], out=Path("x"), method="modisco")
    found = motifs_of(read_seqlets(world[1]), options)
    (pattern,) = kept
    assert len(found) == 1 and len(pattern.row) > 100
    assert len(found[0].members) > 0.9 * len(pattern.row)  # nearly each of its seqlets lies over one of ours
    (record,) = read_motifs(world[2])
    scores = []
    for cwm in (found[0].cwm, found[0].cwm[::-1, ::-1]):
        width, other = cwm.shape[1], record.arrays["cwm"]
        padded = np.pad(cwm, ((0, 0), (other.shape[1], other.shape[1])))
        for at in range(width + other.shape[1]):
            part = padded[:, at : at + other.shape[1]]
            if part.any():
                scores.append(np.corrcoef(part.ravel(), other.ravel())[0, 1])
    assert max(scores) >= 0.95


def test_without_modisco_lite_or_with_flags_of_our_own_methods(
    world: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    options = MotifsOptions(seqlets=world[1], out=tmp_path / "motifs", method="modisco")
    with pytest.raises(UsageError, match="needs modisco-lite, which is not installed"):
        find_motifs(options)
    with pytest.raises(UsageError, match="--similarity with --method modisco"):
        find_motifs(options.model_copy(update={"similarity": 0.6}))
    assert not (tmp_path / "motifs").exists()
