"""The part of drg-export that reads result files: regions, and arrays by base or bin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drg_hpc.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from drg_hpc.genome.export import Contigs, Written

_BLOCK = 64
_ATTRIBUTION = "tracks/00000/projected"


class _Results:
    """An open file of attributions or predictions.

    Attributes
    ----------
    regions : its table of regions
    arrays : path -> dataset, of those that have a value per row and position
    tracks : names along the second axis of an array of predictions
    stranded : rows of strand - run backwards along the genome
    length : bases of a row, 0 where the file does not say
    """

    def __init__(self, path: Path, stack: ExitStack) -> None:
        from drg_hpc.results.reader import read_attributions

        self.path = path
        self.regions: pd.DataFrame
        self.arrays: dict[str, Any] = {}
        self.tracks: list[str] = []
        self.stranded, self.length = True, 0
        try:
            found = stack.enter_context(read_attributions(path))
        except InputError:
            self._predictions(path)
            return
        self.regions, self.length = found.regions, found.length
        self.stranded = bool(found.attributes.get("stranded", False))
        found.file.visititems(self._visit)

    def _predictions(self, path: Path) -> None:
        from drg_hpc.results.reader import read_predictions

        try:
            found = read_predictions(path)
        except InputError:
            raise InputError(f"{path} holds neither attributions nor predictions") from None
        self.regions, self.tracks = found.regions, found.tracks
        self.arrays["predictions"] = found.values

    def _visit(self, name: str, item: Any) -> None:
        if getattr(item, "ndim", 0) == 2:
            self.arrays[name] = item

    def kept(self) -> NDArray[np.int64]:
        """Numbers of the rows that were kept."""
        import numpy as np

        return np.flatnonzero(self.regions["kept"].to_numpy(dtype=bool)).astype(np.int64)

    def unkept(self) -> dict[str, int]:
        """Rows that were not, for a report."""
        count = len(self.regions) - len(self.kept())
        return {"rows are not kept": count} if count else {}


def result_bed(path: Path, out: Path, contigs: Contigs | None) -> Written:
    """Regions of a result file: kept rows that lie on the genome."""
    from drg_hpc.genome.export import Written, place_rows, write_bed

    with ExitStack() as stack:
        results = _Results(path, stack)
        placed = place_rows(results.regions, results.kept(), contigs)
        write_bed(out, results.regions, rows=placed.rows, contigs=contigs)
        return Written({"regions": len(placed.rows)}, {**results.unkept(), **placed.left_out})


def result_bigwig(
    path: Path, out: Path, contigs: Contigs, *, array: str | None, track: Callable[[Sequence[str]], int]
) -> Written:
    """An array of a result file, (rows, positions) or predictions (rows, tracks, bins), put back on the genome.

    Positions of minus-strand rows are reversed; their tracks stay those of the sequence, since result files do not
    say which tracks are partners.

    Parameters
    ----------
    track : number of the track that is wanted, given their names

    Raises
    ------
    UsageError : no such array, or one without positions
    """
    import numpy as np

    from drg_hpc.genome.export import Written, place_rows
    from drg_hpc.genome.export_bigwig import write_bigwig

    with ExitStack() as stack:
        results = _Results(path, stack)
        values, column = _positions(results, array, track)
        kept = results.kept()
        regions = results.regions
        spans = (regions["end"] - regions["start"]).iloc[kept]
        width = results.length or int(spans.max())
        placed = place_rows(regions, kept, contigs, length=width)
        minus = (regions["strand"] == "-").to_numpy(dtype=bool) & results.stranded

        def read(rows: NDArray[np.int64]) -> NDArray[Any]:
            found = np.empty((len(rows), values.shape[-1]), np.float32)
            for block in np.unique(rows // _BLOCK):
                here = np.flatnonzero(rows // _BLOCK == block)
                stored = values[int(block) * _BLOCK : (int(block) + 1) * _BLOCK]
                picked = stored[rows[here] - int(block) * _BLOCK]
                found[here] = picked if column is None else picked[:, column]
            found[minus[rows]] = found[minus[rows], ::-1]
            return found

        starts = regions["start"].to_numpy(np.int64)
        bases = write_bigwig(out, contigs, placed, start=starts, width=width, positions=values.shape[-1], read=read)
        return Written({"regions": len(placed.rows), "bases": bases}, {**results.unkept(), **placed.left_out})


def _positions(results: _Results, array: str | None, track: Callable[[Sequence[str]], int]) -> tuple[Any, int | None]:
    """The array, and which of its tracks."""
    if results.tracks:
        values = results.arrays["predictions"]
        if array not in (None, "predictions"):
            raise UsageError(f"--array {array}: {results.path} has predictions only")
        if values.ndim != 3:
            raise UsageError(f"{results.path} has one prediction a track and region, not bins or bases")
        return values, track(results.tracks)
    if array is None:
        raise UsageError(f"{results.path} has several arrays", fix=f"choose one with --array, such as {_ATTRIBUTION}")
    if array not in results.arrays:
        listed = ", ".join(name for name in results.arrays)
        raise UsageError(f"--array {array}: not an array (rows, positions) of {results.path}", fix=f"it has {listed}")
    return results.arrays[array], None
