"""The content of model.json: pre- and postprocessing of an exported network as plain values, with no path or case name.

`infer.py` needs nothing else. Shapes: C channels, K classes, *P what the network takes.
"""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crossmatch.export.carried import carried_quality
from crossmatch.inference.origin import weights_digest
from crossmatch.inference.windows import window_weights
from crossmatch.networks.segmenter import Segmenter
from crossmatch.reports.curves import COLOURS
from crossmatch.reports.renderings import picture_colour
from crossmatch.runs.checkpoint import Checkpoint
from crossmatch.runs.run import Run

FORMAT = "crossmatch export 1"
INPUT, OUTPUT = "image", "probabilities"  # of the network
BLACK = [0, 0, 0]


def describe(
    run: Run,
    network: Segmenter,
    checkpoint: Checkpoint,
    name: str,
    file: str,
    warn: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The content of model.json.

    Args:
        run, network: what is exported.
        checkpoint: that of the network; name: how the user named it, ``last``, ``best`` or a path.
        file: of the exported network, in the folder of model.json.
        warn: is told where a fit of quality is left out.

    Returns:
        "model": file, names and shapes of its input and output, (batch, C, *P) and (batch, K, *P), float32.
        "size": *P. "slice_axis": of the frame, along which scans are cut where *P has two axes. "frame": (3, 3), the
        columns are the directions of the training scans' axes in the world (to the right, front and top), or null.
        "sampling": "resize" (whole slices or scans become *P) or "patch" (windows). Of "resize", "interpolation" as in
        a recipe, and "enlarged", "probabilities" or "labels". "windows": "stride" as in a recipe, "weights" along each
        axis. "spacing_mm": to which scans are resampled, [] for none. "normalisation": "kind" as in a recipe, and for
        "ct" the "windows", (low, high, zero, unit) a channel; grey values are cut to [low, high], then (value - zero) /
        unit. "batch": slices or windows at a time. "seen": what the training scans are like. "quality":
        see `carried_quality`.
    """
    recipe, data = run.recipe, run.data
    size, stride = list(recipe.data.size), recipe.predict.stride
    frame = None if run.frame is None else [row[:3] for row in run.frame[:3]]  # where the scan lay is nobody's concern
    names, digest = list(data["labels"]), weights_digest(checkpoint.network)
    return {
        "format": FORMAT,
        "crossmatch": version("crossmatch"),
        "model": {
            "file": file,
            "input": INPUT,
            "output": OUTPUT,
            "input_shape": ["batch", len(data["channels"]), *size],
            "output_shape": ["batch", run.classes, *size],
            "type": "float32",
        },
        "network": recipe.network.name,
        "method": recipe.method.name,
        "checkpoint": Path(name).name,
        "step": checkpoint.facts["step"],
        "weights_sha256": digest,
        "channels": list(data["channels"]),
        "classes": [
            {"name": each, "value": data["labels"][each], "colour": _colour(data["labels"][each])} for each in names
        ],
        "size": size,
        "slice_axis": data["slice_axis"],
        "frame": frame,
        "spacing_mm": list(recipe.data.spacing_mm),
        "normalisation": {"kind": recipe.data.normalise, "windows": [list(window) for window in run.fixed_windows]},
        "sampling": recipe.data.sampling,
        "interpolation": recipe.data.interpolation,
        "enlarged": recipe.predict.resize,
        "windows": {
            "stride": stride if isinstance(stride, str) else list(stride),
            "weights": [window_weights(n, gaussian=stride == "even").tolist() for n in size],
        },
        "batch": recipe.predict.batch,
        "seen": data.get("seen"),
        "quality": carried_quality(run, network, digest, warn),
    }


def _colour(value: int) -> list[int]:
    """Red, green and blue, 0 to 255, in which the report's pictures show a class."""
    return BLACK if value == 0 else [round(255 * float(part)) for part in picture_colour(f"c{(value - 1) % COLOURS}")]
