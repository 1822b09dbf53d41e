"""The part of drg-export that reads result files: regions, arrays by base or bin, attributions for other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drg_hpc.errors import InputError, UsageError
from drg_hpc.files import publish_dir

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from drg_hpc.genome.export import Contigs, Written
    from drg_hpc.results.reader import Attributions

_ATTRIBUTION = "tracks/00000/projected"


class _Results:
    """An open file of attributions or predictions.

    Attributes
    ----------
    attributions : the open file, None where it holds predictions
    regions : its table of regions
    arrays : path -> dataset, of those that have a value per row and position
    tracks : names along the second axis of an array of predictions
    stranded : rows of strand - run backwards along the genome
    length : bases of a row, 0 where the file does not say
    """

    def __init__(self, path: Path, stack: ExitStack, input: str | None) -> None:
        from drg_hpc.results.reader import read_attributions

        self.path = path
        self.attributions: Attributions | None = None
        self.regions: pd.DataFrame
        self.arrays: dict[str, Any] = {}
        self.tracks: list[str] = []
        self.stranded, self.length = True, 0
        try:
            found = stack.enter_context(read_attributions(path, input))
        except InputError:
            self._predictions(path)
            if input is not None:
                raise UsageError(f"--input {input}: {path} has predictions", fix="leave it out") from None
            return
        self.attributions = found
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


def result_bed(path: Path, out: Path, contigs: Contigs | None, *, input: str | None) -> Written:
    """Regions of a result file: kept rows that lie on the genome."""
    from drg_hpc.results.exports_genome import regions_bed

    with ExitStack() as stack:
        return regions_bed(out, _Results(path, stack, input).regions, contigs)


def result_bigwig(
    path: Path,
    out: Path,
    contigs: Contigs,
    *,
    input: str | None,
    array: str | None,
    chosen: bool,
    track: Callable[[Sequence[str]], int],
) -> Written:
    """An array of a result file, (rows, positions) or predictions (rows, tracks, bins), put back on the genome.

    Positions of minus-strand rows are reversed; their tracks stay those of the sequence, since result files do not
    say which tracks are partners.

    Parameters
    ----------
    chosen : a track was named; without an array its projected attributions are meant
    track : number of the track that is wanted, given their names

    Raises
    ------
    UsageError : no such array or track, or one without positions
    """
    from drg_hpc.results.exports_genome import rows_bigwig, track_bigwig

    with ExitStack() as stack:
        results = _Results(path, stack, input)
        if results.attributions is not None and chosen:
            if array is not None:
                raise UsageError(f"--array {array} is of one track", fix="leave out --array or --tracks")
            names = list(results.attributions.tracks)
            return track_bigwig(out, contigs, results.attributions, names[track(names)])
        values, column = _positions(results, array, track)
        regions = results.regions
        kept = regions["kept"].astype(bool)

        def read(start: int, stop: int) -> NDArray[Any]:
            stored: NDArray[Any] = values[start:stop]
            return stored if column is None else stored[:, column]

        return rows_bigwig(
            out,
            contigs,
            regions,
            width=results.length or int((regions["end"] - regions["start"])[kept].max()),
            positions=int(values.shape[-1]),
            stranded=results.stranded,
            read=read,
        )


def result_arrays(
    path: Path,
    out: Path,
    kind: str,
    *,
    input: str | None,
    tracks: Callable[[Sequence[str]], list[int]],
    contigs: Contigs | None,
) -> Written:
    """A folder of arrays for modisco, finemo or the DRG tools.

    Parameters
    ----------
    tracks : numbers of the tracks that are wanted, given their names
    """
    from drg_hpc.results.exports import export_kind
    from drg_hpc.results.reader import list_inputs, read_attributions

    if out.exists():
        raise UsageError(f"{out} exists", fix="choose another -o, or remove it first")
    if not out.absolute().parent.is_dir():
        raise InputError(f"no such folder: {out.absolute().parent}", fix="make it first")
    with ExitStack() as stack:
        every = list_inputs(path) if kind == "drg" and input is None else ()
        inputs = [stack.enter_context(read_attributions(path, name)) for name in every or (input,)]
        names = list(inputs[0].tracks)
        chosen = [names[number] for number in tracks(names)]
        with publish_dir(out) as folder:
            return export_kind(kind, inputs, folder, contigs=contigs, tracks=chosen)


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
        advice = f"choose one with --array, such as {_ATTRIBUTION}, or a track with --tracks"
        raise UsageError(f"{results.path} has several arrays", fix=advice)
    if array not in results.arrays:
        listed = ", ".join(name for name in results.arrays)
        raise UsageError(f"--array {array}: not an array (rows, positions) of {results.path}", fix=f"it has {listed}")
    return results.arrays[array], None
