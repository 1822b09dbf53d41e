"""In which module of a model an operation is called, for messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from drg_hpc.attribution.trace import Function, Tensors


class _Calls(TorchDispatchMode):
    """Notes the module that is running when an operation is called first."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stack: list[torch.nn.Module] = []
        self.root: torch.nn.Module | None = None
        self.found: dict[str, torch.nn.Module] = {}

    def enter(self, module: torch.nn.Module, *_: Any) -> None:
        self.root = self.root or module
        self.stack.append(module)

    def leave(self, *_: Any) -> None:
        self.stack.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self.stack:
            self.found.setdefault(str(func.overloadpacket).rsplit(".", 1)[-1].rstrip("_"), self.stack[-1])
        return func(*args, **kwargs or {})


def calling_module(function: Function, xs: Tensors, params: Tensors, *, name: str) -> str:
    """``layers.3 (Sort)``: path and class of the module that first calls the operation ``name``; "" if none does."""
    calls = _Calls()
    hooks: list[Callable[[], None]] = [
        register_module_forward_pre_hook(calls.enter).remove,
        register_module_forward_hook(calls.leave).remove,
    ]
    try:
        with torch.no_grad(), calls:
            function(xs, params)
    finally:
        for remove in hooks:
            remove()
    module = calls.found.get(name)
    if module is None or calls.root is None:
        return ""
    path = next((path for path, part in calls.root.named_modules() if part is module), "")
    return f"{path} ({type(module).__name__})" if path else type(module).__name__
