"""From a validated config to a network. A new architecture is a config in config.py, a module, and a line here."""

from __future__ import annotations

from typing import Any

from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape, SequenceModel
from drg_hpc.models.basset import Basset
from drg_hpc.models.borzoi import Borzoi
from drg_hpc.models.cnn import DrgCnn
from drg_hpc.models.config import AnyConfig, DilatedResidualConfig, Link
from drg_hpc.models.dilated import DilatedResidual
from drg_hpc.models.multi import MultiInput
from drg_hpc.models.user import UserModel

ARCHITECTURES: dict[str, Any] = {
    "drg-cnn": DrgCnn,
    "dilated-residual": DilatedResidual,
    "multi-input": MultiInput,
    "basset": Basset,
    "borzoi": Borzoi,
    "user": UserModel,
}
SEVERAL_INPUTS = ("multi-input", "user")


def fixed_link(config: AnyConfig) -> Link | None:
    """The link of a network whose last layer fixes the scale of its output, whatever the loss; None: any link."""
    return "log" if isinstance(config, DilatedResidualConfig) and config.output == "log-rate" else None


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
