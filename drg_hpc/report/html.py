"""HTML as text: escaping, tables, figures, and the style sheet of the page."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

GENERATOR = '<meta name="generator" content="drg-report">'

STYLE = """
:root{--ink:#1b1f24;--soft:#57606a;--line:#d8dee4;--wash:#f6f8fa;--accent:#0b5394}
*{box-sizing:border-box}
body{margin:0;color:var(--ink);background:#fff;
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 24px 64px}
h1{font-size:1.9rem;line-height:1.2;margin:.2em 0 .5em;letter-spacing:-.01em}
h2{font-size:1.3rem;margin:2.4em 0 .7em;padding-top:.7em;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.4em 0 .5em}
p{margin:.5em 0 .9em;max-width:75ch}
.lead{font-size:1.1rem}
.note,figcaption,.sub{color:var(--soft);font-size:.88rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:1.3em 0}
.card{background:var(--wash);border:1px solid var(--line);border-radius:8px;padding:12px 14px;min-width:0}
.card b{display:block;font-size:1.45rem;line-height:1.25;overflow-wrap:anywhere}
.card span{color:var(--soft);font-size:.84rem}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(300px,100%),1fr));gap:20px 28px;margin:1em 0}
figure{margin:0;min-width:0;max-width:620px}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font-family:inherit;fill:var(--ink)}
.scroll{overflow-x:auto;margin:.8em 0}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:7px 12px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;white-space:nowrap}
td.n,th.n{text-align:right}
code{font:.86em/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.wide svg{min-width:620px}
.warning{border:1px solid #b35900;border-left-width:5px;border-radius:6px;background:#fff6e9;padding:.6em 1em}
.warning ul{margin:.3em 0;padding-left:1.2em}
.warning li{overflow-wrap:anywhere}
.hint{display:none}
.facts th{white-space:normal;width:24%}
.facts td{overflow-wrap:anywhere}
.example{margin:1.1em 0 1.5em}
.motifs td{vertical-align:middle}
.motifs .logo{width:46%;min-width:300px}
.motifs .name{min-width:150px}
.motifs .name b{font-size:1.05rem}
.motifs .name span,.motifs .name code{display:block}
details{margin:.6em 0;border:1px solid var(--line);border-radius:8px;padding:.5em .9em}
summary{cursor:pointer;font-weight:600;overflow-wrap:anywhere}
@media (max-width:720px){
main{padding:18px 16px 48px}
h1{font-size:1.5rem}
.cards{grid-template-columns:1fr 1fr}
.card b{font-size:1.2rem}
.facts th{width:36%}
.hint{display:block;color:var(--soft);font-size:.8rem;position:sticky;left:0}
.motifs thead,.stack thead{display:none}
.motifs,.motifs tbody,.motifs tr,.motifs td,.stack,.stack tbody,.stack tr,.stack td{display:block;width:100%}
.motifs tr,.stack tr{border-bottom:1px solid var(--line);padding:10px 0}
.motifs td,.stack td{border:0;padding:3px 0;overflow-wrap:anywhere}
.motifs td.n,.stack td.n{text-align:left}
.motifs td[data-label]::before,.stack td[data-label]::before{content:attr(data-label) ": ";color:var(--soft)}
.motifs .logo{width:100%;min-width:0}
}
@media print{
body{font-size:10.5pt}
main{max-width:none;padding:0}
h2,h3,summary{break-after:avoid}
figure,.card,.example,tr{break-inside:avoid}
.scroll{overflow:visible}
details>*{display:block}
}
"""


def escape(text: object) -> str:
    """Text made safe for element content and attributes."""
    return html.escape(str(text), quote=True)


def number(value: object, digits: int = 3) -> str:
    """A count with thousands separators, a real number with ``digits`` significant digits, a dash for nothing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def counted(value: int, what: str, plural: str = "s") -> str:
    """``1 sequence``, ``1,200 sequences``."""
    return f"{number(value)} {what}{'' if value == 1 else plural}"


def small(value: float) -> str:
    """A probability: ``3.2e-26`` with a real minus and exponent, ``0.012``."""
    if value == 0:
        return "0"
    if value >= 0.001:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def probability(value: float) -> str:
    """A p or q: a dash where there is none; one that is too small for a number says so."""
    if not math.isfinite(value):
        return "–"
    return "<10⁻³⁰⁰" if value < 1e-300 else small(value)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, numeric: Sequence[int] = ()) -> str:
    """A table; on a narrow screen its rows become lists of named values. Cells are escaped.

    Parameters
    ----------
    numeric : columns aligned to the right
    """

    marks = [' class="n"' if i in numeric else "" for i in range(len(head))]
    labels = [f' data-label="{escape(name)}"' for name in head]
    titles = "".join(f"<th{mark}>{escape(name)}</th>" for mark, name in zip(marks, head, strict=True))
    body = ""
    for row in rows:
        cells = zip(marks, labels, row, strict=True)
        body += f"<tr>{''.join(f'<td{mark}{label}>{escape(value)}</td>' for mark, label, value in cells)}</tr>"
    made = f'<table class="stack"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{made}</div>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """A two-column table of named values; empty values are left out."""
    shown = ((key, value) for key, value in pairs if value not in ("", None))
    rows = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in shown)
    return f'<table class="facts">{rows}</table>'


def figure(svg: str, caption: str) -> str:
    """A figure with its caption (escaped)."""
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def figures(items: Sequence[str]) -> str:
    """Figures side by side where there is room."""
    return f'<div class="figures">{"".join(items)}</div>' if items else ""


def cards(items: Iterable[tuple[str, str]]) -> str:
    """Key numbers: (value, what it is)."""
    found = "".join(f'<div class="card"><b>{escape(v)}</b><span>{escape(what)}</span></div>' for v, what in items)
    return f'<div class="cards">{found}</div>' if found else ""


def wide(svg: str) -> str:
    """A figure too wide for a phone, in a box that scrolls there and says so."""
    return f'<div class="scroll wide"><span class="hint">scroll sideways →</span>{svg}</div>'


def warning(lead: str, items: Sequence[str]) -> str:
    """A box that cannot be overlooked; nothing without items."""
    found = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<div class="warning" role="note"><b>{escape(lead)}</b><ul>{found}</ul></div>' if found else ""


def is_report(path: Path) -> bool:
    """Whether a file is a page that :func:`document` made."""
    with open(path, "rb") as handle:
        return GENERATOR.encode() in handle.read(4096)


def section(title: str, content: str, *, anchor: str) -> str:
    """A section, or nothing when it is empty."""
    return f'<section id="{escape(anchor)}"><h2>{escape(title)}</h2>{content}</section>' if content else ""


def document(title: str, body: str) -> str:
    """The whole page: HTML5, no script, nothing fetched."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'{GENERATOR}\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
