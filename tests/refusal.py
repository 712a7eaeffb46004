"""A command that must be refused: exit code 2, one paragraph, every file as it was."""

from pathlib import Path

import pytest

from command import call


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below, with the time of its last change and its content."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def refuse(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: object) -> str:
    """Call a command that must be refused and leave every file below `folder` as it is; its message in one line."""
    before = tree(folder)
    code, out, err = call(capsys, *arguments)
    assert code == 2, (out, err)
    assert err.startswith("Error: ")
    assert "Traceback" not in out + err
    assert "\n\n" not in err.strip()
    assert tree(folder) == before
    return " ".join(err.split())
