"""Methods by name. A new one is a file with a `Method` and its settings, and a line in `METHODS`."""

from typing import Any

from crossmatch.methods.crossmatch import CrossMatch, CrossMatchSettings
from crossmatch.methods.method import Batch, Method, Unlabelled
from crossmatch.methods.supervised import Supervised, SupervisedSettings

# name -> (method, its settings); a method is built as Method(network, settings, dice)
METHODS: dict[str, tuple[Any, Any]] = {
    "supervised": (Supervised, SupervisedSettings),
    "crossmatch": (CrossMatch, CrossMatchSettings),
}

__all__ = ["METHODS", "Batch", "CrossMatch", "Method", "Supervised", "Unlabelled"]
