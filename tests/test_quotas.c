/* test_quotas.c - sharing the budget over the groups, both rules.   MIT licence. */
#include "support.h"

enum { MAX_GROUPS = 300 };

typedef struct problem {
    size_t K, N, reserved, n_protected;
    int32_t members[MAX_GROUPS], survivors[MAX_GROUPS];
} problem;

/* No token is read: there are none behind it. */
static const float no_tokens[1];

static prunesid_status quotas(prunesid_preset preset, const problem *p, int32_t *out) {
    static int32_t ascending[4096];
    size_t T = p->n_protected;
    for (size_t k = 0; k < p->K; k++) T += (size_t)(p->members[k] > 0 ? p->members[k] : 0);
    for (size_t i = 0; i < p->n_protected; i++) ascending[i] = (int32_t)i;
    prunesid_config config = prunesid_config_init(preset, p->N);
    prunesid_input input =
        prunesid_input_init(no_tokens, PRUNESID_F32, ref_max(T, p->K), MAX_GROUPS);
    config.n_groups = p->K;
    config.reserved = p->reserved;
    input.n_protected = p->n_protected;
    input.protected_tokens = ascending;
    guard workspace = guard_workspace(&config, &input), result = guard_new(p->K * 4, 0x33);
    const prunesid_status status = prunesid_quotas(&config, &input, p->members, p->survivors,
        workspace.data, workspace.n_bytes, (int32_t *)(void *)result.data);
    assert_true(status == PRUNESID_OK || guard_untouched(&result, 0x33));
    memcpy(out, result.data, p->K * 4);
    guard_free(&workspace);
    guard_free(&result);
    return status;
}

static void reference(prunesid_preset preset, const problem *p, int64_t *out) {
    int64_t sizes[MAX_GROUPS], survivors[MAX_GROUPS];
    const int64_t left = (int64_t)(p->N - p->n_protected), reserved = (int64_t)p->reserved;
    for (size_t k = 0; k < p->K; k++) {
        sizes[k] = p->members[k];
        survivors[k] = p->survivors[k];
    }
    if (preset == PRUNESID_PAPER)
        ref_quotas_proportional(survivors, p->K, left - reserved, out);
    else
        ref_quotas_bounded(sizes, survivors, p->K, left, reserved, out);
}

static void compare(prunesid_preset preset, const problem *p, int number) {
    int32_t got[MAX_GROUPS];
    int64_t want[MAX_GROUPS];
    CHECK_STATUS(quotas(preset, p, got), PRUNESID_OK, "case %d", number);
    reference(preset, p, want);
    for (size_t k = 0; k < p->K; k++) {
        CHECK(got[k] == want[k], "preset %d, case %d, N = %zu, K = %zu, group %zu: %d, not %d",
            (int)preset, number, p->N, p->K, k, (int)got[k], (int)want[k]);
    }
}

/* Group sizes of every sort: equal, uneven, mostly empty; survivors from none to all. */
static problem problem_new(uint64_t *state) {
    problem p;
    static const size_t largest[] = {1, 3, 16, 40};
    const size_t most = largest[random_bits(state) % 4], style = random_bits(state) % 4;
    size_t total = 0;
    memset(&p, 0, sizeof p);
    p.K = random_size(state, 1, random_bits(state) % 8 == 0 ? MAX_GROUPS : 40);
    for (size_t k = 0; k < p.K; k++) {
        size_t n = style == 0 ? most : random_size(state, 0, most);
        n = style == 1 && random_bits(state) % 3 ? 0 : n;
        p.members[k] = (int32_t)n;
        p.survivors[k] = (int32_t)(style == 2 ? (n > 0) : random_size(state, 0, n));
        total += n;
    }
    if (style == 3 && random_bits(state) % 4 == 0) memset(p.survivors, 0, sizeof p.survivors);
    p.reserved = random_bits(state) % 3 == 0 ? random_size(state, 1, 3) : 0;
    p.n_protected = random_bits(state) % 4 == 0 ? random_size(state, 1, 20) : 0;
    p.N = p.reserved + p.n_protected + random_size(state, 1, total + total / 2 + 2);
    return p;
}

