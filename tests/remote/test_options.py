"""The options and variables that people have already, in whatever spelling."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from atio.errors import AccessError, InputError, MissingDependencyError
from atio.storage.remote.azure import AzureBucket
from atio.storage.remote.bucket import Bucket
from atio.storage.remote.connections import Connections
from atio.storage.remote.gcs import GCSBucket
from atio.storage.remote.messages import Endpoint, Request, Response
from atio.storage.remote.options import Options
from atio.storage.remote.s3 import S3Bucket

CLASSES: dict[str, Any] = {"s3": S3Bucket, "gcs": GCSBucket, "az": AzureBucket}
NO_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_CONFIG_FILE": "/nowhere"}


class Sent:
    """What the wire would have seen."""

    def __init__(self) -> None:
        self.endpoint: Endpoint | None = None
        self.request: Request | None = None

    def __call__(self, connections: Connections, request: Request, **_: object) -> Response:
        self.endpoint, self.request = connections.endpoint, request
        return Response(404, {}, b"")

    @property
    def place(self) -> str:
        assert self.endpoint is not None
        assert self.request is not None
        return f"{self.endpoint.scheme}://{self.endpoint.authority}{self.request.path}"

    @property
    def headers(self) -> Mapping[str, str]:
        assert self.request is not None
        return self.request.headers


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setattr(Connections, "send", partialmethod(sent))
    return sent


def look(
    kind: str, given: Mapping[str, object], environ: Mapping[str, str] | None = None, name: str = "bucket"
) -> Bucket:
    options = Options(given, (kind,), {**NO_FILES, **(environ or {})})
    bucket: Bucket = CLASSES[kind].open(name, options)
    options.finish()
    assert bucket.head("key") is None
    return bucket


S3_KEYS = {"key": "AKIA", "secret": "s"}


@pytest.mark.parametrize(
    ("given", "environ", "place", "credential"),
    [
        (S3_KEYS, {}, "https://bucket.s3.us-east-1.amazonaws.com/key", "AKIA/*/us-east-1"),
        (
            {**S3_KEYS, "client_kwargs": {"region_name": "eu-west-1"}},
            {},
            "https://bucket.s3.eu-west-1.amazonaws.com/key",
            "AKIA/*/eu-west-1",
        ),
        (
            {**S3_KEYS, "endpoint_url": "https://minio.example"},
            {},
            "https://minio.example/bucket/key",
            "AKIA/*/us-east-1",
        ),
        (
            {**S3_KEYS, "client_kwargs": {"endpoint_url": "http://localhost:9000/"}},
            {},
            "http://localhost:9000/bucket/key",
            "AKIA/*/us-east-1",
        ),
        (
            {**S3_KEYS, "endpoint_url": "http://10.1.2.3", "use_ssl": False},
            {},
            "http://10.1.2.3/bucket/key",
            "AKIA/*/us-east-1",
        ),
        (
            {"aws_access_key_id": "AKIA", "aws_secret_access_key": "s", "aws_region": "x-y-1"},
            {},
            "https://bucket.s3.x-y-1.amazonaws.com/key",
            "AKIA/*/x-y-1",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": "https://h"},
            {},
            "https://h/bucket/key",
            "AKIA/*/us-east-1",
        ),
        (
            {},
            {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "r-1"},
            "https://bucket.s3.r-1.amazonaws.com/key",
            "ENV/*/r-1",
        ),
        (
            {},
            {
                "AWS_ACCESS_KEY_ID": "E",
                "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_ENDPOINT_URL_S3": "https://a",
                "AWS_ENDPOINT_URL": "https://b",
            },
            "https://a/bucket/key",
            "E/*/us-east-1",
        ),
        (
            S3_KEYS,
            {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "r-2"},
            "https://bucket.s3.r-2.amazonaws.com/key",
            "AKIA/*/r-2",
        ),
        (
            {},
            {"FSSPEC_S3_KEY": "FS", "FSSPEC_S3_SECRET": "s", "FSSPEC_S3_ENDPOINT_URL": "https://h"},
            "https://h/bucket/key",
            "FS/*/us-east-1",
        ),
        (
            {"anon": True},
            {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "s"},
            "https://bucket.s3.us-east-1.amazonaws.com/key",
            None,
        ),
        (
            {**S3_KEYS, "config_kwargs": {"s3": {"addressing_style": "path"}}},
            {},
            "https://s3.us-east-1.amazonaws.com/bucket/key",
            "AKIA/*/us-east-1",
        ),
        (
            {"username": "AKIA", "password": "s", "session": None},
            {},
            "https://bucket.s3.us-east-1.amazonaws.com/key",
            "AKIA/*/us-east-1",
        ),
        (
            {
                **S3_KEYS,
                "config_kwargs": {
                    "signature_version": "s3v4",
                    "request_checksum_calculation": "when_required",
                },
                "client_kwargs": {"verify": False, "api_version": "2006-03-01"},
            },
            {},
            "https://bucket.s3.us-east-1.amazonaws.com/key",
            "AKIA/*/us-east-1",
        ),
        (
            {"config_kwargs": {"signature_version": object()}},  # as botocore.UNSIGNED
            {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "s"},
            "https://bucket.s3.us-east-1.amazonaws.com/key",
            None,
        ),
        (
            {**S3_KEYS, "default_block_size": 5, "use_listings_cache": False, "asynchronous": False},
            {},
            "https://bucket.s3.us-east-1.amazonaws.com/key",
            "AKIA/*/us-east-1",
        ),
    ],
)
def test_s3(
    sent: Sent, given: Mapping[str, object], environ: Mapping[str, str], place: str, credential: str | None
) -> None:
    """As s3fs, boto3, object_store, delta-rs and Polars call things."""
    look("s3", given, environ)
    assert sent.place == place
    if credential is None:
        assert "Authorization" not in sent.headers
    else:
        key, _, region = credential.split("/")
        assert f"Credential={key}/" in sent.headers["Authorization"]
        assert f"/{region}/s3/aws4_request" in sent.headers["Authorization"]


def test_a_bucket_with_dots(sent: Sent) -> None:
    """No certificate covers its name as a host."""
    look("s3", S3_KEYS, name="my.bucket")
    assert sent.place == "https://s3.us-east-1.amazonaws.com/my.bucket/key"


def test_s3_session_token_and_payer(sent: Sent) -> None:
    """They go along with every request."""
    look("s3", {**S3_KEYS, "token": "session", "requester_pays": True})
    assert sent.headers["x-amz-security-token"] == "session"
    assert sent.headers["x-amz-request-payer"] == "requester"


def test_aws_files(sent: Sent, tmp_path: Path) -> None:
    """Profiles with keys need no other library."""
    credentials, config = tmp_path / "credentials", tmp_path / "config"
    credentials.write_text(
        "[default]\naws_access_key_id=DEF\naws_secret_access_key=s\n"
        "[other]\naws_access_key_id = OTH\naws_secret_access_key = s%x\naws_session_token = t\n"
    )
    config.write_text("[default]\nregion = r-1\n[profile other]\nregion = r-2\n")
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_CONFIG_FILE": str(config)}
    look("s3", {}, environ)
    assert "Credential=DEF/" in sent.headers["Authorization"]
    assert "/r-1/" in sent.headers["Authorization"]
    for given, more in (({"profile": "other"}, {}), ({}, {"AWS_PROFILE": "other"})):
        look("s3", given, {**environ, **more})
        assert "Credential=OTH/" in sent.headers["Authorization"]
        assert "/r-2/" in sent.headers["Authorization"]
        assert sent.headers["x-amz-security-token"] == "t"


@pytest.mark.parametrize(
    ("profile", "environ", "place"),
    [
        ("plain", {}, "https://plain.example/bucket/key"),
        ("both", {}, "https://of-s3.example/bucket/key"),
        ("other", {}, "https://bucket.s3.us-east-1.amazonaws.com/key"),
        ("both", {"AWS_ENDPOINT_URL": "https://told.example"}, "https://told.example/bucket/key"),
        (
            "both",
            {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            "https://bucket.s3.us-east-1.amazonaws.com/key",
        ),
    ],
)
def test_the_server_of_a_profile(
    sent: Sent, tmp_path: Path, profile: str, environ: Mapping[str, str], place: str
) -> None:
    """Keys of a store of one's own are not sent to Amazon."""
    config = tmp_path / "config"
    config.write_text(
        "[profile plain]\nendpoint_url = https://plain.example\n"
        "[profile both]\nservices = own\nendpoint_url = https://all.example\n[profile other]\n"
        "[services own]\ndynamodb =\n  endpoint_url = https://no.example\n"
        "s3 =\n  addressing_style = path\n  endpoint_url = https://of-s3.example\n"
    )
    keys = {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "s"}
    look("s3", {}, {**keys, "AWS_CONFIG_FILE": str(config), "AWS_PROFILE": profile, **environ})
    assert sent.place == place


