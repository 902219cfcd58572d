/* inputs.c - loads and checks all files before anything is pruned.   MIT licence. */
#include "tool.h"

#include <stdarg.h>

void *allocate(size_t n_items, size_t item_bytes) {
    void *const memory = calloc(n_items > 0 ? n_items : 1, item_bytes);
    if (memory == NULL)
        exit(
            report("memory", "%zu items of %zu bytes could not be allocated", n_items, item_bytes));
    return memory;
}

/* ---- causes: the caller knows whose they are ---------------------------------------------- */

static int explain(char cause[CAUSE_BYTES], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cause, CAUSE_BYTES, format, arguments);
    va_end(arguments);
    return EXIT_BAD_INPUT;
}

static const char *shape_text(const size_t *shape, int n_dims, char text[CAUSE_BYTES]) {
    size_t length = (size_t)snprintf(text, CAUSE_BYTES, "[");
    for (int i = 0; i < n_dims; i++)
        length += (size_t)snprintf(
            text + length, CAUSE_BYTES - length, i > 0 ? ", %zu" : "%zu", shape[i]);
    snprintf(text + length, CAUSE_BYTES - length, "]");
    return text;
}

/* ---- one array ---------------------------------------------------------------------------- */

static int load_kind(const char *path, char kind, npy_array *array, char cause[CAUSE_BYTES]) {
    if (npy_load(path, array, cause, CAUSE_BYTES) != 0) return EXIT_BAD_INPUT;
    if (array->kind != kind)
        return explain(cause, "the dtype '<%c%zu' is %s", array->kind, array->item_bytes,
            kind == 'f' ? "an integer's: save float16 or float32"
                        : "a real number's: save int32 or int64");
    return EXIT_OK;
}

/* Its last dimension as channels, all others as tokens. */
static prunesid_input input_of(const npy_array *array) {
    const size_t dim = array->shape[array->n_dims > 0 ? array->n_dims - 1 : 0];
    const prunesid_dtype dtype = array->item_bytes == 2 ? PRUNESID_F16 : PRUNESID_F32;
    return prunesid_input_init(array->data, dtype, array->n_items / (dim > 0 ? dim : 1), dim);
}

/* Refuses what the library would, but says where in the file it is. */
static int check_numbers(const npy_array *array, char cause[CAUSE_BYTES]) {
    const prunesid_input input = input_of(array);
    size_t row = 0, column = 0;
    const prunesid_status status = prunesid_input_check(&input, &row, &column);
    if (status == PRUNESID_OK) return EXIT_OK;
    if (status != PRUNESID_ERROR_TOKENS_NOT_FINITE)
        return explain(cause, "%s", prunesid_status_string(status));
    if (array->n_dims == 1) return explain(cause, "element %zu is not finite", column);
    if (array->n_dims == 2) return explain(cause, "row %zu, column %zu is not finite", row, column);
    return explain(cause, "image %zu, row %zu, column %zu is not finite", row / array->shape[1],
        row % array->shape[1], column);
}

static float *to_floats(const npy_array *array) {
    float *const values = (float *)allocate(array->n_items, sizeof *values);
    for (size_t i = 0; i < array->n_items; i++) values[i] = npy_float_at(array, i);
    return values;
}

/* ---- tokens ------------------------------------------------------------------------------- */

/* Loads [T, d] or [B, T, d], always as [B, T, d]. */
static int load_tokens(const char *path, int one_image, npy_array *array, char cause[CAUSE_BYTES]) {
    char shape[CAUSE_BYTES];
    if (load_kind(path, 'f', array, cause) != EXIT_OK) return EXIT_BAD_INPUT;
    shape_text(array->shape, array->n_dims, shape);
    if (array->n_dims != 2 && array->n_dims != 3)
        return explain(cause, "the shape is %s, not [tokens, channels]", shape);
    if (one_image && array->n_dims == 3 && array->shape[0] > 1)
        return explain(cause, "the shape is %s, several images: use batch", shape);
    if (check_numbers(array, cause) != EXIT_OK) return EXIT_BAD_INPUT;
    if (array->n_dims == 2) {
        memmove(array->shape + 1, array->shape, 2 * sizeof array->shape[0]);
        array->shape[0] = 1;
        array->n_dims = 3;
    }
    return EXIT_OK;
}

