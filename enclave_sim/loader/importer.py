"""Finds and loads modules among the measured files, which have names of their own: /enclave/core/errors.py.

These names are the same on every machine and are no files of the host's: what a name means is the platform's to say.
They stand in `__file__`, `__path__`, tracebacks and sys.path. Order of search: as Python's own, a package before a
module, an extension before a source. Compiled files are never looked for. Beside this, only modules that are built into
the interpreter or frozen in it can be imported.

Only such modules may be imported here, at the top; what is imported inside functions comes through this importer.
"""

from __future__ import annotations

import _frozen_importlib
import _frozen_importlib_external
import _imp
import marshal
import sys

from enclave_sim.loader.channel import CODE, DATA, CodeChannel

TYPE_CHECKING = False  # The typing module is not there yet.
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.machinery import ModuleSpec
    from importlib.metadata import Distribution, DistributionFinder
    from types import CodeType, ModuleType
    from typing import Any

ROOT = "/enclave"
"""Where measured files seem to be."""

_EXTENSIONS = tuple(_imp.extension_suffixes())
_SUFFIXES = (*_EXTENSIONS, ".py")


class MeasuredFiles:
    """The files that an enclave may read: those of the index. paths: below ROOT."""

    def __init__(
        self, channel: CodeChannel, paths: Iterable[str], distributions: Iterable[tuple[str, str, str]]
    ) -> None:
        self._channel = channel
        self.distributions = tuple(distributions)
        """Name, version and entry points of what is installed."""
        self.children: dict[str, list[str]] = {ROOT: []}
        """Names in each folder."""
        self._files = set()
        self._loaded = 0
        for path in paths:
            self._files.add(f"{ROOT}/{path}")
            self._add_to_folders(f"{ROOT}/{path}")

    def _add_to_folders(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        if folder not in self.children:
            self.children[folder] = []
            self._add_to_folders(folder)
        self.children[folder].append(name)

    def is_file(self, path: str) -> bool:
        return path in self._files

    def is_folder(self, path: str) -> bool:
        return path in self.children

    def code(self, path: str) -> bytes:
        """Return a source file's code, as marshal writes it."""
        return self._channel.ask(CODE, path[len(ROOT) + 1 :])

    def data(self, path: str) -> bytes:
        """Return a file's bytes; raises FileNotFoundError, and PermissionError once nothing is loaded any more."""
        if path not in self._files:
            raise FileNotFoundError(2, "not among the measured files", path)
        try:
            return self._channel.ask(DATA, path[len(ROOT) + 1 :])
        except ImportError:
            raise PermissionError(1, "not read while the enclave could load code", path) from None

    def library(self, path: str) -> tuple[int, str]:
        """Return a descriptor, to be closed, and a name to load a shared library by; loads what it needs first.

        The name is another each time: the system's linker takes a name that it knows for what it loaded before.
        """
        descriptor, needed = self._channel.ask_library(path[len(ROOT) + 1 :])
        for name in needed:
            self._load_needed(f"{ROOT}/{name}")
        self._loaded += 1
        return descriptor, "/proc/self/fd/" + "./" * self._loaded + str(descriptor)

    def close(self) -> None:
        """Load nothing any more; what is loaded stays."""
        self._channel.close()

    def _load_needed(self, path: str) -> None:
        import _ctypes
        import os

        descriptor, name = self.library(path)
        _dlopen(_ctypes)(name, os.RTLD_NOW)
        os.close(descriptor)


def _dlopen(module: Any) -> Any:
    return getattr(module.dlopen, "original", module.dlopen)


class SourceLoader:
    """Loads one module from source, or stands for a folder's resources."""

    def __init__(self, files: MeasuredFiles, path: str) -> None:
        self._files = files
        self.path = path

    def create_module(self, _spec: ModuleSpec) -> None:
        """Leave it to the interpreter."""

    def exec_module(self, module: ModuleType) -> None:
        _frozen_importlib._call_with_frames_removed(exec, self.get_code(), module.__dict__)  # type: ignore[attr-defined]

    def get_code(self, _name: str = "") -> CodeType:
        code: CodeType = marshal.loads(self._files.code(self.path))  # noqa: S302 - the platform wrote it
        return code

    def get_source(self, _name: str = "") -> str:
        from importlib.util import decode_source

        return decode_source(self._files.data(self.path))

    def get_filename(self, _name: str = "") -> str:
        return self.path

    def get_data(self, path: str) -> bytes:
        return self._files.data(path)

    def is_package(self, _name: str = "") -> bool:
        return self.path.rpartition("/")[2].startswith("__init__.")

    def get_resource_reader(self, _name: str) -> Any:
        from enclave_sim.loader.resources import MeasuredResources

        return MeasuredResources(self._files, self.path.rpartition("/")[0])


class ExtensionLoader(SourceLoader):
    """Loads one extension module from sealed memory."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # type: ignore[override]
        import os

        descriptor, name = self._files.library(self.path)
        try:
            module: ModuleType = _imp.create_dynamic(_frozen_importlib.ModuleSpec(spec.name, self, origin=name))  # type: ignore[arg-type]
        finally:
            os.close(descriptor)
        module.__file__ = self.path
        return module

    def exec_module(self, module: ModuleType) -> None:
        from enclave_sim.loader.reading import load_libraries_from

        _imp.exec_dynamic(module)
        load_libraries_from(self._files, module)

    def get_code(self, _name: str = "") -> None:  # type: ignore[override]
        """There is none."""

    def get_source(self, _name: str = "") -> None:  # type: ignore[override]
        """There is none."""


class BuildSettings:
    """Stands for _sysconfigdata, the settings that the interpreter was built with: they name folders of its builder.

    The module is not measured for that reason; here it is empty.
    """

    PREFIX = "_sysconfigdata_"

    def create_module(self, _spec: ModuleSpec) -> None:
        """Leave it to the interpreter."""

    def exec_module(self, module: ModuleType) -> None:
        module.build_time_vars = {}  # type: ignore[attr-defined]


class FolderFinder:
    """Finds modules in one folder, as pkgutil asks."""

    def __init__(self, files: MeasuredFiles, folder: str) -> None:
        self._files = files
        self._folder = folder

    def find_spec(self, fullname: str, _target: ModuleType | None = None) -> ModuleSpec | None:
        path = f"{self._folder}/{fullname.rpartition('.')[2]}"
        for stem, locations in ((f"{path}/__init__", [path]), (path, None)):
            for suffix in _SUFFIXES:
                if self._files.is_file(stem + suffix):
                    kind = SourceLoader if suffix == ".py" else ExtensionLoader
                    return _frozen_importlib_external.spec_from_file_location(
                        fullname,
                        stem + suffix,
                        loader=kind(self._files, stem + suffix),  # type: ignore[arg-type]
                        submodule_search_locations=locations,
                    )
        return None

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """Yield names, and whether each is a package."""
        seen = set()
        for name in sorted(self._files.children[self._folder]):
            stem = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
            spec = self.find_spec(stem) if stem.isidentifier() and stem != "__init__" else None
            if spec is not None and stem not in seen:
                seen.add(stem)
                yield prefix + stem, spec.submodule_search_locations is not None

    def invalidate_caches(self) -> None:
        """There are none."""


class MeasuredImporter:
    """Stands in sys.meta_path."""

    def __init__(self, files: MeasuredFiles) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Iterable[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.startswith(BuildSettings.PREFIX):
            return _frozen_importlib.ModuleSpec(fullname, BuildSettings())  # type: ignore[arg-type]
        namespace = []
        for folder in (ROOT,) if path is None else path:
            if not self.files.is_folder(folder):
                continue
            spec = FolderFinder(self.files, folder).find_spec(fullname)
            if spec is not None:
                return spec
            inner = f"{folder}/{fullname.rpartition('.')[2]}"
            if self.files.is_folder(inner):
                namespace.append(inner)
        if not namespace:
            return None
        spec = _frozen_importlib.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = namespace
        return spec

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterator[Distribution]:
        """Yield what is installed (importlib.metadata)."""
        from enclave_sim.loader.distributions import find_distributions

        return find_distributions(self.files.distributions, context)

    def path_hook(self, path: str) -> FolderFinder:
        """Return a folder's finder; raises ImportError for what is no measured folder."""
        if not self.files.is_folder(path):
            raise ImportError(f"{path} is no folder of measured files")
        return FolderFinder(self.files, path)

    def invalidate_caches(self) -> None:
        """There are none."""


def stop_loading() -> None:
    """Load nothing more in this process: importing what is not imported yet fails. Nothing happens without a loader."""
    for one in sys.meta_path:
        if isinstance(one, MeasuredImporter):
            one.files.close()


def install(files: MeasuredFiles) -> MeasuredImporter:
    """Let everything be imported through a new importer, and nothing from the host's files."""
    importer = MeasuredImporter(files)
    frozen = [one for one in sys.meta_path if one is not _frozen_importlib_external.PathFinder]
    sys.meta_path[:] = [*frozen, importer]
    sys.path_hooks[:] = [importer.path_hook]
    sys.path[:] = [ROOT]
    sys.path_importer_cache.clear()
    for name, module in list(sys.modules.items()):
        if getattr(module, "__path__", None) is not None and files.is_folder(f"{ROOT}/{name.replace('.', '/')}"):
            module.__path__ = [f"{ROOT}/{name.replace('.', '/')}"]
    return importer
