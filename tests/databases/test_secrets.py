"""Passwords are nowhere: not in errors, in what hangs on them, in logs, in what objects say of themselves."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pyarrow as pa
import pytest
import sqlalchemy as sa

import atio
from atio.errors import AtioError
from atio.writers.sql import read_sql, write_table
from atio.writers.sql.failures import Secrets
from tests.databases.places import PostgresqlPlace, ServerPlace
from tests.databases.servers import PASSWORD

OLD = pa.table({"id": [1, 2]})
FORMS = (PASSWORD, quote_plus(PASSWORD), quote(PASSWORD, safe=" +"), quote(PASSWORD, safe=""))


def shown(error: BaseException) -> Iterator[str]:
    """Everything that printing, sending or pickling an error would show."""
    yield "".join(traceback.format_exception(error))
    seen: list[BaseException | None] = [error]
    while seen:
        one = seen.pop()
        if one is None:
            continue
        yield from (str(one), repr(one), repr(vars(one)), repr(one.args), repr(getattr(one, "__notes__", "")))
        seen += [one.__cause__, one.__context__]
    if isinstance(error, AtioError):
        yield repr(pickle.dumps(error))


def assert_hidden(texts: Iterator[str]) -> None:
    for text in texts:
        for form in FORMS:
            assert form not in text


@pytest.fixture(params=["url", "text", "engine"])
def con(request: pytest.FixtureRequest, server: ServerPlace) -> Any:
    text = server.url.render_as_string(hide_password=False)
    assert FORMS[2] in text
    return {"url": server.url, "text": text, "engine": server.con}[request.param]


def test_errors(con: Any, server: ServerPlace, caplog: pytest.LogCaptureFixture) -> None:
    write_table(OLD, "t", con, key="id")

    def killed() -> Iterator[pa.Table]:
        yield OLD
        server.kill()
        yield OLD

    calls = (
        lambda: write_table(OLD, "t", con),
        lambda: write_table(OLD, "t", con, if_exists="append"),
        lambda: write_table(OLD, "t", con, schema="nowhere"),
        lambda: write_table(killed(), "t", con, if_exists="replace"),
        lambda: read_sql("SELECT nonsense FROM t", con),
        lambda: read_sql(f"SELECT '{'x' * 10}' + ", con),
        lambda: atio.write(OLD, format="sql", name="t", con=con, verbose=True),
        lambda: atio.write(OLD, format="database", table_name="t", connection_uri=con, verbose=True),
    )
    with caplog.at_level(logging.DEBUG):
        for call in calls:
            with pytest.raises(AtioError) as caught:
                call()
            assert_hidden(shown(caught.value))
    assert_hidden(iter([caplog.text]))


def test_urls_that_lead_nowhere(server: ServerPlace) -> None:
    url = server.url
    no_host = url.set(host="127.0.0.1", port=1, query={})
    for bad in (
        no_host,
        no_host.render_as_string(hide_password=False),
        sa.create_engine(no_host),
        f"{url.drivername}://user:{PASSWORD}@127.0.0.1:1/x",  # not quoted
        f"{url.drivername}://user:{PASSWORD}@127.0.0.1:port/x",
        f"{url.drivername}+nodriver://user:x@{PASSWORD}@h/x",
        f"sqlite://user:{PASSWORD}@h/x",
        f"nonsense://user:{quote_plus(PASSWORD)}@h/x",
        f"{url.drivername}://127.0.0.1:1/x?user=a&password={quote_plus(PASSWORD)}",
    ):
        with pytest.raises(AtioError) as caught:
            write_table(OLD, "t", bad)
        assert_hidden(shown(caught.value))


def test_a_user_who_is_refused(postgresql: PostgresqlPlace) -> None:
    url = postgresql.url.set(username="nobody")
    with pytest.raises(AtioError) as caught:
        write_table(OLD, "t", url)
    assert_hidden(shown(caught.value))
    assert "nobody" in str(caught.value)


def test_what_is_hidden() -> None:
    secrets = Secrets(["a b/c"])
    assert repr(secrets) == "Secrets(***)"
    assert secrets.hide("a b/c, a%20b%2Fc, a+b%2Fc; d") == "***, ***, ***; d"
    assert Secrets().hide("to x://me:pw:1@host password='p w' passwd=q;") == (
        "to x://me:***@host password=*** passwd=***;"
    )
