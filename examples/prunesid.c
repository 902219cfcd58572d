/* prunesid.c - the command-line tool: prunes the tokens in .npy files.   MIT licence.
 *
 * Every command loads and checks all of its input, then computes, writes its files beside their
 * places, prints, and last puts the files in place, so that an error leaves nothing half done. See prunesid --help. */
#define _XOPEN_SOURCE 700

#include "npy.h"
#include "options.h"
#include "plot.h"
#include "prunesid.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CAUSE_BYTES = 256 };

/* One image's tokens: a slice of a file. */
typedef struct image {
    const char *path;
    prunesid_tokens tokens;
    const float *scores; /* [T] or NULL */
} image;

typedef struct inputs {
    npy_array *files; /* [n_files], each [B, T, d] */
    size_t n_files;
    image *images; /* [n_images] in the order of the files */
    size_t n_images;
    float *scores;   /* of all images, or NULL */
    float *loadings; /* [T, n_loadings], or NULL */
    size_t n_loadings;
} inputs;

typedef struct selection {
    prunesid_config config;
    prunesid_output output; /* owns its arrays */
    double milliseconds;
} selection;

/* ---- memory ------------------------------------------------------------------------------- */

/* Zeroed memory; a command-line tool has nothing better to do without it than to stop. */
static void *allocate(size_t n_items, size_t item_bytes) {
    void *const memory = calloc(n_items > 0 ? n_items : 1, item_bytes);
    if (memory == NULL) {
        exit(
            report("memory", "%zu items of %zu bytes could not be allocated", n_items, item_bytes));
    }
    return memory;
}

static void *allocate_workspace(size_t n_bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, PRUNESID_ALIGNMENT, n_bytes > 0 ? n_bytes : 1) != 0) {
        exit(report("memory", "a workspace of %zu bytes could not be allocated", n_bytes));
    }
    return memory;
}

/* ---- input files -------------------------------------------------------------------------- */

static prunesid_dtype dtype_of(const npy_array *array) {
    return array->item_bytes == 2 ? PRUNESID_F16 : PRUNESID_F32;
}

static const char *shape_text(const size_t *shape, int n_dims, char text[CAUSE_BYTES]) {
    size_t length = (size_t)snprintf(text, CAUSE_BYTES, "[");
    for (int i = 0; i < n_dims; i++) {
        length += (size_t)snprintf(
            text + length, CAUSE_BYTES - length, i > 0 ? ", %zu" : "%zu", shape[i]);
    }
    snprintf(text + length, CAUSE_BYTES - length, "]");
    return text;
}

static int load_floats(const char *path, npy_array *array) {
    char cause[CAUSE_BYTES];
    if (npy_load(path, array, cause, sizeof cause) != 0) {
        return report(path, "%s", cause);
    }
    if (array->kind != 'f') {
        return report(path, "the dtype is an integer's: save float16 or float32");
    }
    return EXIT_OK;
}

/* Refuses what the library would, but says where in the file it is. */
static int check_numbers(const char *path, const npy_array *array) {
    const size_t dim = array->shape[array->n_dims - 1];
    const size_t n_rows = array->n_items / (dim > 0 ? dim : 1);
    const prunesid_tokens view = prunesid_tokens_view(array->data, dtype_of(array), n_rows, dim);
    size_t row = 0, column = 0;
    const prunesid_status status = prunesid_tokens_check(&view, &row, &column);
    if (status == PRUNESID_OK) {
        return EXIT_OK;
    }
    if (status != PRUNESID_ERROR_TOKENS_NOT_FINITE) {
        return report(path, "%s", prunesid_status_string(status));
    }
    if (array->n_dims == 1) {
        return report(path, "element %zu is not finite", column);
    }
    if (array->n_dims == 2) {
        return report(path, "row %zu, column %zu is not finite", row, column);
    }
    return report(path, "image %zu, row %zu, column %zu is not finite", row / array->shape[1],
        row % array->shape[1], column);
}

