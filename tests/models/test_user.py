"""Networks of the user's own: configuration, import, checks, on disk, in training and after."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support import drg

from drg_hpc.config import Options, build
from drg_hpc.errors import InputError, UsageError
from drg_hpc.models import user
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import ModelConfig, UserConfig, config_from_json
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.operations import macs_per_row
from drg_hpc.models.registry import build as build_model
from drg_hpc.training.config import TrainOptions
from drg_hpc.training.run import train
from tests.prediction.small_world import attr, make_store

NETS = '''"""A user's package."""
from functools import partial
from os import system
import torch
from torch import nn

NUMBER = 3


def plain(width=3, tracks=2):
    return nn.Sequential(nn.Conv1d(4, width, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                         nn.Linear(width, tracks))


partly = partial(plain, width=7)


def shaped(shape, *, width=3):
    return nn.Sequential(nn.Conv1d(4, shape.n_tracks, width, padding=width // 2), nn.AdaptiveAvgPool1d(shape.bins))


class Tied(nn.Module):
    def __init__(self, tracks=2):
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.two = nn.Linear(4, 4)
        self.two.weight = self.one.weight
        self.out = nn.Linear(4, tracks)

    def forward(self, x):
        return self.out(self.two(self.one(x.mean(-1))))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * (x[0].sum((1, 2)) - x[1].sum((1, 2)))[:, None]


def no_module():
    return 7


def fails(**kwargs):
    raise ValueError("no such width")


class Wrong(nn.Linear):
    def __init__(self):
        super().__init__(4, 3)

    def forward(self, x):
        return super().forward(x.mean(-1))
'''


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's package lies, and where they work."""
    (tmp_path / "ownpackage").mkdir()
    (tmp_path / "ownpackage" / "nets.py").write_text(NETS)
    (tmp_path / "broken.py").write_text("import a_library_nobody_has\n")
    (tmp_path / "raises.py").write_text("raise RuntimeError('not today')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setattr(user, "_SAID", set())
    for name in ("ownpackage", "ownpackage.nets", "broken", "raises"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def config(name: str, **kwargs: Any) -> UserConfig:
    return UserConfig(factory=f"ownpackage.nets:{name}", kwargs=kwargs)


def shape(tracks: int = 2, *, length: int = 40, bins: int = 0) -> ModelShape:
    return ModelShape.single(length, tracks, bins=bins)


class _Table(Options):
    model: ModelConfig


@pytest.mark.parametrize(
    "written",
    [
        "package.module:factory",
        {"factory": "package.module:factory"},
        {"architecture": "user", "factory": "package.module:factory", "kwargs": {}},
    ],
)
def test_ways_to_write_it(written: Any) -> None:
    assert build(_Table, {"model": written}, source="f.toml").model == UserConfig(factory="package.module:factory")


def test_the_config_round_trips() -> None:
    written = {"factory": "a.b:c", "kwargs": {"width": 3, "sizes": [1, 2.5], "name": "x", "deep": {"on": True}}}
    found = build(_Table, {"model": written}, source="f.toml").model
    plain = json.loads(json.dumps(found.model_dump(mode="json")))
    assert config_from_json(plain, source="model.json") == found
    assert plain["kwargs"] == written["kwargs"]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("package.module", "f.toml: model.factory = 'package.module': must be package.module:name"),
        ("a:b:c", "must be package.module:name"),
        ("a b:c", "must be package.module:name"),
        ("a:b.c", "must be package.module:name"),
        ({"factory": "a:b", "kwargs": {"shape": 3}}, "shape is given to the factory by itself"),
        ({"factory": "a:b", "kwargs": {"x": object()}}, "must be text, numbers, true, false"),
        ({"factory": "a:b", "kwargs": {"x": float("nan")}}, "must be text, numbers"),
        ({"factory": "a:b", "width": 3}, "unknown key 'model.width'"),
        ({"architecture": "user"}, "'model.factory' is required"),
    ],
)
def test_bad_configs(written: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build(_Table, {"model": written}, source="f.toml")


def test_called_with_its_arguments(nets: Path) -> None:
    model = build_model(config("plain", width=6), shape())
    assert model.module[0].out_channels == 6  # type: ignore[index,union-attr]
    assert model(torch.zeros(3, 4, 40)).shape == (3, 2)
    assert build_model(config("partly"), shape()).module[0].out_channels == 7  # type: ignore[index,union-attr]


def test_given_the_shape_where_it_asks_for_it(nets: Path) -> None:
    model = build_model(config("shaped", width=5), shape(3, bins=8))
    assert model(torch.zeros(2, 4, 40)).shape == (2, 3, 8)


def test_several_inputs(nets: Path) -> None:
    two = ModelShape({"dna": 30, "rna": 20}, (HeadShape("main", 1),))
    model = build_model(config("Two"), two)
    x = [torch.ones(2, 4, 30), torch.ones(2, 4, 20)]
    assert model(x).tolist() == [[40.0], [40.0]]  # type: ignore[arg-type]
    assert macs_per_row(model, two) == 0


def test_the_current_folder_comes_last(nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file here with the name of an installed package does not take its place."""
    (nets / "numpy.py").write_text("raise RuntimeError('shadow')\n")
    build_model(config("plain"), shape())
    assert sys.path[-1] == str(nets)
    import numpy

    assert Path(numpy.__file__).parent.name == "numpy"


def test_what_is_imported_is_said(nets: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("drg_hpc")
    logger.propagate = True
    with caplog.at_level(logging.INFO, "drg_hpc"):
        build_model(config("plain"), shape())
        build_model(config("plain"), shape())
    said = [r.getMessage() for r in caplog.records if "factory" in r.getMessage()]
    assert said == [f"model factory ownpackage.nets:plain is imported from {nets / 'ownpackage' / 'nets.py'}"]


@pytest.mark.parametrize(
    ("factory", "kwargs", "words"),
    [
        ("no_such_package:f", {}, "there is no module 'no_such_package' among the installed packages or in /"),
        ("ownpackage.other:f", {}, r"there is no module 'ownpackage\.other'"),
        ("broken:f", {}, "needs a_library_nobody_has, which is not installed"),
        ("raises:f", {}, "importing raises of model factory 'raises:f' failed: RuntimeError: not today"),
        ("ownpackage.nets:none", {}, r"ownpackage\.nets has no 'none'"),
        ("ownpackage.nets:NUMBER", {}, "is a int, not a function or class"),
        ("ownpackage.nets:no_module", {}, r"returned a int, not a torch\.nn\.Module"),
        ("ownpackage.nets:fails", {}, "failed: ValueError: no such width"),
        ("ownpackage.nets:plain", {"height": 3}, "cannot be called like that: .*'height'"),
        ("ownpackage.nets:shaped", {"wid": 3}, "cannot be called like that"),
    ],
)
def test_factories_that_do_not_work(nets: Path, factory: str, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        build_model(UserConfig(factory=factory, kwargs=kwargs), shape())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("factory", "kwargs"),
    [
        ("os:system", {"command": "touch {}"}),
        ("subprocess:run", {"args": ["touch", "{}"]}),
        ("posix:system", {"command": "touch {}"}),
        ("torch.hub:load", {"repo_or_dir": "{}", "model": "x"}),
        ("pandas:read_pickle", {"filepath_or_buffer": "{}"}),
        ("ownpackage.nets:system", {"command": "touch {}"}),
        ("sympy:sympify", {"a": "__import__('os').system('touch {}')"}),  # torch brings it
        ("pip:main", {"args": ["--log", "{}", "--version"]}),
        ("fsspec:filesystem", {"protocol": "file"}),
    ],
)
def test_functions_of_the_system_are_no_factories(nets: Path, factory: str, kwargs: dict[str, Any]) -> None:
    """A MODEL folder from elsewhere must not name whatever is installed."""
    flag = nets / "ran"
    filled = json.loads(json.dumps(kwargs).replace("{}", str(flag)))
    with pytest.raises(UsageError, match="a factory must be in a package of your own"):
        build_model(UserConfig(factory=factory, kwargs=filled), shape())
    assert not flag.exists()


def test_outputs_of_another_shape(nets: Path) -> None:
    for own, wanted, words in (
        (config("Wrong"), shape(2), r"gives \(5, 3\), \(batch, tracks\) = \(5, 2\) is needed"),
        (config("Wrong"), shape(3, bins=8), r"gives \(5, 3\), \(batch, tracks, bins\) = \(5, 3, 8\) is needed"),
    ):
        with pytest.raises(UsageError, match=words):
            build_model(own, wanted)(torch.zeros(5, 4, 40))


@pytest.mark.parametrize("name", ["plain", "Tied"])
def test_on_disk(nets: Path, name: str) -> None:
    torch.manual_seed(3)
    model = build_model(config(name), shape()).eval()
    path = save_model(model, nets / "m", config(name), ["a", "b"])
    loaded = load_model(path)
    x = torch.randn(3, 4, 40)
    assert torch.equal(loaded(x), model(x)) and loaded.tracks == ["a", "b"]
    assert not loaded.module.training
    header = json.loads((path / "model.json").read_text())
    assert header["config"]["factory"] == f"ownpackage.nets:{name}"
    assert header["operations"]["macs_per_row"] == (3 * 40 * 4 * 5 + 3 * 2 if name == "plain" else 16 + 16 + 8)


def test_a_model_whose_package_is_gone(nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_model(build_model(config("plain"), shape()), nets / "m", config("plain"), ["a", "b"])
    for name in ("ownpackage", "ownpackage.nets"):
        sys.modules.pop(name, None)
    (nets / "elsewhere").mkdir()
    monkeypatch.chdir(nets / "elsewhere")
    monkeypatch.setattr("sys.path", [p for p in sys.path if p != str(nets)])
    with pytest.raises(UsageError, match="set PYTHONPATH, or run where it lies"):
        load_model(path)


def test_model_json_that_was_tampered_with(nets: Path) -> None:
    path = save_model(build_model(config("plain"), shape()), nets / "m", config("plain"), ["a", "b"])
    header = json.loads((path / "model.json").read_text())
    header["config"]["factory"] = "no colon"
    (path / "model.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match="factory = 'no colon'"):
        load_model(path)


@pytest.mark.slow
def test_trained_and_attributed(nets: Path) -> None:
    """From a configuration file to a model that other commands load, in a folder with the user's package."""
    store = make_store(nets, rows=90, length=40)
    (nets / "c.toml").write_text('model = "ownpackage.nets:plain"\n[train]\nepochs = 1\nbatch_size = 16\n')
    drg("drg-train", store, "--config", nets / "c.toml", "-o", nets / "one")
    assert json.loads((nets / "one" / "model.json").read_text())["config"]["factory"] == "ownpackage.nets:plain"

    def trained(out: str, model: Any) -> Path:
        values = {"store": store, "out": nets / out, "epochs": 1, "model": model}
        return train(build(TrainOptions, values, source="test"))

    model = load_model(trained("two", {"factory": "ownpackage.nets:plain", "kwargs": {"width": 5}}))
    assert model.module[0].out_channels == 5  # type: ignore[index,union-attr]
    attr(nets / "attr", nets / "two", store, method="gradient")
    assert (nets / "attr" / "out.h5").is_file()
    with pytest.raises(UsageError, match="there is no module 'nowhere'"):
        trained("three", "nowhere:f")
    with pytest.raises(UsageError, match=r"Wrong' gives \(\d+, 3\), \(batch, tracks\) = \(\d+, 2\) is needed"):
        trained("four", "ownpackage.nets:Wrong")


def test_an_error_inside_the_module_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong_axis.py").write_text("from torch import nn\n\ndef make():\n    return nn.Linear(4, 3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = UserConfig(factory="wrong_axis:make")
    with pytest.raises(UsageError, match=r"'wrong_axis:make' failed on an input of \(1, 4, 20\): RuntimeError: "):
        build_model(config, ModelShape.single(20, 3))(torch.zeros(1, 4, 20))
