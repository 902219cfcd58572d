/* test_budgets.c - the information-aware ratio: batch, single image, calibration.   MIT licence. */
#include "support.h"

enum { MAX_IMAGES = 40 };

typedef struct problem {
    size_t B, N;
    double phi[MAX_IMAGES];
    size_t low[MAX_IMAGES], high[MAX_IMAGES];
    int has_low, has_high;
} problem;

static size_t sum(const size_t *v, size_t n) {
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += v[i];
    }
    return total;
}

static void compare(const problem *p, int number) {
    const size_t *const low = p->has_low ? p->low : NULL, *const high =
                                                              p->has_high ? p->high : NULL;
    guard got = guard_new(p->B * sizeof(size_t), 0x44);
    size_t *const n = (size_t *)(void *)got.data;
    size_t want[MAX_IMAGES], total = p->B * p->N;
    CHECK_STATUS(
        prunesid_budgets(p->phi, p->B, p->N, low, high, n), PRUNESID_OK, "case %d", number);
    ref_budgets(p->phi, p->B, p->N, low, high, want);
    for (size_t b = 0; b < p->B; b++) {
        CHECK(n[b] == want[b], "case %d, image %zu of %zu: %zu, not %zu", number, b, p->B, n[b],
            want[b]);
        assert_true(n[b] >= (low != NULL ? low[b] : 1) && (high == NULL || n[b] <= high[b]));
    }
    total = high != NULL && total > sum(high, p->B) ? sum(high, p->B) : total;
    total = low != NULL && total < sum(low, p->B) ? sum(low, p->B) : total;
    CHECK(sum(n, p->B) == total, "case %d: %zu, not %zu", number, sum(n, p->B), total);
    guard_free(&got);
}

static void match_reference(void **unused) {
    uint64_t state = 77;
    (void)unused;
    for (int i = 0; i < 6000; i++) {
        problem p;
        memset(&p, 0, sizeof p);
        p.B = random_size(&state, 1, MAX_IMAGES);
        p.N = random_size(&state, 1, i % 5 == 0 ? 4 : 400);
        p.has_low = i % 2;
        p.has_high = i / 2 % 2;
        const size_t style = random_bits(&state) % 6;
        for (size_t b = 0; b < p.B; b++) {
            const double u = random_unit(&state);
            p.phi[b] = style == 0   ? 0.4                          /* equal */
                       : style == 1 ? 0.0                          /* no information */
                       : style == 2 ? (b % 3 ? u : -u)             /* some below zero */
                       : style == 3 ? exp(12.0 * u - 12.0)         /* very uneven */
                       : style == 4 ? (double)(int)(4.0 * u) / 4.0 /* ties */
                                    : u;
            p.low[b] = random_size(&state, 0, random_bits(&state) % 4 ? p.N : 2 * p.N);
            p.high[b] =
                p.low[b] * (size_t)p.has_low + random_size(&state, p.has_low ? 0 : 1, 2 * p.N);
        }
        compare(&p, i);
    }
}

/* Any total, not only a multiple: the reference gets one image more, whose limits pin it to what is
 * missing. */
static void compare_share(const problem *p, size_t total, int number) {
    const size_t N = total / (p->B + 1) + 1, missing = (p->B + 1) * N - total;
    double phi[MAX_IMAGES + 1];
    size_t low[MAX_IMAGES + 1], high[MAX_IMAGES + 1], want[MAX_IMAGES + 1];
    guard got = guard_new(p->B * sizeof(size_t), 0x44);
    size_t *const n = (size_t *)(void *)got.data;
    size_t whole = total;
    for (size_t b = 0; b < p->B; b++) {
        phi[b] = p->phi[b];
        low[b] = p->has_low ? p->low[b] : 1;
        high[b] = p->has_high ? p->high[b] : total;
    }
    phi[p->B] = 0.0;
    low[p->B] = high[p->B] = missing;
    CHECK_STATUS(prunesid_share(p->phi, p->B, total, p->has_low ? p->low : NULL,
                     p->has_high ? p->high : NULL, n),
        PRUNESID_OK, "case %d", number);
    ref_budgets(phi, p->B + 1, N, low, high, want);
    assert_int_equal(want[p->B], missing);
    for (size_t b = 0; b < p->B; b++) {
        CHECK(n[b] == want[b], "case %d, share %zu of %zu: %zu, not %zu", number, b, p->B, n[b],
            want[b]);
        assert_true(n[b] >= low[b] && (!p->has_high || n[b] <= high[b]));
    }
    whole = p->has_high && whole > sum(high, p->B) ? sum(high, p->B) : whole;
    whole = whole < sum(low, p->B) ? sum(low, p->B) : whole;
    CHECK(sum(n, p->B) == whole, "case %d: %zu, not %zu", number, sum(n, p->B), whole);
    guard_free(&got);
}

