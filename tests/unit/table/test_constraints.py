"""No row that a constraint forbids gets into the newest version, by whatever way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio import Table, col
from atio.commit.build import Request
from atio.commit.changes import AddFiles
from atio.errors import (
    AtioError,
    ConstraintError,
    ExistsError,
    InputError,
    NewerFormatError,
    NotFoundError,
    SchemaError,
    UnsupportedError,
)
from atio.model.pointer import Check
from atio.storage import MemoryStorage
from tests.support.tables import listing, required

SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("price", pa.float64())])
POSITIVE = {"positive": "price > 0"}


def created(schema: pa.Schema = SCHEMA, **how: Any) -> Table:
    return Table.create(MemoryStorage(), schema, **how)


def rows(*prices: float | None, start: int = 0) -> pa.Table:
    return pa.table({"id": range(start, start + len(prices)), "price": prices}, schema=SCHEMA)


def unchanged(table: Table, action: Any, match: str = "positive") -> ConstraintError:
    """What an action raises that must leave nothing behind."""
    storage = table._objects.storage
    version, before = table.version, table.to_arrow().to_pydict()
    with pytest.raises(ConstraintError, match=match) as caught:
        action()
    assert (table.version, repr(table.to_arrow().to_pydict())) == (version, repr(before))
    assert listing(storage) == required(storage)
    return caught.value


# -- checks -----------------------------------------------------------------------------------------


def test_rows_that_do_not_meet_a_check_are_refused_and_shown() -> None:
    table = created(checks=POSITIVE)
    assert table.checks == {"positive": '"price" > 0'}
    table.append(rows(1, 2, None, float("nan")))
    error = unchanged(table, lambda: table.append(rows(1, -2.5, None, 0)))
    assert (error.kind, error.column) == ("constraint", "price")
    assert "2 of these rows" in error.message
    assert "row 1 (price=-2.5, id=1); row 3 (price=0.0, id=3)" in error.message
    assert "drop_check('positive')" in str(error)


@pytest.mark.parametrize("how", ["overwrite", "stage", "stream", "checkpoint", "write"])
def test_no_way_of_writing_leads_past_a_check(how: str) -> None:
    table = created(checks=POSITIVE)
    table.append(rows(1))
    bad = rows(5, 6, -1)
    ways: dict[str, Any] = {
        "overwrite": lambda: table.overwrite(bad),
        "stage": lambda: table.stage(bad),
        "stream": lambda: table.append(iter([rows(5), rows(6), rows(-1)])),
        "checkpoint": lambda: table.append(iter([bad]), checkpoint_rows=10),
        "write": lambda: table.append(bad.to_pylist()),
    }
    error = unchanged(table, ways[how])
    assert "row 2 " in error.message


def test_rows_staged_before_a_check_was_added_are_looked_at_when_they_are_committed() -> None:
    table = created()
    table.append(rows(1))
    good, bad = table.stage(rows(2)), table.stage(rows(3, -3))
    table.add_check("positive", col("price") > 0)
    version = table.version
    with pytest.raises(ConstraintError, match="price=-3"):
        table.commit(bad)
    with pytest.raises(ConstraintError, match="price=-3"):
        table.commit(bad, overwrite=True)
    assert table.version == version
    table.commit(good)
    assert table.to_arrow()["price"].to_pylist() == [1, 2]


def test_a_check_added_while_a_writer_writes_is_not_bypassed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the staging of rows and their commit, under every way a commit can go."""
    for add in ({}, {"token": "t"}):
        table = created()
        table.append(rows(1))
        commit = type(table._writer.committer).commit

        def late(self: Any, request: Request, *rest: Any, table: Table = table, commit: Any = commit) -> Any:
            if request.operation == "append":
                monkeypatch.undo()
                Table(table._objects.storage).add_check("positive", "price > 0")
            return commit(self, request, *rest)

        monkeypatch.setattr(type(table._writer.committer), "commit", late)
        unchanged_version = table.version
        with pytest.raises(ConstraintError, match="price=-1"):
            table.append(rows(-1), **add)
        assert table.version == unchanged_version
        assert listing(table._objects.storage) == required(table._objects.storage)


