"""What shards say of their engines, and what a merge makes of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from drg_hpc.attribution.full import FullEvaluator
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.bodies.engine_facts import engine_facts, joined_facts, named_facts
from drg_hpc.runs.spec import Part, Shard


def parts(*notes: dict[str, Any]) -> list[Part]:
    return [Part(Shard(at, at, at + 1), Path(), {"notes": note}) for at, note in enumerate(notes)]


def test_passes_that_became_smaller_are_told() -> None:
    used = [FullEvaluator(TrackStatistic(torch.nn.Identity(), (0,), "link"), batch=size) for size in (8, 4, 2, 8)]
    assert engine_facts(used, batch=8) == {"engines": ["full"], "mutants_of_a_pass": [2, 4]}
    assert engine_facts(used[:1], batch=8) == {"engines": ["full"]}


def test_shards_that_took_one_engine_are_joined_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    both = named_facts(["incremental", "full", "full"], [2e-7, None])
    assert both == {"engines": ["full", "incremental"], "deviation": 2e-7}
    found = joined_facts(parts(both, {}, both | {"deviation": 3e-6}))  # a shard without a row has no engine
    assert found == {"engines": ["full", "incremental"], "deviation": 3e-6}
    assert joined_facts(parts({})) == {"engines": []}
    assert not caplog.records


def test_shards_that_took_different_engines_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found = joined_facts(parts({"engines": ["full"]}, {"engines": ["incremental"], "deviation": 9e-5}))
    assert found == {"engines": ["full", "incremental"], "deviation": 9e-5}
    assert "different engines (full; incremental)" in caplog.text