static void match_reference(void **unused) {
    uint64_t state = 2026;
    (void)unused;
    for (int i = 0; i < 6000; i++) {
        const problem p = problem_new(&state);
        compare(PRUNESID_PAPER, &p, i);
        compare(PRUNESID_LLAVA, &p, i);
    }
}

static void every_budget(void **unused) {
    problem p;
    (void)unused;
    memset(&p, 0, sizeof p);
    p.K = 23;
    for (size_t k = 0; k < p.K; k++) {
        p.members[k] = (int32_t)(k * k % 40);
        p.survivors[k] = (int32_t)(p.members[k] * (int32_t)(k % 4) / 3);
        p.survivors[k] = p.survivors[k] < p.members[k] ? p.survivors[k] : p.members[k];
    }
    for (p.N = 1; p.N < 700; p.N++) {
        compare(PRUNESID_PAPER, &p, (int)p.N);
        compare(PRUNESID_QWEN2VL, &p, (int)p.N);
        compare(PRUNESID_AUTO, &p, (int)p.N);
    }
}

static void known_values(void **unused) {
    /* Worked by hand from the two rules. */
    static const problem p = {3, 10, 0, 0, {20, 10, 10}, {12, 6, 2}};
    int32_t got[MAX_GROUPS];
    (void)unused;
    assert_int_equal(quotas(PRUNESID_PAPER, &p, got), PRUNESID_OK);
    assert_int_equal(got[0], 6); /* 10 * (12, 6, 2) / 20 */
    assert_int_equal(got[1], 3);
    assert_int_equal(got[2], 1);
    assert_int_equal(quotas(PRUNESID_QWEN2VL, &p, got), PRUNESID_OK);
    assert_int_equal(got[0], 5); /* 1 each, then round(7 * (0.6, 0.9, 1)) = 4, 6, 7; cap 5 */
    assert_int_equal(got[1], 3);
    assert_int_equal(got[2], 2);
}

/* n_groups 0 is the rule's number, for AUTO that of the preset that the scores make it. */
static void groups_by_the_rule(void **unused) {
    static const struct {
        size_t N, K[2]; /* without scores, with */
    } cases[] = {{1, {4, 1}}, {7, {4, 1}}, {11, {4, 2}}, {20, {5, 5}}, {900, {9, 9}}};
    static const float scores[40];
    static const int32_t ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    (void)unused;
    for (size_t i = 0; i < 2 * N_ITEMS(cases); i++) {
        const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, cases[i / 2].N);
        prunesid_input input = prunesid_input_init(no_tokens, PRUNESID_F32, 40, 9);
        const size_t K = cases[i / 2].K[i % 2];
        input.scores = i % 2 ? scores : NULL;
        guard workspace = guard_workspace(&config, &input), quota = guard_new(K * 4, 0x33);
        CHECK_STATUS(prunesid_quotas(&config, &input, ones, ones, workspace.data, workspace.n_bytes,
                         (int32_t *)(void *)quota.data),
            PRUNESID_OK, "case %zu", i);
        for (size_t k = 0; k < K; k++)
            CHECK(((int32_t *)(void *)quota.data)[k] == 1, "case %zu, group %zu of %zu", i, k, K);
        guard_free(&workspace);
        guard_free(&quota);
    }
}

static void refuse_impossible_counts(void **unused) {
    static const int32_t bad[][2] = {{3, 4}, {3, -1}, {-1, -1}, {-1, 0}, {0, 1}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(bad) * 3; i++) {
        problem p = {3, 4, 0, 0, {5, 5, 5}, {2, 2, 2}};
        int32_t got[MAX_GROUPS];
        p.members[i % 3] = bad[i / 3][0];
        p.survivors[i % 3] = bad[i / 3][1];
        CHECK_STATUS(quotas(PRUNESID_PAPER, &p, got), PRUNESID_ERROR_COUNTS, "case %zu", i);
        CHECK_STATUS(quotas(PRUNESID_LLAVA, &p, got), PRUNESID_ERROR_COUNTS, "case %zu", i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match_reference),
        cmocka_unit_test(every_budget),
        cmocka_unit_test(known_values),
        cmocka_unit_test(groups_by_the_rule),
        cmocka_unit_test(refuse_impossible_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
