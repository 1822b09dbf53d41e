"""numba's cache inside the image: machine code compiled at build time, copied on first use to where it may grow.

numba takes a cache folder only if it can write there, and the image is read-only. So the folder of a source file is
copied, when one of its functions is first asked for, from the image to ``~/.cache/drg_hpc/numba-<image>``, or below
NUMBA_CACHE_DIR where that is set, or, where neither is writable, to a private folder in TMPDIR that ends with the
process. The environment of the image names this class in NUMBA_CACHE_LOCATOR_CLASSES.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import uuid
from pathlib import Path

from numba.core.caching import UserWideCacheLocator

_SEED = Path("/opt/drg/numba")
_IDENTITY = Path("/opt/drg/IMAGE")


@functools.cache
def _root() -> Path:
    """Where the cache may grow: one folder an image, so that two images never share an index."""
    identity = _IDENTITY.read_text().split()[0] if _IDENTITY.exists() else "unnamed"
    asked, cache = os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    base = Path(asked) if asked else Path(cache or Path.home() / ".cache") / "drg_hpc"
    root = base / f"numba-{identity[:16]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=root).close()
    except OSError:
        private = tempfile.mkdtemp(prefix="drg-numba-")
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        return Path(private)
    return root


class ImageCacheLocator(UserWideCacheLocator):
    """Points numba to the growing copy of the image's cache."""

    def __init__(self, py_func: object, py_file: str) -> None:
        super().__init__(py_func, py_file)
        self._name = self.get_suitable_cache_subpath(py_file)
        self._cache_path = str(_root() / self._name)

    def ensure_cache_path(self) -> None:
        """Copy the folder on first use; several processes may do so at once."""
        target, seed = Path(self._cache_path), _SEED / self._name
        if not target.exists() and seed.is_dir():
            copy = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            try:
                shutil.copytree(seed, copy, copy_function=shutil.copyfile)
                copy.chmod(0o700)
                os.rename(copy, target)
            except OSError:  # another process was first, or there is no room: numba then compiles
                shutil.rmtree(copy, ignore_errors=True)
        super().ensure_cache_path()
