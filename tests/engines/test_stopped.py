"""A process that was stopped is given up after seconds, not after the limit of what it was asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from vramctl.engines import child, stopped
from vramctl.engines.child import Child, Gone
from vramctl.engines.stopped import STOPPED_WORDS, is_stopped, watched
from vramctl.records import Unknown

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are stopped")

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopped, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(stopped, "STOPPED_SECONDS", 0.3)
    monkeypatch.setattr(child, "LOOK_SECONDS", 0.05)


def test_a_stopped_child_is_ended_long_before_its_limit() -> None:
    made = Child(SLEEPER, environ=dict(os.environ))
    try:
        os.kill(made.pid, signal.SIGSTOP)
        began = time.monotonic()
        assert made.answer(timeout_seconds=50) == Gone(-signal.SIGKILL, timed_out=True, stopped=True)
        assert time.monotonic() - began < 5
    finally:
        made.close()


def test_a_child_that_goes_on_in_time_is_left_alone() -> None:
    made = Child(
        [sys.executable, "-c", "import time; time.sleep(0.5); print('{}'); time.sleep(60)"], environ=dict(os.environ)
    )
    try:
        os.kill(made.pid, signal.SIGSTOP)
        threading.Timer(0.15, os.kill, (made.pid, signal.SIGCONT)).start()
        assert made.answer(timeout_seconds=50) == {}
    finally:
        made.close()


def test_a_watched_process_is_given_up_once_and_only_where_it_stays_stopped() -> None:
    with subprocess.Popen(SLEEPER) as process:
        said: list[str] = []
        try:
            with watched(process.pid, said.append):
                time.sleep(0.2)
                assert not is_stopped(process.pid)
            assert said == []
            process.send_signal(signal.SIGSTOP)
            with watched(process.pid, said.append):
                until = time.monotonic() + 5
                while not said and time.monotonic() < until:
                    time.sleep(0.02)
        finally:
            process.kill()
    assert said == [STOPPED_WORDS]


def test_a_process_that_is_not_known_or_gone_is_not_stopped() -> None:
    assert not is_stopped(Unknown("another machine"))
    assert not is_stopped(2**22 + 1)
