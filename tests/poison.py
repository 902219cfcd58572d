#!/usr/bin/env python3
"""Writes a copy of the header whose workspace AddressSanitizer can see into.

    poison.py include/prunesid.h COPY/prunesid.h

All arrays lie in one block of the caller's, so that a sanitizer takes an overflow from one into the
next for a good access. In the copy a poisoned gap follows every array, and arrays that share a place
by turns do not. For tests alone: it takes more memory. MIT licence.
"""
import sys

EDITS = [
    # (text, how often it must be there, what takes its place)
    ("#include <math.h>\n", 1, "#include <math.h>\n#include <sanitizer/asan_interface.h>\n"),
    ("    arena->used = fits ? at + (bytes + 63) / 64 * 64 : SIZE_MAX / 2;\n", 1,
     "    arena->used = fits ? at + (bytes + 63) / 64 * 64 + 64 : SIZE_MAX / 2;\n"
     "    if (arena->base != NULL && fits) {\n"
     "        __asan_unpoison_memory_region(arena->base + at, bytes);\n"
     "        __asan_poison_memory_region(arena->base + at + bytes, arena->used - at - bytes);\n"
     "    }\n"),
    ("    arena->used = shared;\n", 3, ""),
    ("    const size_t shared = arena->used;\n", 1, ""),
]


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="ascii") as file:
        text = file.read()
    for old, count, new in EDITS:
        if text.count(old) != count:
            sys.exit(f"poison.py: {text.count(old)} times, not {count}: {old!r}")
        text = text.replace(old, new)
    with open(target, "w", encoding="ascii") as file:
        file.write(text)


main()
