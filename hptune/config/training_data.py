"""What an experiment does to the training examples after they are read: wrong labels, mixtures."""

from __future__ import annotations

from hptune.data.label_noise import with_wrong_labels
from hptune.data.sources.mix import Mix, Mixed, refusal
from hptune.data.spec import DataSpec
from hptune.errors import InputError
from hptune.step import LossOfModel, Step
from hptune.task import Source


def changed(
    spec: DataSpec,
    train: Source,
    step: Step,
    classes: int | None,
    *,
    seed: int,
    ignored: int | None = None,
) -> tuple[Source, list[str]]:
    """Return the training examples as a spec wants them, and what to tell of them.

    Args:
        spec: Of the data.
        train: The examples as they are.
        step: Computes the loss.
        classes: Their number, None for other than classification.
        seed: Of wrong labels.
        ignored: The target that the loss leaves out.

    Raises:
        InputError: They cannot be changed so.
    """
    train, notes = with_wrong_labels(spec, train, classes, seed=seed, ignored=ignored)
    if not spec.mixup and not spec.cutmix:
        return train, notes
    mix = Mix(spec.mixup, spec.cutmix, classes)
    why = ""
    if ignored is not None:
        why = f"targets of which the loss ignores {ignored}; needs targets that all count"
    elif isinstance(step, LossOfModel) and classes is not None:
        why = "the model's own loss; needs one that takes shares of the classes, such as cross-entropy"
    if why := why or refusal(next(iter(train.batches(2))), mix):
        keys = ", ".join(f"data.{key}" for key in ("mixup", "cutmix") if getattr(spec, key))
        raise InputError(f"{keys}: {why}; leave it out")
    return Mixed(train, mix), notes
