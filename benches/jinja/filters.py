"""The filters of omninode's templates, in Python: the same text for the same text.

`literal` and `yaml_str` are not here, since no template of the pack uses them; Jinja2 refuses a template that names a
filter it does not know.
"""

import re

COLUMNS_MAX = 88

# Invisible characters, and those that change how a line is shown.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f]"
)
_NAMED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(match: re.Match) -> str:
    code = ord(match.group())
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _visible(text: str) -> str:
    return _HIDDEN.sub(_escape, text)


_STRING = {quote: re.compile(f"[\\\\{quote}]|{_HIDDEN.pattern}") for quote in "\"'"}


def py_str(text: str) -> str:
    quote = "'" if text.count('"') > text.count("'") else '"'

    def escape(match: re.Match) -> str:
        char = match.group()
        return "\\" + quote if char == quote else _NAMED.get(char) or _escape(match)

    return quote + _STRING[quote].sub(escape, text) + quote


def docstring(text: str, indent: int = 0) -> str:
    text = _strip(_escape_docstring(text))
    quotes = 3 if "\n" in text else 6
    lines: list[str] = []
    for line in _lines(text):
        _wrap(line, COLUMNS_MAX - indent, quotes, lines)
        quotes = 0
    if len(lines) == 1:
        return _safe_end(_safe_start(lines[0]))
    margin = " " * indent
    inner = ""
    for line in lines:
        if not inner:
            inner = _safe_start(line)
        else:
            inner += "\n" + margin + line if line else "\n"
    return inner + "\n" + margin


def _lines(text: str) -> list[str]:
    """As Rust splits lines: at line feeds only, without an empty last one."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


# What Unicode calls white space: Python's `str.strip` takes the four separators \x1c to \x1f too.
_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def _strip(text: str) -> str:
    return text.strip(_SPACE)


def _safe_start(text: str) -> str:
    return "\\" + text if text.startswith('"') else text


def _safe_end(text: str) -> str:
    if text.endswith('"'):
        body = text[:-1]
        if (len(body) - len(body.rstrip("\\"))) % 2 == 0:
            return body + '\\"'
    return text


_DOCSTRING = re.compile(f'\\\\|\t|"""|[ \xa0\u3000]*\n|{_HIDDEN.pattern}')


def _escape_docstring(text: str) -> str:
    def escape(match: re.Match) -> str:
        found = match.group()
        if found == '"""':
            return '""\\"'
        if found.endswith("\n"):
            return "\n"
        return {"\\": "\\\\", "\t": "    "}.get(found) or _escape(match)

    # Tabs become spaces first: those before a line break go with it.
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return _DOCSTRING.sub(escape, text)


def _wrap(line: str, width: int, behind: int, lines: list[str]) -> None:
    if behind + len(line) <= width:
        lines.append(line)
        return
    margin = line[: len(line) - len(line.lstrip(" "))]
    current, column = margin, behind + len(margin)
    for word in filter(None, line.split(" ")):
        begins_line = len(current) == len(margin)
        if not begins_line and column + 1 + len(word) > width:
            lines.append(current)
            current, column = margin + word, len(margin) + len(word)
        else:
            space = "" if begins_line else " "
            current += space + word
            column += len(space) + len(word)
    lines.append(current)


_BETWEEN_WORDS = re.compile(f"[{_SPACE}\x00-\x1f\x7f-\x9f]+")


def comment(text: str) -> str:
    return " ".join(_visible(word) for word in _BETWEEN_WORDS.split(text) if word)


def markdown(text: str) -> str:
    lines = (line.removesuffix("\r") for line in _lines(text))
    return "\n".join(_markdown_line(_strip(line)) for line in lines)


_MARKDOWN = re.compile(r"[\\`*\[\]<>|~&_#+\-=.)\x00-\x1f\x7f-\x9f]")
_DIGITS = re.compile(r"[0-9]*")


def _markdown_line(line: str) -> str:
    digits = _DIGITS.match(line).end()

    def escape(match: re.Match) -> str:
        char, at = match.group(), match.start()
        if char in "\\`*[]<>|~&":
            return "\\" + char
        if char == "_":
            inside = at > 0 and line[at - 1].isalnum() and line[at + 1 : at + 2].isalnum()
            return "_" if inside else "\\_"
        if char in "#+-=":
            return "\\" + char if at == 0 else char
        if char in ".)":
            return "\\" + char if 0 < at == digits else char
        return " "

    return _MARKDOWN.sub(escape, line)


FILTERS = {"py_str": py_str, "docstring": docstring, "comment": comment, "markdown": markdown}