/* A batch does without what is no good, unless nobody then knows which image has which scores. */
static int load_files(job *all) {
    const int is_batch = all->command == COMMAND_BATCH;
    const int need_all = !is_batch || all->of[OPTION_SCORES].given;
    char cause[CAUSE_BYTES];
    all->files = (npy_array *)allocate(all->n_files, sizeof *all->files);
    all->failed = (unsigned char *)allocate(all->n_files, 1);
    for (size_t f = 0; f < all->n_files; f++) {
        npy_array *const file = &all->files[f];
        if (load_tokens(all->paths[f], !is_batch, file, cause) != EXIT_OK) {
            all->failed[f] = 1;
            npy_free(file);
            report(all->paths[f], "%s%s", cause,
                is_batch && need_all ? " (--scores needs every file)" : "");
            if (need_all) return EXIT_BAD_INPUT;
        }
        all->n_tokens += file->shape[0] * file->shape[1]; /* of a bad file: 0 */
    }
    return EXIT_OK;
}

/* ---- what belongs to the tokens ----------------------------------------------------------- */

/* [T] for one image; a batch has [B, T] and so needs images of one size. */
static int check_scores_shape(const job *all, const npy_array *array, char cause[CAUSE_BYTES]) {
    const int is_batch = all->command == COMMAND_BATCH;
    size_t wanted[2] = {0, all->files[0].shape[1]};
    char have[CAUSE_BYTES], want[CAUSE_BYTES];
    for (size_t f = 0; f < all->n_files; f++) {
        const size_t *const shape = all->files[f].shape;
        if (shape[1] != wanted[1])
            return explain(cause,
                "scores of a batch need images of one size, not of %zu and %zu tokens", wanted[1],
                shape[1]);
        wanted[0] += shape[0];
    }
    const int is_list = array->n_dims == 1 && wanted[0] == 1;
    const int is_table = array->n_dims == 2 && is_batch;
    const int skipped = !is_batch || is_list; /* dimensions of wanted */
    if ((is_list || is_table) &&
        memcmp(array->shape, wanted + skipped, (size_t)array->n_dims * sizeof *wanted) == 0)
        return EXIT_OK;
    return explain(cause, "the shape is %s, but the tokens need %s",
        shape_text(array->shape, array->n_dims, have),
        shape_text(wanted + skipped, 2 - skipped, want));
}

static int load_scores(job *all, npy_array *array, char cause[CAUSE_BYTES]) {
    if (load_kind(all->of[OPTION_SCORES].text, 'f', array, cause) != EXIT_OK ||
        check_scores_shape(all, array, cause) != EXIT_OK || check_numbers(array, cause) != EXIT_OK)
        return EXIT_BAD_INPUT;
    all->scores = to_floats(array);
    return EXIT_OK;
}

static int load_loadings(job *all, npy_array *array, char cause[CAUSE_BYTES]) {
    char shape[CAUSE_BYTES];
    if (load_kind(all->of[OPTION_LOADINGS].text, 'f', array, cause) != EXIT_OK)
        return EXIT_BAD_INPUT;
    if (array->n_dims != 2 || array->shape[0] != all->n_tokens || array->shape[1] == 0)
        return explain(cause, "the shape is %s, but the tokens need [%zu, groups]",
            shape_text(array->shape, array->n_dims, shape), all->n_tokens);
    if (check_numbers(array, cause) != EXIT_OK) return EXIT_BAD_INPUT;
    all->loadings = to_floats(array);
    all->n_loadings = all->config.n_groups = array->shape[1];
    return EXIT_OK;
}

static int load_positions(job *all, npy_array *array, char cause[CAUSE_BYTES]) {
    const size_t T = all->n_tokens;
    char shape[CAUSE_BYTES];
    if (load_kind(all->of[OPTION_POSITIONS].text, 'i', array, cause) != EXIT_OK)
        return EXIT_BAD_INPUT;
    const int is_list = array->n_dims == 1 && array->shape[0] == T;
    const int is_table = array->n_dims == 2 && (array->shape[0] == 3 || array->shape[0] == 4) &&
                         array->shape[1] == T;
    if (!is_list && !is_table)
        return explain(cause, "the shape is %s, but the tokens need [%zu], [3, %zu] or [4, %zu]",
            shape_text(array->shape, array->n_dims, shape), T, T, T);
    for (size_t i = 0; i < array->n_items; i++) {
        const int64_t id = npy_integer_at(array, i);
        if (id < 0 || id >> 62 != 0)
            return explain(cause,
                "section %zu, token %zu has the id %lld: ids go from 0 to 2^62 - 1", i / T, i % T,
                (long long)id);
    }
    all->positions = *array;
    array->data = NULL;
    return EXIT_OK;
}

static int load_others(job *all) {
    static const struct {
        size_t which;
        int (*load)(job *all, npy_array *array, char cause[CAUSE_BYTES]);
    } others[] = {{OPTION_SCORES, load_scores}, {OPTION_LOADINGS, load_loadings},
        {OPTION_POSITIONS, load_positions}};
    char cause[CAUSE_BYTES];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const option_value *const one = &all->of[others[i].which];
        npy_array array;
        if (!one->given) continue;
        const int status = others[i].load(all, &array, cause);
        npy_free(&array);
        if (status != EXIT_OK) return report(one->text, "%s", cause);
    }
    return EXIT_OK;
}

/* ---- what is pruned by itself ------------------------------------------------------------- */

static void make_room(job *all, size_t n_regions) {
    all->regions = (prunesid_region *)allocate(n_regions, sizeof *all->regions);
    all->images = (image *)allocate(n_regions, sizeof *all->images);
    all->indices = (int32_t *)allocate(all->n_tokens, sizeof *all->indices);
    all->order = (int32_t *)allocate(all->n_tokens, sizeof *all->order);
    all->group = (int32_t *)allocate(all->n_tokens, sizeof *all->group);
}

/* All rows of a file, which begin at number first among those of all files. */
static prunesid_input rows_of(const job *all, size_t file, size_t first) {
    prunesid_input rows = input_of(&all->files[file]);
    if (all->scores != NULL) rows.scores = all->scores + first;
    rows.loadings = all->loadings;
    rows.ld_loadings = all->n_loadings;
    return rows;
}

/* Rows [at, at + n_tokens) of rows, which begin at number first among those of all files. */
static prunesid_region *add_region(
    job *all, const prunesid_input *rows, size_t at, size_t n_tokens, size_t first) {
    prunesid_region *const region = &all->regions[all->n_images++];
    *region = prunesid_region_init(rows, at, n_tokens, all->config.budget);
    region->details.order = all->order + first + at;
    region->details.group = all->group + first + at;
    return region;
}

static int list_regions(job *all) {
    const option_value *const list = &all->of[OPTION_REGIONS];
    const prunesid_input rows = rows_of(all, 0, 0);
    const char *text = list->text;
    size_t range[2] = {0, 0};
    make_room(all, list->number);
    for (size_t r = 0; r < list->number; r++) {
        text = next_region(text, range) + 1;
        if (range[1] > all->n_tokens)
            return report(option_name(OPTION_REGIONS), "%zu:%zu ends behind the %zu tokens of %s",
                range[0], range[1], all->n_tokens, all->paths[0]);
        all->images[r].number = r;
        add_region(all, &rows, range[0], range[1] - range[0], 0);
    }
    return EXIT_OK;
}

/* An image is one frame, or a window of several. */
static void list_images(job *all) {
    const option_value *const window = &all->of[OPTION_WINDOW];
    size_t n_frames = 0, first = 0;
    for (size_t f = 0; f < all->n_files; f++) n_frames += all->files[f].shape[0];
    make_room(all, n_frames);
    for (size_t f = 0; f < all->n_files; f++) {
        const size_t *const shape = all->files[f].shape; /* of a bad file: zeros */
        const size_t wanted = window->given ? window->number : 1;
        const size_t at_once = wanted < shape[0] ? wanted : shape[0];
        const prunesid_input rows = rows_of(all, f, first);
        for (size_t b = 0; b < shape[0]; b += at_once) {
            const size_t left = shape[0] - b, n_here = left < at_once ? left : at_once;
            const image from = {.file = f, .number = b / at_once};
            all->images[all->n_images] = from;
            add_region(all, &rows, b * shape[1], n_here * shape[1], first)->input.first = 0;
        }
        first += shape[0] * shape[1];
    }
}

/* ---- all of it ---------------------------------------------------------------------------- */

int load_inputs(job *all) {
    if (load_files(all) != EXIT_OK || load_others(all) != EXIT_OK) return EXIT_BAD_INPUT;
    if (all->of[OPTION_REGIONS].given) return list_regions(all);
    list_images(all);
    return EXIT_OK;
}

void free_inputs(job *all) {
    for (size_t f = 0; f < all->n_files && all->files != NULL; f++) npy_free(&all->files[f]);
    npy_free(&all->positions);
    free(all->files);
    free(all->failed);
    free(all->scores);
    free(all->loadings);
    free(all->regions);
    free(all->images);
    free(all->indices);
    free(all->order);
    free(all->group);
}
