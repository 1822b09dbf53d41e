"""Options from files, --set and flags; every fault is one line that names key, value and fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import drg, drg_json, error_line

from drg_hpc.config import Options, apply_set, build, flag, nearest
from drg_hpc.errors import DrgError, UsageError


class Inner(Options):
    rate: float = flag(0.1, help="rate", gt=0)


class Outer(Options):
    epochs: int = flag(3, help="epochs", ge=1)
    optim: Inner = Inner()


def test_unknown_keys_name_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"f.toml: unknown key 'epoch'; did you mean 'epochs'\?"):
        build(Outer, {"epoch": 3}, source="f.toml")
    with pytest.raises(UsageError, match=r"unknown key 'optim.rat'; did you mean 'rate'\?"):
        build(Outer, {"optim": {"rat": 3}}, source="f.toml")


def test_what_is_known_is_listed_up_to_twelve() -> None:
    assert nearest("zzz", "ba") == "known: a, b"
    names = [f"a{i:04}" for i in range(1443)]
    assert nearest("zzz", names) == f"known: {', '.join(names[:12])} and 1431 more"
    assert nearest("a0007x", names) == "did you mean 'a0007'?"


def test_unknown_key_in_a_choice_of_tables() -> None:
    from drg_hpc.training.config import TrainOptions

    values = {"store": "s", "out": "m", "model": {"architecture": "dilated-residual", "chanels": 3}}
    with pytest.raises(UsageError, match=r"unknown key 'model.chanels'; did you mean 'channels'\?"):
        build(TrainOptions, values, source="f.toml")
    values["model"] = {"architecture": "drg-cnn", "kernels": 0}
    with pytest.raises(UsageError, match=r"model.kernels = 0"):
        build(TrainOptions, values, source="f.toml")
    values["model"] = {"architecture": "resnet"}
    known = "drg-cnn, multi-input, dilated-residual, basset, borzoi, user"
    with pytest.raises(UsageError, match=f"model: unknown architecture 'resnet'; known: {known}"):
        build(TrainOptions, values, source="f.toml")
    values["model"] = {"architecture": "dilated"}
    with pytest.raises(UsageError, match=r"unknown architecture 'dilated'; known: .*; did you mean 'dilated-residual'"):
        build(TrainOptions, values, source="f.toml")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"store": "s"}, "x: -o/--out is required"),
        ({"out": "m"}, "x: STORE is required"),
        ({"model": {"hidden": 64}}, "model.hidden = 64: a list is needed, such as [64]"),
        ({"model": {"hidden": "64,32"}}, "such as [64,32]"),
        ({"model": 3}, "model = 3: must be a table"),
        ({"model": {"kernels": "six"}}, "model.kernels = 'six': must be an integer"),
        ({"optim": {"name": "adem"}}, "optim.name = 'adem': must be 'sgd', 'nag', 'adagrad'"),
        ({"train": {"epochs": 0}}, "train.epochs = 0: must be greater than or equal to 1"),
        ({"cache_dir": 3}, "cache_dir = 3: must be a path"),
        ({"max_time": "soon"}, "max_time = 'soon': not a duration"),
    ],
)
def test_faults_are_said_without_jargon(values: dict[str, object], expected: str) -> None:
    from drg_hpc.training.config import TrainOptions

    given = values if len(values.keys() & {"store", "out"}) else {"store": "s", "out": "m", **values}
    with pytest.raises(UsageError) as caught:
        build(TrainOptions, given, source="x")
    text = str(caught.value)
    assert expected in text
    assert "input" not in text.lower() and "tuple" not in text


@pytest.mark.parametrize("values", [{"epochs": 0}, {"epochs": "many"}, {"optim": {"rate": -1}}, {"optim": 3}])
def test_bad_values_are_one_line(values: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        build(Outer, values, source="command line")
    assert "\n" not in str(caught.value)
    assert next(iter(values)) in str(caught.value)


def test_set_reaches_into_tables() -> None:
    values: dict[str, object] = {}
    apply_set(values, "optim.rate=0.5")
    apply_set(values, "epochs=7")
    assert build(Outer, values, source="x") == Outer(epochs=7, optim=Inner(rate=0.5))


@given(st.text(max_size=40))
def test_set_never_fails_with_anything_but_one_line(text: str) -> None:
    try:
        apply_set({}, text)
    except DrgError as error:
        assert "\n" not in str(error)


def test_flags_win_over_set_and_set_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("rows = 100\nseed = 1\nshards = 1\nrow-bytes = 8\n")
    out = ["-o", tmp_path / "run", "--dry-run", "--config", config]
    assert drg_json("drg-selftest", *out)["shards"]["rows"] == 1
    assert drg_json("drg-selftest", *out, "--set", "shards=2")["shards"]["rows"] == 2
    assert drg_json("drg-selftest", *out, "--set", "shards=2", "--shards", 1)["shards"]["rows"] == 1


def test_a_bad_value_is_a_fault_even_where_a_flag_wins(tmp_path: Path) -> None:
    done = drg("drg-selftest", "-o", tmp_path / "run", "--set", "seed=-1", "--seed", 1, "--dry-run", exit_code=2)
    assert "seed = -1" in error_line(done)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("row = 1", "did you mean 'rows'?"),
        ("rows = ", "not valid TOML"),
        ("rows = 'x'", "rows = 'x'"),
        ("rows = 0", "rows = 0"),
    ],
)
def test_faults_in_the_file_name_it(tmp_path: Path, text: str, expected: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(text)
    done = drg("drg-selftest", "-o", tmp_path / "run", "--config", config, exit_code=3 if "TOML" in expected else 2)
    assert expected in error_line(done)
    assert "c.toml" in error_line(done)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--rowz", "3"], "unrecognized arguments: --rowz"),
        (["--rows", "x"], "rows = 'x'"),
        (["--shards", "2", "--shard-size", "9"], "exclude each other"),
        (["--device", "gpu"], "is not a device"),
        (["--launch", "cloud"], "invalid choice: 'cloud'"),
        (["--set", "rows"], "--set wants"),
    ],
)
def test_bad_command_lines_are_one_line_and_exit_2(tmp_path: Path, arguments: list[str], expected: str) -> None:
    done = drg("drg-selftest", "-o", tmp_path / "run", *arguments, exit_code=2)
    assert expected in error_line(done)
