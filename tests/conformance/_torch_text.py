"""Reading a module's printed form, such as `Conv2d(2, 6, kernel_size=(3, 3), bias=False)`."""

import ast
import re
from typing import Any, NamedTuple


class Module(NamedTuple):
    """One printed module."""

    name: str  # its place in the parent, such as "0" or "c1"
    kind: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    children: tuple["Module", ...]


# Equal modules of a ModuleList are printed once: "(0-1): 2 x Conv2d(...)".
_HEAD = re.compile(r"\s*(?:\((\w+)(?:-(\d+))?\):\s*(?:\d+ x )?)?(\w+)\(")
_CHILD = re.compile(r"\s*\(\w+(?:-\d+)?\): ")
_TENSOR = re.compile(r"Parameter containing:\s*tensor\((.*)\)$", re.DOTALL)


def parse(text: str) -> Module:
    """The tree of modules that a text shows."""
    (module, *_), _ = _modules(text, 0)
    return module


def _modules(text: str, start: int) -> tuple[list[Module], int]:
    """The module that begins at `start`, once for each of its names, and where it ends."""
    head = _HEAD.match(text, start)
    if head is None:
        raise ValueError(f"no module at {text[start : start + 40]!r}")
    end = _closing(text, head.end())
    body = text[head.end() : end]
    args: list[Any] = []
    options: dict[str, Any] = {}
    children = []
    if _CHILD.match(body):
        at = head.end()
        while at < end and _HEAD.match(text, at):
            same, at = _modules(text, at)
            children += same
    else:
        for part in _split(body):
            key, equals, value = part.partition("=")
            if equals and key.strip().isidentifier():
                options[key.strip()] = _value(value)
            else:
                args.append(_value(part))
    first, last = head.group(1) or "", head.group(2)
    names = [first] if last is None else [str(i) for i in range(int(first), int(last) + 1)]
    made = Module(first, head.group(3), tuple(args), options, tuple(children))
    return [made._replace(name=name) for name in names], end + 1


def _closing(text: str, start: int) -> int:
    depth = 1
    for i in range(start, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i
    raise ValueError(f"unbalanced parentheses in {text!r}")


def _split(body: str) -> list[str]:
    parts, depth, begin = [], 0, 0
    for i, letter in enumerate(body):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(body[begin:i])
            begin = i + 1
    return [part.strip() for part in [*parts, body[begin:]] if part.strip()]


def _value(text: str) -> Any:
    text = text.strip()
    tensor = _TENSOR.match(text)
    if tensor:
        text = tensor.group(1).split(", requires_grad")[0].split(", dtype")[0]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
