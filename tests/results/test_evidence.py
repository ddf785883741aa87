"""What decisions rest on, to JSON and back, whatever numbers there are."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

from hptune.results.evidence import Candidate, Comparison, FinalRun, RangeTest
from hptune.results.run_dir import RunDir

ONE = Candidate(
    label="0.1", values={"lr": 0.1, "model.args.hidden": [64, 8]}, trials=("lr-range-00000001",),
    seeds=(0,), scores=(0.5,), score=0.5, difference=0.0, noise=0.01, tied=True, status="complete",
    epochs=3.0,
)  # fmt: skip
COMPARED = Comparison(
    stage="momentum", parameter="lr", by="loss", higher_is_better=False, candidates=(ONE,),
    best="0.1", chosen="0.1", rule="lowest", noise=0.01, interval=(0.05, 0.2), epochs=3.0,
)  # fmt: skip
TEST = RangeTest(stage="lr-range", trials=("a",), earlier=(), reading={"lr_max": 0.1})
FINAL = FinalRun(stage="final", trials=("b", "c"), column="test_accuracy", scores=(0.9, None))


def test_evidence_comes_back_as_it_was_and_the_newer_takes_the_place_of_the_older(tmp_path: Path):
    newer = replace(COMPARED, chosen=None)
    with RunDir.open(tmp_path) as run_dir:
        run_dir.add_evidence([COMPARED, TEST])
        run_dir.add_evidence([FINAL, newer])
        assert run_dir.evidence() == [newer, TEST, FINAL]
        run_dir.forget(["momentum"])
        assert run_dir.evidence() == [TEST, FINAL]


def test_what_is_no_number_is_null(tmp_path: Path):
    odd = replace(ONE, score=math.nan, scores=(math.inf,), noise=math.nan)
    with RunDir.open(tmp_path) as run_dir:
        run_dir.add_evidence([replace(COMPARED, candidates=(odd,), noise=math.nan)])
        text = (tmp_path / "comparisons.json").read_text()
        json.loads(text, parse_constant=lambda name: 1 / 0)  # NaN is no JSON
        (found,) = run_dir.evidence()
    assert isinstance(found, Comparison) and found.noise is None
    assert found.candidates[0].score is None and found.candidates[0].scores == (None,)
