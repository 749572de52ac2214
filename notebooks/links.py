"""Do the links of the course still lead somewhere? Internal ones without a network, external ones with it.

    .venv/bin/python notebooks/links.py              asks every external address once; exit status 1 if one is gone
    .venv/bin/python notebooks/links.py --list       only prints them

Links of the notebooks' text, of docs/*.md and of README.md. The tests check the internal ones on every run.
"""

from __future__ import annotations

import argparse
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
ROOT = HERE.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
GONE = (404, 410)
SECONDS = 15


def texts() -> dict[Path, str]:
    """The markdown of every notebook and document."""
    found = {}
    for path in sorted(HERE.glob("[0-9][0-9]_*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        found[path] = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for path in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]:
        found[path] = path.read_text(encoding="utf-8")
    return found


def anchors(text: str) -> set[str]:
    """What `#…` may name in a markdown text: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_inside(found: dict[Path, str]) -> list[str]:
    """Links to files that are not there, or to headings that are not in them."""
    broken = []
    for path, text in found.items():
        for link in LINK.findall(text):
            if ":" in link.split("/")[0]:
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            if not target.exists():
                broken.append(f"{path.name}: {link}: there is no such file")
            elif anchor and anchor not in anchors(found.get(target, text if target == path else "")):
                broken.append(f"{path.name}: {link}: no such heading")
    return broken


def external(found: dict[Path, str]) -> dict[str, str]:
    """Address -> the first file that names it; anchors left out."""
    addresses: dict[str, str] = {}
    for path, text in found.items():
        for link in LINK.findall(text):
            if link.startswith(("http://", "https://")):
                addresses.setdefault(link.split("#")[0], path.name)
    return addresses


def ask(address: str) -> str:
    """ "ok", "gone (404)", "refused (403)" (some sites refuse programs), or "offline: …"."""
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (course link check)"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return "ok"
    except urllib.error.HTTPError as error:
        return f"{'gone' if error.code in GONE else 'refused'} ({error.code})"
    except (OSError, ValueError) as error:
        return f"offline: {getattr(error, 'reason', error)}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the external addresses, ask nobody")
    options = parser.parse_args(arguments)
    found = texts()
    broken = broken_inside(found)
    print("\n".join(broken) or "internal links: all lead somewhere")
    addresses = external(found)
    if options.list:
        print("\n".join(addresses))
        return int(bool(broken))
    answers = {}
    for address, file in addresses.items():
        answers[address] = ask(address)
        print(f"{answers[address]:<14} {address}  ({file})", flush=True)
    offline = sum(answer.startswith("offline") for answer in answers.values())
    if offline and offline == len(answers):
        print(f"There is no network here: none of {len(answers)} external links could be asked.")
        return 2
    gone = sum(answer.startswith("gone") for answer in answers.values())
    print(f"{len(answers)} external links: {gone} gone, {offline} not reached")
    return int(bool(broken) or gone > 0)


if __name__ == "__main__":
    sys.exit(main())
