/* command_line.c - what the tool can be asked for.   MIT licence. */
#define _XOPEN_SOURCE 700

#include "command_line.h"

#include "names.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- values of kinds that only this program has ------------------------------------------- */

static int is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int read_grid(const option *rule, option_value *value) {
    const char *at = value->text;
    for (int i = 0; i < 2; i++) {
        char *end;
        errno = 0;
        const unsigned long long side = is_digit(*at) ? strtoull(at, &end, 10) : 0;
        if (!is_digit(*at) || *end != (i == 0 ? 'x' : '\0'))
            return usage_error("%s: '%s' is not HxW, such as 24x24", rule->name, value->text);
        if (errno == ERANGE || side < 1 || side > INT_MAX)
            return report(rule->name, "each side must be between 1 and %d", INT_MAX);
        value->pair[i] = (size_t)side;
        at = end + 1;
    }
    return GO_ON;
}

/* Returns what follows the number, NULL if there is none; one that no matrix has is INT_MAX + 1. */
static const char *read_bound(const char *text, size_t *bound) {
    const int has_sign = *text == '-' || *text == '+';
    char *end;
    if (!is_digit(text[has_sign])) return NULL;
    const long long number = strtoll(text, &end, 10);
    *bound = number < 0 || number > INT_MAX ? (size_t)INT_MAX + 1 : (size_t)number;
    return end;
}

const char *next_region(const char *text, size_t range[2]) {
    const size_t behind = range[1];
    const char *end = read_bound(text, &range[0]);
    if (end != NULL && *end == ':') {
        end = read_bound(end + 1, &range[1]);
    } else {
        range[1] = behind + range[0];
        range[0] = behind;
    }
    return end != NULL && (*end == ',' || *end == '\0') ? end : NULL;
}

static int read_regions(const option *rule, option_value *value) {
    size_t before[2] = {0, 0}, range[2] = {0, 0};
    for (const char *item = value->text;;) {
        const char *const end = next_region(item, range);
        if (end == NULL)
            return usage_error(
                "%s: '%s' is not a list of FIRST:END or SIZE", rule->name, value->text);
        const char *const cause = range[0] > INT_MAX || range[1] > INT_MAX ? "is out of range"
                                  : range[1] == range[0]                   ? "is empty"
                                  : range[1] < range[0]                    ? "ends before it starts"
                                  : range[0] >= before[1]                  ? NULL
                                  : range[1] > before[0] ? "overlaps the region before it"
                                                         : "is out of order: regions ascend";
        if (cause != NULL) return report(rule->name, "'%.*s' %s", (int)(end - item), item, cause);
        value->number++;
        if (*end == '\0') return GO_ON;
        memcpy(before, range, sizeof before);
        item = end + 1;
    }
}

const char *policy_name(size_t number) {
    static const char *const names[] = {[PRUNESID_POSITIONS_KEEP] = "keep",
        [PRUNESID_POSITIONS_COMPACT] = "compact",
        [PRUNESID_POSITIONS_RENUMBER] = "renumber"};
    return number < sizeof names / sizeof *names ? names[number] : NULL;
}

static const char *policy_purpose(size_t number) {
    static const char *const purposes[] = {[PRUNESID_POSITIONS_KEEP] = "as they were",
        [PRUNESID_POSITIONS_COMPACT] =
            "what follows an image or region moves up behind its largest kept one",
        [PRUNESID_POSITIONS_RENUMBER] = "consecutive"};
    return purposes[number];
}

/* ---- the table ---------------------------------------------------------------------------- */

enum {
    IN_SELECT = 1 << COMMAND_SELECT,
    IN_BATCH = 1 << COMMAND_BATCH,
    IN_INFO = 1 << COMMAND_INFO,
    IN_PLOT = 1 << COMMAND_PLOT,
    IN_ONE = IN_SELECT | IN_PLOT,
    IN_MANY = IN_SELECT | IN_BATCH, /* select: with --regions */
    IN_ANY = IN_SELECT | IN_BATCH | IN_PLOT
};

static const char *const commands[] = {[COMMAND_SELECT] = "select",
    [COMMAND_BATCH] = "batch",
    [COMMAND_INFO] = "info",
    [COMMAND_PLOT] = "plot",
    [N_COMMANDS] = NULL};

