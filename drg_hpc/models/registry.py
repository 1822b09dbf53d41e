"""From a validated config to a network. A new architecture is a config in config.py, a module, and a line here."""

from __future__ import annotations

from typing import Any

from drg_hpc.models.base import SequenceModel
from drg_hpc.models.cnn import DrgCnn
from drg_hpc.models.config import DilatedResidualConfig, DrgCnnConfig, Link
from drg_hpc.models.dilated import DilatedResidual

ARCHITECTURES: dict[str, Any] = {"drg-cnn": DrgCnn, "dilated-residual": DilatedResidual}
# Networks whose last layer fixes the scale of their output, whatever the loss.
FIXED_LINKS: dict[str, Link] = {"dilated-residual": "log"}


def build(
    config: DrgCnnConfig | DilatedResidualConfig, *, length: int, n_tracks: int, bins: int = 0, link: Link = "identity"
) -> SequenceModel:
    """A freshly initialised network (from torch's global generator).

    Parameters
    ----------
    config : validated description
    length : input length in bases
    n_tracks, bins : shape of the output, ``(batch, tracks)`` or ``(batch, tracks, bins)``
    link : scale of the output

    Raises
    ------
    UsageError : config and shapes do not fit
    """
    model: SequenceModel = ARCHITECTURES[config.architecture](
        config, length=length, n_tracks=n_tracks, bins=bins, link=link
    )
    return model
