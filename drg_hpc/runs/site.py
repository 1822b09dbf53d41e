"""What one site's cluster wants, written down once: configs/site.toml, or the file that DRG_SITE names."""

from __future__ import annotations

import os
from pathlib import Path

from drg_hpc.config import ClusterFlags, Options, build, flag, load_toml

SITE = "DRG_SITE"
"""Environment variable that names the site's file; without it configs/site.toml of this checkout is read."""


class SiteFile(Options):
    """configs/site.toml."""

    cluster: ClusterFlags = flag(ClusterFlags(), help="what jobs ask for, as the flags of the same names")
    scratch: str | None = flag(None, help="fast file system of the compute nodes; $NAME is looked up on the node")


def site_path() -> Path | None:
    """The site's file, or None where there is none."""
    named = os.environ.get(SITE)
    if named:
        return Path(named)
    path = Path(__file__).resolve().parents[2] / "configs" / "site.toml"
    return path if path.is_file() else None


def read_site() -> SiteFile:
    """The site's settings; defaults where there is no file.

    Raises
    ------
    InputError : DRG_SITE names no file, or it is not TOML
    UsageError : an unknown key or a bad value
    """
    path = site_path()
    return SiteFile() if path is None else build(SiteFile, load_toml(path), source=str(path))


def cluster_settings(flags: ClusterFlags, table: ClusterFlags, *, base: ClusterFlags | None = None) -> ClusterFlags:
    """Settings in force: a flag wins over the configuration's ``[cluster]``, that over ``base``.

    Parameters
    ----------
    flags : as given on the command line (or at the top level of a configuration)
    table : the configuration's ``[cluster]``
    base : settings of an earlier submission; default: the site's
    """
    found = (base or read_site().cluster).model_dump()
    for layer in (table, flags):
        names = [name for name in ClusterFlags.model_fields if name in layer.model_fields_set]
        found |= {name: value for name in names if (value := getattr(layer, name)) is not None}
    if found["image"] is not None:
        found["image"] = Path(found["image"]).absolute()  # jobs start elsewhere
    return ClusterFlags(**found)


def node_scratch() -> Path | None:
    """The site's scratch as this node's environment names it."""
    scratch = read_site().scratch
    return Path(os.path.expandvars(scratch)) if scratch else None