static const option table[N_OPTIONS] = {
    [OPTION_KEEP] = {"--keep", "N",
        "tokens to keep of each image, reserved ones included (required)", option_count, .least = 1,
        .commands = IN_ANY, .required = IN_ANY, .heading = "select, batch, plot:"},
    [OPTION_PRESET] = {"--preset", "NAME", "the rules:", option_choice, .choice = preset_name,
        .purpose = preset_purpose, .commands = IN_ANY},
    [OPTION_SCORES] = {"--scores", "S.npy",
        "importance of each token, [T]; batch: [B, T], and every file must be good", option_text,
        .commands = IN_ANY},
    [OPTION_RESERVE] = {"--reserve", "R",
        "tokens inside N that are not in the file, such as a CLS row (default: the preset's)",
        option_count, .commands = IN_ANY},
    [OPTION_SVD] = {"--svd", "METHOD", "how principal components are found:", option_choice,
        .choice = svd_name, .commands = IN_ANY},
    [OPTION_JSON] = {"--json", NULL, "prints one JSON object", NULL, .commands = IN_ANY | IN_INFO},
    [OPTION_LOADINGS] = {"--loadings", "V.npy",
        "[T, K]: K principal components, in place of the SVD", option_text, .commands = IN_ONE,
        .heading = "select, plot:"},
    [OPTION_INDICES] = {"--indices", "OUT.npy", "writes the kept indices, int32 [n], ascending",
        option_text, .commands = IN_ONE},
    [OPTION_TOKENS] = {"--tokens", "OUT.npy",
        "writes the kept rows, [n, d], in the dtype of TOKENS.npy", option_text,
        .commands = IN_ONE},
    [OPTION_REGIONS] = {"--regions", "LIST",
        "prunes parts of the matrix (tiles, frames, images), each by itself with budget N: "
        "FIRST:END (END is the first token behind) or SIZE (starts where the one before ends), as "
        "in 0:576,600:1176 or 576,576. What is in no region is not kept. In the JSON a region is "
        "what select prints for it alone, but indices and order count in the whole matrix",
        read_regions, .commands = IN_SELECT, .heading = "select:"},
    [OPTION_POSITIONS] = {"--positions", "P.npy",
        "position ids of the tokens, [T], [3, T] or [4, T], int32 or int64; gives those of the "
        "kept tokens, and where the text that follows goes on",
        option_text, .commands = IN_SELECT},
    [OPTION_POLICY] = {"--policy", "NAME", "where they stand then:", option_choice,
        .choice = policy_name, .purpose = policy_purpose, .commands = IN_SELECT},
    [OPTION_POSITIONS_OUT] = {"--positions-out", "OUT.npy",
        "writes them, [n], [3, n] or [4, n], in the dtype of P.npy", option_text,
        .commands = IN_SELECT},
    [OPTION_WINDOW] = {"--window", "w",
        "w frames in a row of a file [B, T, d] are one image of w T tokens; the last window of a "
        "file may be shorter",
        option_count, .least = 1, .commands = IN_BATCH, .heading = "batch:"},
    [OPTION_PHI_REF] = {"--phi-ref", "X",
        "budgets N phi / X, whatever else is in the batch (--dynamic or not)", option_real,
        .commands = IN_BATCH},
    [OPTION_DYNAMIC] = {"--dynamic", NULL,
        "N is the mean: richer images get more, the total is exact", NULL, .commands = IN_MANY,
        .heading = "batch, select with --regions:"},
    [OPTION_MIN] = {"--min", "n",
        "least budget with --dynamic or --phi-ref; a budget always has room for one token beside "
        "the reserved ones",
        option_count, .commands = IN_MANY},
    [OPTION_MAX] = {"--max", "n", "largest budget with --dynamic or --phi-ref", option_count,
        .commands = IN_MANY},
    [OPTION_THREADS] = {"--threads", "n", "prunes n images or regions at a time: the same output",
        option_count, 1, .least = 1, .commands = IN_MANY},
    [OPTION_IMAGE] = {"--image", "PHOTO", "PNG or JPEG that the tokens come from", option_text,
        .commands = IN_PLOT, .required = IN_PLOT, .heading = "plot:"},
    [OPTION_GRID] = {"--grid", "HxW", "rows and columns of the tokens, in raster order", read_grid,
        .commands = IN_PLOT, .required = IN_PLOT},
    [OPTION_OUTPUT] = {"-o", "OUT.png", "the picture", option_text, .commands = IN_PLOT,
        .required = IN_PLOT},
};

const char *option_name(size_t which) {
    return table[which].name;
}

/* ---- what the line must be as a whole ----------------------------------------------------- */

const size_t output_options[N_OUTPUTS] = {
    OPTION_INDICES, OPTION_TOKENS, OPTION_POSITIONS_OUT, OPTION_OUTPUT};

static int check_files(const options *given) {
    const char *const command = commands[given->command];
    if (given->n_files == 0) return usage_error("%s needs a file of tokens", command);
    if (given->n_files > 1 && given->command != COMMAND_BATCH)
        return usage_error(
            "%s takes one file of tokens: for '%s' use batch", command, given->files[1]);
    return GO_ON;
}

