"""The folders whose files the page may show: the run's, the data's, and those that the user named."""

from collections.abc import Iterable
from pathlib import Path

from crossmatch import formats
from crossmatch.errors import UserError, quoted


class Places:
    """A fence of folders. Links are followed before a file is compared with them."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = tuple(dict.fromkeys(folder.resolve() for folder in folders))

    def holds(self, path: Path) -> bool:
        """Whether a file, with its links followed, lies in one of the folders."""
        real = path.resolve()
        return any(real.is_relative_to(folder) for folder in self.folders)

    def checked(self, path: Path) -> Path:
        """The same path, if all files that it is read from lie in the folders.

        Raises:
            UserError: the path, or a file of a DICOM series or of a pair, leads out of them.
        """
        for part in (path, *formats.parts(path)):
            if not self.holds(part):
                real = part.resolve()
                raise UserError(
                    f"{part} lies outside of the folders of the run and its data (in {real.parent}), so it is not "
                    f"shown. Start again with --scans {quoted(real.parent)} to allow that folder."
                )
        return path
