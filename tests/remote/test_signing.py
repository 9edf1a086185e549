"""Signatures are those that the services compute themselves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atio.errors import AccessError
from atio.storage.remote.aws import Keys, SignatureV4
from atio.storage.remote.messages import Request
from atio.storage.remote.secret import Secret
from tests.remote.servers import Server

KEYS = Keys("AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
NOW = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        (
            Request("GET", "/test.txt", headers={"Range": "bytes=0-9"}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            Request(
                "PUT",
                "/test%24file.text",
                headers={
                    "Date": "Fri, 24 May 2013 00:00:00 GMT",
                    "x-amz-storage-class": "REDUCED_REDUNDANCY",
                },
                body=b"Welcome to Amazon S3.",
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            Request("GET", "/", query=(("lifecycle", ""),)),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            Request("GET", "/", query=(("max-keys", "2"), ("prefix", "J"))),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get", "put", "lifecycle", "list"],
)
def test_the_examples_of_amazons_documentation(request_: Request, signature: str) -> None:
    """API reference, "Examples: Signature Calculations"."""
    signed = SignatureV4(lambda: KEYS, "us-east-1", lambda: NOW).sign(request_, HOST)
    assert signed.headers["Authorization"].endswith(f",Signature={signature}")


NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=60, deadline=None)
@given(
    key=NAMES,
    query=st.dictionaries(NAMES.filter(bool), NAMES, max_size=4),
    etag=st.from_regex(r'"[0-9a-f]{1,8}"', fullmatch=True) | st.just("*"),
    body=st.binary(max_size=50),
    session=st.none() | st.just("a/session+token=="),
)
def test_the_same_as_botocore(
    key: str, query: dict[str, str], etag: str, body: bytes, session: str | None
) -> None:
    """For any name, parameters, conditions and content."""
    auth: Any = pytest.importorskip("botocore.auth")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    keys = Keys(KEYS.access, KEYS.secret, Secret(session) if session else None)
    path = f"/bucket/{quote(key, safe='/-_.~')}"
    request = Request("PUT", path, tuple(query.items()), {"If-Match": etag}, body)
    mine = SignatureV4(lambda: keys, "eu-west-1", lambda: NOW).sign(request, "host.example:9000")
    theirs = AWSRequest("PUT", f"https://host.example:9000{request.target}", {"If-Match": etag}, body)
    theirs.context["timestamp"] = "20130524T000000Z"
    signer = auth.S3SigV4Auth(Credentials(keys.access, keys.secret.reveal(), session), "s3", "eu-west-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda *_, **__: NOW.replace(tzinfo=None))
        signer.add_auth(theirs)

    def parts(text: str) -> list[str]:
        return re.split(r",\s*", text)

    assert parts(mine.headers["Authorization"]) == parts(theirs.headers["Authorization"])
    assert mine.headers.get("x-amz-security-token") == session


def test_a_wrong_key_is_refused(started: Any, folder: str) -> None:
    """So this server does check signatures, and the other tests on it are a proof."""
    server: Server = started("az")
    storage = server.storage(folder, account_key="d3Jvbmc=")
    with pytest.raises(AccessError, match="403"):
        storage.load("current")
