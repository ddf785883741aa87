"""What a trained model takes and gives, kept with its weights so that these can be used alone."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hptune.section import Arguments, Section


class Input(Section):
    """One of the inputs that a model gets.

    Attributes:
        name: By which the model gets it, None where it goes by its place.
        shape: Of one example.
        dtype: As torch calls it, "float32".
    """

    name: str | None = None
    shape: tuple[int, ...] = ()
    dtype: str = "float32"


class Made(Section):
    """What makes a model.

    Attributes:
        name: A bundled net, of a library, or "package.module:callable"; None for a function that
            no other process can find.
        args: Its arguments.
        dropout: Rate that its dropout layers are set to, None leaves them.
    """

    name: str | None = None
    args: Arguments = Field(default_factory=dict)
    dropout: float | None = None


class Signature(Section):
    """What a trained model takes and gives.

    Attributes:
        reads: How inputs are made: of the columns of a "table", of "images" in files, of "arrays",
            or not at all, as they are "ready" when they are given.
        inputs: What the model gets of a batch.
        kind: "classification", "regression" or "multilabel"; None where that is not known.
        guessed: Whether the kind follows from the model's outputs and the type of the targets alone.
        outputs: Classes, labels, or columns of a regression's target.
        classes: Their names as the data spell them, none where they go by their numbers.
        logits: Whether outputs of several labels at once are still to go through a sigmoid.
        ignored: The target that loss and metrics leave out, where there may be one.
        columns: Of a table, how each input is made of one; see `hptune.data.tables.preprocessing`.
        target: Name of the column to predict.
        ids: Columns that name the rows.
        left_out: Columns that are no inputs.
        missing: Cells that mean missing.
        decoding: Of images, how they are decoded; see `hptune.data.images.decode`.
        layout: Of arrays, where the channels are.
        stored: Of arrays, their type before they are scaled.
        scale: Of inputs, "factor" and "shift" or "mean" and "std"; None leaves them.
        target_scale: "mean" and "std" by which a regression's targets are standardised.
        model: What makes it.
        python: Whether model and data were given in Python, not by an experiment.
        code_folder: Where the user's own model was imported from.
        channels_last: Whether its convolutions run in that layout.
        loss: Its name, "model" for the model's own; None where no other process can find it.
        label_smoothing: Of the loss.
        metrics: Their names.
        code: The user's source files, with digests.
    """

    reads: Literal["table", "images", "arrays", "ready"] = "ready"
    inputs: tuple[Input, ...] = (Input(),)
    kind: Literal["classification", "regression", "multilabel"] | None = None
    guessed: bool = False
    outputs: int = 1
    classes: tuple[str, ...] = ()
    logits: bool = True
    ignored: int | None = None
    columns: tuple[dict[str, Any], ...] = ()
    target: str | None = None
    ids: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    decoding: dict[str, Any] | None = None
    layout: str = "auto"
    stored: str = "float32"
    scale: dict[str, Any] | None = None
    target_scale: dict[str, list[float]] | None = None
    model: Made = Made()
    python: bool = False
    code_folder: str | None = None
    channels_last: bool = True
    loss: str | None = None
    label_smoothing: float = 0.0
    metrics: tuple[str, ...] = ()
    code: dict[str, str] = Field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example of the first input."""
        return self.inputs[0].shape
