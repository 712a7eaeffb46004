"""Masks for cases that have none: the command that makes them, run as a process of its own if the user wants it."""

import subprocess
import sys
from pathlib import Path

from crossmatch import formats
from crossmatch.errors import quoted
from crossmatch.review.decisions import FOLDER
from crossmatch.review.found_masks import UNLABELLED
from crossmatch.runs.run import Run


class Predicting:
    """The process that predicts the dataset's training images."""

    def __init__(self, run: Run, root: Path) -> None:
        self.target, self.source = run.folder / UNLABELLED, root / "imagesTr"
        self.arguments = ["predict", str(run.folder), str(self.source), str(self.target), "--quality"]
        self.possible = run.checkpoint("last").is_file()
        self._log = run.folder / FOLDER / "predict.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> str:
        """As the user would type it."""
        return " ".join(["crossmatch", *(quoted(Path(word)) for word in self.arguments)])

    def makes(self, image: Path) -> bool:
        """Whether the command predicts the case of an image."""
        return image.absolute().parent == self.source.absolute()

    def start(self) -> None:
        """Begin, unless it runs already."""
        if self._process is None or self._process.poll() is not None:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("wb") as log:
                command = [sys.executable, "-m", "crossmatch", *self.arguments]
                self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def state(self) -> dict[str, object]:
        """How far it is: masks that are there, whether it runs, and its last words where it failed."""
        made = len(formats.files_in(self.target)) if self.target.is_dir() else 0
        if self._process is None:
            return {"running": False, "made": made, "failed": None}
        code = self._process.poll()
        failed = None
        if code:
            failed = self._log.read_text(encoding="utf-8", errors="replace").strip()[-800:] or f"exit code {code}"
        return {"running": code is None, "made": made, "failed": failed, "done": code == 0}

    def stop(self) -> None:
        """End the process; the masks that are made stay."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
