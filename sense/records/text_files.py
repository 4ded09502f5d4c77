"""Files that people wrote, with any program: a byte order mark and the ends of lines and files of other systems are read over.

What is no text in UTF-8 is called what it is.
"""

import codecs
import re
from pathlib import Path

from sense.errors import InputError

END_OF_DOS_FILE = b"\x1a"  # Ctrl-Z
_TO_UTF8 = "save it as UTF-8: iconv -f {} -t UTF-8"
_MARKS = (  # the longer ones first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# Where the first four bytes are NUL in a text that begins with two ASCII characters and has no mark.
_NULS: dict[tuple[bool, ...], str] = {
    (False, True, False, True): "UTF-16LE",
    (True, False, True, False): "UTF-16BE",
    (False, True, True, True): "UTF-32LE",
    (True, True, True, False): "UTF-32BE",
}
_NO_TEXT = (
    (b"\x1f\x8b", "it is compressed with gzip; unpack it: gunzip"),
    (b"BZh91AY&SY", "it is compressed with bzip2; unpack it: bunzip2"),
    (b"\xfd7zXZ\0", "it is compressed with xz; unpack it: unxz"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with Zstandard; unpack it: unzstd"),
    (b"PK\x03\x04", "it is a zip archive, as .xlsx files are too; unpack it, or export a text file"),
    (b"PAR1", "it is a Parquet file; write its rows as JSON, one object a line"),
    (b"SQLite format 3\0", "it is a SQLite database; name the text file"),
    (b"version https://git-lfs", "it is a pointer of Git LFS in place of the file; fetch the file: git lfs pull"),
)
_WEB_PAGE = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)


def foreign_content(head: bytes) -> str:
    """What a file is, by its first bytes, that is packed, a pointer or a web page, and what mends that; '' for all else."""
    if _WEB_PAGE.match(head):
        return "it is a web page; download the file itself (on GitHub: Raw)"
    return next((message for signature, message in _NO_TEXT if head.startswith(signature)), "")


def check_is_text(path: Path, head: bytes) -> None:
    """InputError that says what the file is, if its first bytes are not those of a text in UTF-8."""
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    encoding = encoding or _NULS.get(tuple(byte == 0 for byte in head[:4]))
    if encoding:
        raise InputError(
            f"{path}: its text is {encoding}, as some programs of Windows save it (PowerShell with >); "
            + _TO_UTF8.format(encoding)
        )
    message = foreign_content(head)
    if message:
        raise InputError(f"{path}: {message}")


def check_is_utf8(path: Path, content: bytes, first_line: int = 1) -> None:
    """InputError that names line and byte of what is not UTF-8; `content` begins with the line of that number."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, byte = first_line + before.count(b"\n"), error.start - before.rfind(b"\n")
        raise InputError(
            f"{path}, line {line}, byte {byte}: 0x{content[error.start]:02x} is not UTF-8, but may be Windows-1252 or Latin-1; "
            + _TO_UTF8.format("WINDOWS-1252")
        ) from None


def read_text(path: Path) -> str:
    """The text of a file that a person wrote, with the ends of lines as \\n; OSError, or InputError if it is not UTF-8."""
    content = path.read_bytes()
    check_is_text(path, content)
    content = content.removeprefix(codecs.BOM_UTF8).removesuffix(END_OF_DOS_FILE)
    check_is_utf8(path, content)
    return content.decode().replace("\r\n", "\n").replace("\r", "\n")
