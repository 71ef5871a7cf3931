"""Find a thing by its name: nothing is imported before it is asked for."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from tenfold.core.errors import UnknownNameError

T = TypeVar("T")
Member = TypeVar("Member", bound=Callable[[], object])


class Registry(Generic[T]):
    """The members of a package or of a module, by name.

    Adding a member is writing it: there is no list to extend. Members are found by reading text, so
    listing names imports nothing heavy.

    - In a package, a module that assigns `attribute` at its top level is a member; its name is the
      module's, with ``-`` for ``_``.
    - In a module, a class that is decorated with ``@ATTRIBUTE.member("its-name")`` is one, where
      ``ATTRIBUTE`` is this registry; the member is made by calling the class.

    Parameters
    ----------
    place
        Dotted name of the package or module, for example ``"tenfold.models"``.
    attribute
        The name that a member module assigns, for example ``"MODEL"``; for a module, the name that
        the registry has in it.
    kind
        What a member is called in messages, for example ``"model"``.
    """

    def __init__(self, place: str, attribute: str, *, kind: str) -> None:
        self.place = place
        self.attribute = attribute
        self.kind = kind
        self._members: dict[str, Any] = {}

    @cached_property
    def _texts(self) -> dict[str, str]:
        """Give the text of every module that may hold members, by the dotted name."""
        spec = importlib.util.find_spec(self.place)
        assert spec is not None
        if spec.submodule_search_locations is None:
            assert spec.origin is not None
            return {self.place: Path(spec.origin).read_text(encoding="utf-8")}
        assigns = re.compile(rf"^{re.escape(self.attribute)}\s*(:[^=]+)?=", re.MULTILINE)
        texts: dict[str, str] = {}
        for location in spec.submodule_search_locations:
            for module in pkgutil.iter_modules([location]):
                path = Path(location, f"{module.name}.py")
                text = path.read_text(encoding="utf-8") if path.is_file() else ""
                if assigns.search(text):
                    texts[f"{self.place}.{module.name}"] = text
        return texts

    @cached_property
    def _modules(self) -> dict[str, str]:
        """The module of each name."""
        if set(self._texts) == {self.place}:
            pattern = rf'^@{re.escape(self.attribute)}\.member\("([^"]+)"\)$'
            names = re.findall(pattern, self._texts[self.place], re.MULTILINE)
            assert len(names) == len(set(names)), f"two members have one name: {names}"
            return dict.fromkeys(names, self.place)
        return {module.rpartition(".")[2].replace("_", "-"): module for module in self._texts}

    def declared(self, attribute: str) -> dict[str, Any]:
        """Give a plain value that members' classes assign in one line, by the members' names.

        For members with a module each. Read from the modules' text, so that nothing heavy is
        imported for it. Members that do not assign it are left out.
        """
        assigns = re.compile(rf"^    {re.escape(attribute)} = (.+)$", re.MULTILINE)
        found = {
            name: assigns.search(self._texts[module]) for name, module in self._modules.items()
        }
        return {name: ast.literal_eval(match[1]) for name, match in found.items() if match}

    def member(self, name: str) -> Callable[[Member], Member]:
        """Decorate a class in the registry's module: what it makes is found under `name`."""
        assert self._modules.get(name) == self.place, f"a line of its own in {self.place}: {name}"

        def register(make: Member) -> Member:
            self._members[name] = make()
            return make

        return register

    def names(self) -> tuple[str, ...]:
        """Give all registered names, sorted."""
        return tuple(sorted(self._modules))

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __getitem__(self, name: str) -> T:
        """Give a member, importing its module.

        Raises
        ------
        UnknownNameError
            If there is no such member; the message suggests the nearest names.
        """
        if name not in self._modules:
            raise UnknownNameError(self.kind, name, self._modules)
        module: Any = importlib.import_module(self._modules[name])
        member: T = (
            self._members[name] if name in self._members else getattr(module, self.attribute)
        )
        return member
