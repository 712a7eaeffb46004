"""Which evaluated cases a run has used before, and which ones it may have used.

Cases are told by their images, where these are known, and else by their names; names such as case_001 are common. A
name is certain where the references are those of the run's dataset: by its name, by the fingerprint of the folder that
they lie in, or by the bytes of a reference. Where only the name of a case says so, it is a doubt, and is told as one.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from crossmatch.atomic import read_json
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.fingerprint import fingerprint_path
from crossmatch.errors import UserError
from crossmatch.runs.run import Run
from crossmatch.scoring.scored_files import digest_of
from crossmatch.scoring.scores import Evaluation

UNLABELLED = "unlabelled training"  # of a case whose image alone was learned from
_KEYS = {"validation": ["validation"], "training": ["labelled", "labelled_before"]}  # of run.json
_RANKS = (UNLABELLED, *_KEYS)  # of what a case was to several runs, the last one counts


class SeenCases(NamedTuple):
    """Case -> training, validation or `UNLABELLED`."""

    certain: dict[str, str]
    by_name: dict[str, str]  # cases of a dataset of another name or of none, which may be others


def seen_before(run: Run, evaluation: Evaluation, references: Path | None = None) -> SeenCases:
    """The evaluated cases that the run has used, or another run whose masks these are, alone or averaged.

    Args:
        references: the folder of the references, or the one file; None: nobody knows.
    """
    made = evaluation.prediction or {}
    others: list[Any] = [each.get("data", {}) for each in (made, *made.get("members", []))]
    content = None if references is None else _fingerprint(references if references.is_dir() else references.parent)
    seen = SeenCases({}, {})
    used = [(run.data, dict.fromkeys(_unlabelled_cases(run), UNLABELLED))] + [(facts, {}) for facts in others]
    for facts, learned in used:
        learned |= used_labels(facts)
        same = _same_data(facts, evaluation, content)
        images, known = _images(facts, learned), _contents(facts, evaluation) if same else evaluation.contents
        for case, image in known.items():
            if image in images:
                note(seen.certain, case, images[image])
        found = {case: learned[case] for case in evaluation.case_means() if case in learned}
        others_image = {case for case in found if _of_another_image(case, facts, evaluation)}
        certain = set(found) - others_image if same else set[str]()
        if facts is run.data and len(certain) < len(found):
            certain |= _same_references(run, evaluation, found)
        for case, kind in found.items():
            if case in certain:
                note(seen.certain, case, kind)
            elif same or case not in others_image:  # of the same data, an image may have been stored again
                note(seen.by_name, case, kind)
    return SeenCases(seen.certain, {case: kind for case, kind in seen.by_name.items() if case not in seen.certain})


def note(kinds: dict[str, str], case: str, kind: str) -> None:
    """Note what a case was to a run; what counts most stays."""
    kinds[case] = max(kind, kinds.get(case, kind), key=_RANKS.index)


def _images(facts: Any, learned: Mapping[str, str]) -> dict[str, str]:
    """Content of an image -> what it was to the run that these facts are of; empty for a run of an earlier version."""
    contents, kinds = facts.get("contents", {}), dict[str, str]()
    for case, kind in learned.items():
        if case in contents:
            note(kinds, contents[case], kind)
    return kinds | dict.fromkeys(facts.get("contents_before", []), "training")


def _contents(facts: Any, evaluation: Evaluation) -> dict[str, str]:
    """Evaluated case -> its image, for the dataset that a run learned from."""
    own = {case: image for case, image in facts.get("contents", {}).items() if case in evaluation.case_means()}
    return own | dict(evaluation.contents)


def _of_another_image(case: str, facts: Any, evaluation: Evaluation) -> bool:
    """Whether both images of this name are known, and differ."""
    theirs, ours = evaluation.contents.get(case), facts.get("contents", {}).get(case)
    return theirs is not None and ours is not None and theirs != ours


def used_labels(facts: Any) -> dict[str, str]:
    """Case -> training or validation, for the cases whose labels a run has used.

    Args:
        facts: what the run's record says of its data.
    """
    return {case: kind for kind, keys in _KEYS.items() for key in keys for case in facts.get(key, [])}


def about_seen(seen: SeenCases, evaluation: Evaluation) -> list[str]:
    """What is said of such cases, a sentence each."""
    kinds = {
        "training": "the run learned from their labels",
        "validation": "the run was validated with them",
        UNLABELLED: "the run learned from their images",
    }
    cases, told = len(evaluation.case_means()), []
    counts = {kind: sum(1 for each in seen.certain.values() if each == kind) for kind in kinds}
    if known := [f"{count} of {cases} are {kind} cases: {kinds[kind]}" for kind, count in counts.items() if count]:
        told.append(f"{'; '.join(known)}. Their scores say little about new scans.")
    if seen.by_name:
        told.append(
            f"{len(seen.by_name)} of {cases} are named like cases that the run, or one that made these masks, learned "
            "from or was validated with. Whether they are the same is not known, as their references are of "
            f"{evaluation.dataset or 'data without a name'} and nothing but the names was compared. If they are, their "
            "scores say little about new scans."
        )
    return told


def tags_of(seen: SeenCases) -> Mapping[str, str]:
    """Case -> a word for what it was to the run, with a question mark where only its name says so."""
    return {**{case: f"{kind}?" for case, kind in seen.by_name.items()}, **seen.certain}


def _same_data(facts: Any, evaluation: Evaluation, content: str | None) -> bool:
    """Whether the references are of the dataset that a run learned from.

    Args:
        facts: what that run's record says of it. content: the fingerprint of the references' folder.
    """
    if content is not None and facts.get("fingerprint") == content:
        return True
    return evaluation.dataset is not None and evaluation.dataset == facts.get("name")


def _fingerprint(folder: Path) -> str | None:
    """The digest in the fingerprint of the dataset that a folder of labels belongs to; None where there is none."""
    with suppress(UserError):
        root = folder.resolve().parent
        if (root / "dataset.json").is_file():
            digest = read_json(fingerprint_path(root), dict[str, Any], "").get("digest")
            return digest if isinstance(digest, str) else None
    return None


def _same_references(run: Run, evaluation: Evaluation, cases: Mapping[str, str]) -> set[str]:
    """The cases that were scored against the very labels that they have in the run's dataset, where it is there."""
    if run.is_packed:
        return set()
    with suppress(UserError, OSError):
        dataset = open_dataset(run.data["root"], splits=["train", "val"])
        labels = {case.id: case.label for case in dataset.cases if case.id in cases and case.label is not None}
        return {case for case, label in labels.items() if digest_of(label) == evaluation.references_sha256.get(case)}
    return set()


def _unlabelled_cases(run: Run) -> Iterator[str]:
    """The cases whose images the run learned from without labels.

    Runs of earlier versions do not name them: then they are all training cases that the dataset has now, and none where
    it is gone.
    """
    if not run.recipe.method_class.needs_unlabelled or run.is_packed:
        return
    if "unlabelled_cases" in run.data:
        yield from run.data["unlabelled_cases"]
        return
    with suppress(UserError):
        labelled = set(run.data["labelled"])
        yield from (
            case.id for case in open_dataset(run.data["root"], splits=["train"]).cases if case.id not in labelled
        )
