"""Batch norm over the rows of all ranks: the same statistics, gradients and running averages as one process has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed as dist
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from drg_hpc.errors import UsageError
from drg_hpc.training.freezing import stays


def _gathered(values: torch.Tensor) -> torch.Tensor:
    """Every rank's values, (ranks, n), float64: what is made of them in the order of ranks has the same bits on all."""
    values = values.double()
    found = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(found, values)
    return torch.stack(found)


# Operators of torch's own kind, so that torch.compile takes what talks to other ranks as it is, and compiles around it.
@torch.library.custom_op("drg_hpc::sum_over_ranks", mutates_args=())
def _sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    return _gathered(values).sum(0)


@_sum_over_ranks.register_fake
def _(values: torch.Tensor) -> torch.Tensor:
    return values.new_empty(values.shape, dtype=torch.float64)


@torch.library.custom_op("drg_hpc::moments_over_ranks", mutates_args=())
def _moments_over_ranks(x: torch.Tensor, counted: bool) -> torch.Tensor:
    """Number of values, then mean and then variance (divided by n) of each channel over all ranks, (1 + 2 channels,)
    float64: those of the ranks are computed in two passes, and joined as Chan et al. (1979) do."""
    if x.device.type == "cpu":  # four times as fast there as var_mean
        mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)
    else:
        variance, mean = torch.var_mean(x, [axis for axis in range(x.ndim) if axis != 1], correction=0)
    size = torch.full((1,), x.numel() // x.shape[1] if counted else 0, dtype=torch.float64, device=x.device)
    found = _gathered(torch.cat([size, mean.double(), variance.double()]))
    counts, means, variances = found[:, :1], found[:, 1 : 1 + len(mean)], found[:, 1 + len(mean) :]
    total = counts.sum()
    grand = (counts * means).sum(0) / total
    joined = (counts * (variances + (means - grand) ** 2)).sum(0) / total
    return torch.cat([total[None], grand, joined])


@_moments_over_ranks.register_fake
def _(x: torch.Tensor, counted: bool) -> torch.Tensor:
    return x.new_empty((1 + 2 * x.shape[1],), dtype=torch.float64)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        moments: torch.Tensor,
        eps: float,
        counted: bool,
    ) -> torch.Tensor:
        total, mean, variance = moments[0], *moments[1:].chunk(2)
        mean32, variance32 = mean.float(), variance.float()
        scale = torch.rsqrt(variance + eps).float()
        ctx.save_for_backward(x, weight, mean32, scale, total)
        ctx.counted = counted
        return functional.batch_norm(x.float(), mean32, variance32, weight, bias, False, 0.0, eps).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        x, weight, mean, scale, total = ctx.saved_tensors
        across = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        dy, centred = gradient.float(), x.float() - mean.view(shape)
        sum_dy, sum_dy_x = dy.sum(across), (dy * centred).sum(across)
        both = _sum_over_ranks(torch.cat([sum_dy, sum_dy_x])) / total
        factor = scale if weight is None else scale * weight
        if ctx.counted:
            mean_dy, mean_dy_x = both.float().chunk(2)
            slope = -factor * scale * scale * mean_dy_x
            dx = centred.mul_(slope.view(shape)).addcmul_(dy, factor.view(shape))
            dx -= (factor * mean_dy).view(shape)
        else:  # the row is no part of the statistics
            dx = dy * factor.view(shape)
        # Sums of this rank: they are averaged over ranks afterwards, like the gradients of all other weights.
        grad_weight = sum_dy_x * scale if weight is not None else None
        return dx.to(x.dtype), grad_weight, sum_dy if weight is not None else None, None, None, None