/* Loads [T, d] or [B, T, d], always as [B, T, d]. */
static int load_tokens(const char *path, int one_image, npy_array *array) {
    char shape[CAUSE_BYTES];
    if (load_floats(path, array) != EXIT_OK) {
        return EXIT_BAD_INPUT;
    }
    shape_text(array->shape, array->n_dims, shape);
    if (array->n_dims != 2 && array->n_dims != 3) {
        return report(path, "the shape is %s, not [tokens, channels]", shape);
    }
    if (one_image && array->n_dims == 3 && array->shape[0] > 1) {
        return report(path, "the shape is %s, several images: use batch", shape);
    }
    if (check_numbers(path, array) != EXIT_OK) {
        return EXIT_BAD_INPUT;
    }
    if (array->n_dims == 2) {
        memmove(array->shape + 1, array->shape, 2 * sizeof array->shape[0]);
        array->shape[0] = 1;
        array->n_dims = 3;
    }
    return EXIT_OK;
}

static void list_images(const options *given, inputs *in) {
    for (size_t f = 0; f < in->n_files; f++) {
        in->n_images += in->files[f].shape[0];
    }
    in->images = (image *)allocate(in->n_images, sizeof *in->images);
    image *next = in->images;
    for (size_t f = 0; f < in->n_files; f++) {
        const npy_array *const file = &in->files[f];
        const size_t image_bytes = file->shape[1] * file->shape[2] * file->item_bytes;
        for (size_t b = 0; b < file->shape[0]; b++, next++) {
            next->path = given->files[f];
            next->tokens = prunesid_tokens_view((const char *)file->data + b * image_bytes,
                dtype_of(file), file->shape[1], file->shape[2]);
        }
    }
}

static float *to_floats(const npy_array *array) {
    float *const values = (float *)allocate(array->n_items, sizeof *values);
    for (size_t i = 0; i < array->n_items; i++) {
        values[i] = npy_float_at(array, i);
    }
    return values;
}

/* [T] for one image; a batch has [B, T] and so needs images of one size. */
static int check_scores_shape(
    const char *path, const npy_array *array, const inputs *in, command which) {
    const size_t wanted[2] = {in->n_images, in->images[0].tokens.n_tokens};
    const int is_list = array->n_dims == 1 && in->n_images == 1;
    const int is_table = array->n_dims == 2 && which == COMMAND_BATCH;
    const int skipped = which != COMMAND_BATCH || is_list; /* dimensions of wanted */
    char have[CAUSE_BYTES], want[CAUSE_BYTES];
    for (size_t b = 1; b < in->n_images; b++) {
        if (in->images[b].tokens.n_tokens != wanted[1]) {
            return report(path,
                "scores of a batch need images of one size, not of %zu and %zu tokens", wanted[1],
                in->images[b].tokens.n_tokens);
        }
    }
    if ((is_list || is_table) &&
        memcmp(array->shape, wanted + skipped, (size_t)array->n_dims * sizeof *wanted) == 0) {
        return EXIT_OK;
    }
    return report(path, "the shape is %s, but the tokens need %s",
        shape_text(array->shape, array->n_dims, have),
        shape_text(wanted + skipped, 2 - skipped, want));
}

static int load_scores(const char *path, command which, inputs *in) {
    npy_array array;
    int status = load_floats(path, &array);
    if (status == EXIT_OK) {
        status = check_scores_shape(path, &array, in, which);
    }
    if (status == EXIT_OK) {
        status = check_numbers(path, &array);
    }
    if (status == EXIT_OK) {
        in->scores = to_floats(&array);
        for (size_t b = 0; b < in->n_images; b++) {
            in->images[b].scores = in->scores + b * in->images[b].tokens.n_tokens;
        }
    }
    npy_free(&array);
    return status;
}

static int load_loadings(const char *path, inputs *in) {
    const size_t n_tokens = in->images[0].tokens.n_tokens;
    char shape[CAUSE_BYTES];
    npy_array array;
    int status = load_floats(path, &array);
    if (status == EXIT_OK &&
        (array.n_dims != 2 || array.shape[0] != n_tokens || array.shape[1] == 0)) {
        status = report(path, "the shape is %s, but the tokens need [%zu, groups]",
            shape_text(array.shape, array.n_dims, shape), n_tokens);
    }
    if (status == EXIT_OK) {
        status = check_numbers(path, &array);
    }
    if (status == EXIT_OK) {
        in->loadings = to_floats(&array);
        in->n_loadings = array.shape[1];
    }
    npy_free(&array);
    return status;
}

