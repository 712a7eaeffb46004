"""The format ``bundle``: a MONAI bundle, which `monai.bundle` runs with the masks that `crossmatch predict` gives.

configs/metadata.json, configs/inference.json, models/model.ts (TorchScript), scripts/ with its pre- and
postprocessing, docs/README.md, LICENSE. Specification: docs.monai.io/en/stable/mb_specification.html.
"""

import io
import json
import zipfile
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from crossmatch.export.program import Probabilities, check_equal, example, quiet
from crossmatch.networks.segmenter import Segmenter

FILE = "models/model.ts"
SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
MONAI = "1.6.1"  # with which the bundle is tested
_PLACES = ".debug_pkl"  # records of TorchScript that say where on this machine the code lies


def write_torchscript(network: Segmenter, size: tuple[int, ...], folder: Path) -> None:
    """Write the network as TorchScript, and compare it with ours on one image and on three.

    Raises:
        UserError: the exported network computes something else.
    """
    traced, stored = Probabilities(network), io.BytesIO()
    with quiet():
        program = torch.jit.trace(traced, example(network, size, 2), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(program, stored)
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(stored) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as kept:
        for record in whole.infolist():
            if not record.filename.endswith(_PLACES):
                kept.writestr(zipfile.ZipInfo(record.filename), whole.read(record))  # without the time
    with quiet():
        loaded = torch.jit.load(path)  # type: ignore[no-untyped-call]
    for count in (1, 3):
        images = example(network, size, count)
        with torch.inference_mode():
            found = loaded(images)
        check_equal(found, network, images, "TorchScript")


def write_configs(about: dict[str, Any], folder: Path, description: str, licence: str) -> None:
    """Write configs/ and scripts/ of a bundle.

    Args:
        about: the content of model.json, see `description`.
        description: one line of what the model does; licence: of its weights, in words.
    """
    configs, scripts = folder / "configs", folder / "scripts"
    configs.mkdir()
    scripts.mkdir()
    for name, content in (
        ("metadata.json", _metadata(about, description, licence)),
        ("inference.json", _inference(about)),
    ):
        (configs / name).write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
    code = resources.files("crossmatch.export")
    (scripts / "__init__.py").write_text('"""The pre- and postprocessing of this bundle."""\n', encoding="utf-8")
    for name in ("infer.py", "infer_cases.py", "bundle_steps.py"):
        text = code.joinpath(name).read_text(encoding="utf-8")
        (scripts / name).write_text(text.replace("crossmatch.export.", "scripts."), encoding="utf-8")


def _metadata(about: dict[str, Any], description: str, licence: str) -> dict[str, Any]:
    names = {str(each["value"]): each["name"] for each in about["classes"]}
    space = list(about["size"])
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": "n/a",
        "num_channels": len(about["channels"]),
        "spatial_shape": space,
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": about["sampling"] == "patch",
        "channel_def": {str(place): name for place, name in enumerate(about["channels"])},
    }
    found = {
        "type": "probabilities",
        "format": "segmentation",
        "num_channels": len(names),
        "spatial_shape": space,
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": about["sampling"] == "patch",
        "channel_def": names,
    }
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by crossmatch {about['crossmatch']}"},
        "monai_version": MONAI,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"nibabel": version("nibabel")},
        "optional_packages_version": {"pillow": version("pillow")},
        "supported_apps": {},
        "name": description,
        "task": f"segmentation of {', '.join(list(names.values())[1:])}",
        "description": f"{description}. Its pre- and postprocessing is in scripts/ and model.json.",
        "authors": "not stated",
        "copyright": licence,
        "data_source": "not stated",
        "data_type": "nifti or pictures",
        "image_classes": ", ".join(about["channels"]),
        "label_classes": "whole numbers, a value a class",
        "pred_classes": "whole numbers, a value a class",
        "eval_metrics": {},
        "intended_use": "research; not a medical device, see docs/README.md",
        "references": [],
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": found}},
    }


def _inference(about: dict[str, Any]) -> dict[str, Any]:
    """configs/inference.json: reads `dataset_dir`, writes masks to `output_dir`."""
    return {
        "imports": ["$import sys", "$import torch"],
        "initialize": ["$sys.path.insert(0, str(@bundle_root))"],
        "bundle_root": ".",
        "dataset_dir": "$str(@bundle_root) + '/scans'",
        "output_dir": "$str(@bundle_root) + '/masks'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": "$torch.jit.load(str(@bundle_root) + '/models/model.ts', map_location=@device).eval()",
        "network": "$@network_def",
        "datalist": {
            "_target_": "scripts.bundle_steps.scans",
            "folder": "@dataset_dir",
            "channels": len(about["channels"]),
        },
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "dtype": None, "ensure_channel_first": True},
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "inferer": {"_target_": "scripts.bundle_steps.WholeScan", "folder": "$str(@bundle_root)"},
        "postprocessing": {"_target_": "scripts.bundle_steps.SaveMask", "output_dir": "@output_dir"},
        "evaluator": {
            "_target_": "scripts.bundle_steps.Segmentation",
            "dataset": "@dataset",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }
