"""Options of drg-evaluate. Light."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from drg_hpc.config import Options, flag, positional

SUMMARY = "Compare predictions of one or several models with the targets of a dataset store."


class EvaluateOptions(Options):
    """Options of drg-evaluate."""

    model: Path = positional(
        help="model folders, separated by commas, or a run of drg-train with several models", metavar="MODEL[,MODEL…]"
    )
    store: Path = positional(help="dataset store (RUN or store)", metavar="STORE")
    out: Path = flag(help="folder to write", metavar="DIR", short="-o")
    split: str = flag(
        "test",
        help="rows: train, valid, test, excluded, all, fold:I, or held-out: each row with the models that were not "
        "trained or chosen on it",
    )
    classes: Path | None = flag(
        None, help="table of two columns, track and class: metrics are also given by class", metavar="FILE"
    )
    ensemble: bool = flag(True, help="of several models, also evaluate the mean of their outputs")
    baselines: bool = flag(
        False,
        help="evaluate beside the models a linear regression on GC and CpG content and the mean of the training rows, "
        "both fitted on the store's rows of split train",
    )
    bootstrap: int = flag(
        0, help="95 % interval of each Pearson correlation, from N resamples of the regions", metavar="N", ge=0
    )
    bootstrap_by: Literal["region", "contig"] = flag(
        "region", help="what is drawn: regions, or whole contigs (or windows that were made contigs) with all of theirs"
    )
    seed: int = flag(0, help="seed of these resamples", metavar="N", ge=0)
    predictions: Path | None = flag(
        None,
        help="runs of drg-predict over the same models, store and split, instead of predicting here: one a model and "
        "separated by commas, or one of all models together, whose mean is then evaluated; means over models or "
        "strands must have been made with --scale output",
        metavar="RUN[,RUN…]",
    )
    rc_average: bool = flag(False, help="mean over both strands, taken on the output scale")
    device: str = flag("auto", help="auto, cpu, cuda or cuda:I", metavar="DEVICE")
    threads: int = flag(1, help="threads", metavar="N", ge=1)
