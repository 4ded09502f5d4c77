"""The page at `/`: one HTML document with its style and scripts inline, which calls only the gateway that it came from."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from sense.config.serving import LimitsConfig

_FOLDER = Path(__file__).parent
# They are joined to one script in this order, so a file may use what the files before it define.
_SCRIPTS = "dom sql api picker tabs results schema history feedback answer ask rows pair data main".split()
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def html(limits: LimitsConfig | None = None) -> str:
    """The page, with the limits of this gateway in its forms."""
    limits = limits or LimitsConfig()
    return _page().replace("{{candidates}}", str(limits.candidates)).replace("{{question_chars}}", str(limits.question_chars))


@cache
def csp() -> str:
    """The page's Content-Security-Policy: its own scripts and style by their hashes, calls to its own origin, nothing else."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(_page()):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(hashes['script'])}",
            f"style-src {' '.join(hashes['style'])}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",  # text is never parsed as markup
            "trusted-types 'none'",
        ]
    )


@cache
def _page() -> str:
    script = "".join(_text(f"js/{name}.js") for name in _SCRIPTS)
    parts = {"style": _text("style.css"), "theme": _text("theme.js"), "script": f'"use strict";\n(() => {{\n{script}}})();\n'}
    page = _text("page.html")
    for name, text in parts.items():
        page = page.replace(f"{{{{{name}}}}}", text)
    return page


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
