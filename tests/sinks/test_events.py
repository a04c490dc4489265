"""Events written to files and read back by other programs."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from vramctl.errors import BadInput
from vramctl.records.event import Event, Origin, Printed
from vramctl.records.unknown import Unknown
from vramctl.sinks.event_rows import COLUMNS
from vramctl.sinks.events import csv_line, events_to, json_line

FIELDS = {
    "device": "CUDA0",
    "size": Printed(5_874_122, 5243),
    "layers": 29,
    "share": 0.5,
    "mmap": True,
    "split": (20, 21),
    "available": (Printed(100, 5), Printed(200, 5)),
    "driver": Unknown("'n/a' cannot be read"),
    "name": 'say "hi", \ud83d ü',
}
EVENT = Event(
    "weights.buffer", FIELDS, 3, 4, "CUDA0 model buffer size = 5.60 MiB", "raw", "llama.cpp", "INFO", "load_tensors",
    "2025-07-30T10:53:50.5+10:00", False, Origin("docker", "", "ollama", "7"),
)  # fmt: skip
BARE = Event("unrecognised", {}, 5, 5, "?", "?", "", "", "", "", True, Origin())
FLAT = {
    "device": "CUDA0", "size_bytes": 5_874_122, "size_tolerance_bytes": 5243, "layers": 29, "share": 0.5, "mmap": True,
    "split": [20, 21], "available_bytes": [100, 200], "available_tolerance_bytes": [5, 5],
    "driver": {"unknown": "'n/a' cannot be read"}, "name": 'say "hi", ? ü',
}  # fmt: skip


def test_a_json_line_holds_all_that_the_event_holds() -> None:
    found = json.loads(json_line(EVENT))
    assert found.pop("fields") == FLAT
    assert found == {
        "kind": "weights.buffer", "line": 3, "last_line": 4, "engine": "llama.cpp", "level": "INFO",
        "function": "load_tensors", "stamp": "2025-07-30T10:53:50.5+10:00", "inherited": False,
        "unix_seconds": 1753836830.5, "platform": "docker", "program": "ollama", "pid": "7",
        "text": "CUDA0 model buffer size = 5.60 MiB",
    }  # fmt: skip
    assert json.loads(json_line(BARE)) == {
        "kind": "unrecognised", "line": 5, "last_line": 5, "inherited": True, "text": "?", "fields": {}
    }  # fmt: skip


def test_a_row_of_csv_is_read_back_by_the_standard_reader(tmp_path: Path) -> None:
    with events_to(str(tmp_path / "e.csv")) as write:
        write(EVENT)
        write(BARE)
    with (tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        header, first, second = csv.reader(file)
    assert header == [*COLUMNS, "fields"]
    assert json.loads(first[-1]) == FLAT
    assert (first[0], first[1], second[3]) == ("weights.buffer", "3", "")
    assert csv_line(BARE).endswith(b"\r\n")


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    return pytest.importorskip("pyarrow.ipc").open_file(path).read_all().to_pylist()


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_typed_fields_come_back_from_arrows_formats(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("vramctl.sinks.parquet.GROUP_ROWS", 7)
    with events_to(str(tmp_path / f"e.{ending}")) as write:
        for line in range(20):
            write(EVENT._replace(line=line, kind=f"kind.{line}"))
        write(BARE)
    rows = _read(tmp_path / f"e.{ending}")
    assert [row["line"] for row in rows] == [*range(20), 5]
    assert [row["kind"] for row in rows[:20]] == [f"kind.{line}" for line in range(20)]
    assert dict(rows[0]["integers"]) == {"size_bytes": 5_874_122, "size_tolerance_bytes": 5243, "layers": 29}
    assert dict(rows[0]["floats"]) == {"share": 0.5}
    assert dict(rows[0]["flags"]) == {"mmap": True}
    assert dict(rows[0]["unknown"]) == {"driver": "'n/a' cannot be read"}
    texts = dict(rows[0]["texts"])
    assert (texts["device"], json.loads(texts["available_bytes"]), json.loads(texts["split"])) == (
        "CUDA0",
        [100, 200],
        [20, 21],
    )
    assert (rows[0]["unix_seconds"], rows[-1]["unix_seconds"], rows[-1]["engine"]) == (1753836830.5, None, None)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("name", ["e.jsonl", "e.parquet", "e.arrow", "e.csv"])
def test_a_log_without_events_gives_an_empty_table(tmp_path: Path, name: str) -> None:
    if name.endswith(("parquet", "arrow")):
        pytest.importorskip("pyarrow")
    with events_to(str(tmp_path / name)):
        pass
    if name.endswith(("parquet", "arrow")):
        assert _read(tmp_path / name) == []
    else:
        assert len((tmp_path / name).read_bytes().splitlines()) == (name == "e.csv")


def test_an_error_in_the_middle_leaves_the_older_file_alone(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text("older")
    with pytest.raises(ZeroDivisionError), events_to(str(tmp_path / "e.jsonl")) as write:
        write(EVENT)
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["e.jsonl"]
    assert (tmp_path / "e.jsonl").read_text() == "older"


@pytest.mark.parametrize(
    ("name", "code"), [("e.xlsx", "unknown-table-format"), ("e", "unknown-table-format"), ("no/e.csv", "cannot-write")]
)
def test_what_cannot_be_written_is_told(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(BadInput) as caught, events_to(str(tmp_path / name)):
        pass
    assert caught.value.code == code


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BadInput) as caught, events_to(str(tmp_path / "e.parquet")):
        pass
    assert (caught.value.code, "vramctl[arrow]" in caught.value.fix) == ("pyarrow-missing", True)
    assert list(tmp_path.iterdir()) == []
