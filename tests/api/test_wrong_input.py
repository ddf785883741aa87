"""Whatever is passed to a public function, what is wrong with it is one line in Python's words."""

from __future__ import annotations

import ast
import functools
import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW
from torch.utils.data import DataLoader, TensorDataset

import hptune
from hptune import InputError, Task, from_lightning, load_experiment, lr_find, sweep, train, tune
from hptune.api.words import in_python_words

ROOT = Path(hptune.__file__).parent
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(64, 4, generator=GENERATOR)
Y = (X[:, 0] > 0).long()
NAN = math.nan
QUICK: dict[str, Any] = {"epochs": 1, "progress": False, "batch_size": 8, "lr": 0.1}
Call = Callable[[], Any]


def net() -> nn.Module:
    return nn.Linear(4, 2)


def as_function(parameters: Any) -> SGD:
    return SGD(parameters, 0.1)


@functools.cache
def task() -> Task:
    return Task(net, train=(X, Y))


def tried(**options: Any) -> Call:
    return lambda: train(task(), **QUICK | options)


def made(**arguments: Any) -> Call:
    return lambda: Task(net, **{"train": (X, Y)} | arguments)


def swept(parameter: Any, *values: Any) -> Call:
    return lambda: sweep(task(), parameter, *values, **QUICK)


def cycle(**arguments: Any) -> Call:
    given = {"iterations": 10} | arguments
    optimizer = given.pop("optimizer", SGD(net().parameters(), 0.1, momentum=0.9))
    return lambda: hptune.schedulers.OneCycle(optimizer, **given)


