"""Import BPNet, BasePairNet and ChromBPNet networks of bpnet-lite (0.x, 1.x) from their state_dicts.

Facts of those files: ``iconv`` (F, 4, 21), ``rconvs.I`` (F, F, 3) with dilation 2^(I+1), ``fconv`` (T, F + C, 75) and
``linear`` (1, F + (C > 0)), for F filters, T outputs and C control tracks; convolutions pad with zeros, the profile is
then trimmed at both ends; the counts head averages the output and 37 bases on either side; one softmax goes over all
outputs, and there is one total. ChromBPNet holds two such networks, ``accessibility`` and ``bias``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drg_hpc.errors import UsageError
from drg_hpc.models.dilated import DilatedResidual
from drg_hpc.models.importers.bpnet_parts import Network, Part, describe, split
from drg_hpc.models.importers.common import Imported, describe_sources, fill


def _names(outputs: int, tracks: Sequence[str] | None) -> tuple[list[str], list[int | None]]:
    """Names, and the track of the other strand: two outputs are + and -, as in bpnet-lite."""
    if tracks is None:
        tracks = ["profile"] if outputs == 1 else [f"profile {sign}" for sign in "+-"] if outputs == 2 else None
    names = [f"profile {i}" for i in range(outputs)] if tracks is None else list(tracks)
    if len(names) != outputs:
        raise UsageError(f"{len(names)} track names for {outputs} outputs")
    return names, [1, 0] if outputs == 2 else list(range(outputs))


def import_bpnet(
    files: Sequence[Path],
    *,
    length: int,
    output_length: int | None = None,
    bias_output_length: int | None = None,
    tracks: Sequence[str] | None = None,
    network: Network = "bpnet",
    allow: Sequence[str] = (),
) -> Imported:
    """A network of bpnet-lite as a ``dilated-residual``.

    Parameters
    ----------
    files : one state_dict of a BPNet, BasePairNet or ChromBPNet; or two, ChromBPNet's accessibility and bias networks
    length : bases of the input (2,114 in most)
    output_length : bases of the output; default: ``length - 2 trimming`` with the trimming that bpnet-lite 1.x computes
        from the layers, ``47 + 2 + 4 + … + 2^layers`` (1,000 of 2,114 with 8), BasePairNet ``2^layers``
    bias_output_length : that of ChromBPNet's bias network, with the same default from its own layers
    tracks : names of the outputs
    network : the class that the weights are of, which their names do not tell: BasePairNet activates before it
        convolves
    allow : patterns of names that may be unused; ``*.control`` takes control tracks as zeros

    Raises
    ------
    UsageError : number of files or of track names
    InputError : files that are not state_dicts of bpnet-lite, or tensors that do not fit
    """
    found = split(files)
    main = describe(found[0], network=network, length=length, window=output_length, allow=allow, where=str(files[0]))
    config, tensors, unused, bias = main.config, dict(main.tensors), main.unused, None
    if len(found) == 2:
        where = str(files[1]) if len(files) == 2 else f"{files[0]} (bias)"
        bias = describe(
            found[1], network=network, length=length, window=bias_output_length, allow=allow, where=where, label="bias."
        )
        config = config.model_copy(update={"bias_model": bias.as_bias()})
        tensors |= {f"bias_model.network.{name}": value for name, value in bias.tensors.items()}
        unused = unused + bias.unused
    module = DilatedResidual(config, main.shape)
    module.tracks, module.strand_partners = _names(main.outputs, tracks)
    notes = fill(module, tensors, source=files[0], allow=allow, unused=unused)
    parts = [main] if bias is None else [main, bias]
    provenance = {
        "format": "bpnet",
        "files": describe_sources(files),
        "network": network if bias is None else f"chrombpnet of two {network}",
        "control": "zeros" if any(part.control for part in parts) else "none",
        "counts": "log of 1 + total",
    }
    return Imported(module.eval(), config, provenance, notes + _notes(parts))


def _notes(parts: Sequence[Part]) -> list[str]:
    notes = [f"output: the middle {parts[0].window} of {parts[0].length} bases, one value each, as log rates"]
    notes.append("the total that the rates add up to is exp(counts); the counts head was trained on log(1 + total)")
    if any(part.control for part in parts):
        notes.append("control tracks are taken as zeros")
    if len(parts) == 2:
        notes.append(f"bias model: frozen, {parts[1].window} bases of output")
    return notes
