"""A Solidity source and everything it imports, read into memory the way solc names source units.

The compiler gets all sources inline and reads no file itself, so what a contract may import is decided here:
`.sol` files of the project and of its `node_modules`, within bounds. Import paths are resolved as "Import Path
Resolution" of the Solidity documentation says: relative ones against the importer's unit name, then remappings.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import CocoError, LimitExceeded
from core.limits import MEBIBYTE

SOURCES_MAX = 2_000
SOURCE_BYTES_MAX = 16 * MEBIBYTE
"""All sources of one compilation together."""

PROJECT_MARKERS = (
    "foundry.toml",
    "remappings.txt",
    "hardhat.config.js",
    "hardhat.config.cjs",
    "hardhat.config.ts",
    "package.json",
    ".git",
)

# An unclosed comment or string runs to the end of the match, so that no input takes quadratic time.
_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?(?:\*/|\Z)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|(?<![\w$])import(?![\w$])|;""",
    re.DOTALL,
)


class SourceRefused(CocoError):
    """A source or import that is not read. Carries the import path and the unit that asked for it."""

    def __init__(self, message: str, *, import_path: str, importer: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.import_path = import_path
        self.importer = importer


@dataclass(frozen=True, slots=True)
class Remapping:
    """`context:prefix=target`, as solc and Foundry write it."""

    context: str
    prefix: str
    target: str

    def __str__(self) -> str:
        context = f"{self.context}:" if self.context else ""
        return f"{context}{self.prefix}={self.target}"


@dataclass(frozen=True, slots=True)
class SourceSet:
    """All sources of one compilation by unit name; `main` is the unit that was asked for."""

    main: str
    contents: Mapping[str, str]
    remappings: tuple[Remapping, ...]


def collect_sources(path: Path, *, root: Path | None = None, remappings: Sequence[str] = ()) -> SourceSet:
    """Read a source and, over its imports, every source it needs.

    `root` is the directory unit names are relative to; without it, the nearest directory above the source that
    looks like a project (PROJECT_MARKERS), else the source's own. Remappings given come before those of
    `remappings.txt` and `foundry.toml` in the root.

    Raises: SourceRefused, LimitExceeded.
    """
    path = path.resolve()
    if not path.is_file():
        raise SourceRefused(f"{path}: there is no such file", import_path=str(path), importer="")
    root = root.resolve() if root is not None else project_root(path)
    if not path.is_relative_to(root):
        raise SourceRefused(f"{path} is outside the project {root}", import_path=str(path), importer="")
    rules = tuple(parse_remapping(line) for line in [*remappings, *_project_remappings(root)])
    reader = _Reader(root, path)
    main = path.relative_to(root).as_posix()
    contents = {main: reader.read(path, main)}
    waiting = deque([main])
    while waiting:
        importer = waiting.popleft()
        for import_path in find_imports(contents[importer]):
            name = resolve_import(import_path, importer, rules)
            if name not in contents:
                contents[name] = reader.find(name, import_path, importer)
                waiting.append(name)
    return SourceSet(main, contents, rules)


def project_root(path: Path) -> Path:
    """Return the project directory a source belongs to."""
    for directory in path.parents:
        if any((directory / marker).exists() for marker in PROJECT_MARKERS):
            return directory
    return path.parent


def find_imports(source: str) -> list[str]:
    """Return the import paths of a source in order, without being fooled by comments and strings.

    `import` is a reserved word, and each form of the statement holds exactly one string.
    """
    found: list[str] = []
    in_import = False
    for match in _TOKEN.finditer(source):
        word = match.group()
        if word == "import":
            in_import = True
        elif word == ";":
            in_import = False
        elif in_import and word[0] in "\"'":
            found.append(word.strip(word[0]))
            in_import = False
    return found


def resolve_import(import_path: str, importer: str, remappings: Sequence[Remapping]) -> str:
    """Return the source unit name an import path stands for."""
    name = import_path
    if import_path.startswith(("./", "../")):
        name = posixpath.normpath(posixpath.join(posixpath.dirname(importer), import_path))
    matching = [rule for rule in remappings if importer.startswith(rule.context) and name.startswith(rule.prefix)]
    if matching:
        # solc's order: the longest context, then the longest prefix, then the last one given.
        best = max(reversed(matching), key=lambda rule: (len(rule.context), len(rule.prefix)))
        name = best.target + name[len(best.prefix) :]
    if name.startswith("/") or "://" in name or ".." in name.split("/"):
        raise SourceRefused(
            f'{importer}: import "{import_path}" leaves the project',
            import_path=import_path,
            importer=importer,
            hint="Imports are read from the project's directory and from node_modules only; --root widens it.",
        )
    if not name.endswith(".sol"):
        raise SourceRefused(
            f'{importer}: import "{import_path}" is not a .sol file', import_path=import_path, importer=importer
        )
    return name


def parse_remapping(line: str) -> Remapping:
    """Read `context:prefix=target`; the context and the target may be empty."""
    left, equals, target = line.strip().partition("=")
    context, colon, prefix = left.rpartition(":")
    if not equals or not prefix:
        raise SourceRefused(
            f"remapping {line!r} does not parse",
            import_path=line,
            importer="",
            hint="Write it as prefix=target, such as @openzeppelin/=lib/openzeppelin-contracts/.",
        )
    return Remapping(context if colon else "", prefix, target)


def _project_remappings(root: Path) -> list[str]:
    lines: list[str] = []
    text_file, foundry = root / "remappings.txt", root / "foundry.toml"
    try:
        if text_file.is_file():
            lines += [line for line in text_file.read_text("utf-8").splitlines() if line.strip()]
        if foundry.is_file():
            profile = tomllib.loads(foundry.read_text("utf-8")).get("profile", {}).get("default", {})
            lines += [line for line in profile.get("remappings", []) if isinstance(line, str)]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError, TypeError) as error:
        raise SourceRefused(f"the remappings of {root} cannot be read: {error}", import_path="", importer="") from error
    return lines