static void shares_match_the_reference(void **unused) {
    uint64_t state = 78;
    (void)unused;
    for (int i = 0; i < 6000; i++) {
        problem p;
        memset(&p, 0, sizeof p);
        p.B = random_size(&state, 1, MAX_IMAGES);
        p.has_low = i % 2;
        p.has_high = i / 2 % 2;
        const size_t total = random_size(&state, p.B, p.B * (i % 5 == 0 ? 3 : 300));
        const size_t style = random_bits(&state) % 4;
        for (size_t b = 0; b < p.B; b++) {
            const double u = random_unit(&state);
            p.phi[b] = style == 0   ? (double)random_size(&state, 0, 5) /* ties, and none */
                       : style == 1 ? 1e6 * u
                       : style == 2 ? (b % 3 ? u : -u)
                                    : exp(20.0 * u - 10.0);
            p.low[b] = random_size(&state, 0, 2 * total / p.B) * (size_t)p.has_low / (1 + b % 3);
            p.low[b] = p.low[b] < total / p.B ? p.low[b] : total / p.B;
            p.high[b] = p.low[b] + random_size(&state, p.has_low ? 0 : 1, 2 * total / p.B);
        }
        compare_share(&p, total, i);
    }
}

/* Totals far beyond what 32 bits hold still add up, and 2^53 is the last. */
static void shares_of_large_totals(void **unused) {
    static const double huge[] = {1e308, 1e308}, two[] = {0.7, 0.1}, same[] = {1e-320, 1e-320};
    const size_t most = (size_t)1 << 53;
    uint64_t state = 79;
    size_t n[MAX_IMAGES] = {99, 99};
    (void)unused;
    for (int i = 0; i < 5000; i++) {
        double weights[MAX_IMAGES];
        const size_t B = random_size(&state, 1, MAX_IMAGES);
        const size_t total = B + (size_t)(random_bits(&state) >> 12 >> i % 50);
        for (size_t b = 0; b < B; b++) weights[b] = random_unit(&state);
        assert_int_equal(prunesid_share(weights, B, total, NULL, NULL, n), PRUNESID_OK);
        CHECK(sum(n, B) == total, "case %d: %zu, not %zu", i, sum(n, B), total);
    }
    assert_int_equal(prunesid_share(two, 2, most, NULL, NULL, n), PRUNESID_OK);
    assert_true(n[0] + n[1] == most && n[0] / n[1] >= 6 && n[0] / n[1] <= 7);
    assert_int_equal(prunesid_share(same, 2, 10, NULL, NULL, n), PRUNESID_OK);
    assert_true(n[0] == 5 && n[1] == 5);
    assert_int_equal(prunesid_share(two, 2, most + 2, NULL, NULL, n), PRUNESID_ERROR_OVERFLOW);
    assert_int_equal(prunesid_share(two, 2, SIZE_MAX, NULL, NULL, n), PRUNESID_ERROR_OVERFLOW);
    const prunesid_status status = prunesid_share(huge, 2, 10, NULL, NULL, n);
    assert_true(status == PRUNESID_OK ? n[0] + n[1] == 10 : status == PRUNESID_ERROR_PHI);
}

