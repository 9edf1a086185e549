"""Who we are at Google: the tokens that gcsfs takes, and what google-auth finds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

from atio.errors import AccessError, InputError
from atio.storage.remote.aws import Anonymous
from atio.storage.remote.client import Signer
from atio.storage.remote.failures import missing
from atio.storage.remote.options import Options
from atio.storage.remote.secret import Secret
from atio.storage.remote.tokens import Bearer

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_CHAINS = (None, "google_default", "cloud", "cache")


def find_signer(options: Options, *, emulator: bool) -> Signer:
    """From ``token`` (a file, its content, a token, credentials of google-auth, "anon") or the environment.

    Raises
    ------
    AccessError
        There are no credentials to be found.
    """
    token = options.value(
        "token", "service_account", "google_service_account", "google_application_credentials"
    )
    bearer = options.secret("access_token", "google_access_token", "bearer_token")
    if bearer is not None:
        return Bearer(lambda: (bearer, math.inf))
    if token == "anon" or options.flag("anon", "skip_signature", "google_skip_signature"):  # noqa: S105
        return Anonymous()
    if token is None and emulator:
        return Anonymous()
    if not isinstance(token, str | Mapping | None) and hasattr(token, "refresh"):
        return Bearer(_refreshing(token))
    if isinstance(token, Mapping) and set(token) <= {"access_token", "expires_in", "token_type", "scope"}:
        given = Secret(str(token.get("access_token", "")).strip())
        return Bearer(lambda: (given, math.inf))
    if token in _CHAINS or isinstance(token, str | Mapping):
        return Bearer(_refreshing(_credentials(token, options)))
    raise InputError(
        f"token is {type(token).__name__}",
        hint='give the path of a JSON key, its content, credentials of google-auth, or "anon"',
    )


def _credentials(token: str | Mapping[str, Any] | None, options: Options) -> Any:
    try:
        import google.auth
        import google.auth.exceptions
    except ImportError:
        raise missing("google-auth", "gcs", "finding and renewing Google credentials") from None
    try:
        if isinstance(token, Mapping):
            found, _ = google.auth.load_credentials_from_dict(dict(token), scopes=[_SCOPE])
        elif token in _CHAINS:
            found, _ = google.auth.default(scopes=[_SCOPE], quota_project_id=None)
        else:
            found, _ = google.auth.load_credentials_from_file(token, scopes=[_SCOPE])
    except (google.auth.exceptions.GoogleAuthError, ValueError, OSError) as error:
        raise AccessError(
            f"google-auth found no credentials ({type(error).__name__})",
            hint='see `gcloud auth application-default login`, or give token="anon" for public data',
        ) from None
    del options
    return found


def _refreshing(credentials: Any) -> Callable[[], tuple[Secret, float]]:
    def fetch() -> tuple[Secret, float]:
        try:
            import google.auth.exceptions
            import google.auth.transport.requests
        except ImportError:
            raise missing("google-auth", "gcs", "renewing Google credentials") from None
        try:
            credentials.refresh(google.auth.transport.requests.Request())
        except google.auth.exceptions.GoogleAuthError as error:
            raise AccessError(f"Google gave no token ({type(error).__name__})") from None
        expiry = credentials.expiry
        return Secret(credentials.token), math.inf if expiry is None else expiry.replace(
            tzinfo=UTC
        ).timestamp()

    return fetch
