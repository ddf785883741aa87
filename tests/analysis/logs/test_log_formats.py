"""A curve gets the same verdict and the same LRs in whatever format its log comes."""

from __future__ import annotations

import csv
import io
import json
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hptune.analysis.diagnose import diagnose

Log = tuple[list[int], list[float], list[float], list[float]]  # step, LR, training, validation loss
Writer = Callable[[Path, Log], Path]


def training(train: np.ndarray, val: np.ndarray) -> Log:
    n = len(train)
    return list(range(n)), list(np.linspace(0.1, 0.01, n)), train.tolist(), val.tolist()


def range_test() -> Log:
    lr = np.geomspace(1e-5, 10, 100)
    loss = 2.3 - 2 / (1 + (0.1 / 30 / lr) ** 1.5) + 4 * np.maximum(0, np.log10(lr / 0.1)) ** 2
    return list(range(100)), lr.tolist(), loss.tolist(), (loss + 0.02).tolist()


X = np.arange(40)
FLAT = 0.5 + 1.8 * np.exp(-X / 4)
EXPLODES = np.where(X < 20, 2 - 0.05 * X, 2.0 ** (X - 15))
CURVES: dict[str, Log] = {
    "overfit": training(2.3 * np.exp(-X / 6) + 0.02, FLAT + 0.06 * np.maximum(0, X - 9)),
    "underfit": training(2.3 - 0.02 * X, 2.32 - 0.02 * X),
    "balanced": training(FLAT, FLAT + 0.1),
    "diverged": training(EXPLODES, EXPLODES),
    "lr-range": range_test(),
}


def table(columns: Mapping[str, Sequence[Any]], **how: Any) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n", **how)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue()


def text(content: str, name: str = "log.csv", encoding: str = "utf-8") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_text(content, encoding)
        return path

    return write


def plain(log: Log) -> dict[str, list[Any]]:
    return dict(zip(("iteration", "lr", "train_loss", "val_loss"), log, strict=True))


def named(step: str, lr: str, train: str, val: str, **how: Any) -> Writer:
    def write(folder: Path, log: Log) -> Path:
        columns = dict(zip((step, lr, train, val), log, strict=True))
        return text(table(columns, **how))(folder)

    return write


def hugging_face(log: Log) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = []
    for step, lr, train, val in zip(*log, strict=True):
        at = {"epoch": step / 10, "step": step}
        history.append({"loss": train, "grad_norm": 1.5, "learning_rate": lr, **at})
        history.append({"eval_loss": val, "eval_runtime": 1.2, "eval_steps_per_second": 9.0, **at})
    mean = float(np.mean(log[2]))
    return [*history, {"train_runtime": 300.0, "total_flos": 1e12, "train_loss": mean, **at}]


def trainer_state(folder: Path, log: Log) -> Path:
    state = {"best_metric": None, "global_step": 400, "log_history": hugging_face(log)}
    return text(json.dumps(state | {"stateful_callbacks": {"a": {"args": {}}}}), "t.json")(folder)


def lightning(folder: Path, log: Log) -> Path:
    rows = ["epoch,lr-SGD,step,train_loss_epoch,train_loss_step,val_acc,val_loss"]
    for step, lr, train, val in zip(*log, strict=True):
        rows += [
            f",{lr},{step},,,,",
            f"{step // 5},,{step},,{train},,",
            f"{step // 5},,{step},,,0.5,{val}",
        ]
    rows.append(f"9,,{step},{np.mean(log[2])},,,")
    return text("\n".join(rows) + "\n", "metrics.csv")(folder)


def yolo(folder: Path, log: Log) -> Path:
    columns: dict[str, list[Any]] = {"epoch": log[0]}
    shares = {"box": 0.5, "cls": 0.3, "dfl": 0.2}
    for part, losses in (("train", log[2]), ("val", log[3])):
        columns |= {f"{part}/{k}_loss": [s * v for v in losses] for k, s in shares.items()}
    columns |= {"metrics/mAP50(B)": [0.5] * len(log[0])} | {f"lr/pg{k}": log[1] for k in range(3)}
    padded = {f"{n:>23}": [f"{v:>23}" for v in values] for n, values in columns.items()}
    return text(table(padded), "results.csv")(folder)


