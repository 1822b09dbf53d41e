"""DRG's table of track classes: what is read, and what is refused with its line."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drg_hpc.errors import InputError
from drg_hpc.prediction.classes import class_groups, modality_groups, read_classes

WORD = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="#"), min_size=1)
PHRASE = st.lists(WORD, min_size=1, max_size=3).map(" ".join)


def written(folder: Path, text: str) -> Path:
    (folder / "classes.txt").write_bytes(text.encode())
    return folder / "classes.txt"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(classes=st.dictionaries(WORD, WORD, min_size=1, max_size=8), blanks=st.sampled_from([" ", "   ", "\t", " \t "]),
       end=st.sampled_from(["\n", "\r\n"]))  # fmt: skip
def test_what_is_written_is_read(tmp_path: Path, classes: dict[str, str], blanks: str, end: str) -> None:
    lines = [f"{track}{blanks}{name}" for track, name in classes.items()]
    path = written(tmp_path, end.join(["# DRG's classes", "", *lines]) + end)
    assert read_classes(path) == classes


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(classes=st.dictionaries(PHRASE, PHRASE, min_size=1, max_size=6))
def test_names_may_hold_blanks_where_tabs_separate(tmp_path: Path, classes: dict[str, str]) -> None:
    path = written(tmp_path, "".join(f"{track}\t{name}\n" for track, name in classes.items()))
    assert read_classes(path) == classes


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    try:
        found = read_classes(written(tmp_path, text.encode("utf-8", "ignore").decode()))
    except InputError as error:
        assert "classes.txt: " in error.what and error.fix
    else:
        assert found and all(track and name for track, name in found.items())


def test_compressed_tables_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.gz").write_bytes(gzip.compress(b"a x\nb y\n"))
    assert read_classes(tmp_path / "c.gz") == {"a": "x", "b": "y"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a x\nb\n", "line 2: 1 columns"),
        ("a x\nb y z\n", "line 2: 3 columns"),
        ("a\tx\n\n\ty\n", "line 3: an empty column"),
        ("a x\nb y\na x\n", "line 3: track 'a' for the second time"),
        ("# nothing\n\n", "no track has a class"),
        ("", "no track has a class"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        read_classes(written(tmp_path, text))


def test_groups_are_in_the_order_of_their_first_tracks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, "c T\na B\nb T\nold B\nolder B\n")
    with caplog.at_level(logging.WARNING):
        groups = class_groups(path, ["a", "b", "c"])
    assert [(group.name, group.tracks) for group in groups] == [("B", (0,)), ("T", (1, 2))]
    assert groups[0].label == "class:B"
    assert "names 2 tracks that are not evaluated: 'old', 'older'" in caplog.text
    with pytest.raises(InputError, match="no class for 2 of 3 tracks: 'x', 'y'"):
        class_groups(path, ["x", "a", "y"])


def test_modalities_of_some_tracks() -> None:
    header = {"heads": [{"name": "atac", "tracks": 2}, {"name": "rna", "tracks": 3}]}
    groups = modality_groups(header, [0, 3, 4])
    assert [(group.by, group.name, group.tracks) for group in groups] == [
        ("modality", "atac", (0,)), ("modality", "rna", (1, 2)),
    ]  # fmt: skip
    assert modality_groups(header, [2, 3]) == []
