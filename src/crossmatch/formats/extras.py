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
        UserError: it is not installed, or cannot be loaded, as with little memory.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == package:
            raise UserError(f"{path} needs the package {package}: pip install 'crossmatch[{extra}]'.") from None
        raise UserError(
            f"{path} needs the package {package}, which is here and cannot be loaded ({error}): allow more memory, or "
            f"install it again: pip install --force-reinstall {package}."
        ) from None
