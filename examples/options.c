/* options.c - the command line of the prunesid tool.   MIT licence. */
#define _XOPEN_SOURCE 700

#include "options.h"

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char options_help[] =
    "Keeps the visual tokens that matter and drops the rest (PruneSID, arXiv 2603.09480).\n"
    "\n"
    "usage:\n"
    "  prunesid select TOKENS.npy --keep N [options]            one image\n"
    "  prunesid batch A.npy B.npy ... --keep N [options]        several images\n"
    "  prunesid info TOKENS.npy [--json]                        how redundant is it?\n"
    "  prunesid plot TOKENS.npy --image PHOTO --grid HxW --keep N -o OUT.png [options]\n"
    "\n"
    "TOKENS.npy holds float16 or float32, [T, d]: T tokens of d channels, little-endian, C order.\n"
    "[1, T, d] is one image as well; batch takes [B, T, d] for B images.\n"
    "\n"
    "select, batch, plot:\n"
    "  --keep N          tokens to keep of each image, reserved ones included (required)\n"
    "  --preset NAME     auto, paper, llava or qwen2vl: the rules (auto: llava's with --scores,\n"
    "                    qwen2vl's without)\n"
    "  --scores S.npy    importance of each token, [T]; batch: [B, T], and every file must be "
    "good\n"
    "  --reserve R       tokens inside N that are not in the file, such as a CLS row\n"
    "                    (llava: 1, others: 0)\n"
    "  --svd METHOD      krylov (default, converged), exact, or sketch (approximate)\n"
    "  --seed S          of the SVD's start block (default 0)\n"
    "  --json            prints one JSON object\n"
    "select, plot:\n"
    "  --loadings V.npy  [T, K]: K principal components, in place of the SVD\n"
    "  --indices OUT.npy writes the kept indices, int32 [n], ascending\n"
    "  --tokens OUT.npy  writes the kept rows, [n, d], in the dtype of TOKENS.npy\n"
    "select:\n"
    "  --regions LIST    prunes parts of the matrix (tiles, frames, images), each by itself with\n"
    "                    budget N: FIRST:END (END is the first token behind) or SIZE (starts "
    "where\n"
    "                    the one before ends), as in 0:576,600:1176 or 576,576. What is in no\n"
    "                    region is not kept. In the JSON a region is what select prints for it\n"
    "                    alone, but indices and order count in the whole matrix\n"
    "  --positions P.npy position ids of the tokens, [T], [3, T] or [4, T], int32 or int64; gives\n"
    "                    those of the kept tokens, and where the text that follows goes on\n"
    "  --policy NAME     keep: as they were (default); compact: what follows an image or region\n"
    "                    moves up behind its largest kept position; renumber: consecutive\n"
    "  --positions-out OUT.npy\n"
    "                    writes them, [n], [3, n] or [4, n], in the dtype of P.npy\n"
    "batch:\n"
    "  --window w        w frames in a row of a file [B, T, d] are one image of w T tokens; the\n"
    "                    last window of a file may be shorter\n"
    "  --phi-ref X       budgets N phi / X, whatever else is in the batch (--dynamic or not)\n"
    "batch, select with --regions:\n"
    "  --dynamic         N is the mean: richer images get more, the total is exact\n"
    "  --min n, --max n  limits of a budget with --dynamic or --phi-ref; a budget always has\n"
    "                    room for one token beside the reserved ones\n"
    "  --threads n       prunes n images or regions at a time (default 1): the same output\n"
    "plot:\n"
    "  --image PHOTO     PNG or JPEG that the tokens come from\n"
    "  --grid HxW        rows and columns of the tokens, in raster order\n"
    "  -o OUT.png        the picture\n"
    "\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 done, 1 a bad file or value, 2 a usage error. A bad file of a batch is named,\n"
    "in the JSON as well (\"failed\"); the others come out all the same.\n";

/* ---- what may be given where -------------------------------------------------------------- */

typedef enum value_kind {
    VALUE_NONE,
    VALUE_TEXT,
    VALUE_COUNT, /* least to INT_MAX */
    VALUE_SEED,
    VALUE_REAL, /* positive, finite */
    VALUE_CHOICE,
    VALUE_GRID,
    VALUE_REGIONS
} value_kind;

