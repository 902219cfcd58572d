/* test_errors.c - every status that can be reached, and that nothing is written on the way.   MIT
 * licence. */
#include "support.h"

/* ---- how to break a call: one row a way --------------------------------------------------- */

/* A new value of a field, or a number of bytes that a pointer is off by. */
typedef struct change {
    const char *text;
    size_t offset, n_bytes;
    uint64_t value;
    int is_added;
} change;

#define CHANGE(field, value, is_added, text)                                                       \
    { text, offsetof(BROKEN, field), sizeof(((BROKEN *)0)->field), (uint64_t)(value), is_added }
#define SET(field, value) CHANGE(field, value, 0, #field " = " #value)
#define MOVE(field, n_bytes) CHANGE(field, n_bytes, 1, #field " off by " #n_bytes)

enum { MAX_CHANGES = 4 };

static void apply(void *to, const change changes[MAX_CHANGES]) {
    for (size_t i = 0; i < MAX_CHANGES && changes[i].text != NULL; i++) {
        unsigned char *const at = (unsigned char *)to + changes[i].offset;
        uint64_t wide = 0;
        uint32_t narrow = 0;
        assert_true(changes[i].n_bytes == 4 || changes[i].n_bytes == 8);
        if (changes[i].n_bytes == 4) {
            memcpy(&narrow, at, 4);
            narrow = (uint32_t)changes[i].value + (changes[i].is_added ? narrow : 0);
            memcpy(at, &narrow, 4);
        } else {
            memcpy(&wide, at, 8);
            wide = changes[i].value + (changes[i].is_added ? wide : 0);
            memcpy(at, &wide, 8);
        }
    }
}

static const char *text_of(const change changes[MAX_CHANGES]) {
    static char text[512];
    text[0] = '\0';
    for (size_t i = 0; i < MAX_CHANGES && changes[i].text != NULL; i++) {
        const size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%s", n > 0 ? ", " : "", changes[i].text);
    }
    return text;
}

#define FLOAT_NAN 0x7FC00000
#define FLOAT_INFINITY 0x7F800000
#define DOUBLE_NAN 0x7FF8000000000000
#define DOUBLE_INFINITY 0x7FF0000000000000
#define BEYOND_INT32 ((size_t)INT32_MAX + 1)

/* ---- one image ---------------------------------------------------------------------------- */

enum { T = 30, D = 12, K = 3, N = 8, LD = 16, N_GUARDED = 3, OUTPUT_BYTES = 512, N_ARRAYS = 18 };

/* A valid call of any function on one image; a row breaks something in it. */
typedef struct call {
    const prunesid_config *config_at;
    const prunesid_input *input_at;
    prunesid_config config;
    prunesid_input input;
    float x[T * LD], scores[T], loadings[T * K];
    int32_t guarded[T], group[T], members[K], survivors[K];
    int32_t kept[T]; /* from 0, or what a row sets */
    prunesid_scope scope;
    double tau;
    unsigned char *workspace;
    size_t workspace_bytes, capacity;
    /* of the stages: what they read */
    const int32_t *group_at, *members_at, *survivors_at, *kept_at;
    const float *loading_at;
    /* written */
    int32_t *indices, *order, *n_members, *n_survivors, *quota, *psca_group;
    float *psca_loadings, *psca_loading;
    prunesid_stats *psca_stats;
    prunesid_information *information;
    size_t *bytes, *row, *column;
    prunesid_details *details;
    int32_t *representative, *count;
    float *log_count;
    double *coverage;
    guard own_workspace, outputs;
} call;

enum { SCORES = 1, LOADINGS = 2, PROTECTED = 4, N_WITH = 8 };

static void *output(const call *c, size_t i) {
    return c->outputs.data + i * OUTPUT_BYTES;
}

/* with: what else is known of the tokens. */
static void call_init(call *c, int with) {
    uint64_t state = 1;
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < N_ITEMS(c->x); i++) c->x[i] = (float)random_normal(&state);
    for (size_t i = 0; i < N_ITEMS(c->loadings); i++) c->loadings[i] = (float)random_normal(&state);
    for (size_t i = 0; i < T; i++) {
        c->scores[i] = (float)(i + 1);
        c->guarded[i] = c->kept[i] = (int32_t)i;
    }
    for (size_t k = 0; k < K; k++) c->members[k] = c->survivors[k] = 5;
    c->config = prunesid_config_init(PRUNESID_PAPER, N);
    c->config.n_groups = K;
    c->config_at = &c->config;
    c->input = prunesid_input_init(c->x, PRUNESID_F32, T, D);
    c->input.scores = with & SCORES ? c->scores : NULL;
    c->input.loadings = with & LOADINGS ? c->loadings : NULL;
    c->input.ld_loadings = K;
    c->input.protected_tokens = with & PROTECTED ? c->guarded : NULL;
    c->input.n_protected = with & PROTECTED ? N_GUARDED : 0;
    c->input_at = &c->input;
    c->own_workspace = guard_workspace(&c->config, &c->input);
    c->workspace = c->own_workspace.data;
    c->workspace_bytes = c->own_workspace.n_bytes;
    c->capacity = N;
    c->tau = 0.5;
    c->group_at = c->group;
    c->loading_at = c->scores;
    c->members_at = c->members;
    c->survivors_at = c->survivors;
    c->kept_at = c->kept;
    c->outputs = guard_new(N_ARRAYS * OUTPUT_BYTES, OUTPUT_FILL);
    c->indices = (int32_t *)output(c, 0);
    c->order = (int32_t *)output(c, 1);
    c->n_members = (int32_t *)output(c, 2);
    c->n_survivors = (int32_t *)output(c, 3);
    c->quota = (int32_t *)output(c, 4);
    c->psca_group = (int32_t *)output(c, 5);
    c->psca_loadings = (float *)output(c, 6);
    c->psca_loading = (float *)output(c, 7);
    c->psca_stats = (prunesid_stats *)output(c, 8);
    c->information = (prunesid_information *)output(c, 9);
    c->bytes = (size_t *)output(c, 10);
    c->row = c->bytes + 1;
    c->column = c->bytes + 2;
    c->details = (prunesid_details *)output(c, 11);
    c->details->order = (int32_t *)output(c, 12);
    c->details->group = (int32_t *)output(c, 13);
    c->details->state = (uint8_t *)output(c, 14);
    c->details->loading = c->psca_loading; /* of two functions, of which one is called at a time */
    c->details->representative = c->representative = (int32_t *)output(c, 15);
    c->details->scope = PRUNESID_SCOPE_ALL;
    c->details->count = c->count = (int32_t *)output(c, 16);
    c->details->log_count = c->log_count = (float *)output(c, 17);
    c->coverage = (double *)(void *)(c->log_count + T);
}

static void call_free(call *c) {
    guard_free(&c->own_workspace);
    guard_free(&c->outputs);
}

