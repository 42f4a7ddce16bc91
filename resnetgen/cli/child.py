"""Engines in a child process: a model that crashes an engine ends that process, and the command with an error.

The engines are written in C++, and a crafted model may reach a fault that no check of this program foresees.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from resnetgen.cli.output import print_failure

_PASSED_ON = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""Signals that the child is sent as well."""
_AWAITED = {*_PASSED_ON, signal.SIGTSTP, signal.SIGCHLD}
"""Signals that this process waits for while the child runs."""


def run_in_child(work: Callable[[], None]) -> int:
    """Run `work`, which ends the process, in a child process, and return its exit code.

    Must be called before any thread is started. A child that a signal kills is an error: exit 6 if the system killed
    it, as it does when memory runs out, else exit 4. Signals that interrupt or end this process are passed to the
    child.
    """
    reading, writing = os.pipe()
    signal.signal(signal.SIGCHLD, lambda *_: None)  # a signal that is ignored could not be waited for
    # Blocked until they are waited for: a Python handler would not run for a signal that arrives just before the wait.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    if not (child := os.fork()):
        os.setpgid(0, 0)  # signals of a terminal then come from the parent alone, only once
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # else one set to `stty tostop` would stop us as we print
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writing)
        Thread(target=_end_with_parent, args=(reading,), daemon=True).start()
        work()
        os._exit(os.EX_SOFTWARE)  # not reached: `work` ends the process
    os.close(reading)
    status = _wait_for(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return status if status >= 0 else _killed(-status)


def _wait_for(child: int) -> int:
    """Pass signals to the child until it ends; return its exit code, or the negative number of the signal."""
    while True:
        number = signal.sigwait(_AWAITED)
        if number in _PASSED_ON:
            _pass_on(number, child)
        elif number == signal.SIGTSTP:
            _stop_both(child)
        else:  # it has ended, or was stopped or continued
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)


def _pass_on(number: int, child: int) -> None:
    with suppress(ProcessLookupError):  # raised if it has just ended
        os.kill(child, number)


def _stop_both(child: int) -> None:
    """Stop the child and this process, as Ctrl-Z asks, until this one is continued."""
    os.kill(child, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
    os.kill(child, signal.SIGCONT)


def _end_with_parent(reading: int) -> None:
    """End this process when the other end of the pipe is closed because its parent has gone."""
    os.read(reading, 1)
    os._exit(1)


def _killed(number: int) -> int:
    """Report a child that a signal has killed, and return the exit code; a signal of the user's ends this process."""
    from resnetgen.errors import Code, LimitError, ModelError

    if number in _PASSED_ON:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    name = signal.Signals(number).name if number in signal.Signals.__members__.values() else f"signal {number}"
    if number == signal.SIGKILL:
        message = f"the process that ran the model was killed ({name}), as the system does when memory runs out"
        return print_failure(LimitError.of(Code.LIMIT, message, hint="ask for less at once: a smaller --batch"))
    message = f"the engine that ran the model crashed ({name})"
    hint = "the model triggers a fault of the engine: update onnxruntime or OpenCV, and do not trust the model"
    return print_failure(ModelError.of(Code.BAD_MODEL, message, hint=hint))
