/* test_budgets.c - the information-aware ratio: of a batch, and of one image.   MIT licence. */
#include "support.h"

enum { MAX_SHARES = 40 };

typedef struct problem {
    size_t n, total;
    double weights[MAX_SHARES];
    size_t low[MAX_SHARES], high[MAX_SHARES];
    int has_low, has_high;
} problem;

static size_t sum(const size_t *v, size_t n) {
    size_t total = 0;
    for (size_t i = 0; i < n; i++) total += v[i];
    return total;
}

static void compare(const problem *p, int number) {
    const size_t *const low = p->has_low ? p->low : NULL;
    const size_t *const high = p->has_high ? p->high : NULL;
    guard got = guard_new(p->n * sizeof(size_t), 0x44);
    const size_t *const shares = (const size_t *)(const void *)got.data;
    size_t want[MAX_SHARES], total = p->total;
    CHECK_STATUS(prunesid_share(p->weights, p->n, p->total, low, high, (size_t *)(void *)got.data),
        PRUNESID_OK, "case %d", number);
    ref_share(p->weights, p->n, p->total, low, high, want);
    for (size_t b = 0; b < p->n; b++) {
        CHECK(shares[b] == want[b], "case %d, share %zu of %zu: %zu, not %zu", number, b, p->n,
            shares[b], want[b]);
        assert_true(shares[b] >= (low != NULL ? low[b] : 1));
        assert_true(high == NULL || shares[b] <= high[b]);
    }
    total = high != NULL ? ref_min(total, sum(high, p->n)) : total;
    total = low != NULL ? ref_max(total, sum(low, p->n)) : ref_max(total, p->n);
    CHECK(sum(shares, p->n) == total, "case %d: %zu, not %zu", number, sum(shares, p->n), total);
    guard_free(&got);
}

/* Weights as phi has them, in [0, 1] or a little below. */
static void phi_matches_the_reference(void **unused) {
    uint64_t state = 77;
    (void)unused;
    for (int i = 0; i < 6000; i++) {
        problem p;
        memset(&p, 0, sizeof p);
        p.n = random_size(&state, 1, MAX_SHARES);
        const size_t mean = random_size(&state, 1, i % 5 == 0 ? 4 : 400);
        p.total = p.n * mean;
        p.has_low = i % 2;
        p.has_high = i / 2 % 2;
        const uint64_t style = random_bits(&state) % 6;
        for (size_t b = 0; b < p.n; b++) {
            const double u = random_unit(&state);
            p.weights[b] = style == 0   ? 0.4                          /* equal */
                           : style == 1 ? 0.0                          /* no information */
                           : style == 2 ? (b % 3 ? u : -u)             /* some below zero */
                           : style == 3 ? exp(12.0 * u - 12.0)         /* very uneven */
                           : style == 4 ? (double)(int)(4.0 * u) / 4.0 /* ties */
                                        : u;
            p.low[b] = random_size(&state, 0, random_bits(&state) % 4 ? mean : 2 * mean);
            p.high[b] =
                p.low[b] * (size_t)p.has_low + random_size(&state, p.has_low ? 0 : 1, 2 * mean);
        }
        compare(&p, i);
    }
}

/* Weights of any size, and totals that are no multiple of the shares. */
static void weights_match_the_reference(void **unused) {
    uint64_t state = 78;
    (void)unused;
    for (int i = 0; i < 6000; i++) {
        problem p;
        memset(&p, 0, sizeof p);
        p.n = random_size(&state, 1, MAX_SHARES);
        p.has_low = i % 2;
        p.has_high = i / 2 % 2;
        p.total = random_size(&state, p.n, p.n * (i % 5 == 0 ? 3 : 300));
        const size_t style = random_bits(&state) % 4;
        for (size_t b = 0; b < p.n; b++) {
            const double u = random_unit(&state);
            p.weights[b] = style == 0   ? (double)random_size(&state, 0, 5) /* ties, and none */
                           : style == 1 ? 1e6 * u
                           : style == 2 ? (b % 3 ? u : -u)
                                        : exp(20.0 * u - 10.0);
            p.low[b] = random_size(&state, 0, 2 * p.total / p.n) * (size_t)p.has_low / (1 + b % 3);
            p.low[b] = ref_min(p.low[b], p.total / p.n);
            p.high[b] = p.low[b] + random_size(&state, p.has_low ? 0 : 1, 2 * p.total / p.n);
        }
        compare(&p, i);
    }
}

/* Item `number` of all choices of n items out of n_choices. */
static size_t choice(size_t number, size_t n_choices, size_t b) {
    while (b-- > 0) number /= n_choices;
    return number % n_choices;
}

/* Every total, floor and ceiling of few small shares, present or not: also floors above the total,
 * which an absent ceiling gives way to. */