def test_a_moved_bucket_is_followed_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Amazon tells the region; the host is ours to make, and nothing else is taken from the answer."""
    asked: list[str] = []

    def send(self: Connections, request: Request, **_: object) -> Response:
        asked.append(self.endpoint.authority)
        assert "/eu-north-1/" in request.headers["Authorization"] or len(asked) == 1
        if len(asked) == 1:
            return Response(
                301, {"x-amz-bucket-region": "eu-north-1", "location": "https://evil.example"}, b""
            )
        return Response(404, {}, b"")

    monkeypatch.setattr(Connections, "send", send)
    assert look("s3", S3_KEYS).head("other") is None
    amazon = "bucket.s3.{}.amazonaws.com"
    assert asked == [amazon.format("us-east-1"), *[amazon.format("eu-north-1")] * 2]


@pytest.mark.parametrize(
    ("given", "environ", "place", "authorization"),
    [
        ({"token": "anon"}, {}, "https://storage.googleapis.com/storage/v1/b/bucket/o/key", None),
        (
            {"token": {"access_token": "abc"}},
            {},
            "https://storage.googleapis.com/storage/v1/b/bucket/o/key",
            "Bearer abc",
        ),
        (
            {"access_token": "abc"},
            {},
            "https://storage.googleapis.com/storage/v1/b/bucket/o/key",
            "Bearer abc",
        ),
        (
            {},
            {"STORAGE_EMULATOR_HOST": "localhost:9023"},
            "http://localhost:9023/storage/v1/b/bucket/o/key",
            None,
        ),
        (
            {},
            {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9023/"},
            "http://127.0.0.1:9023/storage/v1/b/bucket/o/key",
            None,
        ),
        (
            {"token": "anon", "requests_timeout": 5, "session_kwargs": {"trust_env": True}},
            {"GCSFS_DEFAULT_PROJECT": "p"},
            "https://storage.googleapis.com/storage/v1/b/bucket/o/key",
            None,
        ),
        (
            {"token": "anon", "endpoint_url": "https://h", "project": "p", "access": "read_only"},
            {},
            "https://h/storage/v1/b/bucket/o/key",
            None,
        ),
    ],
)
def test_gcs(
    sent: Sent, given: Mapping[str, object], environ: Mapping[str, str], place: str, authorization: str | None
) -> None:
    """As gcsfs calls things."""
    look("gcs", given, environ)
    assert sent.place == place
    assert sent.headers.get("Authorization") == authorization


class Credentials:
    """Like those of google-auth."""

    token, expiry = "fresh", None
    refreshed = 0

    def refresh(self, _: object) -> None:
        self.refreshed += 1


def test_credentials_of_google_auth(sent: Sent) -> None:
    """They are refreshed when they have to be, not with every request."""
    pytest.importorskip("google.auth.transport.requests")
    credentials = Credentials()
    bucket = look("gcs", {"token": credentials})
    bucket.head("other")
    assert sent.headers["Authorization"] == "Bearer fresh"
    assert credentials.refreshed == 1


CONNECTION = "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=a2V5;EndpointSuffix=core.windows.net"


@pytest.mark.parametrize(
    ("given", "environ", "name", "place", "authorization"),
    [
        (
            {"account_name": "acct", "account_key": "a2V5"},
            {},
            "cont",
            "https://acct.blob.core.windows.net/cont/key",
            "SharedKey acct:",
        ),
        (
            {"connection_string": CONNECTION},
            {},
            "cont",
            "https://acct.blob.core.windows.net/cont/key",
            "SharedKey acct:",
        ),
        (
            {},
            {"AZURE_STORAGE_CONNECTION_STRING": CONNECTION},
            "cont",
            "https://acct.blob.core.windows.net/cont/key",
            "SharedKey acct:",
        ),
        (
            {},
            {"AZURE_STORAGE_ACCOUNT_NAME": "acct", "AZURE_STORAGE_ACCOUNT_KEY": "a2V5"},
            "cont",
            "https://acct.blob.core.windows.net/cont/key",
            "SharedKey acct:",
        ),
        (
            {"connection_string": "UseDevelopmentStorage=true"},
            {},
            "cont",
            "http://127.0.0.1:10000/devstoreaccount1/cont/key",
            "SharedKey devstoreaccount1:",
        ),
        (
            {"account_name": "acct", "account_key": "a2V5"},
            {},
            "cont@acct.dfs.core.windows.net",
            "https://acct.blob.core.windows.net/cont/key",
            "SharedKey acct:",
        ),
        (
            {"account_key": "a2V5"},
            {"AZURE_STORAGE_ACCOUNT_NAME": "another"},
            "cont@acct.dfs.core.windows.net",
            "https://acct.blob.core.windows.net/cont/key",
            "SharedKey acct:",
        ),
        (
            {"account_key": "a2V5", "endpoint_url": "http://127.0.0.1:10000/acct"},
            {},
            "cont@acct.dfs.core.windows.net",
            "http://127.0.0.1:10000/acct/cont/key",
            "SharedKey acct:",
        ),
        (
            {"account_name": "acct", "credential": "a2V5"},
            {},
            "cont",
            "https://acct.blob.core.windows.net/cont/key",
            "SharedKey acct:",
        ),
        (
            {"account_name": "acct"},
            {"AZURE_STORAGE_ANON": "true"},
            "cont",
            "https://acct.blob.core.windows.net/cont/key",
            None,
        ),
        (
            {"account_name": "acct", "anon": True},
            {},
            "cont",
            "https://acct.blob.core.windows.net/cont/key",
            None,
        ),
        (
            {"account_name": "acct", "account_host": "acct.blob.core.chinacloudapi.cn", "anon": True},
            {},
            "cont",
            "https://acct.blob.core.chinacloudapi.cn/cont/key",
            None,
        ),
    ],
)
def test_azure(
    sent: Sent,
    given: Mapping[str, object],
    environ: Mapping[str, str],
    name: str,
    place: str,
    authorization: str | None,
) -> None:
    """As adlfs calls things."""
    look("az", given, environ, name)
    assert sent.place == place
    assert sent.headers["x-ms-version"]
    if authorization is None:
        assert "Authorization" not in sent.headers
    else:
        assert sent.headers["Authorization"].startswith(authorization)


def test_azure_shared_access(sent: Sent) -> None:
    """The signature is part of the URL, decoded once and encoded once."""
    look("az", {"account_name": "acct", "sas_token": "?sv=2021-01-01&sig=a%2Fb%3D"})
    assert sent.request is not None
    assert sent.request.target.endswith("?sv=2021-01-01&sig=a%2Fb%3D")


def test_azure_knows_a_signature_by_its_form(sent: Sent) -> None:
    """What adlfs takes as ``credential`` may be one."""
    look("az", {"account_name": "acct", "credential": "sv=2021-01-01&sig=abc"})
    assert sent.request is not None
    assert sent.request.target.endswith("?sv=2021-01-01&sig=abc")


def test_azure_without_an_account() -> None:
    """That is what is said, whatever else is missing, too."""
    with pytest.raises(InputError, match=r"no account was named[^→]*→[^→]*account_name"):
        look("az", {}, name="cont")


@pytest.mark.parametrize("kind", ["s3", "gcs", "az"])
def test_unknown_options(kind: str) -> None:
    """A slip of the pen is told, with what was meant."""
    enough = {"anon": True, "account_name": "acct"} if kind == "az" else {"anon": True}
    with pytest.raises(InputError, match=r"'endpoint_ulr'[^→]*→[^→]*endpoint_url"):
        look(kind, {**enough, "endpoint_ulr": "https://h"})


@pytest.mark.parametrize(
    "given",
    [
        {"key": "AKIA"},
        {"secret": "s"},
        {"key": 17, "secret": "s"},
        {"anon": "perhaps"},
        {**S3_KEYS, "read_timeout": "soon"},
        {**S3_KEYS, "endpoint_url": "minio:9000"},
        {**S3_KEYS, "region": "../../etc"},
        {**S3_KEYS, "s3_additional_kwargs": {"Unknown": "x"}},
    ],
)
def test_wrong_options(given: Mapping[str, object]) -> None:
    """They are errors at once, not at the first request."""
    with pytest.raises((InputError, AccessError)):
        look("s3", given)


@pytest.mark.parametrize(
    ("kind", "given", "library"),
    [("s3", {}, "botocore"), ("gcs", {}, "google.auth"), ("az", {"account_name": "a"}, "azure.identity")],
)
def test_what_a_further_library_would_find(
    monkeypatch: pytest.MonkeyPatch, kind: str, given: Mapping[str, object], library: str
) -> None:
    """Roles and identities: the error says which extra to install."""
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.exceptions", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'atio\["):
        look(kind, given)


def test_botocore_finds_credentials(sent: Sent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What needs more than reading a file is botocore's: here a program that tells the keys."""
    pytest.importorskip("botocore")
    config = tmp_path / "config"
    answer = '{"Version": 1, "AccessKeyId": "PROC", "SecretAccessKey": "s", "SessionToken": "t"}'
    config.write_text(f"[profile other]\nregion = r-9\ncredential_process = echo '{answer}'\n")
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    look("s3", {"profile": "other"}, {"AWS_CONFIG_FILE": str(config)})
    assert "Credential=PROC/" in sent.headers["Authorization"]
    assert "/r-9/" in sent.headers["Authorization"]
    assert sent.headers["x-amz-security-token"] == "t"
