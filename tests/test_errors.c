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

/* ---- regions ------------------------------------------------------------------------------ */

enum { N_TILES = 3 };

/* A valid call on three regions; each test breaks one thing in it. */
typedef struct tiles {
    prunesid_config config;
    prunesid_sharing sharing;
    prunesid_tokens tokens;
    prunesid_region regions[N_TILES];
    prunesid_threads threads;
    float x[T * D], scores[T];
    int32_t guarded[N];
    size_t n_regions, missing_bytes, shift_bytes;
    int no_config, no_tokens, no_regions, no_indices, no_workspace, no_guarded;
} tiles;

static tiles tiles_new(prunesid_sharing sharing) {
    tiles t;
    uint64_t state = 2;
    memset(&t, 0, sizeof t);
    for (size_t i = 0; i < T * D; i++) t.x[i] = (float)random_normal(&state);
    t.config = prunesid_config_init(PRUNESID_AUTO, T, D, 12);
    t.sharing = sharing;
    t.tokens = prunesid_tokens_view(NULL, PRUNESID_F32, T, D); /* data: see tiles_run */
    static const size_t firsts[N_TILES] = {0, 10, 18}, sizes[N_TILES] = {8, 8, 9};
    for (size_t r = 0; r < N_TILES;
         r++) { /* no padding left open: they are compared byte by byte */
        t.regions[r].first = firsts[r];
        t.regions[r].n_tokens = sizes[r];
        t.regions[r].high = SIZE_MAX;
        t.regions[r].budget = 4;
    }
    t.threads.n_workers = 1;
    t.n_regions = N_TILES;
    return t;
}

/* Runs it; on an error nothing may be written, the regions included. *size and *n_kept are what the
 * two questions beforehand answer. */
static prunesid_status tiles_run(tiles *t, size_t *size, size_t *n_kept) {
    const tiles good = tiles_new(t->sharing);
    const size_t n_bytes = prunesid_regions_workspace_size(
        &good.config, good.sharing, good.regions, good.n_regions, 1);
    guard workspace = guard_new(n_bytes + 4096, 0xFF), indices = guard_new(12 * 4, OUTPUT_FILL);
    guard order = guard_new(9 * 4, OUTPUT_FILL), state = guard_new(9, OUTPUT_FILL);
    prunesid_region before[N_TILES];
    t->tokens.data = t->tokens.data == NULL ? t->x : t->tokens.data;
    t->config.protected_indices = t->config.n_protected > 0 && !t->no_guarded ? t->guarded : NULL;
    t->regions[2].out.order = (int32_t *)(void *)order.data;
    t->regions[2].out.state = state.data;
    memcpy(before, t->regions, sizeof before);
    const prunesid_config *const config = t->no_config ? NULL : &t->config;
    prunesid_region *const regions = t->no_regions ? NULL : t->regions;
    *size = prunesid_regions_workspace_size(
        config, t->sharing, regions, t->n_regions, t->threads.n_workers);
    *n_kept = prunesid_regions_n_kept(config, t->sharing, regions, t->n_regions);
    const size_t given = *size > 0 && *size < n_bytes + 4096 ? *size : n_bytes;
    const prunesid_status status =
        prunesid_select_regions(config, t->sharing, t->no_tokens ? NULL : &t->tokens, regions,
            t->n_regions, &t->threads, t->no_workspace ? NULL : workspace.data + t->shift_bytes,
            given - t->missing_bytes, t->no_indices ? NULL : (int32_t *)(void *)indices.data);
    if (status != PRUNESID_OK) {
        assert_true(guard_untouched(&indices, OUTPUT_FILL) && guard_untouched(&order, OUTPUT_FILL));
        assert_true(guard_untouched(&state, OUTPUT_FILL));
        assert_memory_equal(before, t->regions, sizeof before);
    }
    guard_free(&workspace);
    guard_free(&indices);
    guard_free(&order);
    guard_free(&state);
    return status;
}

typedef void tiles_breaker(tiles *t);

