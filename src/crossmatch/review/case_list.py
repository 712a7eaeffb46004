"""The table of cases: which rows, in which order, one page of them. Thousands of cases stay quick."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crossmatch.errors import UserError
from crossmatch.review.decisions import Decisions
from crossmatch.review.shown_cases import ReviewCase

ROWS = 25  # of a page
_KINDS = {"unlabelled": 0, "validation": 1, "new": 2}
_STATES = {"open": 0, "rejected": 1, "accepted": 2}


@dataclass(frozen=True)
class Wish:
    """What the user wants to see."""

    sort: str = "worst"  # worst, name, kind, state, next, mean, or class:NAME
    down: bool = False  # from the largest to the smallest
    kind: str = ""
    state: str = ""
    text: str = ""
    flagged: bool = False
    page: int = 0  # from 0

    @classmethod
    def parsed(cls, query: dict[str, str]) -> "Wish":
        """From the query of an address; what cannot be read has its default."""
        page = query.get("page", "0")
        return cls(
            query.get("sort", "worst"),
            query.get("down") == "1",
            query.get("kind", ""),
            query.get("state", ""),
            query.get("text", "").casefold().strip(),
            query.get("flagged") == "1",
            int(page) if page.isdecimal() and len(page) < 9 else 0,
        )


def worst_key(case: ReviewCase) -> tuple[object, ...]:
    """Sorts by how much a case needs eyes: outside the training data, then the lowest estimate, then without one."""
    quality = case.mask.quality if case.mask else None
    if quality is None:
        return (2 if case.mask else 3, 0.0, case.name)
    value = quality["agreement"] if quality["dice"] is None else quality["dice"]
    return (0 if quality["out_of_distribution"] else 1, -1.0 if value is None else value, case.name)


def chosen(cases: Iterable[ReviewCase], decisions: Decisions, wish: Wish) -> list[ReviewCase]:
    """The cases that a wish leaves, in its order. Cases without a value come last, whichever way."""
    left = [
        case
        for case in cases
        if (not wish.kind or case.kind == wish.kind)
        and (not wish.state or decisions.state(case.id) == wish.state)
        and (not wish.text or wish.text in case.name.casefold())
        and (not wish.flagged or flags_of(case))
    ]
    if wish.sort == "worst":
        left.sort(key=worst_key, reverse=wish.down)
    elif wish.sort in ("name", "kind", "state"):
        left.sort(key=lambda case: _order(case, decisions, wish.sort), reverse=wish.down)
    else:
        known = [(value, case) for case in left if (value := value_of(case, wish.sort)) is not None]
        known.sort(key=lambda pair: (pair[0], pair[1].name), reverse=wish.down)
        with_value = {case.id for _, case in known}
        left = [case for _, case in known] + [case for case in left if case.id not in with_value]
    return left


def _order(case: ReviewCase, decisions: Decisions, sort: str) -> tuple[object, ...]:
    if sort == "kind":
        return (_KINDS[case.kind], case.name)
    return (_STATES[decisions.state(case.id)], case.name) if sort == "state" else (case.name, case.kind)


def value_of(case: ReviewCase, column: str) -> float | None:
    """What a column shows: `next`, the place in the ranking; or the estimated Dice, `mean` or `class:NAME`.

    Where there is no calibration, the agreement stands for the Dice.
    """
    if column == "next":
        return case.label_next
    quality = case.mask.quality if case.mask else None
    if quality is None:
        return None
    if column == "mean":
        return quality["agreement"] if quality["dice"] is None else quality["dice"]
    found = quality["classes"].get(column.removeprefix("class:"))
    if found is None:
        return None
    return found["agreement"] if found["dice"] is None else found["dice"]


def flags_of(case: ReviewCase) -> list[str]:
    """What the user should know of a case, in sentences."""
    if case.other_scan:
        return [
            "The mask of this name is not shown: it was made from another scan, or before this one was written again. "
            "Predict it again."
        ]
    if case.mask is None:
        return []
    flags = list(case.mask.quality["flags"]) if case.mask.quality else []
    return flags + ([case.mask.outdated] if case.mask.outdated else [])


def row(case: ReviewCase, decisions: Decisions, classes: Iterable[str]) -> dict[str, Any]:
    """A case in the table."""
    quality = case.mask.quality if case.mask else None
    decided = decisions.last.get(case.id)
    return {
        "id": case.id,
        "name": case.name,
        "kind": case.kind,
        "state": decisions.state(case.id),
        "when": decided["when"] if decided else None,
        "mask": case.mask is not None,
        "next": case.label_next,
        "mean": value_of(case, "mean"),
        "low": quality and quality["low"],
        "high": quality and quality["high"],
        "calibrated": bool(quality and quality["dice"] is not None),
        "classes": [value_of(case, f"class:{name}") for name in classes],
        "outside": bool(quality and quality["out_of_distribution"]),
        "flags": flags_of(case),
    }


def page_of(cases: Iterable[ReviewCase], decisions: Decisions, wish: Wish, classes: list[str]) -> dict[str, Any]:
    """One page of the table.

    Raises:
        UserError: a column that there is not.
    """
    if wish.sort not in ("worst", "name", "kind", "state", "next", "mean", *(f"class:{name}" for name in classes)):
        raise UserError(f"There is no column {wish.sort[:100]} to sort by.")
    found = chosen(cases, decisions, wish)
    pages = max(1, -(-len(found) // ROWS))
    page = min(wish.page, pages - 1)
    shown = found[page * ROWS : (page + 1) * ROWS]
    return {
        "rows": [row(case, decisions, classes) for case in shown],
        "found": len(found),
        "page": page,
        "pages": pages,
        "first": page * ROWS,
    }


def neighbours(cases: Iterable[ReviewCase], decisions: Decisions, wish: Wish, ident: str) -> dict[str, Any]:
    """The cases before and after one in the table's order, and its place."""
    found = [case.id for case in chosen(cases, decisions, wish)]
    if ident not in found:
        return {"previous": None, "next": found[0] if found else None, "place": None, "found": len(found)}
    place = found.index(ident)
    return {
        "previous": found[place - 1] if place else None,
        "next": found[place + 1] if place + 1 < len(found) else None,
        "place": place + 1,
        "found": len(found),
    }
