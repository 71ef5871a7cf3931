"""A registry finds members by reading, and imports one only when it is asked for."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tenfold.core.errors import UnknownNameError
from tenfold.core.registry import Registry

MEMBERS = {
    "__init__.py": "",
    "plain.py": "THING = 'a plain one'",
    "two_words.py": "from __future__ import annotations\n\nTHING: str = 'two'",
    "annotated.py": "THING: dict[str, int] = {'a': 1}",
    "broken.py": "raise RuntimeError('imported')\nTHING = 1\nclass A:\n    size = 3\n",
    "sized.py": "class A:\n    size = (1, 'a')\nsize = 4\nTHING = A()\n",
    "contract.py": "THINGS = 1\nOTHER_THING = 2\n",
    "inner.py": "def make():\n    THING = 1\n    return THING\n",
    "quoted.py": "text = 'THING = 1'\n",
    "notes.txt": "THING = 1",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Make a package of members on the import path and give its name."""
    name = f"things_{abs(hash(request.node.name))}"
    folder = tmp_path / name
    folder.mkdir()
    for file, content in MEMBERS.items():
        (folder / file).write_text(content, encoding="utf-8")
    (folder / "sub_package").mkdir()
    (folder / "sub_package" / "__init__.py").write_text("THING = 1", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def things(package: str) -> Registry[object]:
    return Registry(package, "THING", kind="thing")


def test_names_are_the_files_that_assign_at_top_level(things: Registry[object]) -> None:
    assert things.names() == ("annotated", "broken", "plain", "sized", "two-words")
    assert list(things) == list(things.names())


def test_membership(things: Registry[object]) -> None:
    assert "two-words" in things
    assert "two_words" not in things
    assert "contract" not in things
    assert 3 not in things


def test_a_member_is_the_object_that_its_file_assigns(things: Registry[object]) -> None:
    assert things["plain"] == "a plain one"
    assert things["two-words"] == "two"
    assert things["annotated"] == {"a": 1}
    assert things["annotated"] is things["annotated"]


def test_an_unknown_name_suggests_the_near_one(things: Registry[object]) -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"^There is no thing named 'plane'\. Did you mean 'plain'\? "
        r"Known: annotated, broken, plain, sized, two-words\.$",
    ):
        things["plane"]


def test_declared_values_are_read_from_the_text(things: Registry[object]) -> None:
    assert things.declared("size") == {"broken": 3, "sized": (1, "a")}
    assert things.declared("weight") == {}


def test_names_are_listed_without_importing_any_member(things: Registry[object]) -> None:
    # This member raises when it is imported: listing and asking did not.
    assert "broken" in things.names()
    assert "broken" in things
    with pytest.raises(RuntimeError, match="imported"):
        things["broken"]


def test_only_the_member_asked_for_is_imported(package: str, tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import sys
        from tenfold.core.registry import Registry

        things = Registry({package!r}, "THING", kind="thing")
        assert not [name for name in sys.modules if name.startswith({package!r})]
        things.names()
        "plain" in things
        print(sorted(name for name in sys.modules if name.startswith({package + "."!r})))
        things["plain"]
        print(sorted(name for name in sys.modules if name.startswith({package + "."!r})))
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = result.stdout.splitlines()
    assert before == "[]"
    assert after == f"['{package}.plain']"


def test_tenfold_lists_policies_without_importing_torch() -> None:
    script = (
        "import sys; from tenfold.data.augmentation import POLICIES; POLICIES.names(); "
        "print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "False\n"


SHARED = """
from tenfold.core.registry import Registry

OTHERS = Registry(__name__, "OTHERS", kind="other")
THINGS = Registry(__name__, "THINGS", kind="thing")
text = '@THINGS.member("quoted")'


@THINGS.member("a-plain-one")
class Plain:
    pass


@OTHERS.member("an-other")
class Other:
    pass


@THINGS.member("two-words")
@OTHERS.member("both")
class Both:
    pass
"""


@pytest.fixture
def shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[str, Path]:
    """Make a module of several members on the import path; give its name and file."""
    name = f"shared_{abs(hash(request.node.name))}"
    path = tmp_path / f"{name}.py"
    path.write_text(SHARED, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return name, path


def test_members_that_share_a_module_are_listed_without_importing_it(
    shared: tuple[str, Path],
) -> None:
    name, _ = shared
    things: Registry[object] = Registry(name, "THINGS", kind="thing")
    assert things.names() == ("a-plain-one", "two-words")
    assert "an-other" not in things
    assert name not in sys.modules


def test_a_member_of_a_shared_module_is_what_its_class_makes(shared: tuple[str, Path]) -> None:
    module = importlib.import_module(shared[0])
    assert type(module.THINGS["a-plain-one"]) is module.Plain
    assert type(module.THINGS["two-words"]) is type(module.OTHERS["both"]) is module.Both
    assert module.THINGS["two-words"] is module.THINGS["two-words"]
    with pytest.raises(UnknownNameError, match=r"no other named 'bath'. Did you mean 'both'"):
        module.OTHERS["bath"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("THINGS.member('single')(Plain)", "a line of its own"),
        ('@THINGS.member("a-plain-one")\nclass Again:\n    pass', "two members have one name"),
    ],
)
def test_a_member_that_could_not_be_found_is_refused(
    shared: tuple[str, Path], line: str, message: str
) -> None:
    name, path = shared
    path.write_text(f"{SHARED}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=message):
        importlib.import_module(name)