static void known_shares(void **unused) {
    static const double sizes[] = {576.0, 576.0, 100.0}, one[] = {0.0};
    static const size_t low[] = {2, 2, 30}, high[] = {40, 400, 400}, none[] = {0, 0, 0};
    size_t n[3];
    (void)unused;
    assert_int_equal(prunesid_share(sizes, 3, 100, NULL, NULL, n), PRUNESID_OK);
    assert_true(n[0] == 46 && n[1] == 46 && n[2] == 8); /* 46.006, 46.006, 7.987 */
    assert_int_equal(prunesid_share(sizes, 3, 101, low, NULL, n), PRUNESID_OK);
    assert_true(n[0] == 36 && n[1] == 35 && n[2] == 30);
    assert_int_equal(prunesid_share(sizes, 3, 101, low, high, n), PRUNESID_OK);
    assert_true(n[0] == 36 && n[1] == 35 && n[2] == 30);
    assert_int_equal(prunesid_share(sizes, 3, 200, NULL, high, n), PRUNESID_OK);
    assert_true(n[0] == 40 && n[1] == 136 && n[2] == 24); /* 160 as 576 to 100: 136.33, 23.67 */
    assert_int_equal(prunesid_share(sizes, 3, 0, none, NULL, n), PRUNESID_OK);
    assert_true(n[0] == 0 && n[1] == 0 && n[2] == 0);
    assert_int_equal(prunesid_share(one, 1, 17, NULL, NULL, n), PRUNESID_OK);
    assert_int_equal(n[0], 17);
}

static void shares_refuse(void **unused) {
    static const double good[] = {0.5, 0.5}, nan_last[] = {0.5, NAN}, infinite[] = {-INFINITY, 0.5};
    static const size_t low[] = {3, 3}, high[] = {4, 2}, none[] = {8, 0};
    static const size_t far[] = {1, (size_t)INT32_MAX + 1};
    size_t n[2] = {99, 99};
    (void)unused;
    assert_int_equal(prunesid_share(NULL, 2, 9, NULL, NULL, n), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_share(good, 2, 9, NULL, NULL, NULL), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_share(good, 0, 9, NULL, NULL, n), PRUNESID_ERROR_EMPTY);
    assert_int_equal(prunesid_share(nan_last, 2, 9, NULL, NULL, n), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_share(infinite, 2, 9, NULL, NULL, n), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_share(good, 2, 9, low, high, n), PRUNESID_ERROR_LIMITS);
    assert_int_equal(prunesid_share(good, 2, 9, NULL, none, n), PRUNESID_ERROR_LIMITS);
    assert_int_equal(prunesid_share(good, 2, 9, far, NULL, n), PRUNESID_ERROR_LIMITS);
    assert_true(n[0] == 99 && n[1] == 99);
}

/* round(T N / 576) by Python, which rounds halves to even; at least 16, and all of T <= 16. */
static void budget_of_the_qwen2vl_code(void **unused) {
    static const size_t tokens[] = {1, 15, 16, 17, 100, 143, 144, 575, 576, 577, 1024, 4096, 16384};
    static const struct {
        size_t need, want[N_ITEMS(tokens)];
    } cases[] = {
        {32, {1, 15, 16, 16, 16, 16, 16, 32, 32, 32, 57, 228, 910}},
        {64, {1, 15, 16, 16, 16, 16, 16, 64, 64, 64, 114, 455, 1820}},
        {128, {1, 15, 16, 16, 22, 32, 32, 128, 128, 128, 228, 910, 3641}},
        {192, {1, 15, 16, 16, 33, 48, 48, 192, 192, 192, 341, 1365, 5461}},
        {576, {1, 15, 16, 17, 100, 143, 144, 575, 576, 577, 1024, 4096, 16384}},
        {1000, {1, 15, 16, 30, 174, 248, 250, 998, 1000, 1002, 1778, 7111, 28444}},
        {1, {1, 15, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 28}},
        {0, {1, 15, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16}},
    };
    static const size_t halves[][3] = {/* T, N, 16.5, 17.5, 18.5, 19.5, 24.5 to even */
        {33, 288, 16}, {35, 288, 18}, {36, 296, 18}, {36, 312, 20}, {63, 224, 24}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        for (size_t t = 0; t < N_ITEMS(tokens); t++) {
            const size_t n = prunesid_budget_qwen2vl(tokens[t], cases[i].need);
            CHECK(n == cases[i].want[t], "%zu of %zu: %zu, not %zu", cases[i].need, tokens[t], n,
                cases[i].want[t]);
        }
    }
    for (size_t i = 0; i < N_ITEMS(halves); i++) {
        const size_t n = prunesid_budget_qwen2vl(halves[i][0], halves[i][1]);
        CHECK(n == halves[i][2], "half %zu: %zu", i, n);
    }
    assert_int_equal(prunesid_budget_qwen2vl(0, 64), 0);
    assert_int_equal(prunesid_budget_qwen2vl(0, SIZE_MAX), 0);
    assert_int_equal(prunesid_budget_qwen2vl(16, SIZE_MAX), 16);
    assert_int_equal(prunesid_budget_qwen2vl(SIZE_MAX, 0), 16);
    assert_int_equal(prunesid_budget_qwen2vl(SIZE_MAX, SIZE_MAX), INT32_MAX);
    assert_int_equal(prunesid_budget_qwen2vl(INT32_MAX, INT32_MAX), INT32_MAX);
    assert_int_equal(prunesid_budget_qwen2vl(INT32_MAX, 576), INT32_MAX);
    assert_int_equal(prunesid_budget_qwen2vl(INT32_MAX, 288), 1073741824); /* 1073741823.5 */
}