def timm(folder: Path, log: Log) -> Path:
    accuracy = [100 * np.exp(-v) for v in log[3]]
    columns = {"epoch": log[0], "train_loss": log[2], "eval_loss": log[3], "eval_top1": accuracy}
    return text(table(columns | {"eval_top5": accuracy, "lr": log[1]}), "summary.csv")(folder)


def wandb_export(folder: Path, log: Log) -> Path:
    columns: dict[str, list[Any]] = {"Step": log[0]}
    for name, values in (("train/lr", log[1]), ("train/loss", log[2]), ("val/loss", log[3])):
        for end in ("", "__MIN", "__MAX"):
            columns[f"brisk-sun - 7 - {name}{end}"] = values if not end else [0.1] * len(values)
    return text(table(columns, quoting=csv.QUOTE_ALL))(folder)


def tensorboard(train: str, val: str, where: tuple[str, str, str]) -> Writer:
    """Return a writer of tags into folders."""

    def write(folder: Path, log: Log) -> Path:
        pytest.importorskip("tensorboard", reason='needs pip install "hptune[tensorboard]"')
        from torch.utils.tensorboard import SummaryWriter

        path = folder / "tb"
        tags = ("learning_rate", train, val)
        for name in set(where):
            with SummaryWriter(str(path / name)) as writer:
                for tag, own, values in zip(tags, where, log[1:], strict=True):
                    for step, value in zip(log[0], values, strict=True):
                        if own == name:
                            writer.add_scalar(tag, value, step, new_style=tag == train)
        return path

    return write


def mlflow(folder: Path, log: Log) -> Path:
    path = folder / "mlruns" / "0" / "1f" / "metrics"
    for name, values in (("lr", log[1]), ("train_loss", log[2]), ("val/loss", log[3])):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        lines = (f"{1700000000000 + s} {v} {s}\n" for s, v in zip(log[0], values, strict=True))
        (path / name).write_text("".join(lines))
    return folder / "mlruns"


def metric_files(folder: Path, log: Log) -> Path:
    mlflow(folder, log)
    return (folder / "mlruns" / "0" / "1f" / "metrics").rename(folder / "exported")


def mlflow_database(folder: Path, log: Log) -> Path:
    path = folder / "mlflow.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table runs (run_uuid, name, lifecycle_stage)")
        database.execute("create table metrics (run_uuid, key, value, timestamp, step, is_nan)")
        database.execute("insert into runs values ('1f', 'swift-owl', 'active')")
        for name, values in (("lr", log[1]), ("train_loss", log[2]), ("val_loss", log[3])):
            for step, value in zip(log[0], values, strict=True):
                row = (
                    "1f",
                    name,
                    0.0 if value != value else value,
                    1700000000000,
                    step,
                    value != value,
                )
                database.execute("insert into metrics values (?, ?, ?, ?, ?, ?)", row)
    return path


def detr(folder: Path, log: Log) -> Path:
    lines = [
        json.dumps(
            {
                "train_lr": lr,
                "train_loss": str(a),
                "test_loss": b,
                "test_map": [0.1, 0.2],
                "epoch": s,
            }
        )
        for s, lr, a, b in zip(*log, strict=True)
    ]
    return text("\n".join(lines), "log.txt")(folder)


def phases(folder: Path, log: Log) -> Path:
    rows = ["epoch,phase,lr,loss"]
    for step, lr, train, val in zip(*log, strict=True):
        rows += [f"{step},train,{lr},{train}", f"{step},val,{lr},{val}"]
    return text("\n".join(rows))(folder)


def long(folder: Path, log: Log) -> Path:
    rows = ["run_id,key,value,step,timestamp"]
    for name, values in (("lr", log[1]), ("train_loss", log[2]), ("val_loss", log[3])):
        rows += [f"1f,{name},{v},{s},{1.7e12 + s}" for s, v in zip(log[0], values, strict=True)]
    return text("\n".join(rows))(folder)


