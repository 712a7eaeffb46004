"""Images of several sequences where a case has one channel: a network would take t1 for flair."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from crossmatch.errors import UserError, listed

# Words for one sequence -> the one that stands for them.
_SAME = {"t1w": "t1", "t1n": "t1", "t1ce": "t1c", "t1gd": "t1c", "t2w": "t2", "t2f": "flair", "mri": "mr"}


def refuse_mixed_sequences(source: Path, images: Iterable[tuple[Path, str | None]]) -> None:
    """Refuse images whose names say several sequences, or of which only some say one.

    Args:
        images: each with the word of a sequence in its name, or None; they are to be one channel.

    Raises:
        UserError: these images, with what to do.
    """
    by_word: dict[str | None, list[Path]] = defaultdict(list)
    for path, word in images:
        by_word[_SAME.get(word, word) if word else None].append(path)
    if len(by_word) < 2:
        return
    words = sorted(word for word in by_word if word)
    counts = [f"{word}: {len(by_word[word])}, such as {by_word[word][0].relative_to(source)}" for word in words]
    if None in by_word:
        counts.append(f"none: {len(by_word[None])}, such as {by_word[None][0].relative_to(source)}")
    most = max(words, key=lambda word: len(by_word[word]))
    raise UserError(
        f"{source}: the names of the images say different sequences ({listed(counts, '; ')}), and most cases have one "
        f"of them, so they would be mixed in one channel. Take one: --channels {most}. If all are of one sequence, and "
        "the word means something else, name the channel by a word that no file has: --channels picture."
    )