enum {
    IN_SELECT = 1 << COMMAND_SELECT,
    IN_BATCH = 1 << COMMAND_BATCH,
    IN_INFO = 1 << COMMAND_INFO,
    IN_PLOT = 1 << COMMAND_PLOT,
    IN_ONE = IN_SELECT | IN_PLOT,
    IN_MANY = IN_SELECT | IN_BATCH, /* select: with --regions */
    IN_ANY = IN_SELECT | IN_BATCH | IN_PLOT
};

typedef struct option_rule {
    const char *name;
    value_kind kind;
    int commands;               /* that accept it */
    int required;               /* commands that need it */
    size_t least;               /* VALUE_COUNT */
    const char *const *choices; /* VALUE_CHOICE, NULL-terminated */
} option_rule;

static const char *const command_names[N_COMMANDS] = {"select", "batch", "info", "plot"};

/* In the order of prunesid_preset and of prunesid_svd: a choice's number is the enumerator. */
static const char *const preset_names[] = {"auto", "paper", "llava", "qwen2vl", NULL};
static const char *const svd_names[] = {"krylov", "exact", "sketch", NULL};

/* In the order of prunesid_position_policy. */
static const char *const policy_names[] = {"keep", "compact", "renumber", NULL};

static const option_rule rules[N_OPTIONS] = {
    [OPTION_KEEP] = {"--keep", VALUE_COUNT, IN_ANY, IN_ANY, 1, NULL},
    [OPTION_PRESET] = {"--preset", VALUE_CHOICE, IN_ANY, 0, 0, preset_names},
    [OPTION_SCORES] = {"--scores", VALUE_TEXT, IN_ANY, 0, 0, NULL},
    [OPTION_LOADINGS] = {"--loadings", VALUE_TEXT, IN_ONE, 0, 0, NULL},
    [OPTION_REGIONS] = {"--regions", VALUE_REGIONS, IN_SELECT, 0, 0, NULL},
    [OPTION_POSITIONS] = {"--positions", VALUE_TEXT, IN_SELECT, 0, 0, NULL},
    [OPTION_POLICY] = {"--policy", VALUE_CHOICE, IN_SELECT, 0, 0, policy_names},
    [OPTION_POSITIONS_OUT] = {"--positions-out", VALUE_TEXT, IN_SELECT, 0, 0, NULL},
    [OPTION_RESERVE] = {"--reserve", VALUE_COUNT, IN_ANY, 0, 0, NULL},
    [OPTION_SVD] = {"--svd", VALUE_CHOICE, IN_ANY, 0, 0, svd_names},
    [OPTION_SEED] = {"--seed", VALUE_SEED, IN_ANY, 0, 0, NULL},
    [OPTION_INDICES] = {"--indices", VALUE_TEXT, IN_ONE, 0, 0, NULL},
    [OPTION_TOKENS] = {"--tokens", VALUE_TEXT, IN_ONE, 0, 0, NULL},
    [OPTION_JSON] = {"--json", VALUE_NONE, IN_ANY | IN_INFO, 0, 0, NULL},
    [OPTION_WINDOW] = {"--window", VALUE_COUNT, IN_BATCH, 0, 1, NULL},
    [OPTION_THREADS] = {"--threads", VALUE_COUNT, IN_MANY, 0, 1, NULL},
    [OPTION_DYNAMIC] = {"--dynamic", VALUE_NONE, IN_MANY, 0, 0, NULL},
    [OPTION_PHI_REF] = {"--phi-ref", VALUE_REAL, IN_BATCH, 0, 0, NULL},
    [OPTION_MIN] = {"--min", VALUE_COUNT, IN_MANY, 0, 0, NULL},
    [OPTION_MAX] = {"--max", VALUE_COUNT, IN_MANY, 0, 0, NULL},
    [OPTION_IMAGE] = {"--image", VALUE_TEXT, IN_PLOT, IN_PLOT, 0, NULL},
    [OPTION_GRID] = {"--grid", VALUE_GRID, IN_PLOT, IN_PLOT, 0, NULL},
    [OPTION_OUTPUT] = {"-o", VALUE_TEXT, IN_PLOT, IN_PLOT, 0, NULL},
    [OPTION_HELP] = {"--help", VALUE_NONE, IN_ANY | IN_INFO, 0, 0, NULL},
    [OPTION_VERSION] = {"--version", VALUE_NONE, IN_ANY | IN_INFO, 0, 0, NULL},
};

const char *options_name(option which) {
    return rules[which].name;
}

const char *options_choice(option which, size_t number) {
    return rules[which].choices[number];
}

