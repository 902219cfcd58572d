/* test_errors.c - every status that can be reached, and that nothing is written on the way.   MIT
 * licence. */
#include "support.h"

enum { T = 30, D = 12, K = 3, N = 8, LD = 16 };

/* A valid call; each test breaks one thing in it. */
typedef struct call {
    prunesid_config config;
    prunesid_tokens tokens;
    float x[T * LD];
    float scores[T], loadings[T * K];
    int32_t guarded[T];
    int has_scores, has_loadings;
    size_t ld_loadings, missing_bytes, shift_bytes, shift_scores, shift_loadings;
} call;

static call call_new(void) {
    call c;
    uint64_t state = 1;
    memset(&c, 0, sizeof c);
    for (size_t i = 0; i < N_ITEMS(c.x); i++) {
        c.x[i] = (float)random_normal(&state);
    }
    for (size_t i = 0; i < T * K; i++) {
        c.loadings[i] = (float)random_normal(&state);
    }
    for (size_t i = 0; i < T; i++) {
        c.scores[i] = (float)(i + 1);
        c.guarded[i] = (int32_t)i;
    }
    c.config = prunesid_config_init(PRUNESID_PAPER, T, D, N);
    c.config.n_groups = K;
    c.tokens = prunesid_tokens_view(NULL, PRUNESID_F32, T, D); /* data: see call_run */
    c.ld_loadings = K;
    return c;
}

/* Runs it in guarded memory; on an error every output must be as it was. */
static prunesid_status call_run(call *c) {
    prunesid_config good = prunesid_config_init(PRUNESID_PAPER, T, D, N);
    good.n_groups = K;
    run r = run_new(&good);
    const size_t n_bytes = prunesid_workspace_size(&good);
    guard workspace = guard_new(n_bytes + 64, 0xFF);
    const prunesid_output before = r.out;
    const prunesid_tokens given = c->tokens;
    c->tokens.data = given.data == NULL ? c->x : given.data;
    c->config.protected_indices = c->config.n_protected > 0 ? c->guarded : NULL;
    const float *const scores =
        c->has_scores ? (const float *)(const void *)((const char *)c->scores + c->shift_scores)
                      : NULL;
    const float *const loadings =
        (const float *)(const void *)((const char *)c->loadings + c->shift_loadings);
    void *const memory = workspace.data + c->shift_bytes;
    const size_t bytes = n_bytes + (c->config.n_protected > 0 ? 64 : 0) - c->missing_bytes;
    r.status = c->has_loadings
                   ? prunesid_select_from_loadings(&c->config, &c->tokens, loadings, c->ld_loadings,
                         scores, memory, bytes, &r.out)
                   : prunesid_select(&c->config, &c->tokens, scores, memory, bytes, &r.out);
    if (r.status != PRUNESID_OK) {
        assert_memory_equal(&r.out, &before, sizeof before);
        for (size_t i = 0; i < 6; i++) {
            assert_true(guard_untouched(&r.memory[i], OUTPUT_FILL));
        }
    }
    const prunesid_status status = r.status;
    c->tokens = given;
    guard_free(&workspace);
    run_free(&r);
    return status;
}

static void the_unbroken_call_works(void **unused) {
    call c = call_new();
    (void)unused;
    for (int i = 0; i < 8; i++) {
        c.has_scores = i & 1;
        c.has_loadings = i >> 1 & 1;
        c.config.n_protected = (size_t)(i >> 2 & 1);
        CHECK_STATUS(call_run(&c), PRUNESID_OK, "call %d", i);
    }
}

typedef void breaker(call *c);

