/* command_line.c - what the tool can be asked for.   MIT licence. */
#define _XOPEN_SOURCE 700

#include "command_line.h"

#include "names.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- values of kinds that only this program has ------------------------------------------- */

int is_digit(char c) {
    return c >= '0' && c <= '9';
}

size_t read_sides(const char *text, size_t sides[3]) {
    for (size_t n = 0; n < 3; n++) {
        char *end;
        if (!is_digit(*text)) return 0;
        errno = 0;
        const unsigned long long side = strtoull(text, &end, 10);
        sides[n] = errno == ERANGE || side > INT_MAX ? (size_t)INT_MAX + 1 : (size_t)side;
        if (*end == '\0') return n + 1;
        if (*end != 'x') return 0;
        text = end + 1;
    }
    return 0;
}

static int check_sides(const option *rule, const size_t *sides, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (sides[i] < 1 || sides[i] > INT_MAX)
            return report(rule->name, "each side must be between 1 and %d", INT_MAX);
    return GO_ON;
}

static int read_grid(const option *rule, option_value *value) {
    size_t sides[3];
    if (read_sides(value->text, sides) != 2)
        return usage_error("%s: '%s' is not HxW, such as 24x24", rule->name, value->text);
    memcpy(value->pair, sides, sizeof value->pair);
    return check_sides(rule, sides, 2);
}

static int read_shape(const option *rule, option_value *value) {
    size_t sides[3];
    const size_t n = read_sides(value->text, sides);
    if (n < 2)
        return usage_error(
            "%s: '%s' is not TxD or BxTxD, such as 576x1024", rule->name, value->text);
    return check_sides(rule, sides, n);
}

const char *next_budget(const char *text, budget_rule *rule) {
    const size_t digits = strspn(text + (*text == '-' || *text == '+'), "0123456789.");
    const char *const end = text + (*text == '-' || *text == '+') + digits;
    char *stop;
    rule->n_tokens = 0;
    rule->share = 0;
    if (digits == 0) return NULL;
    if (*end == '%') {
        const double percent = strtod(text, &stop);
        if (stop != end) return NULL;
        rule->share = percent > 0 && percent <= 100 ? percent / 100 : -1;
        return end[1] == ',' || end[1] == '\0' ? end + 1 : NULL;
    }
    const long long number = strtoll(text, &stop, 10);
    rule->n_tokens = number < 0 || number > INT_MAX ? (size_t)INT_MAX + 1 : (size_t)number;
    return stop == end && (*end == ',' || *end == '\0') ? end : NULL;
}

static int read_keep(const option *rule, option_value *value) {
    budget_rule item;
    for (const char *text = value->text;; text++) {
        text = next_budget(text, &item);
        if (text == NULL)
            return usage_error(
                "%s: '%s' is not a whole number or a percentage", rule->name, value->text);
        if (item.share < 0)
            return report(rule->name, "a share must be above 0%% and at most 100%%");
        if (!(item.share > 0) && (item.n_tokens < 1 || item.n_tokens > INT_MAX))
            return report(rule->name, "must be between 1 and %d", INT_MAX);
        if (*text == '\0') return GO_ON;
    }
}

static int read_weight(const option *rule, option_value *value) {
    char *end;
    value->real = strtod(value->text, &end);
    if (end == value->text || *end != '\0' || strchr(" \t\n\v\f\r", *value->text) != NULL)
        return usage_error("%s: '%s' is not a number", rule->name, value->text);
    return value->real >= 0 && value->real <= 1 ? GO_ON
                                                : report(rule->name, "must be between 0 and 1");
}

