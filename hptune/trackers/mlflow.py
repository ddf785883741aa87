"""MLflow: a run for the run directory, with the decisions as tags, and in it a run a trial.

Where it goes is MLflow's own setting: MLFLOW_TRACKING_URI, else its default.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hptune.results.records import Decision, Status, TrialResult
from hptune.results.tables import curve_text
from hptune.trackers.series import parameters, series, started_at, values

_RUN_DIR, _TRIAL = "hptune.run_dir", "hptune.trial"
_LONGEST = 5000  # characters of a tag's value
_BATCH = 1000  # metrics that MLflow takes at once


class MLflow:
    """Keeps trials in an MLflow experiment of the same name.

    Args:
        run_dir: The run directory; a later command on it goes on in the same run.
        experiment: The experiment's name.
    """

    def __init__(self, run_dir: Path, experiment: str) -> None:
        self._run_dir, self._experiment = run_dir.resolve(), experiment
        self._client: Any = None
        self._experiment_id = ""
        self._parent = ""
        self._kept: dict[str, str] = {}  # the run of each trial

    def log_trial(self, result: TrialResult, *, reused: bool) -> None:
        """Create a trial's run, in the place of an earlier one of the same id."""
        self._connect()
        trial_id = result.trial.id
        if trial_id in self._kept:
            if reused:
                return
            self._client.delete_run(self._kept.pop(trial_id))
        begin = int(started_at(result) * 1000)
        run_id = self._client.create_run(
            self._experiment_id,
            start_time=begin,
            run_name=trial_id,
            tags={
                "mlflow.parentRunId": self._parent,
                _TRIAL: trial_id,
                "hptune.status": str(result.status),
                **({"hptune.message": result.message[:_LONGEST]} if result.message else {}),
            },
        ).info.run_id
        self._log(run_id, result, begin)
        done = "FAILED" if result.status is Status.FAILED else "FINISHED"
        self._client.set_terminated(run_id, done, begin + int(result.seconds * 1000))
        self._kept[trial_id] = run_id

    def log_decisions(self, stage: str, decisions: Sequence[Decision]) -> None:
        """Set a stage's decisions as tags of the run directory's run."""
        self._connect()
        for decision in decisions:
            why = "; ".join((f"{decision.rule}: {decision.reason}", *decision.warnings))
            name = f"decision.{decision.parameter}"
            self._client.set_tag(self._parent, name, str(decision.value))
            self._client.set_tag(self._parent, f"{name}.reason", why[:_LONGEST])
            self._client.set_tag(self._parent, f"{name}.stage", str(stage))
        self._client.set_terminated(self._parent, "FINISHED")

    def _connect(self) -> None:
        """Find the experiment, the run directory's run and the trials in it, or begin them."""
        if self._client is not None:
            return
        for name in ("mlflow", "alembic"):  # the first use of a store tells of every table
            logging.getLogger(name).setLevel(logging.WARNING)
        from mlflow import MlflowClient

        client = MlflowClient()
        found = client.get_experiment_by_name(self._experiment)
        self._experiment_id = (
            client.create_experiment(self._experiment) if found is None else found.experiment_id
        )
        known = self._search(client, _RUN_DIR, str(self._run_dir))
        if known:
            self._parent = known[0].info.run_id
        else:
            tags = {_RUN_DIR: str(self._run_dir)}
            run = client.create_run(self._experiment_id, run_name=self._run_dir.name, tags=tags)
            self._parent = run.info.run_id
        trials = self._search(client, "mlflow.parentRunId", self._parent)
        for run in trials:
            if run.info.status == "RUNNING":  # what a killed command left: it is written anew
                client.delete_run(run.info.run_id)
            elif _TRIAL in run.data.tags:
                self._kept[run.data.tags[_TRIAL]] = run.info.run_id
        self._client = client

    def _search(self, client: Any, tag: str, value: str) -> list[Any]:
        quoted = value.replace("'", "\\'")
        found: list[Any] = []
        token = None
        while True:
            page = client.search_runs(
                [self._experiment_id], f"tags.`{tag}` = '{quoted}'", page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def _log(self, run_id: str, result: TrialResult, begin: int) -> None:
        from mlflow.entities import Metric, Param

        metrics = [
            Metric(name, value, begin + int(second * 1000), iteration)
            for name, iterations, column, seconds in series(result.curve)
            for iteration, value, second in zip(
                iterations.tolist(), column.tolist(), seconds.tolist(), strict=True
            )
        ]
        end = begin + int(result.seconds * 1000)
        drawn = {metric.key for metric in metrics}
        last = len(result.curve)
        metrics += [
            Metric(name, value, end, last)
            for name, value in values(result).items()
            if name not in drawn
        ]
        params = [Param(name, str(value)) for name, value in parameters(result).items()]
        self._client.log_batch(run_id, params=params)
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        if len(result.curve):
            self._client.log_text(run_id, curve_text(result.curve), "curve.csv")


def open_tracker(run_dir: Path, experiment: str) -> MLflow:
    """Return a tracker for a run directory."""
    return MLflow(run_dir, experiment)
