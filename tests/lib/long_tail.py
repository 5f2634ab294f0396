"""long_tail — which scenarios `make check` leaves to `make soak`, by tests/long-tail."""
import pathlib

FILE = pathlib.Path(__file__).resolve().parents[1] / "long-tail"


def names():
    """Node ids below tests/scenarios/."""
    return {line.strip() for line in FILE.read_text().splitlines() if line.strip() and not line.startswith("#")}
