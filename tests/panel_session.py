"""A session with the panel that `test_view.py` starts in processes of different hash seeds: prints what went
to the browser at each step, and what a file saved then would hold."""

import json
import random
import sys

import numpy as np
from front_end import STATE, listen

from cursivetransformer.apps import desk as desk_module
from cursivetransformer.apps.panel import WritingApp
from cursivetransformer.ink.curves import on_page
from cursivetransformer.ink.svg import path_data
from cursivetransformer.writing.sample import Drawn

LONG = "many a brave soul did it send"
TEXTS = [LONG, "Sing goddess", "a", f"{LONG} hurrying down to Hades", "Sing, O goddess, the anger"]


def zigzag(text: str, turn: int) -> np.ndarray:
    "Ink that takes no model: as wide as a text is long, never twice the same."
    x = np.linspace(0, 0.2 * len(text), 3 * len(text))
    y = 0.1 * np.sin(x * 20 + turn)
    return np.stack([x, y, np.ones_like(x)], 1).round(3)


def without_model():
    "Have the desk draw zigzags, which the reader makes of what it likes."
    turns = iter(range(10**6))

    def generate(model, texts, options, dataset, word_indices, spelling):
        return [zigzag(text, next(turns)) for text in texts]

    def draw(model, texts, options, dataset, salt, word_indices):
        return [Drawn(zigzag(text, next(turns)), True, 0.0) for text in texts]

    desk_module.generate_words = generate
    desk_module.draw_words = draw


def random_step(app, dice: random.Random) -> str:
    "Do one of the things that people do; gives its name."
    words = len(app.desk.sheet.words)
    what = dice.choice(["write", "shorter", "undo", "mark", "mark", "respell", "take", "slant", "size"])
    controls = app.controls
    if what in ("write", "shorter"):
        controls["text"].value = dice.choice(TEXTS[1:3] if what == "shorter" else TEXTS)
        controls["write"].click()
    elif what in ("undo", "respell") and not controls[what].disabled:
        controls[what].click()
    elif what == "mark" and words:
        controls["words"].value = str(dice.randrange(words))
    elif what == "take" and app.desk.offers:
        app.take(dice.choice(sorted(app.desk.offers)), dice.randrange(4))
    elif what == "slant":
        controls["as_written"].value = False
        controls["slant"].value = dice.choice([0.0, 0.3])
    elif what == "size":
        controls["size"].value = dice.choice([50.0, 100.0, 150.0])
    return what


def main(seed: int, steps: int):
    without_model()
    app = WritingApp("", clickable=True)
    line = listen(app.view.widget)
    dice = random.Random(seed)
    said = dict(first={name: getattr(app.view.widget, name) for name in STATE}, steps=[])
    for _ in range(steps):
        what = random_step(app, dice)
        assert app.wait()
        updates = []
        while not line.updates.empty():
            updates.append(line.updates.get())
        ink = [path_data(on_page(word)) for word in app.desk.picture]
        marks = sorted(app.desk.sheet.marks)
        said["steps"].append(dict(what=what, updates=updates, ink=ink, marks=marks))
    print(json.dumps(said))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