/* The functions; a row says by their bits which it breaks. */
enum {
    SELECT = 1,
    SELECT_ALLOC = 2,
    PSCA = 4,
    NMS = 8,
    QUOTAS = 16,
    REDUNDANCY = 32,
    WORKSPACE_SIZE = 64,
    INPUT_CHECK = 128,
    REPRESENT = 256,
    ALL = 511,
    /* in groups */
    SELECTING = SELECT | SELECT_ALLOC,
    STAGES = PSCA | NMS | QUOTAS | REPRESENT,
    READING = SELECTING | PSCA | NMS | REPRESENT | REDUNDANCY | INPUT_CHECK, /* the tokens */
    CONFIGURED = SELECTING | STAGES | WORKSPACE_SIZE,
    IN_WORKSPACE = SELECT | STAGES | REDUNDANCY,
    WHOLE_INPUT = SELECTING | STAGES,
    VIEWING = WHOLE_INPUT | REDUNDANCY | INPUT_CHECK
};

/* Calls one; on an error every output must be as it was. */
static prunesid_status call_run(call *c, int function, const char *text) {
    const prunesid_config *const config = c->config_at;
    const prunesid_input *const input = c->input_at;
    const size_t n_bytes = c->workspace_bytes;
    unsigned char before[N_ARRAYS * OUTPUT_BYTES];
    prunesid_status status = PRUNESID_OK;
    int32_t kept[T]; /* so that a row may set input.first and nothing else */
    for (size_t i = 0; i < T; i++)
        kept[i] = c->kept_at == NULL ? 0 : c->kept_at[i] + (int32_t)(uint32_t)c->input.first;
    if (c->details != NULL) c->details->scope = c->scope;
    memcpy(before, c->outputs.data, sizeof before);
    switch (function) {
    case SELECT:
        status = prunesid_select(
            config, input, c->workspace, n_bytes, c->indices, c->capacity, c->details);
        break;
    case SELECT_ALLOC:
        status = prunesid_select_alloc(config, input, c->indices, c->capacity, c->details, NULL);
        break;
    case PSCA:
        status = prunesid_psca(config, input, c->workspace, n_bytes, c->psca_loadings,
            c->psca_group, c->psca_loading, c->psca_stats);
        break;
    case NMS:
        status = prunesid_nms(config, input, c->group_at, c->loading_at, c->tau, c->workspace,
            n_bytes, c->order, c->n_members, c->n_survivors);
        break;
    case QUOTAS:
        status = prunesid_quotas(
            config, input, c->members_at, c->survivors_at, c->workspace, n_bytes, c->quota);
        break;
    case REDUNDANCY:
        status = prunesid_redundancy(input, c->workspace, n_bytes, c->information);
        break;
    case REPRESENT:
        status = prunesid_represent(config, input, c->kept_at != NULL ? kept : NULL, c->group_at,
            c->workspace, n_bytes, c->representative, c->count, c->log_count, c->coverage);
        break;
    case WORKSPACE_SIZE:
        status = prunesid_workspace_size(config, c->input.n_tokens, c->input.dim, c->bytes);
        break;
    default:
        assert_int_equal(function, INPUT_CHECK);
        status = prunesid_input_check(input, c->row, c->column);
    }
    CHECK(guard_intact(&c->own_workspace) && guard_intact(&c->outputs), "function %d: %s", function,
        text);
    const int tells_place = function == INPUT_CHECK && status == PRUNESID_ERROR_TOKENS_NOT_FINITE;
    if (status != PRUNESID_OK && !tells_place) {
        CHECK(memcmp(before, c->outputs.data, sizeof before) == 0, "function %d writes: %s",
            function, text);
    }
    return status;
}

static void the_unbroken_calls_work(void **unused) {
    (void)unused;
    for (int with = 0; with < N_WITH; with++) {
        for (int function = 1; function < ALL; function *= 2) {
            call c;
            call_init(&c, with);
            CHECK_STATUS(
                call_run(&c, function, ""), PRUNESID_OK, "function %d, with %d", function, with);
            call_free(&c);
        }
    }
}

/* Functions in `breaks` return the status; those in `may` may or may not look at what is wrong, the
 * rest take it. */
typedef struct row {
    change changes[MAX_CHANGES];
    int with, breaks, may;
    prunesid_status status;
} row;

