"""`python -m hptune`."""

from hptune.cli import main

main()
