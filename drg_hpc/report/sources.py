"""What the paths given to drg-report are: recognised by their JSON headers, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from drg_hpc.errors import IncompleteError, InputError, UsageError
from drg_hpc.files import read_json
from drg_hpc.models.header import read_model_header
from drg_hpc.results import contents
from drg_hpc.results.ablation import FORMAT as ABLATION
from drg_hpc.results.kernels import FORMAT as KERNELS
from drg_hpc.results.layout import ATTRIBUTIONS, PREDICTIONS
from drg_hpc.results.marginalization import FORMAT as MARGINALIZATION
from drg_hpc.results.motifs import FORMAT as MOTIFS
from drg_hpc.results.perturbation import FORMAT as PERTURBATION
from drg_hpc.results.seqlets import FORMAT as SEQLETS
from drg_hpc.results.seqlets import looks_like_hdf5
from drg_hpc.results.statistics import FORMAT as STATISTICS
from drg_hpc.results.variants import FORMAT as VARIANTS
from drg_hpc.runs.outputs import DONE, PLAN, check_files, check_recorded, resolve_output
from drg_hpc.store.header import read_header

Kind = Literal[
    "store", "genome", "model", "evaluation", "attributions", "predictions", "seqlets", "motifs", "kernels",
    "marginalization", "perturbation", "ablation", "variants",
]  # fmt: skip
_FILE_KINDS: dict[str, Kind] = {
    ATTRIBUTIONS: "attributions",
    PREDICTIONS: "predictions",
    SEQLETS: "seqlets",
    MOTIFS: "motifs",
    KERNELS: "kernels",
    MARGINALIZATION: "marginalization",
    PERTURBATION: "perturbation",
    ABLATION: "ablation",
    VARIANTS: "variants",
}

_FIX = (
    "give stores, models, evaluations, attribution, seqlet, kernel, marginalization, perturbation, ablation or variant "
    "runs, or motif folders"
)


@dataclass(frozen=True)
class Source:
    """One path.

    Parameters
    ----------
    path : as given
    file : the store, folder or HDF5 file that holds the data
    header : its JSON header (HDF5: the root attributes)
    done : done.json of the run or command that made it, empty when there is none
    """

    kind: Kind
    path: Path
    file: Path
    header: dict[str, Any]
    done: dict[str, Any]

    @property
    def run(self) -> str:
        """Name of the run's folder, or of a file that is in none."""
        in_run = self.path.is_file() and self.path.name == "out.h5"
        return (self.path.parent if in_run or self.path.name == "out.zarr" else self.path).resolve().name

    @property
    def output_sha256(self) -> str | None:
        """sha256 of the output as done.json has it: how other results refer to this one."""
        found = self.done.get("outputs", {}).get(self.file.name, {})
        return found.get("sha256") if isinstance(found, dict) else None


def recognise(path: Path) -> Source:
    """What ``path`` is.

    Raises
    ------
    InputError : nothing there, or nothing that a report can show
    IncompleteError : a run that is not merged yet
    CorruptError : damaged, or not what its done.json or motifs.json lists
    """
    if not path.exists():
        raise InputError(f"no such file or folder: {path}", fix="check the path")
    if path.is_file():
        return _hdf5(path, path)
    if (path / "motifs.json").is_file():
        return _motifs(path)
    if (path / "model.json").is_file() or (path / "training.json").is_file():
        return _folder("model", path, read_model_header(path))
    if (path / "metrics.json").is_file():
        return _folder("evaluation", path, read_json(path / "metrics.json"))
    if (path / "zarr.json").is_file() or (path / "out.zarr").is_dir():
        store = resolve_output(path, "out.zarr")
        header = read_header(store)
        kind: Kind = "genome" if header["kind"] == "genome" else "store"
        return Source(kind, path, store, header, _done(path) or _done(path.parent))
    if (path / PLAN).is_file() and not (path / DONE).is_file():
        raise IncompleteError(f"run is not merged yet: {path}", fix=f"drg-status {path} says what is missing")
    if (path / "out.h5").is_file():
        return _hdf5(path, resolve_output(path, "out.h5"))
    raise InputError(f"{path} is nothing that a report can show", fix=_FIX)


def _motifs(path: Path) -> Source:
    header = read_json(path / "motifs.json")
    check_files(path, header.get("files", {}))
    return Source("motifs", path, path / "out.h5", header, _done(path))


def _folder(kind: Kind, path: Path, header: dict[str, Any]) -> Source:
    """A folder whose done.json, if there is one, lists its files."""
    done = _done(path)
    check_files(path, done.get("outputs", {}))
    return Source(kind, path, path, header, done)


def _hdf5(path: Path, file: Path) -> Source:
    if not looks_like_hdf5(file):
        raise InputError(f"{file} is nothing that a report can show, it is not HDF5", fix=_FIX)
    check_recorded(file)
    header = contents.describe_hdf5(file, verify=False)["attributes"]
    kind = _FILE_KINDS.get(str(header.get("format")))
    if header.get("format") == STATISTICS:
        raise InputError(f"{file}: statistics are not drawn", fix="open it with drg-inspect or h5py")
    if kind is None:
        raise InputError(f"{file} has format {header.get('format')!r}", fix="give what a drg command wrote")
    if kind == "motifs" and (file.parent / "motifs.json").is_file():
        return recognise(file.parent)
    return Source(kind, path, file, header, _done(file.parent))


def _done(folder: Path) -> dict[str, Any]:
    found = read_json(folder / DONE) if (folder / DONE).is_file() else {}
    return found if isinstance(found, dict) else {}


class Sources:
    """All paths of one report."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.all = [recognise(path) for path in paths]
        seen: set[Path] = set()
        for source in self.all:
            if source.file.resolve() in seen:
                raise UsageError(f"given twice: {source.path}", fix="give every path once")
            seen.add(source.file.resolve())

    def name(self, source: Source) -> str:
        """What to call a source: its run, or where two of a kind have one name its path."""
        alike = sum(other.run == source.run for other in self.of(source.kind))
        return source.run if alike == 1 else str(source.path)

    def of(self, *kinds: Kind) -> list[Source]:
        """The sources of these kinds, in the order given."""
        return [source for source in self.all if source.kind in kinds]
