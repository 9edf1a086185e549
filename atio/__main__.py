"""``python -m atio``."""

from __future__ import annotations

from atio.cli import main

if __name__ == "__main__":
    main()