static void break_preset(call *c) {
    c->config.preset = (prunesid_preset)4;
}
static void break_preset_below(call *c) {
    c->config.preset = (prunesid_preset)-1;
}
static void break_svd(call *c) {
    c->config.svd = (prunesid_svd)3;
}
static void break_dtype(call *c) {
    c->tokens.dtype = (prunesid_dtype)3;
}
static void break_no_tokens(call *c) {
    c->config.n_tokens = c->tokens.n_tokens = 0;
}
static void break_no_channels(call *c) {
    c->config.dim = c->tokens.dim = 0;
}
static void break_many_tokens(call *c) {
    c->config.n_tokens = c->tokens.n_tokens = (size_t)INT32_MAX + 1;
}
static void break_many_channels(call *c) {
    c->config.dim = c->tokens.dim = c->tokens.ld = (size_t)INT32_MAX + 1;
}
static void break_wide_stride(call *c) {
    c->tokens.ld = SIZE_MAX / 8;
}
static void break_shape_tokens(call *c) {
    c->tokens.n_tokens = T - 1;
}
static void break_shape_dim(call *c) {
    c->tokens.dim = D - 1;
}
static void break_stride(call *c) {
    c->tokens.ld = D - 1;
}
static void break_stride_loadings(call *c) {
    c->has_loadings = 1;
    c->ld_loadings = K - 1;
}
static void break_alignment(call *c) {
    c->tokens.data = (const unsigned char *)(const void *)c->x + 2;
}
static void break_alignment_f16(call *c) {
    c->tokens.data = (const unsigned char *)(const void *)c->x + 1;
    c->tokens.dtype = PRUNESID_F16;
}
static void break_alignment_scores(call *c) {
    c->has_scores = 1;
    c->shift_scores = 1;
}
static void break_alignment_loadings(call *c) {
    c->has_loadings = 1;
    c->shift_loadings = 1;
}
static void break_wide_loadings(call *c) {
    c->has_loadings = 1;
    c->ld_loadings = SIZE_MAX / 4 + 3;
}
static void break_svd_below(call *c) {
    c->config.svd = (prunesid_svd)-1;
}
static void break_dtype_below(call *c) {
    c->tokens.dtype = (prunesid_dtype)-1;
}
static void break_groups_large(call *c) {
    c->config.n_groups = (size_t)INT32_MAX + 1;
}
static void break_view_tokens(call *c) {
    c->tokens.n_tokens = (size_t)INT32_MAX + 1;
}
static void break_view_dim(call *c) {
    c->tokens.dim = c->tokens.ld = (size_t)INT32_MAX + 1;
}
static void break_view_empty(call *c) {
    c->tokens.dim = 0;
}
static void break_workspace_overflow(call *c) {
    c->has_loadings = 1;
    c->config.n_groups = INT32_MAX;
    c->ld_loadings = INT32_MAX;
    c->config.n_tokens = c->tokens.n_tokens = INT32_MAX;
}
static void break_budget_zero(call *c) {
    c->config.budget = 0;
}
static void break_budget_large(call *c) {
    c->config.budget = (size_t)INT32_MAX + 1;
}
static void break_reserved(call *c) {
    c->config.reserved = N;
}
static void break_reserved_above(call *c) {
    c->config.reserved = SIZE_MAX;
}
static void break_groups(call *c) {
    c->config.n_groups = D + 1;
}
static void break_groups_none(call *c) {
    c->has_loadings = 1;
    c->config.n_groups = 0;
}
static void break_guarded_descending(call *c) {
    c->config.n_protected = 3;
    c->guarded[1] = 5;
    c->guarded[2] = 4;
}
static void break_guarded_twice(call *c) {
    c->config.n_protected = 3;
    c->guarded[2] = c->guarded[1];
}
static void break_guarded_negative(call *c) {
    c->config.n_protected = 3;
    c->guarded[0] = -1;
}
static void break_guarded_above(call *c) {
    c->config.n_protected = 3;
    c->guarded[2] = T;
}
static void break_guarded_many(call *c) {
    c->config.n_protected = N + 1;
}
static void break_guarded_and_reserved(call *c) {
    c->config.reserved = 1;
    c->config.n_protected = N;
}
static void break_short(call *c) {
    c->missing_bytes = 1;
}
static void break_workspace_alignment(call *c) {
    c->shift_bytes = 8;
}

