"""Who this process is among the ranks, and how those that `start` has started end."""

import re
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from crossmatch.errors import UserError
from crossmatch.recipes.load import load_recipe
from crossmatch.training import ranks
from crossmatch.training.fit import fit
from crossmatch.training.ranks import SILENT, Place, find_place, start
from tiny import write_dataset
from train_tiny import TINY, Quiet

TORCHRUN = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
SRUN = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}


class TestFindPlace:
    def test_nobody_started_ranks(self):
        assert find_place(None, {}) == find_place(1, {}) == Place()
        assert find_place(2, {}) == Place(count=2, started=False)

    @pytest.mark.parametrize("devices", [None, 2])
    def test_two_machines_of_two(self, devices):
        assert find_place(devices, TORCHRUN) == Place(rank=3, local_rank=1, count=4, nodes=2)
        assert find_place(devices, SRUN) == Place(rank=3, local_rank=1, count=4, nodes=2, slurm=True)
        assert not find_place(devices, SRUN | TORCHRUN).slurm  # one torchrun on each machine, started by srun

    def test_a_batch_script_or_a_single_task_is_no_rank(self):
        assert find_place(None, {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}) == Place()
        assert find_place(None, SRUN | {"SLURM_STEP_NUM_TASKS": "1"}) == Place()

    @pytest.mark.parametrize("stray", [{"RANK": "0"}, {"RANK": "2", "LOCAL_RANK": "1"}, {"WORLD_SIZE": "1"}])
    def test_stray_variables_of_one_process_are_no_rank(self, stray):
        assert find_place(None, stray) == Place()

    @pytest.mark.parametrize(
        ("environment", "told"),
        [
            ({"RANK": "x"}, "RANK is 'x'"),
            ({"RANK": "-1"}, "RANK is '-1'"),
            ({"WORLD_SIZE": "4"}, "LOCAL_WORLD_SIZE is not set"),
            (TORCHRUN | {"LOCAL_WORLD_SIZE": "0"}, "LOCAL_WORLD_SIZE is '0', and must be a whole number from 1"),
            (TORCHRUN | {"WORLD_SIZE": "٣"}, "WORLD_SIZE is"),
            (TORCHRUN | {"RANK": "4"}, "start the same number"),
            (TORCHRUN | {"LOCAL_RANK": "2"}, "start the same number"),
            ({"SLURM_STEP_NUM_TASKS": "x"}, "SLURM_STEP_NUM_TASKS is 'x'"),
            ({"SLURM_STEP_NUM_TASKS": ""}, "SLURM_STEP_NUM_TASKS is ''"),
            (SRUN | {"SLURM_STEP_NUM_NODES": "0"}, "SLURM_STEP_NUM_NODES is '0'"),
            (SRUN | {"SLURM_PROCID": "first"}, "SLURM_PROCID is 'first'"),
        ],
    )
    def test_variables_that_cannot_be_right_are_named(self, environment, told):
        with pytest.raises(UserError, match=re.escape(told)):
            find_place(None, environment)

    def test_what_does_not_fit(self):
        with pytest.raises(UserError, match="--devices 4, but torchrun has started 2 ranks on each machine"):
            find_place(4, TORCHRUN)
        with pytest.raises(UserError, match="--devices 1, but srun has started 2"):
            find_place(1, SRUN)
        with pytest.raises(UserError, match="--ntasks-per-node"):
            find_place(None, {key: value for key, value in SRUN.items() if key != "SLURM_NTASKS_PER_NODE"})
        for uneven in (SRUN | {"SLURM_STEP_NUM_TASKS": "5"}, TORCHRUN | {"WORLD_SIZE": "3"}):
            with pytest.raises(UserError, match="start the same number of ranks on every machine"):
                find_place(None, uneven)


@pytest.mark.parametrize(
    "stray",
    [
        {
            "SLURM_NTASKS": "4",
            "SLURM_JOB_NAME": "train",
            "SLURM_JOB_ID": "1",
            "SLURM_PROCID": "0",
            "SLURM_LOCALID": "0",
        },
        {"RANK": "3", "LOCAL_RANK": "2", "NODE_RANK": "1", "GROUP_RANK": "1", "MASTER_PORT": "x", "LT_CLI_USED": "1"},
    ],
)
def test_one_process_trains_alone_whatever_launchers_have_said(stray, tmp_path, monkeypatch):
    """A batch script with --ntasks=4 that calls the command without srun, or what another program has left."""
    for name, value in stray.items():
        monkeypatch.setenv(name, value)
    chosen = load_recipe("phantom", [*TINY, "train.steps=1", "method.name=supervised"])
    assert fit(chosen, write_dataset(tmp_path / "d", n_val=0), tmp_path / "run", Quiet(), place=find_place(None)) == 1


def test_variables_that_rule_fabric_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LT_PRECISION", "16-mixed")
    with pytest.raises(UserError, match="LT_PRECISION is set: with it Lightning Fabric would choose"):
        fit(load_recipe("phantom", TINY), write_dataset(tmp_path / "d"), tmp_path / "run", Quiet())
    assert not (tmp_path / "run").exists()


def test_a_mistake_that_all_find_gives_one_message_a_machine(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(UserError, match="no such recipe"), Place(rank=2, local_rank=0).one_message():
        raise UserError("no such recipe")
    with pytest.raises(SystemExit) as ended, Place(rank=1, local_rank=1).one_message():
        raise UserError("no such recipe")
    assert ended.value.code == SILENT


@pytest.fixture
def ranks_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Ranks 0 and 1 run these lines of Python instead of the command."""
    popen = subprocess.Popen

    def replace(*codes: str) -> None:
        def started(words: list[str], env: dict[str, str], **more: object) -> object:
            assert words[:4] == [sys.executable, "-P", "-m", "crossmatch"]
            assert (env["WORLD_SIZE"], env["RANK"]) == ("2", env["LOCAL_RANK"])
            code = f"import os, signal, sys, time; {codes[int(env['RANK'])]}"
            return popen([sys.executable, "-S", "-c", code], env=env, **more)

        monkeypatch.setattr(subprocess, "Popen", started)

    return replace


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (("pass", "pass"), 0),
        (("sys.exit(2)", f"sys.exit({SILENT})"), 2),
        ((f"sys.exit({SILENT})", "time.sleep(0.2); sys.exit(130)"), 130),
        (("os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(2)"), 2),
        (("os.kill(os.getpid(), signal.SIGTERM)", "os.kill(os.getpid(), signal.SIGTERM)"), 143),
        (("time.sleep(0.2); os.kill(os.getppid(), signal.SIGINT); time.sleep(60)", "time.sleep(60)"), 130),
    ],
)
def test_the_exit_code_is_that_of_the_rank_with_a_message(codes, expected, ranks_run):
    ranks_run(*codes)
    assert start(2) == expected


def test_who_waits_for_a_failed_rank_is_killed(ranks_run, monkeypatch):
    monkeypatch.setattr(ranks, "GRACE_SECONDS", 0.2)
    ranks_run("time.sleep(60)", "sys.exit(2)")
    before = time.monotonic()
    assert start(2) == 2
    assert time.monotonic() - before < 20


def test_a_killed_rank_is_told_of(ranks_run):
    ranks_run(f"time.sleep(0.2); sys.exit({SILENT})", "os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(UserError, match=r"process of device 1 was killed \(signal 9; .*--resume"):
        start(2)
