import json
import socket
import stat

import numpy as np
import pytest
from collect_screen import write
from data_cases import ITEM

from cursivetransformer.apps import collect, lan
from cursivetransformer.apps.collect import answer, serve
from cursivetransformer.apps.lan import (
    Address,
    keep_address,
    kept_address,
    lan_addresses,
    new_address,
    qr_rows,
    qr_text,
    read_book,
)
from cursivetransformer.config import CursiveError


@pytest.fixture
def in_a_network(monkeypatch):
    monkeypatch.setattr(collect, "lan_addresses", lambda: ["192.168.0.7", "10.0.0.3"])


def ask(page, host, origin=None, path="bank"):
    "The code that a request to the page gets, under a name, from the page of a name."
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as s:
        lines = [f"GET /{page.token}/{path} HTTP/1.0", f"Host: {host}"]
        lines += [f"Origin: {origin}"] if origin else []
        s.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(s.makefile("rb").readline().split()[1])


def test_in_a_network_the_addresses_there_are_names_of_the_server_and_no_others(in_a_network, tmp_path):
    page = serve(tmp_path / "mine.json", lan=True)
    port = page.port
    assert page.lan_url == f"http://192.168.0.7:{port}/{page.token}/"
    for name in "192.168.0.7", "10.0.0.3", "127.0.0.1", "localhost":
        assert ask(page, f"{name}:{port}") == ask(page, f"{name}:{port}", f"http://{name}:{port}") == 200
    for host in "192.168.0.8", "evil.example":
        assert ask(page, f"{host}:{port}") == ask(page, f"192.168.0.7:{port}", f"http://{host}:{port}") == 404
    assert ask(page, f"192.168.0.7:{port}", "null") == 404
    page.token = "guess"
    assert ask(page, f"192.168.0.7:{port}") == 200  # of the right secret, which the page has
    page.close()


def test_alone_a_server_does_not_answer_to_the_network(tmp_path):
    page = serve(tmp_path / "mine.json")
    assert page.server.server_address[0] == "127.0.0.1" and page.lan_url is None
    assert ask(page, f"192.168.0.7:{page.port}") == 404
    assert "lan" not in json.loads(answer(page, "GET", "bank").content)
    page.close()


def test_the_page_is_told_the_address_and_its_code(in_a_network, tmp_path):
    write(tmp_path / "mine.json", [ITEM])
    page = serve(tmp_path / "mine.json", lan=True)
    told = json.loads(answer(page, "GET", "bank").content)
    assert told["items"] == [ITEM] and told["lan"] == {"url": page.lan_url, "code": qr_rows(page.lan_url)}
    page.close()


def test_port_and_secret_are_those_of_the_last_time(monkeypatch, tmp_path):
    monkeypatch.setattr(lan, "address_book", lambda: tmp_path / "cache" / "collect.json")
    page = serve(tmp_path / "mine.json", keep=True)
    where = page.port, page.token
    other = serve(tmp_path / "other.json", keep=True)
    assert other.token != page.token
    page.close()
    page = serve(tmp_path / "mine.json", keep=True)
    assert (page.port, page.token) == where
    again = serve(tmp_path / "mine.json", keep=True)  # that port is taken: another one, and it is kept
    assert again.port != page.port and again.token == page.token
    assert serve(tmp_path / "mine.json").token != page.token  # without being asked nothing is kept
    with pytest.raises(CursiveError, match=f"on port {page.port} .*--port"):
        serve(tmp_path / "mine.json", port=page.port)
    book = tmp_path / "cache" / "collect.json"
    assert stat.S_IMODE(book.stat().st_mode) == 0o600
    for p in page, other, again:
        p.close()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}', '{"a": ["x", "y"]}', "\xff"])
def test_a_damaged_book_is_an_empty_one(tmp_path, content):
    book = tmp_path / "collect.json"
    book.write_bytes(content.encode("latin-1"))
    assert read_book(book) == {}
    keep_address("mine.json", Address(8123, "secret"), book)
    assert kept_address("mine.json", book) == Address(8123, "secret")


def test_the_book_does_not_grow_for_ever(tmp_path):
    book = tmp_path / "collect.json"
    for i in range(lan.KEPT + 5):
        keep_address(f"{i}.json", new_address(), book)
    assert len(read_book(book)) == lan.KEPT and kept_address("0.json", book).port == 0
    keep_address("x.json", new_address(), tmp_path / "collect.json" / "no folder")  # is no error


def test_no_network_is_one_sentence(monkeypatch):
    class NoWay(socket.socket):
        def connect(self, address):
            raise OSError

    monkeypatch.setattr(socket, "socket", NoWay)
    monkeypatch.setattr(socket, "gethostbyname_ex", lambda name: (name, [], ["127.0.1.1"]))
    with pytest.raises(CursiveError, match="in no network; join one, or leave --lan out"):
        lan_addresses()


def test_a_code_in_a_terminal_has_the_squares_of_the_code():
    url = "http://192.168.0.7:8123/secret/"
    rows = qr_rows(url)
    assert {len(row) for row in rows} == {len(rows)} and set("".join(rows)) == {"0", "1"}
    assert rows[0].startswith("1111111") and rows[1].startswith("1000001")  # a corner of every QR code
    upper_lower = {"█": "00", "▀": "01", "▄": "10", " ": "11"}
    lines = [[upper_lower[c] for c in text] for text in qr_text(url).split("\n")]
    drawn = ["".join(c[half] for c in text) for text in lines for half in (0, 1)]
    inner = [row[lan.QUIET : -lan.QUIET] for row in drawn[lan.QUIET :]]
    assert inner[: len(rows)] == rows


