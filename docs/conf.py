"""How Sphinx builds the pages of this folder: `make docs`. Nothing on the site is loaded from elsewhere, so it works offline."""

import subprocess
import sys
from pathlib import Path

from sense import __version__

project = "SENSE"
author = "the SENSE authors"
version = release = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 3  # links to a heading, as [text](page.md#heading)

html_theme = "furo"
html_title = f"SENSE {release}"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False

# The page with every configuration key is what `sense params` prints.
command = [sys.executable, "-m", "sense", "params", "--markdown"]
tables = subprocess.run(command, capture_output=True, text=True, check=True).stdout.replace("### ", "## ")
page = Path(__file__).parent / "keys.md"
text = f"# Every key\n\nThis is what `sense params` prints. See [Configuration](configuration.md).\n\n{tables}"
if not page.is_file() or page.read_text() != text:
    page.write_text(text)
