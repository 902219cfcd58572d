/* prunesid.c - the command-line tool: prunes the tokens in .npy files.   MIT licence.
 *
 * Every command loads and checks all of its input, then computes, writes its files beside their
 * places, prints, and last puts the files in place, so that an error leaves nothing half done. A
 * batch leaves out what is no good and says so. See prunesid --help. */
#define _XOPEN_SOURCE 700

#include "npy.h"
#include "options.h"
#include "plot.h"
#include "prunesid.h"
#include "threads.h"

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CAUSE_BYTES = 256 };

/* What is pruned by itself: a slice of a file. An image, a window of frames or a region. */
typedef struct image {
    const char *path;
    size_t file;   /* its number */
    size_t number; /* of this image in its file */
    size_t first;  /* the number of its first token among those of all files */
    prunesid_tokens tokens;
    const float *scores; /* [T] or NULL */
} image;

typedef struct inputs {
    npy_array *files; /* [n_files], each [B, T, d]; empty: no good */
    size_t n_files, n_failed;
    image *images; /* [n_images] in the order of the files */
    size_t n_images;
    size_t n_tokens; /* of all files */
    float *scores;   /* [n_tokens], or NULL */
    float *loadings; /* [T, n_loadings], or NULL */
    size_t n_loadings;
    npy_array positions; /* [T] or [sections, T], or empty */
} inputs;

typedef struct selection {
    prunesid_config config;
    prunesid_information information; /* if it was measured */
    prunesid_output output;
    prunesid_status status;
} selection;

/* The selections of all images. */
typedef struct job {
    const inputs *in;
    selection *selections; /* [n_images] */
    int32_t *indices;      /* [n_tokens] room for the outputs' */
    int32_t *order, *group;
    unsigned char *scratch; /* the workspaces of all workers */
    size_t scratch_bytes;   /* of each */
} job;

/* What select leaves of the whole file. */
typedef struct outcome {
    prunesid_tokens tokens; /* before */
    const int32_t *indices; /* [n_kept] */
    size_t n_kept;
    npy_array positions; /* of the kept tokens, or empty */
    int64_t next_position;
} outcome;

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

