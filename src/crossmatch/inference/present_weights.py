"""Which weights a checkpoint of a run holds now, to be compared with those that something was made with."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from crossmatch.errors import UserError
from crossmatch.inference.origin import weights_digest
from crossmatch.runs.checkpoint import load_checkpoint
from crossmatch.runs.run import Run

KEPT = ("last", "best")  # the names of the checkpoints that a run keeps


@dataclass(frozen=True)
class PresentWeights:
    """The weights in a checkpoint."""

    step: int
    sha256: str


def present_weights(run: Run, checkpoint: str) -> PresentWeights | None:
    """What ``last``, ``best`` or the file of a checkpoint holds; None where it is gone or damaged.

    The file is read once as long as it does not change.
    """
    try:
        path = run.checkpoint(checkpoint).absolute()
        stat = path.stat()
        return _read(path, (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    except (UserError, OSError):
        return None


@lru_cache(maxsize=8)
def _read(path: Path, state: tuple[int, int, int]) -> PresentWeights:
    found = load_checkpoint(path, training=False)
    return PresentWeights(found.facts["step"], weights_digest(found.network))
