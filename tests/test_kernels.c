/* test_kernels.c - each kernel that this machine can run against float64.   MIT licence.
 *
 * What is kept with each is for test_select_simd0, test_select_simd1 and test_select. Error budgets
 * are the bounds that the header states. */
#include "support.h"

static const size_t lengths[] = {1, 2, 15, 16, 17, 31, 32, 33, 48, 100, 1024, 1025};

static float *random_floats(size_t n, uint64_t seed) {
    float *const x = (float *)ref_new(n, sizeof *x);
    uint64_t state = seed;
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)random_normal(&state);
    }
    return x;
}

static void the_ceiling_holds(void **unused) {
    (void)unused;
    assert_in_range(prunesid_simd_(), 0, PRUNESID_SIMD);
    print_message("kernels 0 to %d\n", prunesid_simd_());
}

/* out [m, n] in a frame that no kernel may touch. */
static void products(void **unused) {
    static const size_t few[] = {1, 3, 4, 5, 8, 9, 16, 23}, many[] = {1, 2, 3, 4, 24, 25, 70};
    enum { FRAME = 7 };
    (void)unused;
    for (size_t c = 0; c < 2 * N_ITEMS(few) * N_ITEMS(many) * 3; c++) {
        const int dots = (int)(c % 2);
        const size_t m = few[c / 2 % N_ITEMS(few)], padded[] = {16, 48, 208};
        const size_t other = many[c / 2 / N_ITEMS(few) % N_ITEMS(many)];
        const size_t wide = padded[c / 2 / N_ITEMS(few) / N_ITEMS(many)];
        const size_t n = dots ? other : wide, k = dots ? wide : other;
        const size_t ldx = k + 3, ldy = wide + 5, ldo = n + FRAME;
        float *const x = random_floats(m * ldx, c), *const y = random_floats(other * ldy, c + 1);
        for (int simd = 0; simd <= prunesid_simd_(); simd++) {
            for (int add = 0; add <= !dots; add++) {
                float *const out = random_floats(m * ldo, 3), *const was =
                                                                  random_floats(m * ldo, 3);
                if (dots) {
                    prunesid_dots_(simd, m, n, k, x, ldx, y, ldy, out, ldo);
                } else {
                    prunesid_sums_(simd, m, n, k, x, ldx, y, ldy, add, out, ldo);
                }
                for (size_t i = 0; i < m; i++) {
                    for (size_t j = 0; j < n; j++) {
                        double want = add ? (double)was[i * ldo + j] : 0.0, size = fabs(want);
                        for (size_t p = 0; p < k; p++) {
                            const double term = (double)x[i * ldx + p] *
                                                (double)(dots ? y[j * ldy + p] : y[p * ldy + j]);
                            want += term;
                            size += fabs(term);
                        }
                        const double error = fabs((double)out[i * ldo + j] - want);
                        CHECK(error <= ((double)k + 8.0) * 0x1p-24 * size,
                            "kernel %d, dots %d, %zu x %zu x %zu: off by %g", simd, dots, m, n, k,
                            error);
                    }
                    assert_memory_equal(out + i * ldo + n, was + i * ldo + n, FRAME * sizeof *out);
                }
                free(out);
                free(was);
            }
        }
        free(x);
        free(y);
    }
}