int is_index_list(const char *text) {
    if (text[strspn(text, "0123456789:,")] == '\0') return 1;
    return strcmp(text, "-") != 0 && strchr("+- \t0123456789", *text) != NULL &&
           access(text, F_OK) != 0;
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

const char *layout_name(size_t number) {
    static const char *const names[] = {[LAYOUT_AUTO] = "auto",
        [1 + PRUNESID_LAYOUT_1D] = "1d",
        [1 + PRUNESID_LAYOUT_MROPE] = "mrope",
        [1 + PRUNESID_LAYOUT_MROPE_TAG] = "mrope-tag",
        [1 + PRUNESID_LAYOUT_TEXT_MROPE] = "text-mrope"};
    return number < sizeof names / sizeof *names ? names[number] : NULL;
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

const char *method_name(size_t number) {
    static const char *const names[] = {
        [METHOD_PRUNESID] = "prunesid", [METHOD_UNIFORM] = "uniform"};
    return number < sizeof names / sizeof *names ? names[number] : NULL;
}

static const char *method_purpose(size_t number) {
    static const char *const purposes[] = {[METHOD_PRUNESID] = "by the rules of the preset",
        [METHOD_UNIFORM] = "every so many tokens, whatever they hold: the baseline to beat"};
    return purposes[number];
}

const char *dtype_name(size_t number) {
    static const char *const names[] = {
        [DTYPE_F32] = "f32", [DTYPE_F16] = "f16", [DTYPE_BF16] = "bf16", [DTYPE_F64] = "f64"};
    return number < sizeof names / sizeof *names ? names[number] : NULL;
}

/* ---- the table ---------------------------------------------------------------------------- */

enum {
    IN_SELECT = 1 << COMMAND_SELECT,
    IN_BATCH = 1 << COMMAND_BATCH,
    IN_INFO = 1 << COMMAND_INFO,
    IN_PLOT = 1 << COMMAND_PLOT,
    IN_SWEEP = 1 << COMMAND_SWEEP,
    IN_ONE = IN_SELECT | IN_PLOT,
    IN_MANY = IN_SELECT | IN_BATCH, /* select: with --regions */
    IN_ANY = IN_SELECT | IN_BATCH | IN_PLOT,
    IN_MOST = IN_ANY | IN_SWEEP,
    IN_ALL = IN_MOST | IN_INFO
};

static const char *const commands[] = {[COMMAND_SELECT] = "select",
    [COMMAND_BATCH] = "batch",
    [COMMAND_INFO] = "info",
    [COMMAND_PLOT] = "plot",
    [COMMAND_SWEEP] = "sweep",
    [N_COMMANDS] = NULL};

static const char *const usages[] = {
    [COMMAND_SELECT] = "prunesid select TOKENS.npy --keep N [options]            one image",
    [COMMAND_BATCH] = "prunesid batch A.npy B.npy ... --keep N [options]        several images",
    [COMMAND_INFO] =
        "prunesid info TOKENS.npy [options]                       how redundant is it?",
    [COMMAND_PLOT] =
        "prunesid plot TOKENS.npy --image PHOTO --grid HxW --keep N -o OUT.png [options]",
    [COMMAND_SWEEP] =
        "prunesid sweep TOKENS.npy ... [options]                  how many are enough?"};

static const option table[N_OPTIONS] = {
    [OPTION_KEEP] = {"--keep", "N",
        "tokens to keep of each image, reserved ones included, or a share of them, as in 25% "
        "(required but for sweep, which takes a list of both; without one it goes up to all)",
        read_keep, .commands = IN_MOST, .required = IN_ANY,
        .heading = "select, batch, plot, sweep:"},
    [OPTION_METHOD] = {"--method", NULL, "what chooses them", option_choice, .choice = method_name,
        .purpose = method_purpose, .commands = IN_MOST},
    [OPTION_PRESET] = {"--preset", NULL, "the rules", option_choice, .choice = preset_name,
        .purpose = preset_purpose, .commands = IN_MOST},
    [OPTION_SCORES] = {"--scores", "S.npy",
        "importance of each token, [T]; batch, sweep: [B, T], and every file must be good",
        option_text, .commands = IN_MOST},
    [OPTION_RESERVE] = {"--reserve", "R",
        "tokens inside N that are not in the file, such as a CLS row (default: the preset's)",
        option_count, .commands = IN_MOST},
    [OPTION_PROTECT] = {"--protect", "LIST",
        "tokens of each image that are kept in any case and count inside N: indices and ranges, as "
        "in 0,24,100:110 (110 is not one of them), or a file of int32 or int64",
        option_text, .commands = IN_MOST},
    [OPTION_REPRESENT] = {"--represent", NULL,
        "also finds the kept token that stands for each, of all or of its own group, how many each "
        "stands for, and the coverage: the mean cosine between the two",
        option_choice, .choice = scope_name, .commands = IN_MOST},
    [OPTION_SVD] = {"--svd", NULL, "how principal components are found", option_choice,
        .choice = svd_name, .commands = IN_MOST},
    [OPTION_MERGE] = {"--merge", "A",
        "the rows that are written become (1 - A) of their own and A of the mean of all that they "
        "stand for (--represent says of which); 0.5 is a good A",
        read_weight, .commands = IN_ANY, .heading = "select, batch, plot:"},
    [OPTION_LOADINGS] = {"--loadings", "V.npy",
        "[T, K]: K principal components, in place of the SVD", option_text, .commands = IN_ONE,
        .heading = "select, plot:"},
    [OPTION_INDICES] = {"--indices", "OUT.npy", "writes the kept indices, int32 [n], ascending",
        option_text, .commands = IN_ONE},
    [OPTION_TOKENS] = {"--tokens", "OUT.npy",
        "writes the kept rows, [n, d], in the dtype of TOKENS.npy (float64: as float32, bfloat16: "
        "as uint16)",
        option_text, .commands = IN_ONE},
    [OPTION_REGIONS] = {"--regions", "LIST",
        "prunes parts of the matrix (tiles, frames, images), each by itself with budget N: "
        "FIRST:END (END is the first token behind) or SIZE (starts where the one before ends), as "
        "in 0:576,600:1176 or 576,576. What is in no region is not kept. In the JSON a region is "
        "what select prints for it alone, but indices, order and representatives count in the "
        "whole matrix",
        read_regions, .commands = IN_SELECT, .heading = "select:"},
    [OPTION_POSITIONS] = {"--positions", "P.npy",
        "position ids of the tokens, [T], [3, T] or [4, T], int32 or int64; gives those of the "
        "kept tokens, and where the text that follows goes on",
        option_text, .commands = IN_SELECT},
    [OPTION_LAYOUT] = {"--layout", NULL,
        "what the sections are; auto: [4, T] is text, t, h, w unless its last is all zeros, a tag",
        option_choice, .choice = layout_name, .commands = IN_SELECT},
    [OPTION_POLICY] = {"--policy", NULL, "where they stand then", option_choice,
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
    [OPTION_OUT_DIR] = {"--out-dir", "DIR",
        "writes DIR/NAME.indices.npy and DIR/NAME.tokens.npy of each image as it goes, with memory "
        "for a few files at a time; NAME is the file's (where two are the same, the path's, with _ "
        "for /), and of a file with several images NAME.0, NAME.1, ... If it is stopped, what is "
        "there is whole",
        option_text, .commands = IN_BATCH},
    [OPTION_JSONL] = {"--jsonl", NULL, "prints one JSON object a line and image, as it goes", NULL,
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
    [OPTION_TEXT] = {"--text", "n", "text tokens of the prompt, which the prefill has as well",
        option_count, 64, .commands = IN_SWEEP, .heading = "sweep:"},
    [OPTION_OUTPUT] = {"-o", "OUT.png",
        "plot: the picture, PNG; sweep: the curve, SVG or PNG as the name ends", option_text,
        .commands = IN_PLOT | IN_SWEEP, .required = IN_PLOT, .heading = "plot, sweep:"},
    [OPTION_ITEM] = {"--item", "i", "takes image i of a file [B, T, d], counted from 0",
        option_count, .commands = IN_ALL, .heading = "every command:"},
    [OPTION_DTYPE] = {"--dtype", NULL,
        "what 16-bit integers stand for (bf16 or f16), or a raw file's numbers", option_choice,
        .choice = dtype_name, .commands = IN_ALL},
    [OPTION_SHAPE] = {"--shape", "TxD",
        "the files hold numbers and no header: T tokens of D channels, or BxTxD", read_shape,
        .commands = IN_ALL},
    [OPTION_JSON] = {"--json", NULL, "prints one JSON object", NULL, .commands = IN_ALL},
};

const char *option_name(size_t which) {
    return table[which].name;
}

/* ---- what the line must be as a whole ----------------------------------------------------- */

const size_t output_options[N_OUTPUTS] = {
    OPTION_INDICES, OPTION_TOKENS, OPTION_POSITIONS_OUT, OPTION_OUTPUT};

const size_t input_options[N_INPUTS] = {
    OPTION_SCORES, OPTION_LOADINGS, OPTION_POSITIONS, OPTION_PROTECT, OPTION_IMAGE};

static int check_files(const options *given) {
    const char *const command = commands[given->command];
    if (given->n_files == 0) return usage_error("%s needs a file of tokens", command);
    if (given->n_files > 1 && given->command != COMMAND_BATCH && given->command != COMMAND_SWEEP)
        return usage_error(
            "%s takes one file of tokens: for '%s' use batch", command, given->files[1]);
    return GO_ON;
}

static int is_uniform(const option_value *of) {
    const char *const method = of[OPTION_METHOD].text;
    return method != NULL && strcmp(method, method_name(METHOD_UNIFORM)) == 0;
}

/* What is taken with another option only, or not at all. */
static int check_company(const options *given) {
    static const size_t needs[][2] = {{OPTION_DYNAMIC, OPTION_REGIONS},
        {OPTION_MIN, OPTION_REGIONS}, {OPTION_MAX, OPTION_REGIONS},
        {OPTION_THREADS, OPTION_REGIONS}, {OPTION_LAYOUT, OPTION_POSITIONS},
        {OPTION_POLICY, OPTION_POSITIONS}, {OPTION_POSITIONS_OUT, OPTION_POSITIONS}};
    static const size_t ours[] = {OPTION_SCORES, OPTION_LOADINGS, OPTION_SVD};
    const option_value *const of = given->of;
    for (size_t i = 0; i < N_OPTIONS && given->command == COMMAND_BATCH; i++)
        if (of[i].given && table[i].commands == IN_ONE)
            return usage_error("%s is for one image: use select", table[i].name);
    for (size_t i = 0; i < sizeof needs / sizeof *needs && given->command == COMMAND_SELECT; i++)
        if (of[needs[i][0]].given && !of[needs[i][1]].given)
            return usage_error("%s is not an option of select without %s", table[needs[i][0]].name,
                table[needs[i][1]].name);
    for (size_t i = 0; i < sizeof ours / sizeof *ours && is_uniform(of); i++)
        if (of[ours[i]].given)
            return usage_error("--method uniform does not use %s", table[ours[i]].name);
    if (is_uniform(of) && of[OPTION_REPRESENT].given &&
        strcmp(of[OPTION_REPRESENT].text, scope_name(PRUNESID_SCOPE_GROUP)) == 0)
        return usage_error("--method uniform has no groups: use --represent all");
    if (of[OPTION_MERGE].given && !of[OPTION_TOKENS].given && !of[OPTION_OUT_DIR].given)
        return usage_error("--merge needs %s, where the merged rows go",
            table[given->command == COMMAND_BATCH ? OPTION_OUT_DIR : OPTION_TOKENS].name);
    if (of[OPTION_JSON].given && of[OPTION_JSONL].given)
        return usage_error("--json is one object, --jsonl one for each image: take one of them");
    if (given->command != COMMAND_SWEEP && of[OPTION_KEEP].text != NULL &&
        strchr(of[OPTION_KEEP].text, ',') != NULL)
        return usage_error("--keep: '%s' is a list: only sweep takes one", of[OPTION_KEEP].text);
    if (of[OPTION_REGIONS].given && of[OPTION_LOADINGS].given)
        return usage_error("--loadings are for one image: they cannot go with --regions");
    if ((of[OPTION_MIN].given || of[OPTION_MAX].given) && !of[OPTION_DYNAMIC].given &&
        !of[OPTION_PHI_REF].given)
        return usage_error("--min and --max need --dynamic%s",
            given->command == COMMAND_BATCH ? " or --phi-ref" : "");
    return GO_ON;
}

int are_same_file(const char *a, const char *b) {
    struct stat one, other;
    if (strcmp(a, b) == 0) return 1;
    if (stat(a, &one) != 0 || stat(b, &other) != 0) return 0;
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* Standard input can be read once. */
static int check_inputs(const options *given) {
    static const size_t inputs[] = {
        OPTION_SCORES, OPTION_LOADINGS, OPTION_POSITIONS, OPTION_PROTECT};
    size_t n = 0;
    for (size_t f = 0; f < given->n_files; f++) n += strcmp(given->files[f], "-") == 0;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        n += given->of[inputs[i]].given && strcmp(given->of[inputs[i]].text, "-") == 0;
    return n <= 1 ? GO_ON : usage_error("standard input, -, is named twice");
}

const char standard_output[] = "/dev/stdout";

/* Whatever path calls it; of a device that forgets what it gets it does not matter. */
static int is_output(const char *path) {
    struct stat file, out;
    if (path == NULL || path == standard_output) return path != NULL;
    if (stat(path, &file) != 0 || fstat(STDOUT_FILENO, &out) != 0) return 0;
    return file.st_dev == out.st_dev && file.st_ino == out.st_ino &&
           (!S_ISCHR(out.st_mode) || isatty(STDOUT_FILENO));
}

int writes_to_output(const option_value *of) {
    for (size_t i = 0; i < N_OUTPUTS; i++)
        if (is_output(of[output_options[i]].text)) return 1;
    return 0;
}

static int check_outputs(const options *given) {
    size_t n_there = 0;
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        option_value *const output = &given->of[output_options[i]];
        if (output->text != NULL && strcmp(output->text, "-") == 0) output->text = standard_output;
        if (!is_output(output->text)) continue;
        if (given->of[OPTION_JSON].given || n_there++ > 0)
            return usage_error("%s: standard output is taken by %s", table[output_options[i]].name,
                given->of[OPTION_JSON].given ? "--json" : "another file");
    }
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        const char *const path = given->of[output_options[i]].text;
        const char *const name = table[output_options[i]].name;
        if (path == NULL) continue;
        for (size_t j = 0; j < i; j++) {
            const char *const other = given->of[output_options[j]].text;
            if (other != NULL && are_same_file(other, path))
                return usage_error(
                    "%s and %s name the same file", table[output_options[j]].name, name);
        }
        for (size_t f = 0; f < given->n_files; f++)
            if (are_same_file(given->files[f], path))
                return usage_error("%s names the tokens' own file %s", name, path);
        for (size_t j = 0; j < N_INPUTS; j++) {
            const char *const input = given->of[input_options[j]].text;
            if (input != NULL && are_same_file(input, path))
                return usage_error(
                    "%s and %s name the same file", table[input_options[j]].name, name);
        }
    }
    return GO_ON;
}

static int check_line(const options *given) {
    int status = check_files(given);
    if (status == GO_ON) status = check_company(given);
    if (status == GO_ON) status = check_inputs(given);
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
        "TOKENS.npy holds T tokens of d channels, [T, d], little-endian float16, float32 or "
        "float64,\n"
        "or bfloat16 as uint16 with --dtype bf16. [B, T, d] is B images: batch and sweep take "
        "all,\n"
        "--item one. - is standard input, and as a file to write standard output.",
    .notes = "A bad file of a batch or sweep is named, in the JSON as well (\"failed\"); the "
             "others come "
             "out\nall the same.",
    .commands = commands,
    .usages = usages,
    .table = table,
    .n_options = N_OPTIONS,
    .check = check_line,
};
