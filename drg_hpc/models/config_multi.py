"""The validated description of networks of several sequences. Light: no torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from drg_hpc.config import Options, flag
from drg_hpc.models.config_drg import TrunkTable
from drg_hpc.models.config_drg_tables import Activation, FcTable, OutputActivation, Strands

Combination = Literal[
    "neural", "direct", "difference", "exp-difference", "fraction", "log-direct", "log-exp-difference", "log-fraction"
]


class CombinedHeadTable(FcTable):
    """How a modality is made from the networks of several inputs."""

    inputs: tuple[str, ...] = flag((), help="names of the inputs it is made from, in order (default: all)")
    combine: Combination = flag(
        "neural",
        help="fully connected layers on the inputs' vectors side by side (neural), or a formula without weights of a "
        "number per track and input: a (direct), a - b, exp(a - b), relu(a) / relu(b), log-…: log(log_offset + it)",
    )
    log_base: float = flag(2.0, help="base of the logarithm of the log- forms", gt=1)
    log_offset: float = flag(2.0, help="what is added before the logarithm", gt=0)
    output: OutputActivation = flag("none", help="function of the output, for losses with the identity link")

    @model_validator(mode="after")
    def _check_form(self) -> CombinedHeadTable:
        if self.combine != "neural":
            if self.hidden or self.fc_layers or self.fc_size or self.fc_residual:
                raise ValueError(f"combine = {self.combine!r} has no fully connected layers")
            if self.inputs and len(self.inputs) != self.formula_inputs:
                raise ValueError(
                    f"combine = {self.combine!r} is of {self.formula_inputs} inputs, {len(self.inputs)} are named"
                )
        return self

    @property
    def formula_inputs(self) -> int:
        """Inputs that a formula is of."""
        return 1 if self.combine.endswith("direct") else 2


class MultiInputConfig(Options):
    """DRG networks of several sequences, of equal or unequal length, whose outputs are combined."""

    architecture: Literal["multi-input"] = flag("multi-input", help="name of the architecture")
    trunk: TrunkTable = Field(
        default_factory=TrunkTable, description="[model.trunk]: the network of each input, keys as for drg-cnn"
    )
    own: dict[str, TrunkTable] = flag({}, help="[model.own.INPUT]: another one for that input")
    strands: dict[str, Strands] = flag(
        {}, help="[model.strands]: INPUT = how the scans of both strands are joined there, instead of trunk.strands"
    )
    shared: bool = flag(False, help="inputs of equal length and the same description share one network")
    embedding: int = flag(
        0, help="width of a linear layer at the end of each network, the vector of its input; 0: none", ge=0
    )
    embedding_activation: Activation = flag("gelu", help="activation of that vector")
    value_activation: Activation = flag("identity", help="activation of the numbers that formulas combine")
    share_values: bool = flag(
        False, help="formulas of all modalities take the same numbers from an input, instead of having a layer each"
    )
    heads: dict[str, CombinedHeadTable] = flag(
        {}, help="[model.heads.NAME]: how a modality is made (default: neural, of all inputs)"
    )
    activation: Activation = flag("gelu", help="activation of the layers that combine the inputs")
    dropout: float = flag(0.0, help="share of units dropped between those layers", ge=0, lt=1)
    fc_batch_norm: bool = flag(False, help="batch norm before each of those layers and the heads")
