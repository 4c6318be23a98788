"""The rooms of the package: who imports whom, what may be imported where, what is too long."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kiosk

ROOT = Path(kiosk.__file__).parent

# Lower lines first. A room imports lower lines only; rooms on one line do not import each other.
LINES: tuple[tuple[str, ...], ...] = (
    ("errors", "causes"),
    ("base",),
    ("contract", "proxies", "endings"),
    ("convai", "audio"),
    ("agent", "config"),
    ("moments", "measures"),
    ("link", "devices"),
    ("visit", "ops"),
    ("listeners", "doctor", "watch", "screen"),
    ("daemon", "backend"),
    ("lab",),
    ("cli",),
    ("__main__",),
)
LEVEL = {room: level for level, line in enumerate(LINES) for room in line}
# Rooms that may import even less than lies below them.
ONLY = {
    "agent": {"convai", "audio", "endings", "base", "errors"},
    "backend": {"convai", "contract", "proxies", "base", "causes", "errors"},
    "watch": {"ops", "config", "proxies", "base", "causes", "errors"},
    "screen": {"visit", "ops", "config", "base", "causes", "errors"},
}

PURE_ROOMS = {"convai", "audio", "contract", "endings", "errors", "causes"}
PURE_MODULES = {
    f"kiosk.visit.{name}" for name in ("core", "effects", "inputs", "moments", "states", "visit")
}
IMPURE = {
    "asyncio", "concurrent", "ctypes", "datetime", "fcntl", "http", "httpx2", "logging", "mmap",
    "multiprocessing", "os", "pathlib", "queue", "random", "select", "selectors",
    "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib", "uuid", "websockets",
}  # fmt: skip

# Packages that need hardware or a service that may be absent, and where each may be imported.
DRIVERS: dict[str, Callable[[str], bool]] = {
    "alsaaudio": lambda module: module == "kiosk.devices.alsa",
    "gpiozero": lambda module: module == "kiosk.devices.gpio",
    "lgpio": lambda module: module == "kiosk.devices.gpio",
    "systemd": lambda module: module.startswith("kiosk.ops.") or module == "kiosk.watch.journals",
    "webrtcvad": lambda module: module == "kiosk.audio.gate",
    "pywebrtc_audio": lambda module: module in {"kiosk.audio.suppressor", "kiosk.audio.gate"},
    "livekit": lambda module: module.startswith(("kiosk.link.", "kiosk.agent.room")),
    "aiortc": lambda module: module.startswith("kiosk.agent.room"),
    "aioice": lambda module: module.startswith("kiosk.agent.room"),
    "av": lambda module: module.startswith("kiosk.agent.room"),
    "pocketsphinx": lambda module: module.startswith("kiosk.agent."),
}

# Modules that are nothing without their driver: who imports them does it inside a function.
WITH_THEIR_DRIVER = {"kiosk.agent.room", "kiosk.agent.room_track", "kiosk.link.webrtc"}

# Rooms in which whole kiosks are played in virtual time, and the clocks that would not follow.
IN_TIME = {"devices", "visit", "link", "agent", "daemon"}
CLOCKS = {"monotonic", "perf_counter", "sleep", "thread_time"}

WITH_THREADS = {"base", "lab", "devices", "daemon"}

MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 59

BY_NAME = "(computed)"  # an import whose target the source does not tell

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _imports(module: str, tree: ast.Module) -> Iterator[tuple[str, int, bool]]:
    """Every module imported: (absolute name, line, whether inside a function)."""

    def visit(node: ast.AST, inside: bool) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.Import(names):
                    yield from ((alias.name, child.lineno, inside) for alias in names)
                case ast.ImportFrom(name, names, level):
                    assert not level, f"{module}:{child.lineno}: imports are absolute"
                    if name == "kiosk":  # its attributes are rooms, all but the version
                        for alias in names:
                            yield f"kiosk.{alias.name}", child.lineno, inside
                    else:
                        yield name or "", child.lineno, inside
                case ast.Call(
                    ast.Name("__import__") | ast.Attribute(attr="import_module"), arguments
                ):
                    yield _literal(arguments), child.lineno, inside
            yield from visit(child, inside or isinstance(child, _FUNCTIONS))

    return visit(tree, False)


def _literal(arguments: list[ast.expr]) -> str:
    match arguments:
        case [ast.Constant(str(name)), *_]:
            return name
    return BY_NAME


def _room(module: str) -> str:
    return module.split(".")[1]


def arrows_up(module: str, tree: ast.Module) -> Iterator[str]:
    room = _room(module)
    for name, line, _ in _imports(module, tree):
        if name == BY_NAME:
            yield f"{line}: imports by name cannot be checked"
        if not name.startswith("kiosk.") or name == "kiosk.__version__":
            continue
        target = _room(name)
        if target == room:
            continue
        allowed = ONLY.get(room, {other for other, level in LEVEL.items() if level < LEVEL[room]})
        if target not in allowed:
            yield f"{line}: {room} imports {target}"


def impure_imports(module: str, tree: ast.Module) -> Iterator[str]:
    docstring = ast.get_docstring(tree) or ""
    says_so = any(word in docstring for word in ("Pure:", "Pure.", "Pure data."))
    if not says_so and _room(module) not in PURE_ROOMS and module not in PURE_MODULES:
        return
    for name, line, _ in _imports(module, tree):
        if name.split(".")[0] in IMPURE and name != "urllib.parse":
            yield f"{line}: {name} in a pure module"
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Name("open")):
                yield f"{node.lineno}: open() in a pure module"


def misplaced_drivers(module: str, tree: ast.Module) -> Iterator[str]:
    for name, line, inside in _imports(module, tree):
        driver = name.split(".")[0]
        if driver in DRIVERS:
            if not DRIVERS[driver](module):
                yield f"{line}: {driver} is not imported here"
            if not inside and module not in WITH_THEIR_DRIVER:
                yield f"{line}: {driver} is imported inside a function only"
        if name in WITH_THEIR_DRIVER and not inside and module not in WITH_THEIR_DRIVER:
            yield f"{line}: {name} is imported inside a function only"


def misplaced_threads(module: str, tree: ast.Module) -> Iterator[str]:
    if _room(module) in WITH_THREADS or module == "kiosk.ops.journald":
        return
    for name, line, _ in _imports(module, tree):
        if name.split(".")[0] in {"threading", "_thread"}:
            yield f"{line}: threads live in devices and base, and one in ops.journald"


def misread_clocks(module: str, tree: ast.Module) -> Iterator[str]:
    if _room(module) not in IN_TIME and not module.startswith("kiosk.lab.demo."):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name("time"), attr) if attr in CLOCKS:
                yield f"{node.lineno}: time.{attr}: what time it is comes from a Clock, or the loop"


def prints_and_catches(module: str, tree: ast.Module) -> Iterator[str]:
    if module == "kiosk.cli":
        return
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Name("print")):
                yield f"{node.lineno}: print"
            case ast.ExceptHandler(None):
                yield f"{node.lineno}: bare except"
            case ast.ExceptHandler(caught) if _names(caught) & {"Exception", "BaseException"}:
                yield f"{node.lineno}: except Exception"
            case ast.Call(ast.Name("suppress") | ast.Attribute(attr="suppress"), args):
                if any(_names(argument) & {"Exception", "BaseException"} for argument in args):
                    yield f"{node.lineno}: suppress(Exception)"


def too_long(module: str, tree: ast.Module) -> Iterator[str]:
    lines = max((node.end_lineno or 0 for node in tree.body), default=0)
    if lines > MAX_MODULE_LINES:
        yield f"{module} has {lines} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{node.lineno}: {node.name} has {length} lines"


def _names(expression: ast.expr | None) -> set[str]:
    if expression is None:
        return set()
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


# A column of module docstrings is read by its first words.
_NO_NOUNS = {
    "How", "That", "Those", "What", "When", "Where", "Whether", "Which", "Who", "Whoever", "Why",
}  # fmt: skip


def unnamed(module: str, tree: ast.Module) -> Iterator[str]:
    words = (ast.get_docstring(tree) or "").split()
    if tree.body and (not words or words[0] in _NO_NOUNS):
        yield "1: a module's docstring begins with a noun or a verb that names it"


_PRODUCTS = {"dot", "matmul", "vdot", "inner", "tensordot"}


def spinning_sums(module: str, tree: ast.Module) -> Iterator[str]:
    """The threads of BLAS spin while they wait: under real-time priority for ever."""
    if module.split(".")[1:2] not in (["audio"], ["devices"]):
        return
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.MatMult()):
                yield f"{node.lineno}: sums of products are np.einsum's, not BLAS's"
            case ast.Attribute(ast.Name("np"), attr) if attr in _PRODUCTS:
                yield f"{node.lineno}: sums of products are np.einsum's, not BLAS's"


Rule = Callable[[str, ast.Module], Iterator[str]]
RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        arrows_up,
        impure_imports,
        misplaced_drivers,
        misplaced_threads,
        misread_clocks,
        prints_and_catches,
        spinning_sums,
        too_long,
        unnamed,
    )
}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        if parts == ("kiosk", "__init__"):
            continue
        yield ".".join(parts), ast.parse(path.read_text(encoding="utf-8"))


MODULES = dict(_modules())


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_the_rule(rule: str) -> None:
    broken = [
        f"{module}:{what}" for module, tree in MODULES.items() for what in RULES[rule](module, tree)
    ]
    assert not broken, "\n".join(broken)


def test_no_public_class_name_stands_twice() -> None:
    modules: dict[str, list[str]] = {}
    for module, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules.setdefault(node.name, []).append(module)
    assert len(modules) > 300
    assert {name: places for name, places in modules.items() if len(places) > 1} == {}


def test_every_room_has_its_line() -> None:
    assert {_room(module) for module in MODULES} <= set(LEVEL)
    assert len(MODULES) > 50


# What each rule must catch: (rule, module, source).
_LONG_FUNCTION = "def f():\n" + "    x = 1\n" * 60
PLANTED = [
    ("arrows_up", "kiosk.devices.alsa", "from kiosk.visit import host"),
    ("arrows_up", "kiosk.devices.alsa", "def f():\n    import kiosk.visit.host"),
    ("arrows_up", "kiosk.devices.alsa", "from kiosk import daemon"),
    ("arrows_up", "kiosk.devices.alsa", "from kiosk.link.websocket import Socket"),
    ("misplaced_drivers", "kiosk.link.roads", "from kiosk.link.webrtc import connect"),
    ("arrows_up", "kiosk.audio.pcm", "from kiosk.convai import fields"),
    ("arrows_up", "kiosk.errors", "import kiosk.contract"),
    ("arrows_up", "kiosk.agent.talk", "from kiosk.config import Settings"),
    ("arrows_up", "kiosk.backend.web.app", "from kiosk.audio.pcm import PCM_16000"),
    ("arrows_up", "kiosk.visit.host", "importlib.import_module('kiosk.cli')"),
    ("arrows_up", "kiosk.visit.host", "importlib.import_module(name)"),
    ("impure_imports", "kiosk.audio.pcm", "def f():\n    import time"),
    ("impure_imports", "kiosk.contract", "from os import environ"),
    ("impure_imports", "kiosk.convai.messages", "open('x')"),
    ("impure_imports", "kiosk.visit.states", "import asyncio"),
    ("impure_imports", "kiosk.ops.messages", '"""Pure data."""\nfrom pathlib import Path'),
    ("misplaced_drivers", "kiosk.devices.alsa", "import alsaaudio"),
    ("misplaced_drivers", "kiosk.devices.speaker", "def f():\n    import alsaaudio"),
    ("misplaced_drivers", "kiosk.visit.host", "def f():\n    from systemd import daemon"),
    ("misplaced_drivers", "kiosk.devices.gpio", "class A:\n    import gpiozero"),
    ("misplaced_drivers", "kiosk.audio.suppressor", "from pywebrtc_audio import AudioProcessor"),
    ("misplaced_drivers", "kiosk.audio.noise", "def f():\n    import pywebrtc_audio"),
    ("misplaced_threads", "kiosk.link.backend", "import threading"),
    ("misplaced_threads", "kiosk.ops.journal", "import threading"),
    ("misread_clocks", "kiosk.visit.host", "import time\nnow_s = time.monotonic()"),
    ("misread_clocks", "kiosk.devices.speaker", "import time\nlook = time.monotonic"),
    ("prints_and_catches", "kiosk.lab.demo.report", "print('hello')"),
    ("prints_and_catches", "kiosk.visit.host", "try:\n    f()\nexcept:\n    pass"),
    ("prints_and_catches", "kiosk.visit.host", "try:\n    f()\nexcept (E, Exception):\n    pass"),
    ("prints_and_catches", "kiosk.visit.host", "with contextlib.suppress(Exception):\n    f()"),
    ("spinning_sums", "kiosk.audio.channels", "mixed = frames @ weights"),
    ("spinning_sums", "kiosk.devices.played", "power = np.dot(heard, heard)"),
    ("too_long", "kiosk.visit.host", "x = 1\n" * 601),
    ("too_long", "kiosk.visit.host", _LONG_FUNCTION),
    ("unnamed", "kiosk.visit.host", '"""What is so."""'),
    ("unnamed", "kiosk.visit.host", "x = 1"),
]


@pytest.mark.parametrize(("rule", "module", "source"), PLANTED)
def test_a_planted_violation_is_caught(rule: str, module: str, source: str) -> None:
    assert list(RULES[rule](module, ast.parse(source)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kiosk.visit.host", "from kiosk import __version__"),
        ("kiosk.visit.host", "from kiosk.visit.states import State"),
        (
            "kiosk.lab.demo.runner",
            "from kiosk.agent import server\nfrom kiosk.daemon.kiosk import Daemon",
        ),
        ("kiosk.devices.alsa", "def f():\n    import alsaaudio"),
        ("kiosk.cli", "print('hello')"),
        ("kiosk.audio.pcm", "import numpy as np"),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    tree = ast.parse(f'"""Docstring."""\n{source}')
    assert not [what for rule in RULES.values() for what in rule(module, tree)]


def test_the_backend_is_a_third_of_the_source_at_most() -> None:
    """The kiosk is what this is about."""

    def lines(directory: Path) -> int:
        return sum(len(path.read_text().splitlines()) for path in directory.rglob("*.py"))

    assert lines(ROOT / "backend") * 3 <= lines(ROOT)
