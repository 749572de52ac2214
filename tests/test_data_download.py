"""data/download.py against a server of our own: resume, checksums, retries, and what is said when offline."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mrcnn_lite.data import download
from mrcnn_lite.data.download import DownloadError, digest, fetch

CONTENT = bytes(range(256)) * 4096  # 1 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves `content` at every address; notes requests; can break off, refuse, or not know Range."""

    def __init__(self):
        self.content, self.version, self.ranges_known = CONTENT, '"v1"', True
        self.break_after, self.breaks, self.status = None, 10**9, None
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/folder/data.zip"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def answer(self, handler):
        asked = handler.headers.get("Range")
        self.requests.append(asked)
        if self.status:
            handler.send_error(self.status)
            return
        start = 0
        if asked and self.ranges_known and handler.headers.get("If-Range") == self.version:
            start = int(asked.removeprefix("bytes=").split("-")[0])
        if start >= len(self.content) and start:
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.version:
            handler.send_header("ETag", self.version)
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        body = self.content[start:]
        if self.break_after is not None and self.breaks > 0:
            self.breaks -= 1
            body = body[: self.break_after]
        handler.wfile.write(body)

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    running = Server()
    yield running
    running.close()


def get(server, path, **options):
    return fetch(server.url, path, progress=False, **options)


def test_a_plain_download(server, tmp_path):
    path = get(server, tmp_path / "new folder" / "data.zip", sha256=SHA256)
    assert path.read_bytes() == CONTENT and server.requests == [None]
    assert [p.name for p in path.parent.iterdir()] == ["data.zip"]  # no leftovers, no record: it was published
    get(server, path, sha256=SHA256)
    assert len(server.requests) == 1  # it was there


def test_it_goes_on_where_the_connection_broke_off(server, tmp_path):
    server.break_after, server.breaks = 300_000, 2
    path = get(server, tmp_path / "data.zip", md5=hashlib.md5(CONTENT).hexdigest())
    assert path.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-", "bytes=600000-"]


def test_it_goes_on_in_another_process_after_being_killed(server, tmp_path):
    server.break_after = 300_000
    with pytest.raises(DownloadError):
        get(server, tmp_path / "data.zip", tries=1)
    assert (tmp_path / "data.zip.part").stat().st_size == 300_000 and not (tmp_path / "data.zip").exists()
    server.break_after = None
    assert get(server, tmp_path / "data.zip", sha256=SHA256).read_bytes() == CONTENT
    assert server.requests[-1] == "bytes=300000-"


def test_progress_gives_new_patience(server, tmp_path):
    """Ten breaks are too many for 4 tries in a row, but not when each brings something."""
    server.break_after, server.breaks = 100_000, 10
    assert get(server, tmp_path / "data.zip", tries=2).read_bytes() == CONTENT


def test_a_server_that_cannot_continue_starts_again(server, tmp_path):
    server.break_after, server.breaks, server.ranges_known = 300_000, 1, False
    assert get(server, tmp_path / "data.zip", sha256=SHA256).read_bytes() == CONTENT
    server.version, server.breaks, server.requests = None, 1, []  # no mark of the version: never continue
    assert get(server, tmp_path / "other.zip", sha256=SHA256).read_bytes() == CONTENT
    assert server.requests == [None, None]


def test_two_versions_are_never_mixed(server, tmp_path):
    server.break_after = 300_000
    with pytest.raises(DownloadError):
        get(server, tmp_path / "data.zip", tries=1)
    server.break_after, server.content, server.version = None, CONTENT[::-1], '"v2"'
    assert get(server, tmp_path / "data.zip").read_bytes() == CONTENT[::-1]


def test_a_part_that_is_too_long_is_set_aside(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "data.zip.part.version").write_text(server.version)
    with pytest.warns(UserWarning, match=r"data\.zip\.wrong, an attempt that came wrong, is of no use any more"):
        assert get(server, tmp_path / "data.zip", sha256=SHA256).read_bytes() == CONTENT
    assert (tmp_path / "data.zip.wrong").read_bytes() == CONTENT + b"more"


def test_a_wrong_checksum_is_tried_once_more_and_then_refused(server, tmp_path):
    wrong = "0" * 64
    with pytest.raises(
        DownloadError, match=f"sha256 of the file is {SHA256}, expected {wrong}.*kept as data.zip.wrong"
    ):
        get(server, tmp_path / "data.zip", sha256=wrong)
    assert len(server.requests) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip.wrong"]  # neither used nor deleted
    assert (tmp_path / "data.zip.wrong").read_bytes() == CONTENT
    with pytest.warns(UserWarning, match="remove it") as warned:  # and no part of it is in a later download
        server.content = CONTENT[::-1]
        right = hashlib.sha256(server.content).hexdigest()
        (tmp_path / "data.zip.part").write_bytes(CONTENT)
        (tmp_path / "data.zip.part.version").write_text(server.version)
        assert get(server, tmp_path / "data.zip", sha256=right).read_bytes() == server.content
    assert len(warned) == 1


def test_a_finished_file_that_is_wrong_is_named_and_kept(server, tmp_path):
    (tmp_path / "data.zip").write_text("put here by hand, and not the right one")
    with pytest.raises(DownloadError, match=r"data\.zip is not the file that was published at"):
        get(server, tmp_path / "data.zip", sha256=SHA256)
    assert (tmp_path / "data.zip").exists() and server.requests == []


def test_without_a_published_digest_the_first_one_counts(server, tmp_path):
    path = get(server, tmp_path / "data.zip")
    record = json.loads((tmp_path / "data.zip.json").read_text())
    assert record["sha256"] == SHA256 and record["bytes"] == len(CONTENT) and record["url"] == server.url
    path.unlink()
    assert get(server, path).exists()  # the same again
    path.unlink()
    server.content, server.version = CONTENT[::-1], '"v2"'
    with pytest.raises(DownloadError, match=f"expected {SHA256}"):
        get(server, path)


@pytest.mark.parametrize("status, tries", [(404, 1), (403, 1), (500, 4), (503, 4)])
def test_what_the_server_refuses(server, tmp_path, status, tries):
    server.status = status
    with pytest.raises(DownloadError, match=f"the server answers {status}"):
        get(server, tmp_path / "data.zip")
    assert len(server.requests) == tries


def test_offline_says_what_was_tried_and_what_to_do(server, tmp_path):
    server.close()
    server.close = lambda: None
    with pytest.raises(DownloadError) as caught:
        get(server, tmp_path / "data.zip")
    message = str(caught.value)
    assert server.url in message and str(tmp_path / "data.zip") in message
    assert "after 4 attempts" in message and "refused" in message and "By hand" in message
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_not_retried(server, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_go_on", full)
    with pytest.raises(DownloadError, match="No space left on device"):
        get(server, tmp_path / "data.zip")


def test_digest(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert digest(tmp_path / "x", "md5") == "900150983cd24fb0d6963f7d28e17f72"
