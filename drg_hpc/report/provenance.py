"""Where everything on the page comes from: command lines, digests, versions, times."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from drg_hpc.report import html
from drg_hpc.report.sources import Source, Sources

_KINDS = {
    "store": "dataset store", "genome": "genome store", "model": "model", "evaluation": "evaluation",
    "attributions": "attributions", "predictions": "predictions", "seqlets": "seqlets", "motifs": "motifs",
    "kernels": "kernels", "marginalization": "motifs in backgrounds", "perturbation": "perturbation tests",
    "ablation": "ablations", "variants": "variants",
}  # fmt: skip


def provenance_section(sources: Sources) -> str:
    """HTML: one foldable block per path, open so that prints hold it."""
    return "".join(_block(source) for source in sources.all)


def kind_words(source: Source) -> str:
    """What a source is, in words."""
    return _KINDS[source.kind]


def _block(source: Source) -> str:
    done = source.done
    by = done.get("by", {}) if isinstance(done.get("by"), dict) else {}
    pairs: list[tuple[str, object]] = [
        ("command", shlex.join(map(str, by.get("command_line", [])))),
        ("made", " ".join(str(part) for part in (done.get("time", ""), _place(by)) if part)),
        ("seconds", ", ".join(_seconds(done.get("seconds")))),
        ("inputs", "; ".join(_inputs(done.get("inputs") or source.header.get("inputs")))),
        ("outputs", "; ".join(_outputs(done.get("outputs")))),
        ("plan", done.get("plan", "")),
        ("digest", source.header.get("digest") or source.header.get("inputs_digest") or ""),
        ("devices", ", ".join(f"{name} (parts: {n})" for name, n in (done.get("devices") or {}).items())),
        ("settings", _settings(done.get("params") or source.header.get("params"))),
        ("versions", ", ".join(f"{name} {version}" for name, version in (done.get("versions") or {}).items())),
    ]
    title = f"{kind_words(source)}: {source.path}"
    return f"<details open><summary>{html.escape(title)}</summary>{_code_table(pairs)}</details>"


def _code_table(pairs: list[tuple[str, object]]) -> str:
    shown = ((html.escape(key), html.escape(value)) for key, value in pairs if value)
    rows = "".join(f"<tr><th>{key}</th><td><code>{value}</code></td></tr>" for key, value in shown)
    return f'<table class="facts">{rows}</table>' if rows else '<p class="note">Nothing recorded.</p>'


def _place(by: dict[str, Any]) -> str:
    host, job = by.get("host"), by.get("job")
    return " ".join(part for part in (f"on {host}" if host else "", f"in job {job}" if job else "") if part)


def _seconds(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{key} {html.number(seconds, 4)}" for key, seconds in value.items())
    elif value is not None:
        yield html.number(value, 4)


def _inputs(value: Any) -> Iterator[str]:
    for name, record in sorted(value.items()) if isinstance(value, dict) else ():
        if isinstance(record, dict):
            parts = (record.get("path", ""), f"sha256 {record['sha256'][:16]}…" if "sha256" in record else "")
            yield f"{name}: {' '.join(part for part in parts if part)}"
        else:
            yield f"{name}: {record}"


def _outputs(value: Any) -> Iterator[str]:
    for name, record in sorted(value.items()) if isinstance(value, dict) else ():
        yield f"{name}: sha256 {record.get('sha256', '')}"


def _settings(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    parts = (f"{key} = {json.dumps(item)}" for key, item in sorted(value.items()))
    return ", ".join(part if len(part) <= 200 else part[:199] + "…" for part in parts)
