"""Names of files and their kinds, and files that are there already."""

import pytest

from cursivetransformer.apps.desk import WritingDesk
from cursivetransformer.apps.saving import (
    DOWNLOAD,
    Saver,
    download_link,
    file_name,
    kinds_of_files,
    with_kind,
)
from cursivetransformer.writing.page import FORMATS


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("other", FORMATS)
def test_an_ending_gives_way_to_the_kind_that_is_chosen(kind, other):
    assert with_kind(f"mine.{other}", kind) == f"mine.{kind}"
    assert with_kind("mine", kind) == "mine" and file_name("mine", kind) == f"mine.{kind}"
    assert file_name(f"mine.{other}", kind) == f"mine.{other}"


def test_no_name_is_a_page():
    assert file_name("  ", "svg") == "page.svg" and file_name("page.svg.png", "svg") == "page.svg.png"


def test_an_empty_desk_asks_nothing(default, tmp_path):
    (tmp_path / "page.svg").write_text("somebody's")
    saver = Saver(WritingDesk(default))
    with pytest.raises(ValueError, match="write something first"):
        saver.save(str(tmp_path / "page.svg"))
    assert saver.asked is None


def test_a_large_file_stays_where_it_is(tmp_path):
    path = tmp_path / "<page>.svg"
    path.write_text("a")
    assert 'download="&lt;page&gt;.svg"' in download_link(path) and "base64,YQ==" in download_link(path)
    path.write_bytes(bytes(DOWNLOAD + 1))
    assert download_link(path) == ""
    assert [kind for _, kind in kinds_of_files()] == [*FORMATS]
