"""What tests of the desk, of its views and of the panel share."""

from cursivetransformer.writing.page import write
from cursivetransformer.writing.reader import load_reader

TEXT = (
    "many a brave soul did it send hurrying down to Hades,\n"
    "and many a hero did it yield a prey to dogs and vultures"
)


def seven_words(model) -> tuple:
    return tuple(write("many a brave soul did it send", model))


def stubborn_reader():
    "A reader that reads one word wrong, however it is written."
    reader = load_reader()
    judge = reader.judge

    def stubbornly(inks, texts=None):
        said, scores = judge(inks, texts)
        return [s + "x" if t == "brave" else t for s, t in zip(said, texts)], scores

    reader.judge = stubbornly
    return reader


def inks(desk) -> list:
    return [w.points for w in desk.sheet.words]


def changed(before: list, after: list) -> list:
    "Which of two lists' items are not the same."
    return [i for i, (a, b) in enumerate(zip(before, after)) if a is not b]
