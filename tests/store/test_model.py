"""Stores against models of them in plain Python: any program of blocks, any interleaving of two stores."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from atio import store as stores
from atio.errors import ConflictError, UnsupportedError

DEFAULT: dict[str, Any] = {"new": True}


# -- one store, any nesting of blocks ----------------------------------------------------------


class Failed(Exception):
    pass


class Model:
    """What the documentation says of one store that is alone with its file."""

    def __init__(self, ignoring: bool) -> None:
        self.ignoring = ignoring
        self.file: Any = None
        self.value = copy.deepcopy(DEFAULT)
        self.blocks: list[list[Any]] = []

    def set(self, key: str, number: int) -> None:
        self.value[key] = number

    def assign(self, number: int) -> None:
        self.value = {"assigned": number}

    def commit(self) -> None:
        self.file = copy.deepcopy(self.value)
        for block in self.blocks:
            block[:] = [copy.deepcopy(self.value), self.value]

    def rollback(self) -> None:
        self.value = copy.deepcopy(DEFAULT if self.file is None else self.file)

    reload = rollback

    def enter(self) -> None:
        self.blocks.append([copy.deepcopy(self.value), self.value])

    def leave(self, fails: bool) -> None:
        begin, shared = self.blocks[-1]
        if fails and len(self.blocks) == 1:
            self.rollback()
        elif fails:
            self.value = begin
        elif self.ignoring and len(self.blocks) > 1:
            self.value = shared
        else:
            self.commit()
        self.blocks.pop()


steps = (
    st.tuples(st.just("set"), st.sampled_from("abc"), st.integers(0, 9))
    | st.tuples(st.just("assign"), st.integers(0, 9))
    | st.sampled_from([("commit",), ("rollback",), ("reload",)])
)
programs = st.recursive(
    st.lists(steps, max_size=4),
    lambda inner: st.lists(steps | st.tuples(st.just("with"), inner, st.booleans()), max_size=5),
    max_leaves=12,
)


def run(program: Any, store: stores.Store[Any], model: Model, path: Path) -> None:
    for step, *arguments in program:
        if step == "with":
            body, fails = arguments
            model.enter()
            try:
                with store as entered:
                    assert entered is store
                    run(body, store, model, path)
                    if fails:
                        raise Failed  # noqa: TRY301
            except Failed:
                assert fails
            model.leave(fails)
        elif step == "set":
            key, number = arguments
            store.value[key] = number
            model.set(key, number)
        elif step == "assign":
            store.value = {"assigned": arguments[0]}
            model.assign(*arguments)
        else:
            getattr(store, step)()
            getattr(model, step)()
        assert (json.loads(path.read_text()) if path.exists() else None) == model.file
        assert store.value == model.value


@given(programs, st.booleans(), st.booleans())
@settings(deadline=None)
def test_any_program_of_blocks(program: Any, ignoring: bool, lock: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "value")
        store = stores.open(path, default=DEFAULT, ignore_inner_exits=ignoring, lock=lock, durable=False)
        run(program, store, Model(ignoring), path)
        store.rollback()
        stores.open(path, default=DEFAULT, lock=True, lock_timeout=0).reload()  # nobody holds the lock


# -- two stores of one file, one after the other in any order ----------------------------------


class TwoStores(RuleBasedStateMachine):
    """No acknowledged commit is ever built on anything but the one before it."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.path = Path(self.folder, "value")
        self.stores = [stores.open(self.path, default=[], durable=False) for _ in range(2)]
        self.file: list[Any] | None = None
        self.base: list[Any] = [None, None]  # of each store; ... means that it forgot it
        self.value: list[Any] = [[], []]
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def read(self, who: int) -> None:
        if self.base[who] is ...:
            self.base[who] = copy.deepcopy(self.file)
            self.value[who] = copy.deepcopy(self.file or [])

    def is_changed(self, who: int) -> bool:
        return self.base[who] is not ... and self.value[who] != (self.base[who] or [])

    def look(self, who: int) -> bool:
        """What the begin of a block does; False: it raises."""
        if self.base[who] is not ... and self.base[who] != self.file and self.is_changed(who):
            return False
        if self.base[who] is ... or self.base[who] != self.file:
            self.base[who] = ...
            self.read(who)
        return True

    def written(self, who: int) -> bool:
        if self.base[who] != self.file:
            return False
        self.file = copy.deepcopy(self.value[who])
        self.base[who] = copy.deepcopy(self.file)
        return True

    def raises(self, action: Any) -> bool:
        try:
            action()
        except ConflictError:
            return True
        return False

    @rule(who=st.integers(0, 1))
    def append(self, who: int) -> None:
        self.count += 1
        self.read(who)
        self.stores[who].value.append(self.count)
        self.value[who].append(self.count)

    @rule(who=st.integers(0, 1), number=st.integers(0, 2))
    def assign(self, who: int, number: int) -> None:
        """Few different values, so that a file may hold again what it once held."""
        self.read(who)
        self.stores[who].value = [number]
        self.value[who] = [number]

    @rule(who=st.integers(0, 1))
    def commit(self, who: int) -> None:
        self.read(who)
        raised = self.raises(self.stores[who].commit)
        assert raised != self.written(who)

    @rule(who=st.integers(0, 1), other_writes=st.booleans())
    def block(self, who: int, other_writes: bool) -> None:
        def work() -> None:
            with self.stores[who] as store:
                store.value.append(-1)
                if other_writes:
                    self.path.write_text("[0]")

        began = self.look(who)
        raised = self.raises(work)
        if not began:
            assert raised
            return
        self.value[who].append(-1)
        if other_writes:
            self.file = [0]
        assert raised != self.written(who)
        if raised:
            self.base[who] = ...

    @rule(who=st.integers(0, 1))
    def reload(self, who: int) -> None:
        self.base[who] = ...
        self.read(who)
        assert self.stores[who].reload() == self.value[who]

    @rule(who=st.integers(0, 1))
    def rollback(self, who: int) -> None:
        self.stores[who].rollback()
        if self.base[who] is not ...:
            self.value[who] = copy.deepcopy(self.base[who] or [])

    @rule()
    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.file = None

    @rule(who=st.integers(0, 1))
    def unwritable(self, who: int) -> None:
        self.read(who)
        store = self.stores[who]
        store.value.append(set())
        try:
            store.commit()
        except UnsupportedError:
            store.value.pop()
        else:
            raise AssertionError

    @invariant()
    def the_file_is_as_it_should_be(self) -> None:
        if hasattr(self, "folder"):
            assert (json.loads(self.path.read_text()) if self.path.exists() else None) == self.file
            for who, store in enumerate(self.stores):
                if self.base[who] is not ...:
                    assert store.value == self.value[who]


TestTwoStores = TwoStores.TestCase
TestTwoStores.settings = settings(deadline=None, max_examples=60, stateful_step_count=25)
