/* options.h - the command line of a program, read by a table.   MIT licence.
 *
 * A program says in a table which options it has; --help is printed from the same table, and that
 * of one command from the command's part of it. The values that it reads come in an array of the
 * table's length, in the table's order:
 *
 *     enum { OPTION_KEEP, OPTION_PRESET, N_OPTIONS };
 *     static const option table[N_OPTIONS] = {
 *         [OPTION_KEEP] = {"--keep", "N", "tokens to keep", option_count, 64, .least = 1},
 *         [OPTION_PRESET] = {"--preset", "NAME", "the rules", option_choice,
 *             .choice = preset_name},
 *     };
 *     const options_program program = {.name = "prune", .table = table, .n_options = N_OPTIONS};
 *     option_value values[N_OPTIONS];
 *     options given = {.of = values};
 *     const int status = options_parse(argc, argv, &given);
 *     if (status != GO_ON) return status;
 *
 * An error is one line on standard error that names the program, the option and the cause; where
 * the line as a whole is wrong, another says where to look. C99. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stddef.h>

/* Exit codes; GO_ON is none. */
enum { GO_ON = -1, EXIT_OK = 0, EXIT_BAD_INPUT = 1, EXIT_USAGE = 2 };

/* What was given for an option; number is the option's default until then. */
typedef struct option_value {
    int given;
    const char *text; /* as on the command line; NULL for a flag */
    size_t number;    /* a count; which choice; 1 for a flag that is given */
    double real;
    size_t pair[2]; /* for a program's own kind of value */
} option_value;

typedef struct option {
    const char *name;  /* as it is typed: "--keep", "-o" */
    const char *value; /* what --help calls its value; NULL for a flag */
    const char *help;
    /* Reads value->text into the rest of it: one of the functions below or one of the program's.
     * GO_ON, or the exit code after an error is printed. NULL for a flag. */
    int (*read)(const struct option *rule, option_value *value);
    size_t number;                         /* default */
    size_t least;                          /* of a count; the most is INT_MAX */
    const char *(*choice)(size_t number);  /* the names of choices from 0 on, then NULL */
    const char *(*purpose)(size_t number); /* a line about each choice in --help, or NULL */
    unsigned commands;                     /* one bit for each command that takes it */
    unsigned required;                     /* and for each that needs it */
    const char *heading;                   /* a line in front of it in --help, or NULL */
} option;

int option_text(const option *rule, option_value *value);
int option_count(const option *rule, option_value *value);  /* least to INT_MAX: number */
int option_real(const option *rule, option_value *value);   /* positive and finite: real */
int option_choice(const option *rule, option_value *value); /* number */

typedef struct options {
    size_t command;   /* its number; 0 if the program has none */
    option_value *of; /* [n_options], the caller's */
    char **files;     /* [n_files] other arguments, in their order: the front of argv */
    size_t n_files;
} options;

typedef struct options_program {
    const char *name;
    const char *version;         /* for --version; NULL: it has no such option */
    const char *about;           /* what --help prints in front of the options */
    const char *notes;           /* and behind them, or NULL */
    const char *const *commands; /* NULL-terminated; NULL: it has none, and takes no files */
    const char *const *usages;   /* a line for each command, or NULL: about has them */
    const option *table;         /* [n_options]; without commands, every option may be given */
    size_t n_options;
    /* What else the line must be, called before any value is read and before options are held
     * against the command: GO_ON or EXIT_USAGE. Or NULL. */
    int (*check)(const options *given);
} options_program;

/* Every program defines its own. */
extern const options_program program;

/* Parses the command line; arguments may change places in argv. GO_ON, or the exit code after
 * --help, --version, or standard error says what is wrong. What is wrong with the line as a whole,
 * EXIT_USAGE, wins over a bad value, EXIT_BAD_INPUT. */
int options_parse(int argc, char **argv, options *out);

/* Prints "PROGRAM: SUBJECT: CAUSE" on standard error; returns EXIT_BAD_INPUT. */
int report(const char *subject, const char *format, ...);

/* Prints "PROGRAM: CAUSE" and where to look; returns EXIT_USAGE. */
int usage_error(const char *format, ...);

/* A line on standard error, if that is a terminal, until the next one or an error takes its place;
 * NULL: none. */
void show_progress(const char *format, ...);

/* EXIT_OK if all of standard output is written: a full disk shows only here, and is reported. */
int finish_printing(void);

#endif /* OPTIONS_H */
