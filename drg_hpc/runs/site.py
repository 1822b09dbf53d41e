"""What one site's cluster wants, written down once: configs/site.toml, or the file that DRG_SITE names."""

from __future__ import annotations

import os
from pathlib import Path

from drg_hpc.config import ClusterFlags, Options, build, flag, load_toml
from drg_hpc.errors import InputError

SITE = "DRG_SITE"
"""Environment variable that names the site's file; without it configs/site.toml of this checkout is read."""


NO_IMAGE = Path("none")


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


def pin_site() -> None:
    """Make DRG_SITE absolute, for jobs and processes that start elsewhere."""
    if named := os.environ.get(SITE):
        os.environ[SITE] = os.path.abspath(named)


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
    """Settings in force: a flag wins over the configuration's ``[cluster]``, that over ``base``; binds add up.

    The image ``none`` means that there is none.

    Parameters
    ----------
    flags : as given on the command line (or at the top level of a configuration)
    table : the configuration's ``[cluster]``
    base : settings of an earlier submission; default: the site's
    """
    found = (base or read_site().cluster).model_dump()
    for layer in (table, flags):
        names = [name for name in ClusterFlags.model_fields if name in layer.model_fields_set]
        given = {name: value for name in names if (value := getattr(layer, name)) is not None}
        if "bind" in given:  # what one must see and what another one must see
            given["bind"] = list(dict.fromkeys([*found["bind"], *given["bind"]]))
        found |= given
    if found["image"] is not None:
        image = Path(found["image"])
        found["image"] = None if image == NO_IMAGE else image.absolute()  # jobs start elsewhere
    return ClusterFlags(**found)


def node_scratch() -> Path | None:
    """The site's scratch as this node's environment names it.

    Raises
    ------
    InputError : it names a variable that is not set here
    """
    scratch = read_site().scratch
    if not scratch:
        return None
    found = os.path.expandvars(scratch)
    if "$" in found:
        raise InputError(f"scratch = {scratch!r} in {site_path()} names a variable that is not set on this node",
                         fix="set it in setup, or name a folder")  # fmt: skip
    return Path(found)
