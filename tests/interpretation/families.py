"""Families of motifs planted by drg-simulate, a model trained on them, and what drg-motifs makes of its attributions.

Used by tests and by bench/families. A found motif belongs to a family when two things say so that know nothing of each
other: Tomtom matches it to the planted matrix at q <= 0.05 among all motifs of the database, and more than half of its
seqlets lie over sites of that motif in the table of what was put where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from memelite import tomtom
from scipy.stats import false_discovery_control
from support import EXAMPLES, drg

from drg_hpc.genome.motifs import read_meme
from drg_hpc.results.motifs import read_motifs
from drg_hpc.results.seqlets import find_seqlets, read_seqlets
from drg_hpc.results.simulation import read_simulation

DATABASE = EXAMPLES / "motifs" / "hocomoco_v12_core.meme"
MAX_Q = 0.05
CONFIG = """
[model]
architecture = "drg-cnn"
kernels = {kernels}
kernel_size = 15
strands = "max"
pool_size = {pool}
hidden = []
dropout = 0.1

[data]
reverse_complement = 0.5

[optim]
lr = 4e-3
schedule = "cosine"
warmup_steps = 50
clip_norm = 1.0

[train]
epochs = {epochs}
batch_size = 32
patience = 8
"""


@dataclass(frozen=True)
class Task:
    """Sequences and a network for them.

    Parameters
    ----------
    weights : of each motif (its name in the database) in each track
    rows, length : of the sequences
    kernels, pool, epochs : of the network; ``pool`` is the window of the pooling behind the kernels
    """

    weights: Mapping[str, Sequence[float]]
    rows: int
    length: int
    kernels: int
    pool: int
    epochs: int
    seed: int = 0


@dataclass(frozen=True)
class Judged:
    """A found motif.

    Parameters
    ----------
    q : of the planted matrix that matches best, over the whole database
    by_match : that one, where q is small enough; else nothing
    share : of the motif's seqlets, those over the sites of one planted motif, the most frequent
    by_sites : that one, where it is more than half; else nothing
    """

    motif: str
    sign: int
    seqlets: int
    consensus: str
    q: float
    by_match: str
    share: float
    by_sites: str

    @property
    def family(self) -> str:
        """The planted motif that it is; nothing where the two criteria do not agree."""
        return self.by_match if self.by_match == self.by_sites else ""


def make_model(task: Task, folder: Path) -> None:
    """``folder/sim`` and ``folder/model``, by the commands."""
    names = list(task.weights)
    table = np.array([task.weights[name] for name in names]).T
    lines = ["\t".join(["track", *names, "noise"])]
    lines += ["\t".join([f"track{i}", *map(str, row), "0.2"]) for i, row in enumerate(table)]
    (folder / "weights.tsv").write_text("\n".join(lines) + "\n")
    numbers = {"kernels": task.kernels, "pool": task.pool, "epochs": task.epochs}
    (folder / "model.toml").write_text(CONFIG.format(**numbers))
    drg(
        "drg-simulate", "--num-seqs", task.rows, "--seq-length", task.length, "--motif-db", DATABASE,
        "--pos-motifs", *names, "--labels", "additive", "--weights", folder / "weights.tsv", "--strands", "both",
        "--valid-fraction", 0.1, "--test-fraction", 0.1, "--seed", task.seed, "--workers", 1, "-o", folder / "sim",
    )  # fmt: skip
    drg("drg-train", folder / "sim", "--config", folder / "model.toml", "--seed", task.seed, "-o", folder / "model")


def attribute(folder: Path, name: str, *flags: object) -> None:
    """``folder/attr-NAME`` and its seqlets, ``folder/seqlets-NAME``, of all sequences."""
    attributions = folder / f"attr-{name}"
    drg("drg-attr", folder / "model", folder / "sim", "--split", "all", "--workers", 1, *flags, "-o", attributions)
    drg("drg-seqlets", attributions, "--workers", 1, "-o", folder / f"seqlets-{name}")


def owners(seqlets: pd.DataFrame, sites: pd.DataFrame) -> pd.Series:
    """Motif of the planted site that each seqlet lies over, "" for none: at least half of the shorter one is shared.

    Of several sites, the one that shares most bases.
    """
    left = seqlets[["row", "start", "end"]].reset_index(names="seqlet")
    both = left.merge(sites[["row", "motif", "start", "end"]], on="row", suffixes=("", "_site"))
    shared = both[["end", "end_site"]].min(axis=1) - both[["start", "start_site"]].max(axis=1)
    shorter = np.minimum(both["end"] - both["start"], both["end_site"] - both["start_site"])
    both = both.assign(shared=shared)[shared * 2 >= shorter]
    best = both.sort_values(["seqlet", "shared"], kind="stable").drop_duplicates("seqlet", keep="last")
    out = pd.Series("", index=seqlets.index)
    out[best["seqlet"].to_numpy()] = best["motif"].to_numpy()
    return out


def judge(motifs: Path, seqlets: Path, simulation: Path, names: Sequence[str]) -> list[Judged]:
    """Every motif of a folder of drg-motifs, in its order."""
    table = read_seqlets(find_seqlets(seqlets)).table
    owner = owners(table, read_simulation(simulation).sites).to_numpy()
    database = read_meme(DATABASE)
    position = {motif.name: i for i, motif in enumerate(database)}
    planted = [position[name] for name in names]
    records = read_motifs(motifs)
    cores = {motif.name: np.ascontiguousarray(motif.pfm) for motif in read_meme(motifs / "motifs.meme")}
    queries = [cores[record.name] for record in records]
    found = tomtom(queries, [np.ascontiguousarray(m.pfm) for m in database], n_jobs=1)[0] if queries else []
    out = []
    for record, p in zip(records, found, strict=True):
        q = false_discovery_control(np.clip(p, 0, 1))[planted]
        over = owner[record.arrays["members/seqlet"]]
        counts = [int((over == name).sum()) for name in names]
        share = max(counts) / len(over)
        out.append(
            Judged(
                motif=record.name, sign=int(record.facts["sign"]), seqlets=len(over),
                consensus=str(record.facts["consensus"]), q=float(q.min()),
                by_match=names[int(q.argmin())] if q.min() <= MAX_Q else "",
                share=share, by_sites=names[int(np.argmax(counts))] if share > 0.5 else "",
            )
        )  # fmt: skip
    return out


def recall(found: Sequence[Judged], names: Sequence[str]) -> float:
    """Share of the planted families that some motif belongs to."""
    return len({motif.family for motif in found} & set(names)) / len(names)


def directions(found: Sequence[Judged], weights: Mapping[str, Sequence[float]]) -> float:
    """The same of families and directions: one that raises one track and lowers another counts twice."""
    planted = {(name, 1 if weight > 0 else -1) for name, row in weights.items() for weight in row if weight}
    return len({(motif.family, motif.sign) for motif in found} & planted) / len(planted)


def precision(found: Sequence[Judged]) -> float:
    """Share of the motifs that belong to a planted family."""
    return sum(motif.family != "" for motif in found) / max(1, len(found))


def repeats(found: Sequence[Judged]) -> int:
    """Motifs of a family and sign that another one has already."""
    own = [(motif.family, motif.sign) for motif in found if motif.family]
    return len(own) - len(set(own))
