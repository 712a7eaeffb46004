"""What the page asks for, and what it gets: a function for each address."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crossmatch.errors import UserError
from crossmatch.formats import Array
from crossmatch.review.accepting import label_of
from crossmatch.review.case_list import Wish, flags_of, neighbours, page_of, row
from crossmatch.review.case_voxels import OpenCase
from crossmatch.review.desk import Desk, dice_of
from crossmatch.review.elsewhere import hand_out, take_back
from crossmatch.review.thumbnails import colour_of
from crossmatch.review.train_on import last_words

Query = dict[str, str]


@dataclass(frozen=True)
class Reply:
    """The body of an answer and its type."""

    body: bytes
    type: str = "application/json"


def _json(value: Any) -> Reply:
    return Reply(json.dumps(value).encode())


def _run(desk: Desk, query: Query, body: bytes) -> Reply:
    """What the page says once."""
    run, gathered = desk.run, desk.gathered
    labels = desk.labels
    kinds = [case.kind for case in gathered.cases.values()]
    return _json(
        {
            "name": run.folder.resolve().name,
            "data": run.data["name"],
            "method": run.recipe.method.name,
            "channels": list(run.data["channels"]),
            "classes": [
                {"name": name, "value": value, "colour": colour_of(value, labels)}
                for name, value in labels.items()
                if value
            ],
            "notes": list(gathered.notes),
            "calibration": gathered.calibration,
            "kinds": {kind: kinds.count(kind) for kind in ("unlabelled", "validation", "new")},
            "states": desk.decisions.count(gathered.cases),
            "ranked": sum(case.label_next is not None for case in gathered.cases.values()),
            "without": _without(desk),
            "predict": {"command": desk.predicting.command, "possible": desk.predicting.possible},
            "words": last_words(desk),
        }
    )


def _without(desk: Desk) -> dict[str, int]:
    """How many cases have no mask: those that the page's command predicts, and others."""
    cases = [case for case in desk.gathered.cases.values() if case.mask is None]
    predicted = sum(desk.predicting.makes(case.images[0]) for case in cases)
    return {"predicted": predicted, "others": len(cases) - predicted}


def _classes(desk: Desk) -> list[str]:
    return [name for name, value in desk.labels.items() if value]


def _cases(desk: Desk, query: Query, body: bytes) -> Reply:
    wish = Wish.parsed(query)
    answer = page_of(desk.gathered.cases.values(), desk.decisions, wish, _classes(desk))
    return _json({**answer, "states": desk.decisions.count(desk.gathered.cases)})


def _case(desk: Desk, query: Query, body: bytes) -> Reply:
    """All of one case but its voxels."""
    ident = query.get("id", "")
    with desk.opened(ident) as opened:
        case, grid = opened.case, opened.grid
        prediction, problems = _tried(lambda: desk.prediction(opened))
        reference, more = _tried(lambda: opened.label(desk.places.checked(case.reference)) if case.reference else None)
        flags = [*flags_of(case), *([stale] if (stale := _stale(opened)) else []), *problems, *more]
        if desk.draft_of_another_scan(opened):
            flags.append("Your corrections were drawn on another scan, or before this one was written again.")
        draft = desk.draft_of(case, opened.flat)
        scores = None
        if prediction is not None and reference is not None:
            values, ignore = desk.run.data["labels"], desk.gathered.dataset.ignore
            scores = {name: dice_of(prediction, reference, value, ignore) for name, value in values.items() if value}
        facts = {
            "shape": list(grid.shape),
            "spacing": list(grid.spacing_mm) if grid.spacing_mm else None,
            "flat": opened.flat,
            "colours": opened.colours(),
            "windows": [opened.window(k) for k in range(len(opened.channels))],
            "types": [opened.image_type(k) for k in range(len(opened.channels))],
            "prediction": prediction is not None,
            "reference": reference is not None,
            "uncertainty": case.mask is not None and case.mask.uncertainty is not None,
            "draft": draft.stat().st_mtime if draft.is_file() else None,
            "scores": scores,
            "version": desk.version(case),
            "labelled": label_of(desk.root, case.name) is not None if case.kind != "new" else False,
            "image": str(case.images[0].absolute()),
            "mask_path": str(case.mask.path) if case.mask else None,
        }
    answer = row(case, desk.decisions, _classes(desk))
    around = neighbours(desk.gathered.cases.values(), desk.decisions, Wish.parsed(query), ident)
    return _json({**answer, **facts, "flags": flags, **around})


