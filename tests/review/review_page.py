"""A window of a browser on the page, with its complaints kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

PATIENCE = 60_000  # ms; the CPU draws, and may have other work


@contextmanager
def opened(browser, address: str, width: int = 1280, height: int = 900, script: str = "", **options) -> Iterator:
    """A window on an address, in which a script may run first.

    Errors of the page, and requests that leave the server, fail the test.
    """
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(script)
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url) if foreign(asked.url, address) else None)
    page.wrong = wrong
    try:
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        yield page
        assert page.wrong == []
    finally:
        context.close()


def foreign(url: str, address: str) -> bool:
    """Whether a request goes anywhere but to the page's server."""
    return urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != urlsplit(address).netloc


def case_shown(page, ident: str) -> None:
    """Wait until a case can be worked on."""
    page.wait_for_selector(f'body[data-case="{ident}"]')
