"""Options of drg-import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from drg_hpc.config import Options, flag, positional
from drg_hpc.models.config import Link

Format = Literal["drg", "borzoi", "bpnet", "torch"]
SUMMARY = (
    "Make a MODEL folder of a published or foreign model. Nothing in its files is executed; every tensor that is\n"
    "missing or unused is an error, unless --allow names it; the folder appears when everything has been checked."
)
EPILOG = """\
formats and their files:
  drg     MODEL_model_params.dat MODEL_parameter.pth, of DRG
  borzoi  one .safetensors, .pt or .pth of borzoi-pytorch (Borzoi, Prime), or one .h5 of baskerville's Keras models
  bpnet   one state_dict of bpnet-lite (BPNet, BasePairNet, ChromBPNet), or two: accessibility and bias network
  torch   one state_dict (.safetensors, .pt, .pth), and --factory for the module that it belongs to; that imports the
          package, which runs its code

reference files (npz, never with pickle):
  predictions or values (n, tracks[, bins]); sequences, seqfeatures or onehot, (n, 4, length) or (n, length, 4), in the
  same file or in --sequences, which may be FASTA instead; where the order differs: names, genenames or regions in both;
  in --gradients: gradients or grad (m, t, 4, length), tracks (t) and names (m)

exit codes: 0 the model is there; 2 usage; 3 bad input; 5 it does not give the values of the reference"""


class ImportOptions(Options):
    """Options of drg-import."""

    format: Format = positional(help="drg, borzoi, bpnet or torch", metavar="FORMAT")
    files: list[Path] = positional(help="the files of the model, see below", metavar="FILE")
    out: Path = flag(help="model folder to create", metavar="MODEL", short="-o")
    tracks: list[str] = flag(
        [],
        help="names of the tracks, or a table with them: Borzoi's targets (with strand pairs), a tracks.tsv, a name a "
        "line",
        metavar="FILE|NAME",
    )
    allow: list[str] = flag([], help="tensors that may be missing or unused, such as 'mouse_head.*'", metavar="PATTERN")
    reference: Path | None = flag(None, help="compare with predictions of the original", metavar="NPZ")
    reference_key: str | None = flag(None, help="which array of it (default: predictions, else values)", metavar="NAME")
    sequences: list[Path] = flag(
        [], help="sequences of the reference, a file each input (default: in it)", metavar="NPZ|FASTA"
    )
    gradients: Path | None = flag(None, help="compare with gradients of the original too", metavar="NPZ")
    tolerance: float = flag(1e-4, help="largest difference, in standard deviations of the track", metavar="X", gt=0)
    scale: Literal["output", "link"] = flag("output", help="scale of the reference: output, or link (before it)")


class _Shape(Options):
    group = "what its files do not say"

    length: list[Annotated[int, Field(ge=1)]] = flag(
        [], help="borzoi, bpnet, torch: bases of the input; torch: of each input", metavar="N"
    )
    bins: int | None = flag(None, help="drg, torch: positions per track (default: as the model has)", metavar="N", ge=1)
    inputs: list[str] = flag(
        [], help="drg, torch: names of the inputs (default: seq, or seq0, seq1, …)", metavar="NAME"
    )


class _Drg(Options):
    group = "format drg"

    compat: bool = flag(
        False, help="keep the original's pooling pad, the least value of a batch, one sequence at a time"
    )
    reverse_complement: str | None = flag(None, help="of each input, where the .dat does not say", metavar="true,false")
    heads: list[str] = flag([], help="names of the modalities (default: main, or head0, head1, …)", metavar="NAME")


class _Borzoi(Options):
    group = "format borzoi"

    params: Path | None = flag(
        None, help="its params.json or config.json (default: the published full size)", metavar="JSON"
    )
    crop: int | None = flag(None, help="bins left out at each side (default: as there)", metavar="BINS", ge=0)
    head: str | None = flag(None, help="head that a Keras file holds, where sizes do not say", metavar="NAME")


class _Bpnet(Options):
    group = "format bpnet"

    network: Literal["bpnet", "basepairnet"] = flag("bpnet", help="class that the weights are of")
    output_length: int | None = flag(None, help="bases of the output (default: from the layers)", metavar="N", ge=1)
    bias_output_length: int | None = flag(None, help="of ChromBPNet's bias network", metavar="N", ge=1)


class _Torch(Options):
    group = "format torch"

    factory: str | None = flag(None, help="function or class that returns the module", metavar="PACKAGE.MODULE:NAME")
    kwargs: list[str] = flag([], help="keyword arguments of it, such as width=64", metavar="KEY=VALUE")
    link: Link = flag("identity", help="what turns its values into the output scale: none, sigmoid, exp, softplus")


class AllOptions(ImportOptions, _Shape, _Drg, _Borzoi, _Bpnet, _Torch):
    """Options of drg-import with those of each format."""


OF_FORMAT: dict[str, tuple[str, ...]] = {
    "drg": (*_Drg.model_fields, "bins", "inputs"),
    "borzoi": (*_Borzoi.model_fields, "length"),
    "bpnet": (*_Bpnet.model_fields, "length"),
    "torch": (*_Torch.model_fields, "length", "bins", "inputs"),
}
OF_REFERENCE = ("reference_key", "sequences", "gradients", "tolerance", "scale")
