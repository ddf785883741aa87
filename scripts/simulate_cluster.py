"""The time of a whole procedure on clusters that are not at hand: measured costs, simulated nodes.

Usage: python scripts/simulate_cluster.py [--measure] [--workers 1 8 64 512] [--budgets 3 16]
           [--final-minutes 60] [--data-mb 180] [--set KEY=VALUE ...]

The procedure is the real one, on digits: each round of trials that it waits for is trained here, one
after another, and then laid out on so many workers by what each trial would take: its share of a final
run of --final-minutes, and what --measure found a trial to cost on a Ray cluster of three nodes on this
machine (kept in scripts/cluster_costs.json). Only the network cannot be measured here: data reach each
node by --mb-per-second, from nodes that have them already.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hptune.config.build import build_task
from hptune.config.load import dump, load_experiment
from hptune.config.schema import Experiment
from hptune.procedure.session.context import Context
from hptune.procedure.session.problem import Problem
from hptune.procedure.session.session import Session
from hptune.results.records import Trial
from hptune.results.run_dir import RunDir
from hptune.stages import SWEEP
from hptune.task import Task
from hptune.training.device import resolve_device
from hptune.training.loop import run_trial
from hptune.training.trial_run import Job
from hptune.trials.executors import Cluster
from hptune.trials.executors.execution import Execution
from hptune.trials.executors.executor import Executor, Listener, Results
from hptune.trials.executors.inline import Inline
from hptune.trials.progress import Silent

KEPT = Path(__file__).with_name("cluster_costs.json")
MEASURED = 20  # trials
DATA_MB = 100  # that are moved to measure it


@dataclass(frozen=True)
class Costs:
    """What a trial costs beyond its training, seconds.

    Attributes:
        start: Until a worker that is started for it begins its first trial: a process and imports.
        trial: Of each trial whose worker is there: to schedule it, to make it, to report.
        driver: Of the driver for each trial, which comes before or after that of any other one.
        per_mb: To put data into the object store and to take them out.
    """

    start: float = 0.0
    trial: float = 0.0
    driver: float = 0.0
    per_mb: float = 0.0


@dataclass
class Simulated:
    """Trains the rounds of a procedure here, and keeps what each of their trials computed."""

    inline: Inline
    threads: int | None = 1
    in_words: str = "simulated"
    rounds: list[list[float]] = field(default_factory=list)  # examples that each trial trains on
    seconds: float = 0.0  # of training here
    _done: dict[str, int] = field(default_factory=dict)

    def run(self, task: Task, jobs: Sequence[Job], listener: Listener) -> Results:
        """Yield the jobs with their results."""
        began, this_round = time.perf_counter(), list[float]()
        self.rounds.append(this_round)
        for job, result in self.inline.run(task, jobs, listener):
            # A larger batch takes longer in proportion.
            done = len(result.curve) * job.trial.batch_size
            this_round.append(max(done - self._done.get(job.trial.digest, 0), 0))
            self._done[job.trial.digest] = done
            self.seconds += time.perf_counter() - began
            yield job, result
            began = time.perf_counter()

    def close(self) -> None:
        """Nothing was started."""


class SimulatedExecution(Execution):
    """Gives every sweep the same executor."""

    executor: Simulated

    def choose(self, task: Task, trials: Sequence[Trial]) -> Executor:
        """Return it."""
        return self.executor


def rounds_of(experiment: Experiment, workers: int) -> tuple[list[list[float]], float, int]:
    """Run a procedure with room for so many candidates.

    Returns:
        The examples that each trial of each round trains on; the seconds that all decisions take;
        and the examples of a final run.
    """
    device = resolve_device("cpu", "fp32")
    with tempfile.TemporaryDirectory() as folder, RunDir.open(Path(folder)) as run_dir:
        execution = SimulatedExecution(device, run_dir, executor="inline", candidates=workers)
        execution.executor = Simulated(Inline(device, 1))
        problem = Problem(experiment, run_dir, device, execution)
        run_dir.begin(dump(experiment), execution.facts)
        session = Session(Context(problem, Silent(), {}), restart=False)
        began = time.perf_counter()
        outcome = session.run()
        deciding = time.perf_counter() - began - execution.executor.seconds
        final = outcome.results[-1].trial
        return execution.executor.rounds, deciding, final.iterations * final.batch_size


def makespan(
    rounds: Sequence[Sequence[float]], workers: float, costs: Costs, *, move: float
) -> float:
    """Return the seconds that rounds of trials take one after another.

    Args:
        rounds: Seconds of training of each trial.
        workers: That take a trial at a time each.
        costs: Beside the training.
        move: Seconds until a node that is new has the data.
    """
    now, started = 0.0, 0
    for trials in rounds:
        free: list[float] = []  # when each worker that is there can take the next trial
        end = now
        # The longest first, as far as the driver can hand them out.
        for n, seconds in enumerate(sorted(trials, reverse=True)):
            handed = now + n * costs.driver
            if len(free) < workers:
                new = len(free) >= started
                started += new
                begins = handed + (costs.start + move if new else 0.0)
            else:
                begins = max(heapq.heappop(free), handed)
            heapq.heappush(free, begins + costs.trial + seconds)
            end = max(end, begins + costs.trial + seconds)
        now = end + costs.driver
    return now


def simulate(args: argparse.Namespace, costs: Costs) -> list[dict[str, Any]]:
    """Return a row for each budget and number of workers."""
    rows = []
    for budget in args.budgets:
        for workers in args.workers:
            keys = [f"procedure.budget={budget}", *args.set]
            rounds, deciding, final = rounds_of(load_experiment(None, keys), workers)
            per_example = 60 * args.final_minutes / final
            work = [[n * per_example for n in trials] for trials in rounds if trials]
            through = args.data_mb / args.mb_per_second + args.data_mb * costs.per_mb
            move = through * (1 + math.log2(workers))  # from node to node
            takes = makespan(work, workers, costs, move=move)
            computing = sum(map(sum, work))
            in_series = makespan(work, math.inf, Costs(), move=0.0)
            beside = takes - makespan(work, workers, Costs(), move=0.0)
            shares = {
                "trials that follow each other": in_series if workers > 1 else 0.0,
                "workers": max(takes - beside - in_series, 0.0),
                "one worker": computing if workers == 1 else 0.0,
                "start, scheduling and data": beside,
                "deciding": deciding,
            }
            rows.append(
                {
                    "budget": budget,
                    "workers": workers,
                    "trials": len([n for trials in work for n in trials]),
                    "rounds": len(work),
                    "hours": (takes + deciding) / 3600,
                    "busy": computing / (takes + deciding) / workers,
                    "limits": max(shares, key=shares.__getitem__),
                    "costs": (beside + deciding) / (takes + deciding),
                }
            )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table of Markdown."""
    lines = [
        "| budget | workers | trials | rounds | hours | speed-up | workers busy | costs | what limits it |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        one = next(r["hours"] for r in rows if r["budget"] == row["budget"])
        lines.append(
            f"| {row['budget']:g} | {row['workers']} | {row['trials']} | {row['rounds']} "
            f"| {row['hours']:.2f} | {one / row['hours']:.1f} | {row['busy']:.0%} "
            f"| {row['costs']:.1%} | {row['limits']} |"
        )
    return "\n".join(lines)


def measure() -> Costs:
    """Measure on a Ray cluster of three nodes on this machine."""
    import numpy as np
    import ray
    from ray.cluster_utils import Cluster as LocalCluster

    from hptune.trials.executors.ray import Ray

    device, task = resolve_device("cpu", "fp32"), build_task(load_experiment(None))
    nodes = LocalCluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    executor = Ray(device, Cluster(nodes.address), None, lambda text: None)
    base = Trial(
        stage=SWEEP, task="", seed=0, iterations=20, batch_size=64, lr=0.01, momentum=0.9, weight_decay=0.0
    )  # fmt: skip
    jobs = [Job(base.change(seed=seed)) for seed in range(MEASURED + 3)]
    began, starts = time.perf_counter(), list[float]()

    class Listens:
        def started(self, job: Job) -> None:
            starts.append(time.perf_counter() - began)

        def progressed(self, job: Job, trial_progress: Any) -> None: ...

        def message(self, text: str) -> None: ...

    list(executor.run(task, jobs[:3], Listens()))
    beyond, alone = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder, RunDir.open(Path(folder)) as run_dir:
        computed = time.process_time()
        for job in jobs[3:]:
            at = time.perf_counter()
            ((_, result),) = executor.run(task, [job], Listens())
            beyond.append(time.perf_counter() - at)
        driver = (time.process_time() - computed) / MEASURED
        at = time.perf_counter()
        for seed in range(MEASURED):
            run_dir.add(replace(result, trial=base.change(seed=seed)))
        driver += (time.perf_counter() - at) / MEASURED
    for job in jobs[3:]:
        at = time.perf_counter()
        run_trial(task, job, device)
        alone.append(time.perf_counter() - at)
    size = ray.remote(lambda array: len(array))
    at = time.perf_counter()
    data = ray.put(np.zeros(DATA_MB * 2**20, dtype=np.uint8))
    ray.get([size.remote(data) for _ in range(3)])
    moved = (time.perf_counter() - at) / 3
    executor.close()
    nodes.shutdown()
    return Costs(
        start=statistics.median(starts),
        trial=max(statistics.median(beyond) - statistics.median(alone), 0.0),
        driver=driver,
        per_mb=moved / DATA_MB,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure where that is asked for, simulate, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--budgets", type=float, nargs="+", default=[3.0, 16.0])
    parser.add_argument("--final-minutes", type=float, default=60.0)
    parser.add_argument("--data-mb", type=float, default=180.0)
    parser.add_argument("--mb-per-second", type=float, default=100.0)
    parser.add_argument("--set", action="extend", nargs="+", default=["training.epochs=12"])
    args = parser.parse_args(argv)
    if args.measure:
        KEPT.write_text(json.dumps(asdict(measure()), indent=2) + "\n")
    costs = Costs(**json.loads(KEPT.read_text()))
    print(
        f"start {costs.start:.1f} s, a trial {1000 * costs.trial:.0f} ms, of which the driver "
        f"{1000 * costs.driver:.0f} ms, data {1000 * costs.per_mb:.1f} ms/MB in memory and "
        f"{1000 / args.mb_per_second:.0f} ms/MB between nodes; a final run of "
        f"{args.final_minutes:g} minutes, data of {args.data_mb:g} MB"
    )
    print(table(simulate(args, costs)))


if __name__ == "__main__":
    main()
