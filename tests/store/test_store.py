"""What a store promises, one process and one thread at a time."""

from __future__ import annotations

import copy
import errno
import gc
import json
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from atio import store as stores
from atio.errors import (
    ConflictError,
    DamagedError,
    InputError,
    LockTimeoutError,
    NotFoundError,
    StorageError,
    UnsupportedError,
)


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()}


LOCK = ".value.json.atio.lock"


# -- reading and writing -----------------------------------------------------------------------


def test_opening_and_reading_make_nothing(path: Path) -> None:
    store = stores.open(path, default={"a": 1})
    assert store.value == {"a": 1}
    assert names(path) == set()


def test_the_face_has_the_store() -> None:
    program = "import atio; print(atio.store.open('x', default=3).value, 'store' in dir(atio))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "3 True\n"


def test_only_what_is_needed_is_imported() -> None:
    program = (
        "import sys, atio.store as s; s.open('x').value;"
        "print([m for m in ('pydantic', 'bson', 'pyarrow', 'numpy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_default_is_never_shared_nor_changed(path: Path) -> None:
    default: dict[str, list[int]] = {"list": []}
    first = stores.open(path, default=default)
    second = stores.open(path, default=default)
    first.value["list"].append(1)
    assert second.value == {"list": []}
    assert default == {"list": []}
    first.rollback()
    assert first.value == {"list": []}
    first.value["list"].append(2)
    first.reload()
    assert first.value == {"list": []}
    default["list"].append(3)
    assert stores.open(path, default=first.value).value == {"list": []}
    assert first.reload() == {"list": []}


def test_a_block_writes_also_what_it_did_not_touch_when_there_is_no_file(path: Path) -> None:
    with stores.open(path, default=[]):
        pass
    assert path.read_text() == "[]"


def test_a_block_that_asks_for_nothing_writes_nothing(path: Path) -> None:
    path.write_text("[ 1 ]")
    with stores.open(path):
        path.write_text("[ 2 ]")
    assert path.read_text() == "[ 2 ]"


def test_reload_and_rollback(path: Path) -> None:
    mine, other = stores.open(path, default=0), stores.open(path, default=0)
    mine.value = 1
    mine.commit()
    mine.value = 2
    mine.rollback()
    assert mine.value == 1
    other.reload()
    other.value = 5
    other.commit()
    mine.value = 3
    mine.rollback()
    assert mine.value == 1  # the file is not looked at
    assert mine.reload() == 5
    mine.value += 1
    mine.commit()
    assert json.loads(path.read_text()) == 6


def test_links_are_followed_and_modes_are_kept(path: Path) -> None:
    path.write_text("1")
    path.chmod(0o640)
    (path.parent / "deep").mkdir()
    link = path.parent / "deep" / "link"
    link.symlink_to("../value.json")
    store = stores.open(link)
    store.value += 1
    store.commit()
    assert link.is_symlink()
    assert path.read_text() == "2"
    assert path.stat().st_mode & 0o777 == 0o640
    assert store.path == str(path)
    assert names(link) == {"link"}
    assert LOCK in names(path)  # where those who use the file's own name look for it


def test_a_later_change_of_folder_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = stores.open("value.json", default=1)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    store.commit()
    assert (tmp_path / "value.json").read_text() == "1"


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    for lock in (False, True):
        store = stores.open(tmp_path / "no" / "value", default=1, lock=lock)
        with pytest.raises(NotFoundError, match="there is no folder"):
            store.commit()
    assert stores.open(tmp_path / "no" / "value", default=1).value == 1
    with pytest.raises(InputError, match="folder"):
        stores.open(tmp_path)


@pytest.mark.parametrize("bad", ["", "a\0b", "folder/"])
def test_what_names_no_file_is_refused(bad: str) -> None:
    with pytest.raises(InputError):
        stores.open(bad)


def test_options_are_checked(path: Path) -> None:
    with pytest.raises(InputError, match="on_conflict"):
        stores.open(path, on_conflict="ignore")  # type: ignore[call-overload]
    with pytest.raises(InputError, match="lock_timeout"):
        stores.open(path, lock_timeout=-1)


def test_repr(path: Path) -> None:
    assert repr(stores.open(path, format="pickle")) == f"<Store {str(path)!r} (pickle)>"


# -- with blocks -------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("lock", [False, True])
def test_a_block_that_raises_keeps_the_old_state(path: Path, error: type[BaseException], lock: bool) -> None:
    path.write_text('{"a":  1}')
    store = stores.open(path, lock=lock)
    with pytest.raises(error), store:
        store.value["a"] = 2
        raise error
    assert path.read_text() == '{"a":  1}'
    assert names(path) <= {path.name, LOCK}
    stores.open(path, lock=True, lock_timeout=0).reload()  # nobody holds the lock
    assert store.value == {"a": 1}


def test_an_inner_block_that_raises_returns_to_its_begin(path: Path) -> None:
    for ignoring in (False, True):
        path.write_text("[]")
        store = stores.open(path, ignore_inner_exits=ignoring)
        with store:
            store.value.append("outer")
            with pytest.raises(ZeroDivisionError), store:
                store.value.append("inner")
                raise ZeroDivisionError
            assert store.value == ["outer"]
            store.value.append("after")
        assert path.read_text() == '["outer", "after"]'


def test_an_inner_block_that_raises_keeps_what_it_committed(path: Path) -> None:
    store = stores.open(path, default=[])
    with store:
        store.value.append(1)
        with pytest.raises(ZeroDivisionError), store:
            store.value.append(2)
            store.commit()
            store.value.append(3)
            raise ZeroDivisionError
        assert store.value == [1, 2]
    assert path.read_text() == "[1, 2]"


def test_ignored_exits_keep_changes_of_the_value_but_not_assignments(path: Path) -> None:
    """The printed example of the seed ends with the outer assignment; changes made in place are shared."""
    path.write_text('{"n": 0}')
    store = stores.open(path, ignore_inner_exits=True)
    with store:
        with store:
            store.value["n"] = 1
        assert path.read_text() == '{"n": 0}'
        with store:
            store.value = {"n": 5}
        assert store.value == {"n": 1}
        with store:
            store.value = {"n": 7}
            store.commit()
        assert store.value == {"n": 7}
    assert path.read_text() == '{"n": 7}'


def test_a_block_whose_commit_fails_is_as_if_it_never_was(path: Path) -> None:
    path.write_text("[1]")
    store = stores.open(path)
    with pytest.raises(UnsupportedError, match="set is not JSON serializable"), store:
        store.value.append(set())
    assert path.read_text() == "[1]"
    with store:
        store.value.append(2)
    assert path.read_text() == "[1, 2]"


def test_a_store_can_be_used_again(path: Path) -> None:
    store = stores.open(path, default=0)
    for _ in range(3):
        with store:
            store.value += 1
        with stores.open(path) as other:
            other.value *= 10
    assert path.read_text() == "1110"


# -- conflicts ---------------------------------------------------------------------------------


def test_a_commit_over_a_changed_value_raises(path: Path) -> None:
    first, second = stores.open(path, default=0), stores.open(path, default=0)
    first.value += 1
    second.value += 1
    first.commit()
    with pytest.raises(ConflictError, match=r"reload\(\)") as caught:
        second.commit()
    assert caught.value.file == str(path)
    assert path.read_text() == "1"
    second.reload()
    second.value += 1
    second.commit()
    assert path.read_text() == "2"


def test_what_counts_is_the_file_at_the_time_of_opening(path: Path) -> None:
    first, second = stores.open(path, default=0), stores.open(path, default=0)
    first.value = 1
    first.commit()
    second.value = 2
    with pytest.raises(ConflictError):
        second.commit()
    assert path.read_text() == "1"
    with stores.open(path) as third:  # a block begins with what is there when it begins
        third.value += 1
    assert path.read_text() == "2"


def test_equal_changes_conflict_too(path: Path) -> None:
    """Two increments from 5 to 6 are two, though the bytes are the same."""
    path.write_text("5")
    first, second = stores.open(path), stores.open(path)
    first.value, second.value = first.value + 1, second.value + 1
    first.commit()
    with pytest.raises(ConflictError):
        second.commit()


def test_conflicts_of_blocks_leave_the_store_usable(path: Path) -> None:
    store = stores.open(path, default=0)
    for turn in range(4):
        try:
            with store:
                store.value += 1
                if turn % 2 == 0:
                    path.write_text(str(10 * (turn + 1)))
        except ConflictError:
            assert turn % 2 == 0
        else:
            assert turn % 2 == 1
    assert path.read_text() == "31"


def test_creation_and_removal_meanwhile_conflict(path: Path) -> None:
    store = stores.open(path, default=0)
    assert store.value == 0
    path.write_text("7")
    with pytest.raises(ConflictError):
        store.commit()
    store.reload()
    path.unlink()
    with pytest.raises(ConflictError):
        store.commit()
    assert not path.exists()


def test_the_old_behaviour_on_demand(path: Path) -> None:
    store = stores.open(path, default=0, on_conflict="overwrite")
    store.value += 1
    path.write_text("7")
    store.commit()
    assert path.read_text() == "1"
    with store:
        store.value = 2
        path.write_text("7")
    assert path.read_text() == "2"


def test_changes_by_hand_of_what_was_committed_are_not_lost_silently(path: Path) -> None:
    """A list kept from before the commit is changed, and the file is too: neither wins quietly."""
    for lock in (False, True):
        store = stores.open(path, default=[], lock=lock)
        store.reload()
        kept = store.value
        store.commit()
        kept.append("mine")
        path.write_text('["theirs"]')
        with pytest.raises(ConflictError), store:
            pass
        with pytest.raises(ConflictError):
            store.commit()
        assert path.read_text() == '["theirs"]'
        assert store.reload() == ["theirs"]
        store.rollback()
        path.write_text("[]")
        assert store.reload() == []
        store.rollback()


def test_a_file_written_otherwise_is_no_change_of_ours(path: Path) -> None:
    path.write_text('{ "a" : 1 }')
    store = stores.open(path)
    assert store.value == {"a": 1}
    path.write_text('{ "a" : 2 }')
    with store:
        assert store.value == {"a": 2}


# -- locks -------------------------------------------------------------------------------------


def test_a_block_with_a_lock_keeps_others_out(path: Path) -> None:
    other = stores.open(path, default=0, lock_timeout=0.01)
    with stores.open(path, default=0, lock=True) as store:
        store.value += 1
        store.commit()
        with pytest.raises(LockTimeoutError):
            other.commit()
        assert other.reload() == 1  # reading is never kept out
    other.commit()


def test_by_hand_the_lock_is_held_from_reading_to_committing(path: Path) -> None:
    store = stores.open(path, default=0, lock=True, lock_timeout=5)
    other = stores.open(path, default=0, lock=True, lock_timeout=0.01)
    for end in ("commit", "rollback"):
        store.value += 1
        with pytest.raises(LockTimeoutError):
            other.value  # noqa: B018
        getattr(store, end)()
        other.value += 10
        other.commit()
    assert path.read_text() == "21"
    assert store.value == 21
    del store  # as does the end of the process
    gc.collect()
    other.value += 1
    other.commit()


def test_the_lock_is_freed_when_anything_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores.open(path, default=[], lock=True)
    other = stores.open(path, default=[], lock=True, lock_timeout=0)

    def is_free() -> bool:
        other.rollback()
        return True

    store.value.append(set())
    with pytest.raises(UnsupportedError):
        store.commit()
    assert is_free()
    assert store.value == [set()]
    store.rollback()
    path.write_text("[")
    for use in (lambda: store.value, store.reload, store.commit, lambda: setattr(store, "value", 1)):
        with pytest.raises(DamagedError):
            use()
        assert is_free()
    path.write_text("[]")
    store.value.append(1)
    assert not_synced(monkeypatch, store.commit)
    assert is_free()
    store.commit()
    assert path.read_text() == "[1]"


def not_synced(monkeypatch: pytest.MonkeyPatch, commit: Any) -> bool:
    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StorageError, match="injected"):
            commit()
    return True


