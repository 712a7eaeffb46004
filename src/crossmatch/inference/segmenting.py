"""Segment scans one after the other: each is read, given to the network, and its files are written.

While the network computes one scan, a thread reads the next and another writes the masks of the one before.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from crossmatch import formats
from crossmatch.errors import UserError, listed
from crossmatch.formats import SegmentCode
from crossmatch.inference.familiar import strange_grey_values
from crossmatch.inference.inputs import Scan, raise_together
from crossmatch.inference.judged import Judged
from crossmatch.inference.predictor import Predictor
from crossmatch.inference.quality_record import warn_of_old
from crossmatch.inference.scan_files import read_scan, write_files
from crossmatch.inference.sources import Files, Sources
from crossmatch.runs.run import Run


def segment(
    predictor: Predictor,
    scans: Sequence[tuple[Scan, Files]],
    progress: Callable[[int, int], None],
    sources: Sources,
    run: Run,
    codes: Mapping[str, SegmentCode],
    judged: Judged | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> None:
    """Segment scans in turn, each given with the files to make: its mask, and its maps if wanted.

    Memory holds the scan that is computed, the next one, and what was made of the one before. Errors come in the order
    of the scans: one of writing before those of the scans after it.

    Args:
        sources: knows the scans that have their files already, and is told of each scan that is read.
        run: of the network; says which grey values the training knows, and what the labels are called.
        codes: of labels, for DICOM segmentations.
        judged: is told of every mask; None: no quality is estimated.
        warn: is told of scans with other grey values, and of masks that were changed since, and are kept.
    """
    strange, edited, failed, values = [], [], list[UserError](), run.data["labels"]
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        reading = reader.submit(read_scan, scans[0][0], sources)
        writing: Future[None] | None = None
        try:
            for done, (scan, made) in enumerate(scans):
                progress(done, len(scans))
                volumes = reading.result()
                if done + 1 < len(scans):
                    reading = reader.submit(read_scan, scans[done + 1][0], sources)
                if not isinstance(volumes, list):  # an earlier call made its files, or it cannot be read
                    failed += [volumes] if volumes else []
                    edited += [scan.name] if volumes is None and sources.is_edited(scan.name, made[0]) else []
                    continue
                if told := strange_grey_values(run, [volume.voxels for volume in volumes]):
                    strange.append(f"{scan.name} ({told})")
                if judged is not None:
                    judged.views.start()
                labels, maps = predictor(volumes, scan.channels[0])
                verdict = None if judged is None else judged.judge(volumes, labels)
                if writing is not None:
                    writing.result()
                grid = replace(volumes[0], voxels=labels)  # the scan's, without its voxels
                if made[0].is_file() and not np.array_equal(formats.read_label(made[0], grid, values).voxels, labels):
                    edited.append(scan.name)  # known_sources has removed masks of other scans
                    continue
                writing = writer.submit(write_files, sources, scan.name, made, labels, maps, grid, values, codes)
                if judged is not None and verdict is not None:
                    writing = writer.submit(judged.add, scan.name, verdict, writing)
                del volumes, labels, maps  # before the next are made
        finally:
            try:
                if writing is not None:
                    writing.result()
            finally:
                if judged is not None:
                    judged.save()
    progress(len(scans), len(scans))
    if edited:
        warn(
            f"kept, {'' if judged is None else 'without estimates, '}though these masks are not what the network made: "
            f"{listed(edited)}. Were they corrected by hand? Remove them to have them predicted again"
        )
    if strange:
        warn(f"with other grey values than the training knows: {listed(strange, '; ')}; masks may be wrong")
    if judged is None:
        warn_of_old(scans[0][1][0].parent, warn)
    raise_together(failed, len(scans), "The others have their masks")
