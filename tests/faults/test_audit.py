"""Nothing is unpickled and nobody is called over a network: the source is searched, commands run under an audit."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import crossmatch
from scenes import SCENES

FILES = sorted(Path(crossmatch.__file__).parent.rglob("*.py"))
MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "urllib",
    "http",
    "requests",
    "yaml",
}
ANSWERING = {"http.server", "urllib.parse"}  # of these packages, what calls nobody: the review page's server
CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "np.load", "os.system", "os.popen", "torch.hub.load"}
HOST = "127.0.0.1"  # which may be called: the user of the review page sits there
FORBIDDEN = ("pickle.find_class", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "os.system")


def _uses(path: Path) -> Iterator[str]:
    """Forbidden modules and calls in a source file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            whole = node.module or ""
            names += [whole] if whole in ANSWERING else [f"{whole}.{name.name}" for name in node.names]
        yield from (name for name in names if name.partition(".")[0] in MODULES and name not in ANSWERING)
        if isinstance(node, ast.Call):
            if ast.unparse(node.func) in CALLS:
                yield ast.unparse(node.func)
            yield from (word.arg for word in node.keywords if word.arg in ("allow_pickle", "shell", "weights_only"))


def test_the_source_neither_unpickles_nor_evaluates_nor_calls_others():
    assert {path.name: found for path in FILES if (found := list(_uses(path)))} == {}


def test_the_search_finds_what_it_is_for(tmp_path):
    path = tmp_path / "bad.py"
    calling = "import pickle.x\nfrom http import client\ntorch.load(a)\nnp.f(allow_pickle=1)\n"
    path.write_text(f"{calling}from http.server import A\nimport urllib.parse\nmodel.eval()\n")
    assert sorted(_uses(path)) == ["allow_pickle", "http.client", "pickle.x", "torch.load"]


def forbid() -> None:
    """Let this process end in a traceback where it unpickles or calls another machine."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        called = arguments[1] if event == "socket.connect" else arguments[0] if arguments else None
        if event in FORBIDDEN and HOST not in (called, called[0] if isinstance(called, tuple) else None):
            raise RuntimeError(f"{event} {arguments}")

    sys.addaudithook(hook)


@pytest.mark.parametrize("name", SCENES)
def test_commands_neither_unpickle_nor_call_others(name, inputs, tmp_path):
    ended = SCENES[name].begin(inputs, tmp_path, forbid).wait()
    assert (ended.code, ended.wrong) == (0, None)
