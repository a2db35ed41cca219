"""The first code of ours in an enclave's process.

    python -P -s -S -B SCRIPT CODE_FD SOCKET_FD MODULE ARGUMENTS...

SCRIPT calls main(). It, this package and what the interpreter itself imports at its start (encodings) come in memory
that the platform sealed (enclave_sim/platform/starting.py); that memory is the only environment variable that Python
reads, PYTHONPATH. SOCKET_FD: the extension module _socket, likewise; -1 where it is built into the interpreter.
Then everything else comes over CODE_FD, and nothing of the host's files is imported.
"""

from __future__ import annotations

import _frozen_importlib
import _imp
import marshal
import os
import sys

from enclave_sim.loader.channel import HELLO, CodeChannel
from enclave_sim.loader.importer import MeasuredFiles, install

TYPE_CHECKING = False  # The typing module is not there yet.
if TYPE_CHECKING:
    from typing import Any


def main() -> None:
    """Take over importing, then run the module's main()."""
    script, code_fd, socket_fd = sys.argv[:3]
    del sys.argv[:3]
    memory = os.environ.pop("PYTHONPATH")
    channel = CodeChannel(_socket_module(int(socket_fd)).socket(fileno=int(code_fd)))
    paths, distributions = marshal.loads(channel.ask(HELLO))  # noqa: S302 - the platform wrote it
    files = MeasuredFiles(channel, paths, distributions)
    install(files)
    for name in (script, memory, f"/proc/self/fd/{socket_fd}"):
        if not name.endswith("-1"):
            os.close(int(name.rpartition("/")[2]))
    from enclave_sim.loader.reading import find_measured_files, open_measured_files

    open_measured_files(files)
    find_measured_files(files)
    module = __import__(sys.argv[0], fromlist=["main"])
    sys.exit(module.main())


def _socket_module(descriptor: int) -> Any:
    if descriptor < 0:
        import _socket

        return _socket
    spec = _frozen_importlib.ModuleSpec("_socket", None, origin=f"/proc/self/fd/{descriptor}")
    module = _imp.create_dynamic(spec)
    _imp.exec_dynamic(module)
    module.__spec__ = spec
    sys.modules["_socket"] = module
    return module
