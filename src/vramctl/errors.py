"""What a user can be told went wrong: always a code, what, because and fix."""

from __future__ import annotations


class VramctlError(Exception):
    """A failure a user can act on; only `cli/main.py` prints it and exits.

    `exit_code`: 1 something is wrong, 2 wrong usage or unreadable input, 3 could not tell.
    """

    def __init__(self, code: str, what: str, *, because: tuple[str, ...], fix: str, exit_code: int) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.because = because
        self.fix = fix
        self.exit_code = exit_code


class BadInput(VramctlError):
    """Wrong usage or unreadable input (exit code 2)."""

    def __init__(self, code: str, what: str, *, because: tuple[str, ...], fix: str) -> None:
        super().__init__(code, what, because=because, fix=fix, exit_code=2)


class Wrong(VramctlError):
    """The answer is no: it does not fit, it is not on the GPU (exit code 1)."""

    def __init__(self, code: str, what: str, *, because: tuple[str, ...], fix: str) -> None:
        super().__init__(code, what, because=because, fix=fix, exit_code=1)


class CouldNotTell(VramctlError):
    """No witness could answer (exit code 3)."""

    def __init__(self, code: str, what: str, *, because: tuple[str, ...], fix: str) -> None:
        super().__init__(code, what, because=because, fix=fix, exit_code=3)
