"""Packages that only some files and commands need: imported where they are needed, and named where they are missing."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from crossmatch.errors import UserError


def needed(module: str, extra: str, path: Path | str) -> ModuleType:
    """Import a package of one of our extras.

    Args:
        module: to import.
        extra: the name of the extra that installs it.
        path: the file or option that needs it, for the message.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        package = module.split(".")[0]
        raise UserError(f"{path} needs the package {package}: pip install 'crossmatch[{extra}]'.") from None
