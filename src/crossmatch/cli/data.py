"""Commands about data: check, phantom, import. Heavy imports stand inside the commands, as in `app`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from crossmatch.cli.command import Command, Group

importer = typer.Typer(
    cls=Group, help="Turn a public dataset's own files into the layout of docs/datasets.md.", no_args_is_help=True
)

Data = Annotated[Path, typer.Argument(help="a new folder for the dataset")]


def check(data: Annotated[Path, typer.Argument(help="a dataset's folder")]) -> None:
    """Read every voxel of a dataset once, list what is wrong, and keep a fingerprint."""
    import numpy as np

    from crossmatch.dataset.check import check as check_dataset
    from crossmatch.dataset.fingerprint import fingerprint_path
    from crossmatch.runs.display import Terminal, progress_bar, say

    console = Terminal()
    with progress_bar(console, "Checking") as progress:
        found = check_dataset(data, progress)
    for warning in found.warnings:
        say(console, "Warning:", warning)
    labelled = sum(case.label_voxels is not None for case in found.split("train"))
    counts = ", ".join(f"{len(found.split(split))} {split}" for split in ("train", "val", "test"))
    console.print(f"{data}: {counts} cases are sound; {labelled} of the train cases have labels.", soft_wrap=True)
    known = [case.spacing_mm for case in found.cases if case.spacing_mm]
    for what, values in (("voxels", [case.shape for case in found.cases]), ("mm from voxel to voxel", known)):
        if values:
            ends = zip(np.min(values, axis=0), np.max(values, axis=0), strict=True)
            spans = [f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}" for low, high in ends]
            console.print(f"{' x '.join(spans)} {what}", soft_wrap=True, highlight=False)
    console.print(f"Fingerprint: {fingerprint_path(data)}", soft_wrap=True)


def phantom(
    data: Data,
    kind: Annotated[str, typer.Option(help="heart: short-axis slices, 3 classes; atrium: a 3D left atrium")] = "heart",
    train: Annotated[int, typer.Option(min=1, help="training cases")] = 24,
    val: Annotated[int, typer.Option(min=0, help="validation cases")] = 4,
    test: Annotated[int, typer.Option(min=0, help="test cases")] = 10,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make a synthetic cardiac dataset, for tests and first tries."""
    from crossmatch.phantom.phantom import make_phantom
    from crossmatch.runs.display import Terminal

    make_phantom(data, kind, train=train, val=val, test=test, seed=seed)
    Terminal().print(f"{train} training, {val} validation and {test} test cases in {data}", soft_wrap=True)


@importer.command("acdc", cls=Command)
def import_acdc(
    source: Annotated[Path, typer.Argument(help="the challenge's training folder, or the community's HDF5 folder")],
    data: Data,
) -> None:
    """ACDC, 100 patients: standard 70/10/20 split, lists of 1, 3 and 7 labelled patients."""
    from crossmatch.importers.acdc import import_acdc as import_files

    with _importing(data) as (progress, tell):
        import_files(source, data, progress, tell)


@importer.command("la", cls=Command)
def import_la(
    source: Annotated[
        Path, typer.Argument(help="folder of the community's mri_norm2.h5 or the challenge's NRRD files")
    ],
    data: Data,
) -> None:
    """LA, 100 scans of the left atrium: standard 80/20 split, lists of 4, 8 and 16 labelled scans."""
    from crossmatch.importers.la import import_la as import_files

    with _importing(data) as (progress, tell):
        import_files(source, data, progress, tell)


@importer.command("pancreas", cls=Command)
def import_pancreas(
    source: Annotated[Path, typer.Argument(help="folder of the DICOM series and labels, or of the community's HDF5")],
    data: Data,
    variant: Annotated[str, typer.Option(help="A (UA-MT family) or B (CoraNet, BCP): see docs/datasets.md")],
) -> None:
    """Pancreas-CT, 82 scans, in one of the two preparations of the literature; lists of 6 and 12 labelled scans."""
    from crossmatch.importers.pancreas import import_pancreas as import_files

    with _importing(data) as (progress, tell):
        import_files(source, data, variant, progress, tell)


@contextmanager
def _importing(data: Path) -> Iterator[tuple[Callable[[int, int], None], Callable[[str], None]]]:
    """A progress bar and a function that prints remarks; at the end the number of cases is printed."""
    from crossmatch.dataset.dataset import open_dataset
    from crossmatch.runs.display import Terminal, progress_bar

    console = Terminal()
    with progress_bar(console, "Importing") as progress:
        yield progress, lambda text: console.print(text, soft_wrap=True)
    console.print(f"{len(open_dataset(data).cases)} cases in {data}", soft_wrap=True)
