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
        cmocka_unit_test(known_values),
        cmocka_unit_test(refuse),
        cmocka_unit_test(single_image),
        cmocka_unit_test(calibration_is_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
