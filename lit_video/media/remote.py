"""Files far away: whatever fsspec opens is listed, told apart by its version, and read by ranges of bytes.

One answer to one question at a time; who asks for much at once, and keeps what came, is `ranges.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from typing import Any, NamedTuple

from lit_video.support.errors import DataError, LitVideoError, RemoteError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")
GLOB = re.compile(r"[*\[]")

AT_ONCE = 64  # requests while files are looked for and indexed

# A request that failed is made again after so many seconds, and then given up.
PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
# An answer takes no longer than this, and than so many bytes a second: a server that sends a byte now and then is gone.
PATIENCE_SECONDS, SLOWEST = 20.0, 2**16

# What stores call that which changes with an object's bytes, the surest first.
VERSIONS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "blob_id", "LastModified", "last_modified", "mtime",
            "CRC", "updated", "created")  # fmt: skip
WITHOUT_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError",
                       "TokenRetrievalError", "ClientAuthenticationError")  # fmt: skip
CREDENTIALS = {
    "s3": "s3 takes them from AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws or the machine's role; of a public bucket none are"
    " needed with FSSPEC_S3_ANON=true",
    "gs": "gs takes them from GOOGLE_APPLICATION_CREDENTIALS or gcloud auth application-default login",
    "hf": "hf takes them from HF_TOKEN or huggingface-cli login",
}
PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "az": "adlfs", "abfs": "adlfs"}


class Stamp(NamedTuple):
    """What a store says of an object: as long as nothing here changes, it is taken for the same.

    Attributes:
        size_bytes: Of the object.
        version: Its ETag, or else what the store has for that; empty where it has nothing.
    """

    size_bytes: int
    version: str

    @property
    def number(self) -> int:
        """The version as a number of 63 bits, where an index keeps a file's time of change."""
        return int.from_bytes(hashlib.blake2b(self.version.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Remote:
    """An object as it was found.

    Attributes:
        url: Where it is.
        size_bytes: Of it.
        version: The number of its version.
    """

    url: str
    size_bytes: int
    version: int

    @classmethod
    def of(cls, url: str, stamp: Stamp) -> Remote:
        """Return the object with a store's stamp."""
        return cls(url, stamp.size_bytes, stamp.number)

    def __str__(self) -> str:
        return self.url

    def digest(self, num_bytes: int) -> bytes:
        """Return bytes that stand for the object's: of another version they are others."""
        text = f"{self.url}\0{self.size_bytes}\0{self.version}"
        return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=num_bytes).digest()


class Part(NamedTuple):
    """Bytes of an object, and what the store said of it in the same answer, if anything."""

    data: bytes
    stamp: Stamp | None


class ChangedError(OSError):
    """The object is another than the one that was indexed."""

    def __init__(self) -> None:
        super().__init__(0, "the file changed after it was indexed; start again, and it is indexed anew")


def is_remote(path: object) -> bool:
    """Tell whether a name is that of something far away.

    >>> is_remote("s3://bucket/a.mp4"), is_remote("zip::https://host/a.zip"), is_remote("/data/a.mp4")
    (True, True, False)
    """
    return isinstance(path, Remote) or (isinstance(path, str) and bool(URL.match(path)))


def shown(url: object) -> str:
    """Return a URL without what lets others in: a user's password, a signature.

    >>> shown("https://me:secret@host/a.mp4?X-Signature=1234")
    'https://host/a.mp4'
    """
    return re.sub(r"\?[^:]*", "", re.sub(r"(://)[^/@]*@", r"\1", str(url)))


# Listing.


def find_all(urls: Sequence[str]) -> list[list[Remote]]:
    """Return what is behind each URL: the object itself, those below a folder, or those that a glob matches; sorted.

    Raises:
        DataError: There is nothing, or no package that speaks with such a store.
        RemoteError: The store cannot be reached, or lets nobody in.
    """
    with ThreadPool(min(AT_ONCE, len(urls))) as pool:
        return pool.map(_find, urls)


def _find(url: str) -> list[Remote]:
    if not (is_folder(url) or is_glob(url)):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            return [Remote.of(url, stamp(url))]
    found = _listed(url, "glob" if is_glob(url) else "find")
    if not found:
        raise DataError(f"{shown(url)}: nothing is there.\nName an object, a folder of a store that lists, or a glob")
    return found


def is_glob(url: str) -> bool:
    """Tell whether a URL is a pattern; a question mark begins a query."""
    return bool(GLOB.search(url))


def is_folder(url: str) -> bool:
    """Tell whether a URL is written as that of a folder."""
    return url.partition("::")[0].endswith("/")


def _listed(url: str, how: str) -> list[Remote]:
    fs, path = _place(url)
    try:
        listed = _insist(url, lambda: getattr(fs, how)(path, detail=True))
    except FileNotFoundError:
        return []
    _, chained, outer = url.partition("::")
    files = {name: info for name, info in listed.items() if info.get("type") != "directory"}
    urls = {name: fs.unstrip_protocol(name) + chained + outer for name in sorted(files)}
    if all(files[name].get("size") is not None for name in files):
        return [Remote.of(urls[name], _stamp_of(files[name])) for name in urls]
    with ThreadPool(min(AT_ONCE, len(urls))) as pool:  # a list of links, say
        return [Remote.of(*one) for one in zip(urls.values(), pool.map(stamp, urls.values()), strict=True)]


def stamp(url: str) -> Stamp:
    """Return what the store says of an object.

    Raises:
        FileNotFoundError, IsADirectoryError: There is no such object.
        DataError, RemoteError: As `find_all`.
    """
    fs, path = _place(url)
    return _insist(url, lambda: _ask(fs, path))


def _ask(fs: Any, path: str) -> Stamp:
    if _speaks(fs, "http"):  # a signed URL may be good for GET alone
        told = _wait(fs, _from_http(fs, path, 0, 1), 1).stamp
        assert told is not None
        return told
    info = fs.info(path)
    if info.get("type") == "directory":
        raise IsADirectoryError(path)
    return _stamp_of(info)


def _stamp_of(info: Mapping[str, Any]) -> Stamp:
    version = next((str(info[name]) for name in VERSIONS if info.get(name) is not None), "")
    return Stamp(int(info.get("size") or 0), version.strip('"'))


# Bytes.


def fetch(remote: Remote, begin: int, end: int) -> bytes:
    """Return the bytes `[begin, end)` of an object, asking again where that fails.

    Raises:
        ChangedError: It is no longer the object that was found.
        FileNotFoundError: It is gone.
        RemoteError: The store cannot be reached, or lets nobody in.
    """
    fs, path = _place(remote.url)

    def ask() -> bytes:
        data, told = _get(fs, path, begin, end)
        if told is not None and Remote.of(remote.url, told) != remote:
            raise ChangedError
        if len(data) != end - begin:
            raise ConnectionError(f"{len(data)} bytes came of {end - begin}")
        return data

    return _insist(remote.url, ask)


def _get(fs: Any, path: str, begin: int, end: int) -> Part:
    if _speaks(fs, "http"):
        return _wait(fs, _from_http(fs, path, begin, end), end - begin)
    if _speaks(fs, "s3"):
        return _wait(fs, _from_s3(fs, path, begin, end), end - begin)
    if fs.async_impl:
        return Part(_wait(fs, fs._cat_file(path, start=begin, end=end), end - begin), None)
    return Part(fs.cat_file(path, start=begin, end=end), None)


async def _from_http(fs: Any, url: str, begin: int, end: int) -> Part:
    """Ask as fsspec does, and look at what the server says beside the bytes."""
    session, options = await fs.set_session(), dict(fs.kwargs)
    wanted = {"Range": f"bytes={begin}-{end - 1}", "Accept-Encoding": "identity"}
    options["headers"] = {**options.get("headers", {}), **wanted}
    async with session.get(fs.encode_url(url), **options) as answer:
        fs._raise_not_found_for_status(answer, url)
        told = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        size = answer.headers.get("Content-Range", "").rpartition("/")[2]
        if answer.status == 206 and size.isdigit():
            return Part(await answer.read(), Stamp(int(size), told.strip('"')))
        raise RemoteError(f"{shown(url)}: its server does not send parts of files.\nCopy it, or put it elsewhere")


async def _from_s3(fs: Any, path: str, begin: int, end: int) -> Part:
    bucket, key, version = fs.split_path(path)
    chosen = {"VersionId": version} if version else {}
    wanted = f"bytes={begin}-{end - 1}"
    answer = await fs._call_s3("get_object", Bucket=bucket, Key=key, Range=wanted, **chosen, **fs.req_kw)
    size = int(answer["ContentRange"].rpartition("/")[2])
    async with answer["Body"] as body:
        return Part(await body.read(), Stamp(size, answer["ETag"].strip('"')))


def _wait(fs: Any, asked: Any, num_bytes: int) -> Any:
    """Wait for what fsspec's thread does, and not for ever."""
    seconds = PATIENCE_SECONDS + num_bytes / SLOWEST
    future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(asked, seconds), fs.loop)
    return future.result()


