"""Networks of the user's own: import their factory, call it, and hold what it returns to its word."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from drg_hpc.errors import DrgError, UsageError
from drg_hpc.models.base import ModelShape, SequenceModel, Sequences
from drg_hpc.models.config_user import UserConfig
from drg_hpc.models.user_packages import is_ours

log = logging.getLogger(__name__)
_SAID: set[str] = set()


def _import(module: str, factory: str, role: str) -> Any:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # last, so that no file here takes the place of an installed package
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        parts = module.split(".")
        if error.name not in [".".join(parts[:n]) for n in range(1, len(parts) + 1)]:
            raise UsageError(f"{role} factory {factory!r} needs {error.name}, which is not installed") from error
        raise UsageError(
            f"{role} factory {factory!r}: there is no module {error.name!r} among the installed packages or in {here}",
            fix="install the package, set PYTHONPATH, or run where it lies",
        ) from None
    except Exception as error:  # the user's code can raise anything
        raise UsageError(f"importing {module} of {role} factory {factory!r} failed: {_told(error)}") from error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _require_users_own(name: str, factory: str, role: str) -> None:
    """A model folder made by somebody else names a factory too, which must not be any function of the system.

    Raises
    ------
    UsageError : it is of the standard library, or of a package that this suite requires, some of whose functions can be
        told to run code or to delete files
    """
    if is_ours(name):
        raise UsageError(
            f"{role} factory {factory!r} is a function of {name.partition('.')[0]}: a factory must be in a package of "
            "your own",
            fix="write a function that calls it, in a module of yours",
        )


def find_factory(factory: str, *, role: str = "model") -> Callable[..., Any]:
    """The function or class that ``package.module:name`` names; importing its module runs the code in it.

    Parameters
    ----------
    role : what it makes, for messages

    Raises
    ------
    UsageError : not importable, not there, not callable, or not of a package of the user's own
    """
    module_name, _, name = factory.partition(":")
    _require_users_own(module_name, factory, role)
    module = _import(module_name, factory, role)
    if factory not in _SAID:
        log.info("%s factory %s is imported from %s", role, factory, getattr(module, "__file__", None) or module_name)
        _SAID.add(factory)
    found: Any = getattr(module, name, None)
    if found is None:
        raise UsageError(f"{role} factory {factory!r}: {module_name} has no {name!r}")
    if not callable(found):
        raise UsageError(f"{role} factory {factory!r} is a {type(found).__name__}, not a function or class")
    if inspect.isroutine(found) or inspect.isclass(found):
        _require_users_own(str(getattr(found, "__module__", None) or module_name), factory, role)
    return cast("Callable[..., Any]", found)


def takes_shape(factory: Callable[..., Any]) -> bool:
    """Whether a factory has a parameter ``shape``."""
    try:
        return "shape" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # a callable without a signature
        return False


def call_factory(config: UserConfig, shape: ModelShape | None) -> nn.Module:
    """The user's module.

    The factory is called with the keyword arguments of the config, and with ``shape`` (a :class:`ModelShape`: input
    lengths, heads with their links, tracks, bins) where it has a parameter of that name.

    Raises
    ------
    UsageError : no such factory, arguments that it does not take, an error in it, or something else than a module
    """
    factory = find_factory(config.factory)
    arguments: dict[str, Any] = dict(config.kwargs)
    if takes_shape(factory):
        arguments["shape"] = shape
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        raise UsageError(f"model factory {config.factory!r} cannot be called like that: {error}",
                         fix="see [model.kwargs]") from None  # fmt: skip
    except ValueError:
        pass  # a callable without a signature
    try:
        module = factory(**arguments)
    except Exception as error:
        raise UsageError(f"model factory {config.factory!r} failed: {_told(error)}") from error
    if not isinstance(module, nn.Module):
        raise UsageError(f"model factory {config.factory!r} returned a {type(module).__name__}, not a torch.nn.Module")
    return module


class UserModel(SequenceModel):
    """A user's module that maps ``(batch, 4, length)``, or a list of them, to ``(batch, tracks[, bins])``.

    Attributes
    ----------
    module : what the factory returned

    Raises
    ------
    UsageError : as :func:`call_factory`; and when called, if the output is not of the shape it is built for
    """

    def __init__(self, config: UserConfig, shape: ModelShape) -> None:
        super().__init__(shape)
        self.factory = config.factory
        self.module = call_factory(config, shape)

    def forward(self, x: Sequences) -> torch.Tensor:
        try:
            output = self.module(x)
        except (torch.OutOfMemoryError, DrgError):
            raise
        except Exception as error:  # theirs, whatever it is: the user's code, not ours
            shapes = [tuple(each.shape) for each in ([x] if isinstance(x, torch.Tensor) else x)]
            raise UsageError(
                f"the module of model factory {self.factory!r} failed on an input of {', '.join(map(str, shapes))}: "
                f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            ) from error
        rows = len(x) if isinstance(x, torch.Tensor) else len(x[0])
        wanted = (rows, self.shape.n_tracks, *([self.shape.bins] if self.shape.bins else []))
        if not isinstance(output, torch.Tensor) or tuple(output.shape) != wanted:
            found = tuple(output.shape) if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
            what = "(batch, tracks, bins)" if self.shape.bins else "(batch, tracks)"
            raise UsageError(f"the module of model factory {self.factory!r} gives {found}, {what} = {wanted} is needed")
        return output