def test_what_stands_in_the_way_of_a_constraint_is_to_be_corrected() -> None:
    """The constraint is not there yet, so the hint is not to take it away."""
    table = Table(MemoryStorage())
    table.append({"id": [1, 2], "price": [-1.0, None]})
    for add in (lambda: table.add_check("positive", "price > 0"), lambda: table.set_not_null("price")):
        with pytest.raises(ConstraintError, match=r"(?s)id=.*→ correct these rows first"):
            add()


def test_rows_that_land_while_a_check_is_added_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    table = created()
    table.append(rows(1))
    commit = type(table._writer.committer).commit

    def late(self: Any, request: Request, *rest: Any) -> Any:
        if request.operation == "add check":
            monkeypatch.undo()
            Table(table._objects.storage).append(rows(-1))
        return commit(self, request, *rest)

    monkeypatch.setattr(type(table._writer.committer), "commit", late)
    with pytest.raises(ConstraintError, match="rows of the table do not meet it"):
        table.add_check("positive", "price > 0")
    assert table.checks == {}


def test_adding_a_check_reads_only_files_that_may_offend() -> None:
    table = created(properties={"append.merge": "false"})
    for i in range(30):
        table.append(rows(i + 1))
    opened: list[str] = []
    storage = table._objects.storage
    read = storage.read

    def counted(path: str, *rest: Any) -> Any:
        opened.append(path)
        return read(path, *rest)

    storage.read = counted  # type: ignore[method-assign]
    table.add_check("positive", "price > 0")
    assert not [path for path in opened if path.startswith("data/")]
    with pytest.raises(ConstraintError, match=r"price=1\.0"):
        table.add_check("large", "price > 3")
    assert len([path for path in opened if path.startswith("data/")]) <= 3  # those with prices up to 3


def test_restoring_a_version_that_does_not_meet_a_check_is_refused() -> None:
    table = created()
    table.append(rows(-1))
    table.overwrite(rows(1))
    table.add_check("positive", "price > 0")
    unchanged(table, lambda: table.restore(1))
    table.append(rows(2))
    assert table.restore(2).rows == 1


def test_branches_obey_the_checks_of_the_table() -> None:
    table = created()
    table.append(rows(1))
    branch = table.create_branch("try")
    branch.append(rows(-1))
    table.add_check("positive", "price > 0")
    with pytest.raises(ConstraintError):
        branch.append(rows(-2))
    with pytest.raises(ConstraintError):
        table.merge_branch("try")  # by taking its versions over
    table.append(rows(3))
    with pytest.raises(ConstraintError):
        table.merge_branch("try")  # by appending its rows
    with pytest.raises(InputError, match="branch="):
        branch.drop_check("positive")
    table.drop_check("positive")
    assert sorted(table.merge_branch("try").to_arrow()["price"].to_pylist()) == [-1, 1, 3]


def test_a_commit_that_forgot_the_checks_does_not_land() -> None:
    table = created(checks=POSITIVE)
    staged = table.stage(rows(1))
    change = AddFiles(staged.files, staged.bound())
    with pytest.raises(AssertionError):
        table._writer.committer.commit(Request("append", (change,)))
    assert table.version == 0


def test_checks_follow_their_columns() -> None:
    table = created(checks={"point": col("point", "x") < 5}, schema=pa.schema(
        [pa.field("id", pa.int64()), pa.field("point", pa.struct([("x", pa.int32()), ("y", pa.int32())]))]
    ))  # fmt: skip
    table.append([{"id": 1, "point": {"x": 4, "y": 0}}])
    table.rename_column("point.x", "east")
    table.rename_column("point", "place")
    table.widen_column("place.east", pa.int64())
    assert table.checks == {"point": "struct_extract(\"place\", 'east') < 5"}
    with pytest.raises(ConstraintError, match="place"):
        table.append([{"id": 2, "place": {"east": 6, "y": 0}}])
    for name in ("place.east", "place"):
        with pytest.raises(SchemaError, match="drop_check"):
            table.drop_column(name)
    with pytest.raises(SchemaError, match="drop_check"):
        table.overwrite(pa.table({"id": [1]}))
    table.drop_check("point")
    table.drop_column("place")


