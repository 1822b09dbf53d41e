"""What every command shares: options from flags, ``--config`` and ``--set``; errors as one line and an exit code."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from drg_hpc import log as logs
from drg_hpc.config import apply_set, build, load_toml
from drg_hpc.digests import package_version
from drg_hpc.errors import EXIT_BUG, EXIT_INPUT, EXIT_STOPPED, DiskFullError, DrgError, UsageError
from drg_hpc.runs.site import pin_site

O = TypeVar("O", bound=BaseModel)  # noqa: E741
Result = dict[str, Any]
# What a place to read from or write to can be like without a fault of ours.
_PLACES = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}", fix=f"{self.prog} --help")


def _element(annotation: Any) -> tuple[Any, bool]:
    """Type of one value, and whether the field takes several: ``list[str] | None`` -> (str, True)."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(item for item in typing.get_args(annotation) if item is not type(None))
    if typing.get_origin(annotation) in (list, tuple):
        return typing.get_args(annotation)[0], True
    return annotation, False


def _help_text(info: FieldInfo, several: bool) -> str:
    text = (info.description or "").replace("%", "%%")
    default = info.default
    if default is PydanticUndefined or default is None or default is False or default == [] or default == ():
        return text
    if "default" in text:
        return text
    shown = ",".join(map(str, default)) if several else str(default)
    return f"{text} (default: {shown})".replace("%%%%", "%%")


def _add_field(parser: argparse._ActionsContainer, name: str, info: FieldInfo) -> None:
    extra = typing.cast("dict[str, Any]", info.json_schema_extra or {})
    kind, several = _element(info.annotation)
    if typing.get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return  # a table: set by --config or --set
    options: dict[str, Any] = {"help": _help_text(info, several), "default": argparse.SUPPRESS}
    choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else None
    if extra.get("positional"):
        nargs = ("+" if info.is_required() else "*") if several else (None if info.is_required() else "?")
        parser.add_argument(name, nargs=nargs, choices=choices, metavar=extra.get("metavar") or name.upper(), **options)
        return
    names = [*filter(None, [extra.get("short")]), f"--{extra.get('name') or name.replace('_', '-')}"]
    options["dest"] = name
    if kind is bool:
        parser.add_argument(*names, action=argparse.BooleanOptionalAction if info.default else "store_true", **options)
        return
    metavar = extra.get("metavar") or ("|".join(choices) if choices else name.upper())
    if several:  # a flag given twice adds to the first
        options |= {"nargs": "+", "action": "extend"}
    parser.add_argument(*names, metavar=metavar, choices=choices, **options)


def _by_group(model: type[BaseModel]) -> dict[str, list[str]]:
    """Heading -> fields. The command's own flags come first, those of the most general class last."""
    found: dict[str, list[str]] = {}
    for owner in model.__mro__:
        own = [name for name in vars(owner).get("__annotations__", {}) if name in model.model_fields]
        title = vars(owner).get("group", "")
        taken = {name for names in found.values() for name in names}
        found.setdefault(title, []).extend(name for name in own if name not in taken)
    return {title: names for title, names in found.items() if names}


def _parser(prog: str, summary: str, model: type[BaseModel], epilog: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=prog,
        description=summary,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sections: dict[str, argparse._ArgumentGroup] = {}
    for title, fields in _by_group(model).items():
        section = sections.setdefault(title, parser.add_argument_group(title)) if title else None
        for name in fields:
            _add_field(section or parser, name, model.model_fields[name])
    common = parser.add_argument_group("every command")
    common.add_argument("--config", metavar="FILE.toml", type=Path, help="read options from a file; flags win over it")
    common.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="assignments",
        help="set one option or table.key, as in the file; may be given several times",
    )  # fmt: skip
    common.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object as the result")
    common.add_argument("--quiet", action="store_true", help="show warnings and errors only")
    common.add_argument("-v", "--verbose", action="count", default=0, help="show details")
    common.add_argument("--version", action="version", version=f"{prog} {package_version()}")
    parser.usage = _usage(prog, model)
    return parser