static int load_inputs(const options *given, inputs *in) {
    const option_value *const of = given->of;
    in->n_files = given->n_files;
    in->files = (npy_array *)allocate(in->n_files, sizeof *in->files);
    for (size_t f = 0; f < in->n_files; f++) {
        if (load_tokens(given->files[f], given->command != COMMAND_BATCH, &in->files[f]) !=
            EXIT_OK) {
            return EXIT_BAD_INPUT;
        }
    }
    list_images(given, in);
    if (of[OPTION_SCORES].given &&
        load_scores(of[OPTION_SCORES].text, given->command, in) != EXIT_OK) {
        return EXIT_BAD_INPUT;
    }
    return of[OPTION_LOADINGS].given ? load_loadings(of[OPTION_LOADINGS].text, in) : EXIT_OK;
}

static void free_inputs(inputs *in) {
    for (size_t f = 0; f < in->n_files; f++) {
        npy_free(&in->files[f]);
    }
    free(in->files);
    free(in->images);
    free(in->scores);
    free(in->loadings);
}

/* ---- pruning ------------------------------------------------------------------------------ */

static double milliseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static prunesid_config make_config(
    const options *given, const prunesid_tokens *tokens, size_t budget) {
    const option_value *const of = given->of;
    prunesid_config config = prunesid_config_init(
        (prunesid_preset)of[OPTION_PRESET].number, tokens->n_tokens, tokens->dim, budget);
    config.svd = (prunesid_svd)of[OPTION_SVD].number;
    config.seed = of[OPTION_SEED].seed;
    if (of[OPTION_RESERVE].given) {
        config.reserved = of[OPTION_RESERVE].number;
    }
    return config;
}

static size_t reserved_rows(const options *given) {
    const prunesid_tokens none = {0};
    return make_config(given, &none, 1).reserved;
}

static int information_of(const options *given, const image *of, prunesid_information *out) {
    const prunesid_config config = make_config(given, &of->tokens, reserved_rows(given) + 1);
    const size_t n_bytes = prunesid_workspace_size(&config);
    void *const workspace = allocate_workspace(n_bytes);
    const prunesid_status status =
        prunesid_redundancy(&config, &of->tokens, workspace, n_bytes, out);
    free(workspace);
    return status == PRUNESID_OK ? EXIT_OK : report(of->path, "%s", prunesid_status_string(status));
}

static prunesid_status run_selection(const inputs *in, const image *of, selection *out) {
    const size_t n_bytes = prunesid_workspace_size(&out->config);
    void *const workspace = allocate_workspace(n_bytes);
    const double start = milliseconds_now();
    const prunesid_status status =
        in->loadings == NULL
            ? prunesid_select(
                  &out->config, &of->tokens, of->scores, workspace, n_bytes, &out->output)
            : prunesid_select_from_loadings(&out->config, &of->tokens, in->loadings, in->n_loadings,
                  of->scores, workspace, n_bytes, &out->output);
    out->milliseconds = milliseconds_now() - start;
    free(workspace);
    return status;
}

/* Every command prunes every image through here. */
static int prune(
    const options *given, const inputs *in, const image *of, size_t budget, selection *out) {
    out->config = make_config(given, &of->tokens, budget);
    out->config.n_groups = in->n_loadings;
    const size_t n_kept = prunesid_n_kept(&out->config);
    out->output = prunesid_output_init((int32_t *)allocate(n_kept, sizeof(int32_t)));
    out->output.order = (int32_t *)allocate(n_kept, sizeof(int32_t));
    out->output.group = (int32_t *)allocate(of->tokens.n_tokens, sizeof(int32_t));
    const prunesid_status status = run_selection(in, of, out);
    return status == PRUNESID_OK ? EXIT_OK : report(of->path, "%s", prunesid_status_string(status));
}

static void free_selection(selection *one) {
    free(one->output.indices);
    free(one->output.order);
    free(one->output.group);
}

/* ---- budgets ------------------------------------------------------------------------------ */

