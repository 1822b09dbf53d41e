"""Statistics from the records of plans; a user's own transforms among them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from drg_hpc.attribution.targets import Statistic, TrackStatistic
from drg_hpc.attribution.targets_transform import Aggregate, GroupMeans, ProfileShape, Specificity, Transformed
from drg_hpc.errors import DrgError, UsageError
from drg_hpc.models.compute import Scale, module_place
from drg_hpc.models.user import find_factory


class UserTransform(Transformed):
    """A user's module on the predictions of all tracks, ``(n, T, L)``, giving ``(n, k)``, ``(n, k, 1)`` or ``(n,)``.

    Parameters
    ----------
    transform : in eval mode, on the model's device
    label : what messages call it

    Raises
    ------
    UsageError : when called: an error in it, or another shape
    """

    def __init__(
        self,
        module: torch.nn.Module,
        transform: torch.nn.Module,
        tracks: Sequence[int],
        scale: Scale,
        *,
        names: Sequence[str],
        label: str,
    ) -> None:
        super().__init__(module, tracks, scale, names=names)
        self._transform, self._label, self._count = transform, label, len(self.names)

    def transform(self, predictions: torch.Tensor) -> torch.Tensor:
        try:
            found = self._transform(predictions)
        except (torch.OutOfMemoryError, DrgError):
            raise
        except Exception as error:  # theirs, whatever it is: the user's code, not ours
            raise UsageError(
                f"{self._label} failed on {tuple(predictions.shape)}: {type(error).__name__}: {error}"
            ) from error
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        rows = len(predictions)
        if shape not in ((rows, self._count), (rows, self._count, 1), (rows,) if self._count == 1 else None):
            raise UsageError(
                f"{self._label} gives {shape} for {tuple(predictions.shape)}, {(rows, self._count)} is needed",
                fix="name its values with values=NAME,NAME",
            )
        assert isinstance(found, torch.Tensor)
        return found.reshape(rows, self._count)


def make_statistic(record: Mapping[str, Any], module: torch.nn.Module) -> Statistic:
    """The statistic of a record of :class:`drg_hpc.attribution.transform_spec.Target`.

    Raises
    ------
    UsageError : a factory of the user's that cannot be called or gives no module
    """
    values = {key: value for key, value in record.items() if key not in ("kind", "names", "scale")}
    names, scale, kind = record["names"], record["scale"], record["kind"]
    if kind == "tracks":
        return TrackStatistic(module, values["tracks"], scale, names=names)
    if kind == "groups":
        return GroupMeans(module, values["groups"], scale, names=names)
    if kind == "aggregate":
        return Aggregate(module, scale=scale, names=names, **values)
    if kind == "specificity":
        return Specificity(module, scale=scale, names=names, **values)
    if kind == "profile-shape":
        return ProfileShape(module, names=names, **values)
    return _user_transform(values, module, names=names, scale=scale)


def _user_transform(
    values: Mapping[str, Any], module: torch.nn.Module, *, names: Sequence[str], scale: Scale
) -> UserTransform:
    """Call ``factory(module, **kwargs)``."""
    label = f"transform factory {values['factory']!r}"
    factory = find_factory(values["factory"], role="transform")
    try:
        inspect.signature(factory).bind(module, **values["kwargs"])
    except TypeError as error:
        raise UsageError(
            f"{label} cannot be called like that: {error}", fix="it gets the model, then the keys"
        ) from None
    except ValueError:
        pass  # a callable without a signature
    try:
        found = factory(module, **values["kwargs"])
    except Exception as error:
        raise UsageError(f"{label} failed: {type(error).__name__}: {error}") from error
    if not isinstance(found, torch.nn.Module):
        raise UsageError(f"{label} returned a {type(found).__name__}, not a torch.nn.Module")
    device, dtype = module_place(module)
    tracks = range(len(module.tracks))  # type: ignore[arg-type]
    return UserTransform(
        module, found.to(device=device, dtype=dtype).eval(), tracks, scale, names=names, label=f"the module of {label}"
    )