#define BROKEN call
#define ROW(with, breaks, may, status, ...)                                                        \
    { {__VA_ARGS__}, with, breaks, may, PRUNESID_##status }
static const row rows[] = {
    /* pointers */
    ROW(0, CONFIGURED, 0, ERROR_NULL, SET(config_at, 0)),
    ROW(0, VIEWING, 0, ERROR_NULL, SET(input_at, 0)),
    ROW(0, READING, QUOTAS, ERROR_NULL, SET(input.tokens, 0)),
    ROW(LOADINGS, READING, QUOTAS, ERROR_NULL, SET(input.tokens, 0)),
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_NULL, SET(input.protected_tokens, 0)),
    ROW(0, IN_WORKSPACE, 0, ERROR_NULL, SET(workspace, 0)),
    ROW(0, SELECTING, 0, ERROR_NULL, SET(indices, 0)),
    ROW(0, 0, 0, OK, SET(details, 0)),
    ROW(0, 0, 0, OK, SET(psca_loadings, 0)),
    ROW(0, 0, 0, OK, SET(psca_group, 0), SET(psca_loading, 0), SET(psca_stats, 0)),
    ROW(0, 0, 0, OK, SET(row, 0), SET(column, 0)),
    ROW(0, NMS, 0, ERROR_NULL, SET(group_at, 0)),
    ROW(0, NMS, 0, ERROR_NULL, SET(loading_at, 0)),
    ROW(SCORES, 0, 0, OK, SET(loading_at, 0)),
    ROW(0, NMS, 0, ERROR_NULL, SET(order, 0)),
    ROW(0, NMS, 0, ERROR_NULL, SET(n_members, 0)),
    ROW(0, NMS, 0, ERROR_NULL, SET(n_survivors, 0)),
    ROW(0, QUOTAS, 0, ERROR_NULL, SET(members_at, 0)),
    ROW(0, QUOTAS, 0, ERROR_NULL, SET(survivors_at, 0)),
    ROW(0, QUOTAS, 0, ERROR_NULL, SET(quota, 0)),
    ROW(0, REDUNDANCY, 0, ERROR_NULL, SET(information, 0)),
    ROW(0, WORKSPACE_SIZE, 0, ERROR_NULL, SET(bytes, 0)),
    /* rules */
    ROW(0, CONFIGURED, 0, ERROR_PRESET, SET(config.preset, N_ITEMS(all_presets))),
    ROW(0, CONFIGURED, 0, ERROR_PRESET, SET(config.preset, -1)),
    ROW(0, CONFIGURED, 0, ERROR_THREADS, SET(config.threads.n_workers, 0)),
#ifndef _OPENMP
    ROW(0, CONFIGURED, 0, ERROR_THREADS, SET(config.threads.n_workers, 2)),
#endif
    ROW(0, CONFIGURED, 0, ERROR_SVD, SET(config.svd, 2)),
    ROW(0, CONFIGURED, 0, ERROR_SVD, SET(config.svd, -1)),
    ROW(0, CONFIGURED, 0, ERROR_BUDGET, SET(config.budget, 0)),
    ROW(0, CONFIGURED, 0, ERROR_BUDGET, SET(config.budget, BEYOND_INT32)),
    ROW(0, CONFIGURED, 0, ERROR_RESERVED, SET(config.reserved, N)),
    ROW(0, CONFIGURED, 0, ERROR_RESERVED, SET(config.reserved, SIZE_MAX)),
    ROW(0, CONFIGURED, 0, ERROR_RESERVED, SET(config.budget, 1), SET(config.reserved, 1)),
    ROW(0, CONFIGURED, 0, ERROR_GROUPS, SET(config.n_groups, BEYOND_INT32)),
    ROW(0, WHOLE_INPUT, 0, ERROR_GROUPS, SET(config.n_groups, D + 1)),
    ROW(0, WHOLE_INPUT, 0, ERROR_GROUPS, SET(input.n_tokens, K - 1)),
    ROW(LOADINGS, WHOLE_INPUT, 0, ERROR_GROUPS, SET(config.n_groups, 0)),
    /* shapes */
    ROW(0, ALL, 0, ERROR_EMPTY, SET(input.n_tokens, 0)),
    ROW(0, ALL, 0, ERROR_EMPTY, SET(input.dim, 0)),
    ROW(0, ALL, 0, ERROR_DIMENSION, SET(input.n_tokens, BEYOND_INT32)),
    ROW(0, ALL, 0, ERROR_DIMENSION, SET(input.n_tokens, SIZE_MAX)),
    ROW(0, ALL, 0, ERROR_DIMENSION, SET(input.dim, BEYOND_INT32), SET(input.ld, BEYOND_INT32)),
    ROW(0, VIEWING, 0, ERROR_DIMENSION, SET(input.first, INT32_MAX - T + 1)),
    ROW(0, VIEWING, 0, ERROR_DIMENSION, SET(input.first, SIZE_MAX)),
    ROW(0, 0, 0, OK, SET(input.first, INT32_MAX - T)),
    ROW(0, ALL, 0, ERROR_OVERFLOW, SET(input.n_tokens, INT32_MAX), SET(input.dim, INT32_MAX),
        SET(input.ld, INT32_MAX)),
    ROW(0, VIEWING, 0, ERROR_OVERFLOW, SET(input.ld, SIZE_MAX / 8)),
    ROW(0, VIEWING, 0, ERROR_STRIDE, SET(input.ld, D - 1)),
    ROW(LOADINGS, WHOLE_INPUT, 0, ERROR_STRIDE, SET(input.ld_loadings, K - 1)),
    ROW(0, 0, 0, OK, SET(input.ld_loadings, 0)),
    ROW(LOADINGS, WHOLE_INPUT, 0, ERROR_OVERFLOW, SET(input.ld_loadings, SIZE_MAX / 4 + 3)),
    /* data */
    ROW(0, VIEWING, 0, ERROR_DTYPE, SET(input.dtype, 3)),
    ROW(0, VIEWING, 0, ERROR_DTYPE, SET(input.dtype, -1)),
    ROW(0, READING, QUOTAS, ERROR_ALIGNMENT, MOVE(input.tokens, 2)),
    ROW(0, READING, QUOTAS, ERROR_ALIGNMENT, MOVE(input.tokens, 1), SET(input.dtype, PRUNESID_F16)),
    ROW(0, READING, QUOTAS, ERROR_ALIGNMENT, MOVE(input.tokens, 1),
        SET(input.dtype, PRUNESID_BF16)),
    ROW(SCORES, SELECTING | NMS, PSCA | QUOTAS | REPRESENT, ERROR_ALIGNMENT, MOVE(input.scores, 1)),
    ROW(LOADINGS, SELECTING | PSCA, NMS | QUOTAS | REPRESENT, ERROR_ALIGNMENT,
        MOVE(input.loadings, 1)),
    ROW(0, READING, 0, ERROR_TOKENS_NOT_FINITE, SET(x[0], FLOAT_NAN)),
    ROW(LOADINGS, READING, 0, ERROR_TOKENS_NOT_FINITE, SET(x[T * D - 1], FLOAT_INFINITY)),
    ROW(SCORES, SELECTING | NMS, PSCA | QUOTAS | REPRESENT, ERROR_SCORES_NOT_FINITE,
        SET(scores[T - 1], FLOAT_NAN)),
    ROW(SCORES | LOADINGS, SELECTING | NMS, PSCA | QUOTAS | REPRESENT, ERROR_SCORES_NOT_FINITE,
        SET(scores[0], FLOAT_INFINITY)),
    ROW(LOADINGS, SELECTING | PSCA, 0, ERROR_LOADINGS_NOT_FINITE,
        SET(loadings[T * K - 1], FLOAT_NAN)),
    ROW(LOADINGS | SCORES, SELECTING | PSCA, 0, ERROR_LOADINGS_NOT_FINITE,
        SET(loadings[0], FLOAT_INFINITY)),
    /* keeping everything needs no SVD, but what is wrong is wrong */
    ROW(0, READING, 0, ERROR_TOKENS_NOT_FINITE, SET(config.budget, T), SET(capacity, T),
        SET(x[T * D - 1], FLOAT_NAN)),
    ROW(SCORES, SELECTING | NMS, PSCA | QUOTAS | REPRESENT, ERROR_SCORES_NOT_FINITE,
        SET(config.budget, T), SET(capacity, T), SET(scores[T - 1], FLOAT_NAN)),
    ROW(LOADINGS, SELECTING | PSCA, 0, ERROR_LOADINGS_NOT_FINITE, SET(config.budget, T),
        SET(capacity, T), SET(loadings[4], FLOAT_NAN)),
    ROW(0, SELECTING, 0, ERROR_CAPACITY, SET(config.budget, T), SET(capacity, T - 1)),
    /* protected tokens */
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_PROTECTED_INDEX, SET(guarded[1], 5), SET(guarded[2], 4)),
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_PROTECTED_INDEX, SET(guarded[2], 1)),
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_PROTECTED_INDEX, SET(guarded[0], -1)),
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_PROTECTED_INDEX, SET(guarded[2], T)),
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_PROTECTED_INDEX, SET(guarded[2], INT32_MAX)),
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_PROTECTED_INDEX, SET(input.first, 1)),
    ROW(PROTECTED, 0, 0, OK, SET(input.first, 1), SET(guarded[0], 1), SET(guarded[1], 2),
        SET(guarded[2], T)),
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_PROTECTED_INDEX, SET(input.first, 1), SET(guarded[0], 1),
        SET(guarded[1], 2), SET(guarded[2], T + 1)),
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_PROTECTED_COUNT, SET(input.n_protected, N + 1)),
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_PROTECTED_COUNT, SET(input.n_protected, SIZE_MAX)),
    ROW(PROTECTED, WHOLE_INPUT, 0, ERROR_PROTECTED_COUNT, SET(config.reserved, 1),
        SET(input.n_protected, N)),
    ROW(PROTECTED, 0, 0, OK, SET(input.n_protected, N)),
    /* room */
    ROW(0, SELECTING, 0, ERROR_CAPACITY, SET(capacity, N - 1)),
    ROW(0, SELECTING, 0, ERROR_CAPACITY, SET(capacity, 0)),
    ROW(0, 0, 0, OK, SET(config.reserved, 1), SET(capacity, N - 1)),
    ROW(0, 0, 0, OK, SET(capacity, SIZE_MAX)),
    ROW(0, SELECT | STAGES, 0, ERROR_WORKSPACE_SHORT, MOVE(workspace_bytes, -1)),
    ROW(0, IN_WORKSPACE, 0, ERROR_WORKSPACE_SHORT, SET(workspace_bytes, 0)),
    ROW(0, IN_WORKSPACE, 0, ERROR_WORKSPACE_ALIGNMENT, MOVE(workspace, 8)),
    ROW(0, IN_WORKSPACE, 0, ERROR_WORKSPACE_ALIGNMENT, MOVE(workspace, 1)),
    /* what only one stage reads */
    ROW(0, NMS | REPRESENT, 0, ERROR_GROUP_INDEX, SET(group[0], -1)),
    ROW(0, NMS | REPRESENT, 0, ERROR_GROUP_INDEX, SET(group[T / 2], K)),
    ROW(0, NMS | REPRESENT, 0, ERROR_GROUP_INDEX, SET(group[T - 1], INT32_MAX)),
    ROW(SCORES, NMS | REPRESENT, 0, ERROR_GROUP_INDEX, SET(group[T - 1], INT32_MIN)),
    ROW(0, NMS, 0, ERROR_TAU, SET(tau, DOUBLE_NAN)),
    ROW(0, NMS, 0, ERROR_TAU, SET(tau, DOUBLE_INFINITY)),
    ROW(0, NMS, 0, ERROR_TAU, SET(tau, 0x8000000000000000 | DOUBLE_INFINITY)),
    ROW(0, NMS, 0, ERROR_LOADINGS_NOT_FINITE, SET(scores[T - 1], FLOAT_NAN)),
    ROW(0, QUOTAS, 0, ERROR_COUNTS, SET(members[1], -1)),
    ROW(0, QUOTAS, 0, ERROR_COUNTS, SET(survivors[K - 1], 6)),
    ROW(0, QUOTAS, 0, ERROR_COUNTS, SET(survivors[0], -1)),
    /* representatives */
    ROW(0, SELECTING, 0, ERROR_SCOPE, SET(scope, 2)),
    ROW(0, SELECTING, 0, ERROR_SCOPE, SET(scope, -1)),
    ROW(0, 0, 0, OK, SET(scope, PRUNESID_SCOPE_GROUP)),
    ROW(0, REPRESENT, 0, ERROR_NULL, SET(kept_at, 0)),
    ROW(0, REPRESENT, 0, ERROR_INDEX, SET(kept[0], -1)),
    ROW(0, REPRESENT, 0, ERROR_INDEX, SET(kept[1], 0)),
    ROW(0, REPRESENT, 0, ERROR_INDEX, SET(kept[N - 1], T)),
    ROW(0, REPRESENT, 0, ERROR_INDEX, SET(kept[3], 5)),
    ROW(0, 0, 0, OK, SET(kept[N], 0)),
    ROW(0, 0, 0, OK, SET(representative, 0), SET(count, 0)),
    ROW(0, 0, 0, OK, SET(log_count, 0), SET(coverage, 0)),
};