def test_a_failing_disk_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("[1]")
    store = stores.open(path)
    store.value.append(2)
    not_synced(monkeypatch, store.commit)
    assert path.read_text() == "[1]"
    assert names(path) == {path.name, LOCK}
    store.commit()
    assert path.read_text() == "[1, 2]"


def test_threads_that_share_a_store_with_a_lock(path: Path) -> None:
    shared = stores.open(path, default={"n": 0}, lock=True, durable=False)

    def by_blocks() -> None:
        for _ in range(50):
            with shared, shared as store:
                store.value["n"] += 1

    def by_hand() -> None:
        for _ in range(50):
            shared.value["n"] += 1
            shared.commit()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work) for work in [by_blocks, by_hand] * 4]:
            done.result()
    assert json.loads(path.read_text()) == {"n": 400}


def test_threads_with_stores_of_their_own(path: Path) -> None:
    begin = threading.Barrier(6)

    def work() -> None:
        begin.wait()
        for _ in range(30):
            with stores.open(path, default=0, lock=True, durable=False) as store:
                store.value += 1

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work) for _ in range(6)]:
            done.result()
    assert path.read_text() == "180"


# -- damage ------------------------------------------------------------------------------------


DAMAGED = [b"", b"{", b'{"a": 1', b"\xff\xfe\x00", b"[1] [2]", b"\0" * 100, b"[" * 10**5]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
@pytest.mark.parametrize("lock", [False, True])
def test_a_damaged_file_is_an_error_and_stays(path: Path, content: bytes, lock: bool) -> None:
    path.write_bytes(content)
    store = stores.open(path, default=[], lock=lock)
    uses: list[Any] = [
        lambda: store.value,
        store.commit,
        store.reload,
        lambda: setattr(store, "value", [1]),
        lambda: block(store),
        lambda: stores.open(path, on_conflict="overwrite").commit(),
    ]
    for use in uses:
        with pytest.raises(DamagedError, match="cannot be read as json") as caught:
            use()
        assert caught.value.file == str(path)
        assert caught.value.hint
        assert path.read_bytes() == content
    path.unlink()
    store.value.append(1)  # moved away, it is no obstacle any more
    store.commit()
    assert path.read_text() == "[1]"


