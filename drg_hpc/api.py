"""The public Python names, each imported from its room when first used."""

from __future__ import annotations

import importlib
from typing import Any

NAMES = {
    "load_model": "drg_hpc.models.io",
    "save_model": "drg_hpc.models.io",
    "open_store": "drg_hpc.store.reader",
    "read_attributions": "drg_hpc.results.reader",
    "attribute": "drg_hpc.attribution.attribute",
    "saturation_mutagenesis": "drg_hpc.attribution.saturation",
    "call_seqlets": "drg_hpc.interpretation.seqlet_methods",
    "plot_attribution": "drg_hpc.report.plot_logo",
}


def lookup(name: str) -> Any:
    """The public object ``name``.

    Raises
    ------
    AttributeError : not a public name
    """
    if name not in NAMES:
        raise AttributeError(f"drg_hpc has no public name {name!r}; it has {', '.join(sorted(NAMES))}")
    return getattr(importlib.import_module(NAMES[name]), name)
