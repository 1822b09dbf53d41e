"""What a training starts from: the weights of another model, motifs in the first kernels, and what stays frozen."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drg_hpc.genome.motifs import read_meme
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.config import AnyConfig, config_from_json
from drg_hpc.models.header import read_model_header
from drg_hpc.models.io import header_shape, read_tensors
from drg_hpc.training.config_init import InitTable
from drg_hpc.training.freezing import freeze
from drg_hpc.training.inputs import describe_init
from drg_hpc.training.motif_kernels import place_motifs
from drg_hpc.training.name_maps import shown
from drg_hpc.training.transfer import Known, Transfer, transfer

log = logging.getLogger(__name__)
_LISTED = 20


@dataclass(frozen=True)
class Initial:
    """Where the initial weights come from.

    Attributes
    ----------
    table : ``[init]``
    header : of ``init.model``, or None
    inputs : descriptions of the model and of the motif file: ``init`` and ``motifs``
    """

    table: InitTable
    header: dict[str, Any] | None = None
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def config(self) -> AnyConfig | None:
        """The architecture of ``init.model``."""
        if self.header is None:
            return None
        return config_from_json(self.header["config"], source=f"{self.table.model}/model.json")

    @property
    def shape(self) -> ModelShape:
        """What ``init.model`` was built for."""
        assert self.header is not None
        return header_shape(self.header, source=f"{self.table.model}/model.json")


def find_initial(table: InitTable) -> Initial:
    """Find the files of an ``[init]`` table.

    Raises
    ------
    InputError : no model there, or not a motif file
    """
    header = None if table.model is None else read_model_header(table.model)
    if table.motifs is not None:
        read_meme(table.motifs)  # a fault in it is said before anything is built
    return Initial(table, header, describe_init(table))


def start(model: SequenceModel, config: AnyConfig, initial: Initial, *, main: bool) -> None:
    """Give a fresh model its initial weights, and freeze what is to stay.

    Parameters
    ----------
    model : as built from ``config``, its tracks named; changed in place
    main : whether this process writes the log

    Raises
    ------
    UsageError : patterns that fit nothing, tensors that do not fit, or tracks that the other model does not have
    InputError, CorruptError : a file that cannot be used
    """
    table = initial.table
    lines: list[str] = []
    if table.model is not None:
        assert initial.header is not None and initial.config is not None
        other = Known(
            config=initial.config,
            shape=initial.shape,
            tracks=list(initial.header["tracks"]),
            tensors=read_tensors(table.model, initial.header["weights"]),
        )
        lines += _told(table.model, transfer(model, config, other, table))
    if table.motifs is not None:
        motifs = read_meme(table.motifs)
        name, kernels = place_motifs(model, motifs, scale=table.motif_scale, input_name=table.motif_input)
        lines.append(f"init: {len(motifs)} of {kernels} kernels of {name} begin as the motifs of {table.motifs}")
    if table.freeze:
        lines.append("init: frozen: " + _listed(freeze(model, table.freeze)))
    if main:
        for line in lines:
            log.info("%s", line)


def _listed(names: list[str]) -> str:
    return f"{len(names)} tensor{'s' if len(names) != 1 else ''}" + (f": {shown(names, _LISTED)}" if names else "")


def _told(source: Path, done: Transfer) -> list[str]:
    """What was loaded and what was not, for the log."""
    lines = [f"init: loaded from {source}: {_listed(done.loaded)}"]
    for what, names in (
        ("of these, rows of the tracks with the same names", done.by_track),
        ("of these, cropped or filled up", done.cropped),
        ("with fresh values", done.fresh),
        (f"not used of {source}", done.unused),
    ):
        if names:
            lines.append(f"init: {what}: {_listed(names)}")
    return lines
