# Doxygen's input filter for prunesid.h: prints its interface with the plain comments as Doxygen's.
# A comment in front of a declaration, or behind a field, an enumerator or a macro, belongs to it; a
# section's heading opens a group, the opening comment is the main page, and each row of an X-macro
# table an enumerator with the row's text. Prose is escaped, so that nothing in it is a command, and
# the names in it are links. What is indented, or aligned by blanks, stays as it stands.

# Prose with nothing that Doxygen would interpret. A name without a declaration is a warning.
function escaped(text) {
    gsub(/[\\@<>&#%$"]/, "\\\\&", text)
    gsub(/--/, "\\--", text)
    gsub(/Eq\. /, "Eq.\\ ", text) # is no end of a sentence
    return linked(text)
}

# Names of the interface are links; so are the statuses, without their PRUNESID_ERROR_, in a list.
function linked(text,    out, word) {
    while (match(text, /prunesid_[a-z0-9_]*[a-z0-9]|[A-Z][A-Z0-9_]*[A-Z0-9]/)) {
        word = substr(text, RSTART, RLENGTH)
        out = out substr(text, 1, RSTART - 1)
        text = substr(text, RSTART + RLENGTH)
        if (word ~ /^(prunesid|PRUNESID)_/ && text !~ /^[_*]/)
            word = "@ref " word " \"" word "\""
        else if (in_status && word in status && out !~ /_$/ &&
            text ~ /^([,.;:)]|$| \(| and | but )/)
            word = "@ref " status[word] " \"" word "\""
        out = out word
    }
    return out text
}

# The comment in line[1 .. n]. Lines that begin further in than those of the text, or have blanks in
# a row, are verbatim, but for what goes on with a list item, a status or a cost; those that begin
# further out are headings.
function described(opening, n, base,    out, i, text, indent, item, verbatim, label) {
    in_status = 0
    for (i = 1; i <= n; i++) {
        out = out (i == 1 ? "/**" opening " " : "\n")
        text = line[i]
        match(text, /^ */)
        indent = RLENGTH
        text = substr(text, indent + 1)
        if (indent <= base) item = in_status = 0
        if (text != "" && !item && (indent > base || text ~ /[^ .]  +[^ ]/)) {
            if (!verbatim) {
                out = out "@verbatim\n"
                verbatim = indent
            }
            out = out substr(line[i], 1, indent - verbatim) text
            continue
        }
        if (verbatim) out = out "@endverbatim\n"
        verbatim = 0
        if (text != "" && indent < base) {
            label = tolower(text)
            gsub(/ /, "_", label)
            out = out "@section " label " " text
            continue
        }
        if (text ~ /^(Status|Cost): /) {
            item = 1
            in_status = text ~ /^Status/
            out = out "@par "
            sub(/: /, "\n", text)
        } else if (text ~ /^- /) {
            item = 1
        }
        out = out escaped(text)
    }
    return out (verbatim ? "\n@endverbatim */" : " */")
}

# Reads the comment whose opening was taken off text into line[], without the " * " that continue
# it; its number of lines.
function read_comment(text,    n) {
    for (;;) {
        line[++n] = text
        if (sub(/ *\*\/.*$/, "", line[n])) return n
        if ((getline text) <= 0) return n
        if (text !~ /^ *\*\//) sub(/^ *\* ?/, "", text)
    }
}

# Keeps the rows of an X-macro table as enumerators, each with its last string.
function read_table(name,    body, row, text, short, i, n) {
    while (/\\$/) {
        if ((getline) <= 0) return
        body = body $0
    }
    n = split(body, row, /X\(/)
    for (i = 2; i <= n; i++) {
        split(row[i], text, /, */)
        short = text[1]
        sub(/^PRUNESID_(ERROR_)?/, "", short)
        if (name == "PRUNESID_STATUS_TABLE") status[short] = text[1]
        match(row[i], /"[^"]*"\)/)
        enumerators[name, i - 1] = text[1] " = " text[2] ","
        texts[name, i - 1] = substr(row[i], RSTART + 1, RLENGTH - 3)
    }
    rows[name] = n - 1
}

NR == 1 {
    n = read_comment("  " substr($0, 4))
    print described(" @mainpage\n", n, 2)
    print "/** @file\nThe interface, in the order of its sections. */"
    next
}
/stop here if you only want the interface/ { exit }
/^#ifdef __cplusplus/ { while (!/^#endif/ && (getline) > 0) { } next }
/^ *\/\* ==== / {
    gsub(/^\/\* =+ | =+ \*\/$/, "")
    if (in_group) print "/** @} */"
    in_group = 1
    printf "/** @defgroup %s %s\n@{ */\n", tolower(substr($0, 1, match($0, /:|$/) - 1)), $0
    next
}
/^ *\/\* / {
    sub(/^ *\/\* /, "")
    n = read_comment($0)
    front = described("", n, 0)
    title = line[1]
    for (i = 2; i <= n; i++) title = title " " line[i]
    next
}
/^#define PRUNESID_[A-Z]+_TABLE\(X\)/ {
    sub(/\(.*/, "", $2)
    print front "\n#define " $2 "(X)"
    front = ""
    read_table($2)
    next
}
/^#/ && !/^#define [A-Z_]+[A-Z] / { while (/\\$/ && (getline) > 0) { } next }
/^ +PRUNESID_[A-Z]+_TABLE\(/ {
    gsub(/^ +|\(.*/, "")
    for (i = 1; i <= rows[$0]; i++) {
        line[1] = texts[$0, i]
        print enumerators[$0, i] " " described("<", 1, 0)
    }
    next
}
{
    # A name of its own for the type would be a second symbol.
    if (sub(/^typedef /, "")) in_type = 1
    if (in_type && /^}/) {
        if (in_fields) print "/** @} */"
        in_type = in_fields = 0
        $0 = "};"
    }
    sub(/^PRUNESID_PUBLIC_ /, "")
    code = $0
    behind = ""
    at = index($0, "/* ")
    if (at) {
        code = substr($0, 1, at - 1)
        behind = " " described("<", read_comment(substr($0, at + 3)), 0)
    }
    if (in_type && front != "" && behind != "") { # front is about the fields that follow
        if (in_fields) print "/** @} */"
        in_fields = 1
        print "/** @name " title "\n@{ */"
        front = ""
    }
    if (front != "") print front
    if (code ~ /^ +[a-z0-9_]+ [a-z0-9_, ]+; *$/) { # each of several names has the comment
        n = split(code, word, /[ ,;]+/)
        for (i = 3; i < n; i++) {
            print word[2] " " word[i] ";" behind
            if (i + 1 < n && front != "") print front
        }
    } else {
        print code behind
    }
    front = ""
}
END { if (in_group) print "/** @} */" }