static void tiles_no_config(tiles *t) {
    t->no_config = 1;
}
static void tiles_no_tokens(tiles *t) {
    t->no_tokens = 1;
}
static void tiles_no_regions(tiles *t) {
    t->no_regions = 1;
}
static void tiles_no_indices(tiles *t) {
    t->no_indices = 1;
}
static void tiles_no_workspace(tiles *t) {
    t->no_workspace = 1;
}
static void tiles_no_guarded(tiles *t) {
    t->config.n_protected = 1;
    t->no_guarded = 1;
}
static void tiles_zero(tiles *t) {
    t->n_regions = 0;
}
static void tiles_zero_and_null(tiles *t) {
    t->n_regions = 0;
    t->no_regions = 1;
}
static void tiles_overlap(tiles *t) {
    t->regions[1].first = 7;
}
static void tiles_same(tiles *t) {
    t->regions[1] = t->regions[0];
}
static void tiles_descending(tiles *t) {
    const prunesid_region swap = t->regions[0];
    t->regions[0] = t->regions[1];
    t->regions[1] = swap;
}
static void tiles_beyond(tiles *t) {
    t->regions[2].first = 22;
}
static void tiles_far_beyond(tiles *t) {
    t->regions[2].first = SIZE_MAX - 3;
}
static void tiles_outside(tiles *t) {
    t->regions[2].first = T;
}
static void tiles_wraps(tiles *t) {
    t->regions[2].n_tokens = SIZE_MAX - 10;
}
static void tiles_empty(tiles *t) {
    t->regions[1].n_tokens = 0;
}
static void tiles_first_empty(tiles *t) {
    t->regions[0].n_tokens = 0;
}
static void tiles_floor_above_ceiling(tiles *t) {
    t->regions[1].low = 4;
    t->regions[1].high = 3;
}
static void tiles_ceiling_below_reserved(tiles *t) {
    t->config.reserved = 2;
    t->regions[1].high = 2;
}
static void tiles_ceiling_zero(tiles *t) {
    t->regions[1].high = 0;
}
static void tiles_ceiling_below_protected(tiles *t) {
    static const int32_t list[] = {10, 11, 12};
    memcpy(t->guarded, list, sizeof list);
    t->config.n_protected = N_ITEMS(list);
    t->regions[1].high = 2;
}
static void tiles_floors_above_total(tiles *t) {
    t->regions[0].low = t->regions[1].low = t->regions[2].low = 5;
}
static void tiles_total_too_small(tiles *t) {
    t->config.budget = 2;
}
static void tiles_reserved_above_total(tiles *t) {
    t->config.reserved = 4;
    t->regions[0].budget = t->regions[1].budget = t->regions[2].budget = 5;
}
static void tiles_sharing(tiles *t) {
    t->sharing = (prunesid_sharing)3;
}
static void tiles_sharing_below(tiles *t) {
    t->sharing = (prunesid_sharing)-1;
}
static void tiles_no_workers(tiles *t) {
    t->threads.n_workers = 0;
}
static void tiles_guarded_in_a_gap(tiles *t) {
    t->config.n_protected = 1;
    t->guarded[0] = 9;
}
static void tiles_guarded_behind_all(tiles *t) {
    t->config.n_protected = 1;
    t->guarded[0] = T - 1;
}
static void tiles_guarded_beyond(tiles *t) {
    t->config.n_protected = 1;
    t->guarded[0] = INT32_MAX;
}
static void tiles_guarded_negative(tiles *t) {
    t->config.n_protected = 2;
    t->guarded[0] = -1;
    t->guarded[1] = 3;
}
static void tiles_guarded_descending(tiles *t) {
    t->config.n_protected = 2;
    t->guarded[0] = 11;
    t->guarded[1] = 3;
}
static void tiles_guarded_twice(tiles *t) {
    t->config.n_protected = 2;
    t->guarded[0] = t->guarded[1] = 11;
}
static void tiles_guarded_many(tiles *t) {
    t->config.n_protected = 5;
    for (int32_t i = 0; i < 5; i++) t->guarded[i] = 10 + i;
}
static void tiles_budget_zero(tiles *t) {
    t->regions[1].budget = t->config.budget = 0;
}
static void tiles_budget_large(tiles *t) {
    t->regions[1].budget = (size_t)INT32_MAX + 1;
}
static void tiles_reserved(tiles *t) {
    t->config.reserved = 4;
}
static void tiles_reserved_huge(tiles *t) {
    t->config.reserved = SIZE_MAX;
}
static void tiles_groups(tiles *t) {
    t->config.n_groups = 9; /* fits the third region only */
}
static void tiles_preset(tiles *t) {
    t->config.preset = (prunesid_preset)4;
}
static void tiles_svd(tiles *t) {
    t->config.svd = (prunesid_svd)3;
}
static void tiles_no_channels(tiles *t) {
    t->config.dim = t->tokens.dim = 0;
}
static void tiles_many_channels(tiles *t) {
    t->config.dim = (size_t)INT32_MAX + 1;
}
static void tiles_many_tokens(tiles *t) {
    t->config.n_tokens = (size_t)INT32_MAX + 1;
}
static void tiles_overflow(tiles *t) {
    t->config.n_tokens = INT32_MAX;
    t->config.dim = INT32_MAX;
    t->config.n_groups = INT32_MAX - 100;
    t->regions[2].n_tokens = (size_t)INT32_MAX - 100;
    t->n_regions = 1;
    t->regions[0] = t->regions[2];
}
static void tiles_shape_tokens(tiles *t) {
    t->tokens.n_tokens = T - 1;
}
static void tiles_shape_dim(tiles *t) {
    t->tokens.dim = D - 1;
}
static void tiles_stride(tiles *t) {
    t->tokens.ld = D - 1;
}
static void tiles_dtype(tiles *t) {
    t->tokens.dtype = (prunesid_dtype)3;
}
static void tiles_alignment(tiles *t) {
    t->tokens.data = (const unsigned char *)(const void *)t->x + 1;
}
static void tiles_short(tiles *t) {
    t->missing_bytes = 1;
}
static void tiles_misaligned(tiles *t) {
    t->shift_bytes = 4;
}

