"""Segment scans with the exported model beside this file, by numpy, nibabel and onnxruntime, or PyTorch for model.pt2.

    python infer.py INPUT OUT    INPUT: a scan or a folder of them, NIfTI or (with Pillow) pictures; OUT: for the masks

Shapes: *S as stored, *F in the training's axes, *N at its voxels, *P for the network. C channels, K classes, I slices.
"""

import gzip
import hashlib
import itertools
import json
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np


class ExportedModel:
    """The model of a folder; a `network` may take the place of its own: (B, C, *P) -> probabilities (B, K, *P)."""

    def __init__(self, folder: Any = None, network: Any = None, threads: int = 0) -> None:
        folder, self.network = Path(folder or Path(__file__).parent), network
        self.about = json.loads(checked(folder / "model.json").read_text(encoding="utf-8"))
        if self.about["format"] != "crossmatch export 1":
            raise ValueError(f"this infer.py cannot read the format {self.about['format']} of model.json")
        if network is None and (file := self.about["model"]["file"]).endswith(".pt2"):
            import torch

            program = torch.export.load(checked(folder / file)).module()
            self.network = lambda images: program(torch.from_numpy(images)).detach().numpy()
        elif network is None:
            import onnxruntime

            (options := onnxruntime.SessionOptions()).intra_op_num_threads = threads  # 0: one a core
            taken = [each for each in onnxruntime.get_available_providers() if each[:4] in ("CUDA", "CPUE")]
            session = onnxruntime.InferenceSession(str(checked(folder / file)), options, taken)
            self.network = lambda images: session.run(None, {"image": images})[0]

    def mask(self, images: list[Any]) -> Any:
        """The mask of a scan as a nibabel image, from the nibabel images of its channels."""
        return mask_of(images[0], self.labels([channel_of(image) for image in images]))

    def labels(self, channels: list[Any]) -> Any:
        """Labels (*S), uint8, from, for each channel: voxels (*S), affine (4, 4) in mm, RAS+, or None; mm a voxel."""
        about, (first, affine, spacing) = self.about, channels[0]
        ndim, dims, count, axis = first.ndim, len(about["size"]), len(about["channels"]), about["slice_axis"]
        places = [np.eye(4) if place is None else place for _, place, _ in channels]
        one_grid = len({v.shape for v, _, _ in channels}) == 1 and np.ptp(places, axis=0).max() < 1e-3
        if len(channels) != count or ndim not in (dims, 3) or not one_grid:
            found = f"{len(channels)} channels of {ndim} axes{'' if one_grid else ', not on one grid'}"
            raise ValueError(f"{found}; the model takes {', '.join(about['channels'])} in {dims}D on one grid")
        order, flipped = turn_of(affine, about["frame"], ndim)
        kind, fixed = about["normalisation"]["kind"], about["normalisation"]["windows"] or [None] * count
        if kind == "colour":  # all channels share what 8 or 16 bits can hold
            highest, shares = max(v.max() for v, _, _ in channels), all(v.dtype != np.uint8 for v, _, _ in channels)
            white = 1.0 if highest <= 1 and shares else 255.0 if highest <= 255 else 65535.0
            fixed = [(0.0, white, 0.0, white)] * count
        scaled = [scale(v, kind, window).transpose(order) for (v, _, _), window in zip(channels, fixed, strict=True)]
        framed = np.flip(np.stack(scaled), tuple(1 + k for k in flipped))  # (C, *F)
        items = framed[None] if ndim == dims else np.moveaxis(framed, 1 + axis, 0)  # (I, C, ...)
        size = native = items.shape[2:]
        if about["spacing_mm"]:
            if spacing is None:
                raise ValueError("the scan does not state its voxel size, which the model needs: store it in the file")
            old = [spacing[k] for k in (order if ndim == dims else np.delete(order, axis))]
            size = tuple(max(1, round(n * a / b)) for n, a, b in zip(native, old, about["spacing_mm"], strict=True))
        if about["sampling"] == "resize":
            parts = [self._resized(items[k : k + about["batch"]]) for k in range(0, len(items), about["batch"])]
        else:
            parts = [self._in_windows(item, native, size)[None] for item in items]
        whole = np.concatenate(parts)[0] if ndim == dims else np.moveaxis(np.concatenate(parts), 0, axis)
        return np.asfortranarray(np.transpose(np.flip(whole, flipped), np.argsort(order)), np.uint8)

    def _resized(self, items: Any) -> Any:  # (I, C, *F), resized to what the network takes -> labels (I, *F)
        native, small, linear = items.shape[2:], self.about["size"], self.about["interpolation"] == "linear"
        for axis, n in enumerate(() if linear else small, start=2):
            items = items.take(nearest(items.shape[axis], n), axis)
        maps = self.network(np.ascontiguousarray(resampled(items, small, 2)))
        if self.about["enlarged"] == "probabilities":
            return resampled(maps, native, 2, ends=not linear).argmax(1)
        labels = maps.argmax(1)
        for axis, n in enumerate(native, start=1):
            places = np.arange(n) * ((labels.shape[axis] - 1) / max(n - 1, 1))
            labels = labels.take(np.floor(places + 0.5).astype(int), axis)
        return labels

    def _in_windows(self, image: Any, native: Any, size: Any) -> Any:  # (C, *F), resampled to *N -> labels (*F)
        best, labels = np.zeros(native, np.float32), np.zeros(native, np.uint8)
        for k, one in enumerate(self._averaged(resampled(image, size))):  # one map at the scan's own size at a time
            value = resampled(one[None], native)[0]
            labels[value > best], best = k, np.maximum(best, value)
        return labels

    def _averaged(self, image: Any) -> Any:  # (C, *N) -> probabilities (K, *N): weighted mean of windows of *P
        patch, size, stride = self.about["size"], image.shape[1:], self.about["windows"]["stride"]
        missing = [max(p - n, 0) for n, p in zip(size, patch, strict=True)]
        image = np.pad(image, [(0, 0), *((n // 2, n - n // 2) for n in missing)])
        shape, even = image.shape[1:], stride == "even"
        factors = [np.float32(factor) for factor in self.about["windows"]["weights"]]
        if even:  # half a patch, and a third along the axis with most patches
            longest = max(range(len(patch)), key=lambda axis: shape[axis] / patch[axis])
            stride = [max(1, p // (3 if axis == longest else 2)) for axis, p in enumerate(patch)]
        starts, sums = [], [np.zeros(n, np.float32) for n in shape]
        for n, p, step, counted, factor in zip(shape, patch, stride, sums, factors, strict=True):
            gaps = -(-(n - p) // step)
            starts.append([k * (n - p) // max(1, gaps) if even else min(k * step, n - p) for k in range(gaps + 1)])
            for start in starts[-1]:
                counted[start : start + p] += factor
        total, weights = np.zeros((len(self.about["classes"]), *shape), np.float32), reduce(np.multiply.outer, factors)
        cuts = [tuple(slice(s, s + p) for s, p in zip(at, patch, strict=True)) for at in itertools.product(*starts)]
        for some in (cuts[k : k + self.about["batch"]] for k in range(0, len(cuts), self.about["batch"])):
            for cut, values in zip(some, self.network(np.stack([image[(slice(None), *c)] for c in some])), strict=True):
                total[(slice(None), *cut)] += values * weights
        total /= reduce(np.multiply.outer, sums)
        return total[(slice(None), *(slice(m // 2, m // 2 + n) for m, n in zip(missing, size, strict=True)))]


def checked(path: Path) -> Path:
    """A file of the model, whose content must be what SHA256SUMS beside it says."""
    sums, digest = path.with_name("SHA256SUMS"), path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest()
    if not sums.is_file() or f"{digest}  {path.name}".encode() not in sums.read_bytes().splitlines():
        raise ValueError(f"{path} is not what SHA256SUMS beside it says: copy the whole folder again, or export anew")
    return path


def channel_of(image: Any) -> tuple[Any, Any, Any]:
    """Voxels of a nibabel image, integers as stored, all else float32; affine and spacing in mm, None if not known."""
    header, shape = image.header, image.shape[:3] + tuple(n for n in image.shape[3:] if n > 1)
    kind, ndim, code = np.dtype(header.get_data_dtype()).kind, len(shape), int(header["xyzt_units"]) & 7
    unit = {1: 1000.0, 3: 0.001}.get(code, 1.0)
    affine = np.diag([unit, unit, unit, 1]) @ image.affine
    if ndim not in (2, 3) or kind not in "iuf" or not abs(np.linalg.det(affine)) > 1e-12:
        raise ValueError(f"no 2D or 3D scan: shape {shape}, type {header.get_data_dtype()}, affine {affine.tolist()}")
    whole = kind in "iu" and (getattr(image.dataobj, "slope", 1), getattr(image.dataobj, "inter", 0)) == (1, 0)
    voxels = np.asarray(image.dataobj, None if whole else np.float32).reshape(shape, order="F")
    steps, stated = np.linalg.norm(affine[:3, :ndim], axis=0), abs(header["pixdim"][1 : 1 + ndim].astype(float)) * unit
    ones = [bool(np.allclose(size, 1, rtol=0, atol=1e-6)) for size in (steps, stated)]
    known = np.allclose(stated, steps, rtol=0.01, atol=0) and (code in (1, 2, 3) or not all(ones))
    if ones[0] != ones[1]:  # programs leave steps of 1 where they do not know the size
        known, stated = True, stated if ones[0] else steps
    skew = abs((axes := affine[:3, :ndim] / steps).T @ axes - np.eye(ndim)).max() > 1e-3
    known = known and np.isfinite(stated).all() and not skew
    says = max(header["sform_code"], header["qform_code"]) > 0 and (known or (affine[:3, :3] != np.eye(3)).any())
    return voxels, affine if ndim == 3 and says else None, stated if known else None


def mask_of(image: Any, labels: Any) -> Any:
    """Labels (*S) as a nibabel image that lies where `image` does, with its header."""
    header = image.header.copy()
    header.set_data_dtype(np.uint8)
    header["scl_slope"], header["scl_inter"], header["cal_min"], header["cal_max"] = 1, 0, 0, 0
    return type(image)(labels.reshape(image.shape, order="F"), image.affine, header)


def turn_of(affine: Any, frame: Any, ndim: int) -> tuple[Any, Any]:
    """(order, flipped axes) that bring the axes of a scan nearest to those of the training."""
    order = tuple(range(ndim))
    if ndim != 3 or affine is None or frame is None:
        return order, ()
    ours, theirs = (np.array(each, np.float64)[:3, :3] for each in (frame, affine))
    along = (ours / np.linalg.norm(ours, axis=0)).T @ (theirs / np.linalg.norm(theirs, axis=0))
    best = max(itertools.permutations(order), key=lambda axes: abs(along[order, axes]).sum())
    clear = abs(along[order, best]).sum() - np.trace(along) > 0.6  # else so oblique that two orders are as near
    return (best, tuple(k for k in order if along[k, best[k]] < 0)) if clear else (order, ())


def scale(voxels: Any, kind: str, fixed: Any) -> Any:
    """Grey values (*F) of one channel, float32: cut to [low, high], then (value - zero) / unit."""
    if not np.isfinite(voxels).all() or voxels.min() == voxels.max():
        raise ValueError("a channel of the scan is constant, or has voxels that are NaN or infinite")
    low, high = float(voxels.min()), float(voxels.max())
    if kind == "percentile":
        low, high = ends if (ends := np.percentile(voxels, [0.5, 99.5]).tolist())[0] < ends[1] else (low, high)
    zero, unit = (0.0, 1.0) if kind == "none" else (low, high - low)
    if kind == "zscore":
        seen = voxels[voxels != 0]
        zero, unit = float(seen.mean(dtype=np.float64)), float(seen.std(dtype=np.float64)) or 1.0
    low, high, zero, unit = fixed or (low, high, zero, unit)
    exact = np.float64 if voxels.dtype.kind in "iu" and voxels.dtype.itemsize > 2 else np.float32
    scaled = (voxels.astype(exact) - exact(zero)).astype(np.float32) * np.float32(1 / unit)
    return np.clip(scaled, np.float32((low - zero) / unit), np.float32((high - zero) / unit))


def nearest(old: int, new: int) -> Any:
    """(new,) indices of the old voxels that are nearest to a new grid with the same first and last voxel."""
    k, half, step = np.arange(new), np.float32((old - 1) / 2), float(np.float32(2) / np.float32(max(new - 1, 1)))
    along = np.where(k < new // 2, step * k - 1, 1 - step * (new - 1 - k)).astype(np.float32) * (new > 1)
    return np.clip(np.floor(half * along + half + np.float32(0.5)), 0, old - 1).astype(int)


def resampled(maps: Any, size: Any, first: int = 1, ends: bool = False) -> Any:
    """(C, *N) -> (C, *size): linear where an axis grows, means where it shrinks; `ends`: first and last voxels stay."""
    for axis, (old, new) in enumerate(zip(maps.shape[first:], size, strict=True), start=first):
        if ends or old != new:
            step = 1 if ends else old / new
            at = np.arange(new) * ((old - 1) / max(new - 1, 1)) if ends else (np.arange(new) + 0.5) * step - 0.5
            near = abs(np.arange(old)[:, None] - (at if step > 1 else np.clip(at, 0, old - 1)))
            weights = np.clip(0.5 + step / 2 - near, 0, 1) if step > 1 else np.clip(1 - near, 0, None)
            maps = np.moveaxis(np.tensordot(maps, np.float32(weights / weights.sum(0)), (axis, 0)), -1, axis)
    return maps


def main(source: Path, out: Path, model: Any = None, done: Any = lambda mask: None) -> None:
    """Segment a scan, or a folder of them, to NIfTI as the scan is, or PNG; at the end, a ValueError names failures."""
    from crossmatch.export.infer_cases import begin, cases_in, check_channels, mask_name

    model, folder, failed = model or ExportedModel(), source if source.is_dir() else source.parent, list[str]()
    cases = cases_in(folder, count := len(model.about["channels"])).items()
    chosen = {out / mask_name(files[0], case): files for case, files in cases if source in (*files, folder)}
    if not chosen or out.resolve() == folder.resolve():
        raise ValueError(f"{out} holds the scans" if chosen else f"{source} is, or holds, no NIfTI file and no picture")
    if there := [path for path in (*chosen, out) if path.is_file()]:
        raise ValueError(f"{there[0]} exists already: name another folder; nothing was overwritten")
    begin(out, model.about)
    for target, files in chosen.items():
        aside = target.with_name(f".{target.name}")  # so that a mask appears whole or not at all
        try:
            check_channels(files, count)
            if target.suffix == ".png":
                from crossmatch.export.infer_pictures import segment_picture

                segment_picture(model, files, aside)
            else:
                sound = (path for path in files if path.suffix.lower() != ".gz" or gzip.decompress(path.read_bytes()))
                nib.save(model.mask([nib.load(path) for path in sound]), aside)
            aside.replace(target)
            done(target)
        except Exception as error:  # of a single scan
            failed.append(f"{', '.join(map(str, files))}: {error if type(error) is ValueError else repr(error)}")
            aside.unlink(missing_ok=True)
    if failed:
        raise ValueError("\n".join([*failed, f"{len(failed)} of {len(chosen)} scans have no mask"]))


def command(work: Any, usage: Any) -> None:
    """Call `work(INPUT, OUT)` as the command line says; a mistake ends in words and exit code 2."""
    nib.imageglobals.error_level = 30  # impossible fields of a header are refused; nibabel would mend them
    if (asked := {"-h", "--help"} & {*sys.argv}) or len(sys.argv) != 3:
        sys.exit(print(usage, file=None if asked else sys.stderr) or (0 if asked else 2))
    try:
        work(*map(Path, sys.argv[1:]))
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        sys.exit(print(error, file=sys.stderr) or 2)


if __name__ == "__main__":
    command(main, __doc__)
