"""The environment the peers run in: made once, made anew when the pinned versions change.

    python -m benchmarks.peers_env      make it, print its interpreter

`ATIO_PEERS_PYTHON` names an interpreter that has the peers already; then nothing is made.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-peers"
REQUIREMENTS = Path(__file__).with_name("peers-requirements.txt")


def peers_python() -> Path:
    """Return the peers' interpreter, after making its environment if it is missing or stale."""
    if given := os.environ.get("ATIO_PEERS_PYTHON"):
        return Path(given)
    python = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made_from = FOLDER / "made-from.txt"  # written last: an interrupted installation is made anew
    wanted = f"{sys.version}\n{REQUIREMENTS.read_text()}"
    if not made_from.exists() or made_from.read_text() != wanted:
        print(f"making {FOLDER.name} (the peers' environment), once …", file=sys.stderr)
        venv.create(FOLDER, clear=True, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", REQUIREMENTS], check=True)
        made_from.write_text(wanted)
    return python


if __name__ == "__main__":
    print(peers_python())
