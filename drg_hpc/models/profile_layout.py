"""Which bases each part of a dilated-residual network sees and covers."""

from __future__ import annotations

from dataclasses import dataclass

from drg_hpc.errors import UsageError
from drg_hpc.models.base import ModelShape
from drg_hpc.models.config_profile import BiasModel, DilatedResidualConfig


@dataclass(frozen=True)
class Span:
    """Bases ``[start, stop)`` of the input, 0-based."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of bases."""
        return self.stop - self.start

    def crop_to(self, inner: Span) -> tuple[int, int]:
        """Positions to take off on the left and on the right so that ``inner`` is left."""
        return inner.start - self.start, self.stop - inner.stop


@dataclass(frozen=True)
class Layout:
    """Where the parts of a network lie on its input.

    Attributes
    ----------
    trunk : positions of the trunk's output
    profile : positions of the profile head's convolution
    output : bases that the bins cover
    counts : positions of the trunk that the counts head averages
    """

    trunk: Span
    profile: Span
    output: Span
    counts: Span


def dilations(config: DilatedResidualConfig) -> list[int]:
    """Dilation of each residual layer."""
    return [config.first_dilation * 2**i for i in range(config.layers)]


def trunk_reach(config: DilatedResidualConfig) -> int:
    """Bases to either side of a position that the trunk sees: half the stem, and half of every dilated kernel."""
    return config.stem_size // 2 + sum(dilations(config)) * (config.kernel_size // 2)


def lay_out(config: DilatedResidualConfig, shape: ModelShape) -> Layout:
    """Where the parts of a network lie on its sequences.

    An output of ``n`` bases starts at ``(length - n) // 2``. The counts head averages the output and
    ``counts_margin`` bases on either side, as far as the trunk goes: with the default, what the profile head sees.

    Raises
    ------
    UsageError : the sequences are too short for the output
    """
    length, covered = shape.length, shape.covered
    lost = trunk_reach(config) if config.padding == "valid" else 0
    lost_in_head = config.profile_size // 2 if config.padding == "valid" else 0
    trunk = Span(lost, length - lost)
    profile = Span(trunk.start + lost_in_head, trunk.stop - lost_in_head)
    start = (length - covered) // 2
    output = Span(start, start + covered)
    if min(profile.crop_to(output)) < 0:
        raise UsageError(
            f"model dilated-residual: of {length} bases, {config.padding} padding leaves {max(profile.size, 0)}, the "
            f"targets are of {covered}",
            fix='use padding = "same", longer sequences around the targets, or fewer layers',
        )
    margin = config.profile_size // 2 if config.counts_margin is None else config.counts_margin
    counts = Span(max(output.start - margin, trunk.start), min(output.stop + margin, trunk.stop))
    return Layout(trunk=trunk, profile=profile, output=output, counts=counts)


def bin_width(output: Span, bins: int) -> int:
    """Bases of a bin.

    Raises
    ------
    UsageError : no bins, or bins that do not divide the output
    """
    if bins == 0:
        raise UsageError("model dilated-residual needs targets in bins, this store has one value per track",
                         fix='use architecture = "drg-cnn", or shard with --bin')  # fmt: skip
    if output.size % bins:
        raise UsageError(f"model dilated-residual: {bins} bins do not divide {output.size} bases")
    return output.size // bins


def bias_shape(bias: BiasModel) -> ModelShape:
    """What a bias model was built for."""
    return ModelShape.single(bias.length, bias.tracks, bins=bias.bins, link="log", span=bias.span)


def place_bias(bias: BiasModel, config: DilatedResidualConfig, shape: ModelShape) -> tuple[int, int]:
    """Bins of a bias model's profile to take off on the left and on the right, so that those of the network that it is
    added to are left.

    Raises
    ------
    UsageError : inputs, tracks, totals or bins of the two do not fit
    """
    output, theirs = lay_out(config, shape).output, lay_out(bias.config, bias_shape(bias)).output
    width = bin_width(output, shape.bins)
    left, right = theirs.crop_to(output)
    fault = None
    if bias.length != shape.length:
        fault = f"takes {bias.length} bases, the model {shape.length}"
    elif bias.tracks not in (1, shape.n_tracks):
        fault = f"has {bias.tracks} tracks, the model {shape.n_tracks}; it needs as many, or one"
    elif bias.tracks > 1 and bias.config.counts != config.counts:
        fault = f"has counts = {bias.config.counts!r}, the model {config.counts!r}"
    elif bin_width(theirs, bias.bins) != width:
        fault = f"has bins of {bin_width(theirs, bias.bins)} bases, the model of {width}"
    elif min(left, right) < 0:
        fault = f"covers bases {theirs.start} to {theirs.stop}, the model {output.start} to {output.stop}"
    elif left % width or right % width:
        fault = f"has bins that begin {left % width} bases beside the model's"
    if fault is not None:
        raise UsageError(f"model.bias_model {fault}", fix="train a bias model on the same windows and bins")
    return left // width, right // width
