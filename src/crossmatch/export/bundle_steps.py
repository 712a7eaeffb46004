"""The pre- and postprocessing of a MONAI bundle, in whose folder scripts/ `infer.py` and `infer_cases.py` lie, too.

Shapes: C channels, K classes, *S a scan as stored, *P what the network takes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from monai.transforms.io.array import SaveImage

from crossmatch.export.infer import ExportedModel, channel_of, mask_of
from crossmatch.export.infer_cases import SCAN, cases_in, check_channels


class WholeScan(Inferer):
    """Labels of a whole scan, at its own size and in its own axes.

    Args:
        folder: of the bundle, with model.json.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def __call__(self, inputs: Any, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A scan (1, C, *S), as LoadImaged reads it -> labels (1, 1, *S), uint8."""
        device = next(network.parameters()).device if isinstance(network, torch.nn.Module) else torch.device("cpu")

        @torch.inference_mode()
        def call(images: Any) -> Any:
            """(B, C, *P) -> (B, K, *P)."""
            return network(torch.from_numpy(images).to(device)).float().cpu().numpy()

        affine, spacing = _place(inputs.meta.get("filename_or_obj"))
        channels = [(channel, affine, spacing) for channel in inputs[0].cpu().numpy()]
        labels = torch.from_numpy(ExportedModel(self.folder, network=call).labels(channels).copy())
        return labels[None, None]


class Segmentation:
    """Runs the network on scans, and the postprocessing on their labels.

    Args:
        dataset: scans {"image": (C, *S)}.
        network: see `WholeScan`; inferer: a `WholeScan`.
        postprocessing: takes {"image", "pred"}, for instance to write files.
    """

    def __init__(self, dataset: Sequence[Any], network: Any, inferer: WholeScan, postprocessing: Any) -> None:
        self.dataset, self.network, self.inferer, self.postprocessing = dataset, network, inferer, postprocessing

    def run(self) -> None:
        """Scan by scan."""
        for item in self.dataset:
            image = item["image"]
            labels = self.inferer(image[None], self.network)[0]
            meta = {**image.meta, "filename_or_obj": _case_of(image.meta["filename_or_obj"], len(image))}
            meta["original_channel_dim"] = float("nan")  # the file of a mask has no channels
            self.postprocessing({**item, "pred": MetaTensor(labels, affine=image.affine, meta=meta)})


class SaveMask:
    """Writes masks as infer.py does: NIfTI with the header of the scan, which says where it lies; PNG of a picture.

    Args:
        output_dir: the folder for the masks. One of the same name is overwritten.
    """

    def __init__(self, output_dir: str) -> None:
        self.folder = Path(output_dir)
        self.pictures = SaveImage(
            output_dir=output_dir,
            output_postfix="",
            output_ext=".png",
            output_dtype=np.uint8,
            resample=False,
            separate_folder=False,
            print_log=False,
        )

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """A scan {"image": (C, *S), "pred": (1, *S)}, each with the path of its file, as `Segmentation` gives it."""
        file, mask = _first(item["image"].meta["filename_or_obj"]), item["pred"]
        if _is_nifti(file):
            target = self.folder / Path(mask.meta["filename_or_obj"]).name
            self.folder.mkdir(parents=True, exist_ok=True)
            nib.save(mask_of(nib.load(file), mask[0].cpu().numpy()), target)
        else:
            self.pictures(mask)
        return item


def scans(folder: str, channels: int) -> list[dict[str, Any]]:
    """The scans of a folder; where the network takes several channels, CASE_0000, CASE_0001, ... are one scan.

    Raises:
        ValueError: names the files of scans that have other channels.
    """
    found, failed = cases_in(Path(folder), channels), list[str]()
    for files in found.values():
        try:
            check_channels(files, channels)
        except ValueError as error:
            failed.append(f"{', '.join(map(str, files))}: {error}")
    if failed:
        raise ValueError("\n".join([*failed, f"{len(failed)} of {len(found)} scans cannot be used"]))
    names = [[*map(str, files)] for files in found.values()]
    return [{"image": each if len(each) > 1 else each[0]} for each in names]


def _case_of(file: Any, channels: int) -> str:
    """The path of a scan without the number of its channel: so infer.py names masks, too."""
    path = Path(_first(file))
    match = SCAN.fullmatch(path.name)
    if match is None or (channels == 1 and match[2] not in (None, "_0000")):
        return str(path)
    return str(path.with_name(match[1] + match[3].lower()))


def _first(file: Any) -> str:
    """The path of a scan's file, or of its first."""
    return str(file[0] if isinstance(file, list | tuple) else file)


def _is_nifti(file: str) -> bool:
    return file.lower().endswith((".nii", ".nii.gz"))


def _place(file: Any) -> tuple[Any, Any]:
    """Affine and spacing of a scan's file, as its header states them; None where they are unknown."""
    file = _first(file)
    if not _is_nifti(file):
        return None, None
    _, affine, spacing = channel_of(nib.load(file))
    return affine, spacing
