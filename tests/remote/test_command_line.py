"""The commands on tables in buckets: by URL, with credentials from the environment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from atio import Table
from atio.cli.app import app
from tests.remote.servers import BUCKET, Server

VARIABLES = {
    "s3": {
        "AWS_ACCESS_KEY_ID": "{key}",
        "AWS_SECRET_ACCESS_KEY": "{secret}",
        "AWS_REGION": "{region}",
        "AWS_ENDPOINT_URL": "{endpoint_url}",
    },
    "gs": {"STORAGE_EMULATOR_HOST": "{endpoint_url}"},
    "az": {
        "AZURE_STORAGE_CONNECTION_STRING": "AccountName={account_name};AccountKey={account_key};"
        "BlobEndpoint={endpoint_url}"
    },
}


@pytest.fixture
def shell(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command and return its JSON document; no error shows a credential."""
    for name, value in VARIABLES[server.scheme].items():
        monkeypatch.setenv(name, value.format(**server.storage_options))

    def run(*arguments: object, code: int = 0) -> Any:
        result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
        assert result.exit_code == code, (result.output, result.exc_info)
        for name in ("secret", "account_key"):
            assert server.storage_options.get(name, "nothing") not in result.output
        return json.loads(result.stdout)

    return run


def test_a_table(server: Server, shell: Callable[..., Any], folder: str, tmp_path: Path) -> None:
    """From the first import to a copy that comes home."""
    url = server.url(folder)
    rows = tmp_path / "rows.csv"
    rows.write_text("id,name\n1,a\n2,b\n3,c\n")
    assert shell("show", url, code=3)["error"]["kind"] == "not-found"
    assert shell("import", url, rows, "--format", "arrow")["version"] == 1
    assert shell("import", url, rows, "--token", "once")["version"] == 2
    assert shell("import", url, rows, "--token", "once")["replayed"]
    assert shell("delete", url, "--where", "id = 1")["deleted"] == 2
    assert [row["id"] for row in shell("head", url, "-n", 2)["rows"]] == [2, 3]
    assert [line["version"] for line in shell("log", url)["versions"]] == [3, 2, 1, 0]
    Table.open(url, storage_options=server.storage_options).create_branch("trial")
    assert shell("import", f"{url}@trial", rows)["version"] == 4
    assert shell("import", f"{url}@nosuch", rows, code=3)["error"]["kind"] == "not-found"
    assert shell("verify", url)["ok"]
    assert shell("copy", url, server.url(f"{folder}-2"))["version"] == 3
    assert shell("copy", server.url(f"{folder}-2"), tmp_path / "home", "--version", 2)["version"] == 2
    assert Table.open(tmp_path / "home").to_arrow().num_rows == 6


def test_the_account_in_the_url(
    started: Callable[[str], Server], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As abfs URLs have it: it is known to the end of the command."""
    server = started("az")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", server.storage_options["account_key"])
    monkeypatch.setenv("FSSPEC_ABFS_ENDPOINT_URL", server.endpoint)
    url = f"abfs://{BUCKET}@devstoreaccount1.dfs.core.windows.net/{folder}"
    rows = tmp_path / "rows.csv"
    rows.write_text("id\n1\n")
    for number in (1, 2):
        result = CliRunner().invoke(app, ["import", url, str(rows), "--format", "parquet"])
        assert result.exit_code == 0, result.output
        assert Table(server.storage(folder)).version == number
