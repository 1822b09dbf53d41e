"""docs/cluster.md, line by line on a real Slurm: what a user of the page does, and what they must then have."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from cluster_helpers import log_ends, sha256, until
from slurm_bed import PATIENCE_S, Bed
from support import ROOT, drg, environment
from test_docs import CLUSTER_PAGE, write_commands

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SITE = """
[cluster]
partition = "cpu"
time = "20"
mem = "1500M"  # the default of the bed is too little for the doctor
"""


def run_page(bed: Bed, work: Path, commands: Path, site: Path) -> str:
    """Every block in order, each in a shell of its own as in a new terminal; what they printed."""
    env = environment(
        **bed.env, PATH=f"{commands}:{os.environ['PATH']}", DRG=str(ROOT), DRG_SITE=str(site),
        DRG_CACHE_DIR=str(work.parent),
    )  # fmt: skip
    blocks = BLOCK.findall(CLUSTER_PAGE.read_text())
    assert len(blocks) > 5
    told = ""
    for text in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=work, env=env, capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        logs = log_ends(work.glob("*.log")) if done.returncode else ""
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}\n{logs}"
        told += done.stdout
        if "train.sh" in text:  # whose user goes on when the job is over
            until_there(work / "model" / "done.json", work)
    return told


def until_there(path: Path, logs: Path) -> None:
    """Wait for what the last jobs make."""
    until(f"{path} is there", path.exists, told=lambda: log_ends(sorted(logs.glob("*.log"))))


def test_from_the_page_to_a_finished_array(chain_bed: Bed, tmp_path: Path) -> None:
    write_commands(tmp_path / "bin")
    work, site = tmp_path / "work", tmp_path / "site.toml"
    work.mkdir()
    site.write_text(SITE)
    told = run_page(chain_bed, work, tmp_path / "bin", site)
    assert "a job can run here" in told
    assert "worker hours in all" in told  # of --calibrate
    assert f"merged: {work / 'attributions'}" in told

    until_there(work / "byhand" / "done.json", work)
    for name, launcher in (("store", "slurm"), ("attributions", "slurm"), ("predictions", "submitit")):
        assert json.loads((work / name / "jobs/0001/submission.json").read_text())["launcher"] == launcher
    assert json.loads((work / "model" / "metrics.json").read_text())
    for name in ("store", "attributions", "predictions", "byhand"):
        drg("drg-status", work / name, "--full")
    attr = ["--split", "test", "--limit", 1024]
    for name, command, flags in (
        ("attributions", "drg-attr", [*attr, "--method", "tism"]),
        ("byhand", "drg-attr", [*attr, "--method", "gradient"]),
        ("predictions", "drg-predict", ["--split", "valid"]),
    ):
        here = tmp_path / f"{name}-here"
        drg(command, work / "model", work / "store", *flags, "--shards", 3, "-o", here, "--quiet")
        assert sha256(work / name / "out.h5") == sha256(here / "out.h5"), name

    drg("drg-stats", work / "attributions", "-o", tmp_path / "statistics.h5", "--quiet")
    assert sha256(work / "statistics.h5") == sha256(tmp_path / "statistics.h5")

    until_there(work / "pipeline" / "report.html", work / "pipeline" / "logs")
    drg("drg-inspect", work / "pipeline" / "seqlets", "--verify")
