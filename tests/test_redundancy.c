/* test_redundancy.c - rho in O(T d) against all pairs; error budget 1e-12.   MIT licence. */
#include "support.h"

static const prunesid_dtype dtypes[] = {PRUNESID_F32, PRUNESID_F16, PRUNESID_BF16};

static prunesid_information redundancy(const prunesid_input *input) {
    const prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 1);
    guard workspace = guard_workspace(&config, input);
    prunesid_information out;
    CHECK_STATUS(prunesid_redundancy(input, workspace.data, workspace.n_bytes, &out), PRUNESID_OK,
        "T = %zu, d = %zu", input->n_tokens, input->dim);
    guard_free(&workspace);
    return out;
}

/* Returns the largest error. */
static double compare(const prunesid_input *input, const double *x, const char *what) {
    const size_t T = input->n_tokens;
    double *const c = ref_cosine(x, T, input->dim);
    const prunesid_information want = ref_redundancy(c, T), got = redundancy(input);
    const double error = fmax(fabs(got.rho - want.rho), fabs(got.rho_cells - want.rho_cells));
    CHECK(error <= 1e-12, "%s, T = %zu: rho %.17g, not %.17g", what, T, got.rho, want.rho);
    assert_true(got.phi == 1.0 - got.rho);
    assert_int_equal(got.n_nonzero, want.n_nonzero);
    free(c);
    return error;
}

static void matches_all_pairs(void **unused) {
    static const size_t shapes[][2] = {
        {1, 1}, {1, 9}, {2, 1}, {3, 5}, {64, 33}, {200, 64}, {37, 300}};
    double worst = 0.0;
    char what[64];
    (void)unused;
    for (int k = 0; k < N_KINDS; k++) {
        for (size_t s = 0; s < N_ITEMS(shapes); s++) {
            for (size_t t = 0; t < N_ITEMS(dtypes); t++) {
                const size_t T = shapes[s][0], d = shapes[s][1];
                if (dtypes[t] == PRUNESID_F16 && k == KIND_HUGE) continue; /* does not fit */
                float *const values = tokens_new((kind)k, T, d, 5 + s);
                void *const data = convert(values, T * d, dtypes[t]);
                double *const x = widen(data, T * d, dtypes[t]);
                const prunesid_input input = prunesid_input_init(data, dtypes[t], T, d);
                snprintf(what, sizeof what, "kind %d, dtype %zu", k, t);
                worst = fmax(worst, compare(&input, x, what));
                free(values);
                free(data);
                free(x);
            }
        }
    }
    print_message("largest error %.2g\n", worst);
}

static void matches_all_pairs_of_real_tokens(void **unused) {
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(all_sets); s++) {
        prunesid_input input;
        npy_array array = load_tokens(all_sets[s], &input);
        double *const x = widen(array.data, array.n_items, PRUNESID_F16);
        compare(&input, x, all_sets[s]);
        free(x);
        npy_free(&array);
    }
}

static void known_values(void **unused) {
    static const float equal[] = {3, 4, 3, 4, 3, 4};
    static const float opposite[] = {3, 4, -3, -4};
    static const float one_zero[] = {1, 0, 0, 0, 0, 1};
    static const struct {
        const float *x;
        size_t T, n_nonzero;
        double rho, rho_cells;
    } cases[] = {{equal, 3, 3, 1.0, 6.0 / 9.0}, {opposite, 2, 2, -1.0, 1.0 / 4.0},
        {one_zero, 3, 2, 0.0, 2.0 / 9.0}, {equal, 1, 1, 0.0, 1.0}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        const prunesid_input input = prunesid_input_init(cases[i].x, PRUNESID_F32, cases[i].T, 2);
        const prunesid_information got = redundancy(&input);
        CHECK(fabs(got.rho - cases[i].rho) < 1e-15, "case %zu: %.17g", i, got.rho);
        CHECK(fabs(got.rho_cells - cases[i].rho_cells) < 1e-15, "case %zu", i);
        assert_int_equal(got.n_nonzero, cases[i].n_nonzero);
    }
}

/* Only the tokens matter, not what else is known of them; and any workspace for them does. */
static void the_tokens_alone(void **unused) {
    static const float scores[60] = {-1.0f}, loadings[60] = {0.5f};
    static const int32_t guarded[] = {5, 17};
    float *const x = tokens_new(KIND_REAL, 60, 24, 6);
    prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 60, 24);
    const prunesid_information want = redundancy(&input);
    (void)unused;
    input.first = 3;
    input.scores = scores;
    input.loadings = loadings;
    input.ld_loadings = 1;
    input.protected_tokens = guarded;
    input.n_protected = N_ITEMS(guarded);
    for (size_t i = 0; i < N_ITEMS(all_presets); i++) {
        const prunesid_config config = prunesid_config_init(all_presets[i], 2 + 9 * i);
        guard workspace = guard_workspace(&config, &input);
        prunesid_information got = {0.0, 0.0, 0.0, 0};
        assert_int_equal(
            prunesid_redundancy(&input, workspace.data, workspace.n_bytes, &got), PRUNESID_OK);
        assert_true(got.rho == want.rho && got.rho_cells == want.rho_cells && got.phi == want.phi &&
                    got.n_nonzero == want.n_nonzero);
        guard_free(&workspace);
    }
    free(x);
}

/* Every float32 row counts by its direction alone, whatever its exponent. */
static void any_scale(void **unused) {
    enum { D = 40 };
    float x[2 * D];
    double wide[2 * D];
    (void)unused;
    for (int exponent = -149; exponent <= 120; exponent += 7) {
        uint64_t state = 3;
        for (size_t i = 0; i < (size_t)2 * D; i++) {
            const double value = random_normal(&state) * (i < D ? 1.0 : ldexp(1.0, exponent));
            x[i] = (float)value;
            wide[i] = (double)x[i];
        }
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 2, D);
        compare(&input, wide, "scale");
    }
}

/* 49 / 49 is 1 but 49 * (1 / 49) is not: rho must not turn into a negative rounding error, or tau
 * would suppress every token of a group but one. */
static void orthogonal_tokens_have_no_redundancy(void **unused) {
    enum { SIZE = 12 };
    (void)unused;
    for (int length = 1; length < 200; length++) {
        float x[SIZE * SIZE] = {0};
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, SIZE, SIZE);
        for (size_t i = 0; i < SIZE; i++) x[i * SIZE + i] = (float)length;
        const prunesid_information got = redundancy(&input);
        CHECK(got.rho == 0.0 && got.phi == 1.0, "length %d: rho %g", length, got.rho);
    }
    for (size_t size = 64; size <= 2048; size *= 2) { /* the rows of a Hadamard matrix */
        float *const x = (float *)ref_new(size * size, sizeof *x);
        for (size_t i = 0; i < size * size; i++) {
            size_t both = (i / size) & (i % size);
            x[i] = 1.0f;
            for (; both != 0; both &= both - 1) x[i] = -x[i];
        }
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, size, size);
        const prunesid_information got = redundancy(&input);
        CHECK(got.rho == 0.0, "size %zu: rho %g", size, got.rho);
        free(x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_all_pairs),
        cmocka_unit_test(matches_all_pairs_of_real_tokens),
        cmocka_unit_test(known_values),
        cmocka_unit_test(the_tokens_alone),
        cmocka_unit_test(any_scale),
        cmocka_unit_test(orthogonal_tokens_have_no_redundancy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
