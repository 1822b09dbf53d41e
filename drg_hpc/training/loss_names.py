"""Names of losses, ours and DRG's. Light: no torch here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator

from drg_hpc.config import nearest

_Name = Literal[
    "auto", "mse", "l1", "bce", "poisson", "multinomial", "poisson-multinomial", "multinomial-mse", "cross-entropy",
    "kl", "jsd", "jensen-shannon", "jensen-shannon-count", "bce-mse", "bce-mcr", "count-dist", "log-count-dist",
    "log-mse", "d-log-mse", "log-l1", "ce", "sce", "hce", "correlation-data", "correlation-class", "correlation-both",
    "correlation-sum-data", "correlation-mse", "mse-correlation", "cosine-data", "cosine-class", "cosine-both",
    "mse-contrast-mse", "mse-contrast-ratio", "mse-contrast-correlation", "l1-contrast-l1", "l1-contrast-mse",
    "l1-contrast-correlation",
]  # fmt: skip

DRG_NAMES: dict[str, str] = {
    "MSE": "mse",
    "L1Loss": "l1",
    "BCELoss": "bce",
    "KL": "kl",
    "Poisson": "poisson",
    "PoissonNLL": "poisson",
    "CrossEntropy": "cross-entropy",
    "CElossdata": "ce",
    "CElossclass": "ce",
    "SCElossdata": "sce",
    "SCElossclass": "sce",
    "HCElossdata": "hce",
    "HCElossclass": "hce",
    "BCEMSE": "bce-mse",
    "BCEMCR": "bce-mcr",
    "Cosinedata": "cosine-data",
    "Cosineclass": "cosine-class",
    "Cosineboth": "cosine-both",
    "Correlationdata": "correlation-data",
    "Correlationclass": "correlation-class",
    "Correlationsumdata": "correlation-sum-data",
    "Correlationmse": "correlation-mse",
    "MSECorrelation": "mse-correlation",
    "Correlationboth": "correlation-both",
    "MultinomialMSE": "multinomial-mse",
    "JSD": "jsd",
    "JensenShannon": "jensen-shannon",
    "JensenShannonCount": "jensen-shannon-count",
    "DLogMSE": "d-log-mse",
    "LogMSE": "log-mse",
    "LogL1Loss": "log-l1",
    "CountDistLoss": "count-dist",
    "LogCountDistLoss": "log-count-dist",
    "MSEcontrastMSED": "mse-contrast-mse",
    "MSEcontrastMSEF": "mse-contrast-ratio",
    "MSEcontrastCORD": "mse-contrast-correlation",
    "L1contrastL1D": "l1-contrast-l1",
    "L1contrastMSED": "l1-contrast-mse",
    "L1contrastCORD": "l1-contrast-correlation",
}
"""DRG's names. GNLL and NLL are left out: they need arguments that DRG never gives, and end in an error there."""
_KNOWN = {name.lower(): name for name in (*get_args(_Name), "none")} | {
    drg.lower(): name for drg, name in DRG_NAMES.items()
}
_UNUSABLE = {"gnll": "a variance", "nll": "one class a row"}


def canonical(name: Any) -> Any:
    """Our name for any of the known ones, in any case.

    Raises
    ------
    ValueError : none of them, or a loss of DRG's that cannot be used
    """
    if not isinstance(name, str):
        return name
    low = name.lower()
    if low in _UNUSABLE:
        raise ValueError(f"needs {_UNUSABLE[low]}, which DRG never gives it either")
    if low not in _KNOWN:
        raise ValueError(f"no such loss; {nearest(low, get_args(_Name))}")
    return _KNOWN[low]


LossName = Annotated[_Name, BeforeValidator(canonical)]
ValidLossName = Annotated[Literal[_Name, "none"], BeforeValidator(canonical)]
"""Also ``none``: a modality that does not count."""