static size_t smallest_budget(const options *given) {
    const size_t least = reserved_rows(given) + 1;
    const size_t wanted = given->of[OPTION_MIN].number;
    return wanted > least ? wanted : least;
}

static size_t largest_budget(const options *given) {
    return given->of[OPTION_MAX].given ? given->of[OPTION_MAX].number : INT_MAX;
}

static int check_budgets(const options *given) {
    const option_value *const of = given->of;
    const size_t reserved = reserved_rows(given);
    if (of[OPTION_KEEP].number <= reserved) {
        return report(options_name(of[OPTION_RESERVE].given ? OPTION_RESERVE : OPTION_KEEP),
            "%zu reserved leave no token in a budget of %zu", reserved, of[OPTION_KEEP].number);
    }
    if (largest_budget(given) <= reserved) {
        return report(options_name(OPTION_MAX), "%zu reserved leave no token in a budget of %zu",
            reserved, of[OPTION_MAX].number);
    }
    if (smallest_budget(given) > largest_budget(given)) {
        return report(options_name(OPTION_MIN), "%zu is above --max, %zu", of[OPTION_MIN].number,
            of[OPTION_MAX].number);
    }
    return EXIT_OK;
}

/* Budgets that share B * N: an image's depends on the others. */
static prunesid_status share_budget(
    const options *given, const double *phi, size_t n_images, size_t *budgets) {
    size_t *const limits = (size_t *)allocate(2 * n_images, sizeof *limits);
    for (size_t b = 0; b < n_images; b++) {
        limits[b] = smallest_budget(given);
        limits[n_images + b] = largest_budget(given);
    }
    const prunesid_status status = prunesid_budgets(
        phi, n_images, given->of[OPTION_KEEP].number, limits, limits + n_images, budgets);
    free(limits);
    return status;
}

static prunesid_status rate_budgets(
    const options *given, const double *phi, size_t n_images, size_t *budgets) {
    prunesid_status status = PRUNESID_OK;
    for (size_t b = 0; b < n_images && status == PRUNESID_OK; b++) {
        status =
            prunesid_budget(phi[b], given->of[OPTION_PHI_REF].real, given->of[OPTION_KEEP].number,
                smallest_budget(given), largest_budget(given), &budgets[b]);
    }
    return status;
}

static int dynamic_budgets(const options *given, const inputs *in, size_t *budgets) {
    double *const phi = (double *)allocate(in->n_images, sizeof *phi);
    int status = EXIT_OK;
    for (size_t b = 0; b < in->n_images && status == EXIT_OK; b++) {
        prunesid_information information = {0};
        status = information_of(given, &in->images[b], &information);
        phi[b] = information.phi;
    }
    if (status == EXIT_OK) {
        const prunesid_status shared = given->of[OPTION_PHI_REF].given
                                           ? rate_budgets(given, phi, in->n_images, budgets)
                                           : share_budget(given, phi, in->n_images, budgets);
        if (shared != PRUNESID_OK) {
            status = report(options_name(OPTION_KEEP), "%s", prunesid_status_string(shared));
        }
    }
    free(phi);
    return status;
}

static int choose_budgets(const options *given, const inputs *in, size_t *budgets) {
    if (given->of[OPTION_DYNAMIC].given || given->of[OPTION_PHI_REF].given) {
        return dynamic_budgets(given, in, budgets);
    }
    for (size_t b = 0; b < in->n_images; b++) {
        budgets[b] = given->of[OPTION_KEEP].number;
    }
    return EXIT_OK;
}

/* ---- printing ----------------------------------------------------------------------------- */

static void print_list(const char *name, const int32_t *values, size_t n_values) {
    printf(", \"%s\": [", name);
    for (size_t i = 0; i < n_values; i++) {
        printf(i > 0 ? ", %d" : "%d", (int)values[i]);
    }
    putchar(']');
}

static const char *preset_name(const selection *one) {
    return options_choice(OPTION_PRESET, one->output.stats.preset);
}

/* NMS has a threshold only where something was pruned. */
static const char *tau_text(
    const selection *one, const char *format, const char *none, char text[CAUSE_BYTES]) {
    snprintf(text, CAUSE_BYTES, format, one->output.stats.tau);
    return one->output.stats.n_groups > 0 ? text : none;
}

