"""From errors to exit codes, and what is said about them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from atio.cli.output import clean, print_json
from atio.errors import AtioError

NEGATIVE, USAGE, ABSENT, AGAIN, DAMAGED, UNKNOWN, ACCESS = range(1, 8)
INTERNAL, INTERRUPTED, CLOSED_PIPE = 70, 130, 141

EXIT_CODES = {
    0: "done",
    NEGATIVE: "the answer is no: verify found damage",
    USAGE: "wrong usage or input: an option, a column, data that do not fit",
    ABSENT: "not found: a table, a version, a tag, a file",
    AGAIN: "nothing changed, try again: a conflict, a lock held by another process",
    DAMAGED: "the table is damaged, or of a newer format",
    UNKNOWN: "outcome unknown: look at the log before writing again",
    ACCESS: "no access, the disk failed or is full",
    INTERRUPTED: "interrupted",
}

BY_KIND = {
    "error": USAGE,
    "input": USAGE,
    "schema": USAGE,
    "unsupported": USAGE,
    "exists": USAGE,
    "constraint": USAGE,
    "dependency": USAGE,
    "not-found": ABSENT,
    "version-not-found": ABSENT,
    "retry": AGAIN,
    "conflict": AGAIN,
    "locked": AGAIN,
    "damaged": DAMAGED,
    "newer-format": DAMAGED,
    "unknown-outcome": UNKNOWN,
    "storage": ACCESS,
    "full": ACCESS,
    "access": ACCESS,
}
"""``AtioError.kind`` → exit code."""

_IN_THE_SHELL = {
    "append() or Table.create()": "atio import",
    "append()": "atio import",
    "history()": "atio log",
    "verify()": "atio verify",
    "repair()": "atio repair",
    "move=True": "--move",
    "token=": "--token",
}
"""The library's hints name its methods; here there are commands."""

# Typer has its own copy of Click or uses the real one, depending on its version; both derive
# BadParameter from UsageError, and that from the class of everything that is wrong with arguments.
_ArgumentsError: type[Exception] = typer.BadParameter.mro()[2]


class Commands(TyperGroup):
    """The group of all commands: what goes wrong in them ends here, without a traceback."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        arguments = sys.argv[1:] if args is None else list(args)
        _tolerate_any_text()
        self._json = "--json" in arguments[: _options_end(arguments)]
        extra["standalone_mode"] = False
        try:
            code = super().main(arguments, *rest, **extra)
        except _ArgumentsError as error:
            code = self._misused(error)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except AtioError as error:
            code = self._failed(error)
        except BrokenPipeError:
            code = CLOSED_PIPE
            _forget_output()
        except OSError as error:
            code = self._failed(_translated(error))
        except KeyboardInterrupt:
            code = INTERRUPTED
            self._say({"kind": "interrupted", "message": "interrupted"}, "interrupted")
        except (typer.Exit, typer.Abort, _ArgumentsError):
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence
            code = self._broken(error)
        else:
            return
        raise typer.Exit(code)

    def _misused(self, error: Exception) -> int:
        message = str(getattr(error, "format_message", error.__str__)()).replace("\n\t", " ").strip()
        context = getattr(error, "ctx", None)
        hint = f"see {context.command_path if context else 'atio'} --help"
        self._say({"kind": "usage", "message": message, "hint": hint}, f"{message}\n  → {hint}")
        return USAGE

    def _failed(self, error: AtioError) -> int:
        if error.hint is not None:
            for method, here in _IN_THE_SHELL.items():
                error.hint = error.hint.replace(method, here)
        parts = ("kind", "message", "hint", "table", "version", "file", "column")
        self._say({name: getattr(error, name) for name in parts}, str(error))
        return BY_KIND.get(error.kind, USAGE)

    def _broken(self, error: Exception) -> int:
        import traceback

        traceback.print_exception(error)
        message = f"{type(error).__name__}: {error}"
        self._say(
            {"kind": "internal", "message": message},
            f"internal error: {message}\n  → this is a bug in atio: please report it with the lines above",
        )
        return INTERNAL

    def _say(self, error: dict[str, object], text: str) -> None:
        first, *hints = text.split("\n")
        lines = [f"atio: {clean(first)}", *map(clean, hints)]
        with contextlib.suppress(OSError):
            print(*lines, sep="\n", file=sys.stderr, flush=True)  # noqa: T201 - this is the command line
        if self._json:
            try:
                print_json({"error": error})
                sys.stdout.flush()
            except OSError:
                _forget_output()


def _options_end(arguments: Sequence[str]) -> int:
    return arguments.index("--") if "--" in arguments else len(arguments)


def _translated(error: OSError) -> AtioError:
    """A failure outside tables: standard output on a full disk, a file to import."""
    from atio.storage.failures import translated

    if error.filename is None:
        _forget_output()
    return translated(error, os.fsdecode(error.filename or "standard output"))


def _tolerate_any_text() -> None:
    """File names and data may hold what the terminal's encoding cannot say."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _forget_output() -> None:
    """Nobody reads on: the interpreter's last flush must not complain."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
