/* options.h - the command line of the prunesid tool.   MIT licence. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stddef.h>
#include <stdint.h>

typedef enum command {
    COMMAND_SELECT,
    COMMAND_BATCH,
    COMMAND_INFO,
    COMMAND_PLOT,
    N_COMMANDS
} command;

typedef enum option {
    OPTION_KEEP,
    OPTION_PRESET,
    OPTION_SCORES,
    OPTION_LOADINGS,
    OPTION_REGIONS,
    OPTION_POSITIONS,
    OPTION_POLICY,
    OPTION_POSITIONS_OUT,
    OPTION_RESERVE,
    OPTION_SVD,
    OPTION_SEED,
    OPTION_INDICES,
    OPTION_TOKENS,
    OPTION_JSON,
    OPTION_WINDOW,
    OPTION_THREADS,
    OPTION_DYNAMIC,
    OPTION_PHI_REF,
    OPTION_MIN,
    OPTION_MAX,
    OPTION_IMAGE,
    OPTION_GRID,
    OPTION_OUTPUT,
    OPTION_HELP,
    OPTION_VERSION,
    N_OPTIONS
} option;

/* The value of an option; which member depends on the option. */
typedef struct option_value {
    int given;        /* everything below is 0 unless it is */
    const char *text; /* as on the command line: file names */
    size_t number;    /* a count; the choice of --preset, --svd and --policy; how many --regions */
    uint64_t seed;    /* --seed */
    double real;      /* --phi-ref */
    size_t grid[2];   /* --grid: rows, columns */
} option_value;

typedef struct options {
    command command;
    option_value of[N_OPTIONS];
    char **files; /* [n_files], the front of the argument vector that was parsed */
    size_t n_files;
} options;

/* Exit codes of the tool. */
enum { EXIT_OK = 0, EXIT_BAD_INPUT = 1, EXIT_USAGE = 2 };

/* Parses the arguments, reordering argv so that files are contiguous. EXIT_OK, or the exit code
 * after standard error says why. With --help or --version given nothing else is checked. */
int options_parse(int argc, char **argv, options *out);

/* The name of an option as a user types it. */
const char *options_name(option which);

/* The text of choice number of --preset, --svd or --policy. */
const char *options_choice(option which, size_t number);

/* Reads the item of --regions at text: range, the one before or {0, 0}, becomes that item's first
 * token and the one behind its last. Returns what follows it, a comma or the end; NULL for what
 * options_parse would refuse. */
const char *options_region(const char *text, size_t range[2]);

/* The options that name a file to write. */
enum { N_OUTPUTS = 4 };
extern const option options_outputs[N_OUTPUTS];

/* The text of --help. */
extern const char options_help[];

/* Prints "prunesid: SUBJECT: CAUSE" on standard error; returns EXIT_BAD_INPUT. */
int report(const char *subject, const char *format, ...);

#endif /* OPTIONS_H */
