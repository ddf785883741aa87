"""Every file in configs/: it loads, its names resolve, and its numbers are the report's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hptune.config.load import dump, load_experiment
from hptune.config.schema import Experiment
from hptune.data import names as data_names
from hptune.models import build
from hptune.policies import schedule
from hptune.training.optimizer import ScheduledOptimizer

FOLDER = Path(__file__).parents[2] / "configs"
CONFIGS = sorted(path.stem for path in FOLDER.glob("*.yaml"))

# What the report's tables say: LR, momentum, weight decay, batch size, epochs, and the epoch of the
# highest LR. None where the report is silent.
REPORT = {
    "cifar10-3layer": (5e-4, 5e-3, 0.95, 0.85, 3e-3, 128, 25, 11),
    "cifar10-resnet56": (0.08, 0.8, 0.95, 0.8, 1e-4, 512, 95, 41),
    "cifar10-wide-resnet": (0.1, 1.0, 0.95, 0.85, 1e-4, 512, 50, 23),
    "cifar10-densenet": (0.1, 4.0, 0.9, 0.85, 1e-6, 512, 50, 22),
    "cifar100-resnet56": (0.09, 0.9, 0.95, 0.85, 1e-4, 512, 100, 45),
    "mnist-lenet": (0.01, 0.1, 0.95, 0.8, 5e-4, 512, 12, 5),
    "imagenet-resnet50": (0.05, 1.0, 0.95, 0.85, 3e-6, 512, 20, None),
    "imagenet-inception-resnet-v2": (0.05, 1.0, 0.95, 0.85, 3e-6, 512, 20, None),
    "super-convergence": (0.1, 3.0, 0.9, None, 1e-4, 1000, 222.2222, 111),
}


def config(name: str) -> Experiment:
    return load_experiment(FOLDER / f"{name}.yaml")


def shape(name: str, side: int | None) -> tuple[int, int, int]:
    if name in ("digits", "mnist-lenet"):
        return (1, 8, 8) if name == "digits" else (1, 28, 28)
    return (3, side or 32, side or 32)


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_named_after_its_file_and_dumps_to_the_same(name: str, tmp_path: Path):
    experiment = config(name)
    assert experiment.name == name
    (tmp_path / "again.yaml").write_text(dump(experiment))
    assert load_experiment(tmp_path / "again.yaml") == experiment


@pytest.mark.parametrize("name", CONFIGS)
def test_its_data_model_and_rules_are_there(name: str):
    experiment = config(name)
    assert experiment.data.name in data_names()
    if experiment.model.name.startswith("timm:"):
        pytest.importorskip("timm", reason="the model is timm's: pip install 'hptune[timm]'")
    model = build(
        experiment.model.name,
        experiment.model.args,
        input_shape=shape(name, experiment.data.resize),
        outputs=10,
    )
    # Refuses a rule that matches no parameter.
    ScheduledOptimizer(model, experiment.optimizer, lr=0.1, momentum=0.9, weight_decay=1e-4)


@pytest.mark.parametrize("name", REPORT)
def test_its_numbers_are_the_reports(name: str):
    lr_min, lr, momentum, momentum_min, weight_decay, batch_size, epochs, peak = REPORT[name]
    experiment = config(name)
    assert experiment.hyper_parameters.model_dump() == {
        "lr": lr,
        "lr_min": lr_min,
        "momentum": momentum,
        "momentum_min": momentum_min,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
    }
    assert experiment.training.epochs == epochs
    if peak is not None:
        series = schedule(
            experiment.policy.name, round(1000 * epochs), lr=lr, lr_min=lr_min,
            args=experiment.policy.args,
        )  # fmt: skip
        assert np.argmax(series.lr) / 1000 == pytest.approx(peak, rel=2e-3)


def test_the_batch_size_divides_into_the_parts_it_is_computed_in():
    for name in REPORT:
        experiment = config(name)
        assert experiment.hyper_parameters.batch_size % experiment.training.accumulate == 0


def test_every_table_of_the_report_has_a_config():
    assert {"digits", "cifar10-resnet20", *REPORT} == set(CONFIGS)


def test_the_3_layer_net_has_the_authors_multipliers():
    """Biases of conv 1, conv 2 and the linear layer LR x2; linear weights decay x250, bias x0."""
    experiment = config("cifar10-3layer")
    model = build("three-layer", {}, input_shape=(3, 32, 32), outputs=10)
    optimizer = ScheduledOptimizer(
        model, experiment.optimizer, lr=1.0, momentum=0.9, weight_decay=1.0
    )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.torch.param_groups
        for parameter in group["params"]
    }
    assert found == {
        "conv1.weight": (1, 1), "conv1.bias": (2, 1), "conv2.weight": (1, 1), "conv2.bias": (2, 1),
        "conv3.weight": (1, 1), "conv3.bias": (1, 1), "linear.weight": (1, 250), "linear.bias": (2, 0),
    }  # fmt: skip


def test_the_bundled_experiment_is_the_one_in_configs():
    bundled = Path(__file__).parents[2] / "hptune" / "config" / "digits.yaml"
    assert bundled.read_bytes() == (FOLDER / "digits.yaml").read_bytes()
    assert load_experiment(None) == config("digits")