static void each_cause_has_its_status(void **unused) {
    static const struct {
        breaker *apply;
        prunesid_status status;
    } cases[] = {
        {break_preset, PRUNESID_ERROR_PRESET},
        {break_preset_below, PRUNESID_ERROR_PRESET},
        {break_svd, PRUNESID_ERROR_SVD},
        {break_dtype, PRUNESID_ERROR_DTYPE},
        {break_no_tokens, PRUNESID_ERROR_EMPTY},
        {break_no_channels, PRUNESID_ERROR_EMPTY},
        {break_many_tokens, PRUNESID_ERROR_DIMENSION},
        {break_many_channels, PRUNESID_ERROR_DIMENSION},
        {break_wide_stride, PRUNESID_ERROR_OVERFLOW},
        {break_shape_tokens, PRUNESID_ERROR_SHAPE},
        {break_shape_dim, PRUNESID_ERROR_SHAPE},
        {break_stride, PRUNESID_ERROR_STRIDE},
        {break_stride_loadings, PRUNESID_ERROR_STRIDE},
        {break_alignment, PRUNESID_ERROR_ALIGNMENT},
        {break_alignment_f16, PRUNESID_ERROR_ALIGNMENT},
        {break_alignment_scores, PRUNESID_ERROR_ALIGNMENT},
        {break_alignment_loadings, PRUNESID_ERROR_ALIGNMENT},
        {break_wide_loadings, PRUNESID_ERROR_OVERFLOW},
        {break_svd_below, PRUNESID_ERROR_SVD},
        {break_dtype_below, PRUNESID_ERROR_DTYPE},
        {break_groups_large, PRUNESID_ERROR_GROUPS},
        {break_view_tokens, PRUNESID_ERROR_DIMENSION},
        {break_view_dim, PRUNESID_ERROR_DIMENSION},
        {break_view_empty, PRUNESID_ERROR_EMPTY},
        {break_workspace_overflow, PRUNESID_ERROR_OVERFLOW},
        {break_budget_zero, PRUNESID_ERROR_BUDGET},
        {break_budget_large, PRUNESID_ERROR_BUDGET},
        {break_reserved, PRUNESID_ERROR_RESERVED},
        {break_reserved_above, PRUNESID_ERROR_RESERVED},
        {break_groups, PRUNESID_ERROR_GROUPS},
        {break_groups_none, PRUNESID_ERROR_GROUPS},
        {break_guarded_descending, PRUNESID_ERROR_PROTECTED_INDEX},
        {break_guarded_twice, PRUNESID_ERROR_PROTECTED_INDEX},
        {break_guarded_negative, PRUNESID_ERROR_PROTECTED_INDEX},
        {break_guarded_above, PRUNESID_ERROR_PROTECTED_INDEX},
        {break_guarded_many, PRUNESID_ERROR_PROTECTED_COUNT},
        {break_guarded_and_reserved, PRUNESID_ERROR_PROTECTED_COUNT},
        {break_short, PRUNESID_ERROR_WORKSPACE_SHORT},
        {break_workspace_alignment, PRUNESID_ERROR_WORKSPACE_ALIGNMENT},
    };
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        call c = call_new();
        cases[i].apply(&c);
        CHECK_STATUS(call_run(&c), cases[i].status, "case %zu", i);
    }
}

/* First, middle, last; each kind of non-number; every dtype; and what lies in the padding is not
 * looked at. */
static void non_finite_tokens(void **unused) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const size_t places[][2] = {{0, 0}, {0, D - 1}, {13, 5}, {T - 1, 0}, {T - 1, D - 1}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(bad) * N_ITEMS(places) * 6; i++) {
        call c = call_new();
        const size_t *const place = places[i / 3 % 5];
        const prunesid_dtype dtype = (prunesid_dtype)(i / 15 % 3);
        size_t row = 99, column = 99;
        c.has_loadings = i >= 45;
        c.tokens.dtype = dtype;
        c.tokens.ld = LD;
        for (size_t j = 0; j < T; j++) {
            c.x[j * LD + D] = NAN;
        }
        void *data = convert(c.x, N_ITEMS(c.x), dtype);
        c.tokens.data = data;
        CHECK_STATUS(call_run(&c), PRUNESID_OK, "case %zu", i);
        free(data);
        c.x[place[0] * LD + place[1]] = bad[i % 3];
        c.x[(T - 1) * LD + D - 1] = bad[i % 3]; /* not the first, unless it is the place */
        data = convert(c.x, N_ITEMS(c.x), dtype);
        c.tokens.data = data;
        CHECK_STATUS(call_run(&c), PRUNESID_ERROR_TOKENS_NOT_FINITE, "case %zu", i);
        assert_int_equal(
            prunesid_tokens_check(&c.tokens, &row, &column), PRUNESID_ERROR_TOKENS_NOT_FINITE);
        assert_true(row == place[0] && column == place[1]);
        assert_int_equal(
            prunesid_tokens_check(&c.tokens, NULL, NULL), PRUNESID_ERROR_TOKENS_NOT_FINITE);
        free(data);
    }
}

