"""Curves for TensorBoard, one folder a phase.

Each event goes straight to its file: tensorboardX' own writer hands events to a thread
of which a flush knows nothing, so that a killed run left files of 0 bytes.
"""

import pathlib
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Curves = Mapping[str, tuple[Iterable[int], Iterable[float]]]


class Board:
    """The curves of one phase.

    Args:
      folder: of the phase.
      step: that the run goes on from; what was written after it is void.
      curves: {name: (steps, values)} up to that step; what the folder lacks of them is
        written again.
    """

    def __init__(self, folder: pathlib.Path, step: int, curves: Curves):
        # Imports all of PyTorch where that is installed: only when needed.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        self._event: Any = Event
        self._summary: Any = Summary
        folder.mkdir(parents=True, exist_ok=True)
        there = {(tag, step) for tag, step, _ in read_scalars(folder)}
        # Its own name has the second only, and would begin a file anew.
        self._file = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        start = SessionLog(status=SessionLog.START)
        self._file.write_event(Event(step=step + 1, session_log=start))
        for name, (steps, values) in curves.items():
            for at, value in zip(steps, values, strict=True):
                if at <= step and (name, at) not in there:
                    self.write(at, {name: value})

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to some curves."""
        for name, value in values.items():
            point = self._summary.Value(tag=name, simple_value=value)
            event = {"step": step, "wall_time": time.time()}
            summary = self._summary(value=[point])
            self._file.write_event(self._event(summary=summary, **event))

    def flush(self) -> None:
        """Returns when all is in the file."""
        self._file.flush()

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


def read_scalars(folder: pathlib.Path) -> list[tuple[str, int, float]]:
    """(name, step, value) of all points in a folder, but for what is damaged or void."""
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    found: list[tuple[str, int, float]] = []
    for path in sorted(folder.glob("events*")):
        for record in _records(path.read_bytes()):
            try:
                event = Event.FromString(record)
            except DecodeError:
                break
            if event.session_log.status == SessionLog.START:
                found = [point for point in found if point[1] < event.step]
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
    return found


def _records(data: bytes) -> Iterator[bytes]:
    """Records of a TFRecord file, up to the first that is not whole."""
    start = 0
    while len(data) >= start + 12:
        (size,) = struct.unpack_from("<Q", data, start)
        if len(data) < start + 16 + size:
            return
        yield data[start + 12 : start + 12 + size]
        start += 16 + size
