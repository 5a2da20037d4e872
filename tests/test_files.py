"""Files that appear whole or not at all, whatever happens while they are written."""

import pytest

from neurojax._files import written_whole


def test_an_old_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), written_whole(path) as part:
        part.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with written_whole(path) as part:
        part.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_messages_name_what_the_user_gave(tmp_path):
    path = tmp_path / "missing" / "numbers.txt"
    with (
        pytest.raises(FileNotFoundError, match=r"txt: folder .*missing does not exist") as error,
        written_whole(path),
    ):
        pass
    assert ".part" not in str(error.value)
    with (
        pytest.raises(IsADirectoryError, match="is a folder; give the name") as error,
        written_whole(tmp_path),
    ):
        pass
    assert ".part" not in str(error.value) and not list(tmp_path.iterdir())
