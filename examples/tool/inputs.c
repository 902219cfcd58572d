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

static const char *const dtype_descrs[] = {
    [DTYPE_F32] = "<f4", [DTYPE_F16] = "<f2", [DTYPE_BF16] = "<u2", [DTYPE_F64] = "<f8"};

const char *tokens_descr(const npy_array *array) {
    return dtype_descrs[array->kind == 'u'       ? DTYPE_BF16
                        : array->item_bytes == 2 ? DTYPE_F16
                                                 : DTYPE_F32];
}

static int load_integers(const char *path, npy_array *array, char cause[CAUSE_BYTES]) {
    if (npy_load(path, array, cause, CAUSE_BYTES) != 0) return EXIT_BAD_INPUT;
    if (array->kind != 'i')
        return explain(cause, "the dtype '<%c%zu' is %s: save int32 or int64", array->kind,
            array->item_bytes, array->kind == 'f' ? "a real number's" : "16-bit");
    return EXIT_OK;
}

/* Real numbers; from here on 'u' is bfloat16. */
static int check_reals(const job *all, npy_array *array, char cause[CAUSE_BYTES]) {
    const option_value *const dtype = &all->of[OPTION_DTYPE];
    const int is_16_bit = dtype->number == DTYPE_F16 || dtype->number == DTYPE_BF16;
    if (array->kind == 'i')
        return explain(
            cause, "the dtype '<i%zu' is an integer's: save float16 or float32", array->item_bytes);
    if (array->kind == 'u' && !is_16_bit)
        return explain(cause,
            "the dtype is a 16-bit integer's: --dtype bf16 or --dtype f16 says what it stands for");
    if (array->kind == 'u' && dtype->number == DTYPE_F16) array->kind = 'f';
    return EXIT_OK;
}

static int load_reals(const job *all, const char *path, npy_array *array, char cause[CAUSE_BYTES]) {
    if (npy_load(path, array, cause, CAUSE_BYTES) != 0) return EXIT_BAD_INPUT;
    return check_reals(all, array, cause);
}

