"""Vendored libraries: the files are those of the stated versions, and each has its licence."""

import hashlib

from crossmatch.vendor import LIBRARIES


def test_files_are_those_of_the_stated_versions() -> None:
    assert LIBRARIES
    for path, digest in LIBRARIES.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, path
        assert "Copyright" in (path.parent / "LICENSE").read_text(encoding="utf-8")


def test_no_file_without_an_entry() -> None:
    folders = {path.parent for path in LIBRARIES}
    here = next(iter(folders)).parent
    found = {path for path in here.glob("*/*") if path.is_file() and path.name != "LICENSE" and path.suffix != ".pyc"}
    assert found == set(LIBRARIES)