static void each_cause_has_its_status(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(rows); i++) {
        for (int function = 1; function < ALL; function *= 2) {
            call c;
            const char *const text = text_of(rows[i].changes);
            call_init(&c, rows[i].with);
            apply(&c, rows[i].changes);
            const prunesid_status status = call_run(&c, function, text);
            if (!(rows[i].may & function && status == PRUNESID_OK)) {
                CHECK_STATUS(status,
                    (rows[i].breaks | rows[i].may) & function ? rows[i].status : PRUNESID_OK,
                    "function %d, with %d: %s", function, rows[i].with, text);
            }
            call_free(&c);
        }
    }
}

/* First, middle, last; each kind of non-number; every dtype; and what lies in the padding is not
 * looked at. */
static void non_finite_tokens(void **unused) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const size_t places[][2] = {{0, 0}, {0, D - 1}, {13, 5}, {T - 1, 0}, {T - 1, D - 1}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(bad) * N_ITEMS(places) * 6; i++) {
        const size_t *const place = places[i / 3 % 5];
        const prunesid_dtype dtype = (prunesid_dtype)(i / 15 % 3);
        call c;
        call_init(&c, i >= 45 ? LOADINGS : 0);
        c.input.dtype = dtype;
        c.input.ld = LD;
        for (size_t j = 0; j < T; j++) c.x[j * LD + D] = NAN;
        void *data = convert(c.x, N_ITEMS(c.x), dtype);
        c.input.tokens = data;
        for (int function = 1; function < ALL; function *= 2)
            CHECK_STATUS(call_run(&c, function, ""), PRUNESID_OK, "case %zu", i);
        free(data);
        c.x[place[0] * LD + place[1]] = bad[i % 3];
        c.x[(T - 1) * LD + D - 1] = bad[i % 3]; /* not the first, unless it is the place */
        data = convert(c.x, N_ITEMS(c.x), dtype);
        c.input.tokens = data;
        for (int function = 1; function < ALL; function *= 2) {
            if (!(function & READING)) continue;
            CHECK_STATUS(call_run(&c, function, ""), PRUNESID_ERROR_TOKENS_NOT_FINITE,
                "case %zu, function %d", i, function);
        }
        assert_true(*c.row == place[0] && *c.column == place[1]);
        assert_int_equal(
            prunesid_input_check(&c.input, NULL, NULL), PRUNESID_ERROR_TOKENS_NOT_FINITE);
        free(data);
        call_free(&c);
    }
}

static void non_finite_scores_and_loadings(void **unused) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    (void)unused;
    for (size_t i = 0; i < 9 * 2; i++) {
        const int function = i % 2 ? SELECT_ALLOC : SELECT;
        call c;
        call_init(&c, SCORES);
        c.scores[i / 6 * (T - 1) / 2] = bad[i / 2 % 3];
        CHECK_STATUS(call_run(&c, function, ""), PRUNESID_ERROR_SCORES_NOT_FINITE, "case %zu", i);
        c.input.loadings = c.loadings;
        CHECK_STATUS(call_run(&c, function, ""), PRUNESID_ERROR_SCORES_NOT_FINITE, "case %zu", i);
        c.input.scores = NULL;
        c.loadings[i / 6 * (T * K - 1) / 2] = bad[i / 2 % 3];
        CHECK_STATUS(call_run(&c, function, ""), PRUNESID_ERROR_LOADINGS_NOT_FINITE, "case %zu", i);
        call_free(&c);
    }
}

