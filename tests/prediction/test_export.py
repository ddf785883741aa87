"""Exported models give in a fresh process what the model gives, for batches of any size."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hptune
from hptune.cli import run
from tests.prediction.conftest import Trained

HAS_ONNX = all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
CODE = """
import json, sys
from pathlib import Path
import numpy as np
import torch
import hptune
here, x = Path(sys.argv[1]), np.load(Path(sys.argv[1]) / "x.npy")
extra = {"signature.json": ""}
script = torch.jit.load(here / "model.ts", _extra_files=extra)
model = hptune.load_run(here / "model.pt").model()
found = {"ts": script(torch.from_numpy(x)), "pt": model(torch.from_numpy(x))}
assert json.loads(extra["signature.json"])["classes"] == [str(k) for k in range(10)]
assert torch.load(here / "model.pt", weights_only=True)["signature"]["kind"] == "classification"
if (here / "model.onnx").exists():
    import onnxruntime
    session = onnxruntime.InferenceSession(here / "model.onnx")
    found["onnx"] = session.run(None, {"input": x})[0]
    known = session.get_modelmeta().custom_metadata_map["signature"]
    assert json.loads(known)["scale"]["factor"]
np.savez(here / "found.npz", **{k: np.asarray(torch.as_tensor(v).detach()) for k, v in found.items()})
"""


def test_every_format_gives_what_the_model_gives(
    trained: dict[str, Trained], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = str(trained["digits"].run)
    formats = {"torch": ".pt", "torchscript": ".ts"}
    if HAS_ONNX:
        formats["onnx"] = ".onnx"
    for name, ending in formats.items():
        path = str(tmp_path / f"model{ending}")
        assert run(["export", source, "--format", name, "-o", path]) == 0
        assert capsys.readouterr().out.strip() == path
    x = np.random.default_rng(0).normal(size=(7, 1, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    words = [sys.executable, "-c", CODE, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = hptune.load_run(source).model()(torch.from_numpy(x)).numpy()
    found = np.load(tmp_path / "found.npz")
    assert len(found.files) == len(formats)
    for name in found.files:
        assert np.allclose(found[name], expected, atol=1e-5), name


def test_an_ensemble_is_one_model(trained: dict[str, Trained], tmp_path: Path):
    both = hptune.load_run(trained["digits"].run, ensemble=True, device="cpu")
    found = both.predict().probabilities
    script = load_script(both.export(tmp_path / "both.ts"))
    images = torch.cat([x for x, _ in both._own_test().source.batches(100)])
    assert np.allclose(script(images).softmax(1).detach(), found, atol=1e-5)
    with pytest.raises(hptune.InputError, match="holds one model's weights"):
        both.export(tmp_path / "both.pt")


def test_inputs_by_name_keep_their_names(tmp_path: Path):
    torch.manual_seed(0)
    ids, mask = torch.randint(0, 9, (60, 5)), torch.ones(60, 5)
    task = hptune.Task(Bag, train={"ids": ids, "mask": mask, "labels": (ids[:, 0] > 4).long()})
    trained = hptune.train(task, lr=0.1, epochs=1, batch_size=16, jobs=1, device="cpu")
    with torch.no_grad():
        expected = trained.model()(ids=ids[:7], mask=mask[:7])["logits"]
    script = load_script(trained.export(tmp_path / "bag.ts"))
    assert torch.allclose(script(ids[:7], mask[:7]), expected, atol=1e-5)
    if not HAS_ONNX:
        pytest.skip('needs onnx: pip install "hptune[onnx]"')
    import onnxruntime

    session = onnxruntime.InferenceSession(trained.export(tmp_path / "bag.onnx"))
    found = session.run(None, {"ids": ids[:7].numpy(), "mask": mask[:7].numpy()})[0]
    assert np.allclose(found, expected, atol=1e-5)


def test_a_format_that_is_none_or_is_not_installed_is_one_line(
    trained: dict[str, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = hptune.load_run(trained["digits"].run)
    with pytest.raises(hptune.InputError, match=r"--format: '\.h5'.*torch, torchscript, onnx"):
        model.export(tmp_path / "model.h5")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(hptune.InputError, match=r'pip install "hptune\[onnx\]"'):
        model.export(tmp_path / "model.onnx")


class Bag(nn.Module):
    """A bag of words with its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(9, 4), nn.Linear(4, 2)

    def forward(self, ids, mask, labels=None):
        logits = self.out((self.embedding(ids) * mask[..., None]).mean(1))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def load_script(path: Path) -> Any:
    """Load TorchScript, which newer versions of torch deprecate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(path)