def test_a_camera_reads_the_address():
    cv2 = pytest.importorskip("cv2", reason="the independent reader brings OpenCV: pip install -e '.[dev]'")
    url = f"http://192.168.0.7:8123/{new_address().token}/"
    squares = np.array([[int(c) for c in row] for row in qr_rows(url)], np.uint8)
    picture = np.kron(np.pad(255 * (1 - squares), 4, constant_values=255), np.ones((6, 6), np.uint8))
    assert cv2.QRCodeDetector().detectAndDecode(picture)[0] == url


def test_a_page_may_ask_without_a_socket(tmp_path):
    page = serve(tmp_path / "mine.json")
    new = json.dumps({"revision": 0, "items": [ITEM]}).encode()
    assert answer(page, "GET", "").content.startswith(b"<!doctype html>")
    assert json.loads(answer(page, "PUT", "bank", new).content) == {"revision": 1}
    assert json.loads((tmp_path / "mine.json").read_text()) == [ITEM]
    assert answer(page, "PUT", "bank", new).code == 409
    for method, path in ("GET", "read"), ("PUT", ""), ("PUT", "x"), ("POST", "bank"):
        assert answer(page, method, path, b"[]").code == 404
    assert answer(page, "PUT", "read", b"7").code == answer(page, "PUT", "bank", b"{").code == 400
    texts = json.loads(answer(page, "PUT", "read", json.dumps([ITEM, {}]).encode()).content)["texts"]
    assert isinstance(texts[0], str) and texts[1] is None
    assert json.loads(answer(page, "PUT", "read", b"[]").content) == {"texts": []}
    page.close()


def test_an_address_book_that_may_not_be_changed_is_left_as_it_is(tmp_path):
    book = tmp_path / "book.json"
    book.write_text("{}")
    (tmp_path / "folder").mkdir()
    for place in book / "below", tmp_path / "folder":
        keep_address("mine.json", new_address(7), place)
    assert book.read_text() == "{}" and not list((tmp_path / "folder").iterdir())


def raw(page, head, body=b"", close=False):
    "The code that a request gets, written by hand; 0 where the connection is closed without one."
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as s:
        s.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        if close:
            s.shutdown(socket.SHUT_WR)
        line = s.makefile("rb").readline().split()
        return int(line[1]) if line else 0


@pytest.mark.parametrize(
    "path",
    ["../mine.json", "%2e%2e/mine.json", "..%2fmine.json", "%2e%2e%2fmine.json", "bank%00", "//bank", "Bank"],
)
def test_no_path_leads_to_a_file(tmp_path, path):
    write(tmp_path / "mine.json", [ITEM])
    page = serve(tmp_path / "mine.json")
    host = f"127.0.0.1:{page.port}"
    assert ask(page, host, path=path) == 404
    assert raw(page, [f"GET http://{host}/{page.token}/bank HTTP/1.1", f"Host: {host}"]) == 404
    page.close()


def test_a_name_that_was_pointed_at_this_machine_is_a_stranger(tmp_path):
    page = serve(tmp_path / "mine.json")
    assert ask(page, f"evil.example:{page.port}") == ask(page, f"127.0.0.1.evil.example:{page.port}") == 404
    assert ask(page, "127.0.0.1") == ask(page, f"127.0.0.1:{page.port + 1}") == ask(page, "") == 404
    assert raw(page, [f"GET /{page.token}/bank HTTP/1.0"]) == 404  # no name at all
    page.close()


@pytest.mark.parametrize(
    "lines, body, code",
    [
        (["Content-Length: " + "9" * 5000], b"", 413),
        (["Content-Length: 99999999999"], b"", 413),
        (["Content-Length: -1"], b"", 411),
        (["Content-Length: 0x10"], b"", 411),
        ([], b"", 411),
        (["Transfer-Encoding: chunked"], b"0\r\n\r\n", 411),
        (["Transfer-Encoding: chunked", "Content-Length: 2"], b"[]", 411),
        (["Content-Length: 500"], b'{"revision": 0, "items": []}', 400),  # and no more comes
        (["Content-Length: 4"], b'{"revision": 0, "items": []}', 400),  # what comes behind is left unread
    ],
    ids="huge large negative hex none chunked both short long".split(),
)
def test_sizes_that_are_none_change_nothing(tmp_path, capfd, lines, body, code):
    write(tmp_path / "mine.json", [ITEM])
    page = serve(tmp_path / "mine.json")
    head = [f"PUT /{page.token}/bank HTTP/1.1", f"Host: 127.0.0.1:{page.port}"]
    assert raw(page, [*head, "Content-Type: application/json", *lines], body, close=True) == code
    page.close()
    assert (
        json.loads((tmp_path / "mine.json").read_text()) == [ITEM]
        and "Traceback" not in capfd.readouterr()[1]
    )


def test_whoever_is_slow_keeps_nobody_waiting(tmp_path):
    page = serve(tmp_path / "mine.json")
    slow = [socket.create_connection(("127.0.0.1", page.port), timeout=60) for _ in range(20)]
    for s in slow:
        s.sendall(b"PUT /")
    assert ask(page, f"127.0.0.1:{page.port}") == 200
    for s in slow:
        s.close()
    page.close()