class RankBatchNorm1d(nn.BatchNorm1d):
    """Batch norm whose training statistics are those of all ranks' rows; in eval mode it is BatchNorm1d.

    Attributes
    ----------
    counted : whether the rows of this rank are part of the batch, and not there for the company only
    """

    counted = True

    @classmethod
    def of(cls, layer: nn.BatchNorm1d) -> RankBatchNorm1d:
        """One with the parameters and buffers of ``layer``."""
        made = cls(layer.num_features, eps=layer.eps, momentum=layer.momentum, affine=False, track_running_stats=False)
        made.affine, made.track_running_stats, made.training = layer.affine, layer.track_running_stats, layer.training
        made._parameters, made._buffers = layer._parameters, layer._buffers
        return made

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        moments = _moments_over_ranks(input.detach().float(), self.counted)
        if input.numel() == input.shape[1] and not torch.compiler.is_compiling() and float(moments[0]) < 2:
            raise lone_value()
        if self.track_running_stats and self.running_mean is not None:
            self._follow(moments[0], *moments[1:].chunk(2))
        found: torch.Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, moments, self.eps, self.counted
        )
        return found

    def _follow(self, total: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Move the running statistics as BatchNorm1d does."""
        assert self.num_batches_tracked is not None and self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)
        part = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance * (total / (total - 1))
        for running, found in ((self.running_mean, mean), (self.running_var, unbiased)):
            running.mul_(1 - part).add_(found.to(running.dtype), alpha=part)


def lone_value() -> UsageError:
    """The error of a batch of one row, normalised after its positions are gone."""
    return UsageError(
        "batch norm: a batch has one value per channel, which has no variance",
        fix="choose train.batch_size, train.accumulate or data.samples so that no batch, nor piece, is a single row",
    )


def share_statistics(model: nn.Module) -> int:
    """Let every batch norm take its statistics over all ranks; names of tensors stay. How many there are.

    Raises
    ------
    UsageError : batch norm of images or volumes
    """
    made: dict[nn.Module, RankBatchNorm1d] = {}
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        if not isinstance(layer, _BatchNorm) or stays(layer) or isinstance(layer, RankBatchNorm1d):
            continue
        if type(layer) is not nn.BatchNorm1d:
            raise UsageError(
                f"{name} is a {type(layer).__name__}: only BatchNorm1d takes its statistics over ranks",
                fix="train.sync_batch_norm = false, or one rank",
            )
        made.setdefault(layer, RankBatchNorm1d.of(layer))
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, made[layer])
    return len(made)


def rest_biases(model: nn.Module) -> list[str]:
    """Let biases rest that a batch norm right after them takes out again; their names.

    The gradient of such a bias is zero but for rounding, which Adam and its kin blow up to steps of the full learning
    rate: the running means would be led astray, and trainings on different numbers of ranks would part.
    """
    names = {layer: name for name, layer in model.named_modules()}
    found = []
    for chain in (layer for layer in names if isinstance(layer, nn.Sequential)):
        flat = False
        for layer, after in itertools.pairwise(chain):
            flat = flat or isinstance(layer, nn.Flatten)  # before it, a linear layer's last axis is not the norm's
            takes_out = isinstance(layer, nn.Conv1d) or (flat and isinstance(layer, nn.Linear))
            bias = layer.bias if takes_out else None
            if isinstance(bias, nn.Parameter) and isinstance(after, _BatchNorm) and not stays(after):
                bias.requires_grad_(False)
                found.append(f"{names[layer]}.bias")
    return found


def has_own_buffers(model: nn.Module) -> bool:
    """Whether buffers may differ between ranks: any but those of batch norms that share their statistics, or stay."""
    shared = [layer for layer in model.modules() if isinstance(layer, RankBatchNorm1d) or stays(layer)]
    same = {id(buffer) for layer in shared for buffer in layer.buffers(recurse=False)}
    return any(id(buffer) not in same for buffer in model.buffers())


@contextmanager
def rows_counted(model: nn.Module, counted: bool) -> Iterator[None]:
    """Within it, whether the rows of this rank are part of the batch: where not, they change no statistics."""
    norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and not stays(layer)]
    layers = [] if counted else [layer for layer in norms if layer.training]
    try:
        for layer in layers:
            _count(layer, False)
        yield
    finally:
        for layer in layers:
            _count(layer, True)


def _count(layer: _BatchNorm, on: bool) -> None:
    if isinstance(layer, RankBatchNorm1d):
        layer.counted = on
    else:
        layer.train(on)
