"""Seqlets of an attribution track in memory, by any of the methods of drg-seqlets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drg_hpc.config import nearest
from drg_hpc.errors import UsageError
from drg_hpc.interpretation.null import clipped_edges, extremes, histogram, survey
from drg_hpc.interpretation.recursive import COLUMNS, Caller, RecursiveRule
from drg_hpc.interpretation.recursive_compat import CompatCaller, compat_edges, compat_histogram
from drg_hpc.interpretation.shuffle_null import call_against_shuffles
from drg_hpc.interpretation.sorted_pieces import SortedPieces
from drg_hpc.interpretation.tfmodisco import (
    TfmodiscoRule,
    call_tfmodisco,
    drawn_places,
    find_thresholds,
    window_sums,
)
from drg_hpc.interpretation.zscore import ZscoreRule, call_zscore, row_scales, scales_of

Values = NDArray[Any]


def call_seqlets(
    projected: Any, method: str = "recursive", *, shuffles: Any = None, attributions: Any = None, **settings: Any
) -> pd.DataFrame:
    """Seqlets of an attribution track in memory.

    Parameters
    ----------
    projected : (rows, length) contribution of the base that is there, at every position
    method : ``recursive``, ``tfmodisco`` (modisco-lite's extraction) or ``zscore`` (DRG's); see the modules of
        ``drg_hpc.interpretation`` for what they do
    shuffles : of ``recursive``: (rows, copies, length) attributions of shuffles of every row, whose span sums give
        each row its own cut-offs
    attributions : of ``zscore``: (rows, 4, length) attributions of all bases, whose scale is used (default: those of
        the bases that are there, the others being 0)
    settings : parameters of the method: ``threshold``, ``min_length``, ``max_length``, ``flank``, ``bins``, ``clip``
        and ``compat`` of :class:`RecursiveRule`; ``core``, ``flank``, ``fdr``, ``min_passing``, ``max_passing`` and
        ``weak`` of :class:`TfmodiscoRule`; ``cut``, ``max_gap``, ``min_size``, ``norm`` and ``std`` of
        :class:`ZscoreRule`

    Returns
    -------
    DataFrame with row, start, end (0-based, half-open), attribution (sum over the span, of ``tfmodisco`` over the core
    without flanks) and p_value (NaN where the method has none), sorted by row and start; of ``tfmodisco`` also sign,
    0 for a seqlet that is of neither

    Raises
    ------
    UsageError : unknown method or setting, bad value, or not a two-dimensional array
    InputError : NaN or infinite values, or too few shuffles for the threshold
    """
    if method not in _METHODS:
        raise UsageError(f"unknown seqlet method {method!r}", fix=f"known: {', '.join(_METHODS)}")
    kind, call = _METHODS[method]
    known = [field.name for field in fields(kind)]
    for name in settings:
        if name not in known:
            raise UsageError(f"method {method} has no setting {name!r}", fix=nearest(name, known))
    for name, given, owner in (("shuffles", shuffles, "recursive"), ("attributions", attributions, "zscore")):
        if given is not None and method != owner:
            raise UsageError(f"{name} are for method {owner}, not for {method}", fix=f"leave {name} out")
    rule = kind(**settings)
    rule.check()
    values = np.asarray(projected)
    if values.ndim != 2:
        raise UsageError(f"call_seqlets wants a (rows, length) array, got shape {values.shape}")
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    return call(rule, np.ascontiguousarray(values), attributions if method == "zscore" else shuffles)


def _recursive(rule: RecursiveRule, values: Values, shuffles: Any) -> pd.DataFrame:
    columns, length = [name for name in COLUMNS if name != "sign"], values.shape[1]
    if shuffles is not None:
        if rule.compat:
            raise UsageError("compat has no cut-offs from shuffles", fix="leave compat or shuffles out")
        null = np.ascontiguousarray(shuffles, dtype=np.float32)
        if null.ndim != 3 or (null.shape[0], null.shape[2]) != values.shape:
            raise UsageError(f"shuffles of {values.shape} want (rows, copies, length), got shape {null.shape}")
        extremes(values)
        names = [str(row) for row in range(len(values))]
        return call_against_shuffles(rule, values.astype(np.float32), list(null), names)[columns]
    if rule.compat:
        edges = compat_edges(*extremes(values), rule.bins)
        return CompatCaller.build(rule, edges, compat_histogram(values, edges), length=length)(values)[columns]
    single = values.astype(np.float32, copy=False)
    found = clipped_edges(survey(single), clip=rule.clip, bins=rule.bins)
    return Caller.build(rule, found, histogram(single, found), length=length)(single)[columns]


def _tfmodisco(rule: TfmodiscoRule, values: Values, _: Any) -> pd.DataFrame:
    if values.shape[1] < rule.core:
        raise UsageError(f"core {rule.core} is longer than the rows, {values.shape[1]}", fix="give a smaller core")
    extremes(values)
    sums = window_sums(values, rule.core).reshape(-1)
    sample = sums[drawn_places(sums.size)]
    found = find_thresholds(rule, SortedPieces([np.sort(sums)]), sample)
    return call_tfmodisco(rule, values, found)


def _zscore(rule: ZscoreRule, values: Values, attributions: Any) -> pd.DataFrame:
    extremes(values)
    if attributions is None:
        scales = row_scales(values[:, None]) / 2  # the other three bases are 0
    else:
        full = np.asarray(attributions)
        if full.shape != (values.shape[0], 4, values.shape[1]):
            raise UsageError(f"attributions of {values.shape} want (rows, 4, length), got shape {full.shape}")
        scales = row_scales(full)
    table = call_zscore(rule, values, scales_of(rule, scales[None])[0])
    return table[[name for name in COLUMNS if name != "sign"]]


_METHODS: dict[str, tuple[Any, Callable[[Any, Values, Any], pd.DataFrame]]] = {
    "recursive": (RecursiveRule, _recursive),
    "tfmodisco": (TfmodiscoRule, _tfmodisco),
    "zscore": (ZscoreRule, _zscore),
}
