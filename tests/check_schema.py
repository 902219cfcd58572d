"""Holds what the tool prints against its schema: check_schema.py SCHEMA TOOL EXAMPLES_DATA.

The validator knows the words that the schema uses and no others. A member that the schema does not
name is an error here, though not to a reader: a schema that says too little is of no use. MIT
licence."""
import json
import pathlib
import subprocess
import sys
import tempfile

WORDS = {"$ref", "type", "enum", "const", "required", "properties", "items", "minItems", "minimum",
         "maximum", "anyOf", "not", "description"}
TYPES = {"object": dict, "array": list, "string": str, "null": type(None)}


def is_type(value, name):
    if name in ("integer", "number"):
        kinds = int if name == "integer" else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def find(root, reference):
    for part in reference.removeprefix("#/").split("/"):
        root = root[part]
    return root


def members(root, schema):
    known = set(schema.get("properties", {}))
    return known | members(root, find(root, schema["$ref"])) if "$ref" in schema else known


def errors(root, schema, value, where="$", strict=True):
    assert set(schema) <= WORDS, f"the check does not know {set(schema) - WORDS}"
    if "$ref" in schema:
        yield from errors(root, find(root, schema["$ref"]), value, where, strict=False)
    names = schema.get("type", [])
    names = [names] if isinstance(names, str) else names
    if names and not any(is_type(value, name) for name in names):
        yield f"{where}: {value!r} is not {names}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not one of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{where}: {value!r} is not {schema['const']!r}"
    if "minimum" in schema and value is not None and value < schema["minimum"]:
        yield f"{where}: {value} is below {schema['minimum']}"
    if "maximum" in schema and value is not None and value > schema["maximum"]:
        yield f"{where}: {value} is above {schema['maximum']}"
    if "minItems" in schema and len(value) < schema["minItems"]:
        yield f"{where}: {len(value)} items"
    if "not" in schema and not list(errors(root, schema["not"], value, where, strict=False)):
        yield f"{where}: is what it must not be"
    if "anyOf" in schema and all(list(errors(root, one, value, where)) for one in schema["anyOf"]):
        yield f"{where}: {value!r} fits nothing"
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                yield f"{where}: no {name}"
        for name, one in schema.get("properties", {}).items():
            if name in value:
                yield from errors(root, one, value[name], f"{where}.{name}")
        if strict and schema.get("properties"):
            for name in set(value) - members(root, schema):
                yield f"{where}: the schema has no {name}"
    if isinstance(value, list) and "items" in schema:
        for i, one in enumerate(value):
            yield from errors(root, schema["items"], one, f"{where}[{i}]")


def main():
    schema, tool, data = (pathlib.Path(path).resolve() for path in sys.argv[1:])
    root = json.loads(schema.read_text())
    one, two = (str(data / name / "tokens.npy") for name in ("chelsea_vit384", "coffee_vit384"))
    photo = str(data / "chelsea_vit384" / "photo.png")
    cases = [
        ("select", ["select", one, "--keep", "64", "--json"]),
        ("select", ["select", one, "--keep", "600", "--json", "--preset", "llava"]),
        ("select", ["select", one, "--keep", "16", "--json", "--represent", "group"]),
        ("select", ["select", one, "--keep", "16", "--json", "--method", "uniform"]),
        ("select", ["plot", one, "--keep", "16", "--json", "--image", photo, "--grid", "24x24",
                    "-o", "o.png"]),
        ("regions", ["select", one, "--keep", "16", "--json", "--regions", "288,288",
                     "--represent", "all"]),
        ("batch", ["batch", one, two, "--keep", "16", "--json", "--dynamic"]),
        ("batch", ["batch", one, "none.npy", "--keep", "16", "--json"]),
        ("batch", ["batch", one, two, "--keep", "16", "--json", "--out-dir", "out"]),
        ("line", ["batch", one, two, "--keep", "16", "--jsonl"]),
        ("info", ["info", one, "--json"]),
        ("sweep", ["sweep", one, "--keep", "16,64", "--json"]),
        ("sweep", ["sweep", one, two, "none.npy", "--json", "--method", "uniform"]),
    ]
    n_bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, line in cases:
            run = subprocess.run([str(tool), *line], cwd=folder, capture_output=True, text=True)
            values = [json.loads(text) for text in run.stdout.splitlines()]
            if not values or run.returncode != ("none.npy" in line):
                print(line, "exit", run.returncode, run.stderr)
                n_bad += 1
            for value in values:
                kinds = [one["$ref"].split("/")[-1] for one in root["oneOf"]
                         if not list(errors(root, find(root, one["$ref"]), value))]
                if kinds != [name]:
                    print(line, "is", kinds, *errors(root, root["$defs"][name], value), sep="\n  ")
                    n_bad += 1
    return n_bad


if __name__ == "__main__":
    sys.exit(main() > 0)