static void non_finite_scores_and_loadings(void **unused) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    (void)unused;
    for (size_t i = 0; i < 9; i++) {
        call c = call_new();
        c.has_scores = 1;
        c.scores[i / 3 * (T - 1) / 2] = bad[i % 3];
        CHECK_STATUS(call_run(&c), PRUNESID_ERROR_SCORES_NOT_FINITE, "case %zu", i);
        c.has_loadings = 1;
        CHECK_STATUS(call_run(&c), PRUNESID_ERROR_SCORES_NOT_FINITE, "case %zu", i);
        c.has_scores = 0;
        c.loadings[i / 3 * (T * K - 1) / 2] = bad[i % 3];
        CHECK_STATUS(call_run(&c), PRUNESID_ERROR_LOADINGS_NOT_FINITE, "case %zu", i);
    }
}

/* Keeping everything needs no SVD, but a wrong argument is still one. */
static void checks_where_nothing_is_pruned(void **unused) {
    call c = call_new();
    (void)unused;
    c.config.budget = T;
    c.config.n_groups = 0;
    assert_int_equal(prunesid_n_kept(&c.config), T);
    run r = run_new(&c.config);
    guard workspace = guard_workspace(&c.config);
    c.tokens.data = c.x;
    c.x[T * D - 1] = NAN;
    assert_int_equal(
        prunesid_select(&c.config, &c.tokens, NULL, workspace.data, workspace.n_bytes, &r.out),
        PRUNESID_ERROR_TOKENS_NOT_FINITE);
    c.x[T * D - 1] = 0.0f;
    c.scores[T - 1] = NAN;
    assert_int_equal(
        prunesid_select(&c.config, &c.tokens, c.scores, workspace.data, workspace.n_bytes, &r.out),
        PRUNESID_ERROR_SCORES_NOT_FINITE);
    assert_true(guard_untouched(&r.memory[0], OUTPUT_FILL));
    guard_free(&workspace);
    run_free(&r);
}

static void null_pointers(void **unused) {
    call c = call_new();
    c.tokens.data = c.x;
    guard workspace = guard_workspace(&c.config);
    void *const w = workspace.data;
    const size_t n = workspace.n_bytes;
    int32_t a[T], b[K], q[K];
    float v[T * K];
    memset(a, 0, sizeof a);
    prunesid_output out = prunesid_output_init(a), no_indices = prunesid_output_init(NULL);
    prunesid_tokens no_data = c.tokens;
    prunesid_information information;
    prunesid_config no_list = c.config;
    prunesid_stats stats;
    no_data.data = NULL;
    no_list.n_protected = 1;
    (void)unused;
    const prunesid_status got[] = {
        prunesid_select(NULL, &c.tokens, NULL, w, n, &out),
        prunesid_select(&c.config, NULL, NULL, w, n, &out),
        prunesid_select(&c.config, &no_data, NULL, w, n, &out),
        prunesid_select(&c.config, &c.tokens, NULL, NULL, n, &out),
        prunesid_select(&c.config, &c.tokens, NULL, w, n, NULL),
        prunesid_select(&c.config, &c.tokens, NULL, w, n, &no_indices),
        prunesid_select(&no_list, &c.tokens, NULL, w, n, &out),
        prunesid_select_from_loadings(&c.config, &c.tokens, NULL, K, NULL, w, n, &out),
        prunesid_select_from_loadings(NULL, &c.tokens, c.loadings, K, NULL, w, n, &out),
        prunesid_select_alloc(NULL, &c.tokens, NULL, NULL, &out),
        prunesid_select_alloc(&c.config, NULL, NULL, NULL, &out),
        prunesid_select_alloc(&c.config, &c.tokens, NULL, NULL, NULL),
        prunesid_redundancy(NULL, &c.tokens, w, n, &information),
        prunesid_redundancy(&c.config, NULL, w, n, &information),
        prunesid_redundancy(&c.config, &c.tokens, NULL, n, &information),
        prunesid_redundancy(&c.config, &c.tokens, w, n, NULL),
        prunesid_loadings(NULL, &c.tokens, w, n, v, &stats),
        prunesid_loadings(&c.config, NULL, w, n, v, &stats),
        prunesid_loadings(&c.config, &c.tokens, NULL, n, v, &stats),
        prunesid_loadings(&c.config, &c.tokens, w, n, NULL, &stats),
        prunesid_nms(NULL, &c.tokens, a, c.scores, 0.5, w, n, a, b, q),
        prunesid_nms(&c.config, NULL, a, c.scores, 0.5, w, n, a, b, q),
        prunesid_nms(&c.config, &c.tokens, NULL, c.scores, 0.5, w, n, a, b, q),
        prunesid_nms(&c.config, &c.tokens, a, NULL, 0.5, w, n, a, b, q),
        prunesid_nms(&c.config, &c.tokens, a, c.scores, 0.5, NULL, n, a, b, q),
        prunesid_nms(&c.config, &c.tokens, a, c.scores, 0.5, w, n, NULL, b, q),
        prunesid_nms(&c.config, &c.tokens, a, c.scores, 0.5, w, n, a, NULL, q),
        prunesid_nms(&c.config, &c.tokens, a, c.scores, 0.5, w, n, a, b, NULL),
        prunesid_quotas(NULL, b, b, w, n, q),
        prunesid_quotas(&c.config, NULL, b, w, n, q),
        prunesid_quotas(&c.config, b, NULL, w, n, q),
        prunesid_quotas(&c.config, b, b, NULL, n, q),
        prunesid_quotas(&c.config, b, b, w, n, NULL),
        prunesid_tokens_check(NULL, NULL, NULL),
        prunesid_tokens_check(&no_data, NULL, NULL),
    };
    for (size_t i = 0; i < N_ITEMS(got); i++) {
        CHECK_STATUS(got[i], PRUNESID_ERROR_NULL, "call %zu", i);
    }
    guard_free(&workspace);
}