def _tried(read: Callable[[], Array | None]) -> tuple[Array | None, list[str]]:
    """A label that may be damaged must not hide the image: what is wrong with it becomes a flag."""
    try:
        return read(), []
    except UserError as error:
        return None, [str(error)]


def _stale(opened: OpenCase) -> str | None:
    mask = opened.case.mask
    if mask is None or mask.outdated is not None:
        return None
    if mask.scan_has_changed():
        return "The scan was written again since this mask was made: predict it again."
    if mask.has_changed():
        return "The mask was changed since: it is not what the network made."
    return None


def _image(desk: Desk, query: Query, body: bytes) -> Reply:
    number = query.get("channel", "0")
    channel = int(number) if number.isdecimal() and len(number) < 5 else 0
    with desk.opened(query.get("id", "")) as opened:
        return Reply(opened.image(min(channel, len(opened.channels) - 1)), "application/octet-stream")


def _layer(desk: Desk, query: Query, body: bytes) -> Reply:
    """A map on the image: the prediction, the reference, the uncertainty or kept corrections."""
    what = query.get("what")
    with desk.opened(query.get("id", "")) as opened:
        case, found = opened.case, None
        if what == "prediction":
            found = desk.prediction(opened)
        elif what == "reference" and case.reference is not None:
            found = opened.label(desk.places.checked(case.reference))
        elif what == "uncertainty" and case.mask is not None and case.mask.uncertainty is not None:
            found = opened.uncertainty(desk.places.checked(case.mask.uncertainty))
        elif what == "draft" and (path := desk.draft_of(case, opened.flat)).is_file():
            found = opened.label(path)
        if found is None:
            raise UserError(f"{case.name} has no {str(what)[:50]} any more: open it again.")
        return Reply(opened.sent(found), "application/octet-stream")


def _thumbnail(desk: Desk, query: Query, body: bytes) -> Reply:
    return Reply(desk.thumbnail(query.get("id", "")), "image/svg+xml")


def _predicting(desk: Desk, query: Query, body: bytes) -> Reply:
    return _json(desk.predicting.state())


def _draft(desk: Desk, query: Query, body: bytes) -> Reply:
    if query.get("drop") == "1":
        desk.drop_draft(query.get("id", ""))
    else:
        desk.keep_draft(query.get("id", ""), body)
    return _json({})


def _accept(desk: Desk, query: Query, body: bytes) -> Reply:
    may_replace = query.get("replace") == "1"
    written = desk.accept(query.get("id", ""), body, query.get("version", ""), may_replace)
    kept = str(written.replaced) if written.replaced else None
    return _json({"label": str(written.path), "corrected": written.corrected, "replaced": kept})


def _reject(desk: Desk, query: Query, body: bytes) -> Reply:
    desk.decide(query.get("id", ""), "rejected", query.get("version", ""))
    return _json({})


def _reopen(desk: Desk, query: Query, body: bytes) -> Reply:
    desk.decide(query.get("id", ""), "open", query.get("version", ""))
    return _json({})


def _elsewhere(desk: Desk, query: Query, body: bytes) -> Reply:
    with desk.opened(query.get("id", "")) as opened:
        return _json(hand_out(desk.run.folder, opened, opened.received(body)))


def _back(desk: Desk, query: Query, body: bytes) -> Reply:
    with desk.opened(query.get("id", "")) as opened:
        labels, _ = take_back(desk.run.folder, opened)
        return Reply(opened.sent(labels), "application/octet-stream")


def _predict(desk: Desk, query: Query, body: bytes) -> Reply:
    desk.predicting.start()
    return _json(desk.predicting.state())


def _refresh(desk: Desk, query: Query, body: bytes) -> Reply:
    desk.refresh()
    return _json({})


def _end(desk: Desk, query: Query, body: bytes) -> Reply:
    return _json({"words": last_words(desk)})


Answer = Callable[[Desk, Query, bytes], Reply]
ASKED: dict[str, Answer] = {
    "run": _run,
    "cases": _cases,
    "case": _case,
    "image": _image,
    "layer": _layer,
    "thumbnail": _thumbnail,
    "predicting": _predicting,
    "back": _back,
}
TOLD: dict[str, Answer] = {
    "draft": _draft,
    "accept": _accept,
    "reject": _reject,
    "reopen": _reopen,
    "elsewhere": _elsewhere,
    "predict": _predict,
    "refresh": _refresh,
    "end": _end,
}
