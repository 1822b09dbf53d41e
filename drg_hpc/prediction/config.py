"""Options of drg-evaluate. Light."""

from __future__ import annotations

from pathlib import Path

from drg_hpc.config import Options, flag, positional

SUMMARY = "Compare a model's predictions with the targets of a dataset store."


class EvaluateOptions(Options):
    """Options of drg-evaluate."""

    model: Path = positional(help="model folder", metavar="MODEL")
    store: Path = positional(help="dataset store (RUN or store)", metavar="STORE")
    out: Path = flag(help="folder to write", metavar="DIR", short="-o")
    split: str = flag("test", help="rows: train, valid, test, excluded or all")
    predictions: Path | None = flag(
        None,
        help="run of drg-predict over the same model, store and split, instead of predicting here; "
        "with --rc-average it must have been made with --scale output",
        metavar="RUN",
    )
    rc_average: bool = flag(False, help="mean over both strands, taken on the output scale")
    device: str = flag("auto", help="auto, cpu, cuda or cuda:I", metavar="DEVICE")
    threads: int = flag(1, help="threads", metavar="N", ge=1)