/* More groups than tokens or channels can come from an engine's loadings, not from our SVD. */
static void an_engine_may_have_more_groups_than_components(void **unused) {
    enum { MANY = T + 5 };
    static float loadings[T * MANY];
    uint64_t state = 3;
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(loadings); i++) loadings[i] = (float)random_normal(&state);
    for (int has_loadings = 0; has_loadings < 2; has_loadings++) {
        call c;
        call_init(&c, 0);
        c.config.n_groups = MANY;
        c.input.loadings = has_loadings ? loadings : NULL;
        c.input.ld_loadings = MANY;
        run r = run_select(&c.config, &c.input);
        CHECK_STATUS(
            r.status, has_loadings ? PRUNESID_OK : PRUNESID_ERROR_GROUPS, "%d", has_loadings);
        assert_true(has_loadings ? run_consistent(&r, &c.config, &c.input) : run_untouched(&r));
        run_free(&r);
        c.config.n_groups = c.input.n_tokens = c.input.ld_loadings = INT32_MAX;
        CHECK_STATUS(call_run(&c, SELECT, "INT32_MAX groups"),
            has_loadings || SIZE_MAX == UINT32_MAX ? PRUNESID_ERROR_OVERFLOW
                                                   : PRUNESID_ERROR_GROUPS,
            "%d", has_loadings);
        call_free(&c);
    }
}

/* Sizes at their limits: an answer or a refusal, never one that wrapped round. */
static void workspace_sizes_at_the_limits(void **unused) {
    static const size_t sizes[] = {1, 2, 1000, 65536, INT32_MAX - 1, INT32_MAX};
    (void)unused;
    for (size_t i = 0; i < 6 * 6 * 6 * N_ITEMS(all_presets); i++) {
        const size_t n_tokens = sizes[i % 6], dim = sizes[i / 6 % 6];
        prunesid_config config = prunesid_config_init(all_presets[i / 216], sizes[i / 36 % 6]);
        size_t n_bytes = 77;
        config.reserved = 0;
        const prunesid_status status = prunesid_workspace_size(&config, n_tokens, dim, &n_bytes);
        if (status == PRUNESID_OK) {
            assert_true((double)n_bytes >= 8.0 * (double)n_tokens);
            assert_true(n_bytes <= SIZE_MAX / 4);
        } else {
            CHECK_STATUS(status, PRUNESID_ERROR_OVERFLOW, "%zu x %zu", n_tokens, dim);
            assert_true((double)n_tokens * (double)dim > (SIZE_MAX > UINT32_MAX ? 1e9 : 1e7));
            assert_int_equal(n_bytes, 77);
        }
    }
}

/* ---- status numbers ----------------------------------------------------------------------- */

static void status_numbers_and_texts_are_distinct(void **unused) {
    static const prunesid_status all[] = {
#define NAME(name, value, text) name,
        PRUNESID_STATUS_TABLE(NAME)
#undef NAME
    };
    static const int others[] = {1, -1, -100, -1000, INT32_MAX, INT32_MIN};
    const char *const unknown = "unknown status";
    (void)unused;
    assert_int_equal(PRUNESID_OK, 0);
    for (size_t i = 0; i < N_ITEMS(others); i++)
        assert_string_equal(prunesid_status_string((prunesid_status)others[i]), unknown);
    for (size_t i = 0; i < N_ITEMS(all); i++) {
        const char *const text = prunesid_status_string(all[i]);
        assert_true(all[i] == PRUNESID_OK || all[i] <= -101);
        assert_true(strlen(text) > 0);
        assert_string_not_equal(text, unknown);
        for (size_t j = 0; j < i; j++) {
            assert_true(all[i] != all[j]);
            assert_string_not_equal(text, prunesid_status_string(all[j]));
        }
    }
}

/* ---- the allocator ------------------------------------------------------------------------ */

typedef struct counter {
    int n_allocated, n_released, refuses;
    size_t n_bytes;
    guard memory;
} counter;

static void *allocate(size_t n_bytes, void *user) {
    counter *const c = (counter *)user;
    c->n_allocated++;
    c->n_bytes = n_bytes;
    if (c->refuses) return NULL;
    c->memory = guard_new(n_bytes, 0xFF);
    return c->memory.data;
}

static void release(void *memory, void *user) {
    counter *const c = (counter *)user;
    c->n_released++;
    assert_ptr_equal(memory, c->memory.data);
    guard_free(&c->memory);
}

static void the_allocator_is_used_once(void **unused) {
    counter count = {0, 0, 0, 0, {NULL, NULL, 0}};
    const prunesid_allocator allocator = {allocate, release, &count};
    size_t n_bytes = 0;
    call c;
    (void)unused;
    call_init(&c, PROTECTED);
    run want = run_select(&c.config, &c.input);
    for (int has_own = 0; has_own < 2; has_own++) { /* or malloc and free */
        run r = run_new(&c.config, &c.input);
        r.status = prunesid_select_alloc(
            &c.config, &c.input, r.indices, r.n_kept, &r.details, has_own ? &allocator : NULL);
        assert_true(run_equal(&want, &r));
        run_free(&r);
    }
    assert_int_equal(prunesid_workspace_size(&c.config, T, D, &n_bytes), PRUNESID_OK);
    assert_true(count.n_allocated == 1 && count.n_released == 1 && count.n_bytes == n_bytes);
    run_free(&want);
    call_free(&c);
}

/* What is allocated is released, whatever goes wrong; nothing may be allocated where the size says
 * what is wrong (`may` is 0). */
