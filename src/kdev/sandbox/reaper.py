"""The first process of the sandbox's process namespace: collects orphans, and by its end ends all of them.

Run as ``python -S -s -m kdev.sandbox.reaper``. When the sandbox's process ends, however it does, the kernel kills this
one, and with it every process of the namespace.
"""

import os
import signal

from kdev.sandbox.syscalls import die_with_parent


def main() -> None:
    """Collect orphans for ever."""
    die_with_parent()
    if os.getpid() != 1:
        raise SystemExit("this must be the first process of a process namespace")
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal's; the sandbox's process decides about its end
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    os.write(1, b"ready\n")
    while True:
        signal.sigwait({signal.SIGCHLD})
        _collect()


def _collect() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
