"""Every value that a method logs has a title and a sentence on the report's page."""

import pytest
from tiny_methods import build, first_loss, noise

from crossmatch.methods import METHODS
from crossmatch.reports.terms import TERMS, group_of


@pytest.mark.parametrize("name", METHODS)
def test_every_term_is_explained_in_the_report(name):
    terms = first_loss(build(name, 2), noise(2))
    assert {group_of(term) for term in terms} <= set(TERMS), "say what the new term is in reports/terms.py"


def test_parts_stand_with_their_whole():
    assert [group_of(name) for name in ("tkd_ww", "ip2", "s1", "learning_rate", "own")] == [
        "tkd",
        "ip",
        "s",
        "learning_rate",
        "own",
    ]
