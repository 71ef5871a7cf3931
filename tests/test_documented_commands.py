"""Every command that README and docs name does what it says, on photographs.

The commands run in this process, by the command line itself, in a folder that has what they speak
of: ``photos/``, ``photo.jpg``, a finished study of the photographs as ``runs/fast-digits``. They
are shortened, as `short` says, and of a further whole study the stages up to the training run: all
of them ran for the finished one. What is no command of ours has a function in `OTHERS`; a command
that has none fails, so that nobody documents what nobody tests.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from documentation import REPOSITORY, Block, blocks, spans
from photographs import write_photographs
from tenfold.cli.main import app
from tenfold.core.settings import recipe_names
from tenfold.study.recipe import load_recipe

pytest.importorskip("onnxruntime")
pytest.importorskip("fastapi")

RUN = Path("runs/fast-digits")
CIFAR10 = "~/cifar-10-batches-bin"
PLACES = {"<CIFAR-10>": CIFAR10, "cifar10": CIFAR10, "digits": "photos/"}
"""Data sets that the pages name, and what the tests have of them."""
SHORT_SETTINGS = (
    "data.image_size_px=32",
    "training.epochs=1",
    "training.least_steps=1",
    "training.batch_size=8",
    "training.precision=float32",
    "tune.trials=1",
    "tune.epochs=1",
    "tune.batch_size=8",
    "cross_validate.folds=2",
    "evaluate.robustness_images=0",
)
SHORT_OPTIONS = {
    "--budget": "1s",
    "--trials": "1",
    "--runs": "2",
    "--jobs": "1",
    "--seeds": "1",
    "--steps": "20",
}
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
ALL_OPTIONS = {
    name for command in COMMANDS.values() for one in command.params for name in one.opts
} | {"--help", "--version"}
for _script in sorted((REPOSITORY / "benchmarks").glob("*.py")):
    ALL_OPTIONS.update(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', _script.read_text("utf-8")))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with photographs and a finished study of them, every stage of it."""
    folder = tmp_path_factory.mktemp("documented")
    photos = write_photographs(folder / "photos")
    shutil.copytree(photos, folder / "home" / "cifar-10-batches-bin")
    for name in ("photo.jpg", "one.jpg", "two.png"):
        shutil.copy(photos / "dog" / "1.jpg", folder / name)
    words = ["run", "--recipe", "fast", "--data", str(photos), "--out", str(folder / RUN)]
    words += [f"--set={one}" for one in SHORT_SETTINGS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenfold.training.device.available_cores", lambda: 1)
        assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
        export = ["export", str(folder / RUN), "--onnx"]
        assert CliRunner().invoke(app, export, catch_exceptions=False).exit_code == 0
    for name in ("small", "large", "photos", "fast", "transfer"):
        shutil.copytree(folder / RUN, folder / "runs" / name)
    labels = (folder / RUN / "audit" / "label_issues.csv").read_text("utf-8")
    dropped, count = re.subn("keep$", "drop", labels, count=1, flags=re.MULTILINE)
    assert count == 1
    (folder / "my_labels.csv").write_text(dropped, "utf-8")
    return folder


@dataclass
class Shell:
    """Runs documented commands in a folder.

    Parameters
    ----------
    tenfold
        Runs the command line.
    served
        The application that ``tenfold serve`` made, once it did.
    """

    tenfold: Callable[..., Any]
    served: list[Any] = field(default_factory=list)

    def run(self, words: list[str], given: bytes | None = None) -> bytes:
        """Run one command; give what it printed."""
        name, *arguments = words
        if name == "tenfold":
            result = self.tenfold(*short(arguments), stdin=given)
            assert result.code == 0, result.err
            return str(result.out).encode()
        assert name in OTHERS, f"{name} is documented, and no test knows how to run it"
        return OTHERS[name](self, arguments)

    def ask(self, method: str, path: str, body: bytes, kind: str) -> bytes:
        """Give the served application's answer."""
        if not self.served:
            self.run(["tenfold", "serve", str(RUN)])
        path, _, query = path.partition("?")
        headers = {"host": "127.0.0.1:8000", "content-type": kind, "content-length": str(len(body))}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path or "/",
            "raw_path": (path or "/").encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        incoming = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[dict[str, Any]] = []

        async def receive() -> Any:
            return incoming.pop() if incoming else await asyncio.sleep(3600)

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.served[-1](scope, receive, send))
        content = b"".join(one.get("body", b"") for one in sent[1:])
        assert sent[0]["status"] == 200, content
        return content


