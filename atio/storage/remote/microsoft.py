"""Who we are at Azure: account keys, signatures that come with a URL, tokens.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, quote

import msgspec

from atio.errors import InputError
from atio.storage.remote.aws import Anonymous
from atio.storage.remote.client import Signer
from atio.storage.remote.failures import missing
from atio.storage.remote.messages import Request
from atio.storage.remote.options import Options
from atio.storage.remote.secret import Secret, redacted
from atio.storage.remote.tokens import Bearer

VERSION = "2021-12-02"
_SCOPE = "https://storage.azure.com/.default"
_SIGNED = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
DEVELOPMENT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1"
)
"""What ``UseDevelopmentStorage=true`` stands for; the emulator's key is public."""


class SharedKey:
    """Signs with an account key."""

    def __init__(
        self, account: str, key: Secret, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._account = account
        self._key = key
        self._now = now
        try:
            base64.b64decode(key.reveal(), validate=True)
        except binascii.Error:
            raise InputError("account_key is not an account key: those are Base64") from None

    def redact(self, text: str) -> str:
        return redacted(text, [self._key])

    def sign(self, request: Request, host: str) -> Request:
        del host
        request = request.with_headers(
            x_ms_date=format_datetime(self._now(), usegmt=True), x_ms_version=VERSION
        )
        headers = {name.lower(): value for name, value in request.headers.items()}
        length = memoryview(request.body).nbytes
        headers["content-length"] = str(length) if length else ""
        text = "\n".join(
            [
                request.method,
                *(headers.get(name, "") for name in _SIGNED),
                *(f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-ms-")),
                f"/{self._account}{request.path}",
                *(f"{name.lower()}:{value}" for name, value in sorted(request.query)),
            ]
        )
        key = base64.b64decode(self._key.reveal())
        signature = base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
        return request.with_headers(Authorization=f"SharedKey {self._account}:{signature}")


class SharedAccess:
    """Adds a shared access signature, which is all there is to it."""

    def __init__(self, signature: Secret) -> None:
        pairs = parse_qsl(signature.reveal().removeprefix("?"), keep_blank_values=True)
        self._secret = Secret(dict(pairs).get("sig", ""))
        self._pairs = Secret(signature.reveal().removeprefix("?"))
        if not self._secret.reveal():
            raise InputError("sas_token is not a shared access signature: it has no sig=")

    def redact(self, text: str) -> str:
        return redacted(text, [self._pairs, self._secret, Secret(quote(self._secret.reveal(), safe=""))])

    def sign(self, request: Request, host: str) -> Request:
        del host
        pairs = tuple(parse_qsl(self._pairs.reveal(), keep_blank_values=True))
        request = msgspec.structs.replace(request, query=request.query + pairs)
        return request.with_headers(x_ms_version=VERSION)


class Versioned:
    """Says the version of the interface, which a token needs, beside what another signer does."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def redact(self, text: str) -> str:
        return self._signer.redact(text)

    def sign(self, request: Request, host: str) -> Request:
        return self._signer.sign(request.with_headers(x_ms_version=VERSION), host)


class Account(msgspec.Struct, frozen=True):
    """Where an account is, and how to prove that it is ours."""

    url: str
    signer: Signer


def find_account(options: Options, host: str = "") -> Account:
    """From ``storage_options`` as adlfs takes them, or AZURE_STORAGE_* variables.

    ``host`` is the account's, where the URL names it.
    """
    told = _connection(options)
    name = options.text("account_name", "azure_storage_account_name", "azure_account_name")
    name = name or told.get("accountname") or options.environment("AZURE_STORAGE_ACCOUNT_NAME")
    name = host.partition(".")[0] or name
    url = options.text("endpoint_url", "endpoint", "azure_endpoint", "azure_storage_endpoint")
    named = options.text("account_host")
    if url is None and host:
        url = f"https://{host}"
    url = url or told.get("blobendpoint")
    if url is None and named is not None:
        url = f"https://{named}"
    if url is None and name is not None:
        suffix = told.get("endpointsuffix", "core.windows.net")
        url = f"{told.get('defaultendpointsprotocol', 'https')}://{name}.blob.{suffix}"
    if url is None:
        raise InputError("no account was named", hint="give account_name in storage_options")
    key = options.secret("account_key", "access_key", "azure_storage_account_key", "azure_account_key")
    key = key or _secret(told.get("accountkey"))
    sas = options.secret("sas_token", "sas_key", "azure_storage_sas_token", "azure_storage_sas_key")
    sas = sas or _secret(told.get("sharedaccesssignature"))
    credential = options.value("credential")
    tenant = options.text("tenant_id", "azure_storage_tenant_id", "azure_tenant_id")
    client = options.text("client_id", "azure_storage_client_id", "azure_client_id")
    password = options.secret("client_secret", "azure_storage_client_secret", "azure_client_secret")
    anonymous = options.flag("anon", "skip_signature", "azure_skip_signature")
    if anonymous is None and key is None and sas is None and credential is None and client is None:
        anonymous = (options.environment("AZURE_STORAGE_ANON") or "").lower() in ("1", "true", "yes", "on")
    if anonymous:
        return Account(url, Versioned(Anonymous()))
    if key is None and sas is None and credential is None and client is None:
        key = _secret(options.environment("AZURE_STORAGE_ACCOUNT_KEY"))
        sas = _secret(options.environment("AZURE_STORAGE_SAS_TOKEN"))
        client = options.environment("AZURE_STORAGE_CLIENT_ID")
        password = password or _secret(options.environment("AZURE_STORAGE_CLIENT_SECRET"))
        tenant = tenant or options.environment("AZURE_STORAGE_TENANT_ID")
    if isinstance(credential, str):
        given, credential = Secret(credential), None
        key, sas = (key, given) if "sig=" in given.reveal() else (given, sas)
    if key is not None and name is not None:
        return Account(url, SharedKey(name, key))
    if sas is not None:
        return Account(url, SharedAccess(sas))
    if credential is None:
        credential = _identity(tenant, client, password)
    return Account(url, Versioned(Bearer(_tokens(credential))))


def _connection(options: Options) -> dict[str, str]:
    """The parts of a connection string, by name in lower case."""
    given = options.text("connection_string", "azure_storage_connection_string")
    text = given or options.environment("AZURE_STORAGE_CONNECTION_STRING") or ""
    if "usedevelopmentstorage=true" in text.lower():
        text = DEVELOPMENT
    parts = [part.partition("=") for part in text.split(";") if part.strip()]
    if any(not value for _, _, value in parts):
        raise InputError("connection_string is not of the form Name=value;Name=value")
    return {name.strip().lower(): value.strip() for name, _, value in parts}


def _secret(text: str | None) -> Secret | None:
    return Secret(text) if text else None


def _identity(tenant: str | None, client: str | None, password: Secret | None) -> Any:
    try:
        from azure.identity import ClientSecretCredential, DefaultAzureCredential
    except ImportError:
        raise missing(
            "azure-identity",
            "azure",
            "there is no account_key, sas_token or connection_string; to look further (tokens, identities)",
        ) from None
    if tenant and client and password:
        return ClientSecretCredential(tenant, client, password.reveal())
    return DefaultAzureCredential()


def _tokens(credential: Any) -> Callable[[], tuple[Secret, float]]:
    if not hasattr(credential, "get_token"):
        raise InputError(
            f"credential is {type(credential).__name__}",
            hint="give a (synchronous) credential of azure-identity",
        )

    def fetch() -> tuple[Secret, float]:
        from azure.core.exceptions import ClientAuthenticationError

        from atio.errors import AccessError

        try:
            token = credential.get_token(_SCOPE)
        except ClientAuthenticationError as error:
            raise AccessError(
                f"azure-identity gave no token ({type(error).__name__})", hint="see `az login`"
            ) from None
        return Secret(token.token), float(token.expires_on)

    return fetch
