"""Long lines of text on a terminal, and in a file."""

from __future__ import annotations

import io

from hptune.cli.wrapped import wrapped


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_words_stay_whole_on_a_terminal_and_lines_in_a_file(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    text = "warning: column-of-words is left out\n\na-path/that/is-longer-than/the-terminal"
    assert wrapped(text, io.StringIO()) == text
    assert wrapped(text, Terminal()).split("\n") == [
        "warning:", "column-of-words is", "left out", "", "a-path/that/is-longer-than/the-terminal",
    ]  # fmt: skip
