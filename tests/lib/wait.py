"""wait — the one place where tests wait. Always for a condition, always against a deadline, never for time to pass."""
import time


class TooLate(AssertionError):
    """What was waited for did not come; says what, how long, and what was seen last."""


EVERY, SELDOM = 0.02, 0.25   # a look forks a server process, mostly: what lasts is looked at less often


def wait_for(condition, deadline=30.0, what="the condition", every=None, show=None, moves=None):
    """Calls condition() until it gives something true, and returns that. TooLate after `deadline` seconds.

    every: seconds between two looks; unless said, a twentieth of the time waited, between EVERY and SELDOM.

    show() (or condition's last value) is put into the error, so that a failure can be read without running it again.
    An AssertionError inside the condition counts as "not yet". moves() gives how far the work is: whenever that changes,
    the deadline counts anew.
    """
    began = time.monotonic()
    end = began + deadline
    last = seen = None
    while True:
        try:
            last = condition()
        except AssertionError as e:
            last = None
            reason = f"{e}"
        else:
            reason = repr(last)
        if last:
            return last
        if moves and (now := moves()) != seen:
            seen, end = now, time.monotonic() + deadline
        if time.monotonic() >= end:
            raise TooLate(f"waited {deadline:g} s for {what}; last: {show() if show else reason}")
        time.sleep(every or min(SELDOM, max(EVERY, (time.monotonic() - began) / 20)))


def wait_gone(pid, deadline=30.0):
    """Until no live process has this pid (a zombie counts as gone)."""
    wait_for(lambda: not alive(pid), deadline, f"process {pid} to be gone")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