static void known_values(void **unused) {
    static const double phi[] = {0.75, 0.25}, equal[] = {0.5, 0.5, 0.5}, none[] = {-1.0, 0.0, -0.5};
    static const size_t low[] = {10, 70}, high[] = {60, 200};
    size_t n[3];
    (void)unused;
    assert_int_equal(prunesid_budgets(phi, 2, 64, NULL, NULL, n), PRUNESID_OK);
    assert_true(n[0] == 96 && n[1] == 32);
    assert_int_equal(prunesid_budgets(phi, 2, 64, low, NULL, n), PRUNESID_OK);
    assert_true(n[0] == 58 && n[1] == 70);
    assert_int_equal(prunesid_budgets(phi, 2, 64, NULL, high, n), PRUNESID_OK);
    assert_true(n[0] == 60 && n[1] == 68);
    assert_int_equal(prunesid_budgets(equal, 3, 7, NULL, NULL, n), PRUNESID_OK);
    assert_true(n[0] == 7 && n[1] == 7 && n[2] == 7);
    assert_int_equal(prunesid_budgets(none, 3, 7, NULL, NULL, n), PRUNESID_OK);
    assert_true(n[0] == 7 && n[1] == 7 && n[2] == 7);
    assert_int_equal(prunesid_budgets(phi, 1, 64, NULL, NULL, n), PRUNESID_OK);
    assert_true(n[0] == 64);
}

static void refuse(void **unused) {
    static const double phi[] = {0.5, 0.5}, nan_last[] = {0.5, NAN}, infinite[] = {INFINITY, 0.5};
    static const size_t low[] = {3, 3}, high[] = {4, 2};
    size_t n[2] = {99, 99};
    (void)unused;
    assert_int_equal(prunesid_budgets(NULL, 2, 8, NULL, NULL, n), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_budgets(phi, 2, 8, NULL, NULL, NULL), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_budgets(phi, 0, 8, NULL, NULL, n), PRUNESID_ERROR_EMPTY);
    assert_int_equal(prunesid_budgets(phi, 2, 0, NULL, NULL, n), PRUNESID_ERROR_BUDGET);
    assert_int_equal(
        prunesid_budgets(phi, 2, (size_t)INT32_MAX + 1, NULL, NULL, n), PRUNESID_ERROR_BUDGET);
    const size_t huge[2] = {1, (size_t)INT32_MAX + 1}, none[2] = {8, 0};
    assert_int_equal(prunesid_budgets(phi, 2, 8, huge, NULL, n), PRUNESID_ERROR_LIMITS);
    assert_int_equal(prunesid_budgets(phi, 2, 8, NULL, none, n), PRUNESID_ERROR_LIMITS);
    assert_int_equal(prunesid_budgets(nan_last, 2, 8, NULL, NULL, n), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_budgets(infinite, 2, 8, NULL, NULL, n), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_budgets(phi, 2, 8, low, high, n), PRUNESID_ERROR_LIMITS);
    assert_int_equal(
        prunesid_budgets(phi, SIZE_MAX / 4, 8, NULL, NULL, n), PRUNESID_ERROR_OVERFLOW);
    assert_true(n[0] == 99 && n[1] == 99);
}

