"""Experiments from YAML: overrides, paths of the data, and errors of one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptune.config.load import dump, load_experiment, with_value
from hptune.config.schema import Experiment
from hptune.errors import InputError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "e.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", ".1e-2", "1.e-3"])
def test_every_way_to_write_a_number_is_a_number(text: str, tmp_path: Path):
    experiment = load_experiment(write(tmp_path, f"hyper_parameters: {{weight_decay: {text}}}"))
    assert experiment.hyper_parameters.weight_decay == 1e-3


def test_overrides_take_the_same_path_as_the_file():
    experiment = load_experiment(
        None, ["hyper_parameters.lr=1e-2", "model.args.hidden=[8, 4]", "policy.args.stepsize=0.3"]
    )
    assert experiment.hyper_parameters.lr == 0.01
    assert experiment.model.args == {"hidden": [8, 4]}
    assert experiment.policy.args == {"stepsize": 0.3}


def test_dump_loads_to_the_same(tmp_path: Path):
    experiment = load_experiment(
        None,
        [
            "name='1e5'",
            "data.path=somewhere",
            "optimizer.rules=[{match: '*.bias', lr: 2}]",
            "optimizer.args={betas: [0.9, 0.99], eps: 1e-12}",
            "model.args={text: '1e-3', none: null, most: .inf, day: 2024-01-02}",
            "procedure.weight_decay.values=[1e-3, 0]",
        ],
    )
    assert load_experiment(write(tmp_path, dump(experiment))) == experiment


def test_data_paths_are_taken_from_the_configs_folder_first(tmp_path: Path, monkeypatch):
    config, work = tmp_path / "config", tmp_path / "work"
    (config / "both").mkdir(parents=True)
    for name in ("both", "here"):
        (work / name).mkdir(parents=True)
    monkeypatch.chdir(work)

    def path(name: str, *overrides: str) -> str | None:
        return load_experiment(write(config, f"data: {{path: {name}}}"), overrides).data.path

    assert path("both") == str(config / "both")
    assert path("here") == str(work / "here")
    assert path("nowhere") == str(work / "nowhere")
    assert path(str(config)) == str(config)
    assert path("here", "data.path=both") == str(work / "both")


def test_the_resolved_experiment_means_the_same_in_any_folder(tmp_path: Path, monkeypatch):
    for name in ("work/pictures", "run"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    experiment = load_experiment(None, ["data.path=pictures"])
    monkeypatch.chdir(tmp_path / "run")
    assert load_experiment(write(tmp_path / "run", dump(experiment))) == experiment


def test_a_value_can_be_changed_at_any_path():
    experiment = with_value(load_experiment(None), "model.dropout", 0.3)
    assert experiment.model.dropout == 0.3
    assert with_value(experiment, "policy", {"name": "cosine"}).policy.args == {}


def test_a_new_name_drops_the_arguments_of_the_old_one():
    assert load_experiment(None, ["model.name=resnet-20"]).model.args == {}
    kept = load_experiment(None, ["model.name=mlp", "model.args.dropout=0.1"]).model.args
    assert kept == {"hidden": [256, 256], "dropout": 0.1}


def test_the_empty_file_is_the_default_experiment(tmp_path: Path):
    assert load_experiment(write(tmp_path, "")) == Experiment()


@pytest.mark.parametrize("section", ["data", "model", "training", "hyper_parameters", "procedure"])
def test_a_section_without_keys_is_the_default(section: str, tmp_path: Path):
    assert load_experiment(write(tmp_path, f"{section}:")) == Experiment()


WRONG = {
    "trainin: {epochs: 3}": "trainin: there is no such key; did you mean 'training'?",
    "training: {epoch: 3}": "training.epoch: there is no such key; did you mean 'epochs'?",
    "model: {zzz: 3}": "model.zzz: there is no such key; the keys are name, args, dropout, init, "
    "init_gain, ghost_batch, freeze, unfreeze",
    "optimizer: {rules: [{match: x, lrr: 1}]}": "optimizer.rules.0.lrr: there is no such key; did "
    "you mean 'lr'?",
    "optimizer: {rules: [{mach: x}]}": "optimizer.rules.0.match: missing; must be given; add it "
    "(and 1 more)",
    "optimizer: {rules: {match: x}}": "optimizer.rules: {'match': 'x'}; must be a list",
    "training: {epochs: -3}": "training.epochs: -3; must be greater than 0; correct the value",
    "training: {epochs: many}": "training.epochs: 'many'; must be a valid number",
    "training: {epochs: .nan}": "training.epochs: nan; must be a finite number",
    "training: {epochs: -1, accumulate: 0}": "correct the value (and 1 more)",
    "training: [1]": "training: [1]; must be a section; write keys with values below it, of epochs",
    "seed: 1.5": "seed: 1.5; must be a valid integer",
    "seed: true": "seed: true; must be a number",
    "seed: null": "seed: null; must be a valid integer",
    "seed: 99999999999": "seed: 99999999999; must be less than 2147483648",
    "name: 1e5": "name: 100000.0; must be text; put it in quotes",
    "name: a/b": "name: 'a/b'; must be the name of a folder, without slashes",
    "name: ..": "name: '..'; must be the name of a folder",
    "data: {flip: perhaps}": "data.flip: 'perhaps'; must be true or false",
    "data: {args: 3}": "data.args: 3; must be keys with values",
    "model: {args: {3: 1}}": "model.args.3: a key that is no text; put it in quotes",
    "data: {validation: 1.5}": "data.validation: 1.5; must be less than 1",
    "metrics: accuracy": "metrics: 'accuracy'; must be auto or a list of names; write [accuracy",
    "policy: {name: 1cicle}": "did you mean '1cycle'?",
    "policy: {args: {stepsise: 3}}": "did you mean 'stepsize'?",
    "policy: {args: {stepsize: -1}}": "policy.args.stepsize: -1; must be a fraction of the run",
    "policy: {args: {floor: x}}": "policy.args",
    "policy: {momentum: cyclcal}": "policy.momentum: 'cyclcal'; must be of auto",
    "training: {precision: fp8}": "training.precision: 'fp8'; must be 'auto', 'fp32'",
    "procedure: {stages: [momentm]}": "procedure.stages: 'momentm'; must be of optimizer, "
    "lr-range, momentum, weight-decay, batch-size, refine, final; did you mean 'momentum'?",
    "procedure: {stages: []}": "procedure.stages: []; must have one value at least",
    "hyper_parameters: {momentum: 2}": "hyper_parameters.momentum: 2; must be less than or equal",
    "hyper_parameters: {lr: 0.1, lr_min: 1}": "hyper_parameters.lr_min: 1; must not exceed lr, "
    "which is 0.1; lower it",
    "hyper_parameters: {momentum: 0.8, momentum_min: 0.9}": "must not exceed momentum",
    "procedure: {lr_range: {lr_low: 1, lr_high: 0.1}}": "must not exceed lr_high",
    "- a\n- b": "a list; must be keys with values",
    "a: [1": "must be valid YAML",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_told_in_one_line(text: str, tmp_path: Path):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_experiment(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and WRONG[text] in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("seed", "--set: 'seed'; must be KEY.PATH=VALUE; write --set seed=1, say"),
        ("model..args=1", "--set: 'model..args=1'; must be KEY.PATH=VALUE; write --set seed=1, say"),
        ("training.epochs=-1", "--set: training.epochs: -1; must be greater than 0; correct the value"),
        ("training={epochs: 0}", "--set: training.epochs: 0; must be greater than 0; correct the value"),
        ("model.name.x=1", "--set: model.name.x: 'name' holds a value, no section; correct the key path"),
        ("trainin.epochs=1", "--set: trainin: there is no such key; did you mean 'training'?"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_told_as_such(override: str, line: str, tmp_path: Path):
    path = write(tmp_path, "model: {name: mlp}")
    with pytest.raises(InputError) as caught:
        load_experiment(path, [override])
    assert str(caught.value) == line


def test_an_override_is_not_blamed_for_the_file(tmp_path: Path):
    path = write(tmp_path, "training: {epochs: -1}")
    with pytest.raises(InputError, match=rf"^{path}: training.epochs: -1"):
        load_experiment(path, ["seed=3"])
    assert load_experiment(path, ["training.epochs=2"]).training.epochs == 2


def test_a_file_that_is_no_text_is_told(tmp_path: Path):
    path = tmp_path / "e.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text in UTF-8"):
        load_experiment(path)
    with pytest.raises(InputError, match="No such file"):
        load_experiment(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("training.epochs", -1, "training.epochs: -1; must be greater than 0; correct the value"),
        (
            "model.hidden",
            1,
            "model.hidden: there is no such key; the keys are name, args, dropout, init, init_gain, "
            "ghost_batch, freeze, unfreeze",
        ),
        ("seed.x", 1, "seed.x: 'seed' holds a value, no section; correct the key path"),
    ],
)
def test_a_value_that_a_key_does_not_take_is_told(key: str, value: object, line: str):
    with pytest.raises(InputError) as caught:
        with_value(Experiment(), key, value)
    assert str(caught.value) == line


def test_data_in_the_working_folder_or_above_it_have_its_name(tmp_path: Path, monkeypatch):
    (tmp_path / "pets" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "pets" / "here")
    for path, name in ((".", "here"), ("..", "pets")):
        overrides = ["data.name=image-folder", f"data.path={path}"]
        assert load_experiment(None, overrides).name == name


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "digits"),
        (["data.validation=0.2"], "digits"),
        (["data.name=csv", "data.path=some/iris.csv"], "iris"),
        (["data.name=torchvision:MNIST"], "torchvision-MNIST"),
        (["data.name=my/sets.py:pets"], "sets.py-pets"),
        (["data.name=csv", "data.path=iris.csv", "name=mine"], "mine"),
    ],
)
def test_without_a_config_an_experiment_is_called_as_its_data(overrides: list[str], name: str):
    assert load_experiment(None, overrides).name == name
