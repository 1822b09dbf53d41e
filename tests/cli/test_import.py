"""drg-import as a user types it: what it makes, what it refuses, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import ROOT, drg

from drg_hpc.cli import import_model
from drg_hpc.cli.import_options import AllOptions
from drg_hpc.cli.inspect import inspect_path
from drg_hpc.config import build
from drg_hpc.errors import CorruptError, DrgError, InputError, UsageError
from drg_hpc.files import read_json, sha256_file
from drg_hpc.models.io import load_model
from drg_hpc.models.links import apply_link
from tests.models import borzoi_files as files
from tests.models.borzoi_weights import sequences
from tests.prediction.small_world import attr, make_store

DRG = ROOT / "tests" / "data" / "drg"
BPNET = ROOT / "tests" / "data" / "bpnet"


def run(format: str, *paths: Path, out: Path, **options: Any) -> dict[str, Any]:
    """The command in this process."""
    values = {"format": format, "files": list(paths), "out": out, **options}
    return import_model._action(build(AllOptions, values, source="command line"))


def refused(kind: type[DrgError], *arguments: Any, out: Path, **options: Any) -> str:
    """The error of a command that leaves nothing behind."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(kind) as caught:
        run(*arguments, out=out, **options)
    assert sorted(out.parent.iterdir()) == before
    return str(caught.value)


@pytest.fixture
def borzoi(tmp_path: Path) -> tuple[Path, Path]:
    save_file(files.state(), tmp_path / "w.safetensors")
    (tmp_path / "params.json").write_text(json.dumps(files.params()))
    return tmp_path / "w.safetensors", tmp_path / "params.json"


