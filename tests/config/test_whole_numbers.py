"""Ids reach a model that looks them up as whole numbers, and any other model as floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hptune.config.build import build_task
from hptune.config.load import load_experiment
from hptune.training.check_batch import first_batch

MODELS = """
from torch import nn

class Words(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.embedding, self.linear = nn.Embedding(100, 8), nn.Linear(8, outputs)

    def forward(self, ids):
        return self.linear(self.embedding(ids).mean(1))

def linear(input_shape, outputs):
    return nn.Linear(input_shape[0], outputs)
"""


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_words.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    ids = np.random.default_rng(0).integers(0, 100, (60, 7))
    np.savez(tmp_path / "x.npz", x=ids, y=np.arange(60) % 3)

    def build(model: str, normalize: str):
        data = [f"data.path={tmp_path / 'x.npz'}", "data.name=npz", f"data.normalize={normalize}"]
        return build_task(load_experiment(None, [*data, f"model.name={model}"]))

    return build


@pytest.mark.parametrize(
    ("model", "normalize", "dtype"),
    [
        ("own_words:Words", "none", torch.int64),
        ("own_words:Words", "standardize", torch.int64),
        ("own_words:linear", "none", torch.float32),
        ("own_words:linear", "standardize", torch.float32),
        ("mlp", "none", torch.float32),
    ],
)
def test_inputs_have_the_type_that_the_model_takes(build, model: str, normalize: str, dtype):
    task = build(model, normalize)
    inputs, _ = first_batch(task.train, 8)
    assert inputs.dtype is dtype and task.make_model()(inputs).shape == (8, 3)
    raw = normalize == "none" or dtype is torch.int64
    assert (inputs.float().max() > 50) == raw
    said = " ".join(task.notes)
    assert ("the model takes whole numbers alone" in said) == (
        "Words" in model and normalize != "none"
    )
    assert ("input columns are large" in said) == (normalize == "none" and dtype is torch.float32)
