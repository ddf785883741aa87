"""Experiments on the papers around the report, each a module with an `EXPERIMENT`.

To add one: write a module as `walk_with_sgd.py` is, with

- `cells(long)`: what is run, a dict each with `seed` and every setting that the numbers depend on;
  three seeds at least, five where they are cheap; at most four minutes of one core in all.
- `run(cell, place)`: runs one of them by hptune in `place.folder` and returns its numbers, a dict of
  the same columns for every cell; a list of numbers is one column, too.
- claims: each with the number that decides on it and its bound. **Commit these before the numbers are
  seen**: pilots, to choose an LR or a length, take seeds from 100 on. `found` says in words what came out.
- `draw(rows, axes)`: the figure, from the stored rows alone.

Then add its name to `EXPERIMENTS`, in the order of the page, run `python -m scripts.neighbours NAME`, and
commit results, figure and page. `tests/scripts/test_neighbours.py` holds the page to the results. Data and
nets that several of them share are in `problems.py`. An experiment that has keys of the YAML which a
task from Python does not take (most of `data`) has a file in configs/neighbours/ and
trains by `with place.session(NAME, changes) as session: session.train()`.
"""

from __future__ import annotations

from importlib import import_module

from scripts.neighbours.experiment import Experiment

EXPERIMENTS = (
    "initial-weights",
    "walk-with-sgd",
    "large-batches",
    "other-optimizers",
    "hessian-bulk",
    "top-eigenvalue",
    "grid-or-random",
    "random-labels",
    "weight-jumps",
    "gradient-noise",
    "train-longer",
    "pooling-geometry",
    "deep-or-shallow",
)


def find(name: str) -> Experiment:
    """Return an experiment by its name; its module has underscores for dashes."""
    found: Experiment = import_module(f"scripts.neighbours.{name.replace('-', '_')}").EXPERIMENT
    return found
