"""What a stage prints when it has decided."""

from __future__ import annotations

from hptune.console.terminal import Console
from hptune.results.evidence import Candidate, Comparison
from hptune.results.records import Decision


def decision(parameter: str, value: float, rule: str) -> Decision:
    return Decision(
        stage="momentum", parameter=parameter, value=value, rule=rule, reason=f"reason of {parameter}",
        trials=("a", "b"),
    )  # fmt: skip


def candidate(label: str, trial: str, behind: float) -> Candidate:
    return Candidate(
        label=label, values={"momentum": float(label)}, trials=(trial,), seeds=(0,), scores=(0.5 + behind,),
        score=0.5 + behind, difference=behind, noise=0.1, tied=not behind, status="complete", epochs=1.0,
    )  # fmt: skip


def test_what_follows_is_one_line_and_the_best_candidate_comes_first(capsys):
    compared = Comparison(
        stage="momentum", parameter="momentum", by="loss", higher_is_better=False,
        candidates=(candidate("0.9", "a", 0.2), candidate("0.95", "b", 0.0)),
        best="0.95", chosen="0.95", rule="lowest", noise=0.1, epochs=2.0,
    )  # fmt: skip
    decisions = [decision("momentum", 0.95, "lowest"), decision("momentum_min", 0.85, "with it")]
    Console().stage_finished("momentum", [], decisions, [compared])
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert "-> momentum = 0.95" in lines and "reason of momentum" in lines
    assert "and with it momentum_min = 0.85" in lines and "reason of momentum_min" not in lines
    rows = [line.split()[0] for line in lines if line.startswith("0.9")]
    assert rows == ["0.95", "0.9"]