/* ---- errors ------------------------------------------------------------------------------- */

int report(const char *subject, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "prunesid: %s: ", subject);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return EXIT_BAD_INPUT;
}

static int usage_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("prunesid: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\nsee 'prunesid --help'\n", stderr);
    va_end(arguments);
    return EXIT_USAGE;
}

/* ---- values ------------------------------------------------------------------------------- */

static int is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Decimal digits after an optional sign: returns what follows them, NULL if there are none. Too
 * large a number is a number all the same: it saturates and fails its range check. */
static const char *scan_integer(
    const char *text, int *negative, uint64_t *magnitude, int *overflow) {
    const char *const digits = text + (*text == '-' || *text == '+');
    if (!is_digit(*digits)) {
        return NULL;
    }
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(digits, &end, 10);
    *overflow = errno == ERANGE || value > UINT64_MAX;
    *magnitude = *overflow ? UINT64_MAX : (uint64_t)value;
    *negative = *text == '-' && *magnitude > 0;
    return end;
}

static int scan_count(const option_rule *rule, const char *text, option_value *value) {
    int negative = 0, overflow = 0;
    uint64_t magnitude = 0;
    const char *const end = scan_integer(text, &negative, &magnitude, &overflow);
    if (end == NULL || *end != '\0') {
        return usage_error("%s: '%s' is not a whole number", rule->name, text);
    }
    if (negative || magnitude < rule->least || magnitude > INT_MAX) {
        return report(rule->name, "must be between %zu and %d", rule->least, INT_MAX);
    }
    value->number = (size_t)magnitude;
    return EXIT_OK;
}

static int scan_seed(const option_rule *rule, const char *text, option_value *value) {
    int negative = 0, overflow = 0;
    const char *const end = scan_integer(text, &negative, &value->seed, &overflow);
    if (end == NULL || *end != '\0') {
        return usage_error("%s: '%s' is not a whole number", rule->name, text);
    }
    if (negative || overflow) {
        return report(rule->name, "must be between 0 and 18446744073709551615");
    }
    return EXIT_OK;
}

static int scan_real(const option_rule *rule, const char *text, option_value *value) {
    char *end;
    value->real = strtod(text, &end);
    if (end == text || *end != '\0' || strchr(" \t\n\v\f\r", *text) != NULL) {
        return usage_error("%s: '%s' is not a number", rule->name, text);
    }
    if (!(value->real > 0 && value->real <= DBL_MAX)) {
        return report(rule->name, "must be positive and finite");
    }
    return EXIT_OK;
}

static int scan_choice(const option_rule *rule, const char *text, option_value *value) {
    for (size_t i = 0; rule->choices[i] != NULL; i++) {
        if (strcmp(text, rule->choices[i]) == 0) {
            value->number = i;
            return EXIT_OK;
        }
    }
    return usage_error("%s: unknown choice '%s'", rule->name, text);
}

static int scan_grid(const option_rule *rule, const char *text, option_value *value) {
    unsigned long long side[2];
    const char *at = text;
    for (int i = 0; i < 2; i++) {
        char *end;
        errno = 0;
        side[i] = is_digit(*at) ? strtoull(at, &end, 10) : 0;
        if (!is_digit(*at) || *end != (i == 0 ? 'x' : '\0')) {
            return usage_error("%s: '%s' is not HxW, such as 24x24", rule->name, text);
        }
        if (errno == ERANGE || side[i] < 1 || side[i] > INT_MAX) {
            return report(rule->name, "each side must be between 1 and %d", INT_MAX);
        }
        value->grid[i] = (size_t)side[i];
        at = end + 1;
    }
    return EXIT_OK;
}

/* Returns what follows the number, NULL if there is none; one that no matrix has is INT_MAX + 1. */
static const char *take_bound(const char *text, size_t *bound) {
    int negative = 0, overflow = 0;
    uint64_t magnitude = 0;
    const char *const end = scan_integer(text, &negative, &magnitude, &overflow);
    *bound = negative || magnitude > INT_MAX ? (size_t)INT_MAX + 1 : (size_t)magnitude;
    return end;
}

const char *options_region(const char *text, size_t range[2]) {
    const size_t behind = range[1];
    const char *end = take_bound(text, &range[0]);
    if (end != NULL && *end == ':') {
        end = take_bound(end + 1, &range[1]);
    } else {
        range[1] = behind + range[0];
        range[0] = behind;
    }
    return end != NULL && (*end == ',' || *end == '\0') ? end : NULL;
}

