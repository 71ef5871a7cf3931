"""Read the plain data in a pickle without unpickling it.

Python's unpickler is a machine that calls whatever the file names, which is how a data file comes
to run code (https://docs.python.org/3/library/pickle.html, the red box at its top). Limiting its
``find_class`` still leaves NumPy's own constructors to a hostile file, and a few bytes that make
it reserve gigabytes. So nothing is unpickled here: `pickletools.genops` splits the file into
instructions, and the small machine below carries out those that build dictionaries, lists, numbers
and strings. It knows five global names. None of them is imported or called: they make inert
`PickledArray` records, which the caller turns into arrays after checking them.

Every value takes memory in proportion to the file, so a limit on the file's size limits memory;
the limits below keep what is done with the values, here and by the caller, in proportion too.
"""

from __future__ import annotations

import enum
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenfold.core.errors import DataError, UnsafePickleError

# A batch of CIFAR-10 has 30,000 to 50,000, by protocol: for its labels and file names. CIFAR-100's
# training file has 200,000 to 350,000.
_MOST_INSTRUCTIONS = 2**19
# A batch of CIFAR-10 makes two calls (an array and its dtype), and one more if Python 3 wrote it
# under an old protocol.
_MOST_CALLS = 16
# Keys can be chosen so that each is compared with all others; no file has more than five.
_MOST_ENTRIES = 1000
_MOST_NUMBER_BITS = 2048  # What a LONG1 holds; each use of a number takes time by its length.
_MOST_SLOTS = 2**32  # What protocols 1 to 5 can address.
_MOST_DIMENSIONS = 32  # NumPy's own limit was 32 until version 2.
_LONGEST_CODE = 32


@dataclass(slots=True)
class PickledDtype:
    """The type code of a pickled array, for example ``"u1"``."""

    code: str


@dataclass(slots=True)
class PickledArray:
    """A NumPy array as it stands in a pickle, nothing of it checked yet."""

    shape: tuple[int, ...] = ()
    dtype: PickledDtype | None = None
    is_fortran: bool = False
    content: bytes = b""


class _Name(enum.Enum):
    RECONSTRUCT = enum.auto()
    NDARRAY = enum.auto()
    DTYPE = enum.auto()
    ENCODE = enum.auto()


# NumPy 2 renamed numpy.core. _codecs.encode is how Python 3 writes bytes under protocols 0 to 2.
_NAMES = {
    "numpy.core.multiarray _reconstruct": _Name.RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _Name.RECONSTRUCT,
    "numpy ndarray": _Name.NDARRAY,
    "numpy dtype": _Name.DTYPE,
    "_codecs encode": _Name.ENCODE,
}


def read_plain_pickle(content: bytes, file: str) -> Any:
    """Give the dictionaries, lists, tuples, numbers, strings and arrays that a pickle holds.

    Python 2's strings come as bytes, arrays as `PickledArray`.

    Parameters
    ----------
    content
        The pickle, any protocol.
    file
        What to call it in messages.

    Raises
    ------
    UnsafePickleError
        If it names, calls or builds anything else; nothing was run.
    DataError
        If it is damaged.
    """
    try:
        return _Machine(file).run(content)
    except DataError:
        raise
    except Exception as error:  # Hostile bytes may break the parser in any way; all mean the same.
        raise DataError(
            f"{file} is not a whole pickle ({type(error).__name__}: {str(error)[:100]}). "
            "It is cut off or damaged; copy or download it again."
        ) from error