/* Its last dimension as channels, all others as tokens. */
static prunesid_input input_of(const npy_array *array) {
    const size_t dim = array->shape[array->n_dims > 0 ? array->n_dims - 1 : 0];
    const prunesid_dtype dtype = array->kind == 'u'       ? PRUNESID_BF16
                                 : array->item_bytes == 2 ? PRUNESID_F16
                                                          : PRUNESID_F32;
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

/* A file of tokens with a header, or of the shape that --shape says. */
static int load_matrix(
    const job *all, const char *path, npy_array *array, char cause[CAUSE_BYTES]) {
    const option_value *const dtype = &all->of[OPTION_DTYPE];
    size_t sides[NPY_MAX_DIMS] = {0};
    if (all->of[OPTION_SHAPE].given) {
        const size_t n = read_sides(all->of[OPTION_SHAPE].text, sides);
        if (npy_load_raw(
                path, dtype_descrs[dtype->number], (int)n, sides, array, cause, CAUSE_BYTES) != 0)
            return EXIT_BAD_INPUT;
        return EXIT_OK;
    }
    if (load_reals(all, path, array, cause) != EXIT_OK) return EXIT_BAD_INPUT;
    const int is_wide = dtype->number == DTYPE_F32 || dtype->number == DTYPE_F64;
    if (dtype->given && (is_wide ? array->item_bytes != 4
                                 : strcmp(tokens_descr(array), dtype_descrs[dtype->number]) != 0))
        return explain(cause, "the dtype '%s' is not that of --dtype %s", tokens_descr(array),
            dtype_name(dtype->number));
    return EXIT_OK;
}

/* Image number item alone, of an array whose first dimension is images. */
static int take_item(size_t item, npy_array *array, char cause[CAUSE_BYTES]) {
    const size_t n = array->shape[0];
    if (item >= n) return explain(cause, "there is no image %zu among its %zu", item, n);
    const size_t n_each = array->n_items / n, n_bytes = n_each * array->item_bytes;
    memmove(array->data, (char *)array->data + item * n_bytes, n_bytes);
    array->n_items = n_each;
    array->shape[0] = 1;
    return EXIT_OK;
}

int peek_shape(const job *all, const char *path, size_t shape[2]) {
    char cause[CAUSE_BYTES];
    npy_array array = {0};
    struct stat about;
    if (strcmp(path, "-") == 0 || stat(path, &about) != 0) return 0;
    if (all->of[OPTION_SHAPE].given)
        array.n_dims = (int)read_sides(all->of[OPTION_SHAPE].text, array.shape);
    else if (npy_load_shape(path, &array, cause, CAUSE_BYTES) != 0)
        return 0;
    if (array.n_dims != 2 && array.n_dims != 3) return 0;
    shape[0] = array.n_dims == 3 && !all->of[OPTION_ITEM].given ? array.shape[0] : 1;
    shape[1] = array.shape[array.n_dims - 2];
    return shape[0] <= (size_t)about.st_size; /* a header may claim anything */
}

/* Loads [T, d] or [B, T, d], always as [B, T, d]. */
static int load_tokens(job *all, const char *path, npy_array *array, char cause[CAUSE_BYTES]) {
    const option_value *const item = &all->of[OPTION_ITEM];
    char shape[CAUSE_BYTES];
    if (load_matrix(all, path, array, cause) != EXIT_OK) return EXIT_BAD_INPUT;
    shape_text(array->shape, array->n_dims, shape);
    if (array->n_dims != 2 && array->n_dims != 3)
        return explain(cause, "the shape is %s, not [tokens, channels]", shape);
    all->n_stacked = array->n_dims == 3 ? array->shape[0] : 1;
    if (item->given && array->n_dims == 2 && item->number > 0)
        return explain(cause, "the shape is %s: there is no image %zu", shape, item->number);
    if (item->given && array->n_dims == 3 && take_item(item->number, array, cause) != EXIT_OK)
        return EXIT_BAD_INPUT;
    if (!takes_many(all) && array->n_dims == 3 && array->shape[0] > 1)
        return explain(
            cause, "the shape is %s, several images: use batch, or --item for one", shape);
    if (array->n_items == 0)
        return explain(cause, "the shape is %s: no %s", shape,
            array->shape[array->n_dims - 1] == 0 ? "channels" : "tokens");
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
    const int need_all = !takes_many(all) || all->of[OPTION_SCORES].given;
    char cause[CAUSE_BYTES];
    all->files = (npy_array *)allocate(all->n_files, sizeof *all->files);
    all->failed = (unsigned char *)allocate(all->n_files, 1);
    for (size_t f = 0; f < all->n_files; f++) {
        npy_array *const file = &all->files[f];
        if (load_tokens(all, all->paths[f], file, cause) != EXIT_OK) {
            all->failed[f] = 1;
            npy_free(file);
            report(all->paths[f], "%s%s", cause,
                takes_many(all) && need_all ? " (--scores needs every file)" : "");
            if (need_all) return EXIT_BAD_INPUT;
        }
        all->n_tokens += file->shape[0] * file->shape[1]; /* of a bad file: 0 */
    }
    return EXIT_OK;
}

/* ---- what belongs to the tokens ----------------------------------------------------------- */

/* [T] for one image; a batch has [B, T] and so needs images of one size. */
static int check_scores_shape(const job *all, const npy_array *array, char cause[CAUSE_BYTES]) {
    const int is_batch = takes_many(all);
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
    const option_value *const item = &all->of[OPTION_ITEM];
    if (load_reals(all, all->of[OPTION_SCORES].text, array, cause) != EXIT_OK)
        return EXIT_BAD_INPUT;
    /* Scores of all images of the one file, of which one was taken. */
    if (item->given && all->n_files == 1 && array->n_dims == 2 &&
        array->shape[0] == all->n_stacked) {
        if (take_item(item->number, array, cause) != EXIT_OK) return EXIT_BAD_INPUT;
        array->shape[0] = array->shape[1];
        array->n_dims = 1;
    }
    if (check_scores_shape(all, array, cause) != EXIT_OK || check_numbers(array, cause) != EXIT_OK)
        return EXIT_BAD_INPUT;
    all->scores = to_floats(array);
    return EXIT_OK;
}

int load_score_table(job *all) {
    npy_array *const table = &all->score_table;
    char cause[CAUSE_BYTES];
    int status = load_reals(all, all->of[OPTION_SCORES].text, table, cause);
    if (status == EXIT_OK && table->n_dims == 1) {
        table->shape[1] = table->shape[0];
        table->shape[0] = 1;
        table->n_dims = 2;
    }
    if (status == EXIT_OK && table->n_dims != 2)
        status = explain(cause, "it has %d dimensions, not [images, tokens]", table->n_dims);
    if (status == EXIT_OK) status = check_numbers(table, cause);
    return status == EXIT_OK ? EXIT_OK : report(all->of[OPTION_SCORES].text, "%s", cause);
}

int check_score_rows(const job *all, const char *path, const size_t shape[2], size_t n_before) {
    const size_t *const rows = all->score_table.shape;
    if (shape[1] == rows[1] && n_before + shape[0] <= rows[0]) return EXIT_OK;
    return report(all->of[OPTION_SCORES].text,
        "the shape is [%zu, %zu], but %s has %zu images of %zu tokens behind %zu others", rows[0],
        rows[1], path, shape[0], shape[1], n_before);
}

/* The next rows of the table, one for each image of the files. */
static int take_scores(job *all) {
    const npy_array *const table = &all->score_table;
    all->scores = (float *)allocate(all->n_tokens, sizeof *all->scores);
    size_t at = 0;
    for (size_t f = 0; f < all->n_files; f++) {
        const size_t *const shape = all->files[f].shape;
        if (check_score_rows(all, all->paths[f], shape, all->n_scored) != EXIT_OK)
            return EXIT_BAD_INPUT;
        for (size_t i = 0; i < shape[0] * shape[1]; i++)
            all->scores[at++] = npy_float_at(table, all->n_scored * shape[1] + i);
        all->n_scored += shape[0];
    }
    return EXIT_OK;
}

static int load_loadings(job *all, npy_array *array, char cause[CAUSE_BYTES]) {
    char shape[CAUSE_BYTES];
    if (load_reals(all, all->of[OPTION_LOADINGS].text, array, cause) != EXIT_OK)
        return EXIT_BAD_INPUT;
    if (array->n_dims != 2 || array->shape[0] != all->n_tokens || array->shape[1] == 0)
        return explain(cause, "the shape is %s, but the tokens need [%zu, groups]",
            shape_text(array->shape, array->n_dims, shape), all->n_tokens);
    if (check_numbers(array, cause) != EXIT_OK) return EXIT_BAD_INPUT;
    all->loadings = to_floats(array);
    all->n_loadings = all->config.n_groups = array->shape[1];
    return EXIT_OK;
}

/* Whether an array [T], [3, T] or [4, T] has the sections that --layout says. */
static int check_layout(const job *all, const npy_array *array, char cause[CAUSE_BYTES]) {
    static const size_t n_sections[] = {[1 + PRUNESID_LAYOUT_1D] = 1,
        [1 + PRUNESID_LAYOUT_MROPE] = 3,
        [1 + PRUNESID_LAYOUT_MROPE_TAG] = 4,
        [1 + PRUNESID_LAYOUT_TEXT_MROPE] = 4};
    const size_t layout = all->of[OPTION_LAYOUT].number;
    const size_t wanted[2] = {n_sections[layout], all->n_tokens};
    const int skipped = wanted[0] == 1; /* dimensions of wanted */
    char have[CAUSE_BYTES], want[CAUSE_BYTES];
    if (layout == LAYOUT_AUTO || array->n_items == wanted[0] * wanted[1]) return EXIT_OK;
    return explain(cause, "the shape is %s, but --layout %s needs %s",
        shape_text(array->shape, array->n_dims, have), layout_name(layout),
        shape_text(wanted + skipped, 2 - skipped, want));
}

static int load_positions(job *all, npy_array *array, char cause[CAUSE_BYTES]) {
    const size_t T = all->n_tokens;
    char shape[CAUSE_BYTES];
    if (load_integers(all->of[OPTION_POSITIONS].text, array, cause) != EXIT_OK)
        return EXIT_BAD_INPUT;
    const int is_list = array->n_dims == 1 && array->shape[0] == T;
    const int is_table = array->n_dims == 2 && (array->shape[0] == 3 || array->shape[0] == 4) &&
                         array->shape[1] == T;
    if (!is_list && !is_table)
        return explain(cause, "the shape is %s, but the tokens need [%zu], [3, %zu] or [4, %zu]",
            shape_text(array->shape, array->n_dims, shape), T, T, T);
    if (check_layout(all, array, cause) != EXIT_OK) return EXIT_BAD_INPUT;
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
        if (others[i].which == OPTION_SCORES && all->score_table.data != NULL) {
            if (take_scores(all) != EXIT_OK) return EXIT_BAD_INPUT;
            continue;
        }
        const int status = others[i].load(all, &array, cause);
        npy_free(&array);
        if (status != EXIT_OK) return report(one->text, "%s", cause);
    }
    return EXIT_OK;
}

