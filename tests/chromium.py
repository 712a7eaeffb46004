"""A headless Chromium that opens pages of ours and notes what it complains about; tests skip where there is none."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
# no sandbox: tests may run as root; WebGL in software
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none, or no playwright to drive it."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None or importlib.util.find_spec("playwright") is None:
        pytest.skip(f"no {'playwright' if found else 'Chromium'} on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def open_file(browser: Any, path: Path, **context: Any) -> tuple[Any, list[str]]:
    """A tab that shows a file, and a list that grows with errors of its console and whatever it asks a network for."""
    tab = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | context)).new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    local = ("file:", "data:", "blob:")
    tab.on("request", lambda asked: None if asked.url.startswith(local) else complaints.append(asked.url))
    tab.goto(path.as_uri())
    return tab, complaints
