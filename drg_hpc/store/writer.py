"""Writing stores: a part is a set of whole zarr shard files, a store is all of them linked together.

Two writers of one zarr shard lose rows silently, and rewriting a shard in place reads the old one first; so one
worker owns whole shards, every shard file is written once, and metadata and manifest come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drg_hpc.errors import CorruptError
from drg_hpc.files import link_or_copy, sha256_file
from drg_hpc.genome.onehot import codes_to_onehot
from drg_hpc.store.arrays import store_arrays, store_labels
from drg_hpc.store.layout import ArraySpec
from drg_hpc.store.manifest import write_manifest
from drg_hpc.store.shard_files import is_direct, write_codes, write_values
from drg_hpc.store.zarr_io import create_array, group_metadata, write_labels

if TYPE_CHECKING:
    import zarr


class PartWriter:
    """Writes whole zarr shards of some arrays below ``folder``; afterwards only the shard files are left there.

    Parameters
    ----------
    folder : becomes the tree of a store without metadata
    arrays : specifications of the whole store, so that every part knows the full shape
    """

    def __init__(self, folder: Path, arrays: Iterable[ArraySpec]) -> None:
        self.folder = folder
        self.specs = {spec.path: spec for spec in arrays}
        self._open: dict[str, zarr.Array[Any]] = {}

    def write(self, path: str, index: int, values: np.ndarray[Any, Any]) -> None:
        """Write shard number ``index`` of an array; ``values`` are exactly the rows of that shard."""
        spec = self._spec(path, index, len(values))
        if is_direct(spec):
            write_values(self.folder, spec, index, values)
            return
        if path not in self._open:
            self._open[path] = create_array(self.folder, spec)
        self._open[path][spec.shard_slice(index)] = values
        assert (self.folder / spec.shard_file(index)).is_file()

    def write_codes(self, path: str, index: int, codes: NDArray[np.uint8]) -> None:
        """Write shard number ``index`` of a one-hot array given the base codes of its rows.

        ``packbits`` is written from the codes at once; ``blosc`` is expanded and goes through zarr.
        """
        spec = self._spec(path, index, len(codes))
        if spec.codec == "packbits":
            write_codes(self.folder, spec, index, codes)
        else:
            self.write(path, index, codes_to_onehot(codes))

    def _spec(self, path: str, index: int, rows: int) -> ArraySpec:
        spec = self.specs[path]
        wanted = spec.shard_slice(index)
        assert rows == wanted.stop - wanted.start, "a shard is written whole"
        return spec

    def close(self) -> None:
        """Remove the metadata; the merge writes it once for the whole store."""
        self._open.clear()
        for metadata in self.folder.rglob("zarr.json"):
            metadata.unlink()


def _group_folders(arrays: Iterable[ArraySpec]) -> list[str]:
    groups = {str(parent) for spec in arrays for parent in PurePosixPath(spec.path).parents}
    return sorted(groups - {"."})


def assemble(out: Path, header: Mapping[str, Any], parts: Iterable[tuple[Path, Mapping[str, Any]]]) -> None:
    """Make a whole store from its parts: shard files linked, then metadata, then the manifest.

    Parameters
    ----------
    out : the store's folder, not there yet
    header : goes to the root's ``attributes["drg"]``
    parts : (part's store tree, known ``{relative path: {bytes, sha256}}`` of it, which may be empty)

    Raises
    ------
    CorruptError : a shard file of the store is in no part
    """
    arrays = store_arrays(header)
    found: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for folder, records in parts:
        for path in folder.rglob("*"):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                found[name] = (path, records.get(name, {}))
    files: dict[str, dict[str, Any]] = {}
    out.mkdir(parents=True)
    for spec in arrays:
        for index in range(spec.shard_count):
            name = spec.shard_file(index)
            if name not in found:
                raise CorruptError(f"no part holds {name}", fix="remove the part and run drg-work again")
            source, record = found[name]
            link_or_copy(source, out / name)
            files[name] = {"bytes": source.stat().st_size, "sha256": record.get("sha256") or sha256_file(source)}
    for name in _write_metadata(out, header, arrays):
        files[name] = {"bytes": (out / name).stat().st_size, "sha256": sha256_file(out / name)}
    write_manifest(out, files)


def _write_metadata(out: Path, header: Mapping[str, Any], arrays: list[ArraySpec]) -> list[str]:
    names = ["zarr.json"]
    for spec in arrays:
        create_array(out, spec)
        names.append(f"{spec.path}/zarr.json")
    for path, values in store_labels(header).items():
        names += write_labels(out, path, values)
    for group in _group_folders(arrays):
        (out / group / "zarr.json").write_text(group_metadata({}))
        names.append(f"{group}/zarr.json")
    (out / "zarr.json").write_text(group_metadata({"drg": dict(header)}))
    return names
