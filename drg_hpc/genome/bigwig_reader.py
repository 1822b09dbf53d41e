"""Values of many bigWig files over many regions: per region, per bin or per base pair, exact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from drg_hpc.errors import InputError
from drg_hpc.genome.bigwig_file import FilePool, Spans, Sums, add_regions, open_limit
from drg_hpc.genome.bigwig_header import BigWigHeader, read_header
from drg_hpc.genome.bigwig_reduce import Floats, Missing, Reduce, reduce_bins, sums_per_row
from drg_hpc.genome.contigs import map_contigs
from drg_hpc.genome.transforms import Transform

log = logging.getLogger(__name__)


# Bins that one job holds: 24 bytes each, so that threads together stay at some tens of megabytes.
_JOB_BINS = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Intervals on a genome's contigs, 0-based, half-open; any order, overlaps allowed.

    Parameters
    ----------
    contig : (n,) number of the contig in the order of the genome's ``contigs``; -1 for a row without a place
        (not kept), whose values are NaN
    start, end : (n,) start may be negative and end beyond the contig: base pairs outside are missing
    minus : (n,) bool, bins of these rows are reversed
    """

    contig: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    minus: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        chrom: Sequence[str] | NDArray[Any],
        start: Sequence[int] | NDArray[Any],
        end: Sequence[int] | NDArray[Any],
        *,
        contigs: Mapping[str, int],
        minus: Sequence[bool] | NDArray[np.bool_] | None = None,
        kept: Sequence[bool] | NDArray[np.bool_] | None = None,
    ) -> Intervals:
        """From contig names as the genome writes them; a name it does not have has no place."""
        number = {name: i for i, name in enumerate(contigs)}
        contig = np.array([number.get(str(name), -1) for name in chrom], np.int64)
        if kept is not None:
            contig[~np.asarray(kept, bool)] = -1
        strand = np.zeros(len(contig), bool) if minus is None else np.asarray(minus, bool)
        return cls(contig, np.asarray(start, np.int64), np.asarray(end, np.int64), strand)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """Rows of one track: the unit of work. ``rows`` are in the order of the file's contigs."""

    track: int
    column: int
    rows: NDArray[np.int64]
    reduce: Reduce
    transform: Transform | None