def short(words: list[str]) -> list[str]:
    """Give a command's words so that it ends soon, on photographs."""
    name, *rest = [PLACES.get(word, word) for word in words]
    options = {option for one in COMMANDS[name].params for option in one.opts}
    for option, value in SHORT_OPTIONS.items():
        if option in rest:
            rest[rest.index(option) + 1] = value
    if name in ("serve", "review"):
        return [name, *rest, "--port", "0"]
    if name == "find-learning-rate":
        rest += ["--steps", SHORT_OPTIONS["--steps"]]
    out = rest.index("--out") + 1 if "--out" in rest else 0
    exists = out > 0 and Path(rest[out], "settings.json").is_file()
    if exists and "--data" in rest:  # the finished study stands for what this command makes
        rest[out], exists = f"{rest[out]}-anew", False
    if {"--data", "--set"} <= options and not exists:
        rest += [] if "--data" in rest else ["--data", "photos/"]
        rest += [f"--set={one}" for one in SHORT_SETTINGS]
        # Which recipe suits the data is tested elsewhere; this one takes least time.
        if "--recipe" in options and not {"--recipe", "--model"} & {*rest}:
            rest += ["--recipe", "fast"]
    return [name, *rest]


def make(shell: Shell, arguments: list[str]) -> bytes:
    """Run what the Makefile runs of ours; of other targets, see that they are there."""
    (target,) = arguments
    text = (REPOSITORY / "Makefile").read_text("utf-8")
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert recipe, f"there is no target {target}"
    ours = re.findall(r"\$\(BIN\)/(tenfold .*)", recipe[1])
    for line in ours:
        shell.run(shlex.split(line.replace("$(MODEL)", str(RUN)).replace("$(ARGS)", "")))
    return b""


def pip(_shell: Shell, arguments: list[str]) -> bytes:
    """See that what is installed is there."""
    parser = Parser()
    parser.add_argument("command", choices=["install"])
    parser.add_argument("-c", type=Path)
    parser.add_argument("-e")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args(arguments)
    assert given.c is None or (REPOSITORY / given.c).is_file()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    for name in (*given.names, *([given.e] if given.e else [])):
        wanted = re.fullmatch(r"(?:tenfold|\.)(?:\[([\w,]+)\])?", name)
        assert wanted, name
        assert set((wanted[1] or "").split(",")) - {""} <= set(project["optional-dependencies"])
    return b""


def curl(shell: Shell, arguments: list[str]) -> bytes:
    """Ask the served application; of another place, give a photograph."""
    parser = Parser()
    parser.add_argument("-s", action="store_true")
    parser.add_argument("--data-binary")
    parser.add_argument("-F", action="append", default=[])
    parser.add_argument("address")
    given = parser.parse_args(arguments)
    if given.address.startswith("https://example.org/"):
        return Path("photo.jpg").read_bytes()
    path = given.address.removeprefix("http://127.0.0.1:8000")
    assert path.startswith("/"), given.address
    if given.data_binary:
        body = Path(given.data_binary.removeprefix("@")).read_bytes()
        return shell.ask("POST", path, body, "application/x-www-form-urlencoded")
    parts = []
    for name, _, file in (one.partition("=@") for one in given.F):
        about = f'form-data; name="{name}"; filename="{file}"'
        head = f"--XX\r\nContent-Disposition: {about}\r\n\r\n"
        parts.append(head.encode() + Path(file).read_bytes() + b"\r\n")
    assert parts, arguments
    return shell.ask("POST", path, b"".join(parts) + b"--XX--\r\n", MULTIPART)


def cp(_shell: Shell, arguments: list[str]) -> bytes:
    source, target = arguments
    shutil.copy(source, target)
    return b""


MULTIPART = "multipart/form-data; boundary=XX"


def open_page(shell: Shell, arguments: list[str]) -> bytes:
    (address,) = arguments
    assert address == "http://127.0.0.1:8000"
    page = shell.ask("GET", "/", b"", "text/plain")
    assert b"<html" in page
    return page


def python(_shell: Shell, arguments: list[str]) -> bytes:
    """See that a script takes its arguments, and stop there."""
    script, *rest = arguments

    class Parsed(Exception):
        pass

    original = argparse.ArgumentParser.parse_args

    def parse(parser: Any, *given: Any) -> NoReturn:
        original(parser, *given)
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        patch.setattr(sys, "argv", [script, *rest])
        patch.syspath_prepend(REPOSITORY / "benchmarks")
        with pytest.raises(Parsed):
            runpy.run_path(str(REPOSITORY / script), run_name="__main__")
    return b""


