/* command_line.h - what the tool can be asked for.   MIT licence. */
#ifndef COMMAND_LINE_H
#define COMMAND_LINE_H

#include "options.h"

#include <stddef.h>

enum { COMMAND_SELECT, COMMAND_BATCH, COMMAND_INFO, COMMAND_PLOT, N_COMMANDS };

enum {
    OPTION_KEEP,
    OPTION_PRESET,
    OPTION_SCORES,
    OPTION_RESERVE,
    OPTION_SVD,
    OPTION_JSON,
    OPTION_LOADINGS,
    OPTION_INDICES,
    OPTION_TOKENS,
    OPTION_REGIONS, /* number: how many; next_region reads them */
    OPTION_POSITIONS,
    OPTION_POLICY,
    OPTION_POSITIONS_OUT,
    OPTION_WINDOW,
    OPTION_PHI_REF,
    OPTION_DYNAMIC,
    OPTION_MIN,
    OPTION_MAX,
    OPTION_THREADS,
    OPTION_IMAGE,
    OPTION_GRID, /* pair: rows, columns */
    OPTION_OUTPUT,
    N_OPTIONS
};

/* The name of an option as a user types it. */
const char *option_name(size_t which);

/* By prunesid_position_policy; NULL behind the last. */
const char *policy_name(size_t number);

/* Reads the item of --regions at text: range, the one before or {0, 0}, becomes that item's first
 * token and the one behind its last. Returns what follows it, a comma or the end; NULL for what is
 * no region. */
const char *next_region(const char *text, size_t range[2]);

/* The options that name a file to write. */
enum { N_OUTPUTS = 4 };
extern const size_t output_options[N_OUTPUTS];

#endif /* COMMAND_LINE_H */
