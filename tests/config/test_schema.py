"""The schema against what it stands for: a text for each key, and the records it fills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from hptune.config.load import dump, load_experiment
from hptune.config.schema import Experiment, Training
from hptune.errors import InputError
from hptune.policies import CHOICES
from hptune.results.records import Trial
from hptune.results.settings import OptimizerSpec, TrainingSettings
from hptune.section import Section


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        inner = (field.annotation, *getattr(field.annotation, "__args__", ()))
        for kind in inner:
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from sections(kind)


@pytest.mark.parametrize("section", list(sections(Experiment)), ids=lambda s: s.__name__)
def test_every_key_has_a_text(section: type[BaseModel]):
    lacking = [name for name, field in section.model_fields.items() if not field.description]
    assert not lacking
    assert section.__doc__


def test_training_fills_the_record_with_the_same_defaults():
    assert Training().settings() == TrainingSettings()
    assert set(TrainingSettings.model_fields) == set(Training.model_fields) - {
        "epochs",
        "devices_per_trial",
        "batch_norm",
    }


def test_an_optimizers_name_is_small_and_its_tuples_are_lists():
    spec = OptimizerSpec(name="AdamW", args={"betas": (0.9, 0.99), "more": {"ends": (1, (2, 3))}})
    assert spec.name == "adamw"
    assert spec.args == {"betas": [0.9, 0.99], "more": {"ends": [1, [2, 3]]}}


def test_what_python_gives_and_what_comes_back_from_yaml_are_one(tmp_path: Path):
    given = Experiment(
        optimizer={"name": "AdamW", "args": {"betas": (0.9, 0.98)}},
        policy={"name": "multistep", "args": {"milestones": (0.5, 0.8)}},
        model={"args": {"hidden": (64, 64)}},
        data={"args": {"sizes": (3, 4)}},
    )
    (tmp_path / "e.yaml").write_text(dump(given))
    again = load_experiment(tmp_path / "e.yaml")
    assert again == given
    trial = Trial(
        stage="final",
        task="t",
        seed=0,
        iterations=1,
        batch_size=1,
        lr=1,
        momentum=0,
        weight_decay=0,
    )
    assert trial.change(optimizer=again.optimizer).id == trial.change(optimizer=given.optimizer).id
    assert trial.change(optimizer=given.optimizer).id != trial.id


def test_a_changed_section_is_checked():
    assert TrainingSettings().change(evaluations=3).evaluations == 3
    with pytest.raises(InputError, match="evaluations: 0; must be"):
        TrainingSettings().change(evaluations=0)


@pytest.mark.parametrize("name", CHOICES)
def test_every_policy_is_accepted_with_its_defaults(name: str):
    assert Experiment(policy={"name": name}).policy.name == name


@pytest.mark.parametrize("length", [0.45, 5000, "41 epochs", "5000 iterations"])
def test_lengths_beyond_the_trial_run_are_accepted(length: object):
    policy = {"name": "clr", "args": {"stepsize": length, "warmup": 0.1}}
    assert Experiment(policy=policy).policy.args["stepsize"] == length


def test_an_experiment_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Experiment().seed = 1  # type: ignore[misc]
