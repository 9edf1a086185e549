"""Exit codes, and what is said when something goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atio import Table, errors
from atio.cli.failures import BY_KIND, EXIT_CODES
from atio.errors import AtioError

from .conftest import Atio


def _all(cls: type[AtioError]) -> Iterator[type[AtioError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _all(child)


def test_every_kind_has_a_documented_code(atio: Atio) -> None:
    ours = {cls for cls in _all(AtioError) if cls.__module__ == errors.__name__}
    assert {cls.kind for cls in ours} == set(BY_KIND)
    text = atio("--help").out
    for code in {*BY_KIND.values(), *EXIT_CODES}:
        assert f"{code:>3}  {EXIT_CODES[code]}" in text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("x"), 2),
        (errors.SchemaError("x", column="c"), 2),
        (errors.UnsupportedError("x"), 2),
        (errors.ExistsError("x"), 2),
        (errors.MissingDependencyError("x"), 2),
        (errors.NotFoundError("x"), 3),
        (errors.VersionNotFoundError("x", version=3), 3),
        (errors.ConflictError("x"), 4),
        (errors.LockTimeoutError("x"), 4),
        (errors.DamagedError("x", file="f"), 5),
        (errors.NewerFormatError("x"), 5),
        (errors.OutcomeUnknownError("x"), 6),
        (errors.ResponseLostError("x"), 6),
        (errors.AccessError("x"), 7),
        (errors.StorageError("x"), 7),
        (errors.StorageFullError("x"), 7),
        (OSError(28, "No space left on device"), 7),
        (KeyboardInterrupt(), 130),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_what_comes_of_an_error(
    atio: Atio, path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, as_json: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Table, "history", fail)
    run = atio("log", path, *(["--json"] if as_json else []), code=code)
    assert run.err.startswith("atio: ")
    if not as_json:
        assert run.out == ""
        return
    found = run.document["error"]
    assert found["message"]
    if isinstance(error, AtioError):
        assert (found["kind"], found["version"], found["file"], found["column"]) == (
            error.kind, error.version, error.file, error.column,
        )  # fmt: skip


def test_a_bug_is_called_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from atio.cli.app import app

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Table, "history", fail)
    result = CliRunner().invoke(app, ["log", str(path)])
    assert result.exit_code == 70
    assert "Traceback" in result.stderr
    assert "report it" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nonsense"], "nonsense"),
        (["shwo", "t"], "'show'"),
        (["log"], "TABLE"),
        (["log", "t", "--nonsense"], "--nonsense"),
        (["head", "t", "-n", "x"], "-n"),
        (["head", "t", "-n", "-1"], "-n"),
        (["log", "t", "-n", "0"], "-n"),
        (["expire", "t", "--keep-last", "0"], "--keep-last"),
        (["expire", "t", "extra"], "extra"),
    ],
)
def test_wrong_usage(atio: Atio, arguments: list[str], text: str) -> None:
    run = atio(*arguments, code=2)
    assert run.out == ""
    assert text in run.err
    assert "--help" in run.err
    assert len(run.err.splitlines()) == 2
    found = atio(*arguments, "--json", code=2).document["error"]
    assert found["kind"] == "usage"


def test_no_command_shows_the_help_and_fails(atio: Atio) -> None:
    run = atio(code=2)
    assert "Usage" in run.out + run.err


def test_version(atio: Atio) -> None:
    from atio import __version__

    assert atio("--version").out == f"atio {__version__}\n"


@pytest.mark.parametrize(
    "command",
    [["show"], ["log"], ["head"], ["schema"], ["files"], ["diff", 1], ["tag"], ["tag", "x"], ["untag", "x"],
     ["restore", 1], ["expire"], ["vacuum"], ["verify"], ["repair"], ["export", "x.csv"],
     ["copy", "x.csv"]],
)  # fmt: skip
def test_a_table_that_is_not_there(atio: Atio, tmp_path: Path, command: list[object]) -> None:
    name, *rest = command
    rest = [tmp_path / "x.csv" if word == "x.csv" else word for word in rest]
    run = atio(name, tmp_path / "missing", *rest, "--json", code=3)
    assert run.document["error"]["kind"] == "not-found"
    assert run.document["error"]["table"] == str(tmp_path / "missing")
    assert not (tmp_path / "x.csv").exists()
    assert "()" not in run.err, "hints name commands, not methods"


@pytest.mark.parametrize("place", ["file", "s3x://bucket/t", "file:/t"])
def test_a_place_that_is_no_table(atio: Atio, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    atio("show", tmp_path / "file" if place == "file" else place, code=2)
