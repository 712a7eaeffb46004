"""Runs the cells: in processes of this machine, or as jobs of a cluster through submitit."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from crossmatch.benchmark.cells import Cell
from crossmatch.benchmark.run_cell import CellFailed, Processes
from crossmatch.errors import UserError

CellWork = Callable[..., None]  # called with a cell; on this machine also with device=... and processes=...
CellDone = Callable[[Cell, CellFailed | None], None]  # called with a cell, and with its failure or None


def waves(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Groups of cells that can run together, in order: cells with a teacher come after all others."""
    return [wave for wave in ([c for c in cells if not c.teacher], [c for c in cells if c.teacher]) if wave]


def run_here(
    cells: Sequence[Cell], work: CellWork, done: CellDone, jobs: int, devices: Sequence[str], processes: Processes
) -> None:
    """Run cells in `jobs` lanes; the lanes take the `devices` in turn.

    If this ends early, by Ctrl-C or an error, `processes` are stopped: running trainings keep what they have done. A
    second Ctrl-C does not wait for their current step.
    """
    free = [devices[n % len(devices)] for n in range(jobs)]

    def in_lane(cell: Cell) -> None:
        device = free.pop()
        try:
            work(cell, device=device, processes=processes)
        finally:
            free.append(device)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for wave in waves(cells):
                running: dict[Future[None], Cell] = {pool.submit(in_lane, cell): cell for cell in wave}
                while running:
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        _tell(running.pop(future), future, done)
        except BaseException:
            processes.stop()
            try:
                pool.shutdown(cancel_futures=True)
            except KeyboardInterrupt:
                processes.stop()
            raise


def run_on_cluster(
    cells: Sequence[Cell],
    work: CellWork,
    done: CellDone,
    jobs: int,
    folder: Path,
    options: dict[str, Any],
    cluster: str = "slurm",
) -> None:
    """Run cells as job arrays, at most `jobs` at a time, and wait for them. Jobs are cancelled if this ends early.

    Args:
        folder: for submitit's files and logs, on a disk that all nodes see.
        options: of submitit's ``update_parameters``: timeout_min, gpus_per_node, slurm_partition, ...
        cluster: ``slurm``, or ``local`` to try it with processes of this machine.

    Raises:
        UserError: submitit is not installed, does not know an option, or cannot submit.
    """
    try:
        import submitit
    except ImportError:
        raise UserError("--launcher slurm needs submitit: pip install 'crossmatch[slurm]'.") from None
    for wave in waves(cells):
        try:
            executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
            executor.update_parameters(slurm_array_parallelism=jobs, **options)
            submitted = executor.map_array(work, wave)
        except (NameError, TypeError, ValueError, RuntimeError, submitit.core.utils.FailedJobError) as error:
            raise UserError(
                f"submitit could not start the jobs ({error}): is this a machine of the cluster, and are the options "
                "of --slurm those of submitit's update_parameters?"
            ) from None
        try:
            for cell, job in zip(wave, submitted, strict=True):
                _tell(cell, job, done)
        except BaseException:
            for job in submitted:
                job.cancel(check=False)
            raise


def _tell(cell: Cell, job: Any, done: CellDone) -> None:
    """Wait for a job, and call `done` with how it ended."""
    try:
        job.result()
    except CellFailed as error:
        done(cell, error)
    except Exception as error:  # an error of submitit or of this program: the other cells go on
        done(cell, CellFailed(type(error).__name__, str(error)))
    else:
        done(cell, None)