static void regions_refuse(void **unused) {
    enum { FIXED = 1, SHARED = 2, ALL = 3 };
    static const struct {
        tiles_breaker *apply;
        int which;      /* sharings that it breaks; the others take it */
        int beforehand; /* whether the two questions say 0 */
        prunesid_status status;
    } cases[] = {
        {tiles_no_config, ALL, 1, PRUNESID_ERROR_NULL},
        {tiles_no_tokens, ALL, 0, PRUNESID_ERROR_NULL},
        {tiles_no_regions, ALL, 1, PRUNESID_ERROR_NULL},
        {tiles_no_indices, ALL, 0, PRUNESID_ERROR_NULL},
        {tiles_no_workspace, ALL, 0, PRUNESID_ERROR_NULL},
        {tiles_no_guarded, ALL, 1, PRUNESID_ERROR_NULL},
        {tiles_zero, ALL, 1, PRUNESID_ERROR_EMPTY},
        {tiles_zero_and_null, ALL, 1, PRUNESID_ERROR_EMPTY},
        {tiles_overlap, ALL, 1, PRUNESID_ERROR_REGION},
        {tiles_same, ALL, 1, PRUNESID_ERROR_REGION},
        {tiles_descending, ALL, 1, PRUNESID_ERROR_REGION},
        {tiles_beyond, ALL, 1, PRUNESID_ERROR_REGION},
        {tiles_far_beyond, ALL, 1, PRUNESID_ERROR_REGION},
        {tiles_outside, ALL, 1, PRUNESID_ERROR_REGION},
        {tiles_wraps, ALL, 1, PRUNESID_ERROR_REGION},
        {tiles_empty, ALL, 1, PRUNESID_ERROR_REGION},
        {tiles_first_empty, ALL, 1, PRUNESID_ERROR_REGION},
        {tiles_floor_above_ceiling, SHARED, 1, PRUNESID_ERROR_LIMITS},
        {tiles_ceiling_below_reserved, SHARED, 1, PRUNESID_ERROR_LIMITS},
        {tiles_ceiling_zero, SHARED, 1, PRUNESID_ERROR_LIMITS},
        {tiles_ceiling_below_protected, SHARED, 1, PRUNESID_ERROR_LIMITS},
        {tiles_floors_above_total, SHARED, 1, PRUNESID_ERROR_TOTAL},
        {tiles_total_too_small, SHARED, 1, PRUNESID_ERROR_TOTAL},
        {tiles_reserved_above_total, SHARED, 1, PRUNESID_ERROR_TOTAL},
        {tiles_sharing, ALL, 1, PRUNESID_ERROR_SHARING},
        {tiles_sharing_below, ALL, 1, PRUNESID_ERROR_SHARING},
        {tiles_guarded_in_a_gap, ALL, 1, PRUNESID_ERROR_PROTECTED_INDEX},
        {tiles_guarded_behind_all, ALL, 1, PRUNESID_ERROR_PROTECTED_INDEX},
        {tiles_guarded_beyond, ALL, 1, PRUNESID_ERROR_PROTECTED_INDEX},
        {tiles_guarded_negative, ALL, 1, PRUNESID_ERROR_PROTECTED_INDEX},
        {tiles_guarded_descending, ALL, 1, PRUNESID_ERROR_PROTECTED_INDEX},
        {tiles_guarded_twice, ALL, 1, PRUNESID_ERROR_PROTECTED_INDEX},
        {tiles_guarded_many, FIXED, 1, PRUNESID_ERROR_PROTECTED_COUNT},
        {tiles_budget_zero, ALL, 1, PRUNESID_ERROR_BUDGET},
        {tiles_budget_large, FIXED, 1, PRUNESID_ERROR_BUDGET},
        {tiles_reserved, FIXED, 1, PRUNESID_ERROR_RESERVED},
        {tiles_reserved_huge, ALL, 1, PRUNESID_ERROR_RESERVED},
        {tiles_groups, ALL, 1, PRUNESID_ERROR_GROUPS},
        {tiles_preset, ALL, 1, PRUNESID_ERROR_PRESET},
        {tiles_svd, ALL, 1, PRUNESID_ERROR_SVD},
        {tiles_no_channels, ALL, 1, PRUNESID_ERROR_EMPTY},
        {tiles_many_channels, ALL, 1, PRUNESID_ERROR_DIMENSION},
        {tiles_many_tokens, ALL, 1, PRUNESID_ERROR_DIMENSION},
        {tiles_overflow, ALL, 1, PRUNESID_ERROR_OVERFLOW},
        {tiles_shape_tokens, ALL, 0, PRUNESID_ERROR_SHAPE},
        {tiles_shape_dim, ALL, 0, PRUNESID_ERROR_SHAPE},
        {tiles_stride, ALL, 0, PRUNESID_ERROR_STRIDE},
        {tiles_dtype, ALL, 0, PRUNESID_ERROR_DTYPE},
        {tiles_alignment, ALL, 0, PRUNESID_ERROR_ALIGNMENT},
        {tiles_short, ALL, 0, PRUNESID_ERROR_WORKSPACE_SHORT},
        {tiles_misaligned, ALL, 0, PRUNESID_ERROR_WORKSPACE_ALIGNMENT},
    };
    (void)unused;
    for (size_t i = 0; i < 3 * N_ITEMS(cases); i++) {
        const prunesid_sharing sharing = (prunesid_sharing)(i % 3);
        const int breaks = cases[i / 3].which & (sharing == PRUNESID_FIXED ? FIXED : SHARED);
        size_t size, n_kept;
        tiles t = tiles_new(sharing);
        CHECK_STATUS(tiles_run(&t, &size, &n_kept), PRUNESID_OK, "unbroken, %zu", i % 3);
        assert_true(size > 0 && n_kept == 12);
        t = tiles_new(sharing);
        cases[i / 3].apply(&t);
        const prunesid_status status = tiles_run(&t, &size, &n_kept);
        if (breaks) {
            CHECK_STATUS(status, cases[i / 3].status, "case %zu, sharing %zu", i / 3, i % 3);
            CHECK((size == 0) == cases[i / 3].beforehand, "case %zu, sharing %zu", i / 3, i % 3);
            CHECK((n_kept == 0) == cases[i / 3].beforehand, "case %zu, sharing %zu", i / 3, i % 3);
        } else if (sharing ==
                   PRUNESID_FIXED) { /* shared, what breaks FIXED only may be another's */
            CHECK_STATUS(status, PRUNESID_OK, "case %zu", i / 3);
        }
    }
    for (size_t i = 0; i < 3; i++) { /* no workers: a size needs some, the number kept does not */
        size_t size, n_kept;
        tiles t = tiles_new((prunesid_sharing)i);
        tiles_no_workers(&t);
        assert_int_equal(tiles_run(&t, &size, &n_kept), PRUNESID_ERROR_THREADS);
        assert_true(size == 0 && n_kept == 12);
    }
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
        cmocka_unit_test(regions_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
