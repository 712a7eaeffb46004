"""Semi-supervised medical image segmentation: CrossMatch and its rivals, from a handful of labelled scans.

    import crossmatch

    crossmatch.check("my_scans")                               # is the data sound?
    model = crossmatch.train("auto", "my_scans", "runs/first", minutes=60)  # settings chosen from the data
    model = crossmatch.load("runs/first")                      # or a run that was trained before
    scan = crossmatch.formats.read(path)                       # or an array from anywhere
    labels = model.predict(scan.voxels, affine=scan.affine)    # an array of labels, of the scan's own size
    model.predict_files("new_scans", "masks")                  # files in, files out
    crossmatch.rank("runs/first")                              # which scans to label next
    crossmatch.evaluate("masks", "references").table()
    crossmatch.report("runs/first")                            # one HTML page
    crossmatch.metrics.dice(labels == 1, reference == 1)

What there is: `methods.METHODS`, `networks.NETWORKS`, `recipes.recipe_names()`, `formats.endings()`. The first two are
dictionaries that take your own methods and networks (see `examples/`). `phantom.make_phantom` makes scans to try things
on. Errors that you can correct raise `UserError`, which says how.

`import crossmatch` is quick: each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Display",
    "Model",
    "UserError",
    "check",
    "evaluate",
    "formats",
    "load",
    "methods",
    "metrics",
    "networks",
    "phantom",
    "rank",
    "recipes",
    "report",
    "train",
]

if TYPE_CHECKING:  # what type checkers and editors see
    from crossmatch import formats, methods, networks, phantom, recipes
    from crossmatch.api import Display, Model, check, evaluate, load, rank, report, train
    from crossmatch.errors import UserError
    from crossmatch.scoring import metrics
else:  # the same, when it is first used
    _ROOMS = {name: f"crossmatch.{name}" for name in ("formats", "methods", "networks", "phantom", "recipes")}
    _MODULES = {**_ROOMS, "metrics": "crossmatch.scoring.metrics"}

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'crossmatch' has no attribute {name!r}; it has {', '.join(__all__)}")
        if name in _MODULES:
            found = import_module(_MODULES[name])
        else:
            found = getattr(import_module("crossmatch.errors" if name == "UserError" else "crossmatch.api"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
