"""Formats: the named ones, modules, objects, and the abstract classes."""

from __future__ import annotations

import json
import marshal
import pickle
import plistlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atio import store as stores
from atio.errors import DamagedError, MissingDependencyError, UnsupportedError
from atio.store.formats import Codec

VALUE = {"text": "grün", "list": [1, 2.5, True, None], "nested": {"a": {}}}


class Reversed:
    """``dumps`` and ``loads`` on an object."""

    def dumps(self, obj: Any, reverse: bool = True) -> bytes:
        return json.dumps(obj).encode()[:: -1 if reverse else 1]

    def loads(self, data: bytes, reverse: bool = True) -> Any:
        assert type(data) is bytes
        return json.loads(data[:: -1 if reverse else 1])


class OwnFile(stores.AbstractFormatFile):
    def dump(self, obj: Any, fp: Any, head: str = "v1\n") -> None:
        fp.write(head)
        json.dump(obj, fp)

    def load(self, fp: Any, head: str = "v1\n") -> Any:
        assert fp.readline() == head
        return json.load(fp)


class OwnBstr(stores.AbstractFormatBstr):
    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return repr(obj)

    def loads(self, binary_string: Any, **kwargs: Any) -> Any:
        assert type(binary_string) is str
        return eval(binary_string, {})


class Text:
    dumps = loads = str


class OnlyFiles:
    """``dump`` and ``load`` without their inherited likes for strings."""

    dump = staticmethod(marshal.dump)
    load = staticmethod(marshal.load)


@pytest.mark.parametrize(
    ("format", "options"),
    [
        (None, {}),
        ("json", {}),
        (json, {}),
        (json, {"is_binary": True}),
        ("pickle", {}),
        (pickle, {"dump_kwargs": {"protocol": 2}, "load_kwargs": {"encoding": "latin-1"}}),
        ("bson", {}),
        (marshal, {}),
        (plistlib, {"value": {"a": [1, "b"]}}),
        (Reversed(), {}),
        (Reversed(), {"dump_kwargs": {"reverse": False}, "load_kwargs": {"reverse": False}}),
        (OwnFile(), {"is_binary": False}),
        (OwnFile(), {"is_binary": False, "dump_kwargs": {"head": "v2\n"}, "load_kwargs": {"head": "v2\n"}}),
        (OwnBstr(), {"is_binary": False}),
        (Text, {"is_binary": False, "value": "\ufeffäöü\r\n\n"}),
        (OnlyFiles, {}),
    ],
)
def test_round_trips(path: Path, format: object, options: dict[str, Any]) -> None:
    value = options.pop("value", VALUE)
    with stores.open(path, format=format, **options) as store:
        assert store.value is None
        store.value = value
    assert stores.open(path, format=format, **options).value == value


def test_modules_are_taken_as_they_are(path: Path) -> None:
    import bson

    with stores.open(path, default=VALUE, format=bson):
        pass
    assert bson.decode(path.read_bytes()) == VALUE


def test_the_other_library_called_bson(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has ``dumps`` and ``loads``."""
    from types import ModuleType

    other = ModuleType("bson")
    other.dumps = lambda value: b"other" + json.dumps(value).encode()  # type: ignore[attr-defined]
    other.loads = lambda data: json.loads(data[5:])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bson", other)
    for codec in (Codec("bson"), Codec(other)):
        assert codec.encode([1]) == b"other[1]"
        assert codec.decode(b"other[1]") == [1]


def test_what_is_missing_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bson", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        stores.open(path, format="bson")
    monkeypatch.setitem(sys.modules, "pydantic", None)
    monkeypatch.delitem(sys.modules, "atio.store.typed", raising=False)
    with pytest.raises(MissingDependencyError, match="pip install pydantic"):
        stores.open(path, model=dict)


@pytest.mark.parametrize("format", ["yaml", "Json", 3, object(), stores, dict])
def test_what_is_no_format_is_refused(path: Path, format: object) -> None:
    with pytest.raises(UnsupportedError):
        stores.open(path, format=format)


def test_the_abstract_classes_are_abstract() -> None:
    for cls in (stores.AbstractFormatFile, stores.AbstractFormatBstr):
        with pytest.raises(TypeError, match="abstract"):
            cls()  # type: ignore[abstract]


def test_text_for_bytes_is_said(path: Path) -> None:
    """Nothing is written that could not be read again."""
    for own, is_binary in ((OwnFile(), True), (OwnBstr(), None), (Reversed(), False), (pickle, False)):
        with pytest.raises(UnsupportedError, match="is_binary"):
            stores.open(path, default=1, format=own, is_binary=is_binary).commit()
        assert not path.exists()


def test_damage_in_other_formats(path: Path) -> None:
    path.write_bytes(b"neither")
    for other in ("pickle", "bson", marshal, plistlib, OwnBstr()):
        with pytest.raises(DamagedError):
            stores.open(path, format=other).value  # noqa: B018
    assert path.read_bytes() == b"neither"


def test_wrong_options_are_said(path: Path) -> None:
    path.write_text("1")
    with pytest.raises(DamagedError, match=r"unexpected keyword.*\n.*load_kwargs"):
        stores.open(path, load_kwargs={"no": 1}).value  # noqa: B018
    with pytest.raises(UnsupportedError, match="unexpected keyword"):
        stores.open(path, dump_kwargs={"no": 1}).commit()


def test_options_of_json(path: Path) -> None:
    from decimal import Decimal

    store = stores.open(path, default={"b": 1, "a": 2}, dump_kwargs={"sort_keys": True, "indent": 1})
    store.commit()
    assert path.read_text() == '{\n "a": 2,\n "b": 1\n}'
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):  # as some editors save
        path.write_text("1.10", encoding=encoding)
        assert stores.open(path, load_kwargs={"parse_float": Decimal}).value == Decimal("1.10")


def test_pickle_is_not_even_imported() -> None:
    program = (
        "import sys; sys.modules['pickle'] = None; from atio.store.formats import Codec;"
        "print(Codec().encode([1]), Codec('json').decode(b'[1]'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "b'[1]' [1]\n", done.stderr


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(plain)
def test_json_comes_back(value: Any) -> None:
    data = Codec().encode(value)
    assert Codec().decode(data) == value
    assert json.dumps(value).encode() == data


@given(st.binary())
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    for name in ("json", "bson"):
        try:
            Codec(name).decode(data)
        except DamagedError as error:
            assert error.hint
