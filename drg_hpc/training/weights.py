"""How often rows are drawn: by a file of weights, or so that both classes of a track come equally often."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drg_hpc.errors import InputError, UsageError
from drg_hpc.store.sampler import balance_weights

if TYPE_CHECKING:
    import pandas as pd

    from drg_hpc.store.cache import CachedDataset

log = logging.getLogger(__name__)
Array = np.ndarray[Any, Any]


def read_weights(path: Path) -> dict[str, float]:
    """Weights by name, from lines of a name and a weight, a tab or spaces between; ``#`` begins a comment line.

    Raises
    ------
    InputError : no such file, or a line (named) that is not a name and a weight of 0 or more, or has a name again
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"data.weights: no such file: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"data.weights: cannot read {path}: {error}") from None
    found: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, weight = _parse(line.rstrip("\r"), f"{path}:{number}")
        if name in found:
            raise InputError(f"{path}:{number}: {name!r} has a weight already")
        found[name] = weight
    return found


def _parse(line: str, where: str) -> tuple[str, float]:
    parts = line.split("\t") if "\t" in line else line.rsplit(None, 1)
    try:
        name, weight = parts[0].strip(), float(parts[1])
    except (IndexError, ValueError):
        raise InputError(f"{where}: {line[:80]!r} is not a name and a weight") from None
    if len(parts) != 2 or not name:
        raise InputError(f"{where}: {line[:80]!r} is not a name and a weight")
    if not (math.isfinite(weight) and weight >= 0):
        raise InputError(f"{where}: weight {parts[1].strip()} of {name!r} is not 0 or more")
    return name, weight


def file_weights(path: Path, regions: pd.DataFrame, rows: Array, *, store: Path) -> Array:
    """Weights of rows of a store, by their names; a negative without one of its own has that of its positive.

    Parameters
    ----------
    rows : row numbers in the store

    Raises
    ------
    InputError : a row without a weight, or only weights of 0
    """
    listed = read_weights(path)
    names, parents = regions["name"].to_numpy(), regions["parent"].to_numpy()
    found = np.array([listed.get(names[row], listed.get(names[parents[row]], math.nan)) for row in rows], np.float64)
    lacking = np.flatnonzero(np.isnan(found))
    if len(lacking):
        first = names[rows[lacking[0]]]
        raise InputError(
            f"{path} has no weight for {len(lacking)} of {len(rows)} training rows of {store}, the first is {first!r}",
            fix="list every row; a weight of 0 leaves one out",
        )
    if not found.any():
        raise InputError(f"{path}: every training row of {store} has weight 0")
    return found


def class_weights(cache: CachedDataset, track: str, rows: Array, *, store: Path) -> Array:
    """Weights of rows of a store that draw 0 and 1 of a binary track equally often; rows without a value get 0.

    Raises
    ------
    UsageError : no such track, or one that is in bins
    InputError : other values than 0 and 1, or only one of them
    """
    places = [(m, m.names.index(track)) for m in cache.modalities.values() if track in m.names]
    if not places:
        known = ", ".join(name for m in cache.modalities.values() for name in m.names[:8])
        raise UsageError(f"data.balance: no track {track!r} in {store}", fix=f"tracks: {known}")
    modality, column = places[0]
    if modality.bins:
        raise UsageError(f"data.balance: track {track!r} is in bins; a track of one value a row is needed")
    labels = np.asarray(cache.targets[modality.name][rows, column], np.float64)
    mask = cache.mask[modality.name]
    if mask is not None:
        labels[~mask[rows, column]] = np.nan
    known_values = set(np.unique(labels[~np.isnan(labels)]).tolist())
    if known_values != {0.0, 1.0}:
        shown = ", ".join(f"{value:g}" for value in sorted(known_values)[:4]) or "no values"
        raise InputError(f"data.balance: track {track!r} needs training rows of 0 and of 1, {store} has {shown}")
    if missing := int(np.isnan(labels).sum()):
        log.info("%d training rows of %s have no value of %s: they are not drawn", missing, store, track)
    return balance_weights(labels)
