"""Export a run: the network of a checkpoint, model.json, a model card and what runs them, as one new folder."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from crossmatch.atomic import new_folder
from crossmatch.errors import UserError, offered
from crossmatch.export import monai_bundle, onnx_model, torch_program
from crossmatch.export.card import NOT_STATED, model_card, summary
from crossmatch.export.description import describe
from crossmatch.export.scored import evaluations_of
from crossmatch.inference.familiar import doubtful
from crossmatch.networks.segmenter import Segmenter
from crossmatch.runs.run import open_run

SUMS = "SHA256SUMS"
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")  # an SPDX name


class Exported(NamedTuple):
    """A format: where its network goes, and how it is written and used."""

    file: str
    write: Callable[[Segmenter, tuple[int, ...], Path], None]
    use: str  # for the model card


_PYTHON = """In Python, for instance behind a server:

```py
import infer

labels = infer.ExportedModel().labels([(voxels, affine, spacing_mm)])
```
"""
_ESTIMATES = """
`python estimate.py SCANS MASKS` does the same and writes `quality.csv`, the expected Dice of each mask.
"""
FORMATS: Mapping[str, Exported] = {
    "onnx": Exported(
        onnx_model.FILE,
        onnx_model.write_onnx,
        "`pip install numpy nibabel onnxruntime` (and `pillow` for pictures), then `python infer.py SCANS MASKS`. "
        f"`model.json` describes the pre- and postprocessing for `model.onnx`. {_PYTHON}",
    ),
    "torch": Exported(
        torch_program.FILE,
        torch_program.write_program,
        "`pip install numpy nibabel torch` (and `pillow` for pictures), then `python infer.py SCANS MASKS`. "
        "`model.json` describes the pre- and postprocessing for `model.pt2`, a program of `torch.export`. " + _PYTHON,
    ),
    "bundle": Exported(
        monai_bundle.FILE,
        monai_bundle.write_torchscript,
        """`pip install monai nibabel`, put scans into `scans/`, and run the bundle; masks go to `masks/`:

```py
from monai.bundle import ConfigWorkflow

workflow = ConfigWorkflow("configs/inference.json", "configs/metadata.json", workflow_type="inference")
workflow.initialize()
workflow.run()
```
""",
    ),
}


def export_run(
    run_folder: Path,
    out: Path,
    format: str,
    *,
    checkpoint: str = "last",
    licence: str = NOT_STATED,
    evaluations: Sequence[Path] = (),
    warn: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write the network that `predict` uses, with its pre- and postprocessing; the folder appears whole or not at all.

    Nothing in it names a path of this machine or a case. The network is in float32, even if it was trained in bf16.

    Args:
        run_folder: a run.
        out: a new folder.
        format: one of `FORMATS`.
        checkpoint: ``last``, ``best`` or a path.
        licence: of the weights, an SPDX name such as CC-BY-4.0.
        evaluations: summary.json files of these weights that lie outside of the run's folder.
        warn: called with what the user should know.

    Returns:
        `out`.

    Raises:
        UserError: no such format, no run or checkpoint, a package that is missing, a folder that exists or cannot be
            written, or a network that computes something else after its export.
    """
    if format not in FORMATS:
        raise UserError(f"There is no format {format!r}: {offered(format, FORMATS)}.")
    if licence != NOT_STATED and not _LICENCE.fullmatch(licence):
        raise UserError(f"--licence {licence!r} is no SPDX name, such as CC-BY-4.0 or MIT: see spdx.org/licenses.")
    run, chosen = open_run(run_folder), FORMATS[format]
    network, loaded = run.load_network(checkpoint)
    if told := doubtful(run, checkpoint):
        warn(told)
    about = describe(run, network, loaded, checkpoint, chosen.file, warn)
    scored = evaluations_of(run, about["weights_sha256"], evaluations, warn)
    estimated = about["quality"] is not None and format != "bundle"
    card = model_card(run, about, loaded, scored, licence, chosen.use + (_ESTIMATES if estimated else ""))
    with new_folder(out) as folder:
        chosen.write(network, run.recipe.data.size, folder)
        _write(folder / "model.json", json.dumps(about, allow_nan=False, ensure_ascii=False) + "\n")
        _write(folder / "LICENSE", licence_text(licence))
        if format == "bundle":
            (folder / "docs").mkdir()
            _write(folder / "docs" / "README.md", card)
            monai_bundle.write_configs(about, folder, summary(about), licence)
        else:
            _write(folder / "README.md", card)
            for name in ("infer.py", "infer_cases.py", "infer_pictures.py", *(["estimate.py"] if estimated else [])):
                _write(folder / name, _resource(name).replace("crossmatch.export.", ""))
        write_sums(folder)
    return out


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS, by which infer.py and `sha256sum --check` see whether a file was damaged since."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in files
    ]
    _write(folder / SUMS, "\n".join(lines) + "\n")


def licence_text(licence: str) -> str:
    """The licence of the weights by its name, and that of the code beside them."""
    weights = (
        "Nobody has stated a licence for the weights of this model: ask those who trained it.\n"
        if licence == NOT_STATED
        else f"The weights of this model: {licence}, see https://spdx.org/licenses/{licence}.html.\n"
    )
    return f"{weights}\nThe code beside them (infer.py, scripts/) is part of crossmatch:\n\n{_resource('licence.txt')}"


def _resource(name: str) -> str:
    return resources.files("crossmatch.export").joinpath(name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
