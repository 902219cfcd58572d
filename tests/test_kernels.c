/* test_kernels.c - every instruction set's kernels against float64.   MIT licence.
 *
 * What is kept with each is for test_select_simd0, test_select_simd1 and test_select. Error budgets
 * are the bounds that the header states. */
#include "support.h"

static const size_t lengths[] = {1, 2, 15, 16, 17, 31, 32, 33, 48, 100, 1024, 1025};

enum { MAX_SETS = 3 };

/* The sets up to PRUNESID_SIMD that the processor has, the portable one first. */
static size_t list_sets(const prunesid_kernels_ *sets[MAX_SETS]) {
    size_t n = 0;
    sets[n++] = prunesid_kernels_portable_();
#if PRUNESID_SIMD > 0 && defined(__x86_64__)
    const prunesid_kernels_ *const more[] = {prunesid_kernels_avx2_(), prunesid_kernels_avx512_()};
    for (size_t i = 0; i < N_ITEMS(more); i++) /* the next best stands for one that is missing */
        if (more[i] != sets[n - 1]) sets[n++] = more[i];
#elif PRUNESID_SIMD > 0 && defined(__aarch64__)
    sets[n++] = prunesid_kernels_of_processor_();
#endif
    return n;
}

static float *random_floats(size_t n, uint64_t seed) {
    float *const x = (float *)ref_new(n, sizeof *x);
    uint64_t state = seed;
    for (size_t i = 0; i < n; i++) x[i] = (float)random_normal(&state);
    return x;
}

static void the_best_set_is_used(void **unused) {
    const prunesid_kernels_ *sets[MAX_SETS];
    const size_t n = list_sets(sets);
    (void)unused;
    print_message("%zu instruction sets, at most %d\n", n, PRUNESID_SIMD + 1);
    assert_in_range(n, 1, PRUNESID_SIMD + 1);
    assert_ptr_equal(prunesid_kernels_of_processor_(), sets[n - 1]);
}

/* out [m, n] in a frame that no kernel may touch. */
static void products(void **unused) {
    static const size_t few[] = {1, 3, 4, 5, 8, 9, 16, 23}, many[] = {1, 2, 3, 4, 24, 25, 70};
    enum { FRAME = 7 };
    const prunesid_kernels_ *sets[MAX_SETS];
    const size_t n_sets = list_sets(sets);
    (void)unused;
    for (size_t c = 0; c < 2 * N_ITEMS(few) * N_ITEMS(many) * 3; c++) {
        const int by_rows = (int)(c % 2);
        const size_t m = few[c / 2 % N_ITEMS(few)], padded[] = {16, 48, 208};
        const size_t other = many[c / 2 / N_ITEMS(few) % N_ITEMS(many)];
        const size_t wide = padded[c / 2 / N_ITEMS(few) / N_ITEMS(many)];
        const size_t n = by_rows ? other : wide, k = by_rows ? wide : other;
        const size_t ldx = k + 3, ldy = wide + 5, ldo = n + FRAME;
        float *const x = random_floats(m * ldx, c), *const y = random_floats(other * ldy, c + 1);
        float *const was = random_floats(m * ldo, 3);
        for (size_t set = 0; set < n_sets; set++) {
            for (int variant = 0; variant < 2; variant++) { /* far rows, and adding columns */
                const int add = variant && !by_rows;
                float *const out = random_floats(m * ldo, 3);
                if (by_rows)
                    prunesid_rows_by_rows_(sets[set], m, n, k, x, ldx, y, ldy, variant, out, ldo);
                else
                    prunesid_rows_by_columns_(sets[set], m, n, k, x, ldx, y, ldy, add, out, ldo);
                for (size_t i = 0; i < m; i++) {
                    for (size_t j = 0; j < n; j++) {
                        double want = add ? (double)was[i * ldo + j] : 0.0, size = fabs(want);
                        for (size_t p = 0; p < k; p++) {
                            const float factor = by_rows ? y[j * ldy + p] : y[p * ldy + j];
                            const double term = (double)x[i * ldx + p] * (double)factor;
                            want += term;
                            size += fabs(term);
                        }
                        const double error = fabs((double)out[i * ldo + j] - want);
                        CHECK(error <= ((double)k + 8.0) * 0x1p-24 * size,
                            "set %zu, by rows %d, %zu x %zu x %zu: off by %g", set, by_rows, m, n,
                            k, error);
                    }
                    assert_memory_equal(out + i * ldo + n, was + i * ldo + n, FRAME * sizeof *out);
                }
                free(out);
            }
        }
        free(x);
        free(y);
        free(was);
    }
}