class Parser(argparse.ArgumentParser):
    """Fails with the test rather than with exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise AssertionError(message)


OTHERS: dict[str, Callable[[Shell, list[str]], bytes]] = {
    "cp": cp,
    "make": make,
    "pip": pip,
    "curl": curl,
    "xdg-open": open_page,
    "python": python,
}


@pytest.fixture
def shell(
    template: Path, tenfold: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """Give a shell in a copy of the template's folder."""
    from tenfold.study.study import Study

    place = tmp_path / "place"
    shutil.copytree(template, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place / "home"))
    monkeypatch.setattr("tenfold.training.device.available_cores", lambda: 1)
    monkeypatch.setattr("tenfold.serving.onnx_model.available_cores", lambda: 1)
    whole = Study.run
    monkeypatch.setattr(
        Study,
        "run",
        lambda study, *stages, runs=1: whole(study, *(stages or ("train",)), runs=runs),
    )
    one = Shell(tenfold)

    def keep(served: Any, listening: Any, _settings: Any, *, on_start: Any, **_run: Any) -> None:
        one.served.append(served)
        on_start()
        listening.close()

    monkeypatch.setattr("tenfold.serving.server.run_server", keep)
    # Fetched from elsewhere; tests/serving/web has it.
    monkeypatch.setattr("tenfold.serving.web.folder.runtime_files", lambda *_: {})
    return one


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("bash"), ids=str)
def test_the_commands_run(block: Block, shell: Shell) -> None:
    for pipeline in block.commands:
        printed: bytes | None = None
        for words in pipeline:
            printed = shell.run(words, printed)


@pytest.mark.slow
@pytest.mark.parametrize("line", spans(r"tenfold [a-z-]+ .*--data|python benchmarks/"))
def test_the_commands_within_the_text_run(line: str, shell: Shell) -> None:
    shell.run(shlex.split(line))


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_the_python_runs(block: Block, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn.datasets

    features, labels = sklearn.datasets.load_digits(return_X_y=True)
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda **_: (features[:90], labels[:90]))
    short = "ImageClassifier(epochs=1, least_steps=1, "
    text = re.sub(r"ImageClassifier\((?!budget)", short, block.text)
    images = np.zeros((2, 32, 32, 3), np.uint8)
    exec(compile(text.replace('"5s"', '"1s"'), block.page, "exec"), {"images": images})


@pytest.mark.slow
def test_the_python_within_the_text_runs(shell: Shell) -> None:
    import tenfold

    classifier = tenfold.load(RUN)
    names = {"tenfold": tenfold, "classifier": classifier}
    lines = spans(r"(tenfold\.load|classifier\.\w+)\(")
    assert lines
    for line in lines:
        eval(line, names | {"images": np.zeros((2, 32, 32, 3), np.uint8)})


def recipe_headers() -> list[str]:
    """Give the commands that the recipes' own texts name."""
    from tenfold.core.settings import recipe_text

    lines = [line for name in recipe_names() for line in recipe_text(name).splitlines()]
    return [
        line[1:].partition("  (")[0].strip() for line in lines if line.startswith("#   tenfold")
    ]


@pytest.mark.parametrize("line", [*spans(r"tenfold [a-z]"), *recipe_headers()])
def test_a_named_command_takes_its_options(line: str) -> None:
    """In the text ``MODEL`` and ``[NAME]`` stand for something; nothing is run."""
    _, name, *arguments = shlex.split(
        re.sub(r"\[([A-Z]+)\]|\.\.\.", r"\1", line).partition(" (")[0]
    )
    if not arguments and any(one.required for one in COMMANDS[name].params):
        return  # the command's name alone
    if arguments and arguments[-1] in SHORT_OPTIONS:
        arguments.append(SHORT_OPTIONS[arguments[-1]])  # the option's name alone
    with COMMANDS[name].make_context(name, list(arguments)) as context:
        for assignment in context.params.get("assignments") or ():
            assert any(is_taken(recipe, assignment) for recipe in recipe_names()), assignment


@pytest.mark.parametrize("line", spans(r"--[a-z]"))
def test_a_named_option_is_one(line: str) -> None:
    words = shlex.split(line)
    assert words[0].partition("=")[0] in ALL_OPTIONS
    if words[0] == "--set" and re.fullmatch(r"[a-z_.]+=[^.…]+", words[-1]):
        assert any(is_taken(recipe, words[1]) for recipe in recipe_names())


def is_taken(recipe: str, assignment: str) -> bool:
    """Say whether a study of a recipe, or the server, has such a setting."""
    from tenfold.core.errors import SettingsError
    from tenfold.core.settings import parse_assignment
    from tenfold.serving.settings import ServingSettings

    for take in (
        lambda: load_recipe(recipe, [assignment]),
        lambda: ServingSettings.parse(dict([parse_assignment(assignment)])),
    ):
        try:
            take()
        except SettingsError:
            continue
        return True
    return False


def test_unknown_options_and_commands_fail(shell_words: Callable[[list[str]], Any]) -> None:
    for words in (["pip", "install", "--no-such"], ["curl", "--no-such", "x"], ["wget", "x"]):
        with pytest.raises(AssertionError):
            shell_words(words)


@pytest.fixture
def shell_words() -> Callable[[list[str]], Any]:
    return Shell(lambda *_arguments, **_options: None).run
