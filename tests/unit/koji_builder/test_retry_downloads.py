"""koji-builder's plugin retry_downloads, with Koji's downloads from a server of this machine."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

koji = pytest.importorskip("koji")

TEXT = b"a source RPM"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what is next in its server's list; a number is a status."""

    def do_GET(self) -> None:
        answers: list[Any] = self.server.answers  # type: ignore[attr-defined]
        answer = answers.pop(0)
        self.send_response(answer if isinstance(answer, int) else 200)
        self.send_header("Content-Length", str(len(TEXT)))
        self.end_headers()
        self.wfile.write(answer if isinstance(answer, bytes) else TEXT)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def download(
    load_script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    plugin = load_script("koji-builder/retry_downloads.py")
    monkeypatch.setattr(plugin, "PAUSE", 0.01)
    monkeypatch.setattr(plugin, "PATIENCE", 5)
    repeated: Callable[..., Any] = plugin.repeat(koji.downloadFile)
    return repeated


@pytest.mark.parametrize("opened", [False, True], ids=["by its path", "open"])
def test_what_was_cut_off_is_downloaded_again(
    server: Any, download: Callable[..., Any], tmp_path: Path, opened: bool
) -> None:
    server.answers = [TEXT[:5], 503, TEXT]
    path = tmp_path / "file"
    with path.open("w+b") as file:
        url = f"http://127.0.0.1:{server.server_port}/file"
        download(url, fo=file) if opened else download(url, path=str(path))
    assert path.read_bytes() == TEXT
    assert server.answers == []


def test_what_is_not_there_is_asked_for_once(
    server: Any, download: Callable[..., Any], tmp_path: Path
) -> None:
    server.answers = [404, TEXT]
    with pytest.raises(koji.GenericError, match=r"cannot download http.*/file: 404 Not Found"):
        download(f"http://127.0.0.1:{server.server_port}/file", path=str(tmp_path / "file"))
    assert server.answers == [TEXT]