def _usage(prog: str, model: type[BaseModel]) -> str:
    """What must be given; forty optional flags in brackets say nothing that their own lines do not say better."""
    words: list[tuple[int, str]] = []
    for name, info in model.model_fields.items():
        extra = typing.cast("dict[str, Any]", info.json_schema_extra or {})
        shown = (extra.get("metavar") or name.upper()) + (" …" if _element(info.annotation)[1] else "")
        if extra.get("positional"):
            words.append((0, shown) if info.is_required() else (1, f"[{shown}]"))
        elif extra and info.is_required():
            written = extra.get("short") or "--" + name.replace("_", "-")
            words.append((3 if extra.get("short") else 2, f"{written} {shown}"))
    given = " ".join(text for _, text in sorted(words, key=lambda item: item[0]))
    return f"{prog} {given} [options]".replace("%", "%%")


def _positionals_required(parser: argparse.ArgumentParser, config_given: bool) -> None:
    """With ``--config`` a positional may come from the file, so argparse must not insist on it."""
    if not config_given:
        return
    for action in parser._positionals._group_actions:
        if action.nargs is None:
            action.nargs = "?"
            action.required = False
        elif action.nargs == "+":
            action.nargs = "*"
            action.required = False


def _collect(parser: argparse.ArgumentParser, model: type[O], arguments: Sequence[str]) -> tuple[O, argparse.Namespace]:
    _positionals_required(parser, any(a == "--config" or a.startswith(("--config=", "--set")) for a in arguments))
    for argument in arguments:
        if argument.startswith("--") and argument.endswith("=--"):  # argparse would take it for no value at all
            raise UsageError(f"{argument}: -- is not a value", fix="give a value, or leave the flag out")
    chosen = parser.parse_args(arguments)
    values: dict[str, Any] = {}
    source = "command line"
    if chosen.config:
        values = {key.replace("-", "_"): value for key, value in load_toml(chosen.config).items()}
        source = str(chosen.config)
    for assignment in chosen.assignments:
        apply_set(values, assignment)
    given = {name: getattr(chosen, name) for name in model.model_fields if hasattr(chosen, name)}
    flags = {name: value for name, value in given.items() if value not in (None, [])}
    if values.keys() & flags.keys():
        build(model, flags | values, source=source)  # a bad value is a fault even where a flag wins over it
    return build(model, values | flags, source=source), chosen


def run_command(
    *,
    prog: str,
    summary: str,
    options: type[O],
    action: Callable[[O], Result],
    arguments: Sequence[str] | None = None,
    epilog: str = "",
) -> NoReturn:
    """Parse, run, print the last line, exit.

    Parameters
    ----------
    options : pydantic model of the command; its fields become flags
    action : does the work; returns plain values with ``message`` (the last line) and, where not 0, ``exit_code``.
        Further lines to print come as ``lines``.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in arguments
    try:
        chosen_options, chosen = _collect(_parser(prog, summary, options, epilog), options, arguments)
        logs.setup(-1 if chosen.quiet else chosen.verbose)
        pin_site()
        result = action(chosen_options)
    except DrgError as error:
        _fail(prog, error.exit_code, str(error), as_json=as_json, at_once=isinstance(error, DiskFullError))
    except KeyboardInterrupt:
        _fail(prog, EXIT_STOPPED, "stopped; run the same command again", as_json=as_json)
    except ModuleNotFoundError as error:
        fix = "run inside the image or the worker environment, or pip install 'drg_hpc[run]'"
        _fail(prog, EXIT_INPUT, f"{error.name} is not installed here; {fix}", as_json=as_json)
    except OSError as error:
        if error.errno not in _PLACES:
            raise
        _fail(prog, EXIT_INPUT, f"{error.filename}: {os.strerror(error.errno or 0).lower()}", as_json=as_json)
    except Exception as error:
        if "-v" in arguments or "--verbose" in arguments:
            raise
        line = " ".join(f"{type(error).__name__}: {error}".split())
        _fail(prog, EXIT_BUG, f"unexpected error, please report it: {line}; -v shows where", as_json=as_json)
    code = int(result.pop("exit_code", 0))
    lines = result.pop("lines", [])
    text = [json.dumps(result, default=str)] if as_json else [*lines, str(result["message"])]
    try:
        print("\n".join(text), flush=True)
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _fail(prog: str, code: int, message: str, *, as_json: bool, at_once: bool = False) -> NoReturn:
    if as_json:
        print(json.dumps({"error": message, "exit_code": code}), flush=True)
    print(f"{prog}: error: {message}", file=sys.stderr, flush=True)
    if at_once:  # HDF5 crashes when it cleans up after a full disk
        os._exit(code)
    sys.exit(code)
