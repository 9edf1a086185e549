"""How a value becomes the bytes of a file and back: JSON unless another format is named."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import IO, Any

from atio.errors import DamagedError, MissingDependencyError, UnsupportedError, meant

_NAMES = ("json", "pickle", "bson")
_UNREADABLE = (
    "the file was left as it is: restore it, or move it away to begin with the default; "
    "if it is in another format, say so by format=, is_binary= or load_kwargs="
)
_UNWRITABLE = "nothing was written; a format that writes text needs is_binary=False, others is_binary=True"


class AbstractFormatFile(ABC):
    """A format that writes to and reads from files: text files if the store has ``is_binary=False``."""

    @abstractmethod
    def dump(self, obj: Any, fp: IO[Any], **kwargs: Any) -> None:
        """Write ``obj`` into ``fp``; ``kwargs`` are the store's ``dump_kwargs``."""

    @abstractmethod
    def load(self, fp: IO[Any], **kwargs: Any) -> Any:
        """Return the object that ``fp`` holds; ``kwargs`` are the store's ``load_kwargs``."""


class AbstractFormatBstr(ABC):
    """A format that makes and takes ``bytes``, or ``str`` if the store has ``is_binary=False``."""

    @abstractmethod
    def dumps(self, obj: Any, **kwargs: Any) -> bytes | str:
        """Return ``obj`` encoded; ``kwargs`` are the store's ``dump_kwargs``."""

    @abstractmethod
    def loads(self, binary_string: Any, **kwargs: Any) -> Any:
        """Return the object; ``kwargs`` are the store's ``load_kwargs``."""


class Codec:
    """A format with its options: values to bytes and back.

    Parameters
    ----------
    format
        ``None`` or ``"json"``, ``"pickle"``, ``"bson"``, or anything that has ``dump`` and ``load``, or
        ``dumps`` and ``loads``.
    is_binary
        Whether the format makes bytes, or text (stored as UTF-8). By default only JSON is text.
    load_kwargs, dump_kwargs
        Passed on to the format.

    Raises
    ------
    UnsupportedError
        No such format.
    MissingDependencyError
        The format needs a library that is not installed.
    """

    def __init__(
        self,
        format: object = None,
        is_binary: bool | None = None,
        load_kwargs: Mapping[str, Any] | None = None,
        dump_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        found = _found(format)
        # JSON is text whatever is said. It reads bytes, though: it knows all their encodings.
        self._binary = found is not json and (is_binary is None or is_binary)
        self._decodes = not self._binary and found is not json
        self._dumps, self._loads = _pair(found, binary=self._binary)
        self._load_kwargs = dict(load_kwargs or {})
        self._dump_kwargs = dict(dump_kwargs or {})
        self.name = format if isinstance(format, str) else getattr(found, "__name__", type(found).__name__)

    def encode(self, value: Any) -> bytes:
        """Return the bytes of the file.

        Raises
        ------
        UnsupportedError
            The format does not take the value.
        """
        try:
            made = self._dumps(value, **self._dump_kwargs)
            # Bytes for text or text for bytes is a TypeError here: it could not be read again.
            if not self._binary:
                return str.encode(made)
            return made if type(made) is bytes else bytes(memoryview(made))
        except MemoryError:
            raise
        except Exception as error:
            raise UnsupportedError(
                f"the value cannot be written as {self.name}: {type(error).__name__}: {error}",
                hint=_UNWRITABLE,
            ) from error

    def decode(self, data: bytes) -> Any:
        """Return the value.

        Raises
        ------
        DamagedError
            The bytes are not what the format writes.
        """
        try:
            return self._loads(data.decode() if self._decodes else data, **self._load_kwargs)
        except MemoryError:
            raise
        except Exception as error:
            raise DamagedError(
                f"cannot be read as {self.name}: {type(error).__name__}: {error}", hint=_UNREADABLE
            ) from error

    def checked(self, value: Any) -> Any:
        """Return the value that an assigned one stands for."""
        return value

    def default(self, value: Any) -> Any:
        """Return the value that a default stands for."""
        return value


def _found(format: object) -> Any:
    if format is None or format == "json":
        return json
    if format == "pickle":
        return import_module("pickle")
    if format == "bson":
        return _bson_of(_bson())
    if isinstance(format, str):
        known = f"it is one of {', '.join(_NAMES)}, or an object that has dump and load"
        raise UnsupportedError(f"no format is called {format!r}", hint=meant(format, _NAMES) or known)
    if isinstance(format, ModuleType) and format.__name__ == "bson":
        return _bson_of(format)
    return format


def _bson() -> ModuleType:
    try:
        return import_module("bson")
    except ImportError as error:
        raise MissingDependencyError(
            "format='bson' needs a library that is not installed", hint="pip install pymongo"
        ) from error


def _bson_of(module: ModuleType) -> Any:
    """Two libraries share the name; the one that comes with pymongo says encode and decode."""
    if _has(module, "dumps", "loads"):
        return module
    return SimpleNamespace(__name__="bson", dumps=module.encode, loads=module.decode)


def _pair(format: Any, *, binary: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the format's ``dumps`` and ``loads``, made from ``dump`` and ``load`` where it has those."""
    if format is not json and _has(format, "dump", "load"):
        memory = io.BytesIO if binary else io.StringIO
        return _dumps_by(format.dump, memory), _loads_by(format.load, memory)
    if _has(format, "dumps", "loads"):
        # json too: json.dumps is several times faster than json.dump.
        return format.dumps, format.loads
    raise UnsupportedError(f"{format!r} is no format", hint="it needs dump and load, or dumps and loads")


def _has(format: object, *names: str) -> bool:
    return all(callable(getattr(format, name, None)) for name in names)


def _dumps_by(dump: Callable[..., object], memory: type[io.BytesIO | io.StringIO]) -> Callable[..., Any]:
    def dumps(value: Any, **kwargs: Any) -> bytes | str:
        file = memory()
        dump(value, file, **kwargs)
        return file.getvalue()

    return dumps


def _loads_by(load: Callable[..., Any], memory: Callable[[Any], object]) -> Callable[..., Any]:
    return lambda data, **kwargs: load(memory(data), **kwargs)
