"""A sound item of a word bank, items that are not, and a place to fetch files from."""

import http.server
import threading

ITEM = {
    "metadata": {"author": "me", "asciiSequence": "l", "pointCount": 3, "strokeCount": 1, "aspectRatio": 6},
    "points": [[0.1, 0.45, 1], [0.11, 0.66, 1], [0.11, 0.66, 0]],
}


def meta(**changes):
    return {**ITEM, "metadata": {**ITEM["metadata"], **changes}}


BAD = {
    "not an object": (7, "not an object"),
    "no metadata": ({"points": []}, "metadata"),
    "no points": ({"metadata": ITEM["metadata"]}, "points"),
    "empty points": ({**ITEM, "points": []}, "points"),
    "points of two": ({**ITEM, "points": [[1, 2]]}, "x, y, pen_down"),
    "ragged": ({**ITEM, "points": [[1, 2, 1], [1]]}, "x, y, pen_down"),
    "texts as points": ({**ITEM, "points": [["a", "b", "c"]]}, "x, y, pen_down"),
    "numbers as texts": ({**ITEM, "points": [["1", "2", "1"]]}, "x, y, pen_down"),
    "nulls": ({**ITEM, "points": [[None, 1, 1]]}, "x, y, pen_down"),
    "nan": ({**ITEM, "points": [[float("nan"), 0, 1]]}, "finite"),
    "infinity": ({**ITEM, "points": [[float("inf"), 0, 1]]}, "finite"),
    "huge": ({**ITEM, "points": [[1e300, 0, 1]]}, "canvases away"),
    "huge int": ({**ITEM, "points": [[10**400, 0, 1]]}, "x, y, pen_down"),
    "pen of 2": ({**ITEM, "points": [[0, 0, 2]]}, "pen_down"),
    "pen never down": ({**ITEM, "points": [[0, 0, 0]]}, "never down"),
    "empty text": (meta(asciiSequence=" "), "asciiSequence"),
    "text missing": (meta(asciiSequence=None), "asciiSequence"),
    "no aspect": (meta(aspectRatio=None), "aspectRatio"),
    "zero aspect": (meta(aspectRatio=0), "aspectRatio"),
    "nan aspect": (meta(aspectRatio=float("nan")), "aspectRatio"),
    "text unprintable": (meta(asciiSequence="\ud800"), "printed"),
    "author a number": (meta(author=3), "author"),
    "page of one": (meta(page=[1]), "page"),
}


class FileServer:
    "A loopback server that stands for a repository; `files` can be changed while it runs."

    def __init__(self):
        self.files = {}
        files = self.files

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = files.get(self.path.lstrip("/"))
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        # Asked often whether to end, so that a test need not wait for it.
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
