"""Metrics by name against their formulas."""

from __future__ import annotations

import pytest
import torch

from hptune.config.metrics import find_metrics
from hptune.errors import InputError
from hptune.task import MetricSpec

LOGITS = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [0.0, 2.0]])
CLASSES = torch.tensor([0, 1, 1, 1])


def value(spec: MetricSpec, outputs: torch.Tensor, targets: torch.Tensor) -> float:
    metric = spec.make()
    for half in (slice(0, 2), slice(2, 4)):
        metric.update(outputs[half], targets[half])
    return float(metric.compute())


def test_accuracy_is_a_fraction_and_needs_no_torchmetrics():
    assert (
        value(
            find_metrics(["accuracy"], kind="classification", outputs=2)["accuracy"],
            LOGITS,
            CLASSES,
        )
        == 0.75
    )


@pytest.mark.parametrize("name", ["cohen_kappa", "CohenKappa", "cohen-kappa"])
def test_a_metric_of_torchmetrics_by_any_spelling(name: str):
    spec = find_metrics([name], kind="classification", outputs=2)[name]
    # Observed agreement 3/4, by chance (2 * 1 + 2 * 3) / 16 = 1/2.
    assert value(spec, LOGITS, CLASSES) == pytest.approx(0.5)


def test_a_metric_starts_afresh_each_time():
    spec = find_metrics(["mean_absolute_error"], kind="regression", outputs=1)[
        "mean_absolute_error"
    ]
    outputs, targets = torch.arange(4.0)[:, None], torch.zeros(4, 1)
    assert [value(spec, outputs, targets) for _ in range(2)] == [1.5, 1.5]


def test_half_precision_is_read_as_float32():
    spec = find_metrics(["r2_score"], kind="regression", outputs=1)["r2_score"]
    targets = torch.arange(4.0)[:, None]
    assert value(spec, targets.bfloat16(), targets) == 1.0


@pytest.mark.gpu
def test_a_metric_follows_the_outputs_to_their_device():
    spec = find_metrics(["cohen_kappa"], kind="classification", outputs=2)["cohen_kappa"]
    assert value(spec, LOGITS.cuda(), CLASSES.cuda()) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "kind", "higher"),
    [
        ("accuracy", "classification", True),
        ("f1_score", "classification", True),
        ("r2_score", "regression", True),
        ("mean_absolute_error", "regression", False),
        ("mean_squared_error", "regression", False),
    ],
)
def test_which_way_is_better(name: str, kind: str, higher: bool):
    assert find_metrics([name], kind=kind, outputs=3)[name].higher_is_better is higher


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("acuracy", "classification", "did you mean 'accuracy'"),
        ("zzz", "classification", "must be accuracy or a class of torchmetrics"),
        ("accuracy", "regression", "needs classes"),
        ("confusion_matrix", "classification", r"it gives a Tensor of shape \(3, 3\)"),
        ("binary_f1_score", "classification", "must give one number for a classification of 3 outputs"),
        ("metric_collection", "classification", "must be accuracy or a class of torchmetrics"),
    ],
)  # fmt: skip
def test_a_metric_that_does_not_fit_is_told(name: str, kind: str, expected: str):
    with pytest.raises(InputError, match=expected) as caught:
        find_metrics([name], kind=kind, outputs=3)
    assert "\n" not in str(caught.value)
