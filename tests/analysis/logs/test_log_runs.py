"""Several runs in one log: an answer each; and what no curve is in is wrong input."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hptune.analysis.diagnose import diagnose
from hptune.analysis.logs import tensorboard as reader
from hptune.cli import run
from hptune.errors import InputError

X = np.arange(40)
RISES = 0.5 + 1.8 * np.exp(-X / 4) + 0.06 * np.maximum(0, X - 9)
RUNS = {"brisk-sun - 7": RISES, "calm": 2.3 - 0.02 * X}
VERDICTS = [("brisk-sun - 7", "overfit"), ("calm", "underfit")]


def side_by_side(folder: Path) -> Path:
    """As W&B exports a panel; the second run ended early."""
    header = ",".join(f'"{run} - val/loss{end}"' for run in RUNS for end in ("", "__MIN", "__MAX"))
    lines = [f'"Step",{header}']
    for i in X:
        cells = [f'"{RUNS[run][i]}"' if run != "calm" or i < 30 else '""' for run in RUNS]
        lines.append(f'"{i}",' + ",".join(f"{cell},{cell},{cell}" for cell in cells))
    path = folder / "wandb.csv"
    path.write_text("\n".join(lines))
    return path


def below_one_another(folder: Path) -> Path:
    lines = [f"{run},{i},{v}" for run, values in RUNS.items() for i, v in enumerate(values)]
    path = folder / "runs.csv"
    path.write_text("\n".join(["run_name,epoch,val_loss", *lines]))
    return path


def in_words(folder: Path) -> Path:
    path = folder / "runs.csv"
    lines = [f"{i},{v},{run}" for i in X for run, v in ((run, RUNS[run][i]) for run in RUNS)]
    path.write_text("\n".join(["epoch,val_loss,optimizer", *lines]))
    return path


def by_name(folder: Path) -> Path:
    path = folder / "runs.json"
    path.write_text(json.dumps({run: {"val_loss": list(values)} for run, values in RUNS.items()}))
    return path


def mlflow(folder: Path) -> Path:
    for k, (name, values) in enumerate(RUNS.items()):
        run = folder / "mlruns" / "0" / str(k)
        for part in ("metrics", "tags"):
            (run / part).mkdir(parents=True)
        (run / "tags" / "mlflow.runName").write_text(name)
        lines = (f"{1700000000000 + i} {v} {i}\n" for i, v in enumerate(values))
        (run / "metrics" / "val_loss").write_text("".join(lines))
    return folder / "mlruns"


def tensorboard(folder: Path) -> Path:
    pytest.importorskip("tensorboard", reason='needs pip install "hptune[tensorboard]"')
    from torch.utils.tensorboard import SummaryWriter

    for name, values in RUNS.items():
        with SummaryWriter(str(folder / "tb" / name)) as writer:
            for i, value in enumerate(values):
                writer.add_scalar("Loss/val", value, i)
            writer.add_hparams({"lr": 0.1}, {"hparam/loss": 0.5})  # in a folder of its own
    return folder / "tb"


@pytest.mark.parametrize(
    "make", [side_by_side, below_one_another, in_words, by_name, mlflow, tensorboard]
)
def test_each_run_gets_an_answer(make, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = make(tmp_path)
    assert run(["diagnose", str(path), "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [(each["run"], each["verdict"]) for each in documents] == VERDICTS
    assert run(["diagnose", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(("reason: ", "advice: "))] == [
        "run brisk-sun - 7", "training: overfit", "run calm", "training: underfit",
    ]  # fmt: skip


def test_one_run_is_answered_by_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "wandb.csv"
    path.write_text("Step,a - val/loss\n" + "".join(f"{i},{v}\n" for i, v in enumerate(RISES)))
    assert run(["diagnose", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "overfit" and "run" not in document


def picture(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, form)
    return buffer.getvalue()


ROWS = "".join(f"{i},{2.3 - 0.02 * i},{2.31 - 0.02 * i}\n" for i in range(30))
NO_CURVES: dict[str, bytes | str] = {
    "empty": "",
    "blank": "\n \n",
    "PNG": picture("PNG"),
    "JPEG": picture("JPEG"),
    "a data table": "sepal_length,sepal_width,species\n" + "5.1,3.5,setosa\n" * 20,
    "a data table with an index": "id,age,income,cost\n" + "1,30,50000,12\n" * 20,
    "a header alone": "epoch,train_loss,val_loss\n",
    "losses of text": "epoch,loss\n" + "1,high\n" * 9,
    "no header": ROWS,
    "our results": "trial,stage,status,lr,train_loss,val_loss\n"
    + "".join(f"wd-{i},sweep,complete,0.1,{i},{i}\n" for i in range(9)),
    "a trial": "trial,stage,status,lr,train_loss,val_loss\nwd-1,sweep,complete,0.1,1,1\n",
    "Optuna's trials": "number,value,params_lr,state\n" + "1,0.5,0.1,COMPLETE\n" * 9,
    "decimal commas between commas": "epoch,train_loss,val_loss\n" + ROWS.replace(".", ","),
    "Python": "{1: 2, 'loss': {3, 4}}",
    "JSON nested deeply": '{"a":' * 900 + "1" + "}" * 900,
    "numbers": json.dumps([2.3, 2.2, 2.1]),
    "a config": json.dumps({"lr": 0.1, "loss": "mse", "epochs": 30}),
    "broken JSON": '{"loss": [2.3, 2.2',
    "JSON without end": "[" * 100_000,
    "a program": "train_loss = 0.0\nfor batch in data:\n    loss = 0.5 * model(batch)\n",
    "prose": "# A net\n\nIt reaches an accuracy of 0.93 with a loss of 0.2.\n",
}


@pytest.mark.parametrize("name", NO_CURVES)
def test_what_is_no_curve_is_wrong_input(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path, content = tmp_path / "log.csv", NO_CURVES[name]
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert run(["diagnose", str(path)]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.count("\n") == 1 and f"error: {path}: " in shown.err and "must be" in shown.err


def test_a_folder_without_logs_is_wrong_input(tmp_path: Path):
    with pytest.raises(InputError, match="name a file in it"):
        diagnose(tmp_path)


def test_event_files_need_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    (tmp_path / "events.out.tfevents.1").touch()
    for path in (tmp_path, tmp_path / "events.out.tfevents.1"):
        with pytest.raises(InputError, match=r'pip install "hptune\[tensorboard\]"'):
            diagnose(path)
    # What is no folder of event files needs it not.
    (tmp_path / "events.out.tfevents.1").unlink()
    with pytest.raises(InputError, match="name a file in it"):
        diagnose(tmp_path)


WORDS = ("epoch", "loss", "val_loss", "lr", ",", ";", "\t", "\n", " ", '"', "{", "}", "[", "]", ":",
         "0.5", "1", "nan", "1e-3", "-", "|", "'", "=", "#", "run", "tensor(1.0)", "é")  # fmt: skip


@given(words=st.lists(st.sampled_from(WORDS), max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_text_gets_an_answer_or_a_line(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text("".join(words))
    try:
        documents = diagnose(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(
            d["verdict"] for d in (documents if isinstance(documents, list) else [documents])
        )


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("run-.-tag-Loss_val.csv", "val_loss from 'Loss_val'"),
        ("run-validation-tag-epoch_loss.csv", "val_loss from 'val epoch_loss'"),
        ("run-a_run-tag-train_loss.csv", "train_loss from 'train_loss'"),
        ("export.csv", "train_loss from 'loss'"),
    ],
)
def test_an_export_of_one_series_is_what_its_files_name_says(name: str, read: str, tmp_path: Path):
    lines = [f"{1.7e9 + i},{i},{v}" for i, v in enumerate(RISES)]
    (tmp_path / name).write_text("\n".join(["Wall time,Step,Value", *lines]))
    document = diagnose(tmp_path / name)
    assert isinstance(document, dict) and read in document["reasons"][-1]
    assert ("'Value' taken for a loss" in document["reasons"][-1]) == (name == "export.csv")