static void small_shares_match_the_reference(void **unused) {
    static const double weights[] = {0.0, 1.0, 2.5};
    static const size_t floors[] = {0, 1, 5}, rooms[] = {0, 1, 4};
    enum { N_WAYS = 4, MOST_TOTAL = 8 };
    (void)unused;
    for (size_t n = 1, n_all = 3; n <= 3; n++, n_all *= 3) {
        for (size_t i = 0; i < N_WAYS * (MOST_TOTAL + 1) * n_all * n_all * n_all; i++) {
            const size_t rest = i / N_WAYS / (MOST_TOTAL + 1), with = i % N_WAYS;
            problem p;
            memset(&p, 0, sizeof p);
            p.n = n;
            p.total = i / N_WAYS % (MOST_TOTAL + 1);
            p.has_low = with % 2 == 1;
            p.has_high = with / 2 == 1;
            if (!p.has_low && rest / n_all % n_all > 0) continue; /* each only once */
            if (!p.has_high && rest / n_all / n_all > 0) continue;
            for (size_t b = 0; b < n; b++) {
                p.weights[b] = weights[choice(rest, 3, b)];
                p.low[b] = p.has_low ? floors[choice(rest / n_all, 3, b)] : 1;
                p.high[b] = p.low[b] + rooms[choice(rest / n_all / n_all, 3, b)];
            }
            compare(&p, (int)i);
        }
    }
}

/* Totals far beyond what 32 bits hold still add up, and 2^53 is the last. */
static void large_totals(void **unused) {
    static const double huge[] = {1e308, 1e308}, two[] = {0.7, 0.1}, same[] = {1e-320, 1e-320};
#if SIZE_MAX > UINT32_MAX
    const size_t most = (size_t)1 << 53;
#else
    const size_t most = SIZE_MAX;
#endif
    uint64_t state = 79;
    size_t n[MAX_SHARES] = {99, 99};
    (void)unused;
    for (int i = 0; i < 5000; i++) {
        double weights[MAX_SHARES];
        const size_t B = random_size(&state, 1, MAX_SHARES);
        const size_t total = B + ((size_t)(random_bits(&state) >> i % 50) & (SIZE_MAX >> 12));
        for (size_t b = 0; b < B; b++) weights[b] = random_unit(&state);
        assert_int_equal(prunesid_share(weights, B, total, NULL, NULL, n), PRUNESID_OK);
        CHECK(sum(n, B) == total, "case %d: %zu, not %zu", i, sum(n, B), total);
    }
    assert_int_equal(prunesid_share(two, 2, most, NULL, NULL, n), PRUNESID_OK);
    assert_true(n[0] + n[1] == most && n[0] / n[1] >= 6 && n[0] / n[1] <= 7);
    assert_int_equal(prunesid_share(same, 2, 10, NULL, NULL, n), PRUNESID_OK);
    assert_true(n[0] == 5 && n[1] == 5);
    const prunesid_status status = prunesid_share(huge, 2, 10, NULL, NULL, n);
    assert_true(status == PRUNESID_OK ? n[0] + n[1] == 10 : status == PRUNESID_ERROR_PHI);
}

static void known_shares(void **unused) {
    static const size_t twos[] = {2, 2, 30}, high[] = {40, 400, 400}, none[] = {0, 0, 0};
    static const size_t floors[] = {10, 70}, ceilings[] = {60, 200};
    static const struct {
        double weights[3];
        size_t n, total;
        const size_t *low, *high;
        size_t want[3];
    } cases[] = {
        {{576.0, 576.0, 100.0}, 3, 100, NULL, NULL, {46, 46, 8}}, /* 46.006, 46.006, 7.987 */
        {{576.0, 576.0, 100.0}, 3, 101, twos, NULL, {36, 35, 30}},
        {{576.0, 576.0, 100.0}, 3, 101, twos, high, {36, 35, 30}},
        {{576.0, 576.0, 100.0}, 3, 200, NULL, high, {40, 136, 24}}, /* 576 to 100: 136.33, 23.67 */
        {{576.0, 576.0, 100.0}, 3, 0, none, NULL, {0, 0, 0}},
        {{576.0, 576.0, 100.0}, 3, 2, NULL, NULL, {1, 1, 1}}, /* the floors may exceed the total */
        {{0.0}, 1, 17, NULL, NULL, {17}},
        {{0.75, 0.25}, 2, 128, NULL, NULL, {96, 32}},
        {{0.75, 0.25}, 2, 128, floors, NULL, {58, 70}},
        {{0.75, 0.25}, 2, 128, NULL, ceilings, {60, 68}},
        {{0.75}, 1, 64, NULL, NULL, {64}},
        {{0.5, 0.5, 0.5}, 3, 21, NULL, NULL, {7, 7, 7}},
        {{-1.0, 0.0, -0.5}, 3, 21, NULL, NULL, {7, 7, 7}},
    };
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        size_t n[3] = {0, 0, 0};
        CHECK_STATUS(prunesid_share(cases[i].weights, cases[i].n, cases[i].total, cases[i].low,
                         cases[i].high, n),
            PRUNESID_OK, "case %zu", i);
        CHECK(
            memcmp(n, cases[i].want, sizeof n) == 0, "case %zu: %zu %zu %zu", i, n[0], n[1], n[2]);
    }
}

