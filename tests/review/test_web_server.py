"""The server: only for who knows the address, from its own page; and no file that it should not show."""

import json
import os
import socket
from urllib.parse import urlsplit

import numpy as np
import pytest
from reviewable import predicted, untrained_run
from served import asked, desk_of, request, served

from crossmatch.errors import UserError
from crossmatch.review.places import Places
from crossmatch.review.web_server import STATIC, ReviewServer
from tiny import write_dataset, write_nifti


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    place = tmp_path_factory.mktemp("served")
    data = write_dataset(place / "data", n_train=4, unlabelled=3)
    untrained_run(place / "run", data)
    predicted(place / "run", data, {"case_002": 0.4, "case_003": 0.8})
    with served(desk_of(place / "run", data)) as running:
        yield running


def test_the_address_opens_the_page_and_its_parts(server) -> None:
    base = urlsplit(server.address).path
    status, body, headers = request(server, base)
    assert status == 200
    assert b"<title>Review" in body
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    for name in ("main.js", "style.css", "niivue.umd.js"):
        assert request(server, base + name)[0] == 200
    assert request(server, base + "main.js")[2]["Content-Type"].startswith("text/javascript")


def test_it_listens_on_this_machine_alone(server) -> None:
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/api/run", "/index.html", "/x/api/run", "//", "/%2e%2e/"])
def test_without_the_token_there_is_nothing(server, path: str) -> None:
    status, body, _ = request(server, path)
    assert status == 403
    assert server.token.encode() not in body
    assert b"case_" not in body


def test_a_token_of_another_length_or_letter_is_none(server) -> None:
    for token in (server.token[:-1], server.token + "A", server.token[:-1] + ("B" if server.token[-1] != "B" else "C")):
        assert request(server, f"/{token}/api/run")[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_hosts_and_origins_are_refused(server, headers: dict[str, str], method: str) -> None:
    path = f"/{server.token}/api/{'run' if method == 'GET' else 'refresh'}"
    own = {"Origin": f"http://127.0.0.1:{server.server_port}", "Sec_Fetch_Site": "same-origin"}
    assert request(server, path, method=method, **own)[0] == 200
    assert request(server, path, method=method, **(own | headers))[0] == 403


def test_a_body_without_a_length_is_refused(server) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as link:
        host = f"127.0.0.1:{server.server_port}"
        link.sendall(f"POST /{server.token}/api/refresh HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert link.recv(100).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "tail",
    [
        "../run.json",
        "..%2frun.json",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%252f..%252fetc%252fpasswd",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "static/main.js",
        "main.js/../../run.json",
        "....//run.json",
        "main.js%00.html",
        "..\\run.json",
        "api/../main.js",
        "api/image/../../x",
        "__init__.py",
        "web_server.py",
    ],
)
def test_no_address_is_a_path(server, tail: str) -> None:
    status, body, _ = request(server, f"/{server.token}/{tail}")
    assert status in (403, 404)
    assert set(json.loads(body)) == {"error"}


@pytest.mark.parametrize(
    "ident", ["../../run.json", "/etc/passwd", "unlabelled:../../x", "new:" + "a" * 9000, "", "\0"]
)
@pytest.mark.parametrize("name", ["case", "image", "layer", "thumbnail"])
def test_a_case_is_looked_up_and_never_opened_by_its_name(server, ident: str, name: str) -> None:
    status, answer = asked(server, name, id=ident)
    assert status == 422
    assert "no case" in answer["error"]
    assert len(answer["error"]) < 400


def test_only_the_page_s_own_files_are_static() -> None:
    assert {"index.html", "main.js", "niivue.umd.js"} <= set(STATIC)
    assert not [name for name in STATIC if name.endswith((".py", ".pyc")) or name == "LICENSE"]
    for path in STATIC.values():
        if path.name != "niivue.umd.js":
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 250, path
            assert "http://" not in path.read_text().replace("http://www.w3.org/2000/svg", ""), path
            assert "https://" not in path.read_text(), path


def test_a_link_out_of_the_folders_is_not_followed(tmp_path) -> None:
    data = write_dataset(tmp_path / "data", n_train=4, unlabelled=3)
    run = untrained_run(tmp_path / "run", data)
    outside = tmp_path / "elsewhere" / "secret.nii.gz"
    image = data / "imagesTr" / "case_003_0000.nii.gz"
    outside.parent.mkdir()
    image.rename(outside)
    image.symlink_to(outside)
    predicted(run.folder, data, {"case_002": 0.4})
    mask = run.folder / "unlabelled" / "case_002.nii.gz"
    mask.rename(outside.with_name("mask.nii.gz"))
    mask.symlink_to(outside.with_name("mask.nii.gz"))
    with served(desk_of(run.folder, data)) as server:
        for name in ("case", "image", "thumbnail"):
            status, answer = asked(server, name, id="unlabelled:case_003")
            assert status == 422
            assert "outside of the folders" in answer["error"]
            assert f"--scans {outside.parent}" in answer["error"]
        assert asked(server, "layer", id="unlabelled:case_002", what="prediction")[0] == 422
        told = asked(server, "case", id="unlabelled:case_002")[1]  # its image is shown; what is wrong is a flag
        assert not told["prediction"]
        assert "outside of the folders" in " ".join(told["flags"])
    with served(desk_of(run.folder, data, scans=(outside.parent,))) as server:
        assert asked(server, "image", id="unlabelled:case_003")[0] == 200


def test_places_follow_links_of_folders_and_of_parts(tmp_path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "inside_too"
    for folder in (inside, outside):
        folder.mkdir()
    kept = write_nifti(inside / "a.nii.gz", np.zeros((4, 4), "uint8"))
    (inside / "loop").symlink_to(inside)
    (inside / "out").symlink_to(outside)
    write_nifti(outside / "b.nii.gz", np.zeros((4, 4), "uint8"))
    places = Places([inside])
    assert places.checked(inside / "loop" / "loop" / "a.nii.gz")
    assert places.checked(kept)
    for wrong in (inside / "out" / "b.nii.gz", inside / ".." / "inside_too" / "b.nii.gz", outside / "b.nii.gz"):
        with pytest.raises(UserError, match="outside of the folders"):
            places.checked(wrong)


def test_a_port_in_use_is_said(server) -> None:
    with pytest.raises(UserError, match=rf"Port {server.server_port} cannot be used .* name another --port"):
        ReviewServer(server.desk, server.server_port)


def test_a_defect_is_told_and_the_server_goes_on(server, monkeypatch, capfd) -> None:
    monkeypatch.setattr(server.desk, "thumbnail", lambda ident: 1 / 0)
    status, answer = asked(server, "thumbnail", id="unlabelled:case_002")
    assert status == 500
    assert "ZeroDivisionError" in answer["error"]
    assert "ZeroDivisionError: division by zero" in capfd.readouterr().err  # written before the answer
    assert asked(server, "run")[0] == 200


def test_nothing_is_written_by_a_question(server) -> None:
    for name in ("accept", "reject", "draft", "end", "predict", "refresh"):
        assert asked(server, name, id="unlabelled:case_002")[0] == 404
    for name in ("run", "cases", "case"):
        assert asked(server, name, body=b"", id="unlabelled:case_002")[0] == 404


def test_the_folder_of_the_process_does_not_matter(server, tmp_path) -> None:
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert request(server, f"/{server.token}/main.js")[0] == 200
    finally:
        os.chdir(before)