def _speaks(fs: Any, protocol: str) -> bool:
    return protocol in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def _place(url: str) -> tuple[Any, str]:
    """Return fsspec's file system and the path in it."""
    return _insist(url, lambda: _open(url))


def _open(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(url, **_options(url))
    except ImportError as error:
        raise _not_installed(url) from error
    except ValueError as error:
        raise DataError(f"{shown(url)}: {error}.\nName what fsspec opens, such as s3://, gs:// or https://") from error


def _options(url: str) -> dict[str, Any]:
    """Return what fsspec is told: to list anew, and to have as many requests under way as are made."""
    if "::" in url:
        return {}
    of_s3 = {"config_kwargs": {"max_pool_connections": AT_ONCE}} if url.startswith(("s3:", "s3a:")) else {}
    return {"use_listings_cache": False, **of_s3}


def _not_installed(url: str) -> DataError:
    protocol = url.partition(":")[0]
    package = PACKAGES.get(protocol, "'lit-video[remote]'")
    return DataError(f"{shown(url)}: no package here speaks {protocol}.\nInstall one: pip install {package}")


def _insist(url: str, ask: Callable[[], Any]) -> Any:
    """Return what a request gives, made again where the network or the store failed."""
    pauses = iter(PAUSES)
    while True:
        try:
            return ask()
        except (FileNotFoundError, IsADirectoryError, ChangedError, LitVideoError):
            raise
        except Exception as error:
            if _is_denied(error):
                raise _refusal(url, error) from error
            pause = None if _is_final(error) else next(pauses, None)
            if pause is None:
                raise RemoteError(
                    f"{shown(url)}: {_words(error)}{'' if _is_final(error) else f', {len(PAUSES) + 1} times'}.\n"
                    "See whether the store can be reached, and start again: what is done is kept"
                ) from error
            time.sleep(pause)


def _is_denied(error: Exception) -> bool:
    status = getattr(error, "status", None)
    return isinstance(error, PermissionError) or status in (401, 403) or type(error).__name__ in WITHOUT_CREDENTIALS


def _is_final(error: Exception) -> bool:
    """Tell whether asking again would give the same answer."""
    status = getattr(error, "status", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in (408, 425, 429)


def _refusal(url: str, error: Exception) -> RemoteError:
    protocol = url.partition("::")[2].partition(":")[0] or url.partition(":")[0]
    where = CREDENTIALS.get({"gcs": "gs", "s3a": "s3"}.get(protocol, protocol), "the store's documentation says where")
    without = type(error).__name__ in WITHOUT_CREDENTIALS
    why = "there are no credentials" if without else "access is denied"
    return RemoteError(f"{shown(url)}: {why}.\nGive those of somebody who may read it: {where}")


def _words(error: Exception) -> str:
    """Return what went wrong in a few words, without an address that might hold a signature."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return f"the server answers {status}"
    words = str(error).strip().splitlines()[:1]
    return f"{type(error).__name__}{f' ({shown(words[0])})' if words else ''}"