static void rows(void **unused) {
    (void)unused;
    for (size_t l = 0; l < N_ITEMS(lengths); l++) {
        const size_t n = lengths[l];
        float *const x = random_floats(n, l), *const y = random_floats(n, l + 50);
        double *const wide = widen(x, n, PRUNESID_F32), *const wide_y = widen(y, n, PRUNESID_F32);
        const double norm = sqrt(ref_dot(wide, wide, n)), norm_y = sqrt(ref_dot(wide_y, wide_y, n));
        for (int simd = 0; simd <= prunesid_simd_(); simd++) {
            float *const a = (float *)ref_new(n + 1, sizeof *a);
            double *const sum = (double *)ref_new(n, sizeof *sum);
            double mean = 0.0;
            const double dot = (double)prunesid_dot_(simd, x, y, n);
            assert_true(fabs(dot - ref_dot(wide, wide_y, n)) <=
                        ((double)n + 8.0) * 0x1p-24 * norm * norm_y);

            assert_true(fabs(prunesid_unit_(simd, x, n, sum) * norm - 1.0) <= 1e-14);
            for (size_t j = 0; j < n; j++) {
                assert_true(fabs(sum[j] - wide[j] / norm) <= 1e-14);
                sum[j] = 2.0;
            }
            a[n] = 5.0f;
            prunesid_sigmoids_(simd, x, n, sum, a);
            for (size_t j = 0; j < n; j++) {
                assert_true(fabs((double)a[j] - 1.0 / (1.0 + exp(-wide[j]))) <= 0x1p-23);
                assert_true(fabs(sum[j] - 2.0 - (double)a[j]) <= 1e-15);
                mean += 1.0 / (1.0 + exp(-wide[j])) / (double)n;
            }
            prunesid_sigmoids_(simd, x, n, NULL, a);
            for (size_t j = 0; j < n; j++) {
                const double want = 1.0 / (1.0 + exp(-wide[j])) - mean;
                assert_true(fabs((double)a[j] - want) <= 2.5 * 0x1p-23);
            }
            assert_true(a[n] == 5.0f);
            free(a);
            free(sum);
        }
        free(x);
        free(y);
        free(wide);
        free(wide_y);
    }
}

static void what_is_not_finite_is_found_anywhere(void **unused) {
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    (void)unused;
    for (size_t l = 0; l < N_ITEMS(lengths); l++) {
        const size_t n = lengths[l];
        float *const x = random_floats(n, l);
        double *const sum = (double *)ref_new(n, sizeof *sum);
        for (size_t i = 0; i < n * N_ITEMS(bad); i++) {
            const float before = x[i % n];
            for (int simd = 0; simd <= prunesid_simd_(); simd++) {
                x[i % n] = bad[i / n];
                assert_true(prunesid_unit_(simd, x, n, sum) == -1.0);
                x[i % n] = i % 2 ? 3e38f : -3e38f;
                assert_true(prunesid_unit_(simd, x, n, sum) > 0.0);
            }
            x[i % n] = before;
        }
        free(x);
        free(sum);
    }
}

/* Every pattern, from an odd address, to the bit. */
static void halves(void **unused) {
    enum { N = 65536 };
    unsigned char *const from = (unsigned char *)ref_new(2 * N + 1, 1);
    float *const out = (float *)ref_new(N, sizeof *out);
    (void)unused;
    for (uint32_t i = 0; i < N; i++) {
        const uint16_t half = (uint16_t)i;
        memcpy(from + 1 + 2 * i, &half, 2);
    }
    for (int simd = 0; simd <= prunesid_simd_(); simd++) {
        for (size_t n = N - 17; n <= N; n++) {
            prunesid_widen_(simd, PRUNESID_BF16, from + 1, n, out);
            prunesid_widen_(simd, PRUNESID_F16, from + 1, n, out);
        }
        for (uint32_t i = 0; i < N; i++) {
            const double want = double_from_f16((uint16_t)i);
            CHECK(
                isnan(want) ? isnan(out[i]) : (double)out[i] == want, "pattern %04x", (unsigned)i);
        }
        prunesid_widen_(simd, PRUNESID_BF16, from + 1, N, out);
        for (uint32_t i = 0; i < N; i++) {
            const float want = float_from_bf16((uint16_t)i);
            assert_memory_equal(&out[i], &want, sizeof want);
        }
    }
    free(from);
    free(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ceiling_holds),
        cmocka_unit_test(products),
        cmocka_unit_test(rows),
        cmocka_unit_test(what_is_not_finite_is_found_anywhere),
        cmocka_unit_test(halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
