"""What the author's papers say of his own curves, asserted of how they are read.

The expected readings come from the papers: Smith 2018 Figures 2, 9, 11, 12; Smith and
Topin 2017 Figure 1 and Table 1.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hptune.analysis.diagnose import diagnose

TRAINING = {
    # CLR 0.1-3 reaches 92.4 %: flat at the end, the aim.
    "clr3SS5kFig1a": {"balanced"},
    "clr3SS5kMom85Fig11": {"balanced"},
    "clr3SS5kMom8Fig11": {"balanced"},
    # Momentum 0.95 with so large an LR is slower: worse at the end, if still falling.
    "clr3SS5kMom95Fig11": {"balanced", "underfit"},
    # A fifth of the data: both policies overfit.
    "clr3SS5kTr10kTab1": {"overfit"},
    "lr35Tr10kTab1": {"overfit"},
    # WD 1e-3 with so large an LR never learns; 1e-5 and 1e-6 regularise too little.
    "clr3SS5kWD-3Fig11": {"not-learning"},
    "clr3SS5kWD-5Fig11": {"overfit"},
    "clr3SS5kWD-6Fig11": {"overfit"},
    "lr35Fig1a": {"balanced"},
    "gResnet56_ResTBS512LR.0800.8M.95WD1e-4Epoch95BS128b_1": {"balanced"},
    "genDensenet40_Den1CycLR.1004M0.9WD1e-6Epoch50BS128c_1": {"balanced"},
    "wide32cifar_Wide1CycLR.1001CM0.95.85WD1e-4Epoch50BS128a_1": {"balanced"},
    # WD 1e-5 is too little for the wide ResNet.
    "wide32cifar_Wide1CycLR.1001M0.95WD1e-5Epoch100BS128j_1": {"overfit"},
}
# Usable LR: bounds of what the figures allow.
RANGE = {
    "range3Iter5kFig2b": (1.0, 3.0),
    "range3Iter20kFig2b": (1.0, 3.0),
    "range2SS80kRes56LR": (1.0, 2.1),
    "lrRange3SS520kClip10Fig12a": (0.15, 1.0),
}


def read(shared_data: Path, name: str) -> dict:
    return diagnose(shared_data / "smith_curves" / f"{name}.csv")


@pytest.mark.parametrize("name", sorted(TRAINING))
def test_training_runs(name: str, shared_data: Path):
    document = read(shared_data, name)
    assert document["kind"] == "training"
    assert document["verdict"] in TRAINING[name]
    assert document["reasons"]


@pytest.mark.parametrize("name", sorted(RANGE))
def test_range_tests(name: str, shared_data: Path):
    document = read(shared_data, name)
    low, high = RANGE[name]
    assert document["kind"] == "lr-range"
    assert low <= document["lr_max"] <= high
    assert document["lr_min"] == pytest.approx(document["lr_max"] / 10)


def test_only_the_clipped_net_diverges_near_an_lr_of_1(shared_data: Path):
    at = {name: read(shared_data, name)["diverged_at_iteration"] for name in RANGE}
    assert [name for name, value in at.items() if value is not None] == [
        "lrRange3SS520kClip10Fig12a"
    ]
    # LR rises to 3 in 20,000 iterations, so 4,000 to 9,000 are 0.6 to 1.35.
    assert 4_000 <= at["lrRange3SS520kClip10Fig12a"] <= 9_000


def test_every_curve_is_covered(shared_data: Path):
    names = {path.stem for path in (shared_data / "smith_curves").glob("*.csv")}
    assert names == set(TRAINING) | set(RANGE)
