"""The part of drg-inspect that is about stores: what their header says, for readers and for programs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from drg_hpc.errors import CorruptError
from drg_hpc.files import human_bytes
from drg_hpc.store.dataset_layout import SPLITS

log = logging.getLogger("drg_hpc.inspect")

_SHOWN = 5
Facts = dict[str, Any]


def store_facts(path: Path, *, verify: bool) -> Facts:
    """All that a store says of itself, with its size.

    Raises
    ------
    CorruptError : with ``verify``, a file is missing, cut off or changed; each of them is logged
    """
    from drg_hpc.store.header import find_store, read_header
    from drg_hpc.store.manifest import read_manifest

    store = find_store(path)
    header = read_header(store)
    files = read_manifest(store)
    if verify:
        _verify(store, files)
    size = sum(record["bytes"] for record in files.values())
    facts: Facts = {"kind": f"{header['kind']} store", "bytes": size, "files": len(files) + 1}
    if header["kind"] == "genome":
        facts["bases"] = sum(contig["length"] for contig in header["contigs"])
        facts["bytes_per_base"] = size / max(facts["bases"], 1)
    else:
        facts["bytes_per_row"] = size / max(header["rows"], 1)
    return facts | {key: value for key, value in header.items() if key != "kind"}


def _verify(store: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    from drg_hpc.store.manifest import check_files

    try:
        check_files(store, files)
    except CorruptError:
        for name, record in files.items():  # the error names some of them
            try:
                check_files(store, {name: record})
            except CorruptError as fault:
                log.error("%s", fault.what)
        raise


def store_lines(facts: Facts) -> list[str]:
    """What a reader wants to know of a store; long lists are cut."""
    pairs = _genome(facts) if facts["kind"] == "genome store" else _dataset(facts)
    sources = (f"{name} {sha256[:12]}…" for name, sha256 in facts["sources"].items())
    pairs = {"kind": facts["kind"], **pairs, "sources (sha256)": _cut(sources)}
    return [f"{key}: {value}" for key, value in pairs.items() if value != ""]


def _genome(facts: Facts) -> dict[str, Any]:
    contigs, bases = facts["contigs"], max(facts["bases"], 1)
    total = {key: sum(contig[key] for contig in contigs) for key in ("n", "other", "soft_masked")}
    names = _cut(f"{contig['name']} {contig['length']}" for contig in contigs)
    return {
        "assembly": facts["assembly"],
        "contigs": f"{len(contigs)}, {facts['bases']:,} bases: {names}",
        "unknown": f"{total['n'] / bases:.2%} N, {total['other']} other letters",
        "soft-masked": f"{total['soft_masked'] / bases:.2%}",
        "on disk": f"{_size(facts)}, {facts['bytes_per_base']:.3f} bytes a base, {facts['codec']}",
        "appended to": _cut(f"store {sha256[:12]}…" for sha256 in facts["appended_to"]),
    }


def _dataset(facts: Facts) -> dict[str, Any]:
    splits = ", ".join(f"{facts['splits'][name]} {name}" for name in SPLITS)
    mode = facts["split"]["mode"]
    made = f", {facts['rows'] - facts['positives']} negatives ({facts['negatives']})" if facts["negatives"] else ""
    pairs = {
        "rows": f"{facts['rows']}: {facts['positives']} given{made}; {facts['kept']} kept",
        "splits": splits if mode == "none" else f"{splits} (by {mode})",
        "inputs": _cut(map(_input, facts["inputs"]), len(facts["inputs"])),
    }
    for modality, source in zip(facts["modalities"], facts["labels"], strict=True):
        pairs[f"targets {modality['name']}"] = _modality(modality, source)
    contigs = facts["contigs"]
    strands = "reverse-complemented on -" if facts["stranded"] else "as on the genome's + strand"
    return pairs | {
        "sequences": strands if contigs else "",
        "genome": f"{facts['assembly'] or 'assembly not stated'}, {len(contigs)} contigs" if contigs else "",
        "seed": facts["seed"],
        "on disk": f"{_size(facts)}, {facts['bytes_per_row']:.0f} bytes a row",
    }


def _input(item: Mapping[str, Any]) -> str:
    flank = f" and {item['flank']} more on either side" if item["flank"] else ""
    return f"{item['name']} of {item['length']} bases{flank}"


def _modality(modality: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    tracks = modality["tracks"]
    bins = f" in {modality['bins']} bins" if modality["bins"] else ""
    paired = sum(track["strand_partner"] != i for i, track in enumerate(tracks)) // 2
    transformed = sum(track["transform"] != "identity" for track in tracks)
    notes = [f"{key} {value}" for key, value in source.items() if key not in ("kind", "input") and value]
    notes += [f"{paired} stranded pairs"] if paired else []
    notes += [f"{transformed} tracks transformed"] if transformed else []
    origin = ", ".join([f"from {source['kind']}", *notes])
    names = _cut(track["name"] for track in tracks)
    return f"{len(tracks)} tracks{bins}, {modality['dtype']}, {origin}: {names}"


def _size(facts: Facts) -> str:
    return f"{human_bytes(facts['bytes'])} in {facts['files']} files"


def _cut(items: Iterable[str], shown: int = _SHOWN) -> str:
    listed = list(items)
    more = f", … ({len(listed)} in all)" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more
