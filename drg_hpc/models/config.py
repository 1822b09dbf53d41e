"""Validated descriptions of the architectures; what stands in a config's ``[model]`` table and in model.json."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from drg_hpc.errors import InputError
from drg_hpc.models.config_borzoi import BorzoiConfig as BorzoiConfig
from drg_hpc.models.config_drg import DrgCnnConfig as DrgCnnConfig
from drg_hpc.models.config_multi import MultiInputConfig as MultiInputConfig
from drg_hpc.models.config_profile import BassetConfig as BassetConfig
from drg_hpc.models.config_profile import DilatedResidualConfig as DilatedResidualConfig
from drg_hpc.models.config_user import UserConfig as UserConfig
from drg_hpc.models.config_user import as_table

Link = Literal["identity", "logit", "log", "softplus"]
LINKS: tuple[Link, ...] = ("identity", "logit", "log", "softplus")


AnyConfig = DrgCnnConfig | MultiInputConfig | DilatedResidualConfig | BassetConfig | BorzoiConfig | UserConfig
ModelConfig = Annotated[AnyConfig, Field(discriminator="architecture"), BeforeValidator(as_table)]
_ADAPTER: TypeAdapter[AnyConfig] = TypeAdapter(ModelConfig)


def config_from_json(values: dict[str, Any], *, source: str) -> AnyConfig:
    """The config that ``model_dump(mode="json")`` wrote.

    Raises
    ------
    InputError : unknown architecture, or a key or value that it does not know
    """
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"]) or "architecture"
        value = values.get("architecture") if key == "architecture" else fault.get("input")
        raise InputError(
            f"{source}: {key} = {value!r}: {fault['msg']}", fix="it may come from a newer version of drg_hpc"
        ) from None
