"""Which masks an evaluation scored, and which of them were written since."""

from collections.abc import Mapping
from pathlib import Path

from crossmatch import formats
from crossmatch.atomic import file_sha256
from crossmatch.errors import listed


def written_since(scored: Mapping[str, str], folder: Path) -> str | None:
    """A sentence that names the masks whose scores are of an earlier file; None: there is none, or it isn't known.

    Args:
        scored: case -> digest of the mask that was scored. A mask that is not in the folder any more is passed over.
        folder: of the masks.
    """
    masks = dict(formats.files_in(folder)) if scored and folder.is_dir() else {}
    changed = [case for case, known in scored.items() if case in masks and file_sha256(masks[case]) != known]
    if not changed:
        return None
    return f"Masks written since they were scored ({len(changed)}): {listed(changed)}. Evaluate again."