static void print_json(const selection *one) {
    const prunesid_output *const output = &one->output;
    const prunesid_stats *const stats = &output->stats;
    char tau[CAUSE_BYTES];
    printf("{\"tokens\": %zu, \"dim\": %zu, \"budget\": %zu, \"preset\": \"%s\", \"reserved\": %zu",
        one->config.n_tokens, one->config.dim, one->config.budget, preset_name(one),
        one->config.reserved);
    printf(", \"keep\": %zu, \"groups\": %zu, \"rho\": %.17g, \"phi\": %.17g, \"tau\": %s"
           ", \"survivors\": %zu",
        output->n_kept, stats->n_groups, stats->rho, stats->phi,
        tau_text(one, "%.17g", "null", tau), stats->n_survivors);
    print_list("indices", output->indices, output->n_kept);
    print_list("order", output->order, output->n_kept);
    print_list("group", output->group, one->config.n_tokens);
    putchar('}');
}

static void print_summary(const selection *one) {
    const prunesid_output *const output = &one->output;
    const prunesid_stats *const stats = &output->stats;
    char tau[CAUSE_BYTES];
    printf("kept       %zu of %zu tokens of %zu channels in %.1f ms\n", output->n_kept,
        one->config.n_tokens, one->config.dim, one->milliseconds);
    printf("preset     %s, budget %zu, reserved %zu\n", preset_name(one), one->config.budget,
        one->config.reserved);
    printf("rho, phi   %.4f, %.4f\n", stats->rho, stats->phi);
    printf("tau        %s\n", tau_text(one, "%.4f", "none", tau));
    printf("groups     %zu\n", stats->n_groups);
    printf("survivors  %zu\n", stats->n_survivors);
    printf("indices   ");
    for (size_t i = 0; i < output->n_kept; i++) {
        printf(" %d", (int)output->indices[i]);
    }
    putchar('\n');
}

/* A full disk shows only here. */
static int finish_printing(void) {
    return fflush(stdout) == 0 && !ferror(stdout)
               ? EXIT_OK
               : report("standard output", "%s", strerror(errno));
}

/* ---- output files ------------------------------------------------------------------------- */

static int stage_tokens(const char *path, const image *of, const selection *one, npy_staged *out,
    char cause[CAUSE_BYTES]) {
    const int is_half = of->tokens.dtype == PRUNESID_F16;
    const size_t row_bytes = of->tokens.dim * (is_half ? 2 : 4);
    const size_t shape[2] = {one->output.n_kept, of->tokens.dim};
    void *const rows = allocate(one->output.n_kept, row_bytes);
    const prunesid_status status = prunesid_gather(of->tokens.data, of->tokens.n_tokens, row_bytes,
        row_bytes, one->output.indices, one->output.n_kept, rows, row_bytes);
    snprintf(cause, CAUSE_BYTES, "%s", prunesid_status_string(status));
    const int result = status != PRUNESID_OK ? -1
                                             : npy_stage_array(path, is_half ? "<f2" : "<f4", 2,
                                                   shape, rows, out, cause, CAUSE_BYTES);
    free(rows);
    return result;
}

/* Writes what is asked for beside where it belongs: nothing that was there is touched yet. */
static int stage_outputs(const options *given, const image *of, const selection *one,
    const plot_png *png, npy_staged staged[N_OUTPUTS]) {
    const prunesid_output *const output = &one->output;
    char cause[CAUSE_BYTES];
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        const char *const path = given->of[options_outputs[i]].text;
        const int failed =
            path == NULL ? 0
            : options_outputs[i] == OPTION_INDICES
                ? npy_stage_array(path, "<i4", 1, &output->n_kept, output->indices, &staged[i],
                      cause, CAUSE_BYTES)
            : options_outputs[i] == OPTION_TOKENS
                ? stage_tokens(path, of, one, &staged[i], cause)
                : npy_stage(path, png->bytes, png->n_bytes, "", 0, &staged[i], cause, CAUSE_BYTES);
        if (failed) {
            return report(path, "%s", cause);
        }
    }
    return EXIT_OK;
}

