"""What `herald policy build` runs for a policy in Python: a component of the interpreter, the policy and this package.

All of WASI is stubbed, so nothing in it can ask for clocks, randomness, files, output or the network.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import componentize_py

_COMPONENT = """\
import {module}
from herald_policy.component import mapper_of

Mapper = mapper_of({module}.Policy)
"""
_LEFT_OUT = {"__pycache__", "node_modules", "target", "tests", "venv"}
# One of them is in the folder of every virtual environment (PEP 405) and of every one of conda's, whatever that is called.
_ENVIRONMENT = ("pyvenv.cfg", "conda-meta")


def build(wit: str, output: str, cache: str) -> dict[str, Any]:
    """Builds the policy in the current folder.

    `wit` is the contract's file, `output` the component's, and `cache` a folder in which components are kept by what
    they are made of. Gives what the project says about itself. Raises `ValueError` if that is too little.
    """
    try:
        manifest = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"pyproject.toml: {error}") from None
    project, own = manifest.get("project", {}), manifest.get("tool", {}).get("herald", {})
    if not (project.get("name") and project.get("version")):
        raise ValueError("pyproject.toml needs a name and a version below [project]")
    capabilities = " ".join(f"import {name};" for name in own.get("capabilities", []))
    world = f"{Path(wit).read_text(encoding='utf-8')}\nworld built {{ include policy; {capabilities} }}\n"
    tool = f"componentize-py {version('componentize-py')}"
    with tempfile.TemporaryDirectory() as scratch:
        stage = Path(scratch)
        files = _staged(stage, own.get("module", "policy"))
        check_syntax(files)
        (stage / "policy.wit").write_text(world, encoding="utf-8")
        kept = Path(cache) / f"{_digest(tool, world, files)}.wasm"
        if not kept.is_file():
            print(f"{project['name']}: making a component with {tool}, which takes about 15 seconds", file=sys.stderr)
            _componentize(stage, stage / "policy.wasm")
            shutil.rmtree(cache, ignore_errors=True)
            kept.parent.mkdir(parents=True)
            part = kept.with_suffix(".part")
            shutil.copyfile(stage / "policy.wasm", part)
            part.replace(kept)
    shutil.copyfile(kept, output)
    about = {field: project.get(field) for field in ("name", "version", "description")}
    licence = project.get("license")
    return about | {"license": licence if isinstance(licence, str) else None}


def _staged(stage: Path, module: str) -> dict[str, bytes]:
    """Lays out what the component is made of, and nothing else: all of this folder goes into it."""
    files = {"herald_component.py": _COMPONENT.format(module=module).encode()}
    here, package = Path.cwd(), Path(__file__).parent
    for root, paths in ((here, _own(here)), (package.parent, package.glob("*.py"))):
        for path in paths:
            name = path.relative_to(root)
            if not name.name.startswith(("test_", ".")) and name != Path("herald_policy/build.py"):
                files[str(name)] = path.read_bytes()
    for name, text in files.items():
        (stage / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / "app" / name).write_bytes(text)
    return files


def _own(root: Path) -> Iterator[Path]:
    """The project's own `.py` files: nothing hidden, and nothing that others have put into folders inside it."""
    for folder, inner, names in os.walk(root):
        here = Path(folder)
        inner[:] = [name for name in inner if not _is_left_out(here / name)]
        yield from (here / name for name in names if name.endswith(".py"))


def _is_left_out(folder: Path) -> bool:
    is_environment = any((folder / mark).exists() for mark in _ENVIRONMENT)
    return is_environment or folder.name.startswith(".") or folder.name in _LEFT_OUT


def check_syntax(files: dict[str, bytes]) -> None:
    """Raises `ValueError` with place and message for the first file that is no Python.

    `files` has their text by name. componentize-py would say the same, after some seconds and among all else that it says.
    """
    for name, text in sorted(files.items()):
        try:
            compile(text, name, "exec", dont_inherit=True)
        except SyntaxError as error:
            place = name if error.lineno is None else f"{name}:{error.lineno}"
            python = ".".join(map(str, sys.version_info[:2]))
            raise ValueError(f"{place}: {error.msg} (as Python {python} reads it)") from None
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _digest(tool: str, world: str, files: dict[str, bytes]) -> str:
    digest = hashlib.sha256(f"{tool}\0{world}".encode())
    for name, text in sorted(files.items()):
        digest.update(f"\0{name}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


def _componentize(stage: Path, output: Path) -> None:
    arguments = ["-d", stage / "policy.wit", "-w", "built", "componentize", "herald_component", "--stub-wasi"]
    arguments += ["-p", stage / "app", "-o", output]
    # A process of its own: what it prints must not end up in our answer.
    command = [sys.executable, "-c", "import componentize_py; componentize_py.script()", *map(str, arguments)]
    done = subprocess.run(command, cwd=stage, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout)