/* The stages check what select checks, in guarded outputs. */
static void stages_refuse(void **unused) {
    (void)unused;
    for (int i = 0; i < 6; i++) {
        call c = call_new();
        guard workspace = guard_workspace(&c.config), order = guard_new(T * 4, 0x11);
        guard members = guard_new(K * 4, 0x11), survivors = guard_new(K * 4, 0x11);
        guard v = guard_new(T * K * 4, 0x11), quotas = guard_new(K * 4, 0x11);
        guard information = guard_new(sizeof(prunesid_information), 0x11);
        int32_t group[T], counts[K] = {1, 1, 1};
        size_t n = workspace.n_bytes;
        unsigned char *w = workspace.data;
        prunesid_status want = PRUNESID_OK;
        memset(group, 0, sizeof group);
        c.tokens.data = c.x;
        switch (i) {
        case 0:
            c.config.preset = (prunesid_preset)9;
            want = PRUNESID_ERROR_PRESET;
            break;
        case 1:
            n--;
            want = PRUNESID_ERROR_WORKSPACE_SHORT;
            break;
        case 2:
            w += 4;
            want = PRUNESID_ERROR_WORKSPACE_ALIGNMENT;
            break;
        case 3:
            c.tokens.ld = D - 1;
            want = PRUNESID_ERROR_STRIDE;
            break;
        case 4:
            c.config.n_protected = 1;
            want = PRUNESID_ERROR_NULL;
            break;
        default:
            c.x[T * D - 1] = INFINITY;
            want = PRUNESID_ERROR_TOKENS_NOT_FINITE;
        }
        CHECK_STATUS(prunesid_loadings(&c.config, &c.tokens, w, n, (float *)(void *)v.data, NULL),
            want, "loadings, %d", i);
        CHECK_STATUS(prunesid_redundancy(&c.config, &c.tokens, w, n,
                         (prunesid_information *)(void *)information.data),
            want, "redundancy, %d", i);
        CHECK_STATUS(prunesid_nms(&c.config, &c.tokens, group, c.scores, 0.5, w, n,
                         (int32_t *)(void *)order.data, (int32_t *)(void *)members.data,
                         (int32_t *)(void *)survivors.data),
            want, "nms, %d", i);
        if (i < 3) {
            CHECK_STATUS(
                prunesid_quotas(&c.config, counts, counts, w, n, (int32_t *)(void *)quotas.data),
                want, "quotas, %d", i);
        }
        guard *const all[] = {&order, &members, &survivors, &v, &quotas, &information};
        for (size_t j = 0; j < N_ITEMS(all); j++) {
            CHECK(guard_untouched(all[j], 0x11), "output %zu, %d", j, i);
            guard_free(all[j]);
        }
        guard_free(&workspace);
    }
}

