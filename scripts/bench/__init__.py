"""How fast hptune is, each case beside a hand-written loop: see `scripts/bench.py --help`."""