def printed(line: str) -> Writer:
    def write(folder: Path, log: Log) -> Path:
        lines = [line.format(s, lr, a, b) for s, lr, a, b in zip(*log, strict=True)]
        return text("Files already downloaded\n" + "\n".join(lines) + "\nDone.\n", "log.txt")(
            folder
        )

    return write


def european(before: str, name: str, delimiter: str, encoding: str) -> Writer:
    def write(folder: Path, log: Log) -> Path:
        columns = {
            n: [str(v).replace(".", ",") for v in values] for n, values in plain(log).items()
        }
        return text(before + table(columns, delimiter=delimiter), name, encoding)(folder)

    return write


def cells(form: str, column: str, **how: Any) -> Writer:
    """Return a writer of one column's numbers in another form."""

    def write(folder: Path, log: Log) -> Path:
        columns = plain(log)
        columns[column] = [form.format(value) for value in columns[column]]
        return text(table(columns, **how))(folder)

    return write


def logarithms(name: str, log_of: Callable[[Any], Any]) -> Writer:
    def write(folder: Path, log: Log) -> Path:
        columns = plain(log)
        return text(table(columns | {"lr": log_of(columns["lr"])}).replace("lr", name, 1))(folder)

    return write


def rows_moved(move: Callable[[list[str]], list[str]]) -> Writer:
    def write(folder: Path, log: Log) -> Path:
        header, *rows = table(plain(log)).splitlines()
        return text("\n".join([header, *move(rows)]))(folder)

    return write


def markdown(folder: Path, log: Log) -> Path:
    lines = [f"| {' | '.join(line.split(','))} |" for line in table(plain(log)).splitlines()]
    lines.insert(1, "|--:|---|---|:--|")
    return text("\n".join(lines), "log.md")(folder)


def as_json(make: Callable[[Log], Any], name: str = "log.json") -> Writer:
    return lambda folder, log: text(make(log), name)(folder)


def shuffled(rows: list[str]) -> list[str]:
    return random.Random(1).sample(rows, len(rows))


CUDA = "tensor({}, device='cuda:0', grad_fn=<NllLossBackward0>)"
FORMATS: dict[str, Writer] = {
    "ours": named("iteration", "lr", "train_loss", "val_loss"),
    "trainer_state.json": trainer_state,
    "log_history as JSON": as_json(lambda log: json.dumps(hugging_face(log))),
    "log_history as Python prints it": as_json(lambda log: str(hugging_face(log)), "log.txt"),
    "log_history in a terminal": as_json(
        lambda log: "\n".join(map(str, hugging_face(log))), "log.txt"
    ),
    "log_history as CSV": as_json(lambda log: pd.DataFrame(hugging_face(log)).to_csv(), "log.csv"),
    "log_history by pandas": as_json(lambda log: pd.DataFrame(hugging_face(log)).to_json()),
    "log_history by pandas, records": as_json(
        lambda log: pd.DataFrame(hugging_face(log)).to_json(orient="records", lines=True)
    ),
    "TensorBoard, a writer": tensorboard("Loss/train", "Loss/val", ("", "", "")),
    "TensorBoard of Keras": tensorboard(
        "epoch_loss", "epoch_loss", ("train", "train", "validation")
    ),
    "TensorBoard, add_scalars": tensorboard("Loss", "Loss", ("", "Loss_train", "Loss_val")),
    "MLflow's folder": mlflow,
    "MLflow's metric files": metric_files,
    "MLflow's database": mlflow_database,
    "MLflow's metrics in a table": long,
    "W&B's export": wandb_export,
    "W&B's history": named("_step", "train/lr", "train/loss", "val/loss"),
    "Lightning": lightning,
    "Keras, CSVLogger": named("epoch", "learning_rate", "loss", "val_loss"),
    "Keras, history": as_json(
        lambda log: json.dumps({"loss": log[2], "val_loss": log[3], "learning_rate": log[1]})
    ),
    "YOLO": yolo,
    "timm": timm,
    "fairseq and DETR": detr,
    "phases": phases,
    "sep=;": european("sep=;\n", "log.csv", ";", "utf-8"),
    "a spreadsheet's text": european("", "log.txt", "\t", "utf-16"),
    "decimal commas in quotes": european("", "log.csv", ",", "utf-8-sig"),
    "a line an epoch": printed("2024-01-02 10:00:00,123 INFO epoch {} lr {} loss {} val_loss {}"),
    "two lines an epoch": printed(
        "Epoch {0}/100\n9/9 [===] - 2s 4ms/step - loss: {2} - val_loss: {3} - learning_rate: {1}"
    ),
    "a table between blanks": named("#step", "lr", "loss", "val_loss", delimiter=" "),
    "a table in Markdown": markdown,
    "tensors": rows_moved(
        lambda rows: [",".join([*r.split(",")[:3], CUDA.format(r.split(",")[3])]) for r in rows]
    ),
    "tensors in quotes": cells(CUDA, "val_loss", quoting=csv.QUOTE_ALL),
    "scalars of numpy": cells("np.float64({})", "val_loss"),
    "lists of one": cells("[{}]", "train_loss"),
    "LR of a group": named("step", "lr-SGD/pg1", "Train Loss", "Validation Loss"),
    "log10 of LR": logarithms("log10_lr", np.log10),
    "log of LR": logarithms("log_lr", np.log10),
    "natural log of LR": logarithms("ln_lr", np.log),
    "newest first": rows_moved(lambda rows: rows[::-1]),
    "shuffled": rows_moved(shuffled),
}


