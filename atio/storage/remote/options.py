"""``storage_options`` as the fsspec world writes them, and the environment.

Names are taken in any of the spellings of fsspec's own file systems, object_store, delta-rs and Polars.
What tunes only those libraries' own machinery is accepted and has no effect; what nobody knows is an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from atio.errors import AccessError, InputError, meant
from atio.storage.remote.messages import Endpoint, Line
from atio.storage.remote.secret import Secret

_NESTED = ("client_kwargs", "config_kwargs", "client_options")
_WITHOUT_EFFECT = frozenset(
    """
    asynchronous loop batch_size skip_instance_cache use_listings_cache listings_expiry_time max_paths
    default_block_size default_fill_cache default_cache_type blocksize block_size cache_type
    version_aware cache_regions max_concurrency fixed_upload_size
    max_pool_connections retries consistency cache_timeout access check_connection
    default_location conditional_put aws_conditional_put copy_if_not_exists aws_s3_allow_unsafe_rename
    location_mode assume_container_exists socket_timeout timeout requests_timeout request_session
    session_kwargs secure_serialize cache_options api_version parameter_validation tcp_keepalive
    user_agent user_agent_extra request_checksum_calculation response_checksum_validation
    exclude_shared_token_cache_credential
    allow_http aws_allow_http azure_allow_http google_allow_http use_ssl
    """.split()  # noqa: SIM905 - as readable as it gets
)
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off", "")


class Options:
    """Options by name; what was not asked for by the end is a mistake of the user's.

    Parameters
    ----------
    protocols
        fsspec's names of the store; ``FSSPEC_<NAME>_<OPTION>`` variables count as options.
    """

    def __init__(
        self,
        given: Mapping[str, object],
        protocols: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._found: dict[str, object] = {}
        for protocol in protocols:
            start = f"FSSPEC_{protocol.upper()}_"
            for variable in self._environ:
                if variable.upper().startswith(start):
                    self._found[variable[len(start) :].lower()] = self._environ[variable]
        for name, value in given.items():
            key = str(name).lower()
            if key in _NESTED and isinstance(value, Mapping):
                self._found.update({str(inner).lower(): inside for inner, inside in value.items()})
            else:
                self._found[key] = value
        self._asked: set[str] = set()

    def __repr__(self) -> str:
        return f"<options {', '.join(sorted(self._found))}>"

    def value(self, *names: str) -> object:
        """The first of these options that was given, or None."""
        self._asked.update(names)
        return next((self._found[name] for name in names if self._found.get(name) is not None), None)

    def text(self, *names: str) -> str | None:
        value = self.value(*names)
        if value is None:
            return None
        if not isinstance(value, str):
            raise InputError(f"{names[0]} is {type(value).__name__} where a string is needed")
        return _clean(names[0], value) or None

    def secret(self, *names: str) -> Secret | None:
        text = self.text(*names)
        return None if text is None else Secret(text)

    def flag(self, *names: str) -> bool | None:
        value = self.value(*names)
        if value is None or isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise InputError(f"{names[0]} is neither True nor False")

    def seconds(self, default: float, *names: str) -> float:
        value = self.value(*names)
        try:
            found = default if value is None else float(str(value).removesuffix("s"))
        except ValueError:
            found = -1.0
        if not 0 < found < 1e6:
            raise InputError(f"{names[0]} is not a number of seconds")
        return found

    def mapping(self, *names: str) -> Mapping[str, object]:
        value = self.value(*names)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise InputError(f"{names[0]} is {type(value).__name__} where a mapping is needed")
        return value

    def environment(self, *names: str) -> str | None:
        """The first of these variables that is set and not empty."""
        return next((_clean(name, self._environ[name]) for name in names if self._environ.get(name)), None)

    def finish(self) -> None:
        """Refuse what nothing asked for."""
        for name, value in self._found.items():
            if value is not None and name not in self._asked and name not in _WITHOUT_EFFECT:
                known = self._asked | _WITHOUT_EFFECT
                raise InputError(f"there is no storage option {name!r}", hint=meant(name, known))


def _clean(name: str, text: str) -> str:
    """Without the line end that files add, and fit for a header."""
    text = text.strip()
    if not (text.isascii() and text.isprintable()):
        raise InputError(f"{name} has characters that no request can carry")
    return text


def endpoint(url: str, options: Options) -> Endpoint:
    """The endpoint, if it is safe to send credentials there."""
    place = Endpoint.parse(url)
    allowed = options.flag("allow_http", "aws_allow_http", "azure_allow_http", "google_allow_http")
    use_ssl = options.flag("use_ssl")
    if allowed is None and use_ssl is not None:
        allowed = not use_ssl
    if allowed is None:
        allowed = (options.environment("AWS_ALLOW_HTTP") or "").lower() in _TRUE
    if place.scheme == "http" and not place.loopback and not allowed:
        raise AccessError(
            f"{place.authority} would be spoken to without encryption: anyone between could read the data",
            hint="use https://, or say storage_options={'allow_http': True}",
        )
    return place


def line(options: Options) -> Line:
    """Timeouts and trust."""
    verify = options.value("verify")
    if options.flag("allow_invalid_certificates"):
        verify = False
    if not isinstance(verify, bool | str):
        verify = options.environment("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE") or True
    return Line(
        connect_timeout=options.seconds(10.0, "connect_timeout", "connection_timeout"),
        read_timeout=options.seconds(60.0, "read_timeout"),
        verify=verify,
    )
