"""What reading a store of either kind has in common. Opening one checks that every file is there with its size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drg_hpc.errors import CorruptError
from drg_hpc.store.arrays import store_arrays
from drg_hpc.store.manifest import check_hashes, check_sizes, read_manifest
from drg_hpc.store.zarr_io import open_array

if TYPE_CHECKING:
    import zarr


class Store:
    """Root folder, header, manifest and opened arrays of a store."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path, self.header = path, header
        self.manifest = read_manifest(path)
        check_sizes(path, self.manifest)
        self._specs = {spec.path: spec for spec in store_arrays(header)}
        self._arrays: dict[str, zarr.Array[Any]] = {}

    def _read(self, name: str, start: int, stop: int) -> Any:
        """Rows ``start`` to ``stop`` of an array; a failing checksum becomes one line that names the file."""
        spec = self._specs[name]
        try:
            if name not in self._arrays:
                self._arrays[name] = open_array(self.path, name)
            return self._arrays[name][start:stop]
        except (ValueError, RuntimeError, OSError, KeyError) as error:
            files = [spec.shard_file(i) for i in range(start // spec.shard, -(-stop // spec.shard))]
            check_hashes(self.path, self.manifest, [*files, f"{name}/zarr.json"])
            raise CorruptError(f"cannot read {self.path / name}: {error}", fix="drg-inspect --verify") from error
