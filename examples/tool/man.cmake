# Makes the man page of what the program says of itself:
#   cmake -DTOOL=PROGRAM -DOUT=prunesid.1 -P man.cmake
# The text of --help keeps its lines; what roff would take for a request or an escape is escaped.

function(ask variable)
    execute_process(COMMAND ${TOOL} ${ARGN} OUTPUT_VARIABLE text RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "${TOOL} ${ARGN}: ${status}")
    endif()
    string(REPLACE "\\" "\\e" text "${text}")
    string(REPLACE "-" "\\-" text "${text}")
    string(REGEX REPLACE "(^|\n)([.'])" "\\1\\\\&\\2" text "${text}")
    string(STRIP "${text}" text)
    set(${variable} "${text}" PARENT_SCOPE)
endfunction()

# The parts of --help: what it is for, the usage, and from the options on.
ask(help --help)
ask(version --version)
string(FIND "${help}" "\n\nusage:\n" at_usage)
string(SUBSTRING "${help}" 0 ${at_usage} about)
math(EXPR at_usage "${at_usage} + 9")
string(SUBSTRING "${help}" ${at_usage} -1 rest)
string(FIND "${rest}" "\n\n" at_options)
string(SUBSTRING "${rest}" 0 ${at_options} usage)
math(EXPR at_options "${at_options} + 2")
string(SUBSTRING "${rest}" ${at_options} -1 options)
file(WRITE ${OUT} ".TH PRUNESID 1 \"\" \"${version}\" \"User Commands\"
.SH NAME
prunesid \\- keep the visual tokens that matter, drop the rest
.SH SYNOPSIS
.nf
${usage}
.fi
.SH DESCRIPTION
.nf
${about}
.fi
.SH OPTIONS
.nf
${options}
.fi
.SH EXAMPLES
.nf
  prunesid sweep tokens.npy \\-o curve.svg
  prunesid select tokens.npy \\-\\-keep 64 \\-\\-tokens kept.npy \\-\\-indices kept_at.npy
  prunesid batch a.npy b.npy \\-\\-keep 25% \\-\\-out\\-dir kept \\-\\-jsonl
.fi
.SH SEE ALSO
arXiv 2603.09480, \\(lqPrune Redundancy, Preserve Essence\\(rq. The JSON is described by schema.json
in the folder share/prunesid.
")
