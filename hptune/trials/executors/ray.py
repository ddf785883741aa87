"""A Ray cluster: each trial a task of Ray, which finds it a node and tells of nodes and workers that die.

A trial streams its reports, and with them the files that the driver keeps in the run directory. Ray itself
repeats nothing: what is lost runs again from the last snapshot that has come back.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic as _now
from typing import Any

import torch

from hptune.errors import HptuneError, InputError, one_line
from hptune.results.atomic import write_atomic
from hptune.results.records import Trial
from hptune.task import Task
from hptune.training import interrupt
from hptune.training.device import Device
from hptune.training.result import failed
from hptune.training.trial_run import Job
from hptune.trials.executors import Cluster, shipping
from hptune.trials.executors.execution import Execution, usable_cores
from hptune.trials.executors.executor import Listener, Results
from hptune.trials.executors.group import ALONE, in_words
from hptune.trials.executors.on_node import FILES, Saved, serve
from hptune.trials.executors.processes import CannotShareError
from hptune.trials.executors.worker import Ended, Said, Stopped, Told

# Deaths after which a trial is given up: of its worker twice, as in processes; of its node, which is
# taken back without its fault, so often that it must be what kills them.
MOST_DEATHS, DEATH = 20, 10
REACHED = 10.0  # seconds by when a cluster's head answers
Tell = Callable[[str], None]
PATIENCE = 30.0  # seconds without a trial at work, by when it is told what is waited for


@dataclass(frozen=True)
class _Lost:
    """A trial is gone with where it ran: how, and how much of `MOST_DEATHS` that is."""

    how: str
    counts: int


class Ray:
    """Runs jobs as tasks of a Ray cluster.

    Args:
        device: Where the driver trains, and in which precision.
        cluster: Which one, and what a trial takes of it.
        jobs: Trials at once; None leaves it to the cluster.
        tell: Hears what the cluster is.

    Raises:
        InputError: Ray is not installed, the cluster cannot be reached or has no room for a trial.
    """

    def __init__(self, device: Device, cluster: Cluster, jobs: int | None, tell: Tell) -> None:
        on_gpu = device.torch_device.type == "cuda"
        self._gpus = float(on_gpu) if cluster.gpus is None else cluster.gpus
        self._cpus, self._jobs = cluster.cpus, jobs
        self.threads: int | None = cluster.cpus
        self.device = device
        self._task: Task | None = None
        self._shared: Any = None
        try:
            import ray
        except ImportError:
            raise InputError(
                '--executor ray: needs Ray, which is not installed; run pip install "hptune[ray]"'
            ) from None
        self._ray: Any = ray
        self._owned, self._local = not ray.is_initialized(), False
        if self._owned:
            self._connect(cluster.address, tell)
        self._serve: Any = self._ray.remote(_serve).options(
            num_returns="streaming", max_retries=0, num_cpus=self._cpus, num_gpus=self._gpus
        )
        if not self.slots:
            told = f"{self._wanted} for a trial; no node of the cluster has so much"
            if self._local:
                raise InputError(
                    f"--executor ray: {told}; lower --cpus-per-trial or --gpus-per-trial, or give "
                    "the --address of a cluster that has"
                )
            tell(f"  {told} now; trials wait until one has")  # it may grow

    @property
    def slots(self) -> int:
        """Trials that the cluster has room for at once now, were it empty."""
        count = 0
        for node in self._ray.nodes():
            has = node["Resources"] if node["Alive"] else {}
            fits = [int(has.get("CPU", 0) / self._cpus)]
            if self._gpus:
                fits.append(int(has.get("GPU", 0) / self._gpus))
            count += min(fits)
        return min(count, self._jobs or count)

    @property
    def in_words(self) -> str:
        """The executor with what may move the last bits of a curve."""
        return in_words("ray", self.threads, ALONE)

    def run(self, task: Task, jobs: Sequence[Job], listener: Listener) -> Results:
        """Yield the jobs with their results as they end."""
        self._share(task)
        waiting, streams, at_work = deque(jobs), dict[Any, Job](), set[Any]()
        parents, deaths = dict[Path, Any](), Counter[str]()
        name, stopping, quiet_since = f"hptune-{uuid.uuid4().hex}", interrupt.Stopping(), _now()
        flag = None
        try:
            for _ in stopping.holding(lambda: waiting or streams):
                if stopping.begins():
                    waiting.clear()
                    flag = self._raise_flag(name)
                    for stream in streams.keys() - at_work:
                        self._ray.cancel(stream)
                        del streams[stream]
                while waiting and len(streams) < (self._jobs or math.inf):
                    job = waiting.popleft()
                    streams[self._start(job, name, parents)] = job
                if at_work:
                    quiet_since = _now()
                elif _now() - quiet_since > PATIENCE:
                    listener.message(f"  waiting for a node with {self._wanted} free")
                    quiet_since = math.inf  # said once, until something is at work
                ready = self._ray.wait(list(streams), timeout=interrupt.LOOK)[0] if streams else ()
                for stream in ready:
                    job, report = streams[stream], self._next(stream)
                    if isinstance(report, Told):
                        at_work.add(stream)
                        # With this process's own files in the place of the node's.
                        about = [job if isinstance(one, Job) else one for one in report.about]
                        getattr(listener, report.what)(*about)
                    elif isinstance(report, Saved):
                        write_atomic(getattr(job, report.name), report.content)
                    elif isinstance(report, Said):
                        report.repeat()
                    elif isinstance(report, Ended):
                        yield job, report.result
                    elif isinstance(report, Stopped) and report.error is not None:
                        raise report.error
                    elif report is None or isinstance(report, _Lost):
                        del streams[stream]
                        at_work.discard(stream)
                    if isinstance(report, _Lost) and not interrupt.requested():
                        deaths[job.trial.id] += report.counts
                        if deaths[job.trial.id] < MOST_DEATHS:
                            listener.message(f"  {job.trial.id}: {report.how}; it runs again")
                            waiting.appendleft(job)
                        else:
                            told = f"given up, {report.how} again"
                            yield job, failed(task, job.trial, self.device, told)
        finally:
            for stream in streams:  # stopped halfway: what comes of it is not wanted
                self._ray.cancel(stream)
            del flag  # which ends with what refers to it

    def _next(self, stream: Any) -> Any:
        """Return what a trial reports next, None at the end of its stream, or how it was lost."""
        from ray import exceptions

        try:
            return self._ray.get(next(stream))
        except StopIteration:
            return None
        except (exceptions.RayTaskError, exceptions.RuntimeEnvSetupError) as error:
            cause = getattr(error, "cause", None) or error
            raise HptuneError(
                f"--executor ray: a trial cannot begin on its node ({type(cause).__name__}: "
                f"{one_line(cause, 200)}); what it imports or reads must be there: install it or put "
                "it on shared storage"
            ) from error
        except (exceptions.NodeDiedError, exceptions.ObjectLostError):
            return _Lost("its node was lost", 1)
        except exceptions.OutOfMemoryError:
            return _Lost("out of memory on its node", DEATH)
        except exceptions.RayError as error:
            crashed = isinstance(error, exceptions.WorkerCrashedError)
            return _Lost("its worker died" if crashed else one_line(error, 100), DEATH)

    def close(self) -> None:
        """Leave the cluster; end it where it was started here."""
        if self._owned:
            self._ray.shutdown()

    @property
    def _wanted(self) -> str:
        gpus = f" and {self._gpus:g} GPU{'s' if self._gpus > 1 else ''}" if self._gpus else ""
        return f"{self._cpus} CPU{'s' if self._cpus > 1 else ''}{gpus}"

    def _connect(self, address: str | None, tell: Tell) -> None:
        """Join a cluster, or start one of this machine."""
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        options: dict[str, Any] = {}
        if address == "local":
            self._local = True
            cores = max(usable_cores(), self._cpus * (self._jobs or 1))
            options = {"num_cpus": cores, "include_dashboard": False}
            # Ray would report the use of what is started here to its makers.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        elif "://" in address:
            raise InputError(
                f"--address: {address!r}; must be auto or HOST:PORT; run the command on a node of "
                "the cluster, by `ray job submit` for one"
            )
        elif "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ:  # a Ray job has shipped its own
            shipped = shipping.code_of_user()
            options = {"runtime_env": shipped.runtime_env}
            tell(f"  shipped to the nodes: {shipped}")
        # Ray prints twenty lines on stdout for each node that dies, whatever it is told of logging;
        # what matters of it comes as an exception, and is told in one line.
        from ray._private import worker

        vars(worker)["print_to_stdstream"] = lambda data, ignore_prefix=False: None
        main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM)
        try:
            if address not in ("auto", "local"):  # Ray itself tries for two minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), REACHED).close()
            self._ray.init(address, log_to_driver=False, logging_level="ERROR", **options)
        except Exception as error:
            raise InputError(
                f"--address: {address!r}; no Ray cluster answers there ({one_line(error, 200)}); must "
                "be auto or HOST:PORT of one; start one by `ray start --head` or leave --address out; "
                "where a cluster asks for a token, set RAY_AUTH_MODE=token here too"
            ) from error
        finally:
            if main:
                signal.signal(signal.SIGTERM, before)  # which Ray has taken

    def _share(self, task: Task) -> None:
        """Put a task with its data into the object store, once."""
        if task is self._task:
            return
        try:
            self._task, self._shared = task, self._ray.put(task)
        except Exception as error:
            raise CannotShareError(
                f"--executor ray: model, data or loss cannot be sent to a node "
                f"({one_line(error, 200)}); use --executor inline"
            ) from error

    def _start(self, job: Job, stop: str, parents: dict[Path, Any]) -> Any:
        """Let Ray run a job where there is room."""
        if (parent := job.parent) is not None and parent not in parents and parent.exists():
            parents[parent] = self._ray.put(parent.read_bytes())  # for all of its branches
        contents = {
            name: path.read_bytes()
            for name in FILES
            if name != "parent" and (path := getattr(job, name)) is not None and path.exists()
        }
        places = [str(Path.cwd()), *filter(None, sys.path)]
        return self._serve.remote(
            [self._shared], job, contents, parents.get(parent) if parent else None,
            device=self._on_node, threads=self._cpus, places=places, stop=stop,
        )  # fmt: skip

    @property
    def _on_node(self) -> Device:
        """The device as a task of Ray finds it: it sees the GPUs that it was given, from 0."""
        if self._gpus:
            return replace(self.device, torch_device=torch.device("cuda", 0))
        if self.device.torch_device.type == "cuda":
            return replace(self.device, torch_device=torch.device("cpu"))
        return self.device

    def _raise_flag(self, name: str) -> Any:
        """Show all trials at work that they are to save themselves and end."""

        class Flag:
            pass

        return self._ray.remote(Flag).options(name=name, num_cpus=0, namespace=name).remote()


def make(execution: Execution, task: Task, trials: Sequence[Trial]) -> Ray:
    """Return the one that is connected to the cluster, the same from stage to stage."""
    return _connected(execution)


def at_once(execution: Execution) -> int:
    """Return how many trials the cluster has room for."""
    return _connected(execution).slots


def _connected(execution: Execution) -> Ray:
    kept: Ray | None = execution.kept.get("ray")
    if kept is None:
        kept = Ray(execution.device, execution.cluster, execution.jobs, execution.tell)
        execution.kept["ray"] = kept
    kept.device = execution.device  # whose mode may have been chosen since
    return kept


def _serve(
    shared: list[Any], job: Job, contents: Any, parent: Any, *, stop: str, **how: Any
) -> Any:
    """Serve one job on a node. The body of a task of Ray."""
    import ray

    if parent is not None:
        contents["parent"] = parent

    def stops() -> bool:
        try:
            ray.get_actor(stop, namespace=stop)
        except ValueError:
            return False
        return True

    key = shared[0].hex()
    yield from serve(key, lambda: ray.get(shared[0]), job, contents, stops=stops, **how)
