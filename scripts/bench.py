#!/usr/bin/env python
"""Runs the benchmark from any folder; the same as `python -m scripts.bench` from the root."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # The package beside this file has its name; the root makes it importable, in workers too.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from scripts.bench.cli import main

    main()
