/* test_numeric.c - number formats and the sigmoid, seen from outside.   MIT licence. */
#include "support.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* cos((h, c), (1, 0)) = h / |(h, c)| with c a power of two near h: rho of two tokens tells h. */
static void check_value(const uint16_t row[2], prunesid_dtype dtype, double h, double c) {
    static const uint16_t one[] = {0, 0x3C00, 0x3F80};
    const uint16_t x[4] = {row[0], row[1], one[dtype], 0};
    const prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 1);
    const prunesid_input input = prunesid_input_init(x, dtype, 2, 2);
    double memory[4096 + 2];
    char *const workspace = (char *)memory + (16 - (uintptr_t)memory % 16) % 16;
    size_t n_bytes = 0;
    prunesid_information got;
    assert_int_equal(prunesid_workspace_size(&config, 2, 2, &n_bytes), PRUNESID_OK);
    assert_true(n_bytes <= sizeof memory - 16);
    assert_int_equal(prunesid_redundancy(&input, workspace, n_bytes, &got), PRUNESID_OK);
    const double want = h / sqrt(h * h + c * c);
    CHECK(fabs(got.rho - want) <= 1e-15 && signbit(got.rho + 0.0) == signbit(want + 0.0),
        "pattern %04x: %.17g, not %.17g", row[0], got.rho, want);
}

static void every_pattern(prunesid_dtype dtype, int exponent_bits) {
    const int fraction_bits = 15 - exponent_bits;
    const uint16_t exponent_mask = (uint16_t)(0x7FFF >> fraction_bits << fraction_bits);
    uint32_t n_values = 0;
    for (uint32_t pattern = 0; pattern < 65536; pattern++) {
        const uint16_t bits = (uint16_t)pattern;
        const prunesid_input token = prunesid_input_init(&bits, dtype, 1, 1);
        const prunesid_status status = prunesid_input_check(&token, NULL, NULL);
        if ((bits & exponent_mask) == exponent_mask) {
            CHECK(status == PRUNESID_ERROR_TOKENS_NOT_FINITE, "pattern %04x", bits);
            continue;
        }
        CHECK(status == PRUNESID_OK, "pattern %04x", bits);
        /* a subnormal goes with the smallest normal number */
        const uint16_t power = (bits & exponent_mask) ? (uint16_t)(bits & exponent_mask)
                                                      : (uint16_t)(1 << fraction_bits);
        const uint16_t row[2] = {bits, power};
        double *const wide = widen(row, 2, dtype);
        check_value(row, dtype, wide[0], wide[1]);
        free(wide);
        n_values++;
    }
    assert_int_equal(n_values, 65536 - (2 << fraction_bits));
}

static void every_f16_pattern(void **unused) {
    (void)unused;
    every_pattern(PRUNESID_F16, 5);
}

static void every_bf16_pattern(void **unused) {
    (void)unused;
    every_pattern(PRUNESID_BF16, 8);
}

static void every_non_finite_f32_exponent(void **unused) {
    static const uint32_t infinite[] = {0x7F800000, 0xFF800000, 0x7F800001, 0xFFFFFFFF, 0x7FC00000};
    static const uint32_t finite[] = {0, 0x80000000, 1, 0x7F7FFFFF, 0xFF7FFFFF, 0x00800000};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(infinite) + N_ITEMS(finite); i++) {
        const int bad = i < N_ITEMS(infinite);
        const uint32_t bits = bad ? infinite[i] : finite[i - N_ITEMS(infinite)];
        const prunesid_input token = prunesid_input_init(&bits, PRUNESID_F32, 1, 1);
        CHECK(prunesid_input_check(&token, NULL, NULL) ==
                  (bad ? PRUNESID_ERROR_TOKENS_NOT_FINITE : PRUNESID_OK),
            "bits %08x", (unsigned)bits);
    }
}

/* Half of a token's channels hold x, half -200: centred per token, A = sigmoid(x) / 2 times +-1, so
 * that the only component is sigmoid(x) over its norm. */
static double sigmoid_error(size_t T, size_t d, prunesid_svd svd, double limit) {
    float *const x = (float *)ref_new(T * d, sizeof *x), *const v = (float *)ref_new(T, sizeof *v);
    double *const want = (double *)ref_new(T, sizeof *want);
    double worst = 0.0;
    for (size_t i = 0; i < T; i++) {
        const float value = (float)(-30.0 + 60.0 * (double)i / (double)(T - 1));
        want[i] = 1.0 / (1.0 + exp(-(double)value));
        for (size_t j = 0; j < d; j++) x[i * d + j] = j % 2 ? -200.0f : value;
    }
    const double norm = sqrt(ref_dot(want, want, T));
    prunesid_config config = prunesid_config_init(PRUNESID_LLAVA, 4);
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
    config.svd = svd;
    guard workspace = guard_workspace(&config, &input);
    assert_int_equal(
        prunesid_psca(&config, &input, workspace.data, workspace.n_bytes, v, NULL, NULL, NULL),
        PRUNESID_OK);
    for (size_t i = 0; i < T; i++) {
        const double error = fabs(fabs((double)v[i]) * norm - want[i]);
        CHECK(
            error <= limit, "method %d, sigmoid(%g): off by %g", (int)svd, (double)x[i * d], error);
        worst = fmax(worst, error);
    }
    guard_free(&workspace);
    free(x);
    free(v);
    free(want);
    return worst;
}

/* KRYLOV's limit is not its sigmoid's, which is test_kernels', but the model's 6 u for a product by
 * BLAS, times the norm of 20. */
static void sigmoid(void **unused) {
    (void)unused;
    print_message("sigmoid: EXACT %.2g", sigmoid_error(2000, 2, PRUNESID_SVD_EXACT, 2e-7));
    print_message(", KRYLOV %.2g\n", sigmoid_error(800, 300, PRUNESID_SVD_KRYLOV, 7e-6));
}

/* A process may take subnormal numbers for zero, since some library of it was built with
 * -ffast-math: positive scores stay positive and in their order. */
static void subnormal_scores_rank_under_flush_to_zero(void **unused) {
    (void)unused;
#ifdef __SSE2__
    enum { T = 40, D = 8, N = 12 };
    const unsigned int before = _mm_getcsr();
    float *const x = tokens_new(KIND_REAL, T, D, 3);
    float tiny[T], plain[T];
    prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, D);
    const prunesid_config config = prunesid_config_init(PRUNESID_PAPER, N);
    for (size_t i = 0; i < T; i++) {
        plain[i] = (float)(i * 7 % T + 1);
        tiny[i] = float_from_bits((uint32_t)(i * 7 % T + 1));
    }
    input.scores = plain;
    run want = run_select(&config, &input);
    input.scores = tiny;
    _mm_setcsr(before | 0x8040); /* FTZ and DAZ */
    run got = run_select(&config, &input);
    _mm_setcsr(before);
    assert_int_equal(got.status, PRUNESID_OK);
    assert_memory_equal(got.details.order, want.details.order, N * sizeof *got.details.order);
    assert_int_equal(got.details.stats.n_survivors, want.details.stats.n_survivors);
    run_free(&want);
    run_free(&got);
    free(x);
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_pattern),
        cmocka_unit_test(every_bf16_pattern),
        cmocka_unit_test(every_non_finite_f32_exponent),
        cmocka_unit_test(sigmoid),
        cmocka_unit_test(subnormal_scores_rank_under_flush_to_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
