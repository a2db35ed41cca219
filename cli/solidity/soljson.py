"""solc as JavaScript, run by mini-racer's V8 in this process: no Node, no native compiler.

soljson.js is the compiler's own Emscripten build, as npm's `solc` package ships it. The copy that `npm pack` brings is
the pinned version and is run only if its SHA-256 is the pinned one; a file the user names may be any version.
The JavaScript gets no file, network or process: V8 alone offers none, and no callback is passed to the compiler.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from core.errors import CocoError, LimitExceeded
from core.limits import MEBIBYTE

SOLC_VERSION = "0.8.37"
"""Pinned here and in examples/package.json; a test keeps the two equal."""

SOLJSON_SHA256 = "221d7a667378b5068d913e75fe092507e061363cd1d23b64c49ae82febabad4c"
SOLJSON_BYTES_MAX = 64 * MEBIBYTE
COMPILE_SECONDS_MAX = 300
FETCH_SECONDS_MAX = 180

_DRIVER = """
var cocoVersion = Module.cwrap("solidity_version", "string", []);
var cocoStandard = Module.cwrap("solidity_compile", "string", ["string", "number", "number"]);
function cocoCompile(input) { return cocoStandard(input, 0, 0); }
"""

Report = Callable[[str], None]


class SoljsonRefused(CocoError):
    """A soljson.js that is missing, is not the pinned one, or does not run. Carries its path."""

    def __init__(self, message: str, *, path: Path, hint: str = "") -> None:
        super().__init__(f"{path}: {message}", hint=hint)
        self.path = path


class SoljsonUnavailable(CocoError):
    """There is no soljson.js and no way to get one, or no mini-racer to run it."""


def cache_directory() -> Path:
    """Return where soljson.js is kept: $COCO_CACHE, else coco/ in the user's cache."""
    if chosen := os.environ.get("COCO_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "coco"


def mini_racer_installed() -> bool:
    """Tell whether the optional extra is there."""
    return importlib.util.find_spec("py_mini_racer") is not None


def read_soljson(path: Path) -> bytes:
    """Read a soljson.js of any version. Raises SoljsonRefused, LimitExceeded."""
    try:
        with path.open("rb") as file:
            content = file.read(SOLJSON_BYTES_MAX + 1)
    except OSError as error:
        raise SoljsonRefused(f"cannot be read: {error.strerror}", path=path) from error
    if len(content) > SOLJSON_BYTES_MAX:
        raise LimitExceeded(f"{path}: larger than the {SOLJSON_BYTES_MAX} bytes a soljson.js may have")
    return content


def verify_soljson(content: bytes, path: Path) -> None:
    """Verify that this is the pinned compiler. Raises SoljsonRefused."""
    digest = hashlib.sha256(content).hexdigest()
    if not hmac.compare_digest(digest, SOLJSON_SHA256):
        raise SoljsonRefused(
            f"not the soljson.js of solc {SOLC_VERSION}: SHA-256 is {digest}, {SOLJSON_SHA256} was expected",
            path=path,
            hint="Remove the file and try again; to use another version on purpose, name it with --soljson PATH.",
        )


def pinned_soljson(report: Report) -> bytes:
    """Return the pinned soljson.js, from the cache or else with `npm pack`; verified either way.

    Raises: SoljsonUnavailable, SoljsonRefused.
    """
    cached = cache_directory() / f"soljson-{SOLC_VERSION}.js"
    if cached.is_file():
        content = read_soljson(cached)
        verify_soljson(content, cached)
        return content
    report(f"fetching solc {SOLC_VERSION} with npm (once; kept in {cached.parent})")
    content = _fetch()
    verify_soljson(content, Path(f"solc-{SOLC_VERSION}.tgz"))
    _keep(cached, content)
    return content


def run_soljson(soljson: bytes, path: Path, standard_input: str) -> str:
    """Compile: standard JSON in, standard JSON out. `path` is named in errors.

    Raises: SoljsonUnavailable without mini-racer, SoljsonRefused when the script fails or takes too long.
    """
    try:
        import py_mini_racer
    except ImportError as error:
        raise SoljsonUnavailable(
            f"mini-racer is needed to run {path} and cannot be imported: {error}",
            hint="pip install 'coco-ledger[solc]'",
        ) from error
    try:
        script = soljson.decode("utf-8")
        with py_mini_racer.MiniRacer() as racer:
            racer.eval(script, timeout_sec=COMPILE_SECONDS_MAX)
            racer.eval(_DRIVER)
            output = racer.call("cocoCompile", standard_input, timeout_sec=COMPILE_SECONDS_MAX)
    except (UnicodeDecodeError, py_mini_racer.JSEvalException, py_mini_racer.LibNotFoundError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SoljsonRefused(
            f"it does not run as solc: {first_line[:200]}",
            path=path,
            hint="Versions 0.6.0 and later run; `solc` itself or an artifact works too.",
        ) from error
    if not isinstance(output, str):
        raise SoljsonRefused("it does not run as solc: no output", path=path)
    return output


def _fetch() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise SoljsonUnavailable(
            f"npm is not on PATH, so solc {SOLC_VERSION} cannot be fetched",
            hint=f"Bring soljson.js of solc {SOLC_VERSION} from elsewhere and name it with --soljson PATH.",
        )
    with tempfile.TemporaryDirectory(prefix="coco-solc-") as directory:
        command = [npm, "pack", f"solc@{SOLC_VERSION}", "--ignore-scripts", "--silent"]
        try:
            done = subprocess.run(
                command, cwd=directory, capture_output=True, text=True, timeout=FETCH_SECONDS_MAX, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise SoljsonUnavailable(
                f"`npm pack solc@{SOLC_VERSION}` gave no answer in {FETCH_SECONDS_MAX} s"
            ) from error
        archives = sorted(Path(directory).glob("*.tgz"))
        if done.returncode != 0 or len(archives) != 1:
            raise SoljsonUnavailable(
                f"`npm pack solc@{SOLC_VERSION}` failed: {done.stderr.strip()[-500:] or done.returncode}",
                hint="Run it by hand to see why, or name a soljson.js with --soljson PATH.",
            )
        return _unpack(archives[0])


def _unpack(archive: Path) -> bytes:
    """Return soljson.js from npm's archive. Nothing is written to disk, so names in it do no harm."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            member = tar.extractfile("package/soljson.js")
            content = member.read(SOLJSON_BYTES_MAX + 1) if member is not None else b""
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise SoljsonRefused(f"no package/soljson.js can be read from it: {error}", path=archive) from error
    if len(content) > SOLJSON_BYTES_MAX:
        raise LimitExceeded(f"{archive}: its soljson.js is larger than {SOLJSON_BYTES_MAX} bytes")
    return content


def _keep(cached: Path, content: bytes) -> None:
    """Put the file into the cache whole or not at all. A cache that cannot be written is no failure."""
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cached.parent, delete=False) as file:
            file.write(content)
        Path(file.name).replace(cached)
    except OSError:
        return
