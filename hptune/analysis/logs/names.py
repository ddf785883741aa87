"""What the name of a column, a tag or a folder says: which measure it is, and of which part of the data."""

from __future__ import annotations

import re
from dataclasses import dataclass

_KINDS = {
    "train": "train training trn tr",
    "val": "val valid validation eval evaluation dev holdout",
    "test": "test testing",
    "loss": "loss losses logloss nll",
    "error": "error errors err perplexity ppl mse rmse mae wer cer",
    "accuracy": "accuracy accuracies acc top1 acc1 prec1",
    "lr": "lr lrs learning pg",
    "log": "log log10",
    "ln": "ln loge",
    "log2": "log2",
    "momentum": "momentum mom beta1",
    "iteration": "iteration iterations iter iters step steps batch batches minibatch update updates "
    "timestep timesteps niter it",
    "epoch": "epoch epochs ep",
    "filler": "average avg mean total running set global trainer metrics metric num n overall rate all "
    "smoothed current optimizer history x",
    # With one of these it is another quantity: "best_val_loss", "grad_norm", "loss_scale".
    "other": "min minimum max maximum std var best lowest size count grad norm delta diff scale scaler "
    "weight decay wd ratio per patience time seconds runtime elapsed",
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_PARTS = ("val", "test", "train")  # in "train/val_loss" the second counts
MEASURES = ("loss", "error", "accuracy")
COUNTED = ("iteration", "epoch")
STEPS = (*COUNTED, "row", "time")  # the best first
_ROW, _TIME = ("", "unnamed0", "index"), ("timestamp", "datetime", "date", "walltime")
# "valLoss", "VAL_LOSS", "val.loss" and "Val Loss" have the same two words.
_WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")


@dataclass(frozen=True)
class Name:
    """What a name says.

    Attributes:
        measure: loss, error, accuracy, lr, momentum, iteration, epoch, row or time.
        part: train, val, test, or "" where it is not named.
        extra: Other words: "box" of "train/box_loss".
        by_step: Whether it names the iteration too, as "train_loss_step".
        log: Of the LR: the base of its logarithm, "" where it is plain.
    """

    measure: str
    part: str = ""
    extra: tuple[str, ...] = ()
    by_step: bool = False
    log: str = ""


def read_name(name: str) -> Name | None:
    """Return what a name says, None where it is of no measure that a curve has."""
    plain = "".join(c for c in name.lower() if c.isalnum())
    if plain in _ROW + _TIME:  # of a table that pandas wrote; of the day, not how long it took
        return Name("row" if plain in _ROW else "time")
    words = [found for word in _WORD.findall(name.replace("@", "")) for found in _split(word)]
    kinds = [kind for _, kind in words]
    if "other" in kinds:
        return None
    part = next((part for part in _PARTS if part in kinds), "")
    for measure in ("momentum", "lr", *MEASURES):
        if measure in kinds:
            if measure == "error" and not part:  # as a column of any table may be called
                return None
            known = {measure, *_PARTS, *COUNTED, "filler", "log", "ln", "log2"}
            return Name(
                measure,
                part,
                tuple(word for word, kind in words if kind not in known),
                "iteration" in kinds,
                next((kind for kind in ("ln", "log2", "log") if kind in kinds), ""),
            )
    # "epoch" and "num_epochs", not "epoch_f1".
    for measure in COUNTED:
        if measure in kinds and set(kinds) <= {*COUNTED, "train", "filler"}:
            return Name(measure)
    return None


def is_measured(name: str) -> bool:
    """Say whether a name is of a loss, an error or an accuracy."""
    read = read_name(name)
    return read is not None and read.measure in MEASURES


def part_of(text: str) -> str:
    """Return the part that a text names, if it names nothing else: "val" of "Loss_val", "" of "run-3"."""
    kinds = [kind for word in _WORD.findall(text) for _, kind in _split(word)]
    known = {*_PARTS, *MEASURES, "filler", "epoch"}
    return next((p for p in _PARTS if p in kinds and set(kinds) <= known), "")


def _split(word: str) -> list[tuple[str, str]]:
    """Return a word, or the known ones that it is made of, each with its kind ("" where unknown)."""
    word = word.lower()
    for end in range(len(word), 0, -1):  # the longest known beginning
        first, rest = word[:end], word[end:]
        if first in _KIND_OF and (rest in _KIND_OF or rest.isdigit() or not rest):
            both = [(first, _KIND_OF[first])]
            return both + ([(rest, _KIND_OF.get(rest, ""))] if rest else [])
    return [(word, "")]