def test_checks_are_metadata_alone() -> None:
    table = created()
    table.append(rows(1))
    table.add_check("positive", [("price", ">", 0)])
    table.tag("x")
    assert (table.version, list(table.checks)) == (1, ["positive"])
    with pytest.raises(ExistsError):
        table.add_check("positive", "price > 1")
    with pytest.raises(NotFoundError, match="positive"):
        table.drop_check("negative")
    for name in ("", " x", "x" * 201):
        with pytest.raises(InputError):
            table.add_check(name, "price > 0")
    for where in ("price", "nothing > 0"):
        with pytest.raises(InputError):
            table.add_check("other", where)
    table.compact()
    for i in range(20):
        table.append(rows(i + 1))


def test_a_check_that_cannot_be_read_stops_writers_not_readers() -> None:
    from atio.commit.changes import AddCheck

    table = created()
    table.append(rows(1))
    table._writer.amend("x", AddCheck(Check(name="later", where='{"node":"soundex"}')))
    assert table.to_arrow().num_rows == 1
    with pytest.raises(NewerFormatError, match="later"):
        table.append(rows(1))


conditions = st.sampled_from(
    ["price > 0", "id < 5 or price = 2", "not (price <= 1)", "id in (1, 2, 3)", "price is not null"]
)
prices = st.lists(
    st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(-2, 3))), min_size=1, max_size=4
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(prices, conditions, st.sampled_from([1, 2, 3])), max_size=10))
def test_the_newest_version_meets_every_check(steps: list[Any]) -> None:
    """Writes, checks and restores in any order: what was refused changed nothing, and nothing slipped in."""
    table = created()
    for number, step in enumerate(steps):
        try:
            if isinstance(step, str):
                table.add_check(str(number), step)
            elif isinstance(step, int):
                table.restore(step)
            else:
                ids, found = zip(*step, strict=True)
                table.append(pa.table({"id": ids, "price": found}, schema=SCHEMA))
        except (ConstraintError, LookupError) as error:
            if isinstance(step, list):
                assert isinstance(error, ConstraintError)
        for where in table.checks.values():
            assert table.scan(where=f"not ({where})").count() == 0


# -- not null ---------------------------------------------------------------------------------------


def test_nulls_are_refused_once_there_are_none() -> None:
    table = created(properties={"append.merge": "false"})
    table.append(rows(1))
    table.append(rows(2, None))
    unchanged(table, lambda: table.set_not_null("price"), "'price' may not be null")
    made = table.overwrite(rows(1, 2)), table.set_not_null("price", message="m")
    assert (made[1].operation, made[1].message, table.schema.field("price").nullable) == (
        "evolve",
        "m",
        False,
    )
    with pytest.raises(SchemaError, match="price"):
        table.append(rows(None))
    table.append(rows(3))
    assert table.to_arrow(where=col("price") > 1)["price"].to_pylist() == [2, 3]
    assert table.to_arrow().schema.field("price").nullable is False
    table.compact()
    table.make_nullable("price")
    table.append(rows(None))


def test_rows_staged_while_nulls_were_allowed_are_looked_at() -> None:
    table = created()
    table.append(rows(1))
    good, bad = table.stage(rows(2)), table.stage(rows(None))
    table.set_not_null("price")
    with pytest.raises(ConstraintError, match="price=None"):
        table.commit(bad)
    table.commit(good)
    assert table.to_arrow()["price"].to_pylist() == [1, 2]
    assert table.to_pandas()["price"].tolist() == [1, 2]


def test_nulls_that_land_meanwhile_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    table = created()
    table.append(rows(1))
    commit = type(table._writer.committer).commit

    def late(self: Any, request: Request, *rest: Any) -> Any:
        if request.operation == "evolve":
            monkeypatch.undo()
            Table(table._objects.storage).append(rows(None))
        return commit(self, request, *rest)

    monkeypatch.setattr(type(table._writer.committer), "commit", late)
    with pytest.raises(ConstraintError):
        table.set_not_null("price")
    assert table.schema.field("price").nullable


def test_only_whole_columns_that_are_there_can_forbid_nulls(tmp_path: Path) -> None:
    table = Table.open(tmp_path / "t")
    table.append(pa.table({"p": [{"x": 1}]}))
    with pytest.raises(UnsupportedError, match="a check does it"):
        table.set_not_null("p.x")
    with pytest.raises(SchemaError, match="no column"):
        table.set_not_null("q")
    table.set_not_null("p")
    with pytest.raises(AtioError, match="p"):
        table.append(pa.table({"p": pa.array([None], pa.struct([("x", pa.int64())]))}))
    assert table.to_arrow()["p"].to_pylist() == [{"x": 1}]
