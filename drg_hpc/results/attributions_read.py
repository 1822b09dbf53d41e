"""Arrays of an attribution file, whole or sparse, as every reader of ours needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import InputError, UsageError
from drg_hpc.results import attributions_ism, attributions_top, h5
from drg_hpc.results.attributions_layout import ISM, RAW

# Forms whose value at the base that is there is that base's contribution; "global" with a reference is not one.
_CONTRIBUTIONS = ("hypothetical", "corrected", "raw")


@dataclass(frozen=True)
class Form:
    """A stored four-base form whose value at a base that is there is that base's contribution.

    Parameters
    ----------
    name : raw, corrected, hypothetical, or contribution (that of ``shap/seq`` or of mutagenesis, which is not named)
    taylor : the dataset holds TISM, which is 0 at the bases that are there: the gradient less a constant per position,
        so that both have the same corrected form, ``g - mean_b g``
    positions : of a sparse file, (N, K)
    onehot : (N, 4, L), where the dataset holds in-silico mutagenesis, of which contributions are made
    """

    name: str
    dataset: h5py.Dataset
    taylor: bool = False
    positions: h5py.Dataset | None = None
    onehot: h5py.Dataset | None = None

    def read(self, start: int, stop: int | None, *, length: int) -> NDArray[np.float32]:
        """Rows (n, 4, length); 0 at positions that a sparse file lacks or that were not mutated, NaN (0 of in-silico
        mutagenesis) in rows that are not kept."""
        found = np.asarray(self.dataset[start:stop], np.float32)
        if self.onehot is not None:
            weights = attributions_ism.base_weights(h5.get_attributes(self.dataset.file)["params"])
            return attributions_ism.contributions(found, self.onehot[start:stop], weights)
        if self.taylor:
            found = found - found.mean(axis=1, keepdims=True)
        if self.positions is not None:
            found = attributions_top.expand(found, self.positions[start:stop], length)
        return found


def find_form(group: h5py.Group, shap: h5py.Dataset | None = None) -> Form | None:
    """The contribution form of a track, None where none was kept.

    Parameters
    ----------
    group : of the track
    shap : ``shap/seq``, where the file has it
    """
    held = group.get("top", group)
    positions = held.get("positions")
    for name in _CONTRIBUTIONS:
        if name in held:
            return Form(name, held[name], positions=positions)
    if shap is not None:
        return Form("contribution", shap)
    if ISM in held:
        return Form("contribution", held[ISM], onehot=_root(group)[RAW])
    return Form("corrected", held["tism"], taylor=True, positions=positions) if "tism" in held else None


def _root(group: h5py.Group) -> h5py.Group:
    """The group that holds ``tracks`` and ``raw`` of the input that a track's group belongs to."""
    return group.file[str(group.name).rpartition("/tracks/")[0] or "/"]


def by_base(group: h5py.Group) -> bool:
    """Whether a track has attributions to bases; in-silico mutagenesis without substitutions has none."""
    return "projected" in group or "top" in group


def require_by_base(group: h5py.Group) -> None:
    """Refuse a track without attributions to bases.

    Raises
    ------
    InputError : with the file
    """
    if not by_base(group):
        raise InputError(
            f"{group.file.filename} holds no attributions by base: substitutions were not among its edits",
            fix="run drg-ism with --edits substitutions",
        )


def projected_rows(
    group: h5py.Group, start: int, stop: int | None, *, length: int, fill: float = 0.0
) -> NDArray[np.float32]:
    """Attributions (n, length) of the bases that are there; ``fill`` at positions that a sparse file lacks.

    Raises
    ------
    InputError : in-silico mutagenesis without substitutions
    """
    require_by_base(group)
    if "top" not in group:
        return np.asarray(group["projected"][start:stop], np.float32)
    held = group["top"]
    values = np.asarray(held["projected"][start:stop], np.float32)
    return attributions_top.expand(values, held["positions"][start:stop], length, fill=fill)


def input_names(handle: h5py.File) -> tuple[str, ...]:
    """Names of the inputs in the model's order; () where a row has one sequence."""
    group = handle.get("inputs")
    return tuple(h5.get_attributes(group)["order"]) if isinstance(group, h5py.Group) else ()


def choose_input(handle: h5py.File, name: str | None) -> str | None:
    """The input to read: ``name`` where there are several, None where there is one.

    Raises
    ------
    UsageError : several and none chosen, or no such input
    """
    known, where = input_names(handle), handle.filename
    if known and name is None:
        raise UsageError(
            f"{where} has attributions to {len(known)} inputs: {', '.join(known)}",
            fix="choose one with --input NAME, in Python read_attributions(path, NAME)",
        )
    if name is not None and name not in known:
        listed = f"it has {', '.join(known)}" if known else "it has one, without a name: leave it out"
        raise UsageError(f"no input {name!r} in {where}", fix=listed)
    return name


def root_of(handle: h5py.File, name: str | None) -> Any:
    """The group that holds ``raw``, ``tracks`` and ``shap`` of an input."""
    return handle if name is None else handle[f"inputs/{name}"]
