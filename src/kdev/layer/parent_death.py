"""Runs a program that is sent SIGTERM when kdev dies, however it dies (Linux).

kdev starts this file by itself, in an interpreter that imports next to nothing (10 ms), and it becomes the program by
exec. Between fork and exec in kdev's own process, where other threads may hold locks, no Python may run; and
``setpriv --pdeathsig`` would have to be installed. The kernel forgets the request when a program with set-user-id or
file capabilities is executed (prctl(2), PR_SET_PDEATHSIG): such a program runs on.

Arguments: a descriptor to which the error number is written when the program cannot be executed, kdev's process
identifier, and the command.
"""

import ctypes
import os
import signal
import sys

assert sys.platform == "linux"

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(failed: int, parent: int, command: list[str]) -> None:
    """Become the program."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in this moment is no reason for a traceback
    os.set_inheritable(failed, False)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return  # it died before it could be said
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the interpreter ignores them, and exec keeps that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - to become another program is what this is for
    except OSError as error:
        os.write(failed, str(error.errno).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
