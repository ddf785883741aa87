"""How the run directories of these tests are made and spoilt."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from hptune.analysis.lr_range import read_lr_range
from hptune.results.evidence import Candidate, Comparison, FinalRun, RangeTest
from hptune.results.records import Curve, Decision, Status, Trial, TrialResult
from hptune.results.run_dir import RunDir
from hptune.results.settings import PolicySpec
from hptune.stages import STAGES

QUICK = ["--device", "cpu"]
for setting in ("training.epochs=3", "procedure.final.seeds=2", "procedure.budget=16"):
    QUICK += ["--set", setting]
# A user's names and values may hold anything.
HOSTILE = "<script>window.attacked = 1</script><img src=x onerror='attacked=1'> & \"$x_{1$\" 数 é"
Edit = Callable[[list[dict[str, str]]], None]
ITERATIONS, EPOCHS = 60, 3.0
BASE = Trial(
    stage="lr-range",
    task="task",
    seed=0,
    iterations=ITERATIONS,
    batch_size=32,
    lr=0.02,
    lr_min=0.002,
    momentum=0.95,
    momentum_min=0.85,
    weight_decay=1e-3,
)


def edit_csv(path: Path, edit: Edit) -> None:
    """Change the rows of a table."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0])
    edit(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def result(trial: Trial, end: float | None, losses: np.ndarray | None = None) -> TrialResult:
    """Return a trial that falls to a validation loss, or diverges where that is None."""
    n = trial.iterations
    progress = np.linspace(0, 1, n)
    if losses is None:
        falling = (end or 0.0) + (2.3 - (end or 0.0)) * np.exp(-6 * progress)
        falling[-1] = end or 0.0
        losses = falling if end is not None else 2.3 * 1.1 ** np.arange(n)
    ranges = trial.policy.name == "lr-range"
    low = trial.lr_min or trial.lr
    cycle = np.interp(progress, [0, 0.45, 0.9, 1], [0, 1, 0, -0.1])
    read = (np.arange(n) % 3 == 2) | (np.arange(n) == n - 1)
    val = np.where(read, losses, np.nan)
    metrics = {"accuracy": np.clip(1 - val / 2.5, 0, 1)}
    curve = Curve(
        iteration=np.arange(n),
        epoch=progress * EPOCHS,
        lr=low * (trial.lr / low) ** progress if ranges else low + (trial.lr - low) * cycle,
        momentum=trial.momentum - 0.1 * np.clip(cycle, 0, 1) * (trial.momentum_min is not None),
        weight_decay=np.full(n, trial.weight_decay),
        train_loss=losses * (1 + 0.05 * np.sin(7 * np.arange(n))),
        val_loss=val,
        metrics=metrics,
        seconds=progress * trial.batch_size / 32,
    )
    accuracy = None if end is None else float(metrics["accuracy"][-1])
    return TrialResult(
        trial=trial,
        status=Status.DIVERGED if end is None or ranges else Status.COMPLETE,
        data="digits",
        model="mlp",
        device="cpu",
        started="2026-01-01T00:00:00+00:00",
        epochs=EPOCHS,
        seconds=0.5,
        curve=curve,
        train_loss=end,
        val_loss=end,
        best_val_loss=end,
        test_loss=end if not STAGES[trial.stage].searches else None,
        val_metrics={"accuracy": accuracy},
        best_val_metrics={"accuracy": accuracy},
        test_metrics={"accuracy": accuracy if not STAGES[trial.stage].searches else None},
    )


def compare(
    run_dir: RunDir,
    stage: str,
    parameter: str,
    candidates: Mapping[str, tuple[Mapping[str, Any], Sequence[float | None]]],
    *,
    scores: Mapping[str, float | None] | None = None,
    chosen: str,
    noise: float | None = 0.01,
    goes_with: Mapping[str, Any] | None = None,
    warnings: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
) -> Comparison:
    """Record trials, what they were compared as, and the decision that came of it.

    Args:
        run_dir: Written to.
        stage: That compares.
        parameter: What is compared.
        candidates: By label: what is changed, and what each seed ends with, None if it diverges.
        scores: On which footing they are compared; the mean over the seeds where not given.
        chosen: The label that is decided for.
        noise: Of a difference.
        goes_with: Other parameters that are decided with it.
        warnings: Of the decision.
        after: Ids of trials before them that led to the candidates.
    """
    known = dict(scores or {})
    trials: dict[str, list[Trial]] = {}
    for label, (values, ends) in candidates.items():
        own = {k: v for k, v in values.items() if hasattr(BASE, k)}
        extra = {k: v for k, v in values.items() if k not in own}
        trials[label] = [
            BASE.change(stage=stage, seed=seed, extra=extra, **own) for seed in range(len(ends))
        ]
        for trial, end in zip(trials[label], ends, strict=True):
            run_dir.add(result(trial, end))
        reached = [end for end in ends if end is not None]
        mean = float(np.mean(reached)) if len(reached) == len(ends) else None
        known.setdefault(label, mean)
    sound = {label: score for label, score in known.items() if score is not None}
    best = min(sound, key=lambda label: sound[label])
    difference = {label: score - sound[best] for label, score in sound.items()}
    comparison = Comparison(
        stage=stage,
        parameter=parameter,
        by="loss",
        higher_is_better=False,
        candidates=tuple(
            Candidate(
                label=label,
                values=values,
                trials=tuple(trial.id for trial in trials[label]),
                seeds=tuple(range(len(ends))),
                scores=tuple(ends),
                score=known[label],
                difference=difference.get(label),
                noise=noise if label in difference else None,
                tied=noise is not None and difference.get(label, 1.0) <= noise,
                status="diverged" if None in ends else "complete",
                epochs=EPOCHS * len(ends),
            )
            for label, (values, ends) in candidates.items()
        ),
        best=best,
        chosen=chosen,
        rule="lowest validation loss; within the noise the report's own",
        noise=noise,
        epochs=EPOCHS * sum(map(len, trials.values())),
    )
    values, ids = candidates[chosen][0], (*after, *(t.id for own in trials.values() for t in own))
    common: dict[str, Any] = {"stage": stage, "rule": comparison.rule, "trials": ids}
    main = next((v for k, v in values.items() if k in (parameter, parameter.rpartition(".")[2])))
    decisions = [
        Decision(parameter=parameter, value=main, reason="as compared", warnings=warnings, **common)
    ]
    for name, value in (goes_with or {}).items():
        decisions.append(
            Decision(parameter=name, value=value, reason="falls while LR rises", **common)
        )
    run_dir.decide(decisions)
    run_dir.add_evidence([comparison])
    return comparison


def candidate(score: float | None, **changes: Any) -> Candidate:
    """Return a candidate of one seed, labelled by its score, 0.1 being the best."""
    label = str(score)
    own = Candidate(
        label=label,
        values={"lr": 0.1},
        trials=(f"sweep-{label}",),
        seeds=(0,),
        scores=(score,),
        score=score,
        difference=None if score is None else score - 0.1,
        noise=0.01,
        tied=score is not None and score - 0.1 <= 0.01,
        status="diverged" if score is None else "complete",
        epochs=EPOCHS,
    )
    return replace(own, **changes)


def sweep_of(candidates: Sequence[Candidate], **changes: Any) -> Comparison:
    """Return a comparison of LRs by their loss, of which the first candidate is chosen."""
    own = Comparison(
        stage="sweep",
        parameter="lr",
        by="loss",
        higher_is_better=False,
        candidates=tuple(candidates),
        best=candidates[0].label,
        chosen=candidates[0].label,
        rule="lowest validation loss",
        noise=0.01,
    )
    return replace(own, **changes)


def range_test(run_dir: RunDir) -> str:
    """Record a range test, and one before it that ended too early; return the last one's id."""
    policy = PolicySpec(name="lr-range")
    first, last = (
        BASE.change(lr=lr, lr_min=1e-5, policy=policy, iterations=90) for lr in (0.01, 10.0)
    )
    log_lr = np.linspace(-5, 1, 90)
    losses = (
        0.3 + 2 / (1 + np.exp(3 * (log_lr + 3))) + np.exp(3 * np.clip(log_lr + 1, -9, 2)) - 0.002
    )
    run_dir.add(result(first, 0.5))
    tested = result(last, None, losses)
    run_dir.add(tested)
    reading = read_lr_range([tested.curve])
    found = RangeTest(
        stage="lr-range", trials=(last.id,), earlier=(first.id,), reading=asdict(reading)
    )
    run_dir.add_evidence([found])
    return last.id


def final_run(run_dir: RunDir, ends: Sequence[float], *, baseline: bool = False) -> None:
    """Record runs of full length, one a seed."""
    base = BASE.change(stage="final", weight_decay=1e-4 if baseline else 1e-3)
    results = [result(base.change(seed=k), end) for k, end in enumerate(ends)]
    for one in results:
        run_dir.add(one)
    scores = tuple(one.test_metrics["accuracy"] for one in results)
    known = [score for score in scores if score is not None]
    ids = tuple(one.trial.id for one in results)
    verdict: dict[str, Any] = {
        "verdict": "underfit",
        "agreement": "2 of 2 seeds",
        "reasons": ("the validation loss still falls at the end",),
        "advice": ("train longer",),
    }
    about: dict[str, Any] = {"stage": "final", "trials": ids, "column": "test_accuracy"}
    run_dir.add_evidence([FinalRun(scores=scores, baseline=baseline, **about, **verdict)])
    decision = Decision(
        stage="final", parameter="baseline_" * baseline + "test_accuracy", value=float(np.mean(known)),
        rule=f"mean over {len(known)} seeds, read once at the end",
        reason="underfit: the validation loss still falls at the end",
        warnings=("train longer",), trials=ids,
    )  # fmt: skip
    run_dir.decide([decision])


def whole_procedure(path: Path) -> Path:
    """Write a run of the whole procedure, with a baseline, a sweep and a search after it."""
    with RunDir.open(path) as run_dir:
        run_dir.experiment.write_text("name: digits\nmodel:\n  args: {hidden: [64]}\n")
        run_dir.tuned.write_text("name: digits\nhyper_parameters: {lr: 0.02}\n")
        run_dir.manifest.write_text(
            json.dumps({"hptune": "0.1.0", "python": "3.11", "torch": "2.9", "command": "run"})
        )
        tested = range_test(run_dir)
        lrs = {"0.02": 0.10, "0.01": 0.17, "0.04": 0.14}
        compare(
            run_dir, "lr-range", "lr",
            {k: ({"lr": float(k), "lr_min": float(k) / 10}, [v]) for k, v in lrs.items()},
            chosen="0.02", goes_with={"lr_min": 0.002}, after=(tested,),
        )  # fmt: skip
        momenta = {
            "0.95-0.85": (0.95, 0.85, 0.1),
            "0.9-0.85": (0.9, 0.85, 0.105),
            "0.95 constant": (0.95, None, 0.096),
            "0.99-0.85": (0.99, 0.85, None),
        }
        compare(
            run_dir, "momentum", "momentum",
            {k: ({"momentum": high, "momentum_min": low}, [v]) for k, (high, low, v) in momenta.items()},
            chosen="0.95-0.85", goes_with={"momentum_min": 0.85}, warnings=("0.95 is at the edge",),
        )  # fmt: skip
        decays = {
            "0.001": [0.10, 0.11],
            "0.0001": [0.104, 0.113],
            "0.01": [0.16],
            "0.00001": [0.13],
        }
        compare(
            run_dir, "weight-decay", "weight_decay",
            {k: ({"weight_decay": float(k)}, v) for k, v in decays.items()}, chosen="0.001",
        )  # fmt: skip
        sizes = {"32": 0.10, "16": 0.2, "64": 0.12}
        compare(
            run_dir, "batch-size", "batch_size",
            {k: ({"batch_size": int(k)}, [v]) for k, v in sizes.items()}, chosen="32",
        )  # fmt: skip
        final_run(run_dir, [0.1, 0.13])
        final_run(run_dir, [0.2, 0.22], baseline=True)
        compare(
            run_dir, "sweep", "model.dropout",
            {k: ({"dropout": float(k)}, [v, v + 0.01]) for k, v in {"0": 0.10, "0.3": 0.14}.items()},
            chosen="0",
        )  # fmt: skip
        points = {
            f"LR {lr:g}, M {m:g}": (lr, m, end)
            for lr, m, end in (
                (1e-4, 0.8, 0.6),
                (4e-3, 0.95, 0.22),
                (0.02, 0.9, 0.24),
                (1.0, 0.85, 0.7),
            )
        }
        compare(
            run_dir, "search", "lr",
            {k: ({"lr": lr, "momentum": m}, [v]) for k, (lr, m, v) in points.items()},
            chosen="LR 0.004, M 0.95", noise=None,
        )  # fmt: skip
    return path