def test_borzoi_from_the_shell(tmp_path: Path, borzoi: tuple[Path, Path]) -> None:
    weights, params = borzoi
    x = sequences(3, files.LENGTH)
    run("borzoi", weights, params=params, out=tmp_path / "first")
    values = apply_link(load_model(tmp_path / "first")(torch.from_numpy(x)), "softplus").detach().numpy()
    np.savez(tmp_path / "reference.npz", sequences=x, predictions=values)
    (tmp_path / "targets.txt").write_text(
        "\tidentifier\tfile\tstrand_pair\n0\ta+\tx\t1\n1\ta-\tx\t0\n2\tb\tx\t2\n3\tc\tx\t3\n"
    )
    done = drg(
        "drg-import", "borzoi", weights, "--params", params, "--tracks", tmp_path / "targets.txt", "--reference",
        tmp_path / "reference.npz", "-o", tmp_path / "m",
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == (f"model: {tmp_path / 'm'}, borzoi, 4 tracks of 26 bins, link softplus")
    assert "predictions agree with the reference" in done.stdout
    model = load_model(tmp_path / "m")
    assert (model.tracks, model.strand_partners) == (["a+", "a-", "b", "c"], [1, 0, 2, 3])
    header, record = read_json(tmp_path / "m" / "model.json"), read_json(tmp_path / "m" / "done.json")
    assert [(item["name"], item["sha256"]) for item in header["provenance"]["import"]["files"]] == [
        ("w.safetensors", sha256_file(weights)), ("params.json", sha256_file(params)),
    ]  # fmt: skip
    assert header["provenance"]["reference"]["files"][0]["sha256"] == sha256_file(tmp_path / "reference.npz")
    assert sorted(record["outputs"]) == ["model.json", "tracks.tsv", "weights.safetensors"]
    assert record["summary"]["reference"]["predictions"]["share_of_tolerance"] < 1
    facts = inspect_path(tmp_path / "m", verify=True)
    assert facts["kind"] == "model" and "drg-import" in facts["made"]["by"]["command_line"]
    assert "m exists; nothing is overwritten" in refused(UsageError, "borzoi", weights, out=tmp_path / "m")


def test_json_result(tmp_path: Path, borzoi: tuple[Path, Path]) -> None:
    found = run("borzoi", borzoi[0], params=borzoi[1], out=tmp_path / "m", tracks=["a,b,c,d"])
    assert json.loads(json.dumps({k: v for k, v in found.items() if k != "lines"}))["tracks"] == 4
    assert (tmp_path / "m" / "tracks.tsv").read_text() == "index\tname\n0\ta\n1\tb\n2\tc\n3\td\n"


def test_equal_imports_are_equal_bytes(tmp_path: Path, borzoi: tuple[Path, Path]) -> None:
    state = files.state()
    del state["human_head.bias"]  # keeps its initial value, which is the same each time
    state |= {"human_head.weight": state["human_head.weight"]}
    save_file({k: v for k, v in state.items() if not k.startswith("res_tower.2.conv")}, tmp_path / "w.safetensors")
    allow = ["heads.0.bias", "tower.1.conv.*"]
    for name in ("one", "two"):
        run("borzoi", borzoi[0], params=borzoi[1], out=tmp_path / name, allow=allow)
        torch.rand(7)
    for name in ("model.json", "weights.safetensors", "tracks.tsv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_attributions_of_an_imported_model(tmp_path: Path, borzoi: tuple[Path, Path]) -> None:
    run("borzoi", borzoi[0], params=borzoi[1], out=tmp_path / "m", length=[512], crop=0)
    store = make_store(tmp_path, rows=9, length=512)
    attr(tmp_path / "attr", tmp_path / "m", store, method="inputxgradient", tracks="human1")
    assert (tmp_path / "attr" / "out.h5").is_file()


@pytest.mark.parametrize(
    ("name", "inputs", "options"),
    [
        ("1c_attention", ["seqs"], {}),
        ("1e_combined_difference", ["dna", "rna"], {"reverse_complement": "true,false", "inputs": ["dna", "rna"]}),
    ],
)
def test_drg(tmp_path: Path, name: str, inputs: list[str], options: dict[str, Any]) -> None:
    folder = DRG / name
    reference = {
        "reference": folder / "predictions.npz",
        "reference_key": "values_batch1",
        "sequences": [folder / f"{which}_onehot-ACGT_alignleft.npz" for which in inputs],
        "gradients": folder / "gradients.npz",
    }
    paths = folder / "model_parameter.pth", folder / "model_model_params.dat"  # in either order
    found = run("drg", *paths, out=tmp_path / "m", **options, **reference)
    assert found["reference"]["predictions"]["share_of_tolerance"] < 1
    assert found["reference"]["gradients"]["share_of_tolerance"] < 1
    values = dict(np.load(folder / "predictions.npz"))
    values["values_batch1"][3, 2] += 1e-3 * values["values_batch1"][:, 2].std()
    np.savez(tmp_path / "other.npz", **values)
    changed = reference | {"reference": tmp_path / "other.npz"}
    line = refused(CorruptError, "drg", *paths, out=tmp_path / "n", **options, **changed)
    assert "track 'track2'" in line and "nothing is written" in line


def test_a_published_model(tmp_path: Path) -> None:
    """Calderon's, with its original's predictions for regions in a FASTA file, found by name."""
    folder = ROOT / "examples" / "calderon"
    paths = sorted(folder.glob("*.dat")) + sorted(folder.glob("*.pth"))
    options = {"reference": folder / "reference.npz", "sequences": [folder / "regions.fa"]}
    found = run("drg", *paths, out=tmp_path / "m", **options)
    assert found["reference"]["predictions"]["largest_difference"] < 1e-5
    (tmp_path / "short.fa").write_text(">w00:33480-33881\nACGT\n>b\nACG\n")
    line = refused(InputError, "drg", *paths, out=tmp_path / "n", **(options | {"sequences": [tmp_path / "short.fa"]}))
    assert "of different ones" in line


def test_bpnet(tmp_path: Path) -> None:
    found = run("bpnet", BPNET / "stranded.pt", length=[256], output_length=116, out=tmp_path / "m", tracks=["p", "m"])
    assert found["tracks"] == 2 and load_model(tmp_path / "m").bins == 116
    assert "needs --length" in refused(UsageError, "bpnet", BPNET / "stranded.pt", out=tmp_path / "n")


OWN = """
import torch
from torch import nn

def make(width=3):
    return nn.Sequential(nn.Conv1d(4, width, 5), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, 2))
"""


def test_torch_from_the_shell(tmp_path: Path) -> None:
    (tmp_path / "ownmodule.py").write_text(OWN)
    torch.manual_seed(1)
    layers = [torch.nn.Conv1d(4, 5, 5), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten(), torch.nn.Linear(5, 2)]
    module = torch.nn.Sequential(*layers)
    torch.save({"model_state_dict": module.state_dict()}, tmp_path / "w.pt")
    options = ["--factory", "ownmodule:make", "--kwargs", "width=5", "--length", 50, "--link", "logit"]
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = drg("drg-import", "torch", tmp_path / "w.pt", *options, "-o", tmp_path / "m", PYTHONPATH=path)
    assert f"model factory ownmodule:make is imported from {tmp_path / 'ownmodule.py'}" in done.stderr
    header = read_json(tmp_path / "m" / "model.json")
    assert (header["config"]["kwargs"], header["link"], header["tracks"]) == (
        {"width": 5},
        "logit",
        ["track0", "track1"],
    )
    assert read_json(tmp_path / "m" / "done.json")["params"]["kwargs"] == ["width=5"]


@pytest.mark.parametrize(
    ("format", "options", "words"),
    [
        ("borzoi", {"compat": True}, "--compat is for format drg, not borzoi"),
        ("drg", {"params": Path("p.json")}, "--params is for format borzoi, not drg"),
        ("drg", {"length": [10]}, "--length is for format borzoi or bpnet or torch, not drg"),
        ("borzoi", {"factory": "a:b"}, "--factory is for format torch, not borzoi"),
        ("bpnet", {"link": "log"}, "--link is for format torch, not bpnet"),
        ("torch", {"network": "basepairnet"}, "--network is for format bpnet, not torch"),
        ("borzoi", {"bins": 3}, "--bins is for format drg or torch, not borzoi"),
        ("borzoi", {"tolerance": 0.1}, "--tolerance needs --reference"),
        ("borzoi", {"sequences": [Path("x.npz")]}, "--sequences needs --reference"),
        ("borzoi", {"length": [1, 2]}, "has one input, 2 lengths are given"),
        ("drg", {}, "takes two files, a .dat and a .pth"),
        ("torch", {}, "needs --factory package.module:name and --length N"),
        ("torch", {"factory": "a:b", "length": [0]}, "length"),
        ("torch", {"factory": "a", "length": [5]}, "factory = 'a': must be package.module:name"),
        ("torch", {"factory": "a:b", "length": [5], "kwargs": ["width"]}, "wants table.key=value"),
        ("onnx", {}, "format = 'onnx'"),
    ],
)
def test_options_that_do_not_belong(tmp_path: Path, format: str, options: dict[str, Any], words: str) -> None:
    assert words in refused(UsageError, format, tmp_path / "w.pt", out=tmp_path / "m", **options)


def test_strand_words(tmp_path: Path) -> None:
    paths = tmp_path / "a.dat", tmp_path / "a.pth"
    line = refused(UsageError, "drg", *paths, out=tmp_path / "m", reverse_complement="yes,no")
    assert "'yes' is neither true nor false" in line


def test_files_that_are_no_models(tmp_path: Path, borzoi: tuple[Path, Path]) -> None:
    weights, params = borzoi
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:-100])
    (tmp_path / "text.json").write_text("{")
    out = tmp_path / "m"
    assert "cut.safetensors is not" in refused(
        InputError, "borzoi", tmp_path / "cut.safetensors", params=params, out=out
    )
    assert "not a JSON file" in refused(InputError, "borzoi", weights, params=tmp_path / "text.json", out=out)
    assert "no such file" in refused(InputError, "borzoi", tmp_path / "none.pt", params=params, out=out)
    assert "--tracks has 2 names, the model 4" in refused(
        UsageError, "borzoi", weights, params=params, out=out, tracks=["a", "b"]
    )
    (tmp_path / "tab.txt").write_text("identifier\tname\n" + "a\tb\n" * 4)
    assert "'a' twice" in refused(
        UsageError, "borzoi", weights, params=params, out=out, tracks=[str(tmp_path / "tab.txt")]
    )


class _Bomb:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.flag,)


@pytest.mark.parametrize("format", ["borzoi", "bpnet", "torch"])
def test_a_pickle_bomb_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    flag = tmp_path / "ran"
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"a.weight": _Bomb(flag)}, protocol=2))
    (tmp_path / "ownbomb.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    options: dict[str, Any] = {"torch": {"factory": "ownbomb:make", "length": [50]}, "bpnet": {"length": [256]}}.get(
        format, {}
    )
    line = refused(InputError, format, tmp_path / "bomb.pth", out=tmp_path / "m", **options)
    assert "not loaded" in line and not flag.exists()


def test_an_output_that_appears_meanwhile(
    tmp_path: Path, borzoi: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another import of the same name must not be replaced."""
    out, publish = tmp_path / "m", import_model._publish

    def late(*arguments: Any) -> None:
        out.mkdir()
        (out / "theirs").touch()
        publish(*arguments)

    monkeypatch.setattr(import_model, "_publish", late)
    with pytest.raises(UsageError, match="exists; nothing is overwritten"):
        run("borzoi", borzoi[0], params=borzoi[1], out=out)
    assert [p.name for p in out.iterdir()] == ["theirs"]
    assert not list(tmp_path.glob(".m.*"))