@pytest.mark.parametrize("lock", [False, True])
def test_a_repaired_file_is_read_at_once(path: Path, lock: bool) -> None:
    path.write_text("[")
    store = stores.open(path, lock=lock)
    with pytest.raises(DamagedError):
        store.value  # noqa: B018
    path.write_text("[1]")
    assert store.value == [1]


def block(store: stores.Store[Any]) -> None:
    with store:
        store.value = 1


def test_a_store_does_not_pickle_by_accident(path: Path) -> None:
    """A pickle is data for JSON: it is not loaded, whatever the file is called."""

    class Trap:
        def __reduce__(self) -> Any:
            return exec, ("raise AssertionError('code of the file ran')",)

    path = path.with_suffix(".pickle")
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DamagedError):
        stores.open(path).value  # noqa: B018


def test_values_that_are_not_plain_are_refused_with_the_file_unchanged(path: Path) -> None:
    path.write_text("1")
    store = stores.open(path)
    loop: list[Any] = []
    loop.append(loop)
    for bad in (object(), {1, 2}, b"bytes", loop, {("a",): 1}):
        store.value = bad
        with pytest.raises(UnsupportedError, match="cannot be written as json"):
            store.commit()
        assert path.read_text() == "1"
    store.value = copy.deepcopy({"ä": ["\ud800", 1e300, None]})
    store.commit()
    assert stores.open(path).value == {"ä": ["\ud800", 1e300, None]}
