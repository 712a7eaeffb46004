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
    kind: Annotated[
        str, typer.Option(help="heart: short-axis slices, 3 classes; atrium: a 3D left atrium; skin: lesions in colour")
    ] = "heart",
    train: Annotated[int | None, typer.Option(min=1, help="training cases (24; skin: 100)", show_default=False)] = None,
    val: Annotated[int | None, typer.Option(min=0, help="validation cases (4; skin: 20)", show_default=False)] = None,
    test: Annotated[int | None, typer.Option(min=0, help="test cases (10; skin: 50)", show_default=False)] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make a synthetic dataset, for tests and first tries."""
    from crossmatch.phantom.phantom import make_phantom
    from crossmatch.runs.display import Terminal

    made = make_phantom(data, kind, train=train, val=val, test=test, seed=seed)
    told = f"{made['train']} training, {made['val']} validation and {made['test']} test cases in {data}"
    Terminal().print(told, soft_wrap=True)


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
    """Pancreas-CT, 82 scans, in one of the two preprocessings of the literature; lists of 6 and 12 labelled scans."""
    from crossmatch.importers.pancreas import import_pancreas as import_files

    with _importing(data) as (progress, tell):
        import_files(source, data, variant, progress, tell)


@importer.command("isic", cls=Command)
def import_isic(
    source: Annotated[Path, typer.Argument(help="folder that holds ISIC2018_Task1-2_Training_Input and the others")],
    data: Data,
    protocol: Annotated[
        str, typer.Option(help="isic_official, or isic_dtpc with --lists: see docs/datasets.md")
    ] = "isic_official",
    lists: Annotated[Path | None, typer.Option(help="folder of the public lists of isic_dtpc")] = None,
    link: Annotated[bool, typer.Option("--link", help="link the images, instead of copying them")] = False,
) -> None:
    """ISIC-2018 Task 1, skin lesions in colours: official folders, lists of 26, 130, 259 and 519 labelled images."""
    from crossmatch.importers.isic import import_isic as import_files

    with _importing(data) as (progress, tell):
        import_files(source, data, progress, tell, protocol=protocol, lists=lists, link=link)


@importer.command("folder", cls=Command)
def import_folder(
    source: Annotated[Path, typer.Argument(help="a folder of scans, a Decathlon task or a folder made for nnU-Net")],
    data: Data,
    images: Annotated[
        str | None, typer.Option(help='a folder or pattern in it: scans, "*/t1.*"; * is the case')
    ] = None,
    labels: Annotated[str | None, typer.Option(help='as --images: masks, "*/seg.*"')] = None,
    test: Annotated[str | None, typer.Option(help="folder or pattern of the test cases, images and labels")] = None,
    channels: Annotated[str, typer.Option(help="words in the names that tell channels apart: t1,t2,flair")] = "",
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="label values: 255=1, or 4=3,2=1; others stay as they are")
    ] = None,
    names: Annotated[str, typer.Option(help="names of the labels: 1=liver,2=tumour")] = "",
    patient: Annotated[
        str | None, typer.Option(help=r"regular expression with a group for the patient in a case's name: (p\d+)_.*")
    ] = None,
    validation: Annotated[float, typer.Option(min=0, max=1, help="share of the labelled patients for validation")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="seed of the choice of these patients")] = 0,
    fold: Annotated[int | None, typer.Option(min=0, help="validation cases of this fold of splits_final.json")] = None,
    link: Annotated[
        bool, typer.Option("--link", help="link files that need no change, instead of copying them")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be written, and write nothing")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="exit code 0 even if cases were left out")] = False,
) -> None:
    """Your own scans: finds images and labels, shows the pairs, and writes a checked dataset.

    Cases that cannot be used are left out and listed at the end, with exit code 2.
    """
    from crossmatch.errors import SHOWN, UserError
    from crossmatch.importers.carry_out import carry_out
    from crossmatch.importers.proposal import propose_import
    from crossmatch.importers.wishes import Wishes, parse_names, parse_values
    from crossmatch.runs.display import Terminal, say

    wishes = Wishes(
        images=images,
        labels=labels,
        test=test,
        channels=tuple(word.strip() for word in channels.split(",") if word.strip()),
        values=parse_values(map_ or []),
        names=parse_names(names),
        patient=patient,
        validation=validation,
        seed=seed,
        fold=fold,
    )
    console = Terminal()
    proposal = propose_import(source, wishes)
    for number, line in enumerate(proposal.pairs()):
        if dry_run or number < SHOWN:
            say(console, "", line)
    if len(proposal.cases) > SHOWN and not dry_run:
        say(console, "", f"and {len(proposal.cases) - SHOWN} more (--dry-run shows all)")
    for line in (*proposal.summary().splitlines(), *proposal.remarks):
        say(console, "", line)
    left_out = proposal.left_out
    if not dry_run:
        with _importing(data) as (progress, tell):
            _, left_out = carry_out(data, proposal, progress, tell, link=link)
    if left_out:
        lines = "".join(f"\n  - {name}: {reason}" for name, reason in left_out.items())
        text = f"{len(left_out)} left out:{lines}"
        if not skip_bad:
            raise UserError(
                f"{text}\nThe rest is unharmed: correct these and import again, or accept it with --skip-bad."
            )
        say(console, "", text)


@contextmanager
def _importing(data: Path) -> Iterator[tuple[Callable[[int, int], None], Callable[[str], None]]]:
    """A progress bar and a function that prints remarks; at the end the number of cases is printed."""
    from crossmatch.dataset.dataset import open_dataset
    from crossmatch.runs.display import Terminal, progress_bar

    console = Terminal()
    with progress_bar(console, "Importing") as progress:
        yield progress, lambda text: console.print(text, soft_wrap=True)
    console.print(f"{len(open_dataset(data).cases)} cases in {data}", soft_wrap=True)
