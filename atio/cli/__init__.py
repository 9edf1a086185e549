"""The command line: the roof over :class:`atio.Table`.

One module a job: ``reading``, ``versions``, ``maintaining``, ``changing`` and ``transfer`` hold the commands,
``app`` lists them, ``failures`` turns errors into exit codes. Nothing heavy is imported before a command
needs it.
"""

from __future__ import annotations


def main() -> None:
    """Run the ``atio`` command with the arguments of the process."""
    from atio.cli.app import app

    app(prog_name="atio")