static void the_allocator_on_errors(void **unused) {
    static const row cases[] = {
        ROW(0, SELECT_ALLOC, 0, ERROR_BUDGET, SET(config.budget, 0)),
        ROW(0, SELECT_ALLOC, 0, ERROR_EMPTY, SET(input.n_tokens, 0)),
        ROW(0, SELECT_ALLOC, 0, ERROR_NULL, SET(config_at, 0)),
        ROW(0, SELECT_ALLOC, 0, ERROR_NULL, SET(input_at, 0)),
        ROW(0, SELECT_ALLOC, SELECT_ALLOC, ERROR_NULL, SET(indices, 0)),
        ROW(0, SELECT_ALLOC, SELECT_ALLOC, ERROR_CAPACITY, SET(capacity, N - 1)),
        ROW(0, SELECT_ALLOC, SELECT_ALLOC, ERROR_GROUPS, SET(config.n_groups, D + 1)),
        ROW(0, SELECT_ALLOC, SELECT_ALLOC, ERROR_TOKENS_NOT_FINITE, SET(x[3], FLOAT_NAN)),
        ROW(SCORES, SELECT_ALLOC, SELECT_ALLOC, ERROR_SCORES_NOT_FINITE, SET(scores[0], FLOAT_NAN)),
    };
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        counter count = {0, 0, 0, 0, {NULL, NULL, 0}};
        const prunesid_allocator allocator = {allocate, release, &count};
        const char *const text = text_of(cases[i].changes);
        call c;
        call_init(&c, cases[i].with);
        apply(&c, cases[i].changes);
        CHECK_STATUS(prunesid_select_alloc(
                         c.config_at, c.input_at, c.indices, c.capacity, c.details, &allocator),
            cases[i].status, "%s", text);
        CHECK(count.n_allocated == count.n_released, "%s", text);
        CHECK(count.n_allocated == 0 || cases[i].may, "%s", text);
        call_free(&c);
    }
    counter count = {0, 0, 1, 0, {NULL, NULL, 0}};
    const prunesid_allocator allocators[] = {
        {allocate, release, &count}, {NULL, release, &count}, {allocate, NULL, &count}};
    call c;
    call_init(&c, 0);
    run r = run_new(&c.config, &c.input);
    for (size_t i = 0; i < N_ITEMS(allocators); i++) {
        CHECK_STATUS(prunesid_select_alloc(
                         &c.config, &c.input, r.indices, r.n_kept, &r.details, &allocators[i]),
            i == 0 ? PRUNESID_ERROR_ALLOCATION : PRUNESID_ERROR_NULL, "allocator %zu", i);
        assert_true(run_untouched(&r));
    }
    assert_true(count.n_allocated == 1 && count.n_released == 0);
    run_free(&r);
    call_free(&c);
}

/* ---- a batch ------------------------------------------------------------------------------ */

enum { N_REGIONS = 3, REGION_TOKENS = 9, REGION_BUDGET = 4, NONE = N_REGIONS };

/* A valid call on three regions of one image; a row breaks something in it. */
typedef struct tiles {
    const prunesid_batch *batch_at;
    prunesid_batch batch;
    prunesid_region regions[N_REGIONS];
    float x[T * D];
    int32_t guarded[T];
    unsigned char *workspace;
    size_t workspace_bytes, capacity;
    int32_t *indices;
    prunesid_information *information;
    prunesid_plan *plan_at, plan;
    guard own_workspace, own_indices, own_information, order, state;
} tiles;

static void tiles_init(tiles *t, prunesid_sharing sharing, int with) {
    static const size_t firsts[N_REGIONS] = {0, 10, 18}, sizes[N_REGIONS] = {8, 8, 9};
    const prunesid_config config =
        prunesid_config_init(PRUNESID_AUTO, (size_t)N_REGIONS * REGION_BUDGET);
    uint64_t state = 2;
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < N_ITEMS(t->x); i++) t->x[i] = (float)random_normal(&state);
    for (int32_t i = 0; i < N_GUARDED; i++) t->guarded[i] = 10 + i; /* in the second region */
    prunesid_input image = prunesid_input_init(t->x, PRUNESID_F32, T, D);
    image.protected_tokens = with & PROTECTED ? t->guarded : NULL;
    image.n_protected = with & PROTECTED ? N_GUARDED : 0;
    for (size_t r = 0; r < N_REGIONS; r++)
        t->regions[r] = prunesid_region_init(&image, firsts[r], sizes[r], REGION_BUDGET);
    t->order = guard_new(REGION_TOKENS * 4, OUTPUT_FILL);
    t->state = guard_new(REGION_TOKENS, OUTPUT_FILL);
    t->regions[2].details.order = (int32_t *)(void *)t->order.data;
    t->regions[2].details.state = t->state.data;
    t->batch = prunesid_batch_init(&config, sharing, t->regions, N_REGIONS);
    t->batch_at = &t->batch;
    t->plan_at = &t->plan;
    assert_int_equal(prunesid_batch_plan(&t->batch, &t->plan), PRUNESID_OK);
    assert_true(t->plan.n_kept == 12 && t->plan.region == NONE && t->plan.workspace_bytes > 0);
    t->own_workspace = guard_new(t->plan.workspace_bytes, 0xFF);
    t->workspace = t->own_workspace.data;
    t->workspace_bytes = t->plan.workspace_bytes;
    t->own_indices = guard_new(t->plan.n_kept * 4, OUTPUT_FILL);
    t->indices = (int32_t *)(void *)t->own_indices.data;
    t->capacity = t->plan.n_kept;
    t->own_information = guard_new(N_REGIONS * sizeof *t->information, OUTPUT_FILL);
    t->information = (prunesid_information *)(void *)t->own_information.data;
}

static int tiles_untouched(const tiles *t) {
    return guard_untouched(&t->own_indices, OUTPUT_FILL) &&
           guard_untouched(&t->own_information, OUTPUT_FILL) &&
           guard_untouched(&t->order, OUTPUT_FILL) && guard_untouched(&t->state, OUTPUT_FILL);
}

static void tiles_free(tiles *t) {
    guard *const all[] = {
        &t->own_workspace, &t->own_indices, &t->own_information, &t->order, &t->state};
    for (size_t i = 0; i < N_ITEMS(all); i++) guard_free(all[i]);
}

enum { PLAN = 1, BATCH = 2, MEASURE = 4, ANY = 7, IN_MEMORY = BATCH | MEASURE };

/* Calls one; on an error nothing may be written, the regions included. */
static prunesid_status tiles_run(tiles *t, int function, const char *text) {
    prunesid_region before[N_REGIONS];
    prunesid_status status = PRUNESID_OK;
    memcpy(before, t->regions, sizeof before);
    switch (function) {
    case PLAN:
        memset(&t->plan, OUTPUT_FILL, sizeof t->plan);
        status = prunesid_batch_plan(t->batch_at, t->plan_at);
        break;
    case BATCH:
        status = prunesid_batch_select(
            t->batch_at, t->workspace, t->workspace_bytes, t->indices, t->capacity);
        break;
    default:
        status = prunesid_batch_redundancy(
            t->batch_at, t->workspace, t->workspace_bytes, t->information);
    }
    if (status != PRUNESID_OK) {
        CHECK(tiles_untouched(t), "function %d writes: %s", function, text);
        CHECK(memcmp(before, t->regions, sizeof before) == 0, "function %d writes: %s", function,
            text);
    }
    return status;
}

enum { FIXED = 1, BY_SIZE = 2, BY_PHI = 4, SHARED = BY_SIZE | BY_PHI, ANYHOW = 7 };

/* Under the sharings given, the functions given return the status, and a plan names the region at
 * fault; any other function takes it. */
typedef struct tiles_row {
    change changes[MAX_CHANGES];
    int with, sharing, breaks;
    prunesid_status status;
    size_t region;
} tiles_row;