def summary(document: Any) -> dict[str, Any]:
    lrs = {key: pytest.approx(document[key], rel=1e-3) if document[key] else None
           for key in ("lr_min", "lr_max")}  # fmt: skip
    return {key: document[key] for key in ("kind", "verdict", "diverged_at_iteration")} | lrs


@pytest.mark.parametrize("name", CURVES)
def test_the_curves_are_what_they_are_called(name: str, tmp_path: Path):
    document = diagnose(FORMATS["ours"](tmp_path, CURVES[name]))
    assert name in (document["verdict"], document["kind"])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", CURVES)
def test_a_verdict_does_not_depend_on_the_format(name: str, form: str, tmp_path: Path):
    log = CURVES[name]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    expected = diagnose(FORMATS["ours"](tmp_path / "a", log))
    document = diagnose(FORMATS[form](tmp_path / "b", log))
    assert isinstance(document, dict)  # one run
    assert {key: document[key] for key in summary(expected)} == summary(expected)
    assert document["reasons"][-1].startswith("read train_loss from ")


# What pandas writes of a NaN is a blank.
@pytest.mark.parametrize("form", [form for form in FORMATS if "log_history" not in form])
def test_a_loss_that_ends_in_nan_has_diverged_in_every_format(form: str, tmp_path: Path):
    steps, lr, train, val = CURVES["underfit"]
    nan = [float("nan")] * 15
    document = diagnose(FORMATS[form](tmp_path, (steps, lr, train[:25] + nan, val[:25] + nan)))
    assert (document["verdict"], document["diverged_at_iteration"]) == ("diverged", 25)


@pytest.mark.parametrize(
    ("column", "form"),
    [("val_acc", "{:.6f}"), ("val_acc", "{:.4%}"), ("eval_top1", "{:.4%}"), ("accuracy", "{}")],
)
def test_an_accuracy_stands_for_a_loss_that_is_not_there(column: str, form: str, tmp_path: Path):
    rises = 0.9 - 0.8 * np.exp(-X / 4)
    accuracies = {"overfit": rises - 0.01 * np.maximum(0, X - 9), "balanced": rises}
    for verdict, accuracy in accuracies.items():
        columns = {"epoch": X, column: [form.format(a) for a in accuracy]}
        alone = diagnose(text(table(columns))(tmp_path))
        beside = diagnose(text(table(columns | {"train_loss": CURVES["overfit"][2]}))(tmp_path))
        assert alone["verdict"] == beside["verdict"] == verdict
        assert "val_loss from what the accuracy lacks" in beside["reasons"][-1]
