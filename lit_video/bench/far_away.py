"""A folder behind HTTP with ranges, on this machine, as slow and as unreliable as is asked for: files far away.

For the benchmark and for tests. It answers GET and HEAD of the folder's files, with `Range` and `ETag`, and lists a
folder in it as S3 lists a bucket (`ListObjectsV2`, read only); and GET of `/?asked` with the numbers of requests and
bytes so far, and of requests at a time. `python -m lit_video.bench.far_away FOLDER SECONDS` answers so much later each
time, until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qsl, unquote
from xml.etree.ElementTree import Element, SubElement, tostring

CHUNK_BYTES = 2**18


@dataclass
class Asked:
    """One request.

    Attributes:
        method: GET or HEAD.
        name: Of the file, relative to the folder.
        begin: First byte asked for.
        end: The one behind the last.
    """

    method: str
    name: str
    begin: int
    end: int


@dataclass
class FarAway:
    """What a server does, and what it was asked for.

    Attributes:
        folder: Whose files it serves.
        delay_seconds: Before it answers.
        fault: What becomes of a request: it is given each, and returns `ok`, `drop` (the connection, at once), `503`,
            `403`, `truncate` (half of the body, then the connection is closed), or `stall` (a byte, and no more).
        has_ranges: It sends parts of files.
        asked: All requests so far.
        most_at_once: Of those, how many were under way at a time.
        url: Of the folder, once the server has started.
    """

    folder: Path
    delay_seconds: float = 0.0
    fault: Callable[[Asked], str] = field(default=lambda asked: "ok")
    has_ranges: bool = True
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    _under_way: int = 0

    def bytes_sent(self) -> int:
        """Return how many bytes of files were asked for."""
        return sum(asked.end - asked.begin for asked in self.asked if asked.method == "GET")

    def forget(self) -> None:
        """Count anew."""
        self.asked.clear()
        self.most_at_once = 0

    @contextmanager
    def serving(self) -> Iterator[FarAway]:
        """Serve on a free port of this machine until the block is left."""
        loop, ready = asyncio.new_event_loop(), threading.Event()
        stop, tasks = asyncio.Event(), set[asyncio.Task[None]]()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(self._connected(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            task.add_done_callback(lambda _: writer.close())  # also of one that was cancelled before it began

        async def serve() -> None:
            server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            await stop.wait()
            while asyncio.all_tasks() - {asyncio.current_task()}:  # what was accepted just now becomes a task of ours
                for task in tasks:
                    task.cancel()
                await asyncio.sleep(0.001)
            server.close()  # and not before: asyncio loses what it accepted, and then finds its server closed
            await asyncio.sleep(0.001)  # what was closed is so in the loop's next turn

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                self._under_way += 1
                self.most_at_once = max(self.most_at_once, self._under_way)
                try:
                    if not await self._answer(lines[0].split()[0], lines[0].split()[1], headers, writer):
                        break
                finally:
                    self._under_way -= 1
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, method: str, target: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> bool:
        """Answer a request, and tell whether the connection goes on."""
        if target == "/?asked":
            told = json.dumps([len(self.asked), self.bytes_sent(), self.most_at_once]).encode()
            return await self._send(writer, "200 OK", {"Content-Length": str(len(told))}, told)
        name, _, query = target.partition("?")
        path = self.folder / unquote(name.strip("/"))
        if "list-type=2" in query:
            self.asked.append(Asked("LIST", name.strip("/"), 0, 0))
            await asyncio.sleep(self.delay_seconds)
            told = tostring(_listed(path, dict(parse_qsl(query))))
            about = {"Content-Type": "application/xml", "Content-Length": str(len(told))}
            return await self._send(writer, "200 OK", about, told)
        if not path.is_file():
            return await self._send(writer, "404 Not Found", {})
        stat = path.stat()
        size, etag = stat.st_size, _etag(stat)
        begin, _, last = headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")
        first, end = (int(begin), int(last) + 1 if last else size) if begin else (max(0, size - int(last)), size)
        asked = Asked(method, str(path.relative_to(self.folder)), first, min(size, end))
        self.asked.append(asked)
        await asyncio.sleep(self.delay_seconds)
        fault = self.fault(asked)
        if fault == "drop":
            return False
        if fault in ("503", "403"):
            return await self._send(writer, {"503": "503 Slow Down", "403": "403 Forbidden"}[fault], {})
        if headers.get("if-match", etag) != etag:
            return await self._send(writer, "412 Precondition Failed", {})
        about = {
            "ETag": etag,
            "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
            "Content-Length": str(asked.end - asked.begin),
        }
        if "range" not in headers or not self.has_ranges:
            about["Content-Length"] = str(size)
            return await self._send(writer, "200 OK", about, b"" if method == "HEAD" else path.read_bytes())
        about["Content-Range"] = f"bytes {asked.begin}-{asked.end - 1}/{size}"
        with path.open("rb") as file:
            file.seek(asked.begin)
            body = file.read(asked.end - asked.begin)
        return await self._send(writer, "206 Partial Content", about, body, fault)

    async def _send(
        self, writer: asyncio.StreamWriter, status: str, about: dict[str, str], body: bytes = b"", fault: str = "ok"
    ) -> bool:
        told = {"Content-Length": "0"} | about
        writer.write("".join([f"HTTP/1.1 {status}\r\n", *(f"{k}: {v}\r\n" for k, v in told.items()), "\r\n"]).encode())
        if fault in ("truncate", "stall"):
            writer.write(body[: len(body) // 2 if fault == "truncate" else 1])
            await writer.drain()
            await asyncio.sleep(3600 if fault == "stall" else 0)
            return False
        writer.write(body)
        await writer.drain()
        return True


def _listed(bucket: Path, asked: Mapping[str, str]) -> Element:
    """Return what S3 says of a bucket's objects whose names begin with a prefix, those behind a delimiter as one."""
    answer, prefix, folders = Element("ListBucketResult"), asked.get("prefix", ""), set[str]()
    SubElement(answer, "IsTruncated").text = "false"
    for path in sorted(path for path in bucket.rglob("*") if path.is_file()):
        name = str(path.relative_to(bucket))
        if not name.startswith(prefix):
            continue
        first, between, _ = name[len(prefix) :].partition(asked.get("delimiter") or "\0")
        if between:
            folders.add(prefix + first + between)
            continue
        found, stat = SubElement(answer, "Contents"), path.stat()
        told = {"Key": name, "Size": str(stat.st_size), "ETag": _etag(stat)}
        told["LastModified"] = datetime.fromtimestamp(stat.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        for key, text in told.items():
            SubElement(found, key).text = text
    for folder in sorted(folders):
        SubElement(SubElement(answer, "CommonPrefixes"), "Prefix").text = folder
    return answer


def _etag(stat: os.stat_result) -> str:
    return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'


@contextmanager
def far_away(folder: str | Path, delay_seconds: float) -> Iterator[str]:
    """Serve a folder from another process, and give its URL."""
    command = [sys.executable, "-m", "lit_video.bench.far_away", str(folder), str(delay_seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def main() -> None:
    """Serve what the arguments say."""
    with FarAway(Path(sys.argv[1]), float(sys.argv[2])).serving() as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