static int commit_outputs(const options *given, npy_staged staged[N_OUTPUTS]) {
    char cause[CAUSE_BYTES];
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        if (staged[i].temporary != NULL && npy_commit(&staged[i], cause, CAUSE_BYTES) != 0) {
            return report(given->of[options_outputs[i]].text, "%s", cause);
        }
    }
    return EXIT_OK;
}

/* ---- the picture -------------------------------------------------------------------------- */

static int check_grid(const options *given, const image *of) {
    const size_t *const grid = given->of[OPTION_GRID].grid;
    if (grid[0] > of->tokens.n_tokens || grid[0] * grid[1] != of->tokens.n_tokens) {
        return report(options_name(OPTION_GRID), "%s does not give the %zu tokens of %s",
            given->of[OPTION_GRID].text, of->tokens.n_tokens, of->path);
    }
    return EXIT_OK;
}

static int draw(const options *given, const selection *one, plot_png *png) {
    enum { N_FACTS = 5 };
    const prunesid_stats *const stats = &one->output.stats;
    char title[CAUSE_BYTES], texts[N_FACTS][2 * CAUSE_BYTES];
    char tau[CAUSE_BYTES], cause[CAUSE_BYTES];
    const char *facts[N_FACTS];
    snprintf(
        title, sizeof title, "%zu of %zu tokens kept", one->output.n_kept, one->config.n_tokens);
    snprintf(texts[0], sizeof texts[0], "preset %s", preset_name(one));
    snprintf(texts[1], sizeof texts[1], "rho %.3f", stats->rho);
    snprintf(texts[2], sizeof texts[2], "phi %.3f", stats->phi);
    snprintf(texts[3], sizeof texts[3], "tau %s", tau_text(one, "%.3f", "none", tau));
    snprintf(texts[4], sizeof texts[4], "groups %zu", stats->n_groups);
    for (size_t i = 0; i < N_FACTS; i++) {
        facts[i] = texts[i];
    }
    const option_value *const of = given->of;
    const plot_request request = {.photo = of[OPTION_IMAGE].text,
        .n_rows = of[OPTION_GRID].grid[0],
        .n_columns = of[OPTION_GRID].grid[1],
        .group = one->output.group,
        .indices = one->output.indices,
        .n_kept = one->output.n_kept,
        .n_groups = stats->n_groups,
        .title = title,
        .facts = facts,
        .n_facts = N_FACTS};
    int blames_photo = 0;
    if (plot_draw(&request, png, &blames_photo, cause, sizeof cause) == 0) {
        return EXIT_OK;
    }
    return report(blames_photo ? request.photo : options_name(OPTION_GRID), "%s", cause);
}

/* ---- commands ----------------------------------------------------------------------------- */

/* Files take their place last, when even the printing has succeeded: all of them or none. */
static int save_and_print(
    const options *given, const image *of, const selection *one, const plot_png *png) {
    npy_staged staged[N_OUTPUTS] = {{NULL, NULL}};
    int status = stage_outputs(given, of, one, png, staged);
    if (status == EXIT_OK) {
        if (given->of[OPTION_JSON].given) {
            print_json(one);
            putchar('\n');
        } else {
            print_summary(one);
        }
        status = finish_printing();
    }
    if (status == EXIT_OK) {
        status = commit_outputs(given, staged);
    }
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        npy_discard(&staged[i]);
    }
    return status;
}

/* select, and plot: which is select with a picture. */
static int run_one(const options *given, const inputs *in) {
    const image *const only = &in->images[0];
    const int plots = given->command == COMMAND_PLOT;
    selection one = {0};
    plot_png png = {NULL, 0};
    int status = plots ? check_grid(given, only) : EXIT_OK;
    if (status == EXIT_OK) {
        status = prune(given, in, only, given->of[OPTION_KEEP].number, &one);
    }
    if (status == EXIT_OK && plots) {
        status = draw(given, &one, &png);
    }
    if (status == EXIT_OK) {
        status = save_and_print(given, only, &one, &png);
    }
    free_selection(&one);
    free(png.bytes);
    return status;
}

