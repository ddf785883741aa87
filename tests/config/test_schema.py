"""The schema against what it stands for: a text for each key, and the records it fills."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields

import pytest
from pydantic import BaseModel, ValidationError

from hptune.config.schema import Experiment, Optimizer, Policy, Section, Training
from hptune.data import DataSpec
from hptune.policies import POLICIES
from hptune.results.records import TrainingSettings


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


def test_the_data_section_has_the_keys_and_defaults_of_the_spec():
    assert Experiment().data.model_dump() == asdict(DataSpec())


def test_training_fills_the_record_with_the_same_defaults():
    assert Training().settings() == TrainingSettings()
    assert {f.name for f in fields(TrainingSettings)} == set(Training.model_fields) - {"epochs"}


def test_an_optimizers_lists_become_tuples_and_its_name_small():
    spec = Optimizer(name="AdamW", args={"betas": [0.9, 0.99]}).spec()
    assert (spec.name, spec.args) == ("adamw", {"betas": (0.9, 0.99)})


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_is_accepted_with_its_defaults(name: str):
    assert Policy(name=name).spec().name == name


@pytest.mark.parametrize("length", [0.45, 5000, "41 epochs", "5000 iterations"])
def test_lengths_beyond_the_trial_run_are_accepted(length: object):
    assert Policy(name="clr", args={"stepsize": length, "warmup": 0.1}).args["stepsize"] == length


def test_an_experiment_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Experiment().seed = 1  # type: ignore[misc]
