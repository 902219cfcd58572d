"""Is every public symbol in the reference, with a description, and nothing else?
check_docs.py INCLUDE_DIR CC XML_DIR.

The symbols are those of the preprocessed header, so that what Doxygen's input filter loses is seen.
MIT licence."""
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree


def preprocessed(include, cc, *options):
    return subprocess.run(
        [cc, "-x", "c", "-std=c99", "-I", include, "-DPRUNESID_DECLARATIONS", *options, "-"],
        input='#include "prunesid.h"\n', stdout=subprocess.PIPE, text=True, check=True).stdout


def field_names(body):
    """The names of a struct's fields; parameters of pointers to functions are none."""
    for declaration in body.split(";")[:-1]:
        pointer = re.match(r"[^(]*\(\*(\w+)\)", declaration)
        if pointer:
            yield pointer[1]
        else:
            for name in declaration.split(","):
                yield re.search(r"(\w+)\s*$", name)[1]


def declared(include, cc):
    text = preprocessed(include, cc, "-E", "-P", "-DPRUNESID_API=EXPORTED_FUNCTION")
    symbols = set()
    for kind, name, body in re.findall(
            r"typedef (struct|enum) (prunesid_\w+)\s*\{([^}]*)\}", text):
        symbols.add((kind, name))
        if kind == "struct":
            symbols.update(("field", f"{name}.{field}") for field in field_names(body))
        else:
            symbols.update(("enumerator", value) for value in re.findall(r"PRUNESID_\w+", body))
    symbols.update(("function", name) for name in re.findall(
        r"EXPORTED_FUNCTION [^;(]*?(\w+)\s*\(", text))
    symbols.update(("macro", name) for name in re.findall(
        r"^#define (PRUNESID_\w*[A-Z])(?=[ (]|$)", preprocessed(include, cc, "-E", "-dM"), re.M)
        if name not in ("PRUNESID_DECLARATIONS", "PRUNESID_H"))
    return symbols


def description(element):
    return "".join("".join(element.find(part).itertext()).strip()
                   for part in ("briefdescription", "detaileddescription"))


def documented(folder):
    """What the XML holds, each with its description."""
    symbols = {}
    for compound in ElementTree.parse(f"{folder}/index.xml").getroot():
        root = ElementTree.parse(f"{folder}/{compound.get('refid')}.xml").getroot()[0]
        struct = root.findtext("compoundname")
        if root.get("kind") == "struct":
            symbols["struct", struct] = description(root)
        for member in root.iter("memberdef"):
            kind, name = member.get("kind"), member.findtext("name")
            if kind == "variable":
                kind, name = "field", f"{struct}.{name}"
            elif kind == "define":
                kind = "macro"
            symbols[kind, name] = description(member)
            for value in member.iter("enumvalue"):
                symbols["enumerator", value.findtext("name")] = description(value)
    return symbols


def main():
    include, cc, folder = sys.argv[1:]
    wanted, found = declared(include, cc), documented(folder)
    faults = [f"not in the reference: {kind} {name}" for kind, name in wanted - found.keys()]
    faults += [f"not in the header: {kind} {name}" for kind, name in found.keys() - wanted]
    faults += [f"no description: {kind} {name}" for (kind, name), text in found.items() if not text]
    for fault in sorted(faults):
        print(fault)
    counts = {kind: sum(k == kind for k, _ in wanted)
              for kind in ("function", "struct", "field", "enum", "enumerator", "macro")}
    print("docs:", ", ".join(f"{n} {kind}s" for kind, n in counts.items()))
    return 1 if faults or not all(counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
