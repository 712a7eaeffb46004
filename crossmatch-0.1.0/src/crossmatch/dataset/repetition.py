"""Regular expressions that users write: whether matching one could take for ever."""

import re


def nests_repetitions(pattern: str) -> bool:
    """Whether a regular expression repeats, without a limit, what holds a repetition itself, as (a+)+ does."""
    open_groups: list[int] = []  # for each open group the place where it begins
    repeating: set[int] = set()  # places of groups that hold a repetition
    plain = re.sub(r"\\\\.|\[\^?\]?[^]]*\]", "x", pattern, flags=re.DOTALL)  # escapes and sets are one letter
    plain = re.sub("[{][0-9]+[}]", "", plain)  # an exact number repeats nothing that could be tried again
    last_closed: int | None = None
    for place, letter in enumerate(plain):
        if letter == "(":
            open_groups.append(place)
        elif letter == ")" and open_groups:
            last_closed = open_groups.pop()
            if last_closed in repeating and open_groups:
                repeating.add(open_groups[-1])
            continue
        elif letter in "*+{":
            if last_closed is not None and last_closed in repeating:
                return True
            if open_groups:
                repeating.add(open_groups[-1])
        last_closed = None
    return False
