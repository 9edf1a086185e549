"""The command line: the roof over :class:`atio.Table`.

One module a job: ``reading``, ``versions``, ``maintaining``, ``changing`` and ``transfer`` hold the commands,
``app`` lists them, ``failures`` turns errors into exit codes. Nothing heavy is imported before a command
needs it.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the ``atio`` command with the arguments of the process."""
    from atio.cli.app import app
    from atio.cli.failures import INTERRUPTED

    try:
        app(prog_name="atio")
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            # A thread of Arrow may be reading standard input. At the end of the interpreter it would crash.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise
