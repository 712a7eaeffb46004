"""How two trees of settings differ, in words."""

from typing import Any


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Where two trees of settings differ, a sentence each: ``recipe.seed was 0, now 9``."""
    old, new = flat(before), flat(now)
    differing = (key for key in sorted(old | new) if old.get(key) != new.get(key))
    return [f"{key} was {old.get(key)!r}, now {new.get(key)!r}" for key in differing]


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """A tree of dicts as one dict with dotted keys, in order."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for key, sub in tree.items() for k, v in flat(sub, f"{prefix}.{key}".lstrip(".")).items()}