static void print_batch_json(const inputs *in, const selection *selections, const size_t *budgets) {
    printf("{\"budgets\": [");
    for (size_t b = 0; b < in->n_images; b++) {
        printf(b > 0 ? ", %zu" : "%zu", budgets[b]);
    }
    printf("], \"images\": [");
    for (size_t b = 0; b < in->n_images; b++) {
        printf("%s", b > 0 ? ", " : "");
        print_json(&selections[b]);
    }
    printf("]}\n");
}

static void print_batch_summary(const inputs *in, const selection *selections) {
    for (size_t b = 0; b < in->n_images; b++) {
        printf("%simage %zu: %s\n", b > 0 ? "\n" : "", b, in->images[b].path);
        print_summary(&selections[b]);
    }
}

static int run_batch(const options *given, const inputs *in) {
    size_t *const budgets = (size_t *)allocate(in->n_images, sizeof *budgets);
    selection *const selections = (selection *)allocate(in->n_images, sizeof *selections);
    int status = choose_budgets(given, in, budgets);
    for (size_t b = 0; b < in->n_images && status == EXIT_OK; b++) {
        status = prune(given, in, &in->images[b], budgets[b], &selections[b]);
    }
    if (status == EXIT_OK) {
        if (given->of[OPTION_JSON].given) {
            print_batch_json(in, selections, budgets);
        } else {
            print_batch_summary(in, selections);
        }
        status = finish_printing();
    }
    for (size_t b = 0; b < in->n_images; b++) {
        free_selection(&selections[b]);
    }
    free(selections);
    free(budgets);
    return status;
}

static void print_values(const npy_array *array) {
    double sum = 0, least = npy_float_at(array, 0), most = least;
    for (size_t i = 0; i < array->n_items; i++) {
        const double value = npy_float_at(array, i);
        sum += value;
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    printf("values     mean %.4g, from %.4g to %.4g\n", sum / (double)array->n_items, least, most);
}

static int run_info(const options *given, const inputs *in) {
    const image *const only = &in->images[0];
    const prunesid_tokens *const tokens = &only->tokens;
    const char *const dtype = tokens->dtype == PRUNESID_F16 ? "float16" : "float32";
    prunesid_information information = {0};
    if (information_of(given, only, &information) != EXIT_OK) {
        return EXIT_BAD_INPUT;
    }
    if (given->of[OPTION_JSON].given) {
        printf("{\"tokens\": %zu, \"dim\": %zu, \"dtype\": \"%s\", \"rho\": %.17g"
               ", \"phi\": %.17g, \"nonzero\": %zu}\n",
            tokens->n_tokens, tokens->dim, dtype, information.rho, information.phi,
            information.n_nonzero);
    } else {
        printf("tokens     %zu of %zu channels, %s, %zu image\n", tokens->n_tokens, tokens->dim,
            dtype, in->n_images);
        printf("rho, phi   %.4f, %.4f\n", information.rho, information.phi);
        printf("nonzero    %zu tokens\n", information.n_nonzero);
        print_values(&in->files[0]);
    }
    return finish_printing();
}

static int run(const options *given) {
    inputs in = {0};
    int status = given->command == COMMAND_INFO ? EXIT_OK : check_budgets(given);
    if (status == EXIT_OK) {
        status = load_inputs(given, &in);
    }
    if (status == EXIT_OK) {
        status = given->command == COMMAND_BATCH  ? run_batch(given, &in)
                 : given->command == COMMAND_INFO ? run_info(given, &in)
                                                  : run_one(given, &in);
    }
    free_inputs(&in);
    return status;
}

int main(int argc, char **argv) {
    options given;
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a failed write, not a death */
    const int status = options_parse(argc, argv, &given);
    if (status != EXIT_OK) {
        return status;
    }
    if (given.of[OPTION_HELP].given) {
        fputs(options_help, stdout);
        return finish_printing();
    }
    if (given.of[OPTION_VERSION].given) {
        printf("prunesid %d.%d.%d\n", PRUNESID_VERSION_MAJOR, PRUNESID_VERSION_MINOR,
            PRUNESID_VERSION_PATCH);
        return finish_printing();
    }
    return run(&given);
}
