"""What was made from what: the sha256 chain from store and model to motifs, as the results themselves record it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from drg_hpc.digests import describe_input
from drg_hpc.files import sha256_file
from drg_hpc.models.header import MODEL_MEMBERS
from drg_hpc.report.sources import Kind, Source, Sources

_PARENTS: tuple[Kind, ...] = ("store", "model", "attributions", "seqlets")
_OTHER: dict[Kind, str] = {
    "store": "another store", "model": "another model",
    "attributions": "other attributions", "seqlets": "other seqlets",
}  # fmt: skip
_VERBS: dict[Kind, str] = {"model": "was trained on", "evaluation": "was computed from"}


def identity(source: Source) -> str | None:
    """sha256 by which other results refer to a source; None when files of it are missing."""
    if source.kind in ("store", "genome"):
        members: tuple[str, ...] = ("manifest.json",)
    elif source.kind == "model":
        members = MODEL_MEMBERS
    else:
        return source.output_sha256 or (sha256_file(source.file) if source.file.is_file() else None)
    if not all((source.file / name).is_file() for name in members):
        return None
    return str(describe_input(source.file, members)["sha256"])


def parents(source: Source) -> dict[Kind, str]:
    """Kind and sha256 of what a source was made from, as far as it is recorded."""
    header, done = source.header, source.done
    if source.kind == "model":
        store = _sha256(done.get("inputs"), "store") or header.get("provenance", {}).get("store")
        found: dict[Kind, Any] = {"store": store}
    elif source.kind == "seqlets":
        found = {"attributions": header.get("attributions_sha256")}
    elif source.kind == "motifs":
        found = {"seqlets": header.get("inputs", {}).get("seqlets")}
    else:
        inputs = header.get("inputs")
        of_store = header.get("params", {}).get("input", "store") == "store"  # else a FASTA
        store = _sha256(inputs, "store") or (_sha256(inputs, "sequences") if of_store else None)
        found = {"model": _sha256(inputs, "model"), "store": store}
    return {kind: str(value) for kind, value in found.items() if value}


def _sha256(inputs: Any, name: str) -> str | None:
    record = inputs.get(name) if isinstance(inputs, dict) else None
    return record.get("sha256") if isinstance(record, dict) else None


@dataclass(frozen=True)
class Lineage:
    """Who descends from whom among the sources of one page."""

    sources: Sources

    @cached_property
    def _identities(self) -> list[tuple[Source, str | None]]:
        return [(source, identity(source)) for source in self.sources.of(*_PARENTS)]

    def parent(self, source: Source, kind: Kind) -> Source | None:
        """The source on the page that ``source`` was made from; None when it is not there, or not known."""
        wanted = parents(source).get(kind)
        return next((one for one, own in self._identities if one.kind == kind and own and own == wanted), None)

    def strangers(self) -> list[str]:
        """A sentence for every source that was made from something else than the page shows of that kind."""
        found = []
        for source in self.sources.all:
            for kind in parents(source):
                there = [one for one, own in self._identities if one.kind == kind and own and one is not source]
                if there and self.parent(source, kind) is None:
                    shown = ", ".join(str(one.path) for one in there)
                    verb = _VERBS.get(source.kind, "was made from")
                    words = f"{source.kind} {source.path} {verb}"
                    found.append(f"{words} {_OTHER[kind]} than {shown}")
        return found

    def unseen_in_training(self, evaluation: Source, chromosomes: dict[str, list[str]]) -> bool:
        """Whether no chromosome of the split that was evaluated has a row that the model was trained or chosen on.

        Only when the model is on the page, was trained on the store on the page, and both are those of the evaluation.

        Parameters
        ----------
        chromosomes : split -> names, of the evaluation's store
        """
        model, store = self.parent(evaluation, "model"), self.parent(evaluation, "store")
        if model is None or store is None or self.parent(model, "store") is not store:
            return False
        data = model.header.get("provenance", {}).get("recipe", {}).get("data", {})
        used = {"train", "valid", data.get("train", "train"), data.get("valid", "valid")}
        split = str(evaluation.header.get("split", ""))
        here = set(chromosomes.get(split, ()))
        if split in used or not here or "" in here or data.get("mix"):  # rows of other stores are not looked at
            return False
        return not any(here & set(chromosomes.get(name, ())) for name in used)
