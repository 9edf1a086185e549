"""Who we are at AWS: credentials, and the signature that proves them (Signature Version 4).

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from atio.errors import AccessError
from atio.storage.remote.failures import missing
from atio.storage.remote.messages import Request
from atio.storage.remote.secret import Secret, redacted

if TYPE_CHECKING:
    from configparser import RawConfigParser

    from atio.storage.remote.options import Options

_UNSIGNED = frozenset({"content-length", "user-agent"})


class Keys(msgspec.Struct, frozen=True):
    """An access key; the session token only comes with temporary ones."""

    access: str
    secret: Secret
    session: Secret | None = None


class Anonymous:
    """Signs nothing: for public buckets."""

    def sign(self, request: Request, host: str) -> Request:
        del host
        return request

    def redact(self, text: str) -> str:
        return text


class SignatureV4:
    """Signs every header that is sent, so that no middleman drops a condition unnoticed."""

    def __init__(
        self,
        keys: Callable[[], Keys],
        region: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = keys
        self._region = region
        self._now = now

    def redact(self, text: str) -> str:
        keys = self._keys()
        return redacted(text, [keys.secret, *([keys.session] if keys.session else [])])

    def sign(self, request: Request, host: str) -> Request:
        keys = self._keys()
        stamp = self._now().strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(request.body).hexdigest()
        request = request.with_headers(x_amz_date=stamp, x_amz_content_sha256=digest)
        if keys.session is not None:
            request = request.with_headers(x_amz_security_token=keys.session.reveal())
        headers = {name.lower(): " ".join(value.split()) for name, value in request.headers.items()}
        headers = {"host": host} | {name: headers[name] for name in headers if name not in _UNSIGNED}
        names = ";".join(sorted(headers))
        canonical = "\n".join(
            [
                request.method,
                request.path,
                _canonical_query(request.query),
                *(f"{name}:{headers[name]}" for name in sorted(headers)),
                "",
                names,
                digest,
            ]
        )
        scope = f"{stamp[:8]}/{self._region}/s3/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        key = _signing_key(keys.secret.reveal(), stamp[:8], self._region)
        signature = _hmac(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}").hex()
        return request.with_headers(
            Authorization=f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope},"
            f"SignedHeaders={names},Signature={signature}"
        )


def _canonical_query(query: tuple[tuple[str, str], ...]) -> str:
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


@lru_cache(maxsize=8)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = _hmac(f"AWS4{secret}".encode(), day)
    for word in (region, "s3", "aws4_request"):
        key = _hmac(key, word)
    return key


def find_keys(options: Options) -> tuple[Callable[[], Keys] | None, str | None]:
    """Credentials and region from the options, the environment, the user's files, or what botocore finds.

    None for no credentials: anonymous, as was asked for.

    Raises
    ------
    AccessError
        There are none to be found.
    """
    region = options.text("region", "region_name", "aws_region", "default_region", "aws_default_region")
    region = region or options.environment("AWS_REGION", "AWS_DEFAULT_REGION")
    profile = options.text("profile", "profile_name", "aws_profile")
    access = options.text("key", "username", "access_key_id", "aws_access_key_id")
    secret = options.secret("secret", "password", "secret_access_key", "aws_secret_access_key")
    session = options.secret("token", "session_token", "aws_session_token")
    signature = options.value("signature_version")  # a name, or botocore's UNSIGNED, which is no text
    unsigned = signature is not None and not isinstance(signature, str)
    if options.flag("anon", "skip_signature", "aws_skip_signature") or unsigned:
        return None, region
    if access is None and secret is None and profile is None:
        access = options.environment("AWS_ACCESS_KEY_ID")
        found = options.environment("AWS_SECRET_ACCESS_KEY")
        secret = Secret(found) if found else None
        found = options.environment("AWS_SESSION_TOKEN")
        session = Secret(found) if found else None
    if access is not None and secret is not None:
        keys = Keys(access, secret, session)
        return lambda: keys, region or _files(options, profile)[1]
    if access is not None or secret is not None:
        raise AccessError(
            "an access key has two halves, and only one was given", hint="give both key and secret"
        )
    profile = profile or options.environment("AWS_PROFILE")
    static, filed_region = _files(options, profile)
    if static is not None:
        return lambda: static, region or filed_region
    return _chain(profile, region or filed_region)


def find_endpoint(options: Options) -> str | None:
    """The server that the profile in ``~/.aws/config`` names: for S3, or else for all of AWS."""
    if (options.environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or "").lower() == "true":
        return None
    profile = options.text("profile", "profile_name", "aws_profile") or options.environment("AWS_PROFILE")
    config, section = _config(options, profile)
    services = config.get(section, "services", fallback="")
    # Such a section holds a block of settings for each service.
    for line in config.get(f"services {services}", "s3", fallback="").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "endpoint_url":
            return value.strip()
    return config.get(section, "endpoint_url", fallback=None)


def _read(options: Options, variable: str, name: str) -> RawConfigParser:
    import configparser
    from pathlib import Path

    parser = configparser.RawConfigParser()
    path = options.environment(variable) or f"~/.aws/{name}"
    try:
        parser.read(Path(path).expanduser(), encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        raise AccessError(f"{path} cannot be read", hint="mend it, or give key and secret") from None
    return parser


def _config(options: Options, profile: str | None) -> tuple[RawConfigParser, str]:
    """``~/.aws/config``, and the name of the profile's section in it."""
    section = f"profile {profile}" if profile and profile != "default" else "default"
    return _read(options, "AWS_CONFIG_FILE", "config"), section


def _files(options: Options, profile: str | None) -> tuple[Keys | None, str | None]:
    """Keys and region that stand plainly in ``~/.aws/credentials`` and ``~/.aws/config``."""
    config, section = _config(options, profile)
    credentials = _read(options, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
    region = config.get(section, "region", fallback=None)
    for parser, name in ((credentials, profile or "default"), (config, section)):
        access = parser.get(name, "aws_access_key_id", fallback=None)
        secret = parser.get(name, "aws_secret_access_key", fallback=None)
        session = parser.get(name, "aws_session_token", fallback=None)
        if access and secret:
            return Keys(access, Secret(secret), Secret(session) if session else None), region
    return None, region


def _chain(profile: str | None, region: str | None) -> tuple[Callable[[], Keys], str | None]:
    """Whatever botocore knows: single sign-on, assumed roles, containers, instance metadata."""
    try:
        import botocore.exceptions
        import botocore.session
    except ImportError:
        raise missing(
            "botocore",
            "s3",
            "no key and secret are in storage_options, AWS_* variables or ~/.aws; to look further (roles, "
            "single sign-on, instance metadata)",
        ) from None
    try:
        session = botocore.session.Session(profile=profile)
        found = session.get_credentials()
        region = region or session.get_config_variable("region")
    except botocore.exceptions.BotoCoreError as error:
        raise AccessError(
            f"botocore found no AWS credentials ({type(error).__name__})", hint="see `aws configure list`"
        ) from None
    if found is None:
        raise AccessError(
            "no AWS credentials were found",
            hint="give key and secret in storage_options, set AWS_* variables, or anon=True for public data",
        )

    def keys() -> Keys:
        try:
            frozen = found.get_frozen_credentials()  # renewed when they are about to expire
        except botocore.exceptions.BotoCoreError as error:
            raise AccessError(f"botocore cannot renew the AWS credentials ({type(error).__name__})") from None
        session = Secret(frozen.token) if frozen.token else None
        return Keys(frozen.access_key, Secret(frozen.secret_key), session)

    return keys, region
