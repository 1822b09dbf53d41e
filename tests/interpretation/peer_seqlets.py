"""The peers' side of test_peers_seqlets.py; runs in .venv-peers: IN.npz OUT.npz.

IN has tracks (rows, L) by name, and ``settings`` as JSON: name -> [program, track, parameters]. OUT gets ``NAME/calls``
(n, 3) of row, start and end, and of tangermeme ``NAME/p`` and ``NAME/attribution``, of modisco-lite ``NAME/sign``.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from typing import Any

import numpy as np

warnings.simplefilter("ignore")


def tangermeme(track: Any, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    table = importlib.import_module("tangermeme.seqlet").recursive_seqlets(track, **parameters)
    table = table.sort_values(["example_idx", "start", "end"], kind="stable")
    return {
        f"{name}/calls": table[["example_idx", "start", "end"]].to_numpy(np.int32),
        f"{name}/p": table["p-value"].to_numpy(),
        f"{name}/attribution": table["attribution"].to_numpy(),
    }


def modisco(track: Any, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    core, flank, fdr, least, most, weak = (parameters[key] for key in ("core", "flank", "fdr", "least", "most", "weak"))
    extract = importlib.import_module("modiscolite.extract_seqlets").extract_seqlets
    found, threshold = extract(track.copy(), core, flank, int(0.5 * core) + flank, fdr, least, most, weak)
    calls = np.array(sorted((item.example_idx, item.start, item.end) for item in found), np.int32).reshape(-1, 3)
    sums = np.array([track[row, start + flank : end - flank].sum() for row, start, end in calls])
    sign = np.where(sums > threshold, 1, np.where(sums < -threshold, -1, 0))
    return {f"{name}/calls": calls, f"{name}/sign": sign.astype(np.int8)}


given = dict(np.load(sys.argv[1]))
answers: dict[str, Any] = {}
for case, (program, which, asked) in json.loads(str(given["settings"])).items():
    answers |= {"tangermeme": tangermeme, "modisco": modisco}[program](given[which], case, asked)
np.savez_compressed(sys.argv[2], **answers)
