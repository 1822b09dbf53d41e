"""Kernels of models on disk: motifs, what predictions lose without each, and clusters of kernels.

``kernels/{name,network,match,model,index,width,kmers,constant,q}``, ``kernels/{pfm,ppm}`` (kernels, 4, widest; columns
from ``width`` on are 0); ``effects/{effect,impact}`` (kernels, tracks), and of rows with measured values
``effects/{correlation,rmse}`` (kernels, tracks), ``effects/class_correlation`` (kernels, classes); where regions have
classes ``effects/region_effect`` (kernels, classes of regions, tracks) and ``effects/region_rows``;
``base/{correlation,rmse}`` (models, tracks) with all kernels; ``clusters/{name,match,size,models,width,q}``,
``clusters/pfm``, ``clusters/effect/NAME`` means of the effects over members, and ``kernels/cluster``; ``tracks``,
``classes``, ``region_classes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.results import h5

FORMAT = "drg-kernels/1"
Float64 = NDArray[np.float64]
IUPAC = {
    "": "N", "A": "A", "C": "C", "G": "G", "T": "T", "AC": "M", "AG": "R", "AT": "W", "CG": "S", "CT": "Y", "GT": "K",
    "ACG": "V", "ACT": "H", "AGT": "D", "CGT": "B",
}  # fmt: skip


def consensus(pfm: Float64, *, least: float = 0.3) -> str:
    """IUPAC letters of a motif (4, w): the bases with more than ``least`` at each position, N where there is none."""
    return "".join(IUPAC["".join(b for b, p in zip("ACGT", column, strict=True) if p > least)] for column in pfm.T)


@dataclass(frozen=True)
class Kernel:
    """One kernel.

    Parameters
    ----------
    name : ``filter3``; of networks of several inputs ``filter3_CNN1``; of several models ``model2_filter3``
    model, network, index : number of the model, name of the branch (may be empty), number of the kernel there
    pfm : (4, w), from the k-mers that it responds to
    ppm : (4, w), from its weights; columns need not sum to 1
    kmers : number of k-mers that made ``pfm``
    constant : what took the place of its responses
    match, q : best motif of a database, empty and NaN without one
    """

    name: str
    model: int
    network: str
    index: int
    pfm: Float64
    ppm: Float64
    kmers: int
    constant: float
    match: str = ""
    q: float = float("nan")


@dataclass(frozen=True)
class KernelCluster:
    """Kernels of one motif and one effect.

    Parameters
    ----------
    pfm : (4, w), their mean
    members : numbers of the kernels
    models : number of models that they come from
    """

    name: str
    pfm: Float64
    members: tuple[int, ...]
    models: int
    match: str = ""
    q: float = float("nan")


@dataclass(frozen=True)
class KernelResult:
    """All of a file.

    Parameters
    ----------
    effects : statistic -> (kernels, …)
    base : statistic -> (models, tracks)
    region_rows : rows of each class of regions
    """

    kernels: Sequence[Kernel]
    clusters: Sequence[KernelCluster]
    effects: Mapping[str, Float64]
    base: Mapping[str, Float64]
    tracks: Sequence[str]
    classes: Sequence[str]
    region_classes: Sequence[str]
    region_rows: Float64

    def cluster_effects(self) -> dict[str, Float64]:
        """Means of the effects over the members of each cluster, of members where they are known."""
        return {
            name: np.stack([_mean_of_known(values[list(cluster.members)]) for cluster in self.clusters])
            for name, values in self.effects.items()
        }


def _mean_of_known(values: Float64) -> Float64:
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(0) / known.sum(0))


def _padded(pfms: Sequence[Float64]) -> Float64:
    out = np.zeros((len(pfms), 4, max(pfm.shape[1] for pfm in pfms)))
    for row, pfm in zip(out, pfms, strict=True):
        row[:, : pfm.shape[1]] = pfm
    return out


def _columns(out: Any, group: str, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    for name in sorted(columns):
        values = columns[name]
        if len(values) and isinstance(values[0], str):
            h5.write_text(out, f"{group}/{name}", list(values))
        else:
            h5.write_array(out, f"{group}/{name}", np.asarray(values))


def write_kernels(path: Path, result: KernelResult, attributes: Mapping[str, Any]) -> None:
    """Write ``path``."""
    label = np.zeros(len(result.kernels), np.int32)
    for number, cluster in enumerate(result.clusters):
        label[list(cluster.members)] = number
    kernels, clusters = result.kernels, result.clusters
    with h5.create(path) as out:
        h5.set_attributes(out, {**attributes, "format": FORMAT})
        _columns(out, "kernels", {
            **{name: [getattr(k, name) for k in kernels] for name in ("name", "network", "match", "model", "index",
                                                                      "kmers", "constant", "q")},
            "width": [k.pfm.shape[1] for k in kernels],
            "pfm": _padded([k.pfm for k in kernels]),
            "ppm": _padded([k.ppm for k in kernels]),
            "cluster": label,
        })  # fmt: skip
        _columns(out, "effects", result.effects)
        _columns(out, "base", result.base)
        if result.region_classes:
            h5.write_array(out, "effects/region_rows", result.region_rows)
        _columns(out, "clusters", {
            **{name: [getattr(c, name) for c in clusters] for name in ("name", "match", "models", "q")},
            "width": [c.pfm.shape[1] for c in clusters],
            "size": [len(c.members) for c in clusters],
            "pfm": _padded([c.pfm for c in clusters]),
        })  # fmt: skip
        _columns(out, "clusters/effect", result.cluster_effects())
        for name in ("tracks", "classes", "region_classes"):
            h5.write_text(out, name, getattr(result, name))


def read_kernels(path: Path) -> KernelResult:
    """Kernels of a run of drg-kernels or its out.h5.

    Raises
    ------
    InputError : nothing there
    CorruptError : not a file of kernels
    """
    source = path / "out.h5" if path.is_dir() else path
    with h5.open_file(source) as handle:
        if handle.attrs.get("format") != FORMAT:
            raise CorruptError(f"{source} is not a file of kernels ({FORMAT})", fix="give what drg-kernels wrote")
        k, c = (_read_columns(handle[name]) for name in ("kernels", "clusters"))
        effects, base = (_read_columns(handle[name]) if name in handle else {} for name in ("effects", "base"))
        texts = {name: h5.read_text(handle[name]) for name in ("tracks", "classes", "region_classes")}
    kernels = [
        Kernel(
            k["name"][i], int(k["model"][i]), k["network"][i], int(k["index"][i]), k["pfm"][i][:, :width],
            k["ppm"][i][:, :width], int(k["kmers"][i]), float(k["constant"][i]), k["match"][i], float(k["q"][i]),
        )
        for i, width in enumerate(k["width"])
    ]  # fmt: skip
    clusters = [
        KernelCluster(
            c["name"][i], c["pfm"][i][:, :width], tuple(int(m) for m in np.flatnonzero(k["cluster"] == i)),
            int(c["models"][i]), c["match"][i], float(c["q"][i]),
        )
        for i, width in enumerate(c["width"])
    ]  # fmt: skip
    rows = effects.pop("region_rows", np.zeros(0))
    return KernelResult(kernels, clusters, effects, base, **texts, region_rows=rows)


def _read_columns(group: Any) -> dict[str, Any]:
    return {
        name: h5.read_text(group[name]) if group[name].dtype.kind == "O" else group[name][()]
        for name in group
        if hasattr(group[name], "dtype")
    }
