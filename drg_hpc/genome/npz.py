"""DRG's one-hot files: ``seqfeatures`` (rows, length, 4) int8, ``genenames``, ``featurenames``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drg_hpc.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KEYS = ("seqfeatures", "genenames", "featurenames")


def scan_onehot(path: Path) -> list[tuple[str, int]]:
    """(name, length) of every sequence.

    Raises
    ------
    InputError : see :func:`load_onehot`; a name occurs twice
    """
    names, onehot = load_onehot(path)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path}: {name!r} occurs twice")
        seen.add(name)
    return [(name, onehot.shape[1]) for name in names]


def load_onehot(path: Path) -> tuple[list[str], NDArray[np.bool_]]:
    """Names and one-hot ``(rows, length, 4)`` in the order A, C, G, T.

    Raises
    ------
    InputError : missing, damaged or of another layout; numpy is not installed
    """
    try:
        import numpy as np
    except ImportError:
        raise InputError(f"reading .npz needs numpy, which is not installed here: {path}",
                         fix="plan in the run environment or image, or use FASTA") from None  # fmt: skip
    if not path.is_file():
        raise InputError(f"no such file: {path}", fix="check the path")
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays: dict[str, Any] = {key: data[key] for key in _KEYS if key in data}
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot read {path}: {error}", fix="files with pickled objects are refused") from None
    if "seqfeatures" not in arrays or "genenames" not in arrays:
        raise InputError(f"{path} has no seqfeatures and genenames", fix="it must be a DRG one-hot file")
    features, names = arrays["seqfeatures"], arrays["genenames"]
    letters = [str(x) for x in arrays.get("featurenames", np.array(list("ACGT")))]
    if features.ndim != 3 or sorted(letters) != list("ACGT") or features.shape[2] != 4 or len(names) != len(features):
        raise InputError(f"{path}: seqfeatures {features.shape} for {len(names)} names and letters {','.join(letters)}")
    order = [letters.index(letter) for letter in "ACGT"]
    onehot = features[:, :, order] != 0
    if not np.isin(features, (0, 1)).all() or (onehot.sum(axis=2) > 1).any():
        raise InputError(f"{path}: seqfeatures are not one-hot (0 or 1, at most one 1 a position)")
    return [str(name) for name in names], onehot
