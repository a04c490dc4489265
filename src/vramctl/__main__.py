"""`python -m vramctl`."""

from vramctl.cli.main import run

if __name__ == "__main__":
    run()
