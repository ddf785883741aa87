"""What stands in a column, by its name and its cells, in the words that people use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptune.analysis.diagnose import diagnose
from hptune.analysis.logs.names import part_of, read_name
from hptune.errors import InputError

TRAIN = [round(2.3 * np.exp(-i / 6), 5) for i in range(40)]
VAL = [round(0.5 + 1.8 * np.exp(-i / 4) + 0.06 * max(0, i - 9), 5) for i in range(40)]
ROWS = list(zip(range(40), TRAIN, VAL, strict=True))


def read(path: Path, content: str) -> dict[str, Any]:
    path.write_text(content)
    document = diagnose(path)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize(
    ("name", "measure", "part", "extra"),
    [
        ("train_loss", "loss", "train", ()),
        ("Training loss", "loss", "train", ()),
        ("valLoss", "loss", "val", ()),
        ("VALID_LOSS", "loss", "val", ()),
        ("loss (val)", "loss", "val", ()),
        ("Loss/test", "loss", "test", ()),
        ("trainloss", "loss", "train", ()),
        ("val/box_loss", "loss", "val", ("box",)),
        ("eval_loss", "loss", "val", ()),
        ("dev.loss", "loss", "val", ()),
        ("train_loss_epoch", "loss", "train", ()),
        ("eval_top1", "accuracy", "val", ()),
        ("val_top5", "", "", ()),
        ("Acc@1", "accuracy", "", ()),
        ("testacc", "accuracy", "test", ()),
        ("val_error_rate", "error", "val", ()),
        ("error", "", "", ()),
        ("lr", "lr", "", ()),
        ("learning_rate", "lr", "", ()),
        ("learningRate", "lr", "", ()),
        ("lr-SGD", "lr", "", ("sgd",)),
        ("x/lr0", "lr", "", ("0",)),
        ("lr/pg0", "lr", "", ("0",)),
        ("train/learning_rate", "lr", "train", ()),
        ("lr-SGD-momentum", "momentum", "", ("lr", "sgd")),
        ("lr-SGD-weight_decay", "", "", ()),
        ("global_step", "iteration", "", ()),
        ("trainer/global_step", "iteration", "", ()),
        ("training_iteration", "iteration", "", ()),
        ("NumIters", "iteration", "", ()),
        ("steps_per_second", "", "", ()),
        ("epoch_time", "", "", ()),
        ("loss_scale", "", "", ()),
        ("best_val_loss", "", "", ()),
        ("Step", "iteration", "", ()),
        ("Epoch", "epoch", "", ()),
        ("Unnamed: 0", "row", "", ()),
        ("species", "", "", ()),
    ],
)
def test_a_name_says_what_a_column_is(name: str, measure: str, part: str, extra: tuple[str, ...]):
    said = read_name(name)
    found = (said.measure, said.part, said.extra) if said else ("", "", ())
    assert found == (measure, part, extra)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("validation", "val"),
        ("Loss_val", "val"),
        ("version_0", ""),
        ("run-test-3", ""),
    ],
)
def test_a_folder_is_a_part_of_a_run_if_it_is_named_so(name: str, part: str):
    assert part_of(name) == part


LOGS = {
    "epochs of so many": ("epoch,train_loss,val_loss", "{0}/40,{1},{2}"),
    "epochs in words": ("epoch,train_loss,val_loss", "Epoch {0},{1},{2}"),
    "an index by pandas": (",train_loss,val_loss", "{0},{1},{2}"),
    "times of the day": ("timestamp,train_loss,val_loss", "2024-01-02T10:{0:02d}:00,{1},{2}"),
    "seconds since 1970": ("Timestamp,train_loss,val_loss", "17000000{0:02d}.5,{1},{2}"),
    "thousands": ("step,train_loss,val_loss", '"{0},500",{1},{2}'),
    "spreads": ("epoch,train_loss,val_loss", "{0},{1} ± 0.01,{2} (0.02)"),
    "a part in a column": ("epoch,split,loss", "{0},val,{2}"),
    "parts alone": ("epoch,train,validation", "{0},{1},{2}"),
    "errors in per cent": ("epoch,train_err,val_err", "{0},{1} %,{2} %"),
    "losses of a detector": (
        "epoch,train/a_loss,train/b_loss,val/a_loss,val/b_loss", "{0},{1},{1},{2},{2}",
    ),
    "a total": ("iteration,total_loss,loss_cls,validation_loss", "{0},{1},9,{2}"),
}  # fmt: skip


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("name", LOGS)
def test_columns_and_cells_of_many_kinds(name: str, newest_first: bool, tmp_path: Path):
    header, form = LOGS[name]
    lines = [form.format(i + 1 if name == "thousands" else i, a, b) for i, a, b in ROWS]
    lines = lines[::-1] if newest_first else lines
    document = read(tmp_path / "losses.csv", "\n".join([header, *lines]))
    assert document["verdict"] == "overfit"
    assert ("newest first" in document["reasons"][-1]) == newest_first


@pytest.mark.parametrize("last", ["mean,1.0,0.1", "best,0.0,0.1"])
def test_a_row_of_a_summary_is_no_reading(last: str, tmp_path: Path):
    lines = [f"{i},{a},{b}" for i, a, b in ROWS]
    document = read(tmp_path / "log.csv", "\n".join(["epoch,train_loss,val_loss", *lines, last]))
    assert document["verdict"] == "overfit"
    assert "rows without a step left out: 1" in document["reasons"][-1]


def test_cells_that_are_no_number_are_counted(tmp_path: Path):
    lines = [f"{i},{a},{'lost' if i in (3, 5) else b}" for i, a, b in ROWS]
    document = read(tmp_path / "log.csv", "\n".join(["epoch,train_loss,val_loss", *lines]))
    assert document["verdict"] == "overfit"
    assert "cells of 'val_loss' that are no number: 2" in document["reasons"][-1]


PRINTED = {
    "nanoGPT": "step {0}: train loss {1}, val loss {2}\niter {0}: loss 9.0, time 12.34ms, mfu 1.2%",
    "fairseq": "2023-01-02 10:00:00 | INFO | train | epoch {0:03d} | loss {1} | ppl 45.1 | lr 0.0005\n"
    "2023-01-02 10:00:01 | INFO | valid | epoch {0:03d} | valid on 'valid' subset | loss {2} | ppl 12",
    "lines below one another": "Epoch {0}:\n  Training loss:   {1}\n  Validation loss: {2}",
    "tqdm": "Epoch {0}: 100%|███| 469/469 [00:12<00:00, 38.1it/s, loss={1}, v_num=0, val_loss={2}]",
    "PyTorch's MNIST": "Train Epoch: {0} [640/60000 (1%)]\tLoss: {1}\n\n"
    "Test set: Average loss: {2}, Accuracy: 9834/10000 (98%)",
    "XGBoost": "[{0}]\ttrain-logloss:{1}\teval-logloss:{2}",
    "LightGBM": "[{0}]\ttraining's binary_logloss: {1}\tvalid_1's binary_logloss: {2}",
    "Keras": "Epoch {0}/40\n9/9 [====] - 2s 4ms/step - loss: {1} - accuracy: 0.1 - val_loss: {2}",
    "columns between commas": "epoch {0}, loss {1}, val_loss {2}",
    "decimal commas": "Epoche {0}: loss {1} val_loss {2}",
    "colours": "\x1b[32mepoch {0}\x1b[0m loss={1} val_loss={2}",
}


@pytest.mark.parametrize("name", PRINTED)
def test_what_a_program_printed(name: str, tmp_path: Path):
    lines = [
        "Training, with loss cross-entropy, lr 0.1",
        *(PRINTED[name].format(*row) for row in ROWS),
    ]
    if name == "decimal commas":
        lines = [line.replace(".", ",") for line in lines]
    assert read(tmp_path / "log.txt", "\n".join([*lines, "Done."]))["verdict"] == "overfit"


JSON = {
    "columns": {"loss": TRAIN, "val_loss": VAL},
    "columns in a section": {"history": {"loss": TRAIN, "val_loss": VAL}, "params": {"epochs": 40}},
    "a section a part": {"train": {"loss": TRAIN}, "val": {"loss": VAL}},
    "records": [{"epoch": i, "loss": a, "val_loss": b} for i, a, b in ROWS],
    "records newest first": [{"epoch": i, "loss": a, "val_loss": b} for i, a, b in ROWS[::-1]],
    "records with sections": [
        {"epoch": i, "train": {"loss": a}, "val": {"loss": b}} for i, a, b in ROWS
    ],
    "lists of one": {"loss": [[v] for v in TRAIN], "val_loss": [[v] for v in VAL]},
    "a table by pandas": {"columns": ["loss", "val_loss"], "data": [row[1:] for row in ROWS]},
    "rows by pandas": {i: {"loss": a, "val_loss": b} for i, a, b in ROWS},
    "TensorBoard's export": [[1.7e9 + i, i, b] for i, _, b in ROWS],
    "an evaluation in rows of its own": [
        *({"step": 10 * i, "loss": a} for i, a, _ in ROWS),
        *({"step": 10 * i + 5, "eval_loss": b} for i, _, b in ROWS),
    ],
}


@pytest.mark.parametrize("name", JSON)
def test_json_of_many_shapes(name: str, tmp_path: Path):
    assert read(tmp_path / "val_loss.json", json.dumps(JSON[name]))["verdict"] == "overfit"


def test_lines_of_json_that_are_cut_off_are_counted(tmp_path: Path):
    lines = [json.dumps(record) for record in JSON["records"]]
    document = read(tmp_path / "log.jsonl", "\n".join([*lines, lines[-1][:9]]))
    assert document["verdict"] == "overfit"
    assert "lines that are no JSON left out: 1" in document["reasons"][-1]


@pytest.mark.parametrize(
    ("header", "read_as"),
    [
        ("epoch,loss,accuracy", "train_accuracy"),  # as a Keras without validation
        ("epoch,train_loss,accuracy", "val_accuracy"),  # as fastai
    ],
)
def test_an_accuracy_of_no_part_is_of_what_its_loss_is(header: str, read_as: str, tmp_path: Path):
    lines = [f"{i},{a},{1 - a / 3}" for i, a, _ in ROWS]
    document = read(tmp_path / "log.csv", "\n".join([header, *lines]))
    assert (document["verdict"] == "cannot-say") == (read_as == "train_accuracy")


LEAVES = st.none() | st.booleans() | st.floats() | st.integers() | st.text("ab1. ", max_size=5)
NAMES = st.sampled_from(
    ["loss", "val_loss", "epoch", "step", "lr", "train", "0", "a", "run", "value", ""]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=60,
)


@given(value=VALUES)
@settings(max_examples=200, deadline=None)
def test_any_json_gets_an_answer_or_a_line(tmp_path_factory: pytest.TempPathFactory, value: Any):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    try:
        documents = diagnose(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(
            d["verdict"] for d in (documents if isinstance(documents, list) else [documents])
        )