static int scan_regions(const option_rule *rule, const char *text, option_value *value) {
    size_t before[2] = {0, 0}, range[2] = {0, 0};
    for (const char *item = text;;) {
        const char *const end = options_region(item, range);
        if (end == NULL) {
            return usage_error("%s: '%s' is not a list of FIRST:END or SIZE", rule->name, text);
        }
        const char *const cause = range[0] > INT_MAX || range[1] > INT_MAX ? "is out of range"
                                  : range[1] == range[0]                   ? "is empty"
                                  : range[1] < range[0]                    ? "ends before it starts"
                                  : range[0] >= before[1]                  ? NULL
                                  : range[1] > before[0] ? "overlaps the region before it"
                                                         : "is out of order: regions ascend";
        if (cause != NULL) {
            return report(rule->name, "'%.*s' %s", (int)(end - item), item, cause);
        }
        value->number++;
        if (*end == '\0') {
            return EXIT_OK;
        }
        memcpy(before, range, sizeof before);
        item = end + 1;
    }
}

static int scan_value(const option_rule *rule, option_value *value) {
    switch (rule->kind) {
    case VALUE_COUNT:
        return scan_count(rule, value->text, value);
    case VALUE_SEED:
        return scan_seed(rule, value->text, value);
    case VALUE_REAL:
        return scan_real(rule, value->text, value);
    case VALUE_CHOICE:
        return scan_choice(rule, value->text, value);
    case VALUE_GRID:
        return scan_grid(rule, value->text, value);
    case VALUE_REGIONS:
        return scan_regions(rule, value->text, value);
    case VALUE_NONE:
    case VALUE_TEXT:
        break;
    }
    return EXIT_OK;
}

/* ---- arguments ---------------------------------------------------------------------------- */

/* The option that argument names, as "--name" or "--name=value"; N_OPTIONS if none. */
static option find_option(const char *argument) {
    const size_t length = strcspn(argument, "=");
    for (int i = 0; i < N_OPTIONS; i++) {
        if (strlen(rules[i].name) == length && strncmp(argument, rules[i].name, length) == 0) {
            return (option)i;
        }
    }
    return N_OPTIONS;
}

static int check_place(const option_rule *rule, command place) {
    const int commands = rule->commands;
    if (commands & (1 << place)) {
        return EXIT_OK;
    }
    if (place == COMMAND_BATCH && commands == IN_ONE) {
        return usage_error("%s is for one image: use select", rule->name);
    }
    return usage_error("%s is not an option of %s", rule->name, command_names[place]);
}

/* Takes the option at argv[*at], and its value; *at moves behind it. */
static int take_option(int argc, char **argv, int *at, options *out) {
    const char *const argument = argv[(*at)++];
    const option which = find_option(argument);
    if (which == N_OPTIONS) {
        return usage_error("unknown option '%s'", argument);
    }
    const option_rule *const rule = &rules[which];
    option_value *const value = &out->of[which];
    const char *const inlined = strchr(argument, '=');
    if (check_place(rule, out->command) != EXIT_OK) {
        return EXIT_USAGE;
    }
    if (value->given) {
        return usage_error("%s is given twice", rule->name);
    }
    value->given = 1;
    if (rule->kind == VALUE_NONE) {
        return inlined == NULL ? EXIT_OK : usage_error("%s takes no value", rule->name);
    }
    if (inlined == NULL && *at == argc) {
        return usage_error("%s needs a value", rule->name);
    }
    value->text = inlined != NULL ? inlined + 1 : argv[(*at)++];
    return *value->text != '\0' ? EXIT_OK : usage_error("%s needs a value", rule->name);
}

/* Splits argv into options and files. Files move to the front of argv, in their order. */
static int take_arguments(int argc, char **argv, options *out) {
    int only_files = 0;
    for (int at = 0; at < argc;) {
        if (!only_files && strcmp(argv[at], "--") == 0) {
            only_files = 1;
            at++;
        } else if (!only_files && argv[at][0] == '-' && argv[at][1] != '\0') {
            const int status = take_option(argc, argv, &at, out);
            if (status != EXIT_OK) {
                return status;
            }
        } else {
            out->files[out->n_files++] = argv[at++];
        }
    }
    return EXIT_OK;
}