/* BLAS's products in boxes, float64, with every transpose. */
static void products_in_boxes(void **unused) {
    static const size_t sizes[] = {1, 63, 65, 130};
    (void)unused;
    for (size_t c = 0; c < 8 * N_ITEMS(sizes) * N_ITEMS(sizes) * N_ITEMS(sizes); c++) {
        const int ta = (int)(c % 2), tb = (int)(c / 2 % 2), add = (int)(c / 4 % 2);
        const size_t m = sizes[c / 8 % N_ITEMS(sizes)], n = sizes[c / 32 % N_ITEMS(sizes)];
        const size_t k = sizes[c / 128], lda = (ta ? m : k) + 2, ldb = (tb ? k : n) + 3;
        float *const x = random_floats((ta ? k : m) * lda, c);
        float *const y = random_floats((tb ? n : k) * ldb, c + 1);
        double *const a = widen(x, (ta ? k : m) * lda, PRUNESID_F32);
        double *const b = widen(y, (tb ? n : k) * ldb, PRUNESID_F32);
        double *const out = (double *)ref_new(m * (n + 1), sizeof *out);
        for (size_t i = 0; i < m * (n + 1); i++) out[i] = 0.5;
        prunesid_dgemm_(ta, tb, m, n, k, a, lda, b, ldb, add, out, n + 1);
        for (size_t i = 0; i < m * n; i += 1 + m * n / 50) { /* some of them */
            const size_t row = i / n, column = i % n;
            double want = add ? 0.5 : 0.0;
            for (size_t p = 0; p < k; p++) {
                want += a[ta ? p * lda + row : row * lda + p] *
                        b[tb ? column * ldb + p : p * ldb + column];
            }
            CHECK(fabs(out[row * (n + 1) + column] - want) <= 1e-12, "case %zu", c);
        }
        for (size_t i = 0; i < m; i++) assert_true(out[i * (n + 1) + n] == 0.5);
        free(x);
        free(y);
        free(a);
        free(b);
        free(out);
    }
}

/* The loops over a row of one set. */
static void check_rows(const prunesid_kernels_ *kernels, size_t n, uint64_t seed) {
    float *const x = random_floats(n, seed), *const y = random_floats(n, seed + 50);
    float *const a = (float *)ref_new(n + 1, sizeof *a);
    double *const wide = widen(x, n, PRUNESID_F32), *const wide_y = widen(y, n, PRUNESID_F32);
    double *const sums = (double *)ref_new(n, sizeof *sums);
    const double norm = sqrt(ref_dot(wide, wide, n)), norm_y = sqrt(ref_dot(wide_y, wide_y, n));
    const double dot = (double)kernels->dot(x, y, n);
    double mean = 0.0;
    assert_true(
        fabs(dot - ref_dot(wide, wide_y, n)) <= ((double)n + 8.0) * 0x1p-24 * norm * norm_y);
    assert_true(fabs(kernels->dot64(x, y, n) - ref_dot(wide, wide_y, n)) <= 1e-15 * norm * norm_y);
    assert_true(fabs(kernels->unit(x, n, sums) * norm - 1.0) <= 1e-14);
    for (size_t j = 0; j < n; j++) {
        assert_true(fabs(sums[j] - wide[j] / norm) <= 1e-14);
        sums[j] = 2.0;
    }
    a[n] = 5.0f;
    kernels->scale(x, n, 1.0 / 3.0, a);
    for (size_t j = 0; j < n; j++) assert_true(a[j] == (float)(wide[j] * (1.0 / 3.0)));
    kernels->add(x, n, sums);
    for (size_t j = 0; j < n; j++) {
        assert_true(sums[j] == 2.0 + wide[j]);
        sums[j] = 2.0;
    }
    kernels->sigmoid_sum(x, n, a, sums);
    for (size_t j = 0; j < n; j++) {
        const double want = 1.0 / (1.0 + exp(-wide[j]));
        assert_true(fabs((double)a[j] - want) <= 0x1p-23);
        assert_true(fabs(sums[j] - 2.0 - (double)a[j]) <= 1e-15);
        mean += want / (double)n;
    }
    kernels->sigmoid_centred(x, n, a);
    for (size_t j = 0; j < n; j++) {
        const double want = 1.0 / (1.0 + exp(-wide[j])) - mean;
        assert_true(fabs((double)a[j] - want) <= 2.5 * 0x1p-23);
    }
    assert_true(a[n] == 5.0f);
    free(x);
    free(y);
    free(a);
    free(wide);
    free(wide_y);
    free(sums);
}

static void rows(void **unused) {
    const prunesid_kernels_ *sets[MAX_SETS];
    const size_t n_sets = list_sets(sets);
    (void)unused;
    for (size_t l = 0; l < N_ITEMS(lengths); l++)
        for (size_t set = 0; set < n_sets; set++) check_rows(sets[set], lengths[l], l);
}

static void what_is_not_finite_is_found_anywhere(void **unused) {
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    const prunesid_kernels_ *sets[MAX_SETS];
    const size_t n_sets = list_sets(sets);
    (void)unused;
    for (size_t l = 0; l < N_ITEMS(lengths); l++) {
        const size_t n = lengths[l];
        float *const x = random_floats(n, l);
        double *const sums = (double *)ref_new(n, sizeof *sums);
        for (size_t i = 0; i < n * N_ITEMS(bad); i++) {
            const float before = x[i % n];
            for (size_t set = 0; set < n_sets; set++) {
                x[i % n] = bad[i / n];
                assert_true(sets[set]->unit(x, n, sums) == -1.0);
                x[i % n] = i % 2 ? 3e38f : -3e38f;
                assert_true(sets[set]->unit(x, n, sums) > 0.0);
            }
            x[i % n] = before;
        }
        free(x);
        free(sums);
    }
}

