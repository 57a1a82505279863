#!/usr/bin/env python3
"""Writes data about Python that node IDs depend on: the characters that `str.isprintable` calls printable, and test vectors.

    scripts/python_repr.py

writes src/graph/printable.rs and tests/golden/ids.json, then formats the former. A newer Python has a newer Unicode
version: a resource whose name has one of the new characters would get another node ID. Therefore the table stays with
the Unicode version below, and the script rejects any other.
"""

import argparse
import base64
import hashlib
import json
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

UNICODE = "14.0.0"
HERE = Path(__file__).resolve().parent.parent
RUST = HERE / "src/graph/printable.rs"
VECTORS = HERE / "tests/golden/ids.json"

HEAD = f"""//! Python's printable characters. Written by `scripts/python_repr.py` with Unicode {UNICODE} (Python 3.11).

/// Whether Python's `str.isprintable` returns true for this character.
pub(super) fn is_printable(character: char) -> bool {{
    let code = u32::from(character);
    FLIPS.partition_point(|flip| *flip <= code).is_multiple_of(2)
}}

/// The code points at which printability changes; those below the first are printable.
const FLIPS: &[u32] = &["""


def is_surrogate(code):
    return 0xD800 <= code <= 0xDFFF


def flips():
    """Surrogates are not characters in Rust; they take the class of the character before them."""
    points, printable = [], True
    for code in range(0x110000):
        if is_surrogate(code) or chr(code).isprintable() == printable:
            continue
        printable = not printable
        points.append(code)
    return points


def write_table():
    numbers = ",".join(f"0x{point:x}" for point in flips())
    RUST.write_text(f"{HEAD}{numbers}];\n")
    subprocess.run(["rustfmt", "--edition", "2024", "--config-path", str(HERE), str(RUST)], check=True)


def node_id(identity):
    digest = hashlib.blake2b(str(tuple(identity)).encode(), digest_size=16).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def odd_texts(rng):
    """Returns every quoting rule, every ASCII character, both sides of many flips, and random mixtures."""
    yield from ["", "'", '"', "'\"", "\\", "\\'", "it's", 'say "hi"', "it's \"so\"", "a\tb\nc\rd", "\x00\x1f\x7f\x80\xa0\xad\xff"]
    yield from ["äöü", "日本語", "🦀", "e\u0301", "\u200b", "\u2028", "\ufeff", "\ufffe", "\U000e0001", "\U0010ffff", "None", "undefined"]
    yield from (chr(code) for code in range(128))
    points = flips()
    for point in rng.sample(points[1:], 200):
        yield "".join(chr(code) for code in (point - 1, point) if not is_surrogate(code))
    pieces = ["'", '"', "\\", "\n", "a", " ", "é", "\u0378", "\ue000", "🦀", "\U000f0000", "x" * 40]
    for _ in range(150):
        yield "".join(rng.choices(pieces, k=rng.randint(1, 12)))


def write_vectors():
    rng = random.Random(14)
    texts = list(odd_texts(rng))
    vectors = []
    for index, text in enumerate(texts):
        identity = ["aws_vpc", "aws", "123456789012", "us-east-1", "undefined", f"vpc-{index}", "name"]
        if index % 10 == 9:
            identity[6] = None
        identity[index % 6 if index % 10 == 9 else index % 7] = text
        vectors.append({"identity": identity, "id": node_id(identity)})
    lines = ",\n".join(json.dumps(vector) for vector in vectors)
    VECTORS.write_text(f"[\n{lines}\n]\n")


def main():
    parser = argparse.ArgumentParser(
        description="Write src/graph/printable.rs and tests/golden/ids.json: data about Python that node IDs depend on."
    )
    parser.parse_args()
    if unicodedata.unidata_version != UNICODE:
        sys.exit(f"this Python has Unicode {unicodedata.unidata_version}; run the script with Python 3.11, which has {UNICODE}")
    write_table()
    write_vectors()


if __name__ == "__main__":
    main()
