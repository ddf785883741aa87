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
from hptune.trackers.series import parameters_and_values, points, started_at

_RUN_DIR, _TRIAL, _PARENT = "hptune.run_dir", "hptune.trial", "mlflow.parentRunId"
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
        end = begin + int(result.seconds * 1000)
        tags = {_PARENT: self._parent, _TRIAL: trial_id, "hptune.status": str(result.status)}
        if result.message:
            tags["hptune.message"] = result.message[:_LONGEST]
        run_id = self._client.create_run(
            self._experiment_id, start_time=begin, run_name=trial_id, tags=tags
        ).info.run_id
        self._log(run_id, result, end)
        done = "FAILED" if result.status is Status.FAILED else "FINISHED"
        self._client.set_terminated(run_id, done, end)
        self._kept[trial_id] = run_id

    def log_decisions(self, stage: str, decisions: Sequence[Decision]) -> None:
        """Set a stage's decisions as tags of the run directory's run."""
        self._connect()
        for decision in decisions:
            why = "; ".join((f"{decision.rule}: {decision.reason}", *decision.warnings))
            name = f"decision.{decision.parameter}"
            self._client.set_tag(self._parent, name, str(decision.value))
            self._client.set_tag(self._parent, f"{name}.reason", why[:_LONGEST])
            self._client.set_tag(self._parent, f"{name}.stage", stage)
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
        place = str(self._run_dir)
        known = self._search(_RUN_DIR, place) or [
            client.create_run(
                self._experiment_id, run_name=self._run_dir.name, tags={_RUN_DIR: place}
            )
        ]
        self._parent = known[0].info.run_id
        for run in self._search(_PARENT, self._parent):
            if run.info.status == "RUNNING":  # what a killed command left: it is written anew
                client.delete_run(run.info.run_id)
            elif _TRIAL in run.data.tags:
                self._kept[run.data.tags[_TRIAL]] = run.info.run_id
        self._client = client

    def _search(self, tag: str, value: str) -> list[Any]:
        import mlflow

        quoted = value.replace("'", "\\'")
        found: list[Any] = mlflow.search_runs(
            [self._experiment_id], f"tags.`{tag}` = '{quoted}'", output_format="list"
        )
        return found

    def _log(self, run_id: str, result: TrialResult, end: int) -> None:
        from mlflow.entities import Metric, Param

        parameters, values = parameters_and_values(result)
        metrics = [
            Metric(name, value, int(time * 1000), iteration)
            for name, iteration, value, time in points(result)
        ]
        drawn, last = {metric.key for metric in metrics}, len(result.curve)
        metrics += [Metric(k, value, end, last) for k, value in values.items() if k not in drawn]
        params = [Param(name, str(value)) for name, value in parameters.items()]
        self._client.log_batch(run_id, params=params)
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        if last:
            self._client.log_text(run_id, curve_text(result.curve), "curve.csv")
