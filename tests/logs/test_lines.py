"""One event, whatever platform copied its line: prefixes, colours, encodings, wrapped terminals, several writers."""

from __future__ import annotations

import json

import pytest

from vramctl.logs import Stats, decode
from vramctl.logs.values import mib
from vramctl.records.event import Event
from vramctl.records.unknown import Unknown

BUFFER = "load_tensors:        CUDA0 model buffer size = 20038.81 MiB"
SLOG = 'time=2025-07-30T00:19:25.758+10:00 level=INFO source=ggml.go:375 msg="offloaded 48/49 layers to GPU"'


def only(lines: list[str | bytes], stats: Stats | None = None) -> Event:
    """The one event of some lines."""
    events = list(decode(lines, stats=stats))
    assert len(events) == 1, events
    return events[0]


@pytest.mark.parametrize(
    ("prefix", "platform", "stamp"),
    [
        ("Sep 11 00:42:09 ai ollama[3110]: ", "journald", "Sep 11 00:42:09"),
        ("Haz 27 00:42:09 ai ollama[3110]: ", "journald", "Haz 27 00:42:09"),
        ("févr. 27 00:42:09 ai ollama[3110]: ", "journald", "févr. 27 00:42:09"),
        ("mars 27 00:42:09 ai ollama[3110]: ", "journald", "mars 27 00:42:09"),
        ("Mär 07 00:42:09 ai ollama[3110]: ", "journald", "Mär 07 00:42:09"),
        ("янв. 27 00:42:09 ai ollama[3110]: ", "journald", "янв. 27 00:42:09"),
        ("lip 27 00:42:09 ai ollama[3110]: ", "journald", "lip 27 00:42:09"),
        (" 3月 25 09:28:05 ai ollama[3110]: ", "journald", "3月 25 09:28:05"),
        ("12월 25 09:28:05 ai ollama[3110]: ", "journald", "12월 25 09:28:05"),
        ("ก.พ. 25 09:28:05 ai ollama[3110]: ", "journald", "ก.พ. 25 09:28:05"),
        ("มิ.ย. 25 09:28:05 ai ollama[3110]: ", "journald", "มิ.ย. 25 09:28:05"),
        ("Th02 25 09:28:05 ai ollama[3110]: ", "journald", "Th02 25 09:28:05"),
        ("Feb 13 13:11:44 ollama[18421]: ", "journald", "Feb 13 13:11:44"),
        ("Feb 13 13:11:44 ", "timestamped", "Feb 13 13:11:44"),
        ("02-13 13:11:44.512 ", "timestamped", "02-13 13:11:44.512"),
        ("13:11:44 ", "timestamped", "13:11:44"),
        ("[13:11:44] ", "wrapper", "13:11:44"),
        ("................", "", ""),
        ("Feb 13 13:11:44 ai ollama[18421]: ................", "journald", "Feb 13 13:11:44"),
        ("2025-09-11T00:42:09+0200 ai ollama[3110]: ", "journald", "2025-09-11T00:42:09+0200"),
        ("ollama-1  | ", "compose", ""),
        ("ollama     | 2025-10-15 14:49:48.720 | ", "compose", "2025-10-15 14:49:48.720"),
        ("[pod/ollama-7d9f/ollama] ", "kubectl", ""),
        ("2025-10-15T14:49:48.720123456Z ", "timestamped", "2025-10-15T14:49:48.720123456Z"),
        ("2025-10-15T14:49:48.720123456Z stderr F ", "timestamped", "2025-10-15T14:49:48.720123456Z"),
        ("[2024-12-05 01:56:09] [stderr] ", "wrapper", "2024-12-05 01:56:09"),
        ("> ", "quoted", ""),
        (">>> ", "quoted", ""),
        ("    ", "", ""),
    ],
)
def test_a_platforms_prefix_changes_nothing_but_the_origin_and_the_time(prefix: str, platform: str, stamp: str) -> None:
    for line, kind in ((BUFFER, "weights.buffer"), (SLOG, "layers.offloaded")):
        event = only([prefix + line + "\r\n"])
        assert event.kind == kind
        if platform != "quoted" or line == BUFFER:
            assert event.origin.platform == platform
        assert event.stamp == (stamp if line == BUFFER else "2025-07-30T00:19:25.758+10:00")


def test_colours_and_what_a_carriage_return_overwrote_are_gone() -> None:
    event = only([f"\x1b[32mloading 10%\rloading 90%\r{BUFFER}\x1b[0m\r\n"])
    assert event.fields == {"device": "CUDA0", "size": mib("20038.81")}


def test_utf_16_lines_are_read_with_and_without_the_mark() -> None:
    whole = f"{BUFFER}\r\n{SLOG}\r\n".encode("utf-16")
    kinds = [event.kind for event in decode(whole.split(b"\n"))]
    assert kinds == ["weights.buffer", "layers.offloaded"]


def test_docker_and_journal_records_in_json_name_their_writer() -> None:
    docker = only([json.dumps({"log": BUFFER + "\n", "stream": "stderr", "time": "2026-01-01T00:00:00Z"})])
    assert (docker.kind, docker.origin.platform, docker.stamp) == ("weights.buffer", "docker", "2026-01-01T00:00:00Z")
    journal = {
        "MESSAGE": list(f"\x1b[0m{BUFFER}".encode()), "_PID": "3110", "_HOSTNAME": "ai", "SYSLOG_IDENTIFIER": "ollama",
        "__REALTIME_TIMESTAMP": "1757551329789000",
    }  # fmt: skip
    event = only([json.dumps(journal)])
    assert (event.kind, event.origin) == ("weights.buffer", ("journald", "ai", "ollama", "3110"))
    assert event.seconds == pytest.approx(1757551329.789)