class _Reader:
    """Reads sources below the allowed directories, and counts them against the bounds."""

    def __init__(self, root: Path, source: Path) -> None:
        modules = [directory / "node_modules" for directory in source.parents]
        self._places = [root, *(place for place in modules if place.is_dir())]
        self._allowed = [place.resolve() for place in self._places]
        self._count = 0
        self._bytes = 0

    def find(self, name: str, import_path: str, importer: str) -> str:
        """Return the text of the unit, from the first place that has it."""
        for place in self._places:
            candidate = place / name
            if candidate.is_file():
                return self._read_allowed(candidate, name, import_path, importer)
        looked = ", ".join(str(place) for place in self._places)
        raise SourceRefused(
            f'{importer}: import "{import_path}" was not found in {looked}',
            import_path=import_path,
            importer=importer,
            hint="Install it with npm, or map it in remappings.txt (`forge remappings > remappings.txt`).",
        )

    def _read_allowed(self, candidate: Path, name: str, import_path: str, importer: str) -> str:
        real = candidate.resolve()  # Symbolic links are judged by where they lead.
        if not any(real.is_relative_to(place) for place in self._allowed):
            raise SourceRefused(
                f'{importer}: import "{import_path}" leads outside the project, to {real}',
                import_path=import_path,
                importer=importer,
                hint="Name the directory that holds both with --root.",
            )
        return self.read(real, name)

    def read(self, path: Path, name: str) -> str:
        """Return the text of one file, within the bounds of the whole compilation."""
        self._count += 1
        left = SOURCE_BYTES_MAX - self._bytes
        if self._count > SOURCES_MAX:
            raise LimitExceeded(f"{name}: more than {SOURCES_MAX} sources are imported")
        try:
            with path.open("rb") as file:
                content = file.read(left + 1)
        except OSError as error:
            raise SourceRefused(f"{path}: {error.strerror}", import_path=name, importer="") from error
        if len(content) > left:
            raise LimitExceeded(f"{name}: the sources together are larger than {SOURCE_BYTES_MAX} bytes")
        self._bytes += len(content)
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise SourceRefused(f"{path}: not UTF-8 text", import_path=name, importer="") from error
