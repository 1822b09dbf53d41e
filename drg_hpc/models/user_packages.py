"""Which packages no model factory may come from: those of this suite's own environment. Light: no torch here."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import metadata

_ALWAYS = {
    "captum", "dask", "distributed", "drg_hpc", "h5py", "numpy", "pandas", "pip", "pkg_resources", "pyarrow", "pytest",
    "safetensors", "scipy", "setuptools", "submitit", "sympy", "torch", "zarr",
}  # fmt: skip
_SUITE = "drg-hpc"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _required(name: str, extras: frozenset[str] | None) -> list[tuple[str, frozenset[str]]]:
    """What a distribution requires, each with the extras that it asks for; of all its own extras where None."""
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for line in lines:
        match, asked = _REQUIREMENT.match(line), _EXTRA.search(line)
        if match is not None and (asked is None or extras is None or _plain(asked[1]) in extras):
            found.append((_plain(match[1]), frozenset(_plain(x) for x in (match[2] or "").split(",") if x.strip())))
    return found


@cache
def suite_packages() -> frozenset[str]:
    """Names by which what this suite requires, directly or not, is imported."""
    known, left = set[tuple[str, frozenset[str]]](), _required(_SUITE, None)
    while left:
        item = left.pop()
        if item not in known:
            known.add(item)
            left += _required(*item)
    needed = {name for name, _ in known}
    tops = {top for top, names in metadata.packages_distributions().items() if {_plain(n) for n in names} & needed}
    return frozenset(tops | _ALWAYS)


def is_ours(module: str) -> bool:
    """Whether a module is of the standard library, or of a package that this suite requires."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in suite_packages()
