from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import tenfold


def test_all_is_sorted_and_importable() -> None:
    assert tenfold.__all__ == sorted(tenfold.__all__)
    for name in tenfold.__all__:
        assert getattr(tenfold, name).__name__ == name


def test_all_is_what_the_lazy_names_are() -> None:
    assert set(tenfold._HOMES) == set(tenfold.__all__)
    assert set(tenfold.__all__) <= set(dir(tenfold))


def test_star_import_gives_just_these_names() -> None:
    names: dict[str, Any] = {}
    exec("from tenfold import *", names)
    assert sorted(set(names) - {"__builtins__"}) == tenfold.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tenfold' has no attribute 'Classifier'"):
        tenfold.Classifier  # noqa: B018


def test_the_version_is_the_package_s() -> None:
    from importlib.metadata import version

    assert tenfold.__version__ == version("tenfold")


def loaded_by(code: str) -> set[str]:
    """Give the top-level packages that a fresh interpreter loads for `code`, Python's own aside."""
    probe = (
        "import sys\n"
        "before = set(sys.modules)\n"
        f"{code}\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(names - sys.stdlib_module_names), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stderr.split())


def test_importing_tenfold_loads_nothing_else() -> None:
    assert loaded_by("import tenfold") == {"tenfold"}


def test_the_error_type_loads_nothing_else() -> None:
    assert loaded_by("from tenfold import TenfoldError") == {"tenfold"}


def test_help_loads_the_command_line_s_own_packages_alone() -> None:
    loaded = loaded_by(
        "sys.argv = ['tenfold', '--help']\n"
        "from tenfold.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert stop.code == 0, stop.code"
    )
    # A new name in here costs start-up time: look at `python -X importtime` before adding it.
    assert loaded <= {
        "tenfold",
        "typer",
        "click",
        "shellingham",  # typer's own
        "typing_extensions",
        "annotated_doc",
        "colorama",
    }