class _Machine:
    def __init__(self, file: str) -> None:
        self._file = file
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []  # The stacks below each open mark.
        self._memo: dict[int, Any] = {}
        self._calls = 0
        self._entries = 0
        self._size = 0  # Of the pickle.
        self._encoded = 0

    def run(self, content: bytes) -> Any:
        self._size = len(content)
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count >= _MOST_INSTRUCTIONS:
                raise self._unsafe(f"has more than {_MOST_INSTRUCTIONS:,} instructions")
            if type(argument) is int and argument.bit_length() > _MOST_NUMBER_BITS:
                raise self._unsafe("has a number of hundreds of digits")
            if opcode.name == "STOP":
                return self._stack.pop()
            self._carry_out(opcode.name, argument)
        raise AssertionError("genops ends with STOP or raises")

    def _carry_out(self, name: str, argument: Any) -> None:
        # Which type the argument has follows from the instruction.
        if name in _PUSHES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _PUSHES_BYTES:
            self._stack.append(argument.encode("latin-1"))
        elif name in _STORES:
            # Protocol 4's MEMOIZE numbers by itself.
            slot = len(self._memo) if argument is None else argument
            if not 0 <= slot < _MOST_SLOTS:
                raise ValueError("a memo slot out of range")
            self._memo[slot] = self._stack[-1]
        elif name in _RECALLS:
            self._stack.append(self._memo[argument])
        elif name in _ACTIONS:
            _ACTIONS[name](self)
        elif name in ("GLOBAL", "INST"):
            self._push_name(argument)
        elif name not in ("PROTO", "FRAME"):
            raise self._unsafe(f"uses the instruction {name}")

    def mark(self) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _set(self, target: Any, pairs: list[Any]) -> None:
        if type(target) is not dict:
            raise ValueError("an item outside a dictionary")
        self._entries += len(pairs) // 2
        if self._entries > _MOST_ENTRIES:
            raise self._unsafe(f"has more than {_MOST_ENTRIES:,} dictionary entries")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) not in (str, bytes, int):  # Hashing a nested tuple may take for ever.
                raise self._unsafe("has a dictionary key that is neither text nor a number")
            target[key] = value

    def _extend(self, target: Any, items: list[Any]) -> None:
        if type(target) is not list:
            raise ValueError("an item outside a list")
        target.extend(items)

    def push_dict(self) -> None:
        self._stack.append({})

    def push_list(self) -> None:
        self._stack.append([])

    def push_empty_tuple(self) -> None:
        self._stack.append(())

    def push_marked_dict(self) -> None:
        pairs = self._since_mark()
        self._stack.append({})
        self._set(self._stack[-1], pairs)

    def push_marked_list(self) -> None:
        items = self._since_mark()
        self._stack.append(items)

    def push_marked_tuple(self) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def push_tuple(self, size: int) -> None:
        items = [self._stack.pop() for _ in range(size)]
        self._stack.append(tuple(reversed(items)))

    def append_one(self) -> None:
        item = self._stack.pop()
        self._extend(self._stack[-1], [item])

    def append_marked(self) -> None:
        items = self._since_mark()
        self._extend(self._stack[-1], items)

    def set_one(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set(self._stack[-1], [key, value])

    def set_marked(self) -> None:
        pairs = self._since_mark()
        self._set(self._stack[-1], pairs)

    def push_stacked_name(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(module) is not str or type(name) is not str:
            raise self._unsafe("asks for something whose name is no text")
        self._push_name(f"{module} {name}")

    def _push_name(self, module_and_name: str) -> None:
        if module_and_name not in _NAMES:
            raise self._unsafe(f"asks for {module_and_name.replace(' ', '.', 1)[:100]!r}")
        self._stack.append(_NAMES[module_and_name])

    def call(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._calls += 1
        if self._calls > _MOST_CALLS:
            raise self._unsafe(f"makes more than {_MOST_CALLS} calls")
        match function, arguments:
            case _Name.RECONSTRUCT, (_Name.NDARRAY, *_):
                self._stack.append(PickledArray())
            case _Name.DTYPE, (str() | bytes() as code, *_):
                if len(code) > _LONGEST_CODE:
                    raise self._unsafe("has an array of an endless type")
                text = code if isinstance(code, str) else code.decode("ascii")
                self._stack.append(PickledDtype(text))
            case _Name.ENCODE, (str(text), "latin1" | b"latin1"):
                # A text that is in the file once may be encoded again and again.
                self._encoded += len(text)
                if self._encoded > self._size:
                    raise self._unsafe("encodes more text than it holds")
                self._stack.append(text.encode("latin-1"))
            case _:
                raise self._unsafe("calls something other than an array's constructor")

    def build(self) -> None:
        state = self._stack.pop()
        match self._stack[-1], state:
            case PickledDtype(), tuple():
                pass  # Byte order and alignment; arrays of single bytes have neither.
            case PickledArray() as array, (
                int(),
                tuple(shape),
                PickledDtype() as dtype,
                bool() | int() as is_fortran,
                bytes(content),
            ):
                # A tuple in it could be a few bytes in the file, and endless when it is shown.
                if len(shape) > _MOST_DIMENSIONS or any(type(size) is not int for size in shape):
                    raise self._unsafe("has an array whose shape is not a few whole numbers")
                array.shape, array.dtype = shape, dtype
                array.is_fortran, array.content = bool(is_fortran), content
            case _:
                raise self._unsafe("sets the state of something other than an array of numbers")

    def _unsafe(self, what: str) -> UnsafePickleError:
        return UnsafePickleError(
            f"{self._file} {what}, which no file of CIFAR needs. It was refused and nothing of it "
            "was run. If you trust where it comes from, use the binary version; if "
            "you do not, delete it."
        )


_PUSHES = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUSHES_BYTES = {"STRING", "BINSTRING", "SHORT_BINSTRING"}
_STORES = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_RECALLS = {"GET", "BINGET", "LONG_BINGET"}
_ACTIONS: dict[str, Callable[[_Machine], None]] = {
    "MARK": _Machine.mark,
    "EMPTY_DICT": _Machine.push_dict,
    "EMPTY_LIST": _Machine.push_list,
    "EMPTY_TUPLE": _Machine.push_empty_tuple,
    "DICT": _Machine.push_marked_dict,
    "LIST": _Machine.push_marked_list,
    "TUPLE": _Machine.push_marked_tuple,
    "TUPLE1": lambda machine: machine.push_tuple(1),
    "TUPLE2": lambda machine: machine.push_tuple(2),
    "TUPLE3": lambda machine: machine.push_tuple(3),
    "APPEND": _Machine.append_one,
    "APPENDS": _Machine.append_marked,
    "SETITEM": _Machine.set_one,
    "SETITEMS": _Machine.set_marked,
    "STACK_GLOBAL": _Machine.push_stacked_name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}