static void nms_refuses_groups_scores_and_thresholds(void **unused) {
    static const int32_t bad[] = {-1, K, INT32_MAX, INT32_MIN};
    call c = call_new();
    guard workspace = guard_workspace(&c.config);
    int32_t group[T], order[T] = {77}, members[K] = {77}, survivors[K] = {77};
    (void)unused;
    c.tokens.data = c.x;
    memset(group, 0, sizeof group);
    for (size_t i = 0; i < 3 * N_ITEMS(bad); i++) {
        group[i % 3 * (T - 1) / 2] = bad[i / 3];
        assert_int_equal(prunesid_nms(&c.config, &c.tokens, group, c.scores, 0.5, workspace.data,
                             workspace.n_bytes, order, members, survivors),
            PRUNESID_ERROR_GROUP_INDEX);
        group[i % 3 * (T - 1) / 2] = 0;
    }
    static const double taus[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < N_ITEMS(taus); i++) {
        assert_int_equal(prunesid_nms(&c.config, &c.tokens, group, c.scores, taus[i],
                             workspace.data, workspace.n_bytes, order, members, survivors),
            PRUNESID_ERROR_TAU);
    }
    c.scores[T - 1] = NAN;
    assert_int_equal(prunesid_nms(&c.config, &c.tokens, group, c.scores, 0.5, workspace.data,
                         workspace.n_bytes, order, members, survivors),
        PRUNESID_ERROR_SCORES_NOT_FINITE);
    assert_true(order[0] == 77 && members[0] == 77 && survivors[0] == 77);
    guard_free(&workspace);
}

static void workspace_size_of_an_invalid_configuration_is_zero(void **unused) {
    static breaker *const breakers[] = {break_preset, break_svd, break_no_tokens, break_no_channels,
        break_many_tokens, break_budget_zero, break_many_channels, break_budget_large,
        break_reserved};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(breakers); i++) {
        call c = call_new();
        breakers[i](&c);
        CHECK(prunesid_workspace_size(&c.config) == 0, "case %zu", i);
    }
    prunesid_config config = prunesid_config_init(PRUNESID_LLAVA, T, D, 1);
    assert_int_equal(prunesid_workspace_size(&config), 0); /* its one row is reserved */
    assert_int_equal(prunesid_n_kept(&config), 0);
    assert_int_equal(prunesid_workspace_size(NULL), 0);
    /* T, d and N at their limits: a size or a refusal, never one that wrapped round */
    config = prunesid_config_init(PRUNESID_PAPER, INT32_MAX, INT32_MAX, INT32_MAX);
    const size_t n_bytes = prunesid_workspace_size(&config);
    assert_true(n_bytes == 0 || n_bytes > (size_t)INT32_MAX * 4);
}

static void status_strings_are_distinct(void **unused) {
    static const prunesid_status all[] = {
#define NAME(name, value, text) name,
        PRUNESID_STATUS_TABLE(NAME)
#undef NAME
    };
    const char *const unknown = prunesid_status_string((prunesid_status)-1000);
    (void)unused;
    assert_int_equal(PRUNESID_OK, 0);
    assert_string_equal(unknown, "unknown status");
    assert_string_equal(prunesid_status_string((prunesid_status)1), unknown);
    for (size_t i = 0; i < N_ITEMS(all); i++) {
        assert_true(i == 0 || all[i] < 0);
        assert_true(strlen(prunesid_status_string(all[i])) > 0);
        for (size_t j = 0; j <= i; j++) {
            const char *const other = j < i ? prunesid_status_string(all[j]) : unknown;
            assert_string_not_equal(prunesid_status_string(all[i]), other);
            assert_true(j == i || all[i] != all[j]);
        }
    }
}

/* ---- the allocator ------------------------------------------------------------------------ */

typedef struct counter {
    int n_allocated, n_released, refuse;
    size_t n_bytes;
    guard memory;
} counter;

static void *allocate(size_t n_bytes, void *user) {
    counter *const c = (counter *)user;
    c->n_allocated++;
    c->n_bytes = n_bytes;
    if (c->refuse) {
        return NULL;
    }
    c->memory = guard_new(n_bytes, 0xFF);
    return c->memory.data;
}

static void release(void *memory, void *user) {
    counter *const c = (counter *)user;
    c->n_released++;
    assert_ptr_equal(memory, c->memory.data);
    guard_free(&c->memory);
}

