"""The page in a real browser: open, sort, look, draw, accept; the files have the right voxels in the right place."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from review_page import case_shown, opened
from reviewable import predicted, untrained_run
from served import desk_of, served

from axis_turns import ORDERS, reordered
from chromium import chromium
from crossmatch import formats
from crossmatch.review.accepting import label_of
from tiny import AFFINE, write_dataset, write_nifti


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """A dataset whose third and fourth cases are stored with other axes than the first."""
    place = tmp_path_factory.mktemp("volumes")
    data = write_dataset(place / "data", n_train=4, unlabelled=3, shape=(12, 10, 6))
    affine = AFFINE.copy()
    affine[:3, 3] = 31.0, -20.0, 7.0
    for name, order in (("case_003", ORDERS[14]), ("case_004", ORDERS[37])):
        path = data / "imagesTr" / f"{name}_0000.nii.gz"
        write_nifti(path, *reordered(np.asarray(nib.load(path).dataobj), affine, order))
    run = untrained_run(place / "run", data).folder
    target = predicted(run, data, {"case_002": 0.9, "case_003": 0.4, "case_004": 0.2, "case_005": 0.7})
    maps = formats.read(data / "imagesTr" / "case_003_0000.nii.gz")
    shares = np.linspace(0, 1, maps.voxels.size, dtype=np.float32).reshape(maps.shape)
    formats.write(target / "uncertainty" / "case_003.nii.gz", shares, like=maps)
    desk = desk_of(run, data)
    with served(desk) as server:
        yield server, desk, data


def names(page) -> list[str]:
    return page.locator("#rows .link").all_inner_texts()


def stroke(page, box, *points: tuple[float, float]) -> None:
    """Drag through points, given as shares of a box."""
    for n, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3 if n else 1)
        if n == 0:
            page.mouse.down()
    page.mouse.up()


def crosshair(page, affine: np.ndarray) -> tuple[int, ...]:
    """The voxel of the file under the cross, from the millimetres that the page shows."""
    millimetres = [float(each) for each in page.inner_text("#where").split(" mm")[0].split(", ")]
    return tuple(np.rint(np.linalg.solve(affine, [*millimetres, 1])[:3]).astype(int).tolist())


def test_the_list_is_sorted_and_filtered(browser, volumes) -> None:
    server, _, _ = volumes
    with opened(browser, server.address) as page:
        assert names(page) == ["case_004", "case_003", "case_005", "case_002"]  # worst first
        page.click("th[data-sort=name] button")
        page.wait_for_selector("th[data-sort=name][aria-sort=ascending]")
        assert names(page) == ["case_002", "case_003", "case_004", "case_005"]
        twice = "button => { button.click(); button.click(); }"  # the second before the first one's answer
        page.eval_on_selector("th[data-sort='class:RV'] button", twice)
        page.wait_for_selector("th[data-sort='class:RV'][aria-sort=descending]")
        assert names(page) == ["case_002", "case_005", "case_003", "case_004"]
        page.select_option("[name=kind]", "validation")
        page.wait_for_selector("#rows:has(tr):not(:has(tr:nth-child(2)))")
        assert names(page) == ["case_005"]
        page.fill("[name=text]", "nobody")
        page.wait_for_selector("#nothing:not([hidden])")
        page.fill("[name=text]", "")
        page.wait_for_selector("#rows:has(tr):not(:has(tr:nth-child(2)))")
        assert page.locator(".thumb img").evaluate_all("all => all.map(each => each.complete && each.naturalWidth > 0)")


def test_look_draw_and_accept_in_3d(browser, volumes) -> None:
    """By mouse and keyboard, on a scan with turned axes: labels land on the voxels that were under the cross."""
    server, desk, data = volumes
    ident = "unlabelled:case_003"
    image = nib.load(data / "imagesTr" / "case_003_0000.nii.gz")
    with desk.opened(ident) as case:
        before = desk.prediction(case)
    with opened(browser, server.address) as page:
        page.get_by_role("button", name="case_003").click()
        case_shown(page, ident)
        assert page.inner_text("#case-name") == "case_003"
        page.check("#show-uncertainty")
        page.wait_for_timeout(200)
        assert page.evaluate("document.querySelector('#volume').width") > 400
        for view in ("Axial", "Coronal", "Sagittal", "3D", "Planes"):
            page.click(f"#views button:has-text('{view}')")
        page.uncheck("#class-1")
        page.check("#class-1")
        page.fill("#low", "10")
        page.press("#low", "Enter")
        assert page.is_disabled("#undo")

        page.focus("#volume")
        for key in ("ArrowUp", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowUp", "b", "[", "["):
            page.keyboard.press(key)
        painted = crosshair(page, image.affine)
        value = 1 if before[painted] == 2 else 2
        page.keyboard.press(str(value))
        page.keyboard.press("Space")
        page.wait_for_selector("#undo:enabled")

        page.click("#views button:has-text('Axial')")
        stroke(page, page.locator("#volume").bounding_box(), (0.3, 0.3), (0.5, 0.4), (0.45, 0.6))
        page.wait_for_timeout(200)
        page.keyboard.press("u")  # takes the stroke back, not the voxel
        assert page.is_enabled("#undo")
        page.keyboard.press("a")
        case_shown(page, "validation:case_005")  # the next one
    label = nib.load(data / "labelsTr" / "case_003.nii.gz")
    voxels = np.asarray(label.dataobj)
    np.testing.assert_allclose(label.affine, image.affine, atol=1e-5)
    assert [tuple(each) for each in np.argwhere(voxels != before).tolist()] == [painted]
    assert voxels[painted] == value
    assert json.loads((data / "review" / "case_003.json").read_text())["corrected_voxels"] == 1


@pytest.mark.slow
def test_strokes_and_fills_in_3d_stay_in_their_plane(browser, volumes) -> None:
    server, desk, data = volumes
    ident = "unlabelled:case_004"
    image = nib.load(data / "imagesTr" / "case_004_0000.nii.gz")
    with desk.opened(ident) as case:
        before = desk.prediction(case)
    with opened(browser, server.address + "#case=" + ident) as page:
        case_shown(page, ident)
        page.click("#views button:has-text('Axial')")
        page.keyboard.press("f")
        page.select_option("#pen", "1")
        box = page.locator("#volume").bounding_box()
        stroke(page, box, (0.35, 0.35), (0.65, 0.35), (0.65, 0.65), (0.35, 0.65))
        page.wait_for_selector("#undo:enabled")
        page.keyboard.press("Escape")
        page.wait_for_selector("#list:not([hidden])")
        assert desk.draft_of(desk.case(ident), False).is_file()  # kept when the case was left
        page.get_by_role("button", name="case_004").click()
        case_shown(page, ident)
        assert "Corrected" in page.inner_text("#changed")
        page.click("#accept")
        page.wait_for_selector("#said:has-text('Accepted')")
    voxels = np.asarray(nib.load(data / "labelsTr" / "case_004.nii.gz").dataobj)
    changed = np.argwhere(voxels != before)
    assert set(voxels[voxels != before]) == {1}
    world = nib.affines.apply_affine(image.affine, changed)
    assert np.ptp(world[:, 2]) < 1e-3  # one axial slice
    x, y = (np.unique(world[:, axis].round(3)) for axis in (0, 1))
    assert len(x) > 2
    assert len(y) > 2
    assert len(changed) > 0.4 * len(x) * len(y)  # filled, not an outline
    assert not desk.draft_of(desk.case(ident), False).exists()


@pytest.fixture(params=["grey", "colour"])
def pictures(tmp_path, request):
    """A dataset of PNG pictures."""
    colours = request.param == "colour"
    data = tmp_path / "data"
    (data / "imagesTr").mkdir(parents=True)
    (data / "labelsTr").mkdir()
    channels = ("red", "green", "blue") if colours else ("grey",)
    named = {str(n): name for n, name in enumerate(channels)}
    (data / "dataset.json").write_text(
        json.dumps({"channel_names": named, "labels": {"skin": 0, "mole": 1, "hair": 2}})
    )
    rng = np.random.default_rng(0)
    for n in range(3):
        pixels = rng.integers(0, 255, (30, 40, 3) if colours else (30, 40)).astype(np.uint8)
        Image.fromarray(pixels).save(data / "imagesTr" / f"p{n}_0000.png")
    label = np.zeros((30, 40), np.uint8)
    label[5:20, 5:20], label[22:26, 22:30] = 1, 2
    Image.fromarray(label).save(data / "labelsTr" / "p0.png")
    run = untrained_run(tmp_path / "run", data, "data.labelled=all").folder
    predicted(run, data, {"p1": 0.5, "p2": 0.6})
    desk = desk_of(run, data)
    with served(desk) as server:
        yield server, desk, data


def test_pictures_by_keyboard_and_mouse(browser, pictures) -> None:
    server, desk, data = pictures
    with desk.opened("unlabelled:p1") as case:
        before = desk.prediction(case)
    wanted = before.copy()
    with opened(browser, server.address) as page:
        page.keyboard.press("Enter")  # the worst case has the focus
        case_shown(page, "unlabelled:p1")
        for key in ("b", "2", "[", "["):
            page.keyboard.press(key)
        for key in ("Shift+ArrowRight", "Shift+ArrowUp", "Space"):
            page.keyboard.press(key)
        wanted[21, 14] = 2
        box = page.locator(".layers").bounding_box()
        stroke(page, box, (2.5 / 40, 3.5 / 30), (6.5 / 40, 3.5 / 30))
        page.keyboard.press("Control+z")
        page.keyboard.press("f")
        page.keyboard.press("1")
        stroke(page, box, (30.5 / 40, 2.5 / 30), (36.5 / 40, 2.5 / 30), (36.5 / 40, 8.5 / 30), (30.5 / 40, 8.5 / 30))
        wanted[30:37, 2:9] = 1
        page.keyboard.press("e")
        stroke(page, box, (33.5 / 40, 5.5 / 30), (33.5 / 40, 5.5 / 30))
        wanted[33, 5] = 0
        page.keyboard.press("a")
        case_shown(page, "unlabelled:p2")
        page.keyboard.press("r")
        page.wait_for_selector("#case-state.rejected")
        page.keyboard.press("Escape")
        page.wait_for_selector("#list:not([hidden])")
        assert page.locator("#rows .state").all_inner_texts() == ["accepted", "rejected"]
        assert "crossmatch train --from" in page.inner_text("#train-command")
        page.keyboard.press("ArrowDown")
        page.focus("#end")
        page.keyboard.press("Enter")
        page.wait_for_selector("#ended:not([hidden])")
        assert "1 of 2 cases accepted" in page.inner_text("#ended-told")
    label = label_of(data, "p1")
    assert label.name == "p1.png"
    np.testing.assert_array_equal(np.asarray(Image.open(label)).T, wanted)


@pytest.mark.slow
def test_a_label_that_appeared_is_asked_about(browser, volumes) -> None:
    server, _, data = volumes
    with opened(browser, server.address + "#case=unlabelled:case_002") as page:
        case_shown(page, "unlabelled:case_002")
        label = write_nifti(data / "labelsTr" / "case_002.nii.gz", np.ones((12, 10, 6), np.uint8))
        before = label.read_bytes()
        page.click("#accept")
        page.wait_for_selector("#ask[open]")
        assert "has changed since this page opened it" in page.inner_text("#ask-text")
        page.keyboard.press("Enter")  # "No" has the focus
        page.wait_for_selector("#accept:enabled")
        assert label.read_bytes() == before
        page.click("#accept")
        page.click("#ask-yes")
        page.wait_for_selector("#said:has-text('the old label')")
        page.wrong[:] = [text for text in page.wrong if "409" not in text]  # Chromium reports every status above 399
    assert (data / "review" / "replaced" / "case_002.1.nii.gz").read_bytes() == before


def test_the_page_counts_what_its_command_can_predict(browser, tmp_path) -> None:
    data = write_dataset(tmp_path / "data", n_train=3, unlabelled=2, shape=(16, 14))
    run, new = untrained_run(tmp_path / "run", data).folder, tmp_path / "new"
    write_nifti(new / "anna.nii.gz", np.random.default_rng(7).random((16, 14)).astype(np.float32))
    with served(desk_of(run, data, scans=(new,))) as server, opened(browser, server.address) as page:
        page.wait_for_selector("#predict:visible")
        assert page.inner_text("#without-told") == (
            "Cases without a prediction: 4. Outside of imagesTr: 1; give crossmatch predict their folder. "
            "This command makes the predictions of imagesTr:"
        )


def test_a_case_without_a_prediction_says_so_and_asks(browser, tmp_path) -> None:
    data = write_dataset(tmp_path / "data", n_train=3, unlabelled=2, shape=(16, 14))
    run = untrained_run(tmp_path / "run", data).folder
    with served(desk_of(run, data)) as server, opened(browser, server.address) as page:
        page.get_by_role("button", name="case_002").click()
        case_shown(page, "unlabelled:case_002")
        assert "No prediction yet" in page.inner_text("#flags")
        page.click("#accept")
        page.wait_for_selector("#ask[open]")
        assert "nothing is drawn" in page.inner_text("#ask-text")
        assert label_of(data, "case_002") is None
        page.click("#ask-yes")
        page.wait_for_selector("#said:has-text('without any class')")
        page.wrong[:] = [text for text in page.wrong if "409" not in text]
    assert not formats.read(label_of(data, "case_002")).voxels.any()


def test_a_server_that_has_ended(browser, tmp_path) -> None:
    data = write_dataset(tmp_path / "data", n_train=3, unlabelled=2, shape=(16, 14))
    run = untrained_run(tmp_path / "run", data).folder
    predicted(run, data, {"case_002": 0.9})
    with served(desk_of(run, data)) as server, opened(browser, server.address) as page:
        page.get_by_role("button", name="case_002").click()
        case_shown(page, "unlabelled:case_002")
        page.route("**/api/**", lambda route: route.abort())  # as if its process were gone
        page.keyboard.press("a")
        page.wait_for_selector("#wrong:not([hidden])")
        assert "Start crossmatch review again" in page.inner_text("#wrong")
        assert page.is_enabled("#accept")
        page.wrong[:] = [text for text in page.wrong if "ERR_FAILED" not in text]


@pytest.mark.slow
def test_a_browser_without_webgl_still_decides(browser, volumes) -> None:
    server, desk, data = volumes
    page_of = server.address + "#case=unlabelled:case_002"
    hidden = "HTMLCanvasElement.prototype.getContext = () => null"
    with desk.opened("unlabelled:case_002") as case:
        predicted_voxels = desk.prediction(case)
    with opened(browser, page_of, script=hidden) as page:
        case_shown(page, "unlabelled:case_002")
        assert "no WebGL 2" in page.inner_text("#wrong")
        there = label_of(data, "case_002") is not None  # of the test above
        page.click("#accept")
        if there:
            page.click("#ask-yes")
        page.wait_for_selector("#said:has-text('as predicted')")
        page.wrong[:] = [text for text in page.wrong if "409" not in text]
    np.testing.assert_array_equal(formats.read(label_of(data, "case_002")).voxels, predicted_voxels)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nothing_sticks_out(browser, volumes, width: int, scheme: str) -> None:
    """No element is wider than the window, and every control has a name."""
    server, _, _ = volumes
    with opened(browser, server.address, width, 844, color_scheme=scheme) as page:
        for place in ("", "#case=validation:case_005"):
            if place:
                page.goto(server.address + place)
                case_shown(page, "validation:case_005")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            nameless = page.locator("button, input, select").evaluate_all(
                "all => all.filter(each => each.offsetParent && !each.textContent.trim() && !each.ariaLabel"
                " && !(each.labels && each.labels.length)).map(each => each.outerHTML)"
            )
            assert nameless == []
