"""From a validated config to a network. A new architecture is a config in config.py, a module, and a line here."""

from __future__ import annotations

from typing import Any

from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.cnn import DrgCnn
from drg_hpc.models.config import AnyConfig, Link
from drg_hpc.models.dilated import DilatedResidual

ARCHITECTURES: dict[str, Any] = {"drg-cnn": DrgCnn, "dilated-residual": DilatedResidual}
# Networks whose last layer fixes the scale of their output, whatever the loss.
FIXED_LINKS: dict[str, Link] = {"dilated-residual": "log"}


def build(config: AnyConfig, shape: ModelShape) -> SequenceModel:
    """A freshly initialised network (from torch's global generator).

    Parameters
    ----------
    config : validated description
    shape : inputs and outputs

    Raises
    ------
    UsageError : config and shape do not fit
    """
    model: SequenceModel = ARCHITECTURES[config.architecture](config, shape)
    return model