static void allocator_is_used_once(void **unused) {
    call c = call_new();
    c.tokens.data = c.x;
    run want = run_select(&c.config, &c.tokens, NULL, NULL), r = run_new(&c.config);
    counter count = {0, 0, 0, 0, {NULL, NULL, 0}};
    const prunesid_allocator allocator = {allocate, release, &count};
    (void)unused;
    r.status = prunesid_select_alloc(&c.config, &c.tokens, NULL, &allocator, &r.out);
    assert_true(run_equal(&want, &r));
    assert_int_equal(count.n_allocated, 1);
    assert_int_equal(count.n_released, 1);
    assert_int_equal(count.n_bytes, prunesid_workspace_size(&c.config));
    run_free(&r);

    r = run_new(&c.config); /* malloc and free */
    r.status = prunesid_select_alloc(&c.config, &c.tokens, NULL, NULL, &r.out);
    assert_true(run_equal(&want, &r));
    run_free(&r);
    run_free(&want);
}

static void allocator_failures(void **unused) {
    call c = call_new();
    run r = run_new(&c.config);
    counter count = {0, 0, 1, 0, {NULL, NULL, 0}};
    const prunesid_allocator allocator = {allocate, release, &count};
    (void)unused;
    c.tokens.data = c.x;
    assert_int_equal(prunesid_select_alloc(&c.config, &c.tokens, NULL, &allocator, &r.out),
        PRUNESID_ERROR_ALLOCATION);
    assert_true(count.n_allocated == 1 && count.n_released == 0);
    count.refuse = 0; /* what fails later still releases */
    c.x[3] = NAN;
    assert_int_equal(prunesid_select_alloc(&c.config, &c.tokens, NULL, &allocator, &r.out),
        PRUNESID_ERROR_TOKENS_NOT_FINITE);
    assert_int_equal(count.n_allocated, count.n_released + 1);
    c.config.budget = 0; /* and a wrong configuration has its own status */
    assert_int_equal(prunesid_select_alloc(&c.config, &c.tokens, NULL, &allocator, &r.out),
        PRUNESID_ERROR_BUDGET);
    assert_int_equal(count.n_allocated, count.n_released + 1);
    c = call_new(); /* and what can be told beforehand is told before any memory is asked for */
    c.tokens.data = c.x;
    c.config.n_groups = 1000000000;
    assert_int_equal(prunesid_select_alloc(&c.config, &c.tokens, NULL, &allocator, &r.out),
        PRUNESID_ERROR_GROUPS);
    c.config.n_groups = K;
    c.scores[0] = NAN;
    assert_int_equal(prunesid_select_alloc(&c.config, &c.tokens, c.scores, &allocator, &r.out),
        PRUNESID_ERROR_SCORES_NOT_FINITE);
    assert_int_equal(count.n_allocated, count.n_released + 1);
    const prunesid_allocator halves[] = {{NULL, release, &count}, {allocate, NULL, &count}};
    c = call_new();
    c.tokens.data = c.x;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(prunesid_select_alloc(&c.config, &c.tokens, NULL, &halves[i], &r.out),
            PRUNESID_ERROR_NULL);
    }
    for (size_t i = 0; i < 6; i++) {
        assert_true(guard_untouched(&r.memory[i], OUTPUT_FILL));
    }
    run_free(&r);
}

/* More groups than tokens or channels can come from an engine's loadings, not from our SVD. */
static void loadings_refuse_more_groups_than_components(void **unused) {
    call c = call_new();
    float v[T * (D + 1)];
    (void)unused;
    c.tokens.data = c.x;
    c.config.n_groups = D + 1;
    guard workspace = guard_workspace(&c.config);
    assert_int_equal(
        prunesid_loadings(&c.config, &c.tokens, workspace.data, workspace.n_bytes, v, NULL),
        PRUNESID_ERROR_GROUPS);
    guard_free(&workspace);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_unbroken_call_works),
        cmocka_unit_test(each_cause_has_its_status),
        cmocka_unit_test(non_finite_tokens),
        cmocka_unit_test(non_finite_scores_and_loadings),
        cmocka_unit_test(checks_where_nothing_is_pruned),
        cmocka_unit_test(null_pointers),
        cmocka_unit_test(stages_refuse),
        cmocka_unit_test(nms_refuses_groups_scores_and_thresholds),
        cmocka_unit_test(workspace_size_of_an_invalid_configuration_is_zero),
        cmocka_unit_test(status_strings_are_distinct),
        cmocka_unit_test(allocator_is_used_once),
        cmocka_unit_test(allocator_failures),
        cmocka_unit_test(loadings_refuse_more_groups_than_components),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
