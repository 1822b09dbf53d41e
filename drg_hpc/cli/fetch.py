"""drg-fetch: genomes and published models, by name or address."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from drg_hpc.cli.common import Result, run_command
from drg_hpc.config import Options, flag, positional

_SUMMARY = "Fetch a genome or a published model, resumable and held against its sha256; without a name, list them."
_EPILOG = "No other command downloads anything. Proxies are taken from the environment (https_proxy)."


class FetchOptions(Options):
    """Options of drg-fetch."""

    what: str | None = positional(
        None, help="a known name; or an http, https or file address, or a path", metavar="NAME|URL"
    )
    dest: Path = flag(Path("."), help="folder to put it in", metavar="DIR")
    name: str | None = flag(None, help="what to call the file (default: as it is published)", metavar="FILE")
    sha256: str | None = flag(None, help="digest that the file must have", metavar="HEX")
    first_use: bool = flag(
        False,
        help="where no digest is known: trust the bytes that arrive now, print their sha256, note it in "
        "DIR/fetched.json, and refuse anything else there ever after",
    )
    timeout: float = flag(60.0, help="seconds without any byte before a connection is given up", metavar="S", gt=0)


def _listed() -> Result:
    from drg_hpc.genome.fetch_table import TABLE

    width = max(map(len, TABLE))
    lines = []
    for name, entry in TABLE.items():
        records = entry.files[0].records
        pin = f"sha256 from {records}" if records else "no sha256 is known: --sha256 or --first-use"
        lines.append(f"{name.ljust(width)}  {entry.what}; {pin}")
    known = {
        name: [{"url": f.url, "sha256": f.sha256, "unpacked_sha256": f.unpacked, "records": f.records} for f in e.files]
        for name, e in TABLE.items()
    }
    return {"message": f"{len(TABLE)} names; drg-fetch NAME --dest DIR", "lines": lines, "known": known}


def _action(options: FetchOptions) -> Result:
    if options.what is None:
        return _listed()
    from drg_hpc.genome.fetch import RECORD, fetch, resolve
    from drg_hpc.genome.fetch_table import TABLE

    files, lines = [], []
    for source in resolve(options.what, sha256=options.sha256 or "", name=options.name or ""):
        done = fetch(source, options.dest, first_use=options.first_use, timeout=options.timeout)
        lines.append(f"{done.path}: sha256 {done.sha256} ({done.status}; held against {done.trust})")
        if done.trust == "first use":
            lines.append(f"trusted on first use: nothing vouches for this digest but {options.dest / RECORD}, made now")
        files.append({"path": str(done.path), "sha256": done.sha256, "status": done.status, "trust": done.trust})
    if options.what in TABLE and (assembly := TABLE[options.what].assembly):
        lines.append(f"next: drg-shard genome {files[0]['path']} --assembly {assembly} -o RUN")
    verb = "fetched" if any(file["status"] == "fetched" for file in files) else "already there"
    message = f"{verb}: {', '.join(file['path'] for file in files)}"
    return {"message": message, "lines": lines, "files": files}


def main() -> NoReturn:
    """drg-fetch."""
    run_command(prog="drg-fetch", summary=_SUMMARY, options=FetchOptions, action=_action, epilog=_EPILOG)
