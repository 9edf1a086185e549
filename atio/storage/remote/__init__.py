"""Storages that are elsewhere: S3, GCS and Azure natively, and whatever else fsspec can reach."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from atio.errors import InputError, UnsupportedError
from atio.storage.base import Cache, Sink, Storage
from atio.storage.local import LocalStorage
from atio.storage.remote.bucket import Bucket
from atio.storage.remote.failures import missing
from atio.storage.remote.options import Options

__all__ = ["SCHEMES", "Replaceable", "open_filesystem", "open_folder", "open_url"]


def _s3(name: str, options: Options) -> Bucket:
    from atio.storage.remote.s3 import S3Bucket

    return S3Bucket.open(name, options)


def _gcs(name: str, options: Options) -> Bucket:
    from atio.storage.remote.gcs import GCSBucket

    return GCSBucket.open(name, options)


def _azure(name: str, options: Options) -> Bucket:
    from atio.storage.remote.azure import AzureBucket

    return AzureBucket.open(name, options)


_FAMILIES: tuple[tuple[tuple[str, ...], Callable[[str, Options], Bucket]], ...] = (
    (("s3", "s3a"), _s3),
    (("gs", "gcs"), _gcs),
    (("az", "abfs", "abfss"), _azure),
)
SCHEMES = {scheme: (names, opener) for names, opener in _FAMILIES for scheme in names}
"""What there are native clients for."""


def open_url(scheme: str, rest: str, given: Mapping[str, object]) -> Storage:
    """Return the storage of ``scheme://rest``; nothing is sent yet.

    Raises
    ------
    UnsupportedError
        fsspec does not know the scheme either.
    """
    if scheme not in SCHEMES:
        return _open_generic(f"{scheme}://{rest}", given)
    from atio.storage.remote.objects import ObjectStorage

    protocols, opener = SCHEMES[scheme]
    options = Options(given, protocols)
    name, _, folder = rest.partition("/")
    single = options.flag("single_writer") or False
    bucket = opener(name, options)
    cache = _cache(options)
    options.finish()
    return ObjectStorage(bucket, folder.strip("/"), single_writer=single, cache=cache)


def _cache(options: Options) -> Cache | None:
    """The cache that ``metadata_cache`` or ``ATIO_METADATA_CACHE`` ask for, or name the folder of."""
    wanted = options.value("metadata_cache")
    if wanted is None:
        wanted = options.environment("ATIO_METADATA_CACHE") or False
    if isinstance(wanted, str) and wanted.lower() in ("1", "true", "yes", "on"):
        wanted = True
    if isinstance(wanted, str) and wanted.lower() in ("0", "false", "no", "off"):
        wanted = False
    if wanted is False:
        return None
    from atio.storage.remote.cache import DiskCache, default_folder

    if wanted is True:
        return DiskCache(default_folder())
    if not isinstance(wanted, str | os.PathLike):
        raise InputError("metadata_cache is neither True nor False nor a folder")
    return DiskCache(os.path.expanduser(os.fspath(wanted)))  # noqa: PTH111 - paths stay text


class Replaceable(Protocol):
    """What single files need of a storage: besides what tables do, objects that are simply replaced."""

    @property
    def url(self) -> str: ...
    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes: ...
    def pieces(self, path: str) -> Iterator[bytes]: ...
    def replacement(self, path: str) -> Sink: ...
    def delete(self, paths: Iterable[str]) -> None: ...


def open_folder(scheme: str, rest: str, given: Mapping[str, object]) -> Replaceable:
    """Return the storage of ``scheme://rest`` for single files; nothing is sent yet.

    Whoever writes a file last wins, so nobody needs to say ``single_writer``.
    """
    options = given if scheme in SCHEMES else {**given, "single_writer": True}
    found: Any = open_url(scheme, rest, options)
    replaceable: Replaceable = found
    return replaceable


def open_filesystem(fs: Any, path: str, given: Mapping[str, object], *, durable: bool = True) -> Storage:
    """Return the storage of a folder of an fsspec file system.

    File systems of s3fs, gcsfs and adlfs lend their options to the native clients, which can swap; that of
    the local disk is the local disk.
    """
    folder = str(fs._strip_protocol(path))  # noqa: SLF001 - as file systems do themselves
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    native = next((name for name in protocols if name in SCHEMES), None)
    if native is not None:
        return open_url(native, folder, {**fs.storage_options, **given})
    single = _single_writer(given)
    if "file" in protocols:
        return LocalStorage(folder, durable=durable)
    from atio.storage.remote.generic import FsspecStorage

    return FsspecStorage(fs, folder, single_writer=single)


def _single_writer(given: Mapping[str, object]) -> bool:
    """Whether the only option that is not a file system's own was given, and says so."""
    options = Options(given)
    single = options.flag("single_writer") or False
    options.finish()
    return single


def _open_generic(url: str, given: Mapping[str, object]) -> Storage:
    scheme = url.partition("://")[0]
    known = ", ".join(f"{name}://" for name in ("file", "memory", *SCHEMES))
    try:
        import fsspec
    except ImportError:
        if scheme in ("http", "https", "ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs", "github"):
            raise missing("fsspec", "fsspec", f"{scheme}://") from None
        raise UnsupportedError(
            f"{scheme}:// is no place for a table", hint=f"use a path, or one of {known}"
        ) from None
    try:
        system = fsspec.get_filesystem_class(scheme.partition("::")[0]).__name__
    except ValueError:
        raise UnsupportedError(
            f"{scheme}:// is no place for a table: fsspec does not know it either",
            hint=f"use a path, or one of {known}",
        ) from None
    except ImportError as error:
        raise UnsupportedError(f"{scheme}:// needs another library: {error}") from None
    from atio.storage.remote.generic import FsspecStorage, tried, without_user

    single = _single_writer({name: given[name] for name in given if name == "single_writer"})
    others = {name: value for name, value in given.items() if name != "single_writer"}

    def connect() -> tuple[Any, str]:  # Some do so at once.
        try:
            found: tuple[Any, str] = fsspec.core.url_to_fs(url, **others)
        except TypeError as error:
            word = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            if word is None:
                raise
            raise InputError(f"{system} knows no storage option {word[1]!r}") from None
        return found

    fs, path = tried(system, without_user(url), connect)
    return FsspecStorage(fs, str(path), single_writer=single, url=url)
