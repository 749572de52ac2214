"""Fetches a file: continues where it broke off, checks it, and says what to do by hand when it can't.

What is there so far lies in FILE.part with the server's mark of its version in FILE.part.version, so that
two versions are never mixed. What has the wrong digest is kept as FILE.wrong and used by nobody. Where the publisher
names no digest, the one of the first download is written to FILE.json and held against any later download.
Read next: sources.py.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
import warnings
from datetime import date
from pathlib import Path

import certifi
from tqdm import tqdm

_BLOCK = 2**18
_USER_AGENT = "mrcnn_lite (data download)"


class DownloadError(OSError):
    """A file could not be had. The message says what was tried and what to do by hand."""


class _Wrong(Exception):
    """What came is not what was asked for: it is set aside, and the next attempt starts from nothing."""


def fetch(
    url: str,
    path: Path,
    *,
    md5: str | None = None,
    sha256: str | None = None,
    tries: int = 4,
    timeout: float = 30.0,
    progress: bool = True,
) -> Path:
    """Downloads `url` to `path` and returns it; at once if it is there and right.

    md5, sha256: the publisher's digest, where there is one. tries: attempts in a row that bring nothing
    new; each one goes on where the last broke off, after waiting 1, 2, 4, … seconds.
    Raises DownloadError with the address, the reason and the place to put the file by hand.
    """
    if path.exists():
        _check_digest(path, md5, sha256, url)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    failures: list[str] = []
    wait, wrong = 1.0, 0
    while True:
        before = _size(part)
        try:
            _go_on(url, part, timeout, progress, path.name)
            _check_digest(part, md5, sha256, url)
            break
        except urllib.error.HTTPError as error:
            failures.append(f"the server answers {error.code} ({error.reason})")
            if error.code < 500 and error.code not in (408, 416, 429):
                raise DownloadError(_advice(url, path, failures)) from error
        except _Wrong as error:
            aside = _set_aside(part, path)
            failures.append(f"{error} (what came is kept as {aside.name}, which nothing reads)")
            wrong += 1
        except (OSError, http.client.HTTPException) as error:
            failures.append(str(getattr(error, "reason", error)) or type(error).__name__)
            if getattr(error, "errno", None) in (
                errno.ENOSPC,
                errno.EACCES,
                errno.EROFS,
            ):  # ours, not the network's
                raise DownloadError(_advice(url, path, failures)) from error
        if _size(part) > before:
            failures, wait = failures[-1:], 1.0
        if len(failures) >= tries or wrong == 2:
            raise DownloadError(_advice(url, path, failures))
        time.sleep(wait)
        wait = min(2 * wait, 30.0)
    if not md5 and not sha256:
        _record(part, path, url)
    part.replace(path)
    _version_file(part).unlink(missing_ok=True)
    if wrong:
        aside = _wrong_file(path)
        warnings.warn(f"{aside}, an attempt that came wrong, is of no use any more: remove it", stacklevel=2)
    return path


def digest(path: Path, kind: str = "sha256") -> str:
    """The hexadecimal digest of a file."""
    state = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()


def _go_on(url: str, part: Path, timeout: float, progress: bool, name: str) -> None:
    """Appends to `part` what it lacks; ends normally only when the file is complete."""
    have, version = _size(part), _version_file(part)
    headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
    if have and version.exists():
        headers |= {"Range": f"bytes={have}-", "If-Range": version.read_text()}
    context = ssl.create_default_context(cafile=certifi.where()) if url.startswith("https:") else None
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=timeout, context=context)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the server has nothing behind what we have: it changed, or ours is too long
            raise _Wrong("the server's file is shorter than what is there of it") from error
        raise
    with answer:
        if answer.status == 206:
            start = answer.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
            if start != str(have):
                raise _Wrong(f"asked for the bytes from {have} on and got those from {start or 'nowhere'}")
        else:  # the whole file: the server does not continue, or has another version
            _forget(part)
            have = 0
            mark = answer.headers.get("ETag", "W/")
            mark = answer.headers.get("Last-Modified") if mark.startswith("W/") else mark  # W/: a weak mark
            if mark:
                version.write_text(mark)
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        bar = tqdm(
            total=total,
            initial=have,
            desc=name,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            disable=None if progress else True,
        )
        with bar, part.open("ab") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                bar.update(len(block))
    if total is not None and _size(part) != total:
        raise OSError(f"the connection ended after {_size(part):,} of {total:,} bytes")


def _check_digest(path: Path, md5: str | None, sha256: str | None, url: str) -> None:
    """Raises _Wrong (a part) or DownloadError (a finished file) where the digest differs."""
    recorded = _record_file(path)
    kind, expected = ("sha256", sha256) if sha256 else ("md5", md5)
    if not expected and recorded.exists():
        kind, expected = "sha256", json.loads(recorded.read_text())["sha256"]
    if not expected:
        return
    found = digest(path, kind)
    if found == expected:
        return
    if path.suffix == ".part":
        raise _Wrong(f"the {kind} of the file is {found}, expected {expected}")
    raise DownloadError(
        f"{path} is not the file that was published at {url}: its {kind} is {found}, expected {expected}. "
        "Remove it (and a .json of the same name, if the publisher changed the file) and try again."
    )


def _record(part: Path, path: Path, url: str) -> None:
    record = {"url": url, "bytes": _size(part), "sha256": digest(part), "date": date.today().isoformat()}
    record["note"] = "No digest is published: this is the one of the first download."
    _record_file(path).write_text(json.dumps(record, indent=1) + "\n")


def _record_file(path: Path) -> Path:
    return path.with_name(f"{path.name.removesuffix('.part')}.json")


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _wrong_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.wrong")


def _set_aside(part: Path, path: Path) -> Path:
    """Keeps what is wrong, for who wants to know why, under a name that nothing reads."""
    if part.exists():
        part.replace(_wrong_file(path))
    _version_file(part).unlink(missing_ok=True)
    return _wrong_file(path)


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _advice(url: str, path: Path, failures: list[str]) -> str:
    reasons = "; ".join(dict.fromkeys(failures))
    return (
        f"could not download {url} after {len(failures)} attempt{'s' * (len(failures) > 1)}: {reasons}.\n"
        f"By hand: fetch that address on a machine with a network, put the file at\n  {path}\n"
        "and give the same command again. A download that broke off goes on where it was."
    )