#undef BROKEN
#undef ROW
#define BROKEN tiles
#define ROW(with, sharing, breaks, status, region, ...)                                            \
    { {__VA_ARGS__}, with, sharing, breaks, PRUNESID_##status, region }
static const tiles_row tiles_rows[] = {
    /* pointers */
    ROW(0, ANYHOW, ANY, ERROR_NULL, NONE, SET(batch_at, 0)),
    ROW(0, ANYHOW, PLAN, ERROR_NULL, NONE, SET(plan_at, 0)),
    ROW(0, ANYHOW, ANY, ERROR_NULL, NONE, SET(batch.regions, 0)),
    ROW(0, ANYHOW, IN_MEMORY, ERROR_NULL, NONE, SET(workspace, 0)),
    ROW(0, ANYHOW, BATCH, ERROR_NULL, NONE, SET(indices, 0)),
    ROW(0, ANYHOW, MEASURE, ERROR_NULL, NONE, SET(information, 0)),
    ROW(0, ANYHOW, ANY, ERROR_NULL, 2, SET(regions[2].input.tokens, 0)),
    ROW(PROTECTED, ANYHOW, ANY, ERROR_NULL, 1, SET(regions[1].input.protected_tokens, 0)),
    /* the batch */
    ROW(0, ANYHOW, ANY, ERROR_EMPTY, 0, SET(batch.n_regions, 0)),
    ROW(0, ANYHOW, ANY, ERROR_EMPTY, 0, SET(batch.n_regions, 0), SET(batch.regions, 0)),
    ROW(0, FIXED, ANY, ERROR_SHARING, NONE, SET(batch.sharing, 3)),
    ROW(0, FIXED, ANY, ERROR_SHARING, NONE, SET(batch.sharing, -1)),
    ROW(0, ANYHOW, ANY, ERROR_THREADS, NONE, SET(batch.config.threads.n_workers, 0)),
#ifndef _OPENMP
    ROW(0, ANYHOW, ANY, ERROR_THREADS, NONE, SET(batch.config.threads.n_workers, 2)),
#endif
    ROW(0, ANYHOW, ANY, ERROR_PRESET, NONE, SET(batch.config.preset, N_ITEMS(all_presets))),
    ROW(0, ANYHOW, ANY, ERROR_SVD, NONE, SET(batch.config.svd, 2)),
    ROW(0, ANYHOW, ANY, ERROR_RESERVED, NONE, SET(batch.config.reserved, SIZE_MAX)),
    ROW(0, SHARED, ANY, ERROR_BUDGET, NONE, SET(batch.config.budget, 0)),
    /* budgets and limits */
    ROW(0, FIXED, 0, OK, NONE, SET(regions[1].budget, 0), SET(batch.config.budget, REGION_BUDGET)),
    ROW(0, FIXED, ANY, ERROR_BUDGET, 1, SET(regions[1].budget, 0), SET(batch.config.budget, 0)),
    ROW(0, FIXED, ANY, ERROR_BUDGET, 1, SET(regions[1].budget, BEYOND_INT32)),
    ROW(0, SHARED, 0, OK, NONE, SET(regions[1].budget, 0)),
    ROW(0, FIXED, 0, OK, NONE, SET(batch.config.budget, 0)),
    ROW(0, FIXED, ANY, ERROR_RESERVED, 0, SET(batch.config.reserved, REGION_BUDGET)),
    ROW(0, SHARED, ANY, ERROR_TOTAL, NONE, SET(batch.config.reserved, REGION_BUDGET)),
    ROW(0, SHARED, ANY, ERROR_TOTAL, NONE, SET(batch.config.budget, N_REGIONS - 1)),
    ROW(0, SHARED, ANY, ERROR_TOTAL, NONE, SET(regions[0].low, 5), SET(regions[1].low, 5),
        SET(regions[2].low, 5)),
    ROW(0, SHARED, ANY, ERROR_LIMITS, 1, SET(regions[1].low, 4), SET(regions[1].high, 3)),
    ROW(0, FIXED, 0, OK, NONE, SET(regions[1].low, 4), SET(regions[1].high, 3)),
    ROW(0, SHARED, ANY, ERROR_LIMITS, 1, SET(batch.config.reserved, 2), SET(regions[1].high, 2)),
    ROW(0, SHARED, ANY, ERROR_LIMITS, 0, SET(regions[0].high, 0)),
    ROW(PROTECTED, SHARED, ANY, ERROR_LIMITS, 1, SET(regions[1].high, N_GUARDED - 1)),
    /* protected tokens */
    ROW(PROTECTED, ANYHOW, ANY, ERROR_PROTECTED_INDEX, 1, SET(guarded[0], 9)),
    ROW(PROTECTED, ANYHOW, ANY, ERROR_PROTECTED_INDEX, 1, SET(guarded[2], 18)),
    ROW(PROTECTED, ANYHOW, ANY, ERROR_PROTECTED_INDEX, 1, SET(guarded[2], INT32_MAX)),
    ROW(PROTECTED, ANYHOW, ANY, ERROR_PROTECTED_INDEX, 1, SET(guarded[0], -1)),
    ROW(PROTECTED, ANYHOW, ANY, ERROR_PROTECTED_INDEX, 1, SET(guarded[0], 11)),
    ROW(PROTECTED, ANYHOW, ANY, ERROR_PROTECTED_INDEX, 1, SET(guarded[0], 12)),
    ROW(PROTECTED, ANYHOW, ANY, ERROR_PROTECTED_INDEX, 1, SET(regions[1].input.first, 11)),
    ROW(PROTECTED, FIXED, ANY, ERROR_PROTECTED_COUNT, 1, SET(regions[1].budget, N_GUARDED - 1)),
    ROW(PROTECTED, SHARED, 0, OK, NONE, SET(regions[1].budget, N_GUARDED - 1)),
    /* shapes and data: each region has its own */
    ROW(0, ANYHOW, ANY, ERROR_EMPTY, 0, SET(regions[0].input.n_tokens, 0)),
    ROW(0, ANYHOW, ANY, ERROR_EMPTY, 1, SET(regions[1].input.dim, 0)),
    ROW(0, ANYHOW, ANY, ERROR_DIMENSION, 1, SET(regions[1].input.dim, BEYOND_INT32),
        SET(regions[1].input.ld, SIZE_MAX)),
    ROW(0, ANYHOW, ANY, ERROR_DIMENSION, 2, SET(regions[2].input.n_tokens, SIZE_MAX - 10)),
    ROW(0, ANYHOW, ANY, ERROR_DIMENSION, 2,
        SET(regions[2].input.first, INT32_MAX - REGION_TOKENS + 1)),
    ROW(0, ANYHOW, 0, OK, NONE, SET(regions[2].input.first, INT32_MAX - REGION_TOKENS)),
    ROW(0, ANYHOW, 0, OK, NONE, SET(regions[1].input.first, 7)),
    /* not our affair */
    ROW(0, ANYHOW, ANY, ERROR_OVERFLOW, 2, SET(regions[2].input.n_tokens, INT32_MAX - 100),
        SET(regions[2].input.dim, INT32_MAX), SET(regions[2].input.ld, INT32_MAX)),
    ROW(0, ANYHOW, ANY, ERROR_GROUPS, 0, SET(batch.config.n_groups, REGION_TOKENS)),
    ROW(0, ANYHOW, ANY, ERROR_STRIDE, 2, SET(regions[2].input.ld, D - 1)),
    ROW(0, ANYHOW, ANY, ERROR_DTYPE, 0, SET(regions[0].input.dtype, 3)),
    ROW(0, ANYHOW, ANY, ERROR_ALIGNMENT, 1, MOVE(regions[1].input.tokens, 1)),
    ROW(0, ANYHOW, ANY, ERROR_SCOPE, 2, SET(regions[2].details.scope, 2)),
    /* room */
    ROW(0, ANYHOW, IN_MEMORY, ERROR_WORKSPACE_SHORT, NONE, MOVE(workspace_bytes, -1)),
    ROW(0, ANYHOW, IN_MEMORY, ERROR_WORKSPACE_ALIGNMENT, NONE, MOVE(workspace, 4)),
    ROW(0, ANYHOW, BATCH, ERROR_CAPACITY, NONE, MOVE(capacity, -1)),
    ROW(0, ANYHOW, 0, OK, NONE, SET(capacity, SIZE_MAX)),
};

static void each_cause_in_a_batch_has_its_status(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 3 * N_ITEMS(tiles_rows); i++) {
        const tiles_row *const broken = &tiles_rows[i / 3];
        const char *const text = text_of(broken->changes);
        if (!(broken->sharing & 1 << i % 3)) continue;
        for (int function = 1; function < ANY; function *= 2) {
            const int breaks = broken->breaks & function;
            tiles t;
            tiles_init(&t, (prunesid_sharing)(i % 3), broken->with);
            apply(&t, broken->changes);
            CHECK_STATUS(tiles_run(&t, function, text), breaks ? broken->status : PRUNESID_OK,
                "function %d, sharing %zu: %s", function, i % 3, text);
            if (function == PLAN && t.batch_at != NULL && t.plan_at != NULL) {
                CHECK(t.plan.region == (breaks ? broken->region : NONE), "region %zu: %s",
                    t.plan.region, text);
                CHECK((t.plan.n_kept == 0) == (breaks != 0), "%zu: %s", t.plan.n_kept, text);
                CHECK((t.plan.workspace_bytes == 0) == (breaks != 0), "%s", text);
            }
            tiles_free(&t);
        }
    }
}

