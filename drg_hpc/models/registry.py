"""From a validated config to a network. A new architecture is a config in config.py, a module, and a line here."""

from __future__ import annotations

from typing import Any

from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.cnn import DrgCnn
from drg_hpc.models.config import AnyConfig, Link
from drg_hpc.models.dilated import DilatedResidual

ARCHITECTURES: dict[str, Any] = {"drg-cnn": DrgCnn, "dilated-residual": DilatedResidual}
# Networks whose last layer fixes the scale of their output, whatever the loss.
FIXED_LINKS: dict[str, Link] = {"dilated-residual": "log"}
SEVERAL_INPUTS = ("multi-input", "user")


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
    if len(shape.inputs) > 1 and config.architecture not in SEVERAL_INPUTS:
        shown = ", ".join(f"{name} ({length})" for name, length in shape.inputs.items())
        raise UsageError(
            f"model {config.architecture} takes one sequence a row, the store has {len(shape.inputs)}: {shown}",
            fix=f"architecture = {' or '.join(repr(name) for name in SEVERAL_INPUTS)}",
        )
    model: SequenceModel = ARCHITECTURES[config.architecture](config, shape)
    return model
