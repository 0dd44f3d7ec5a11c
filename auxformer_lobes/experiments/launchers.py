"""Where the runs of a study are computed: on this machine, or on a cluster."""

import os
import shlex
import signal
import subprocess
from contextlib import suppress

import torch

from auxformer_lobes.utils.cpus import cpus
from auxformer_lobes.utils.errors import UserError

GRACE = 20  # seconds in which a run that is stopped may end by itself
# submitit's own names; all others are options of Slurm.
SHARED = (
    *("timeout_min", "mem_gb", "nodes", "tasks_per_node", "cpus_per_task"),
    *("gpus_per_node", "name", "stderr_to_stdout"),
)


class LocalLauncher:
    """Runs commands on this machine, and shares out its cores and GPUs.

    Arguments
    ---------
    jobs : int
        How many at once.

    Example
    -------
    >>> LocalLauncher(jobs=1).environment(slot=0)["OMP_NUM_THREADS"].isdigit()
    True
    """

    def __init__(self, jobs):
        self.jobs = jobs

    def environment(self, slot):
        """The environment of a job.

        Arguments
        ---------
        slot : int
            Which of the jobs that run at once, from 0.

        Returns
        -------
        dict
            With the job's share of threads, unless OMP_NUM_THREADS is set, and
            of GPUs.
        """
        environment = {
            "OMP_NUM_THREADS": str(max(1, cpus() // self.jobs)),
            **os.environ,
        }
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if gpus == [""]:
            gpus = [str(i) for i in range(torch.cuda.device_count())]
        if gpus:
            own = gpus[slot :: self.jobs] or [gpus[slot % len(gpus)]]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(own)
        return environment

    def start(self, command, log, slot):
        """Starts a command.

        Arguments
        ---------
        command : list of str
            The command.
        log : Path
            Its output is added to this file.
        slot : int
            See `environment`.

        Returns
        -------
        LocalJob
        """
        with open(log, "a") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self.environment(slot),
                # So that it can be stopped with its own processes.
                start_new_session=True,
            )
        return LocalJob(process)


class LocalJob:
    """A command that runs on this machine.

    Arguments
    ---------
    process : subprocess.Popen
        The process, which leads a group of its own.
    """

    def __init__(self, process):
        self.process = process

    def poll(self):
        """The exit code.

        Returns
        -------
        int or None
            None while it runs.
        """
        return self.process.poll()

    def stop(self):
        """Stops it with its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class SlurmLauncher:
    """Submits commands to Slurm, through submitit.

    Arguments
    ---------
    folder : Path
        For submitit's own files.
    jobs : int
        How many at once.
    settings : dict
        Options of Slurm, such as `partition`, or of submitit, such as
        `timeout_min`; `cluster: local` runs them on this machine.

    Raises
    ------
    UserError
        If submitit is not installed, there is no Slurm, or an option is
        unknown.
    """

    def __init__(self, folder, jobs, settings):
        try:
            import submitit
        except ImportError:
            raise UserError(
                "--slurm needs submitit: pip install 'auxformer-lobes[slurm]'"
            )
        self.jobs = jobs
        settings = dict(settings)
        cluster = settings.pop("cluster", "slurm")
        try:
            self.executor = submitit.AutoExecutor(folder, cluster=cluster)
            self.executor.update_parameters(
                **{
                    key if key in SHARED else f"{cluster}_{key}": value
                    for key, value in settings.items()
                }
            )
        except (NameError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"--slurm: {error}")

    def start(self, command, log, slot):
        """Submits a command, see `LocalLauncher.start`."""
        # By a shell: pickled, a function of ours would import torch first.
        line = f"{shlex.join(command)} >> {shlex.quote(str(log))} 2>&1"
        return SlurmJob(self.executor.submit(subprocess.call, line, shell=True))


class SlurmJob:
    """A command that was submitted.

    Arguments
    ---------
    job : submitit.Job
        The job.
    """

    def __init__(self, job):
        self.job = job

    def poll(self):
        """The exit code, see `LocalJob.poll`."""
        if not self.job.done():
            return None
        # A job that was cancelled, or ran out of time or memory, has none.
        return 1 if self.job.exception() else self.job.result()

    def stop(self):
        """Leaves it to the cluster; started again, a study waits for what runs."""
