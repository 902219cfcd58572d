/* command_line.h - what the tool can be asked for.   MIT licence. */
#ifndef COMMAND_LINE_H
#define COMMAND_LINE_H

#include "options.h"

#include <stddef.h>

enum { COMMAND_SELECT, COMMAND_BATCH, COMMAND_INFO, COMMAND_PLOT, COMMAND_SWEEP, N_COMMANDS };

enum {
    OPTION_KEEP, /* next_budget reads what it lists */
    OPTION_METHOD,
    OPTION_PRESET,
    OPTION_SCORES,
    OPTION_RESERVE,
    OPTION_PROTECT,
    OPTION_REPRESENT,
    OPTION_SVD,
    OPTION_MERGE,
    OPTION_LOADINGS,
    OPTION_INDICES,
    OPTION_TOKENS,
    OPTION_REGIONS, /* number: how many; next_region reads them */
    OPTION_POSITIONS,
    OPTION_LAYOUT, /* number: LAYOUT_AUTO, or 1 more than the prunesid_layout */
    OPTION_POLICY,
    OPTION_POSITIONS_OUT,
    OPTION_WINDOW,
    OPTION_PHI_REF,
    OPTION_OUT_DIR,
    OPTION_JSONL,
    OPTION_DYNAMIC,
    OPTION_MIN,
    OPTION_MAX,
    OPTION_THREADS,
    OPTION_IMAGE,
    OPTION_GRID, /* pair: rows, columns */
    OPTION_TEXT,
    OPTION_OUTPUT,
    OPTION_ITEM,
    OPTION_DTYPE,
    OPTION_SHAPE, /* read_sides reads it */
    OPTION_JSON,
    N_OPTIONS
};

/* What chooses the tokens. */
enum { METHOD_PRUNESID, METHOD_UNIFORM };

/* The layout of position ids that the file itself tells. */
enum { LAYOUT_AUTO };

/* What the numbers of a file are. */
enum { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64 };

/* A budget: so many tokens, or a share of an image's; the other is 0. */
typedef struct budget_rule {
    size_t n_tokens;
    double share;
} budget_rule;

/* The name of an option as a user types it. */
const char *option_name(size_t which);

/* As OPTION_LAYOUT counts; NULL behind the last. */
const char *layout_name(size_t number);

/* By prunesid_position_policy; NULL behind the last. */
const char *policy_name(size_t number);

/* By what stands above; NULL behind the last. */
const char *method_name(size_t number);
const char *dtype_name(size_t number);

/* Reads the item of --keep at text. Returns what follows it, a comma or the end; NULL for what is
 * neither a number nor a percentage. Too large a number is INT_MAX + 1, a bad share negative. */
const char *next_budget(const char *text, budget_rule *rule);

/* Reads a shape, AxB or AxBxC; returns how many sides it has, 0 if it is none. */
size_t read_sides(const char *text, size_t sides[3]);

int is_digit(char c);

/* Whether text is a list of numbers and ranges, right or wrong, not a file's name. */
int is_index_list(const char *text);

/* Whether a file goes to standard output, where then nothing else may go. */
int writes_to_output(const option_value *of);

/* Reads the item of --regions at text: range, the one before or {0, 0}, becomes that item's first
 * token and the one behind its last. Returns what follows it, a comma or the end; NULL for what is
 * no region. */
const char *next_region(const char *text, size_t range[2]);

/* Two names of one file: a link, or another way to write the path. */
int are_same_file(const char *a, const char *b);

/* What an output that is "-" becomes. */
extern const char standard_output[];

/* The options that name a file to write. */
enum { N_OUTPUTS = 4 };
extern const size_t output_options[N_OUTPUTS];

/* Those that name a file to read. */
enum { N_INPUTS = 5 };
extern const size_t input_options[N_INPUTS];

#endif /* COMMAND_LINE_H */
