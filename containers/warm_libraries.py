"""Compile what takes longest, Tomtom of memelite, called as interpretation/naming.py does; runs at build time."""

from __future__ import annotations

import numpy as np
from memelite import tomtom

rng = np.random.default_rng(0)
queries = [np.ascontiguousarray(rng.dirichlet(np.ones(4), 9).T) for _ in range(2)]
targets = [np.ascontiguousarray(rng.dirichlet(np.ones(4), 12).T) for _ in range(150)]
tomtom(queries, targets, n_jobs=1)