/* What is taken with another option only, or not at all. */
static int check_company(const options *given) {
    static const size_t needs[][2] = {{OPTION_DYNAMIC, OPTION_REGIONS},
        {OPTION_MIN, OPTION_REGIONS}, {OPTION_MAX, OPTION_REGIONS},
        {OPTION_THREADS, OPTION_REGIONS}, {OPTION_POLICY, OPTION_POSITIONS},
        {OPTION_POSITIONS_OUT, OPTION_POSITIONS}};
    const option_value *const of = given->of;
    for (size_t i = 0; i < N_OPTIONS && given->command == COMMAND_BATCH; i++)
        if (of[i].given && table[i].commands == IN_ONE)
            return usage_error("%s is for one image: use select", table[i].name);
    for (size_t i = 0; i < sizeof needs / sizeof *needs && given->command == COMMAND_SELECT; i++)
        if (of[needs[i][0]].given && !of[needs[i][1]].given)
            return usage_error("%s is not an option of select without %s", table[needs[i][0]].name,
                table[needs[i][1]].name);
    if (of[OPTION_REGIONS].given && of[OPTION_LOADINGS].given)
        return usage_error("--loadings are for one image: they cannot go with --regions");
    if ((of[OPTION_MIN].given || of[OPTION_MAX].given) && !of[OPTION_DYNAMIC].given &&
        !of[OPTION_PHI_REF].given)
        return usage_error("--min and --max need --dynamic%s",
            given->command == COMMAND_BATCH ? " or --phi-ref" : "");
    return GO_ON;
}

/* Two names of one file: a link, or another way to write the path. */
static int are_same_file(const char *a, const char *b) {
    struct stat one, other;
    if (strcmp(a, b) == 0) return 1;
    if (stat(a, &one) != 0 || stat(b, &other) != 0) return 0;
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static int check_outputs(const options *given) {
    static const int inputs[] = {OPTION_SCORES, OPTION_LOADINGS, OPTION_POSITIONS, OPTION_IMAGE};
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        const char *const path = given->of[output_options[i]].text;
        const char *const name = table[output_options[i]].name;
        if (path == NULL) continue;
        if (strcmp(path, "-") == 0)
            return usage_error("%s needs a file: it is not written to standard output", name);
        for (size_t j = 0; j < i; j++) {
            const char *const other = given->of[output_options[j]].text;
            if (other != NULL && are_same_file(other, path))
                return usage_error(
                    "%s and %s name the same file", table[output_options[j]].name, name);
        }
        for (size_t f = 0; f < given->n_files; f++)
            if (are_same_file(given->files[f], path))
                return usage_error("%s names the tokens' own file %s", name, path);
        for (size_t j = 0; j < sizeof inputs / sizeof *inputs; j++) {
            const char *const input = given->of[inputs[j]].text;
            if (input != NULL && are_same_file(input, path))
                return usage_error("%s and %s name the same file", table[inputs[j]].name, name);
        }
    }
    return GO_ON;
}

static int check_line(const options *given) {
    int status = check_files(given);
    if (status == GO_ON) status = check_company(given);
    if (status == GO_ON) status = check_outputs(given);
    return status;
}

/* ---- the program -------------------------------------------------------------------------- */

#define VERSION_TEXT(major, minor, patch) #major "." #minor "." #patch
#define VERSION(major, minor, patch) VERSION_TEXT(major, minor, patch)

const options_program program = {
    .name = "prunesid",
    .version = VERSION(PRUNESID_VERSION_MAJOR, PRUNESID_VERSION_MINOR, PRUNESID_VERSION_PATCH),
    .about =
        "Keeps the visual tokens that matter and drops the rest (PruneSID, arXiv 2603.09480).\n"
        "\n"
        "usage:\n"
        "  prunesid select TOKENS.npy --keep N [options]            one image\n"
        "  prunesid batch A.npy B.npy ... --keep N [options]        several images\n"
        "  prunesid info TOKENS.npy [--json]                        how redundant is it?\n"
        "  prunesid plot TOKENS.npy --image PHOTO --grid HxW --keep N -o OUT.png [options]\n"
        "\n"
        "TOKENS.npy holds float16 or float32, [T, d]: T tokens of d channels, little-endian, C "
        "order.\n"
        "[1, T, d] is one image as well; batch takes [B, T, d] for B images.",
    .notes =
        "A bad file of a batch is named, in the JSON as well (\"failed\"); the others come out "
        "all the same.",
    .commands = commands,
    .table = table,
    .n_options = N_OPTIONS,
    .check = check_line,
};
