"""`python -m scripts.bench`."""

from scripts.bench.cli import main

if __name__ == "__main__":
    main()