/* ---- protected tokens --------------------------------------------------------------------- */

static int compare_indices(const void *a, const void *b) {
    const int32_t one = *(const int32_t *)a, other = *(const int32_t *)b;
    return (one > other) - (one < other);
}

/* Adds [first, end) to the protected ones, for which there is room if all->protected_tokens. */
static void protect(job *all, size_t first, size_t end) {
    for (size_t i = first; i < end; i++, all->n_protected++)
        if (all->protected_tokens != NULL) all->protected_tokens[all->n_protected] = (int32_t)i;
}

static int refuse_list(const char *text) {
    return usage_error("%s: '%s' is no index and no list of INDEX or FIRST:END",
        option_name(OPTION_PROTECT), text);
}

/* Reads the list: once to count, once to write. */
static int protect_list(job *all, const char *text) {
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        if (!is_digit(*at)) return refuse_list(text);
        const unsigned long long first = strtoull(at, &end, 10);
        unsigned long long behind = first + 1;
        if (*end == ':') {
            if (!is_digit(end[1])) return refuse_list(text);
            behind = strtoull(end + 1, &end, 10);
        }
        if (behind <= first || errno != 0) return refuse_list(text);
        if (behind > (1u << 24))
            return report(option_name(OPTION_PROTECT), "'%s' goes beyond any image", text);
        protect(all, (size_t)first, (size_t)behind);
        at = end;
        if (*at == '\0') return EXIT_OK;
        if (*at != ',') return refuse_list(text);
    }
}

