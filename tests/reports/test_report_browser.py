"""The report in a real browser: it draws, zooms and tells values, complains of nothing and asks nobody."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from written_runs import log, write_predictions, write_run

from chromium import chromium, open_file
from crossmatch.reports import write_report
from crossmatch.scoring.evaluate import evaluate
from tiny import write_dataset


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    place = tmp_path_factory.mktemp("browser")
    data = write_dataset(place / "data", n_train=3, n_val=1, n_test=4, unlabelled=1)
    run = write_run(place / "<b>run", data, log())
    write_predictions(data, run / "test")
    evaluate(run / "test", data / "labelsTs", run / "test")
    return write_report(run)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


def shows(tooltip, *texts):
    """Wait until a tooltip has these texts; the page draws with the screen's next frame."""
    from playwright.sync_api import expect

    expect(tooltip).to_be_visible()
    expect(tooltip).to_have_text(re.compile(r"\s*".join(map(re.escape, texts)) + r"(\D|$)"))


def test_curves_tell_values_and_zoom(browser, page):
    tab, complaints = open_file(browser, page)
    panel = tab.locator("figure.panel").nth(1)  # the total loss
    panel.scroll_into_view_if_needed()
    assert panel.locator("canvas").count() == 1
    assert not panel.locator(".drawing > svg").is_visible()
    box = panel.locator(".u-over").bounding_box()
    middle = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + box["width"] / 2, middle)
    tooltip = panel.locator(".tooltip")
    shows(tooltip, "step 30", "total", "0.02439")  # 1 / (30 + 11)
    reset = panel.get_by_role("button", name="whole curve")
    assert not reset.is_visible()
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=3)
    tab.mouse.up()
    assert reset.is_visible()
    tab.mouse.move(panel.locator(".u-over").bounding_box()["x"] + 2, middle)
    shows(tooltip, "step 30")  # the first one that is still seen
    reset.click()
    assert not reset.is_visible()
    tab.mouse.move(panel.locator(".u-over").bounding_box()["x"] + 2, middle)
    shows(tooltip, "step 5")
    assert complaints == []


def test_curves_by_keys_alone(browser, page):
    tab, complaints = open_file(browser, page)
    live = tab.locator("figure.panel .live").nth(1)
    live.focus()
    tooltip = live.locator(".tooltip")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    shows(tooltip, "step 10")
    tab.keyboard.press("+")
    assert live.get_by_role("button").is_visible()
    tab.keyboard.press("0")
    assert not live.get_by_role("button").is_visible()
    assert complaints == []


def test_a_finger_reads_values_and_nothing_is_wider_than_a_phone(browser, page):
    tab, complaints = open_file(browser, page, viewport={"width": 390, "height": 800}, has_touch=True)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    panel = tab.locator("figure.panel").nth(1)
    panel.scroll_into_view_if_needed()
    box = panel.locator(".u-over").bounding_box()
    tab.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 40)
    shows(panel.locator(".tooltip"), "step 30")
    values = tab.locator(".tiles dd span")
    assert {round(values.nth(n).bounding_box()["height"]) for n in range(values.count())} == {
        round(values.nth(0).bounding_box()["height"])
    }, "a number and its unit stay on one line"
    assert complaints == []


def test_without_scripts_the_static_curves_stay(browser, page):
    tab, complaints = open_file(browser, page, java_script_enabled=False)
    assert tab.locator("figure.panel canvas").count() == 0
    assert tab.locator("figure.panel svg.across").is_visible()
    assert tab.locator(".overlay").first.is_visible()
    assert complaints == []


def test_the_pages_policy_stops_a_script_that_got_in(browser, page, tmp_path):
    planted = tmp_path / "planted.html"
    planted.write_text(page.read_text().replace("</body>", "<script>document.title = 'taken over'</script></body>"))
    tab, complaints = open_file(browser, planted)
    assert "taken over" not in tab.title()
    assert any("Content Security Policy" in text for text in complaints)


def test_the_viewer_shows_a_case_with_its_masks(browser, page, tmp_path):
    with_viewer = write_report(page.parent, out=tmp_path / "viewer.html", viewer=True)
    tab, complaints = open_file(browser, with_viewer, viewport={"width": 760, "height": 420})  # drawn in software
    start = tab.get_by_role("button", name="Open in three planes and 3D")
    assert start.count() == 3
    start.first.click()
    tab.locator(".viewer[data-ready]").wait_for()
    canvas = tab.locator(".viewer canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 0.1, "y": box["height"] / 2})
    seen = tab.locator(".viewer-where")
    seen.filter(has_text="mm").wait_for()
    assert re.search(r"prediction: (RV|MYO|background) · reference: ", seen.inner_text())
    pixels = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(int)
    coloured = np.ptp(pixels, axis=2) > 40
    assert 0.01 < coloured.mean() < 0.9, "classes have colours"
    tab.get_by_label("opacity of prediction").fill("0")
    tab.get_by_role("button", name="3D only").click()
    tab.get_by_role("button", name="Close").click()
    assert tab.locator(".viewer").count() == 0
    assert start.count() == 3
    assert complaints == []


def test_without_webgl_the_pictures_stay(browser, page, tmp_path):
    with_viewer = write_report(page.parent, out=tmp_path / "viewer.html", viewer=True)
    tab, complaints = open_file(browser, with_viewer)
    tab.evaluate("HTMLCanvasElement.prototype.getContext = () => null")
    tab.get_by_role("button", name="Open in three planes and 3D").first.click()
    tab.get_by_text("no WebGL 2").wait_for()
    assert tab.locator(".overlay").first.is_visible()
    assert complaints == []