static void *allocate_workspace(size_t n_workers, size_t n_bytes) {
    void *memory = NULL;
    if (n_bytes > SIZE_MAX / n_workers ||
        posix_memalign(&memory, PRUNESID_ALIGNMENT, n_bytes > 0 ? n_workers * n_bytes : 1) != 0) {
        exit(report(
            "memory", "%zu workspaces of %zu bytes could not be allocated", n_workers, n_bytes));
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

static int explain(char cause[CAUSE_BYTES], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cause, CAUSE_BYTES, format, arguments);
    va_end(arguments);
    return EXIT_BAD_INPUT;
}

/* Loaders give their cause to the caller, who knows what else there is to say. */
static int load_kind(const char *path, char kind, npy_array *array, char cause[CAUSE_BYTES]) {
    if (npy_load(path, array, cause, CAUSE_BYTES) != 0) {
        return EXIT_BAD_INPUT;
    }
    if (array->kind != kind) {
        return explain(cause, "the dtype '<%c%zu' is %s", array->kind, array->item_bytes,
            kind == 'f' ? "an integer's: save float16 or float32"
                        : "a real number's: save int32 or int64");
    }
    return EXIT_OK;
}

/* Refuses what the library would, but says where in the file it is. */
static int check_numbers(const npy_array *array, char cause[CAUSE_BYTES]) {
    const size_t dim = array->shape[array->n_dims - 1];
    const size_t n_rows = array->n_items / (dim > 0 ? dim : 1);
    const prunesid_tokens view = prunesid_tokens_view(array->data, dtype_of(array), n_rows, dim);
    size_t row = 0, column = 0;
    const prunesid_status status = prunesid_tokens_check(&view, &row, &column);
    if (status == PRUNESID_OK) {
        return EXIT_OK;
    }
    if (status != PRUNESID_ERROR_TOKENS_NOT_FINITE) {
        return explain(cause, "%s", prunesid_status_string(status));
    }
    if (array->n_dims == 1) {
        return explain(cause, "element %zu is not finite", column);
    }
    if (array->n_dims == 2) {
        return explain(cause, "row %zu, column %zu is not finite", row, column);
    }
    return explain(cause, "image %zu, row %zu, column %zu is not finite", row / array->shape[1],
        row % array->shape[1], column);
}

/* Loads [T, d] or [B, T, d], always as [B, T, d]. */
static int load_tokens(const char *path, int one_image, npy_array *array, char cause[CAUSE_BYTES]) {
    char shape[CAUSE_BYTES];
    if (load_kind(path, 'f', array, cause) != EXIT_OK) {
        return EXIT_BAD_INPUT;
    }
    shape_text(array->shape, array->n_dims, shape);
    if (array->n_dims != 2 && array->n_dims != 3) {
        return explain(cause, "the shape is %s, not [tokens, channels]", shape);
    }
    if (one_image && array->n_dims == 3 && array->shape[0] > 1) {
        return explain(cause, "the shape is %s, several images: use batch", shape);
    }
    if (check_numbers(array, cause) != EXIT_OK) {
        return EXIT_BAD_INPUT;
    }
    if (array->n_dims == 2) {
        memmove(array->shape + 1, array->shape, 2 * sizeof array->shape[0]);
        array->shape[0] = 1;
        array->n_dims = 3;
    }
    return EXIT_OK;
}

/* A batch does without what is no good, unless nobody then knows which image has which scores. */
static int load_files(const options *given, inputs *in) {
    const int is_batch = given->command == COMMAND_BATCH;
    const int need_all = !is_batch || given->of[OPTION_SCORES].given;
    char cause[CAUSE_BYTES];
    in->n_files = given->n_files;
    in->files = (npy_array *)allocate(in->n_files, sizeof *in->files);
    for (size_t f = 0; f < in->n_files; f++) {
        if (load_tokens(given->files[f], !is_batch, &in->files[f], cause) == EXIT_OK) {
            continue;
        }
        in->n_failed++;
        npy_free(&in->files[f]);
        report(given->files[f], "%s%s", cause,
            is_batch && need_all ? " (--scores needs every file)" : "");
        if (need_all) {
            return EXIT_BAD_INPUT;
        }
    }
    return EXIT_OK;
}

static prunesid_tokens rows_of(const npy_array *file, size_t first, size_t n_rows) {
    const size_t dim = file->shape[2];
    return prunesid_tokens_view(
        (const char *)file->data + first * dim * file->item_bytes, dtype_of(file), n_rows, dim);
}

static void add_image(
    const options *given, inputs *in, size_t file, size_t number, size_t first, size_t n_rows) {
    const image one = {.path = given->files[file],
        .file = file,
        .number = number,
        .first = in->n_tokens + first,
        .tokens = rows_of(&in->files[file], first, n_rows)};
    in->images[in->n_images++] = one;
}

static int list_regions(const options *given, inputs *in) {
    const option_value *const regions = &given->of[OPTION_REGIONS];
    const size_t n_tokens = in->files[0].shape[1];
    const char *text = regions->text;
    size_t range[2] = {0, 0};
    in->images = (image *)allocate(regions->number, sizeof *in->images);
    for (size_t r = 0; r < regions->number; r++) {
        text = options_region(text, range) + 1;
        if (range[1] > n_tokens) {
            return report(options_name(OPTION_REGIONS), "%zu:%zu ends behind the %zu tokens of %s",
                range[0], range[1], n_tokens, given->files[0]);
        }
        add_image(given, in, 0, r, range[0], range[1] - range[0]);
    }
    in->n_tokens = n_tokens;
    return EXIT_OK;
}

/* An image is one frame, or a window of several. */
static void list_images(const options *given, inputs *in) {
    const option_value *const window = &given->of[OPTION_WINDOW];
    size_t n_frames = 0;
    for (size_t f = 0; f < in->n_files; f++) {
        n_frames += in->files[f].shape[0];
    }
    in->images = (image *)allocate(n_frames, sizeof *in->images);
    for (size_t f = 0; f < in->n_files; f++) {
        const size_t *const shape = in->files[f].shape; /* of a bad file: zeros */
        const size_t wanted = window->given ? window->number : 1;
        const size_t at_once = wanted < shape[0] ? wanted : shape[0];
        for (size_t b = 0; b < shape[0]; b += at_once) {
            const size_t left = shape[0] - b;
            add_image(given, in, f, b / at_once, b * shape[1],
                (left < at_once ? left : at_once) * shape[1]);
        }
        in->n_tokens += shape[0] * shape[1];
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
    const npy_array *array, const inputs *in, int is_batch, char cause[CAUSE_BYTES]) {
    size_t wanted[2] = {0, in->files[0].shape[1]};
    char have[CAUSE_BYTES], want[CAUSE_BYTES];
    for (size_t f = 0; f < in->n_files; f++) {
        const size_t *const shape = in->files[f].shape;
        if (shape[1] != wanted[1]) {
            return explain(cause,
                "scores of a batch need images of one size, not of %zu and %zu tokens", wanted[1],
                shape[1]);
        }
        wanted[0] += shape[0];
    }
    const int is_list = array->n_dims == 1 && wanted[0] == 1;
    const int is_table = array->n_dims == 2 && is_batch;
    const int skipped = !is_batch || is_list; /* dimensions of wanted */
    if ((is_list || is_table) &&
        memcmp(array->shape, wanted + skipped, (size_t)array->n_dims * sizeof *wanted) == 0) {
        return EXIT_OK;
    }
    return explain(cause, "the shape is %s, but the tokens need %s",
        shape_text(array->shape, array->n_dims, have),
        shape_text(wanted + skipped, 2 - skipped, want));
}

static int load_scores(const options *given, inputs *in, char cause[CAUSE_BYTES]) {
    npy_array array;
    int status = load_kind(given->of[OPTION_SCORES].text, 'f', &array, cause);
    if (status == EXIT_OK) {
        status = check_scores_shape(&array, in, given->command == COMMAND_BATCH, cause);
    }
    if (status == EXIT_OK) {
        status = check_numbers(&array, cause);
    }
    if (status == EXIT_OK) {
        in->scores = to_floats(&array);
        for (size_t i = 0; i < in->n_images; i++) {
            in->images[i].scores = in->scores + in->images[i].first;
        }
    }
    npy_free(&array);
    return status;
}

static int load_loadings(const options *given, inputs *in, char cause[CAUSE_BYTES]) {
    char shape[CAUSE_BYTES];
    npy_array array;
    int status = load_kind(given->of[OPTION_LOADINGS].text, 'f', &array, cause);
    if (status == EXIT_OK &&
        (array.n_dims != 2 || array.shape[0] != in->n_tokens || array.shape[1] == 0)) {
        status = explain(cause, "the shape is %s, but the tokens need [%zu, groups]",
            shape_text(array.shape, array.n_dims, shape), in->n_tokens);
    }
    if (status == EXIT_OK) {
        status = check_numbers(&array, cause);
    }
    if (status == EXIT_OK) {
        in->loadings = to_floats(&array);
        in->n_loadings = array.shape[1];
    }
    npy_free(&array);
    return status;
}

static int load_positions(const options *given, inputs *in, char cause[CAUSE_BYTES]) {
    npy_array *const array = &in->positions;
    const size_t n_tokens = in->n_tokens;
    char shape[CAUSE_BYTES];
    if (load_kind(given->of[OPTION_POSITIONS].text, 'i', array, cause) != EXIT_OK) {
        return EXIT_BAD_INPUT;
    }
    const int is_list = array->n_dims == 1 && array->shape[0] == n_tokens;
    const int is_table = array->n_dims == 2 && (array->shape[0] == 3 || array->shape[0] == 4) &&
                         array->shape[1] == n_tokens;
    if (!is_list && !is_table) {
        return explain(cause, "the shape is %s, but the tokens need [%zu], [3, %zu] or [4, %zu]",
            shape_text(array->shape, array->n_dims, shape), n_tokens, n_tokens, n_tokens);
    }
    for (size_t i = 0; i < array->n_items; i++) {
        const int64_t id = npy_integer_at(array, i);
        if (id < 0 || id >> 62 != 0) {
            return explain(cause,
                "section %zu, token %zu has the id %lld: ids go from 0 to 2^62 - 1", i / n_tokens,
                i % n_tokens, (long long)id);
        }
    }
    return EXIT_OK;
}

static int load_inputs(const options *given, inputs *in) {
    static const struct {
        option which;
        int (*load)(const options *given, inputs *in, char cause[CAUSE_BYTES]);
    } others[] = {{OPTION_SCORES, load_scores}, {OPTION_LOADINGS, load_loadings},
        {OPTION_POSITIONS, load_positions}};
    char cause[CAUSE_BYTES];
    if (load_files(given, in) != EXIT_OK) {
        return EXIT_BAD_INPUT;
    }
    if (!given->of[OPTION_REGIONS].given) {
        list_images(given, in);
    } else if (list_regions(given, in) != EXIT_OK) {
        return EXIT_BAD_INPUT;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const option_value *const one = &given->of[others[i].which];
        if (one->given && others[i].load(given, in, cause) != EXIT_OK) {
            return report(one->text, "%s", cause);
        }
    }
    return EXIT_OK;
}

static void free_inputs(inputs *in) {
    for (size_t f = 0; f < in->n_files; f++) {
        npy_free(&in->files[f]);
    }
    free(in->files);
    free(in->images);
    free(in->scores);
    free(in->loadings);
    npy_free(&in->positions);
}

/* ---- pruning ------------------------------------------------------------------------------ */

static uint64_t nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static prunesid_config make_config(
    const options *given, const prunesid_tokens *tokens, size_t budget) {
    const option_value *const of = given->of;
    prunesid_config config = prunesid_config_init(
        (prunesid_preset)of[OPTION_PRESET].number, tokens->n_tokens, tokens->dim, budget);
    config.svd = (prunesid_svd)of[OPTION_SVD].number;
    config.seed = of[OPTION_SEED].seed;
    config.clock_ns = nanoseconds_now;
    if (of[OPTION_RESERVE].given) {
        config.reserved = of[OPTION_RESERVE].number;
    }
    return config;
}

static size_t reserved_rows(const options *given) {
    const prunesid_tokens none = {0};
    return make_config(given, &none, 1).reserved;
}

static void open_job(const options *given, const inputs *in, size_t budget, job *out) {
    const job empty = {.in = in,
        .selections = (selection *)allocate(in->n_images, sizeof(selection)),
        .indices = (int32_t *)allocate(in->n_tokens, sizeof(int32_t)),
        .order = (int32_t *)allocate(in->n_tokens, sizeof(int32_t)),
        .group = (int32_t *)allocate(in->n_tokens, sizeof(int32_t))};
    *out = empty;
    for (size_t i = 0; i < in->n_images; i++) {
        const image *const of = &in->images[i];
        selection *const one = &out->selections[i];
        one->config = make_config(given, &of->tokens, budget);
        one->config.n_groups = in->n_loadings;
        one->output = prunesid_output_init(out->indices + of->first);
        one->output.order = out->order + of->first;
        one->output.group = out->group + of->first;
    }
}

static void close_job(job *all) {
    free(all->selections);
    free(all->indices);
    free(all->order);
    free(all->group);
}

static void measure(void *data, size_t i, size_t worker) {
    const job *const all = (const job *)data;
    selection *const one = &all->selections[i];
    one->status = prunesid_redundancy(&one->config, &all->in->images[i].tokens,
        all->scratch + worker * all->scratch_bytes, all->scratch_bytes, &one->information);
}

static void prune(void *data, size_t i, size_t worker) {
    const job *const all = (const job *)data;
    const inputs *const in = all->in;
    const image *const of = &in->images[i];
    selection *const one = &all->selections[i];
    unsigned char *const scratch = all->scratch + worker * all->scratch_bytes;
    if (one->status != PRUNESID_OK) {
        return; /* it could not be measured */
    }
    one->status = in->loadings == NULL
                      ? prunesid_select(&one->config, &of->tokens, of->scores, scratch,
                            all->scratch_bytes, &one->output)
                      : prunesid_select_from_loadings(&one->config, &of->tokens, in->loadings,
                            in->n_loadings, of->scores, scratch, all->scratch_bytes, &one->output);
}

static size_t count_workers(const options *given, size_t n_tasks) {
    const option_value *const threads = &given->of[OPTION_THREADS];
    return !threads->given || n_tasks == 0 ? 1
           : threads->number < n_tasks     ? threads->number
                                           : n_tasks;
}

/* Does task, measure or prune, to every image. */
static void for_each_image(
    const options *given, job *all, void (*task)(void *data, size_t i, size_t worker)) {
    const size_t n_images = all->in->n_images, n_workers = count_workers(given, n_images);
    all->scratch_bytes = 0;
    for (size_t i = 0; i < n_images; i++) {
        const size_t n_bytes = prunesid_workspace_size(&all->selections[i].config);
        all->scratch_bytes = n_bytes > all->scratch_bytes ? n_bytes : all->scratch_bytes;
    }
    all->scratch_bytes += PRUNESID_ALIGNMENT - 1;
    all->scratch_bytes -= all->scratch_bytes % PRUNESID_ALIGNMENT;
    all->scratch = (unsigned char *)allocate_workspace(n_workers, all->scratch_bytes);
    threads_run(task, all, n_images, n_workers, NULL);
    free(all->scratch);
}

static size_t count_good(const job *all) {
    size_t n_good = 0;
    for (size_t i = 0; i < all->in->n_images; i++) {
        n_good += all->selections[i].status == PRUNESID_OK;
    }
    return n_good;
}

/* Names what failed; returns how many selections are good. */
static size_t report_failures(const options *given, const job *all) {
    for (size_t i = 0; i < all->in->n_images; i++) {
        const image *const of = &all->in->images[i];
        const char *const cause = prunesid_status_string(all->selections[i].status);
        const size_t n_rows = all->in->files[of->file].n_items / of->tokens.dim;
        if (all->selections[i].status == PRUNESID_OK) {
            continue;
        }
        if (of->tokens.n_tokens == n_rows) {
            report(of->path, "%s", cause);
        } else {
            report(of->path, "%s %zu: %s", given->of[OPTION_REGIONS].given ? "region" : "image",
                of->number, cause);
        }
    }
    return count_good(all);
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

/* Budgets of the images that are good so far. */
static int dynamic_budgets(const options *given, job *all) {
    const size_t n_images = all->in->n_images;
    double *const phi = (double *)allocate(n_images, sizeof *phi);
    size_t *const budgets = (size_t *)allocate(n_images, sizeof *budgets);
    size_t n_good = 0;
    for (size_t i = 0; i < n_images; i++) {
        if (all->selections[i].status == PRUNESID_OK) {
            phi[n_good++] = all->selections[i].information.phi;
        }
    }
    const prunesid_status status = n_good == 0 ? PRUNESID_OK
                                   : given->of[OPTION_PHI_REF].given
                                       ? rate_budgets(given, phi, n_good, budgets)
                                       : share_budget(given, phi, n_good, budgets);
    for (size_t i = n_images; i-- > 0 && status == PRUNESID_OK;) {
        if (all->selections[i].status == PRUNESID_OK) {
            all->selections[i].config.budget = budgets[--n_good];
        }
    }
    free(phi);
    free(budgets);
    return status == PRUNESID_OK
               ? EXIT_OK
               : report(options_name(OPTION_KEEP), "%s", prunesid_status_string(status));
}

/* Prunes every image with its own budget. If one fails, the others share without it. */
static int prune_images(const options *given, job *all) {
    const int is_dynamic = given->of[OPTION_DYNAMIC].given || given->of[OPTION_PHI_REF].given;
    size_t n_good;
    if (is_dynamic) {
        for_each_image(given, all, measure);
    }
    do {
        n_good = count_good(all);
        if (is_dynamic && dynamic_budgets(given, all) != EXIT_OK) {
            return EXIT_BAD_INPUT;
        }
        for_each_image(given, all, prune);
    } while (is_dynamic && count_good(all) < n_good);
    return EXIT_OK;
}

/* ---- regions ------------------------------------------------------------------------------ */

static prunesid_region region_of(const options *given, const image *of, const selection *one) {
    prunesid_region region =
        prunesid_region_init(of->first, of->tokens.n_tokens, one->config.budget);
    region.scores = of->scores;
    region.low = smallest_budget(given);
    region.high = largest_budget(given);
    region.out = one->output;
    return region;
}

/* Prunes the regions of one matrix: their indices follow each other, and count in all of it. */
static int prune_regions(const options *given, job *all) {
    const size_t n = all->in->n_images, mean = given->of[OPTION_KEEP].number;
    const prunesid_tokens tokens = rows_of(&all->in->files[0], 0, all->in->n_tokens);
    const prunesid_config config = make_config(given, &tokens, n * mean);
    const prunesid_sharing sharing =
        given->of[OPTION_DYNAMIC].given ? PRUNESID_BY_PHI : PRUNESID_FIXED;
    const prunesid_threads threads = {count_workers(given, n), threads_run, NULL};
    prunesid_region *const regions = (prunesid_region *)allocate(n, sizeof *regions);
    for (size_t r = 0; r < n; r++) {
        regions[r] = region_of(given, &all->in->images[r], &all->selections[r]);
    }
    const size_t n_bytes =
        prunesid_regions_workspace_size(&config, sharing, regions, n, threads.n_workers);
    void *const workspace = allocate_workspace(1, n_bytes);
    const prunesid_status status = prunesid_select_regions(
        &config, sharing, &tokens, regions, n, &threads, workspace, n_bytes, all->indices);
    int is_of_a_region = 0;
    for (size_t r = 0; r < n; r++) {
        all->selections[r].config.budget = regions[r].budget;
        all->selections[r].output = regions[r].out;
        all->selections[r].status = regions[r].status;
        is_of_a_region |= regions[r].status != PRUNESID_OK;
    }
    free(workspace);
    free(regions);
    if (status == PRUNESID_ERROR_TOTAL) {
        return report(options_name(OPTION_MIN), "%zu is above the mean, --keep %zu",
            given->of[OPTION_MIN].number, mean);
    }
    return status == PRUNESID_OK || is_of_a_region
               ? EXIT_OK
               : report(options_name(OPTION_REGIONS), "%s", prunesid_status_string(status));
}

/* ---- positions ---------------------------------------------------------------------------- */

static prunesid_position_ids ids_of(const npy_array *array) {
    const size_t n_tokens = array->shape[array->n_dims - 1];
    const prunesid_position_ids ids = {array->data, array->item_bytes,
        array->n_dims == 1 ? 1 : array->shape[0], n_tokens, n_tokens};
    return ids;
}

/* The ids of the kept tokens, of these alone: what is in no region is left out. */
static int move_positions(const options *given, const inputs *in, outcome *kept) {
    const prunesid_position_policy policy =
        (prunesid_position_policy)given->of[OPTION_POLICY].number;
    npy_array *const moved = &kept->positions;
    prunesid_span *const spans = (prunesid_span *)allocate(in->n_images, sizeof *spans);
    for (size_t i = 0; i < in->n_images; i++) {
        spans[i].first = in->images[i].first;
        spans[i].n_tokens = in->images[i].tokens.n_tokens;
    }
    *moved = in->positions;
    moved->shape[moved->n_dims - 1] = kept->n_kept;
    moved->n_items = moved->n_items / in->n_tokens * kept->n_kept;
    moved->data = allocate(moved->n_items, moved->item_bytes);
    const prunesid_position_ids before = ids_of(&in->positions), after = ids_of(moved);
    const prunesid_status status = prunesid_positions(policy, &before, spans, in->n_images,
        kept->indices, kept->n_kept, &after, &kept->next_position);
    free(spans);
    return status == PRUNESID_OK
               ? EXIT_OK
               : report(given->of[OPTION_POSITIONS].text, "%s", prunesid_status_string(status));
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

/* Without the braces around it. */
static void print_fields(const selection *one) {
    const prunesid_output *const output = &one->output;
    const prunesid_stats *const stats = &output->stats;
    char tau[CAUSE_BYTES];
    printf("\"tokens\": %zu, \"dim\": %zu, \"budget\": %zu, \"preset\": \"%s\", \"reserved\": %zu",
        one->config.n_tokens, one->config.dim, one->config.budget, preset_name(one),
        one->config.reserved);
    printf(", \"keep\": %zu, \"groups\": %zu, \"rho\": %.17g, \"phi\": %.17g, \"tau\": %s"
           ", \"survivors\": %zu",
        output->n_kept, stats->n_groups, stats->rho, stats->phi,
        tau_text(one, "%.17g", "null", tau), stats->n_survivors);
    print_list("indices", output->indices, output->n_kept);
    print_list("order", output->order, output->n_kept);
    print_list("group", output->group, one->config.n_tokens);
}

static void print_budgets(const job *all) {
    const char *between = "";
    printf("\"budgets\": [");
    for (size_t i = 0; i < all->in->n_images; i++) {
        if (all->selections[i].status == PRUNESID_OK) {
            printf("%s%zu", between, all->selections[i].config.budget);
            between = ", ";
        }
    }
    putchar(']');
}

/* The bytes of a file's name; JSON takes all but these as they are. */
static void print_string(const char *text) {
    putchar('"');
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < ' ') {
            printf("\\u%04x", c);
        } else {
            printf(c == '"' || c == '\\' ? "\\%c" : "%c", c);
        }
    }
    putchar('"');
}

static void print_positions(const outcome *kept) {
    const npy_array *const positions = &kept->positions;
    const size_t n = kept->n_kept;
    printf(positions->n_dims == 1 ? ", \"positions\": " : ", \"positions\": [");
    for (size_t i = 0; i < positions->n_items; i++) {
        printf("%s%lld%s",
            i % n > 0 ? ", "
            : i > 0   ? ", ["
                      : "[",
            (long long)npy_integer_at(positions, i), i % n == n - 1 ? "]" : "");
    }
    printf("%s, \"next_position\": %lld", positions->n_dims == 1 ? "" : "]",
        (long long)kept->next_position);
}

/* What select and plot print. */
static void print_one_json(const options *given, const job *all, const outcome *kept) {
    putchar('{');
    if (given->of[OPTION_REGIONS].given) {
        print_budgets(all);
        print_list("indices", kept->indices, kept->n_kept);
        printf(", \"regions\": [");
        for (size_t r = 0; r < all->in->n_images; r++) {
            printf("%s{\"first\": %zu, ", r > 0 ? ", " : "", all->in->images[r].first);
            print_fields(&all->selections[r]);
            putchar('}');
        }
        putchar(']');
    } else {
        print_fields(&all->selections[0]);
    }
    if (kept->positions.data != NULL) {
        print_positions(kept);
    }
    printf("}\n");
}

static void print_summary(const selection *one) {
    const prunesid_output *const output = &one->output;
    const prunesid_stats *const stats = &output->stats;
    char tau[CAUSE_BYTES];
    const uint64_t nanoseconds =
        stats->ns_redundancy + stats->ns_sigmoid + stats->ns_svd + stats->ns_nms + stats->ns_quotas;
    printf("kept       %zu of %zu tokens of %zu channels in %.1f ms\n", output->n_kept,
        one->config.n_tokens, one->config.dim, 1e-6 * (double)nanoseconds);
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

static void print_one_summary(const options *given, const job *all, const outcome *kept) {
    for (size_t i = 0; i < all->in->n_images; i++) {
        const image *const of = &all->in->images[i];
        if (given->of[OPTION_REGIONS].given) {
            printf("%sregion %zu: %s, tokens %zu to %zu\n", i > 0 ? "\n" : "", i, of->path,
                of->first, of->first + of->tokens.n_tokens - 1);
        }
        print_summary(&all->selections[i]);
    }
    if (kept->positions.data != NULL) {
        printf("positions  %s, the next is %lld\n",
            options_choice(OPTION_POLICY, given->of[OPTION_POLICY].number),
            (long long)kept->next_position);
    }
}

/* A full disk shows only here. */
static int finish_printing(void) {
    return fflush(stdout) == 0 && !ferror(stdout)
               ? EXIT_OK
               : report("standard output", "%s", strerror(errno));
}

/* ---- output files ------------------------------------------------------------------------- */

static int stage_tokens(
    const char *path, const outcome *kept, npy_staged *out, char cause[CAUSE_BYTES]) {
    const prunesid_tokens *const tokens = &kept->tokens;
    const int is_half = tokens->dtype == PRUNESID_F16;
    const size_t row_bytes = tokens->dim * (is_half ? 2 : 4);
    const size_t shape[2] = {kept->n_kept, tokens->dim};
    void *const rows = allocate(kept->n_kept, row_bytes);
    const prunesid_status status = prunesid_gather(tokens->data, tokens->n_tokens, row_bytes,
        row_bytes, kept->indices, kept->n_kept, rows, row_bytes);
    snprintf(cause, CAUSE_BYTES, "%s", prunesid_status_string(status));
    const int result = status != PRUNESID_OK ? -1
                                             : npy_stage_array(path, is_half ? "<f2" : "<f4", 2,
                                                   shape, rows, out, cause, CAUSE_BYTES);
    free(rows);
    return result;
}

static int stage_output(option which, const char *path, const outcome *kept, const plot_png *png,
    npy_staged *out, char cause[CAUSE_BYTES]) {
    const npy_array *const positions = &kept->positions;
    switch (which) {
    case OPTION_INDICES:
        return npy_stage_array(
            path, "<i4", 1, &kept->n_kept, kept->indices, out, cause, CAUSE_BYTES);
    case OPTION_TOKENS:
        return stage_tokens(path, kept, out, cause);
    case OPTION_POSITIONS_OUT:
        return npy_stage_array(path, positions->item_bytes == 8 ? "<i8" : "<i4", positions->n_dims,
            positions->shape, positions->data, out, cause, CAUSE_BYTES);
    default:
        return npy_stage(path, png->bytes, png->n_bytes, "", 0, out, cause, CAUSE_BYTES);
    }
}

/* Writes what is asked for beside where it belongs: nothing that was there is touched yet. */
static int stage_outputs(
    const options *given, const outcome *kept, const plot_png *png, npy_staged staged[N_OUTPUTS]) {
    char cause[CAUSE_BYTES];
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        const char *const path = given->of[options_outputs[i]].text;
        if (path != NULL &&
            stage_output(options_outputs[i], path, kept, png, &staged[i], cause) != 0) {
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
    const options *given, const job *all, const outcome *kept, const plot_png *png) {
    npy_staged staged[N_OUTPUTS] = {{NULL, NULL}};
    int status = stage_outputs(given, kept, png, staged);
    if (status == EXIT_OK) {
        if (given->of[OPTION_JSON].given) {
            print_one_json(given, all, kept);
        } else {
            print_one_summary(given, all, kept);
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
    const int plots = given->command == COMMAND_PLOT;
    outcome kept = {.tokens = rows_of(&in->files[0], 0, in->n_tokens)};
    plot_png png = {NULL, 0};
    job all;
    open_job(given, in, given->of[OPTION_KEEP].number, &all);
    int status = plots ? check_grid(given, &in->images[0]) : EXIT_OK;
    if (status == EXIT_OK) {
        status = given->of[OPTION_REGIONS].given ? prune_regions(given, &all)
                                                 : prune_images(given, &all);
    }
    if (status == EXIT_OK && report_failures(given, &all) < in->n_images) {
        status = EXIT_BAD_INPUT;
    }
    kept.indices = all.indices;
    for (size_t i = 0; i < in->n_images; i++) {
        kept.n_kept += all.selections[i].output.n_kept;
    }
    if (status == EXIT_OK && in->positions.data != NULL) {
        status = move_positions(given, in, &kept);
    }
    if (status == EXIT_OK && plots) {
        status = draw(given, &all.selections[0], &png);
    }
    if (status == EXIT_OK) {
        status = save_and_print(given, &all, &kept, &png);
    }
    npy_free(&kept.positions);
    close_job(&all);
    free(png.bytes);
    return status;
}

/* Of the images that are good; and the files that are not, or hold one that is not. */
static void print_batch_json(const options *given, const job *all) {
    const inputs *const in = all->in;
    const char *between = "";
    putchar('{');
    print_budgets(all);
    printf(", \"images\": [");
    for (size_t i = 0; i < in->n_images; i++) {
        if (all->selections[i].status == PRUNESID_OK) {
            printf("%s{", between);
            print_fields(&all->selections[i]);
            putchar('}');
            between = ", ";
        }
    }
    between = "], \"failed\": [";
    for (size_t f = 0, i = 0; f < in->n_files; f++) {
        int failed = in->files[f].data == NULL;
        for (; i < in->n_images && in->images[i].file == f; i++) {
            failed |= all->selections[i].status != PRUNESID_OK;
        }
        if (failed) {
            printf("%s", between);
            print_string(given->files[f]);
            between = ", ";
        }
    }
    printf("]}\n");
}

static void print_batch_summary(const job *all) {
    size_t n_printed = 0;
    for (size_t i = 0; i < all->in->n_images; i++) {
        if (all->selections[i].status == PRUNESID_OK) {
            printf(
                "%simage %zu: %s\n", n_printed > 0 ? "\n" : "", n_printed, all->in->images[i].path);
            print_summary(&all->selections[i]);
            n_printed++;
        }
    }
}

static int run_batch(const options *given, const inputs *in) {
    job all;
    open_job(given, in, given->of[OPTION_KEEP].number, &all);
    int status = prune_images(given, &all);
    const size_t n_good = status == EXIT_OK ? report_failures(given, &all) : 0;
    if (n_good > 0) {
        if (given->of[OPTION_JSON].given) {
            print_batch_json(given, &all);
        } else {
            print_batch_summary(&all);
        }
        status = finish_printing();
    }
    close_job(&all);
    return n_good < in->n_images || in->n_failed > 0 ? EXIT_BAD_INPUT : status;
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
    const prunesid_tokens *const tokens = &in->images[0].tokens;
    const char *const dtype = tokens->dtype == PRUNESID_F16 ? "float16" : "float32";
    job all;
    open_job(given, in, 1, &all);
    for_each_image(given, &all, measure);
    const prunesid_information information = all.selections[0].information;
    const int is_good = report_failures(given, &all) == 1;
    close_job(&all);
    if (!is_good) {
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