static int protect_file(job *all, const char *path) {
    char cause[CAUSE_BYTES], shape[CAUSE_BYTES];
    npy_array array;
    int status = load_integers(path, &array, cause);
    if (status == EXIT_OK && array.n_dims != 1)
        status = explain(
            cause, "the shape is %s, not [n]", shape_text(array.shape, array.n_dims, shape));
    for (size_t i = 0; status == EXIT_OK && i < array.n_items; i++)
        if (npy_integer_at(&array, i) < 0 || npy_integer_at(&array, i) >= INT32_MAX)
            status = explain(cause, "element %zu is %lld: no token has that number", i,
                (long long)npy_integer_at(&array, i));
    if (status == EXIT_OK)
        all->protected_tokens = (int32_t *)allocate(array.n_items, sizeof *all->protected_tokens);
    for (size_t i = 0; status == EXIT_OK && i < array.n_items; i++)
        protect(all, (size_t)npy_integer_at(&array, i), (size_t)npy_integer_at(&array, i) + 1);
    npy_free(&array);
    return status == EXIT_OK ? EXIT_OK : report(path, "%s", cause);
}

int load_shared(job *all) {
    const char *const text = all->of[OPTION_PROTECT].text;
    if (text == NULL) return EXIT_OK;
    int status = EXIT_OK;
    if (is_index_list(text)) {
        status = protect_list(all, text);
        if (status != EXIT_OK) return status;
        all->protected_tokens =
            (int32_t *)allocate(all->n_protected, sizeof *all->protected_tokens);
        all->n_protected = 0;
        protect_list(all, text);
    } else {
        status = protect_file(all, text);
    }
    if (status != EXIT_OK) return status;
    qsort(all->protected_tokens, all->n_protected, sizeof *all->protected_tokens, compare_indices);
    size_t n = 0;
    for (size_t i = 0; i < all->n_protected; i++)
        if (n == 0 || all->protected_tokens[i] != all->protected_tokens[n - 1])
            all->protected_tokens[n++] = all->protected_tokens[i];
    all->n_protected = n;
    return EXIT_OK;
}

