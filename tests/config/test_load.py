"""Experiments from YAML: numbers, overrides, errors, and every file in configs/."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptune.config.load import dump, load_experiment, with_value
from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.models import build

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


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
    assert experiment.policy.spec().args == {"stepsize": 0.3}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_loads_dumps_and_names_a_model(path: Path, tmp_path: Path):
    experiment = load_experiment(path)
    again = load_experiment(write(tmp_path, dump(experiment)))
    assert again == experiment
    shape = (1, 28, 28) if "mnist" in path.stem else (3, 32, 32)
    shape = (1, 8, 8) if path.stem == "digits" else shape
    shape = (3, 224, 224) if "imagenet" in path.stem else shape
    build(experiment.model.name, experiment.model.args, input_shape=shape, outputs=10)


def test_there_is_a_config_for_each_row_of_the_tables():
    names = {path.stem for path in CONFIGS}
    assert {
        "digits", "mnist-lenet", "cifar10-3layer", "cifar10-resnet56", "cifar10-wide-resnet",
        "cifar10-densenet", "cifar100-resnet56", "imagenet-resnet50",
    } <= names  # fmt: skip


def test_the_bundled_experiment_is_the_one_in_configs():
    digits = next(path for path in CONFIGS if path.stem == "digits")
    assert load_experiment(digits) == load_experiment(None)


def test_relative_data_paths_are_found_beside_the_config(tmp_path, monkeypatch):
    (tmp_path / "there" / "pictures").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = write(tmp_path / "there", "data: {name: image-folder, path: pictures}")
    assert load_experiment(path).data.path == str(tmp_path / "there" / "pictures")


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trainin: {epochs: 3}", "trainin: there is no such key; did you mean 'training'"),
        ("training: {epoch: 3}", "training.epoch: there is no such key; did you mean 'epochs'"),
        ("training: {epochs: -3}", "training.epochs: -3; must be greater than 0"),
        ("training: {epochs: many}", "training.epochs: 'many'; must be a valid number"),
        (
            "training: {epochs: .nan}",
            r"training.epochs: nan; must be (a finite number|greater than 0)",
        ),
        ("seed: 1.5", "seed: 1.5; must be a valid integer"),
        ("policy: {name: 1cicle}", "did you mean '1cycle'"),
        ("policy: {args: {stepsise: 3}}", "did you mean 'stepsize'"),
        ("policy: {momentum: up}", "must be of auto"),
        ("training: {precision: fp8}", "'fp8'; must be 'auto'"),
        ("optimizer: {rules: [{mach: x}]}", "optimizer.rules.0"),
        ("procedure: {stages: [momentm]}", "'momentm'; must be 'lr-range'"),
        ("data: {validation: 1.5}", "data.validation: 1.5; must be less than 1"),
        (
            "hyper_parameters: {momentum: 2}",
            "hyper_parameters.momentum: 2; must be less than or equal",
        ),
        ("- a\n- b", "must be keys with values"),
        ("a: [1", "must be valid YAML"),
        ("seed: 1\nseed: 2", "'seed' stands twice"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
    ],
)
def test_wrong_files_are_told_in_one_line(text: str, expected: str, tmp_path: Path):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=expected) as caught:
        load_experiment(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
