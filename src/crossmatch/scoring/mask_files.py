"""Which masks were scored: the digests of their files, by which later readers see what was written since."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from crossmatch import formats
from crossmatch.errors import listed


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def written_since(scored: Mapping[str, str], folder: Path) -> str | None:
    """A sentence that names the masks whose scores are of an earlier file; None: there is none, or it isn't known.

    Args:
        scored: case -> digest of the mask that was scored. A mask that is not in the folder any more is passed over.
        folder: of the masks.
    """
    masks = dict(formats.files_in(folder)) if scored and folder.is_dir() else {}
    changed = [case for case, known in scored.items() if case in masks and digest(masks[case]) != known]
    if not changed:
        return None
    return f"Masks written since they were scored ({len(changed)}): {listed(changed)}. Evaluate again."