/* Of the one image, or of any image of several: those that have fewer tokens fail by themselves. */
static int check_protected(const job *all) {
    const size_t n = all->n_protected;
    if (n == 0 || takes_many(all) || (size_t)all->protected_tokens[n - 1] < all->n_tokens)
        return EXIT_OK;
    return report(option_name(OPTION_PROTECT), "%d is not among the %zu tokens of %s",
        (int)all->protected_tokens[n - 1], all->n_tokens, all->paths[0]);
}

/* ---- what is pruned by itself ------------------------------------------------------------- */

static void make_room(job *all, size_t n_regions) {
    all->regions = (prunesid_region *)allocate(n_regions, sizeof *all->regions);
    all->images = (image *)allocate(n_regions, sizeof *all->images);
    all->indices = (int32_t *)allocate(all->n_tokens, sizeof *all->indices);
    all->order = (int32_t *)allocate(all->n_tokens, sizeof *all->order);
    all->group = (int32_t *)allocate(all->n_tokens, sizeof *all->group);
    if (!all->of[OPTION_REPRESENT].given && !all->of[OPTION_MERGE].given &&
        all->command != COMMAND_SWEEP)
        return;
    all->representative = (int32_t *)allocate(all->n_tokens, sizeof *all->representative);
    all->count = (int32_t *)allocate(all->n_tokens, sizeof *all->count);
}

/* All rows of a file, which begin at number first among those of all files. */
static prunesid_input rows_of(const job *all, size_t file, size_t first) {
    prunesid_input rows = input_of(&all->files[file]);
    if (all->scores != NULL) rows.scores = all->scores + first;
    rows.loadings = all->loadings;
    rows.ld_loadings = all->n_loadings;
    rows.protected_tokens = all->protected_tokens;
    rows.n_protected = all->n_protected;
    return rows;
}

/* Rows [at, at + n_tokens) of rows, which begin at number first among those of all files. */
static prunesid_region *add_region(
    job *all, const prunesid_input *rows, size_t at, size_t n_tokens, size_t first) {
    prunesid_region *const region = &all->regions[all->n_images++];
    *region = prunesid_region_init(rows, at, n_tokens, budget_for(all, n_tokens));
    region->details.order = all->order + first + at;
    region->details.group = all->group + first + at;
    region->details.scope = (prunesid_scope)all->of[OPTION_REPRESENT].number;
    if (all->count != NULL) {
        region->details.representative = all->representative + first + at;
        region->details.count = all->count + first + at;
    }
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
            prunesid_input *const input =
                &add_region(all, &rows, b * shape[1], n_here * shape[1], first)->input;
            input->first = 0;
            input->protected_tokens = all->protected_tokens;
            input->n_protected = all->n_protected;
        }
        first += shape[0] * shape[1];
    }
}

/* ---- all of it ---------------------------------------------------------------------------- */

int load_images(job *all) {
    if (load_files(all) != EXIT_OK || load_others(all) != EXIT_OK ||
        check_protected(all) != EXIT_OK)
        return EXIT_BAD_INPUT;
    if (all->of[OPTION_REGIONS].given) return list_regions(all);
    list_images(all);
    return EXIT_OK;
}

void free_images(job *all) {
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
    free(all->representative);
    free(all->count);
}

void free_shared(job *all) {
    free(all->protected_tokens);
    npy_free(&all->score_table);
}