/* Every pattern, from an odd address, to the bit. */
static void halves(void **unused) {
    enum { N = 65536 };
    const prunesid_kernels_ *sets[MAX_SETS];
    const size_t n_sets = list_sets(sets);
    unsigned char *const from = (unsigned char *)ref_new(2 * N + 1, 1);
    float *const out = (float *)ref_new(N, sizeof *out);
    (void)unused;
    for (uint32_t i = 0; i < N; i++) {
        const uint16_t half = (uint16_t)i;
        memcpy(from + 1 + 2 * i, &half, 2);
    }
    for (size_t set = 0; set < n_sets; set++) {
        for (size_t n = N - 17; n <= N; n++) {
            sets[set]->widen(PRUNESID_BF16, from + 1, n, out);
            sets[set]->widen(PRUNESID_F16, from + 1, n, out);
        }
        for (uint32_t i = 0; i < N; i++) {
            const float want = float_from_f16((uint16_t)i);
            CHECK(isnan(want) ? isnan(out[i]) : memcmp(&out[i], &want, sizeof want) == 0,
                "pattern %04x", (unsigned)i);
        }
        sets[set]->widen(PRUNESID_BF16, from + 1, N, out);
        for (uint32_t i = 0; i < N; i++) {
            const float want = float_from_bf16((uint16_t)i);
            assert_memory_equal(&out[i], &want, sizeof want);
        }
    }
    free(from);
    free(out);
}

/* sigmoid in float64 within 4 of its roundings, less its own mean or given ones; and up to four
 * rows at a time through y = A w and z += y A, for every length. */
static void rows_in_float64(void **unused) {
    enum { MOST = 1025, ROWS = 4 };
    const prunesid_kernels_ *sets[MAX_SETS];
    const size_t n_sets = list_sets(sets);
    static double mean[MOST], a[ROWS * MOST], w[MOST], z[MOST];
    (void)unused;
    for (size_t set = 0; set < n_sets; set++)
        for (size_t l = 0; l < N_ITEMS(lengths); l++) {
            const size_t n = lengths[l], n_rows = 1 + l % ROWS;
            float *const x = random_floats(ROWS * n, l);
            uint64_t state = 7;
            double y[ROWS] = {0.0, 0.0, 0.0, 0.0};
            x[0] = l % 2 ? 1e30f : -1e30f;
            for (size_t j = 0; j < n; j++) {
                mean[j] = random_normal(&state);
                w[j] = random_normal(&state);
                z[j] = (double)j;
            }
            for (size_t i = 0; i < n_rows; i++) {
                const double *const given = i % 2 ? mean : NULL;
                double own = 0.0;
                sets[set]->sigmoid64(x + i * n, n, given, a + i * n);
                for (size_t j = 0; j < n; j++) own += prunesid_sigmoid64_((double)x[i * n + j]);
                for (size_t j = 0; j < n; j++) {
                    const double taken = given != NULL ? mean[j] : own / (double)n;
                    const double want = prunesid_sigmoid64_((double)x[i * n + j]) - taken;
                    CHECK(fabs(a[i * n + j] - want) <= 4e-15 * (1.0 + fabs(taken)),
                        "set %zu, %zu of %zu: %g, not %g", set, j, n, a[i * n + j], want);
                }
            }
            sets[set]->pass64(a, n_rows, n, w, y, z);
            for (size_t i = 0; i < n_rows; i++) {
                double want = 0.0, size = 0.0;
                for (size_t j = 0; j < n; j++) want += a[i * n + j] * w[j];
                for (size_t j = 0; j < n; j++) size += fabs(a[i * n + j] * w[j]);
                CHECK(fabs(y[i] - want) <= (double)n * 1e-15 * size, "set %zu, row %zu of %zu", set,
                    i, n);
            }
            for (size_t i = n_rows; i < ROWS; i++) assert_true(y[i] == 0.0);
            for (size_t j = 0; j < n; j++) {
                double want = (double)j, size = want;
                for (size_t i = 0; i < n_rows; i++) want += y[i] * a[i * n + j];
                for (size_t i = 0; i < n_rows; i++) size += fabs(y[i] * a[i * n + j]);
                CHECK(fabs(z[j] - want) <= 1e-14 * size, "set %zu, channel %zu of %zu", set, j, n);
            }
            free(x);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_set_is_used),
        cmocka_unit_test(products),
        cmocka_unit_test(products_in_boxes),
        cmocka_unit_test(rows),
        cmocka_unit_test(rows_in_float64),
        cmocka_unit_test(what_is_not_finite_is_found_anywhere),
        cmocka_unit_test(halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