class BigWigReader:
    """Open bigWig files, their contig names mapped to those of a genome.

    Headers are read once; a bounded number of files is held open, whatever their number.

    Parameters
    ----------
    files : bigWig files, the tracks in order
    contigs : name -> length of the genome's contigs
    threads : threads that read, inflate and sum; the numbers do not depend on them
    max_open : files held open (default: a quarter of the system's limit, at most 1,024)

    Raises
    ------
    InputError : a file is missing, not a bigWig, truncated, shares no contig with the genome, or another assembly
    """

    def __init__(
        self, files: Sequence[Path], contigs: Mapping[str, int], *, threads: int = 1, max_open: int | None = None
    ) -> None:
        self.files = [Path(file) for file in files]
        self.contigs = dict(contigs)
        self._lengths = np.array(list(contigs.values()), np.int64)
        headers: list[BigWigHeader] = []
        self._numbers: list[NDArray[np.int64]] = []
        shared: dict[bytes, NDArray[np.int64]] = {}  # files of one pipeline number their contigs alike
        for file in self.files:
            header = read_header(file)
            numbers = _contig_numbers(file, header, self.contigs)
            self._numbers.append(shared.setdefault(numbers.tobytes(), numbers))
            headers.append(replace(header, contigs={}))  # thousands of files times thousands of names
        self._pool = FilePool(self.files, headers, limit=max_open or open_limit())
        self._said: set[int] = set()
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads) if threads > 1 else None

    def __enter__(self) -> BigWigReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        self._pool.close()

    def read(
        self,
        intervals: Intervals,
        *,
        bins: int = 0,
        reduce: Reduce = "mean",
        missing: Missing = "zero",
        transforms: Sequence[Transform | None] | None = None,
        tracks: Sequence[int] | None = None,
        dtype: DTypeLike = np.float32,
        on_part: Callable[[], None] | None = None,
    ) -> NDArray[Any]:
        """Values (n, tracks), or (n, tracks, bins) when ``bins`` is not 0.

        Parameters
        ----------
        bins : bins per interval; each length must be a multiple of it
        reduce : how the base pairs of a bin become one value, in float64
        missing : ``zero``: base pairs without a value (none stored, NaN or infinite, off the contig) count as 0, so
            that a mean is over all base pairs. ``mask``: they are left out; a bin without any value is NaN
        transforms : per track read, or None for one read with ``reduce``; a transform's ``stat`` decides the reduction
        tracks : numbers of the tracks to read (default: all)
        dtype : float32 or float64
        on_part : called in this thread after each part of the work; what it raises stops the reading

        Raises
        ------
        InputError : an interval is no multiple of ``bins`` long; a file is truncated or damaged (file and byte), or
            changed since it was opened; a value is outside a transform's domain or too large for ``dtype`` (the file)
        """
        length = intervals.end - intervals.start
        faulty = (intervals.contig >= 0) & ((length <= 0) | (length % (bins or 1) != 0))
        if faulty.any():
            row = int(np.flatnonzero(faulty)[0])
            raise InputError(f"interval {row} has {length[row]} base pairs, not a multiple of {bins or 1} above 0")
        chosen = range(len(self.files)) if tracks is None else tracks
        out = np.full((len(length), len(chosen), bins or 1), np.nan, dtype)
        jobs = list(self._jobs(intervals, chosen, bins or 1, reduce, transforms or [None] * len(chosen)))
        self._run(jobs, partial(self._fill, out, intervals, missing), on_part)
        return out if bins else out[:, :, 0]

    def values(self, track: int, contig: str, start: int, end: int) -> Floats:
        """Base pairs (end - start,) of one track; NaN where there is no value, also off the contig's ends."""
        place = Intervals.of([contig], [start], [end], contigs=self.contigs)
        found = self.read(place, bins=end - start, reduce="sum", missing="mask", tracks=[track], dtype=np.float64)
        return np.asarray(found[0, 0])

    def _jobs(
        self,
        intervals: Intervals,
        tracks: Sequence[int],
        bins: int,
        reduce: Reduce,
        transforms: Sequence[Transform | None],
    ) -> Iterator[_Job]:
        """The work in parts: one or more per track, each with a bounded number of bins."""
        placed = np.flatnonzero(intervals.contig >= 0)
        length = intervals.end - intervals.start
        orders: dict[int, NDArray[np.int64]] = {}  # by the numbering of contigs, most often one for all files
        for column, (track, transform) in enumerate(zip(tracks, transforms, strict=True)):
            numbers = self._numbers[track]
            if id(numbers) not in orders:
                own = numbers[intervals.contig[placed]]
                orders[id(numbers)] = placed[np.lexsort([intervals.start[placed], own])]
                self._say_absent(track, intervals.contig[placed][own < 0])
            rows = orders[id(numbers)]
            how = reduce if transform is None else transform.reduce
            if not len(rows):
                continue
            held = np.cumsum(sums_per_row(length[rows], bins, how))
            parts = -(-2 * self._threads // len(tracks))  # enough of them for all threads
            most = min(_JOB_BINS, -(-int(held[-1]) // parts))
            for part in np.split(rows, np.flatnonzero(np.diff((held - 1) // most)) + 1):
                yield _Job(track, column, part, how, transform)

    def _say_absent(self, track: int, contigs: NDArray[np.int64]) -> None:
        """Say once which contigs a file does not have: all regions there are without values."""
        absent = sorted(set(contigs.tolist()) - self._said)
        if absent:
            self._said.update(absent)
            names = list(self.contigs)
            listed = ", ".join(names[i] for i in absent[:5]) + (" …" if len(absent) > 5 else "")
            log.warning("%s has no contig %s; regions there count as without values", self.files[track], listed)

    def _run(self, jobs: Sequence[_Job], work: Callable[[_Job], None], on_part: Callable[[], None] | None) -> None:
        """Do the jobs; of several errors the first job's is raised."""
        if self._executor is None:
            for job in jobs:
                work(job)
                if on_part is not None:
                    on_part()
            return
        futures = [self._executor.submit(work, job) for job in jobs]
        try:
            for future in futures:
                future.result()
                if on_part is not None:
                    on_part()
        finally:
            for future in futures:
                future.cancel()
            wait(futures)

    def _fill(self, out: NDArray[Any], intervals: Intervals, missing: Missing, job: _Job) -> None:
        """Read the rows of one job into ``out`` (n, columns, bins)."""
        rows, bins, name = job.rows, out.shape[2], str(self.files[job.track])
        length = intervals.end[rows] - intervals.start[rows]
        count = sums_per_row(length, bins, job.reduce)
        sums, spans = Sums.none(int(count.sum())), self._spans(intervals, job, count)
        if len(spans.contig):
            with self._pool.use(job.track) as file:
                add_regions(file, spans, sums)
        values = reduce_bins(sums, length, bins=bins, reduce=job.reduce, missing=missing)
        if job.transform is not None:
            values = job.transform.forward(values, name=name)
        with np.errstate(over="ignore"):
            stored = values.astype(out.dtype)
        if np.isinf(stored).any():
            raise InputError(f"{name}: {values[np.isinf(stored)][0]:g} is too large for {out.dtype}")
        minus = intervals.minus[rows]
        out[rows[~minus], job.column] = stored[~minus]
        out[rows[minus], job.column] = stored[minus, ::-1]

    def _spans(self, intervals: Intervals, job: _Job, count: NDArray[np.int64]) -> Spans:
        """The rows that lie on the file's contigs, ``count`` bins each."""
        contig, origin, end = (part[job.rows] for part in (intervals.contig, intervals.start, intervals.end))
        number, width = self._numbers[job.track][contig], (end - origin) // count
        start, end = np.maximum(origin, 0), np.minimum(end, self._lengths[contig])
        inside = (number >= 0) & (start < end)
        return Spans(*(part[inside] for part in (number, origin, start, end, width, np.cumsum(count) - count)))


def _contig_numbers(path: Path, header: BigWigHeader, contigs: Mapping[str, int]) -> NDArray[np.int64]:
    """Number within the file of each of the genome's contigs, -1 for those it does not have."""
    lengths = {name: length for name, (_, length) in header.contigs.items()}
    numbers = dict.fromkeys(contigs, -1)
    for own, name in map_contigs(lengths, contigs, what=str(path), lengths=lengths).items():
        numbers[name] = header.contigs[own][0]
    return np.array(list(numbers.values()), np.int64)
