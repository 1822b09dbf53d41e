"""drg-plot: logos of attributions as a file. Equal inputs, equal bytes."""

from __future__ import annotations

from typing import Any

from drg_hpc.files import new_file
from drg_hpc.report.figure_style import save, style
from drg_hpc.report.plot_config import PlotOptions
from drg_hpc.report.plot_figure import Drawing
from drg_hpc.report.plot_sheet import check_size
from drg_hpc.report.plot_source import read_sheet

_PAGE_DPI = 300
"""Of heat maps, the only images in a PDF or SVG."""


def draw_attributions(options: PlotOptions) -> dict[str, Any]:
    """Write the figure; what it shows as plain values: ``sections`` with their windows, and ``tracks``.

    Raises
    ------
    UsageError : regions, tracks or a window that are not there, no heat map in the file, or a figure too large
    InputError : a file in the way, a region that was not attributed, or nothing to read
    IncompleteError, CorruptError : a run that is not merged, or damaged
    """
    with new_file(options.out) as private:
        sheet = read_sheet(options)
        dpi = options.dpi if options.format == "png" else None
        check_size(sheet, dpi=dpi)
        with style():
            save(Drawing(sheet).draw(), private, dpi=dpi or _PAGE_DPI)
    sections = [
        {"title": section.title, "first": section.first, "last": section.first + section.columns}
        for section in sheet.sections
    ]
    return {"sections": sections, "tracks": [panel.title for panel in sheet.sections[0].panels]}
