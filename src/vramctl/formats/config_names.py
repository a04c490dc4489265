"""What names in a Python source stand for, as far as the text alone tells; nothing is executed."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from vramctl.formats.config_options import Value, read_value
from vramctl.records.unknown import Unknown

_CONVERTERS = frozenset({"int", "float", "str", "bool"})
MOST_STEPS = 20
_MOST_VALUES = 50


class Names:
    """Names of one file: variables, `self.x` and class attributes, parameters with defaults; and the variables of .env files."""

    def __init__(self, tree: ast.Module, environment: Mapping[str, str], engines: Collection[str] = ()) -> None:
        self.environment = environment
        self._bound: dict[str, list[ast.expr]] = {}
        self._parameters: set[str] = set()
        self._items: dict[str, list[tuple[str, ast.expr]]] = {}
        self._grown: set[str] = set()
        self._worked_out: dict[int, tuple[Value | None, list[str]]] = {}
        self._taken: list[str] = []
        self._prefix = ""
        nodes = list(ast.walk(tree))
        for node in nodes:
            self._bind(node)
        for node in nodes:
            if isinstance(node, ast.Call) and _name(node.func).rsplit(".", 1)[-1] not in engines:
                self._given(node)

    def _given(self, call: ast.Call) -> None:
        """What a call of this file gives a parameter: it stands beside the parameter's default."""
        for keyword in call.keywords:
            if keyword.arg in self._parameters:
                self._add(keyword.arg or "", keyword.value)

    def _item(self, target: ast.Subscript, value: ast.expr) -> None:
        """`settings["n_ctx"] = 4096`."""
        if isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str):
            self._items.setdefault(_name(target.value), []).append((target.slice.value, value))
        else:
            self._grown.add(_name(target.value))

    def _updated(self, call: ast.Call) -> None:
        """`settings.update(n_ctx=4096)`; of what else changes a dictionary the result is not known."""
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in {"update", "setdefault", "pop"}:
            return
        name = _name(call.func.value)
        if call.func.attr == "update" and not call.args and all(keyword.arg for keyword in call.keywords):
            self._items.setdefault(name, []).extend((k.arg, k.value) for k in call.keywords if k.arg)
        else:
            self._grown.add(name)

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            self._updated(node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript):
                    self._item(target, node.value)
                self._add(_name(target), node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._add(_name(node.target), node.value)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [*node.args.posonlyargs, *node.args.args]
            pairs = [*zip(reversed(given), reversed(node.args.defaults), strict=False)]
            pairs += [(a, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is not None]
            for argument, default in pairs:
                self._parameters.add(argument.arg)
                self._add(argument.arg, default)
        elif isinstance(node, ast.keyword) and node.arg == "env_prefix":
            self._prefix = str(getattr(node.value, "value", ""))

    def _add(self, name: str, value: ast.expr) -> None:
        if name == "env_prefix" and isinstance(value, ast.Constant):
            self._prefix = str(value.value)
        same = isinstance(value, ast.Name | ast.Attribute) and _name(value) == name
        if name and not same:
            self._bound.setdefault(name, []).append(value)

    def value(self, node: ast.expr, steps: int = MOST_STEPS) -> Value | None:
        """The value of an expression; None for None itself, Unknown with what was written where it is not plain."""
        if steps <= 0:
            return _unclear(node)
        if isinstance(node, ast.Constant):
            return _constant(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            value = self.value(node.operand, steps - 1)
            return -value if isinstance(value, int | float) else _unclear(node)
        if isinstance(node, ast.List | ast.Tuple):
            return self._listed(node, steps)
        if isinstance(node, ast.Call):
            return self._called(node, steps)
        if isinstance(node, ast.Subscript):
            return self._variable(node.slice, None, steps) if _is_environ(node.value) else _unclear(node)
        if isinstance(node, ast.Name | ast.Attribute):
            return self._named(node, steps)
        return _unclear(node)

    def variable_of(self, node: ast.expr) -> str:
        """The one variable of the .env files that an expression's value is taken from, "" where there is none."""
        self._taken = []
        self.value(node)
        return self._taken[0] if len(set(self._taken)) == 1 else ""

    def mapping(self, node: ast.expr, steps: int = MOST_STEPS) -> Mapping[str, ast.expr] | None:
        """The items of a dictionary that is written out, in place or under a name; None where it is not."""
        if steps <= 0:
            return None
        if isinstance(node, ast.Dict):
            items: dict[str, ast.expr] = {}
            for key, value in zip(node.keys, node.values, strict=True):
                inner = self.mapping(value, steps - 1) if key is None else None
                if key is None and inner is None:
                    return None
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    items[key.value] = value
                items |= inner or {}
            return items
        if isinstance(node, ast.Call) and _name(node.func) == "dict" and not node.args:
            return {item.arg: item.value for item in node.keywords if item.arg}
        name = _name(node)
        found = self._bound.get(name, [])
        written = self.mapping(found[0], steps - 1) if len(found) == 1 and name not in self._grown else None
        if written is None or name not in self._items:
            return written
        items = dict(written)
        for changed, given in self._items[name]:
            several = ast.copy_location(ast.Name(id=f"{name}[{changed!r}]", ctx=ast.Load()), given)
            items[changed] = several if changed in items else given
        return items

    def _named(self, node: ast.Name | ast.Attribute, steps: int) -> Value | None:
        name = _name(node)
        if isinstance(node, ast.Attribute) and name.split(".")[-1].startswith("GGML_TYPE_"):
            return name.split(".")[-1].removeprefix("GGML_TYPE_").lower()
        found = self._bound.get(name)
        if found is None and isinstance(node, ast.Attribute):
            found = self._bound.get(f"self.{node.attr}") or self._bound.get(node.attr)
            settled = self.environment.get(f"{self._prefix}{node.attr}".upper())
            if settled is not None and found:
                self._taken.append(f"{self._prefix}{node.attr}".upper())
                return read_value(settled)
        if not found:
            return Unknown(f"{name or ast.unparse(node)} is set elsewhere")
        return self._settled(name, found, steps)

    def _settled(self, name: str, found: list[ast.expr], steps: int) -> Value | None:
        """The one value of a name, worked out once; a name that stands on itself is Unknown."""
        key = id(found)
        if key not in self._worked_out:
            before, self._taken = self._taken, []
            self._worked_out[key] = Unknown(f"{name} stands on itself"), []
            values = {repr(value): value for value in (self.value(one, steps - 1) for one in found[:_MOST_VALUES])}
            several = Unknown(f"{name} is given {len(values)} different values in this file")
            self._worked_out[key] = next(iter(values.values())) if len(values) == 1 else several, self._taken
            self._taken = before
        value, taken = self._worked_out[key]
        self._taken += taken
        return value

    def _listed(self, node: ast.List | ast.Tuple, steps: int) -> Value:
        values = [self.value(item, steps - 1) for item in node.elts]
        if any(isinstance(value, Unknown) for value in values):
            return _unclear(node)
        return ",".join(str(value) for value in values)

    def _called(self, node: ast.Call, steps: int) -> Value | None:
        name = _name(node.func)
        if name in _CONVERTERS and len(node.args) == 1:
            return _converted(name, self.value(node.args[0], steps - 1))
        if name in {"os.getenv", "getenv", "os.environ.get", "environ.get"} and node.args:
            return self._variable(node.args[0], node.args[1] if len(node.args) > 1 else None, steps)
        if name == "Field" and (node.args or node.keywords):
            default = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "default"), None)
            return self.value(default, steps - 1) if default is not None else _unclear(node)
        return _unclear(node)

    def _variable(self, name: ast.expr, default: ast.expr | None, steps: int) -> Value | None:
        key = self.value(name, steps - 1)
        if not isinstance(key, str):
            return Unknown("a variable of the environment")
        if key in self.environment:
            self._taken.append(key)
            return self.environment[key]
        if default is None:
            return Unknown(f"the variable {key} of the environment")
        fallback = self.value(default, steps - 1)
        return fallback if not isinstance(fallback, Unknown) else Unknown(f"the variable {key} of the environment")


def dotted(node: ast.expr) -> str:
    """A name with its dots (`llama_cpp.Llama`), "" for anything else."""
    return _name(node)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        above = _name(node.value)
        return f"{above}.{node.attr}" if above else ""
    return ""


def _is_environ(node: ast.expr) -> bool:
    return _name(node) in {"os.environ", "environ"}


def _constant(node: ast.Constant) -> Value | None:
    value = node.value
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return _unclear(node)


def _converted(name: str, value: Value | None) -> Value | None:
    if isinstance(value, Unknown) or value is None:
        return value
    try:
        if name == "bool":
            return bool(value)
        return int(value) if name == "int" else float(value) if name == "float" else str(value)
    except ValueError:
        return Unknown(f"{value!r} is no {name}")


def _unclear(node: ast.expr) -> Unknown:
    return Unknown(f"it is worked out when the program runs: {ast.unparse(node)[:80]}")