def test_servers_own_prefixes_are_level_time_slot_and_thread() -> None:
    for head in ("0.00.239.475 I ", "I ", ""):
        assert only([head + BUFFER]).kind == "weights.buffer"
    record = {"type": "log", "time": 1, "level": "INFO", "msg": BUFFER + "\n"}
    assert only([json.dumps(record)]).fields["device"] == "CUDA0"


def test_a_line_that_a_terminal_wrapped_is_one_event_with_both_line_numbers() -> None:
    long = [
        f"Oct 03 13:18:04 gemma ollama[26513]: time=2025-10-03T13:18:0{n}.223+02:00 level=INFO source=server.go:504 "
        f'msg="system memory" total="31.0 GiB" free="27.{n} GiB" free_swap="977.0 MiB"'
        for n in range(4)
    ]
    width = 141
    lines = [part for line in long for part in (line[:width], line[width:])]
    stats = Stats()
    events = list(decode(lines, stats=stats))
    assert [event.kind for event in events] == ["memory.system"] * 4
    assert [(event.line, event.last_line) for event in events] == [(1, 2), (3, 4), (5, 6), (7, 8)]
    assert all("free_swap" in event.fields and event.raw == line for event, line in zip(events, long, strict=True))
    assert (stats.lines, stats.joined) == (8, 4)


def test_lines_of_other_programs_are_counted_apart_and_unknown_engine_lines_are_shown() -> None:
    stats = Stats()
    events = list(
        decode(
            ["$ ls -la", "", "llama_model_loader: something nobody has seen", "Sep 11 00:42:09 ai sshd[3]: bye"],
            stats=stats,
        )
    )
    assert [event.kind for event in events] == ["unrecognised"]
    assert (stats.foreign, stats.blank, stats.unrecognised) == (2, 1, 1)
    assert stats.unrecognised_samples == [(3, "llama_model_loader: something nobody has seen")]


def test_a_line_without_a_time_inherits_the_last_one() -> None:
    first, second = decode([SLOG, BUFFER])
    assert (first.inherited, second.inherited) == (False, True)
    assert second.stamp == first.stamp and second.seconds == first.seconds


def test_what_is_not_printed_is_unknown_and_not_zero() -> None:
    event = only(['time=2025-01-01T00:00:00Z level=INFO source=x.go:1 msg="system memory" total="31.0 GiB"'])
    assert isinstance(event.value("free_swap"), Unknown)
    broken = only(['time=2025-01-01T00:00:00Z level=INFO source=x.go:1 msg="system memory" total="lots"'])
    assert isinstance(broken.value("total"), Unknown)


@pytest.mark.parametrize("size", [1 << 20])
@pytest.mark.parametrize(
    "piece", ["a", "=", '"', "\\", " ", "(", ": ", '\\"', "1.", "x=", "[1", "{", "{[", "\x1b[", "é"]
)
def test_a_line_of_a_megabyte_takes_no_longer_than_a_moment(piece: str, size: int) -> None:
    for head in (
        "",
        "time=2025-01-01T00:00:00Z level=INFO source=a.go:1 msg=",
        "llama_model_loader: - kv   0: ",
        "[GIN] ",
    ):
        assert len(list(decode([head + piece * (size // len(piece))], live=True))) <= 1


@pytest.mark.parametrize("month", ["Sep", "сен", "9月", "9월", "Eyl", "wrz", "sept.", "Set", "Th09"])
def test_a_time_without_a_year_is_read_in_the_language_of_the_journal(month: str) -> None:
    event = only([f"{month} 11 00:42:09 ai ollama[3110]: {BUFFER}"])
    assert event.seconds == only([f"09-11 00:42:09 {BUFFER}"]).seconds == 85_020_129.0


def test_a_time_whose_month_could_be_two_is_unknown() -> None:
    assert isinstance(only([f"lip 11 00:42:09 ai ollama[3110]: {BUFFER}"]).seconds, Unknown)
    assert isinstance(only([f"00:42:09 {BUFFER}"]).seconds, Unknown)


def test_what_a_dying_process_says_behind_its_progress_dots_is_read() -> None:
    glued = [
        '.................GGML_ASSERT: /build/ggml-cuda.cu:8949: !"CUDA error"',
        "....CUDA error 2 at ggml-cuda.cu:9007: out of memory",
        "...../llama-server(+0x1f2a3)[0x55d0a91f2a3]",
    ]
    kinds = {event.kind for event in decode(glued)}
    assert kinds == {event.kind for event in decode([line.lstrip(".") for line in glued])}
    assert "crash.assert" in kinds and "unrecognised" not in kinds


def test_the_dots_of_a_relative_path_are_no_progress() -> None:
    event = only(["../ggml/src/ggml-cuda.cu:8949: GGML_ASSERT(a > 0) failed"])
    assert (event.kind, event.fields["file"]) == ("crash.assert", "../ggml/src/ggml-cuda.cu")


def test_the_platforms_of_a_log_are_counted_once_each() -> None:
    stats = Stats()
    list(decode([f"Feb 13 13:11:44 ollama[1]: {BUFFER}", f"ollama-1  | {BUFFER}", BUFFER], stats=stats))
    assert stats.platforms == {"journald", "compose"}