static void single_image(void **unused) {
    static const struct {
        double phi, phi_ref;
        size_t N, low, high, want;
    } cases[] = {
        {0.5, 0.5, 64, 1, 576, 64},
        {0.75, 0.5, 64, 1, 576, 96},
        {0.25, 0.5, 5, 1, 576, 2},
        {0.75, 0.5, 5, 1, 576, 8},
        {0.25, 0.5, 7, 1, 576, 4},
        {0.25, 0.5, 64, 40, 576, 40},
        {1.0, 0.125, 64, 1, 200, 200},
        {-0.5, 0.5, 64, 3, 576, 3},
        {0.0, 0.5, 64, 0, 576, 0},
        {0.9, 1e-300, 64, 1, 576, 576},
    };
    size_t n = 99;
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        CHECK_STATUS(prunesid_budget(cases[i].phi, cases[i].phi_ref, cases[i].N, cases[i].low,
                         cases[i].high, &n),
            PRUNESID_OK, "case %zu", i);
        CHECK(n == cases[i].want, "case %zu: %zu", i, n);
    }
    n = 99;
    assert_int_equal(prunesid_budget(0.5, 0.5, 8, 1, 9, NULL), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_budget(0.5, 0.5, 0, 1, 9, &n), PRUNESID_ERROR_BUDGET);
    assert_int_equal(
        prunesid_budget(0.5, 0.5, (size_t)INT32_MAX + 1, 1, 9, &n), PRUNESID_ERROR_BUDGET);
    assert_int_equal(prunesid_budget(NAN, 0.5, 8, 1, 9, &n), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_budget(INFINITY, 0.5, 8, 1, 9, &n), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_budget(0.5, 0.0, 8, 1, 9, &n), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_budget(0.5, -1.0, 8, 1, 9, &n), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_budget(0.5, NAN, 8, 1, 9, &n), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_budget(0.5, INFINITY, 8, 1, 9, &n), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_budget(0.5, 0.5, 8, 10, 9, &n), PRUNESID_ERROR_LIMITS);
    assert_int_equal(
        prunesid_budget(0.5, 0.5, 8, (size_t)INT32_MAX + 1, SIZE_MAX, &n), PRUNESID_ERROR_LIMITS);
    assert_int_equal(n, 99);
}

static void calibration_is_the_mean(void **unused) {
    prunesid_calibration calibration = {0.0, 0};
    uint64_t state = 5;
    double total = 0.0;
    (void)unused;
    for (int i = 1; i <= 1000; i++) {
        const double phi = random_unit(&state);
        total += phi;
        assert_int_equal(prunesid_calibrate(&calibration, phi), PRUNESID_OK);
        assert_int_equal(calibration.n_images, i);
        assert_true(fabs(calibration.phi_mean - total / i) < 1e-13);
    }
    const prunesid_calibration before = calibration;
    assert_int_equal(prunesid_calibrate(&calibration, NAN), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_calibrate(&calibration, -INFINITY), PRUNESID_ERROR_PHI);
    assert_int_equal(prunesid_calibrate(NULL, 0.5), PRUNESID_ERROR_NULL);
    assert_true(calibration.phi_mean == before.phi_mean && calibration.n_images == before.n_images);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match_reference),
        cmocka_unit_test(shares_match_the_reference),
        cmocka_unit_test(shares_of_large_totals),
        cmocka_unit_test(known_shares),
        cmocka_unit_test(shares_refuse),
        cmocka_unit_test(budget_of_the_qwen2vl_code),
        cmocka_unit_test(known_values),
        cmocka_unit_test(refuse),
        cmocka_unit_test(single_image),
        cmocka_unit_test(calibration_is_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
