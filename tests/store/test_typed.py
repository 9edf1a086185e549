"""Values of a declared type."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, computed_field

from atio import store as stores
from atio.errors import DamagedError, InputError, SchemaError, UnsupportedError


class Job(BaseModel):
    name: str
    tries: Annotated[int, Field(ge=0)] = 0


class State(BaseModel):
    jobs: list[Job] = []
    since: dt.datetime | None = None
    price: Decimal = Decimal("1.10")
    ids: set[UUID] = set()
    by_number: dict[int, tuple[int, str]] = {}
    internal: str = Field(default="x", alias="intern")

    @computed_field
    def count(self) -> int:
        return len(self.jobs)


class Strict(State):
    model_config = ConfigDict(strict=True, extra="forbid")


@dataclass
class Point:
    x: int
    y: int = 2


FULL: dict[str, Any] = {
    "jobs": [Job(name="a", tries=3)],
    "since": dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
    "ids": {UUID(int=5)},
    "by_number": {1: (2, "b")},
    "intern": "y",
}


@pytest.mark.parametrize("format", [None, "pickle", "bson"])
@pytest.mark.parametrize("model", [State, Strict])
def test_models_come_back(path: Path, format: object, model: type[State]) -> None:
    with stores.open(path, format=format, model=model) as store:
        assert store.value == model()
        store.value = model(**FULL)
    found = stores.open(path, format=format, model=model).value
    assert found == model(**FULL)
    assert type(found) is model
    assert type(found.price) is Decimal


def test_the_file_holds_plain_json(path: Path) -> None:
    with stores.open(path, model=State) as store:
        store.value.jobs.append(Job(name="a"))
    assert json.loads(path.read_text())["jobs"] == [{"name": "a", "tries": 0}]
    assert "count" not in json.loads(path.read_text())


def test_other_types(path: Path) -> None:
    with stores.open(path, default=[1], model=list[int]) as store:
        store.value.append(2)
    assert stores.open(path, model=list[int]).value == [1, 2]
    path.unlink()
    with stores.open(path, default={"x": 1}, model=Point) as point:
        assert point.value == Point(1)
        point.value.y = 5
    assert stores.open(path, model=Point).value == Point(1, 5)
    path.unlink()
    assert stores.open(path, model=int | None).value is None
    assert stores.open(path, default="5", model=int).value == 5


def test_defaults(path: Path) -> None:
    default = State(jobs=[Job(name="a")])
    store = stores.open(path, default=default, model=State)
    store.value.jobs.clear()
    assert default.jobs
    store.rollback()
    assert store.value == default
    assert stores.open(path, default={"jobs": [{"name": "b"}]}, model=State).value.jobs[0].name == "b"
    with pytest.raises(InputError, match="give default="):
        stores.open(path, model=Job).value  # noqa: B018
    with pytest.raises(SchemaError, match="the default does not fit Job: tries"):
        stores.open(path, default={"name": "a", "tries": -1}, model=Job).value  # noqa: B018


def test_what_does_not_fit_is_not_assigned(path: Path) -> None:
    store = stores.open(path, default=Job(name="a"), model=Job)
    store.value = {"name": "b"}  # type: ignore[assignment]
    assert store.value == Job(name="b")
    with pytest.raises(SchemaError, match=r"the value does not fit Job: tries: .*greater than or equal to 0"):
        store.value = {"name": "b", "tries": -1}  # type: ignore[assignment]
    assert store.value == Job(name="b")


@pytest.mark.parametrize(("name", "bad"), [("tries", -1), ("tries", "many"), ("name", 5), ("tries", "5")])
def test_what_was_changed_until_it_does_not_fit_is_not_written(path: Path, name: str, bad: object) -> None:
    path.write_text('{"name": "a"}')
    store = stores.open(path, model=Job)
    setattr(store.value, name, bad)
    with pytest.raises(SchemaError, match=f"(?s)the value does not fit Job.*{name}"):
        store.commit()
    assert path.read_text() == '{"name": "a"}'
    store.rollback()
    store.commit()


def test_a_file_that_does_not_fit_stays(path: Path) -> None:
    for content, error in (('{"tries": 1}', SchemaError), ("[]", SchemaError), ("{", DamagedError)):
        path.write_text(content)
        store = stores.open(path, default=Job(name="a"), model=Job)
        for use in (
            lambda s=store: s.value,
            store.commit,
            lambda s=store: setattr(s, "value", Job(name="b")),
        ):
            with pytest.raises(error) as caught:
                use()
            assert caught.value.file == str(path)
        assert path.read_text() == content


def test_a_format_may_still_refuse(path: Path) -> None:
    with pytest.raises(UnsupportedError, match="bson"):
        stores.open(path, default=[1], model=list[int], format="bson").commit()


@pytest.mark.slow
def test_types_are_known_to_checkers(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import atio.store as stores\n"
        "class Job:\n    name: str = ''\n"
        "reveal_type(stores.open('a', model=Job).value)\n"
        "with stores.open('a') as store:\n    reveal_type(store.value)\n",
    )
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", program],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 'Revealed type is "program.Job"' in done.stdout, done.stdout
    assert 'Revealed type is "Any"' in done.stdout


class Anything(BaseModel):
    text: str = ""
    number: int = 0
    real: float = 0.0
    flag: bool | None = None
    days: list[dt.date] = []
    map: dict[str, Decimal] = {}
    raw: bytes = b""


@given(st.builds(Anything, raw=st.text().map(str.encode)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_model_comes_back_or_is_refused(tmp_path: Path, value: Anything) -> None:
    path = tmp_path / "value"
    path.unlink(missing_ok=True)
    store = stores.open(path, model=Anything, durable=False)
    store.value = value
    try:
        store.commit()
    except SchemaError:
        assert not path.exists()
    else:
        assert stores.open(path, model=Anything).value == value
