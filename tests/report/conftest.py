"""One of everything that a report can show, small, with names that would break a page that does not escape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bodies.seqlet_runs import do_run, write_attributions, write_done
from interpretation.planted import MOTIFS, named, plant
from prediction.arrays import write_folder

from drg_hpc.bodies.seqlets_plan import Options
from drg_hpc.digests import describe_input
from drg_hpc.files import write_json
from drg_hpc.interpretation.config import MotifsOptions
from drg_hpc.interpretation.motifs import find_motifs
from drg_hpc.models.header import MODEL_MEMBERS

TRACK = '<b>CTCF</b> & "co"'


def write_store(folder: Path) -> Path:
    from support import drg

    rng = np.random.default_rng(0)
    chroms = ["chr1", "chr2", "chr8", "chr9"]
    lines = []
    for i in range(160):
        bases = "".join(rng.choice(list("ACGT"), 60))
        lines.append(f">{chroms[i % 4]}:{i * 100}-{i * 100 + 60}\n{bases}\n")
    (folder / "in.fa").write_text("".join(lines))
    splits = ("--valid", "chr8", "--test", "chr9")
    drg("drg-shard", "sequences", folder / "in.fa", "--negatives", "dinuc:1", *splits, "-o", folder / "store")
    return folder / "store"


def store_sha256(store: Path) -> str:
    return str(describe_input(store / "out.zarr", ("manifest.json",))["sha256"])


def model_sha256(model: Path) -> str:
    return str(describe_input(model, MODEL_MEMBERS)["sha256"])


def write_model(folder: Path, store: Path, *, weights: bytes = b"w") -> Path:
    """A model as far as a report reads it, trained on ``store``."""
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(weights)
    write_json(folder / "done.json", {"command": "train", "inputs": {"store": {"sha256": store_sha256(store)}}})
    header = {
        "format": "drg-model/2", "architecture": "drg-cnn", "config": {"kernels": 8},
        "inputs": [{"name": "seq", "length": 60}],
        "heads": [{"name": "main", "tracks": 1, "link": "logit"}], "span": 0,
        "tracks": [TRACK], "bins": 0, "strand_partners": [0], "link": "logit", "operations": {"macs_per_row": 12345},
        "weights": {"bytes": 1, "sha256": "0"}, "provenance": {},
    }  # fmt: skip
    write_json(folder / "model.json", header)
    history = ["epoch step train_loss valid_loss auroc", "1 5 0.7 0.6 0.8", "2 10 0.5 0.55 ", "3 15 0.4 0.5 0.95", ""]
    (folder / "history.tsv").write_text("\n".join(history).replace(" ", "\t"))
    return folder


def write_evaluation(folder: Path, store: Path, model: Path, *, split: str = "test") -> Path:
    folder.mkdir()
    rng = np.random.default_rng(1)
    target = np.column_stack([rng.integers(0, 2, 80), rng.normal(0, 1, 80)]).astype(np.float32)
    prediction = (target * 0.7 + rng.normal(0, 0.3, target.shape)).astype(np.float32)
    regions = pd.DataFrame({"row": np.arange(80), "name": "r", "chrom": "chr9", "start": 0, "end": 60, "split": "test"})
    inputs = {"store": {"sha256": store_sha256(store)}, "model": {"sha256": model_sha256(model)}}
    header = {"format": "drg-evaluation/2", "split": split, "rows": 80, "inputs": inputs}
    predictions = {"model": prediction}
    return write_folder(folder, target, predictions, header=header, regions=regions, tracks=[TRACK, "signal"])


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    paths = {"store": write_store(folder)}
    paths["model"] = write_model(folder / "model", paths["store"])
    paths["evaluation"] = write_evaluation(folder / "evaluation", paths["store"], paths["model"])
    planted = plant(named("CTCF", "SPI1"), [1, -1], rows=200, length=90, noise=0.15, seed=3)
    paths["attr"] = folder / "attr"
    paths["attr"].mkdir()
    inputs = {"model": {"sha256": model_sha256(paths["model"])}, "sequences": {"sha256": store_sha256(paths["store"])}}
    attributes = {"inputs": inputs, "params": {"method": "tism", "output": "raw", "scale": "link", "input": "store"}}
    target = paths["attr"] / "out.h5"
    # rows 60 to 259 of the store: 100 sequences, then 100 shuffles
    names = ["r" if row < 160 else f"r{row}_dinuc0" for row in range(60, 260)]
    write_attributions(
        target, planted.projected, planted.onehot, tracks=1, keep=False, attributes=attributes,
        row=np.arange(60, 260), name=names, origin=["given" if row < 160 else "dinuc" for row in range(60, 260)],
    )  # fmt: skip
    write_done(paths["attr"], "attr", {"rows": 200, "length": 90, "tracks": ["track 0"]})
    paths["seqlets"] = folder / "seqlets"
    _, summary = do_run(Options(attributions=paths["attr"], out=paths["seqlets"]))
    write_done(paths["seqlets"], "seqlets", summary)
    options = MotifsOptions(seqlets=paths["seqlets"], database=(MOTIFS,), max_seqlets=200, out=folder / "motifs")
    paths["motifs"] = find_motifs(options)
    return paths