class Module(nn.Module):
    """What a LightningModule is to hptune."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.net = nn.Linear(4, width)

    def training_step(self, batch: Any, index: int) -> Any:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), 0.1)

    def validation_step(self, batch: Any, index: int) -> Any:
        return self.training_step(batch, index)


class Data:
    """What a LightningDataModule is to hptune."""

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(X, Y), batch_size=8)


def lightning(**settings: Any) -> Call:
    return lambda: train(from_lightning(Module(), Data()), settings=settings, **QUICK)


ROWS: dict[str, tuple[Call, str]] = {
    # what is to be trained
    "task None": (lambda: train(None, **QUICK), "task: a NoneType; must be an hptune.Task"),
    "task model": (lambda: train(net(), **QUICK), "task: a Linear"),
    "task class": (lambda: tune(Task, **QUICK), "task: a type"),
    "task name": (lambda: tune("problem", **QUICK), "task: 'problem'; must be"),
    "task of no module": (lambda: tune("no.where:task", **QUICK), "cannot be imported"),
    "task path": (lambda: lr_find(Path("x"), epochs=1), "task: a PosixPath"),
    "task function of None": (lambda: train(lambda: None, **QUICK), "returns a NoneType"),
    "task function fails": (lambda: train(lambda: 1 / 0, **QUICK), "fails (ZeroDivisionError"),
    "task missing": (lambda: train(**QUICK), "task: missing; must be given"),
    "task two": (lambda: train(task(), 3, **QUICK), "3: given without a name"),
    # seeds
    "seeds 0": (tried(seeds=0), "seeds: 0; must be greater than or equal to 1"),
    "seeds text": (tried(seeds="2"), "seeds: '2'; must be a number; leave the quotes out"),
    "seeds True": (tried(seeds=True), "seeds: True; must be a number"),
    "seeds None": (tried(seeds=None), "seeds: None; must be a valid integer"),
    "seeds 1.5": (lambda: lr_find(task(), seeds=1.5), "seeds: 1.5"),
    "seeds nan": (lambda: tune(task(), seeds=NAN), "seeds: nan"),
    "seeds list": (lambda: sweep(task(), "wd", seeds=[1]), "seeds: [1]; must be one number"),
    "seeds -1": (lambda: sweep(task(), "wd", seeds=-1), "seeds: -1"),
    # numbers
    **{
        f"epochs {value!r}": (tried(epochs=value), f"epochs: {value!r}; must be")
        for value in ("10", NAN, math.inf, -1, 0, None, True, [3])
    },
    "epochs with time": (lambda: tune(task(), epochs="10", time="9s"), "epochs: '10'"),
    **{
        f"lr {value!r}": (tried(lr=value), f"lr: {value!r}; must be")
        for value in ("0.1", NAN, 0, -1, True, (0.1, 0.2), 1j)
    },
    "lr tensor": (tried(lr=torch.tensor([0.1, 0.2])), "lr: tensor([0.1000, 0.2000]); must be one"),
    "lr of lr_find": (lambda: lr_find(task(), lr=0.1), "lr: 0.1; is what lr_find finds"),
    "lr_min above": (tried(lr_min=0.5), "lr_min: 0.5; must be from 0 to the maximum LR"),
    "momentum 2": (tried(momentum=2), "momentum: 2"),
    "momentum text": (tried(momentum="0.9"), "momentum: '0.9'"),
    "weight decay text": (tried(weight_decay="1e-3"), "weight_decay: '1e-3'"),
    "weight decay -1": (tried(weight_decay=-1), "weight_decay: -1"),
    "batch size text": (tried(batch_size="8"), "batch_size: '8'"),
    "batch size 8.5": (tried(batch_size=8.5), "batch_size: 8.5; must be a valid integer"),
    "batch size huge": (tried(batch_size=10**6), "batch_size: 1000000; must not exceed"),
    "seed text": (tried(seed="1"), "seed: '1'"),
    "seed -1": (tried(seed=-1), "seed: -1"),
    "seed huge": (tried(seed=2**40), "seed: 1099511627776; must be less"),
    # names and places
    "precision": (tried(precision="float16"), "precision: 'float16'; must be 'auto', 'fp32'"),
    "precision type": (tried(precision=torch.float16), "precision: torch.float16"),
    "device number": (tried(device=0), "device: 0; must be auto, cpu"),
    "device None": (tried(device=None), "device: None"),
    "device name": (tried(device="gpu"), "device: 'gpu'; must be"),
    "device absent": (tried(device=torch.device("cuda", 99)), 'device: \'cuda:99\''),
    "out file": (tried(out=Path(__file__)), "must be a folder that can be written"),
    "out below file": (tried(out=Path(__file__) / "x"), "must be a folder"),
    **{
        f"out {value!r}": (tried(out=value), f"out: {value!r}; must be the path")
        for value in (3, True, "", "a\0b")
    },
    "restart text": (tried(restart="no"), "restart: 'no'; must be true or false"),
    "progress text": (tried(progress="yes"), "progress: 'yes'"),
    **{f"jobs {value!r}": (tried(jobs=value), f"jobs: {value!r}") for value in (0, "2", True, 1.5)},
    "executor": (tried(executor="procesess"), "did you mean 'processes'?"),
    "executor number": (tried(executor=2), "executor: 2"),
    "executor and jobs": (tried(executor="inline", jobs=2), 'jobs: 2 with executor="inline"'),
    # any other key
    **{
        f"settings {value!r}": (tried(settings=value), f"settings: {value!r}; must be a dict")
        for value in (["a=b"], "a=b", {3: 1}, None)
    },
    "settings misspelt": (tried(settings={"trainin.x": 1}), "did you mean 'training'?"),
    "settings value": (tried(settings={"training.clip_norm": "big"}), "training.clip_norm: 'big'"),
    "settings data": (tried(settings={"data.name": "digits"}), "belongs to what hptune.Task"),
    "settings of tune": (lambda: tune(task(), settings="a=2"), "settings: 'a=2'"),
    "misspelt": (tried(epcohs=3), "epcohs: there is no such keyword; did you mean 'epochs'?"),
    "misspelt in sweep": (lambda: sweep(task(), "wd", value=[1]), "did you mean 'values'?"),
    "misspelt in tune": (lambda: tune(task(), stage=["momentum"]), "did you mean 'stages'?"),
    # optimizer and policy
    "optimizer number": (tried(optimizer=3), "optimizer: 3; must be one that each trial can make"),
    "optimizer misspelt": (tried(optimizer="adamm"), "did you mean 'adam'?"),
    "optimizer function": (tried(optimizer=as_function), "optimizer: <function as_function>"),
    "optimizer object": (tried(optimizer=SGD(net().parameters(), 0.1)), "give its class, SGD"),
    "optimizer other class": (tried(optimizer=nn.Linear), "must be one that each trial can make"),
    "optimizer with a closure": (tried(optimizer=torch.optim.LBFGS), "lbfgs"),
    "optimizer key": (tried(optimizer={"nam": "sgd"}), "did you mean 'name'?"),
    "optimizer argument": (tried(optimizer=functools.partial(SGD, nope=1)), "sgd has no such"),
    "optimizer list": (tried(optimizer=["sgd"]), "optimizer: ['sgd']"),
    "policy number": (tried(policy=3), "policy: 3; must be a name, or a section"),
    "policy misspelt": (tried(policy="1cycl"), "did you mean '1cycle'?"),
    "policy class": (tried(policy=hptune.schedulers.OneCycle), "policy: <class"),
    "policy argument": (tried(policy={"name": "step", "args": {"x": 1}}), "argument of policy step"),
    # the procedure
    "time number": (lambda: tune(task(), time=30), "time: 30; must be a time with its unit"),
    "time text": (lambda: tune(task(), time="soon"), "time: soon"),
    "time list": (lambda: tune(task(), time=["3m"]), "time: ['3m']"),
    "stages text": (lambda: tune(task(), stages="momentum"), "stages: 'momentum'; must be a list"),
    "stages misspelt": (lambda: tune(task(), stages=["momentun"]), "did you mean 'momentum'?"),
    "stages number": (lambda: tune(task(), stages=3), "stages: 3; must be a list of stages"),
    # sweeps
    "parameter number": (swept(3), "parameter: 3; must be text"),
    "parameter None": (swept(None), "parameter: None"),
    "parameter missing": (lambda: sweep(task(), **QUICK), "parameter: missing"),
    "parameter misspelt": (swept("momentun"), "did you mean 'momentum'?"),
    "parameter of data": (swept("data.flip", [True, False]), "belongs to what hptune.Task"),
    "values text": (swept("wd", "0.1"), "values: '0.1'; must be a list"),
    "values number": (swept("wd", 3), "values: 3; must be a list"),
    "values dict": (swept("wd", {"a": 1}), "values: {'a': 1}; must be a list"),
    "values none": (swept("wd", []), "values: none; must be some values"),
    "values no array": (swept("wd", np.array([])), "values: none"),
    "values of two axes": (swept("wd", np.ones((2, 2))), "values: [1.0, 1.0]"),
    "values words": (swept("wd", ["a", "b"]), "values: procedure.weight_decay.values.0: 'a'"),
    "values nan": (swept("wd", [NAN, 0.1]), "nan; must be a finite number"),
    "values twice": (swept("wd", [0.1, 0.1]), "must be some values, each once"),
    "values missing": (swept("optimizer.args.eps"), "needs them; give values=[A, B, C]"),
    "no such argument": (swept("model.args.width", [2, 3]), "make_model refuses them"),
    "dropout of no layer": (swept("dropout"), "has no dropout layer"),
    # a task
    "make_model None": (lambda: Task(None, train=(X, Y)), "make_model: a NoneType"),
    "make_model model": (lambda: Task(net(), train=(X, Y)), "give lambda: Linear(...)"),
    "make_model text": (lambda: Task("mlp", train=(X, Y)), "make_model: a str"),
    "make_model of None": (lambda: Task(lambda: None, train=(X, Y)), "returns a NoneType"),
    "make_model of arguments": (lambda: Task(lambda a: net(), train=(X, Y)), "without arguments"),
    "make_model fails": (lambda: Task(lambda: 1 / 0, train=(X, Y)), "ZeroDivisionError"),
    "make_model missing": (lambda: Task(), "make_model: missing"),
    "train missing": (lambda: Task(net), "train: missing"),
    "train by place": (lambda: Task(net, (X, Y)), "given without a name"),
    **{
        f"train {value!r:.20}": (made(train=value), "train: ")
        for value in (None, "data.csv", Path("data.csv"), [], (), {}, 3, X, Data(), TensorDataset)
    },
    "train lengths": (made(train=(X, Y[:3])), "train: lengths 64, 3"),
    "train text": (made(train=(np.array(["a", "b"]), np.array([0, 1]))), "encode text as numbers"),
    "train classes": (made(train=(X, Y + 5)), "train: classes 5 to 6; must be from 0 to 1"),
    "train shape": (made(train=(X[:, :3], Y)), "model, data and loss must fit each other"),
    **{
        f"validation {value!r}": (made(validation=value), "validation: ")
        for value in ("0.2", 2.0, NAN, 1, True)
    },
    "test fraction": (made(test=0.2), "test: a float; must be data"),
    "loss misspelt": (made(loss="crossentropy"), "loss: 'crossentropy'; must be cross-entropy"),
    "loss number": (made(loss=3), "loss: a int; must be a function"),
    "loss class": (made(loss=nn.CrossEntropyLoss), "make one: CrossEntropyLoss()"),
    "loss of examples": (made(loss=nn.CrossEntropyLoss(reduction="none")), "take its mean()"),
    "loss None": (made(loss=lambda o, t: None), "loss: gives a NoneType"),
    "metrics misspelt": (made(metrics="acuracy"), "did you mean 'accuracy'?"),
    **{
        f"metrics {value!r}": (made(metrics=value), f"metrics: {value!r}; must be names")
        for value in (3, [3], True)
    },
    "metrics dict": (made(metrics={"a": 3}), "metrics: 'a': 3; must be an hptune.task.MetricSpec"),
    "metrics function": (made(metrics=lambda o, t: 0), "metrics: <function"),
    "step number": (made(step=3), "step: 3; must be a function"),
    "step of None": (made(step=lambda m, b: None), "loss: the model returns a NoneType"),
    "step with loss": (made(step=lambda m, b: 0, loss="mse"), "leave one of them out"),
    "kind misspelt": (made(kind="clasification"), "kind: 'clasification'; must be classification"),
    "split_seed text": (made(split_seed="a"), "split_seed: 'a'"),
    "split_seed -1": (made(split_seed=-1), "split_seed: -1"),
    "data number": (made(data=3), "data: 3; must be text"),
    "model model": (made(model=net()), "model: Linear"),
    "misspelt in Task": (made(metric="accuracy"), "did you mean 'metrics'?"),
    # Lightning
    "module None": (lambda: from_lightning(None, Data()), "module: None; must be a LightningModule"),
    "module swapped": (lambda: from_lightning(Data(), Module()), "and the data module after it"),
    "module plain": (lambda: from_lightning(net(), Data()), "Linear has no training_step"),
    "datamodule class": (lambda: from_lightning(Module(), Data), "make one: Data(...)"),
    "datamodule None": (lambda: from_lightning(Module(), None), "has no train_dataloader"),
    "datamodule missing": (lambda: from_lightning(Module()), "datamodule: missing"),
    "argument of a module": (lightning(**{"model.args.width": 3}), "the module was given as an object"),
    # experiments
    "experiment absent": (lambda: load_experiment("x.yaml"), "x.yaml: No such file"),
    "experiment number": (lambda: load_experiment(3), "path: 3; must be the path"),
    "experiment dict": (lambda: load_experiment({"name": "a"}), "path: {'name': 'a'}"),
    "experiment folder": (lambda: load_experiment(ROOT), "Is a directory"),
    "overrides text": (lambda: load_experiment(None, "seed=1"), "overrides: 'seed=1'; must be"),
    "overrides numbers": (lambda: load_experiment(None, [3]), "overrides: [3]"),
    "overrides bare": (lambda: load_experiment(None, ["seed"]), "overrides: 'seed'; must be"),
    "overrides key": (lambda: load_experiment(None, {"sed": 1}), "did you mean 'seed'?"),
    "DataSpec key": (lambda: hptune.DataSpec(nme="digits"), "nme: there is no such key"),
    "DataSpec value": (lambda: hptune.DataSpec(validation="x"), "validation: 'x'; must be"),
    "session of no experiment": (
        lambda: hptune.Session.open(3, "out", progress=None),
        "experiment: 3; must be what hptune.load_experiment returns",
    ),
    # runs side by side
    "compare nothing": (lambda: hptune.compare(), "runs: 0 given; must be 2 to 8"),
    "compare number": (lambda: hptune.compare(3, 4), "runs: 3; must be a run directory"),
    "compare absent": (lambda: hptune.compare("no", "where"), "no: no such run directory"),
    # the scheduler
    **{
        f"scheduled {name}": (cycle(optimizer=value), "must be an optimizer that is made already")
        for name, value in (("None", None), ("model", net()), ("class", SGD))
    },
    **{
        f"iterations {value!r}": (cycle(iterations=value), f"iterations: {value!r}; must be")
        for value in ("10", 0, 1.5, True)
    },
    **{
        f"{name} {value!r}": (cycle(**{name: value}), f"{name}: {value!r}; must be")
        for name in ("lr", "momentum")
        for value in ("0.1", NAN, -1)
    },
    "rates of groups": (cycle(lr=[0.1, 0.2]), "lr: 2 values; the optimizer has 1"),
    "stepsize": (cycle(stepsize="x"), "stepsize: 'x'; must be a fraction"),
    "last_epoch text": (cycle(last_epoch="x"), "last_epoch: 'x'"),
    "last_epoch alone": (cycle(last_epoch=3), "load its state_dict first"),
    "misspelt in OneCycle": (cycle(iteration=10), "did you mean 'iterations'?"),
    "state of another": (lambda: cycle()().load_state_dict({"a": 1}), "state_dict: none of an"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), ROWS.values(), ids=ROWS)
def test_what_is_wrong_is_one_line_in_pythons_words(call: Call, message: str):
    with pytest.raises(InputError) as error:
        call()
    text = str(error.value)
    assert message in text and "\n" not in text and not re.search(r"--[a-z]|0x[0-9a-f]{6}", text)
    assert ";" in text and len(text) < 500


def test_there_are_enough_rows():
    assert len(ROWS) >= 150


@pytest.mark.parametrize(
    ("given", "name", "args"),
    [
        (AdamW, "adamw", {}),
        (functools.partial(AdamW, eps=1e-6), "adamw", {"eps": 1e-6}),
        ("adamw", "adamw", {}),
    ],
)
def test_an_optimizer_class_works_as_its_name(given: Any, name: str, args: dict[str, Any]):
    found = tried(optimizer=given)()
    assert found.optimizer == name and dict(found.trial.optimizer.args) == args


def test_numbers_of_numpy_and_torch_are_numbers():
    options = {"lr": np.float32(0.1), "batch_size": np.int64(8), "epochs": torch.tensor(1.0)}
    found = tried(**options, seeds=np.int64(1), weight_decay=np.float64(1e-3))()
    assert found.batch_size == 8 and type(found.trial.batch_size) is int
    assert found.lr == 0.1 and type(found.lr) is float
    listed = sweep(task(), "wd", torch.tensor([1e-3, 1e-2]), **QUICK)
    assert listed.value in (1e-3, 1e-2)


def test_results_refuse_what_they_cannot_use():
    found = tried()()
    with pytest.raises(InputError, match="must have the parameters of what was trained"):
        found.load(nn.Linear(4, 3))
    with pytest.raises(InputError, match=r"model: 3; must be a torch\.nn\.Module"):
        found.load(3)
    with pytest.raises(InputError, match="ax: 'x'; must be axes"):
        found.plot("x")


def options_named() -> dict[str, str]:
    """Every text below the shell that names an option, by where it stands."""
    found = {}
    for path in ROOT.rglob("*.py"):
        if path.is_relative_to(ROOT / "cli") or path.name == "words.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise | ast.Call):
                for part in ast.walk(node):
                    text = part.value if isinstance(part, ast.Constant) else None
                    if isinstance(text, str) and re.search(r"(^|[\s(])--[a-z]", text):
                        found[f"{path.relative_to(ROOT)}: {text[:40]}"] = text
    return found


@pytest.mark.parametrize("text", options_named().values(), ids=options_named())
def test_no_message_names_an_option_in_python(text: str):
    assert not re.search(r"--[a-z]", in_python_words(text))


def test_what_python_words_name_is_a_keyword():
    functions = (lr_find, sweep, train, tune, load_experiment)
    known = {name for function in functions for name in inspect.signature(function).parameters}
    known |= set(get_type_hints(hptune.Options))
    for option in ("out", "restart", "device", "executor", "jobs", "time", "stages", "values"):
        assert option in known
    for text, told in (
        ("give another --out, or --restart", "give another out, or restart=True"),
        ("--jobs: 2 with --executor inline, which", 'jobs: 2 with executor="inline", which'),
        ("use --executor inline", 'use executor="inline"'),
        ("use --device cpu", 'use device="cpu"'),
        ("needs them; give --values A,B,C", "needs them; give values=[A, B, C]"),
        ("--set: 'x'; write --set seed=1, say", "overrides: 'x'; write seed=1, say"),
    ):
        assert in_python_words(text) == told