/* Rows that the image does not have: the region has none at all. */
static void regions_beyond_the_image(void **unused) {
    static const size_t cases[][2] = {/* at, n_tokens */
        {T, 1}, {T - 1, 2}, {0, T + 1}, {22, 9}, {T + 1, 0}, {SIZE_MAX, 1}, {SIZE_MAX - 3, 9},
        {18, SIZE_MAX - 10}, {SIZE_MAX, SIZE_MAX}, {5, 0}};
    (void)unused;
    for (size_t i = 0; i < 3 * N_ITEMS(cases); i++) {
        tiles t;
        tiles_init(&t, (prunesid_sharing)(i % 3), 0);
        const prunesid_input image = prunesid_input_init(t.x, PRUNESID_F32, T, D);
        t.regions[1] = prunesid_region_init(&image, cases[i / 3][0], cases[i / 3][1], 4);
        assert_int_equal(t.regions[1].input.n_tokens, 0);
        for (int function = 1; function < ANY; function *= 2)
            CHECK_STATUS(tiles_run(&t, function, ""), PRUNESID_ERROR_EMPTY, "case %zu", i);
        assert_int_equal(t.plan.region, 1);
        tiles_free(&t);
    }
}

/* Runs every task but the last `left_out` ones; some twice, and some that there are not. */
static void run_some(void (*task)(void *data, size_t i, size_t worker), void *data, size_t n_tasks,
    size_t n_workers, void *user) {
    const size_t left_out = *(const size_t *)user;
    for (size_t i = 0; i + left_out < n_tasks; i++) task(data, i, i % n_workers);
    if (left_out < n_tasks) task(data, 0, 0);
    task(data, n_tasks, 0);
    task(data, SIZE_MAX, 0);
    task(data, n_tasks - 1, n_workers);
}

static void regions_that_are_not_run(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 3 * (N_REGIONS + 1); i++) {
        size_t left_out = i / 3;
        tiles t;
        tiles_init(&t, (prunesid_sharing)(i % 3), 0);
        t.batch.config.threads.n_workers = N_REGIONS;
        t.batch.config.threads.run = run_some;
        t.batch.config.threads.user = &left_out;
        assert_int_equal(prunesid_batch_plan(&t.batch, &t.plan), PRUNESID_OK);
        guard_free(&t.own_workspace);
        t.own_workspace = guard_new(t.plan.workspace_bytes, 0xFF);
        t.workspace = t.own_workspace.data;
        t.workspace_bytes = t.plan.workspace_bytes;
        CHECK_STATUS(
            prunesid_batch_select(&t.batch, t.workspace, t.workspace_bytes, t.indices, t.capacity),
            left_out > 0 ? PRUNESID_ERROR_NOT_RUN : PRUNESID_OK, "case %zu", i);
        for (size_t r = 0; r < N_REGIONS; r++) {
            const int was_run = r + left_out < N_REGIONS;
            CHECK_STATUS(t.regions[r].status, was_run ? PRUNESID_OK : PRUNESID_ERROR_NOT_RUN,
                "case %zu, region %zu", i, r);
            CHECK((t.regions[r].n_kept > 0) == was_run, "case %zu, region %zu", i, r);
        }
        const int was_last_run = left_out == 0;
        assert_true(guard_untouched(&t.order, OUTPUT_FILL) == !was_last_run);
        assert_true(guard_untouched(&t.state, OUTPUT_FILL) == !was_last_run);
        assert_true(left_out < N_REGIONS || tiles_untouched(&t));
        tiles_free(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_unbroken_calls_work),
        cmocka_unit_test(each_cause_has_its_status),
        cmocka_unit_test(non_finite_tokens),
        cmocka_unit_test(non_finite_scores_and_loadings),
        cmocka_unit_test(an_engine_may_have_more_groups_than_components),
        cmocka_unit_test(workspace_sizes_at_the_limits),
        cmocka_unit_test(status_numbers_and_texts_are_distinct),
        cmocka_unit_test(the_allocator_is_used_once),
        cmocka_unit_test(the_allocator_on_errors),
        cmocka_unit_test(each_cause_in_a_batch_has_its_status),
        cmocka_unit_test(regions_beyond_the_image),
        cmocka_unit_test(regions_that_are_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
