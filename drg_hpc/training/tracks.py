"""Which tracks a model learns, and which of them take each other's place on the other strand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drg_hpc.errors import UsageError


def select_tracks(track_info: Sequence[Mapping[str, Any]], chosen: str) -> list[int]:
    """Indices of ``all`` or of names separated by commas; those of a modality are put next to each other.

    Raises
    ------
    UsageError : an unknown or repeated name
    """
    known = [str(track["name"]) for track in track_info]
    if chosen == "all":
        return list(range(len(known)))
    names = [name.strip() for name in chosen.split(",")]
    for name in names:
        if name not in known:
            shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
            raise UsageError(f"--tracks: no track {name!r} in the store", fix=f"tracks: {shown}")
    if len(set(names)) < len(names):
        raise UsageError(f"--tracks: a name twice in {chosen!r}")
    order = list(dict.fromkeys(track["modality"] for track in track_info))
    found = [known.index(name) for name in names]
    return sorted(found, key=lambda track: order.index(track_info[track]["modality"]))


def strand_partners(track_info: Sequence[Mapping[str, Any]], tracks: Sequence[int]) -> list[int | None]:
    """For each chosen track, the position among them of the track that holds the other strand: its own for an
    unstranded track, None where the partner was not chosen."""
    chosen = list(tracks)
    partners = [int(track_info[track]["strand_partner"]) for track in chosen]
    return [chosen.index(partner) if partner in chosen else None for partner in partners]


def require_partners(partners: Sequence[int | None], names: Sequence[str]) -> list[int]:
    """All partners, for augmentation by the reverse complement.

    Raises
    ------
    UsageError : the other strand of a track was not chosen
    """
    for partner, name in zip(partners, names, strict=True):
        if partner is None:
            raise UsageError(
                f"--tracks has {name!r} without the track of its other strand, which data.reverse_complement needs",
                fix="choose both, or set data.reverse_complement = 0",
            )
    return [partner for partner in partners if partner is not None]