static void shares_refuse(void **unused) {
    static const double good[] = {0.5, 0.5}, nan_last[] = {0.5, NAN};
    static const double infinite[] = {INFINITY, 0.5}, negative[] = {-INFINITY, 0.5};
    static const size_t low[] = {3, 3}, high[] = {4, 2}, none[] = {8, 0};
    static const size_t far[] = {1, (size_t)INT32_MAX + 1};
    static const struct {
        const double *weights;
        size_t n, total;
        const size_t *low, *high;
        int has_shares;
        prunesid_status status;
    } cases[] = {
        {NULL, 2, 9, NULL, NULL, 1, PRUNESID_ERROR_NULL},
        {good, 2, 9, NULL, NULL, 0, PRUNESID_ERROR_NULL},
        {good, 0, 9, NULL, NULL, 1, PRUNESID_ERROR_EMPTY},
#if SIZE_MAX > UINT32_MAX
        {good, 2, ((size_t)1 << 53) + 2, NULL, NULL, 1, PRUNESID_ERROR_OVERFLOW},
        {good, 2, SIZE_MAX, NULL, NULL, 1, PRUNESID_ERROR_OVERFLOW},
#endif
        {nan_last, 2, 9, NULL, NULL, 1, PRUNESID_ERROR_PHI},
        {infinite, 2, 9, NULL, NULL, 1, PRUNESID_ERROR_PHI},
        {negative, 2, 9, NULL, NULL, 1, PRUNESID_ERROR_PHI},
        {good, 2, 9, low, high, 1, PRUNESID_ERROR_LIMITS},
        {good, 2, 9, NULL, none, 1, PRUNESID_ERROR_LIMITS}, /* a floor is 1 by default */
        {good, 2, 9, far, NULL, 1, PRUNESID_ERROR_LIMITS},
    };
    size_t n[2] = {99, 99};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        CHECK_STATUS(prunesid_share(cases[i].weights, cases[i].n, cases[i].total, cases[i].low,
                         cases[i].high, cases[i].has_shares ? n : NULL),
            cases[i].status, "case %zu", i);
        assert_true(n[0] == 99 && n[1] == 99);
    }
}

static void single_image(void **unused) {
    static const size_t far = (size_t)INT32_MAX + 1;
    static const struct {
        double phi, phi_ref;
        size_t N, low, high, want;
        prunesid_status status;
    } cases[] = {
        {0.5, 0.5, 64, 1, 576, 64, PRUNESID_OK},
        {0.75, 0.5, 64, 1, 576, 96, PRUNESID_OK},
        {0.25, 0.5, 5, 1, 576, 2, PRUNESID_OK},
        {0.75, 0.5, 5, 1, 576, 8, PRUNESID_OK},
        {0.25, 0.5, 7, 1, 576, 4, PRUNESID_OK},
        {0.25, 0.5, 64, 40, 576, 40, PRUNESID_OK},
        {1.0, 0.125, 64, 1, 200, 200, PRUNESID_OK},
        {-0.5, 0.5, 64, 3, 576, 3, PRUNESID_OK},
        {0.0, 0.5, 64, 0, 576, 0, PRUNESID_OK},
        {0.9, 1e-300, 64, 1, 576, 576, PRUNESID_OK},
        {0.9, 1e-300, 64, 1, SIZE_MAX, INT32_MAX, PRUNESID_OK},
        {0.5, 0.5, 0, 1, 9, 99, PRUNESID_ERROR_BUDGET},
        {0.5, 0.5, far, 1, 9, 99, PRUNESID_ERROR_BUDGET},
        {NAN, 0.5, 8, 1, 9, 99, PRUNESID_ERROR_PHI},
        {INFINITY, 0.5, 8, 1, 9, 99, PRUNESID_ERROR_PHI},
        {0.5, 0.0, 8, 1, 9, 99, PRUNESID_ERROR_PHI},
        {0.5, -1.0, 8, 1, 9, 99, PRUNESID_ERROR_PHI},
        {0.5, NAN, 8, 1, 9, 99, PRUNESID_ERROR_PHI},
        {0.5, INFINITY, 8, 1, 9, 99, PRUNESID_ERROR_PHI},
        {0.5, 0.5, 8, 10, 9, 99, PRUNESID_ERROR_LIMITS},
        {0.5, 0.5, 8, far, SIZE_MAX, 99, PRUNESID_ERROR_LIMITS},
    };
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        size_t n = 99;
        CHECK_STATUS(prunesid_budget(cases[i].phi, cases[i].phi_ref, cases[i].N, cases[i].low,
                         cases[i].high, &n),
            cases[i].status, "case %zu", i);
        CHECK(n == cases[i].want, "case %zu: %zu", i, n);
    }
    assert_int_equal(prunesid_budget(0.5, 0.5, 8, 1, 9, NULL), PRUNESID_ERROR_NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phi_matches_the_reference),
        cmocka_unit_test(weights_match_the_reference),
        cmocka_unit_test(small_shares_match_the_reference),
        cmocka_unit_test(large_totals),
        cmocka_unit_test(known_shares),
        cmocka_unit_test(shares_refuse),
        cmocka_unit_test(single_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
