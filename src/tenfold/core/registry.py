"""Find a thing by its name: one file a thing, nothing imported before it is asked for."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from tenfold.core.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """The members of a package, by name.

    A module of `package` that assigns `attribute` at its top level is a member; its name is the
    module's, with ``-`` for ``_``. Adding a member is adding a file: there is no list to extend.
    Modules are found by reading their text, so listing names imports nothing heavy.

    Parameters
    ----------
    package
        Dotted name of the package, for example ``"tenfold.models"``.
    attribute
        The name that a member module assigns, for example ``"MODEL"``.
    kind
        What a member is called in messages, for example ``"model"``.
    """

    def __init__(self, package: str, attribute: str, *, kind: str) -> None:
        self.package = package
        self.attribute = attribute
        self.kind = kind

    @cached_property
    def _texts(self) -> dict[str, str]:
        """Give the text of every member's module, by the module's dotted name."""
        spec = importlib.util.find_spec(self.package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        assigns = re.compile(rf"^{re.escape(self.attribute)}\s*(:[^=]+)?=", re.MULTILINE)
        texts: dict[str, str] = {}
        for location in spec.submodule_search_locations:
            for module in pkgutil.iter_modules([location]):
                path = Path(location, f"{module.name}.py")
                text = path.read_text(encoding="utf-8") if path.is_file() else ""
                if assigns.search(text):
                    texts[f"{self.package}.{module.name}"] = text
        return texts

    @cached_property
    def _modules(self) -> dict[str, str]:
        return {module.rpartition(".")[2].replace("_", "-"): module for module in self._texts}

    def declared(self, attribute: str) -> dict[str, Any]:
        """Give a plain value that members' classes assign in one line, by the members' names.

        Read from the modules' text, so that nothing heavy is imported for it. Members that do not
        assign it are left out.
        """
        assigns = re.compile(rf"^    {re.escape(attribute)} = (.+)$", re.MULTILINE)
        found = {
            name: assigns.search(self._texts[module]) for name, module in self._modules.items()
        }
        return {name: ast.literal_eval(match[1]) for name, match in found.items() if match}

    def names(self) -> tuple[str, ...]:
        """Give all registered names, sorted."""
        return tuple(sorted(self._modules))

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __getitem__(self, name: str) -> T:
        """Import the member's module and give its object.

        Raises
        ------
        UnknownNameError
            If there is no such member; the message suggests the nearest names.
        """
        if name not in self._modules:
            raise UnknownNameError(self.kind, name, self._modules)
        module: Any = importlib.import_module(self._modules[name])
        member: T = getattr(module, self.attribute)
        return member
