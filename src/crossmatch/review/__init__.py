"""Review: a local page to look at predictions, correct and accept them as labels, and train on."""

import re
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from crossmatch.errors import UserError
from crossmatch.runs.lock import only_writer
from crossmatch.runs.run import Run, open_run

__all__ = ["review"]


def review(
    run_folder: Path,
    *,
    data: Path | None = None,
    masks: Sequence[Path] = (),
    scans: Sequence[Path] = (),
    port: int = 0,
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the page of a run until Ctrl-C or its button, then say how to train on.

    Args:
        run_folder: a run.
        data: its dataset, where that was moved.
        masks: further folders of its predictions; those in the run's folder are found.
        scans: folders of new scans, whose files may be shown too.
        port: of the page; 0 takes a free one.
        browser: whether to open one.
        say: prints a line.

    Raises:
        UserError: not a run, its data are gone, nothing to show, another page is open on this run, the port is in use.
    """
    from crossmatch.review.decisions import FOLDER
    from crossmatch.review.desk import Desk
    from crossmatch.review.train_on import last_words
    from crossmatch.review.web_server import ReviewServer

    run = open_run(run_folder)
    if run.is_packed:
        raise UserError(f"{run_folder} is a packed model, without data: review the run it was packed from.")
    root = _root(run, data)
    for folder in (*masks, *scans):
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder: name one that holds the masks (--masks) or scans (--scans).")
    with _one_page(run_folder / FOLDER):
        desk = Desk(run, root, list(masks), list(scans))
        if not desk.gathered.cases:
            raise UserError(
                f"{root} has no unlabelled and no validation case, so there is nothing to review. Put new scans into "
                f"{root / 'imagesTr'}, or name their folder with --scans."
            )
        masked = any(case.mask for case in desk.gathered.cases.values())
        if not masked and not desk.predicting.possible:
            raise UserError(f"{run_folder} has no checkpoint and no predictions, so there is nothing to review: train.")
        with ReviewServer(desk, port) as server:
            try:
                say(f"Review: {server.address}")
                if browser and not _opened(server.address):
                    say("No browser could be opened: open this address in one on this machine.")
                say("Ctrl-C ends it; what is accepted is kept.")
                server.serve_forever(poll_interval=0.2)
            except KeyboardInterrupt:
                pass
            finally:
                desk.close()
                desk.predicting.stop()
                words = last_words(desk)
                say(str(words["told"]))
                if words["command"]:
                    say(f"Train on: {words['command']}")


def _root(run: Run, data: Path | None) -> Path:
    """The dataset's folder."""
    root = Path(run.data["root"]) if data is None else data
    if not (root / "dataset.json").is_file():
        moved = f"The data of the run {run.folder} lay in {root}, and do not any more: say where with --data."
        raise UserError(moved if data is None else f"{root} has no dataset.json: name the dataset's folder.")
    return root


@contextmanager
def _one_page(folder: Path) -> Iterator[None]:
    """Hold the run's review until the block ends.

    Raises:
        UserError: another process holds it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(only_writer(folder))
        except UserError as error:
            holder = re.search(r"\(process [^)]*\)", str(error))
            raise UserError(
                f"Another page is open on this run {holder[0] if holder else ''}: use that one, whose address its "
                "terminal shows, or end it with Ctrl-C there."
            ) from None
        yield


def _opened(address: str) -> bool:
    """Whether a browser took the address."""
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