static int check_files(const options *given) {
    if (given->n_files == 0) {
        return usage_error("%s needs a file of tokens", command_names[given->command]);
    }
    if (given->n_files > 1 && given->command != COMMAND_BATCH) {
        return usage_error("%s takes one file of tokens: for '%s' use batch",
            command_names[given->command], given->files[1]);
    }
    return EXIT_OK;
}

const option options_outputs[N_OUTPUTS] = {
    OPTION_INDICES, OPTION_TOKENS, OPTION_POSITIONS_OUT, OPTION_OUTPUT};

static int check_outputs(const options *given) {
    const option *const outputs = options_outputs;
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        if (given->of[outputs[i]].text != NULL && strcmp(given->of[outputs[i]].text, "-") == 0) {
            return usage_error(
                "%s needs a file: it is not written to standard output", rules[outputs[i]].name);
        }
        for (size_t j = 0; j < i; j++) {
            const char *const a = given->of[outputs[j]].text;
            const char *const b = given->of[outputs[i]].text;
            if (a != NULL && b != NULL && strcmp(a, b) == 0) {
                return usage_error(
                    "%s and %s name the same file", rules[outputs[j]].name, rules[outputs[i]].name);
            }
        }
    }
    return EXIT_OK;
}

/* What select takes with another option only. */
static int check_company(const options *given) {
    static const option needs[][2] = {{OPTION_DYNAMIC, OPTION_REGIONS},
        {OPTION_MIN, OPTION_REGIONS}, {OPTION_MAX, OPTION_REGIONS},
        {OPTION_THREADS, OPTION_REGIONS}, {OPTION_POLICY, OPTION_POSITIONS},
        {OPTION_POSITIONS_OUT, OPTION_POSITIONS}};
    for (size_t i = 0; i < sizeof needs / sizeof *needs && given->command == COMMAND_SELECT; i++) {
        if (given->of[needs[i][0]].given && !given->of[needs[i][1]].given) {
            return usage_error("%s is not an option of select without %s", rules[needs[i][0]].name,
                rules[needs[i][1]].name);
        }
    }
    if (given->of[OPTION_REGIONS].given && given->of[OPTION_LOADINGS].given) {
        return usage_error("--loadings are for one image: they cannot go with --regions");
    }
    return EXIT_OK;
}

static int check_together(const options *given) {
    const option_value *const of = given->of;
    for (int i = 0; i < N_OPTIONS; i++) {
        if ((rules[i].required & (1 << given->command)) && !of[i].given) {
            return usage_error("%s needs %s", command_names[given->command], rules[i].name);
        }
    }
    if ((of[OPTION_MIN].given || of[OPTION_MAX].given) && !of[OPTION_DYNAMIC].given &&
        !of[OPTION_PHI_REF].given) {
        return usage_error("--min and --max need --dynamic%s",
            given->command == COMMAND_BATCH ? " or --phi-ref" : "");
    }
    return EXIT_OK;
}

/* After the checks above: what is wrong with the line as a whole wins over one bad value. */
static int check_values(options *given) {
    for (int i = 0; i < N_OPTIONS; i++) {
        const int status = given->of[i].given ? scan_value(&rules[i], &given->of[i]) : EXIT_OK;
        if (status != EXIT_OK) {
            return status;
        }
    }
    return EXIT_OK;
}

/* --help and --version stand alone as well as behind a command. */
static int take_command(const char *argument, options *out) {
    const option alone = find_option(argument);
    if (alone == OPTION_HELP || alone == OPTION_VERSION) {
        out->of[alone].given = 1;
        return EXIT_OK;
    }
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argument, command_names[i]) == 0) {
            out->command = (command)i;
            return EXIT_OK;
        }
    }
    return usage_error("unknown command '%s'", argument);
}

static int wants_text(const options *given) {
    return given->of[OPTION_HELP].given || given->of[OPTION_VERSION].given;
}

int options_parse(int argc, char **argv, options *out) {
    memset(out, 0, sizeof *out);
    if (argc < 2) {
        return usage_error("no command");
    }
    int status = take_command(argv[1], out);
    if (status != EXIT_OK || wants_text(out)) {
        return status;
    }
    out->files = argv + 2;
    status = take_arguments(argc - 2, argv + 2, out);
    if (status != EXIT_OK || wants_text(out)) {
        return status;
    }
    if (check_files(out) != EXIT_OK || check_company(out) != EXIT_OK ||
        check_together(out) != EXIT_OK || check_outputs(out) != EXIT_OK) {
        return EXIT_USAGE;
    }
    return check_values(out);
}
