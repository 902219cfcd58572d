/* test_merge.c - representatives, their counts and coverage; merged rows.   MIT licence. */
#include "support.h"

#include <float.h>

/* ---- representatives ---------------------------------------------------------------------- */

/* What prunesid_represent tells, in guarded memory. */
typedef struct answer {
    prunesid_status status;
    size_t n_kept;
    int32_t *representative, *count;
    float *log_count;
    double coverage;
    guard memory[3];
} answer;

static answer represent(const prunesid_config *config, const prunesid_input *input,
    const int32_t *indices, const int32_t *group) {
    const size_t T = input->n_tokens, n_kept = prunesid_n_kept(config, T);
    guard workspace = guard_workspace(config, input);
    answer a;
    memset(&a, 0, sizeof a);
    a.n_kept = n_kept;
    for (size_t i = 0; i < 3; i++) a.memory[i] = guard_new((i > 0 ? n_kept : T) * 4, OUTPUT_FILL);
    a.representative = (int32_t *)(void *)a.memory[0].data;
    a.count = (int32_t *)(void *)a.memory[1].data;
    a.log_count = (float *)(void *)a.memory[2].data;
    a.status = prunesid_represent(config, input, indices, group, workspace.data, workspace.n_bytes,
        a.representative, a.count, a.log_count, &a.coverage);
    guard_free(&workspace);
    return a;
}

static void answer_free(answer *a) {
    for (size_t i = 0; i < 3; i++) guard_free(&a->memory[i]);
}

/* Any n of the tokens, ascending from first. */
static int32_t *some_tokens(size_t T, size_t n, size_t first, uint64_t *state) {
    int32_t *const list = (int32_t *)ref_new(n, sizeof *list);
    size_t taken = 0;
    for (size_t i = 0; i < T; i++)
        if (random_size(state, 1, T - i) <= n - taken) list[taken++] = (int32_t)(first + i);
    assert_int_equal(taken, n);
    return list;
}

/* Against the reference; tolerance: how much less like a token its representative may be. */
static void check_answer(const answer *a, const prunesid_input *input, const int32_t *indices,
    const int32_t *group, double tolerance, const char *what) {
    const size_t T = input->n_tokens, n = a->n_kept;
    double *const x = widen(input->tokens, T * input->dim, input->dtype);
    double *const cosine = ref_cosine(x, T, input->dim);
    int32_t *const kept = (int32_t *)ref_new(n, sizeof *kept);
    int32_t *const who = (int32_t *)ref_new(T, sizeof *who);
    int32_t *const count = (int32_t *)ref_new(n, sizeof *count);
    int32_t *const tally = (int32_t *)ref_new(T, sizeof *tally);
    int32_t n_all = 0;
    CHECK_STATUS(a->status, PRUNESID_OK, "%s", what);
    for (size_t j = 0; j < n; j++) kept[j] = indices[j] - (int32_t)input->first;
    const double coverage = ref_represent(cosine, T, kept, n, group, who, count);
    for (size_t i = 0; i < T; i++) {
        const size_t stands = (size_t)a->representative[i] - input->first;
        const size_t best = (size_t)kept[who[i]];
        CHECK(stands < T, "%s", what);
        CHECK(stands == best ||
                  (best != i && cosine[i * T + stands] >= cosine[i * T + best] - tolerance &&
                      (group == NULL || group[stands] == group[best])),
            "%s, token %zu: %zu of cosine %.17g, not %zu of %.17g", what, i, stands,
            cosine[i * T + stands], best, cosine[i * T + best]);
        tally[stands]++;
    }
    for (size_t j = 0; j < n; j++) {
        CHECK(a->count[j] == tally[kept[j]] && a->count[j] > 0, "%s, count %zu", what, j);
        CHECK(fabs((double)a->log_count[j] - log((double)a->count[j])) <=
                  0x1p-24 * log((double)a->count[j]),
            "%s, count %zu", what, j);
        n_all += a->count[j];
    }
    CHECK((size_t)n_all == T, "%s: counts add up to %d", what, (int)n_all);
    CHECK(fabs(a->coverage - fmin(coverage, 1.0)) <= 1e-14, "%s: coverage %.17g, not %.17g", what,
        a->coverage, coverage);
    free(x);
    free(cosine);
    free(kept);
    free(who);
    free(count);
    free(tally);
}

/* Any tokens of any dtype, any choice of them, and any groups, some of which keep none. */
static void represents_any_choice(void **unused) {
    uint64_t state = 5;
    char what[160];
    (void)unused;
    for (size_t i = 0; i < n_runs(300); i++) {
        const kind of = (kind)(i % N_KINDS);
        const prunesid_dtype dtype = of >= KIND_HUGE ? PRUNESID_F32 : (prunesid_dtype)(i / 3 % 3);
        const size_t T = random_size(&state, 1, i % 8 == 0 ? 700 : 90);
        const size_t d = random_size(&state, 1, i % 8 == 1 ? 1100 : 60);
        const size_t N = random_size(&state, 1, T + 2), K = random_size(&state, 1, 40);
        float *const values = tokens_new(of, T, d, i);
        void *const tokens = convert(values, T * d, dtype);
        int32_t *const group = (int32_t *)ref_new(T, sizeof *group);
        prunesid_config config = prunesid_config_init(PRUNESID_QWEN2VL, N);
        prunesid_input input = prunesid_input_init(tokens, dtype, T, d);
        config.n_groups = ref_min(K, ref_min(T, d));
        input.first = i % 4 * 1000;
        for (size_t t = 0; t < T; t++)
            group[t] = (int32_t)random_size(&state, 0, config.n_groups - 1);
        int32_t *const indices = some_tokens(T, prunesid_n_kept(&config, T), input.first, &state);
        for (int in_group = 0; in_group < 2; in_group++) {
            snprintf(what, sizeof what, "case %zu, %zu of %zu x %zu, kind %d, dtype %d, groups %d",
                i, N, T, d, (int)of, (int)dtype, in_group);
            answer a = represent(&config, &input, indices, in_group ? group : NULL);
            check_answer(&a, &input, indices, in_group ? group : NULL, 1e-15, what);
            answer_free(&a);
        }
        free(values);
        free(tokens);
        free(group);
        free(indices);
    }
}

/* Tokens so much alike that float32 cannot tell them apart: cosines differ by 1e-8 and less. */
static void near_ties_are_those_of_float64(void **unused) {
    static const size_t shapes[][2] = {{64, 16}, {100, 192}, {90, 1024}, {40, 3000}};
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        const size_t T = shapes[s][0], d = shapes[s][1], N = T / 3;
        float *const x = (float *)ref_new(T * d, sizeof *x);
        uint64_t state = s;
        for (size_t j = 0; j < d; j++) x[j] = (float)random_normal(&state);
        for (size_t j = d; j < T * d; j++) x[j] = x[j % d] + 1e-4f * (float)random_normal(&state);
        const prunesid_config config = prunesid_config_init(PRUNESID_QWEN2VL, N);
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        int32_t *const indices = some_tokens(T, N, 0, &state);
        answer a = represent(&config, &input, indices, NULL);
        check_answer(&a, &input, indices, NULL, 1e-15, "near ties");
        answer_free(&a);
        free(x);
        free(indices);
    }
}

/* Tokens 3 i, 3 i + 1 and 3 i + 2 are alike; of those kept the first stands for all of them. */
static void the_lower_index_is_the_first_among_equals(void **unused) {
    enum { T = 60, D = 33 };
    static const int32_t indices[] = {1, 2, 4, 5, 30, 31, 57, 59};
    enum { N = N_ITEMS(indices) };
    float x[T * D];
    int32_t group[T];
    uint64_t state = 4;
    (void)unused;
    for (size_t i = 0; i < T; i++) {
        group[i] = (int32_t)(i % 2); /* 0 and 2 of each three in one, 1 in the other */
        for (size_t j = 0; j < D; j++)
            x[i * D + j] = i % 3 > 0 ? x[(i - 1) * D + j] : (float)random_normal(&state);
    }
    prunesid_config config = prunesid_config_init(PRUNESID_QWEN2VL, N);
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, D);
    config.n_groups = 2;
    answer a = represent(&config, &input, indices, NULL);
    assert_int_equal(a.representative[0], 1);
    assert_int_equal(a.representative[3], 4);
    assert_int_equal(a.representative[32], 30);
    assert_int_equal(a.representative[58], 57);
    check_answer(&a, &input, indices, NULL, 0.0, "all");
    answer_free(&a);
    a = represent(&config, &input, indices, group);
    assert_int_equal(a.representative[0], 2);
    assert_int_equal(a.representative[3], 5);
    assert_int_equal(a.representative[32], 30);
    check_answer(&a, &input, indices, group, 0.0, "groups");
    answer_free(&a);
}

/* A zero row is like nothing, so that the first may stand for it; and it for who has no friend. */
static void rows_of_zeros(void **unused) {
    float x[6][2] = {{0, 0}, {1, 0}, {0, 0}, {-1, 0}, {0, 0}, {0, 1}};
    static const int32_t indices[] = {1, 2};
    const prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 2);
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 6, 2);
    (void)unused;
    answer a = represent(&config, &input, indices, NULL);
    static const int32_t want[] = {1, 1, 2, 2, 1, 1};
    assert_int_equal(a.status, PRUNESID_OK);
    assert_memory_equal(a.representative, want, sizeof want);
    assert_true(a.count[0] == 4 && a.count[1] == 2 && a.coverage == 2.0 / 6.0);
    answer_free(&a);
}

static void run_backwards(void (*task)(void *data, size_t i, size_t worker), void *data,
    size_t n_tasks, size_t n_workers, void *user) {
    (void)user;
    for (size_t i = n_tasks; i-- > 0;) task(data, i, i % n_workers);
}

/* The number of workers, and in which order they work, does not reach a bit; nor does the dtype,
 * nor what lies beyond the channels. */
static void same_bits(void **unused) {
    enum { T = 900, D = 77, LD = 80, N = 100 };
    (void)unused;
    for (int t = PRUNESID_F16; t <= PRUNESID_BF16; t++) {
        float *const values = tokens_new(KIND_REAL, T, LD, 8);
        int32_t group[T];
        uint64_t state = 2;
        void *const narrow = convert(values, (size_t)T * LD, (prunesid_dtype)t);
        double *const wide = widen(narrow, (size_t)T * LD, (prunesid_dtype)t);
        for (size_t i = 0; i < (size_t)T * LD; i++)
            values[i] = i % LD < D ? (float)wide[i] : (float)NAN;
        for (size_t i = 0; i < T; i++) group[i] = (int32_t)random_size(&state, 0, 24);
        prunesid_config config = prunesid_config_init(PRUNESID_QWEN2VL, N);
        prunesid_input input = prunesid_input_init(values, PRUNESID_F32, T, D);
        input.ld = LD;
        int32_t *const indices = some_tokens(T, N, 0, &state);
        for (int in_group = 0; in_group < 2; in_group++) {
            const int32_t *const its = in_group ? group : NULL;
            config.threads.n_workers = 1;
            input.tokens = values;
            input.dtype = PRUNESID_F32;
            answer want = represent(&config, &input, indices, its);
            assert_int_equal(want.status, PRUNESID_OK);
            for (size_t n = 1; n < 8; n++) {
                config.threads.n_workers = n;
                config.threads.run = n % 2 ? run_backwards : NULL;
                if (n % 2 == 0) config.threads.n_workers = 1;
                input.tokens = n < 4 ? (const void *)values : narrow;
                input.dtype = n < 4 ? PRUNESID_F32 : (prunesid_dtype)t;
                answer got = represent(&config, &input, indices, its);
                CHECK(got.status == PRUNESID_OK && got.coverage == want.coverage, "%zu", n);
                for (size_t m = 0; m < 3; m++)
                    assert_memory_equal(
                        got.memory[m].data, want.memory[m].data, want.memory[m].n_bytes);
                answer_free(&got);
            }
            answer_free(&want);
        }
        free(values);
        free(narrow);
        free(wide);
        free(indices);
    }
}

/* Scaled rows have the same cosines: each by a power of two of its own to the same bits. */
static void scaling_does_not_matter(void **unused) {
    enum { T = 300, D = 50, N = 40 };
    float *const x = tokens_new(KIND_REAL, T, D, 3), *const y = tokens_new(KIND_REAL, T, D, 3);
    uint64_t state = 3;
    int32_t *const indices = some_tokens(T, N, 0, &state);
    const prunesid_config config = prunesid_config_init(PRUNESID_QWEN2VL, N);
    const prunesid_input as_is = prunesid_input_init(x, PRUNESID_F32, T, D);
    const prunesid_input scaled = prunesid_input_init(y, PRUNESID_F32, T, D);
    (void)unused;
    for (size_t i = 0; i < T * D; i++) y[i] = ldexpf(y[i], (int)(i / D * 37 % 120) - 60);
    answer a = represent(&config, &as_is, indices, NULL);
    answer b = represent(&config, &scaled, indices, NULL);
    assert_true(a.status == PRUNESID_OK && b.status == PRUNESID_OK && a.coverage == b.coverage);
    assert_memory_equal(a.representative, b.representative, T * 4);
    answer_free(&a);
    answer_free(&b);
    free(x);
    free(y);
    free(indices);
}

/* The stage tells what a selection's details tell. */
static void the_stage_is_the_selection_s(void **unused) {
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(all_sets); s++) {
        prunesid_input input;
        npy_array array = load_tokens(all_sets[s], &input);
        prunesid_config config = prunesid_config_init(PRUNESID_AUTO, (size_t)16 << s % 4);
        for (int scope = PRUNESID_SCOPE_ALL; scope <= PRUNESID_SCOPE_GROUP; scope++) {
            const int in_group = scope == PRUNESID_SCOPE_GROUP;
            run r = run_select_scope(&config, &input, (prunesid_scope)scope);
            answer a = represent(&config, &input, r.indices, in_group ? r.details.group : NULL);
            assert_true(run_consistent(&r, &config, &input));
            assert_memory_equal(r.details.representative, a.representative, input.n_tokens * 4);
            assert_memory_equal(r.details.count, a.count, a.n_kept * 4);
            assert_memory_equal(r.details.log_count, a.log_count, a.n_kept * 4);
            assert_true(r.details.stats.coverage == a.coverage && a.coverage > 0.3);
            answer_free(&a);
            run_free(&r);
        }
        npy_free(&array);
    }
}

static void what_is_all_kept_stands_for_itself(void **unused) {
    float *const x = tokens_new(KIND_REAL, 20, 8, 1);
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 20);
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 20, 8);
    (void)unused;
    for (int scope = PRUNESID_SCOPE_ALL; scope <= PRUNESID_SCOPE_GROUP; scope++) {
        run r = run_select_scope(&config, &input, (prunesid_scope)scope);
        assert_true(run_consistent(&r, &config, &input) && r.details.stats.coverage == 1.0);
        for (int32_t i = 0; i < 20; i++)
            assert_true(r.details.representative[i] == i && r.details.count[i] == 1 &&
                        r.details.log_count[i] == 0.0f);
        run_free(&r);
    }
    free(x);
}

/* ---- the specification's own expectations ------------------------------------------------- */

static void matches_the_specification(void **unused) {
    size_t n_all = 0;
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(all_sets); s++) {
        size_t n_cases = 0;
        FILE *const file = expected_open(all_sets[s], "expected_represented.txt", &n_cases);
        if (file == NULL) continue;
        prunesid_input input;
        npy_array array = load_tokens(all_sets[s], &input);
        const size_t T = input.n_tokens, width = input.dim;
        for (size_t c = 0; c < n_cases; c++) {
            size_t n_kept = 0, in_group = 0;
            double coverage = 0.0, sum = 0.0, square = 0.0, got_sum = 0.0, got_square = 0.0;
            assert_int_equal(
                fscanf(file, "%zu %zu %lf %lf %lf", &n_kept, &in_group, &coverage, &sum, &square),
                5);
            int32_t *const kept = read_integers(file, n_kept);
            int32_t *const group = read_integers(file, T);
            int32_t *const want = read_integers(file, T);
            int32_t *const count = read_integers(file, n_kept);
            prunesid_config config = prunesid_config_init(PRUNESID_PAPER, n_kept);
            answer a = represent(&config, &input, kept, in_group ? group : NULL);
            assert_int_equal(a.status, PRUNESID_OK);
            CHECK(memcmp(a.representative, want, T * 4) == 0, "%s, case %zu", all_sets[s], c);
            assert_memory_equal(a.count, count, n_kept * 4);
            assert_true(fabs(a.coverage - coverage) <= 1e-14);

            float *const rows = (float *)ref_new(T * width, sizeof *rows);
            float *const merged = (float *)ref_new(n_kept * width, sizeof *merged);
            for (size_t i = 0; i < T * width; i++)
                rows[i] = float_from_f16(((const uint16_t *)array.data)[i]);
            const prunesid_input wide = prunesid_input_init(rows, PRUNESID_F32, T, width);
            assert_int_equal(
                prunesid_merge(&wide, kept, n_kept, a.representative, 0.5, merged, width),
                PRUNESID_OK);
            for (size_t i = 0; i < n_kept * width; i++) {
                got_sum += (double)merged[i];
                got_square += (double)merged[i] * (double)merged[i];
            }
            CHECK(fabs(got_square - square) <= 1e-6 * square &&
                      fabs(got_sum - sum) <= 1e-6 * sqrt(square * (double)(n_kept * width)),
                "%s, case %zu: %.17g, not %.17g", all_sets[s], c, got_square, square);
            free(rows);
            free(merged);
            free(kept);
            free(group);
            free(want);
            free(count);
            answer_free(&a);
            n_all++;
        }
        fclose(file);
        npy_free(&array);
    }
    assert_int_equal(n_all, 18);
}

/* ---- merging ------------------------------------------------------------------------------ */

/* Rows of any dtype and stride, and who represents whom. */
typedef struct rows {
    size_t T, width, ld, n_kept;
    prunesid_input input;
    guard memory;
    int32_t *indices, *representative, *who; /* who: places among the indices, from 0 */
    double *values;                          /* [T, ld] what the memory holds */
} rows;

static rows rows_new(size_t T, size_t width, size_t ld, size_t n_kept, prunesid_dtype dtype,
    size_t first, uint64_t *state) {
    rows r = {T, width, ld, n_kept, prunesid_input_init(NULL, dtype, T, width), {0}, NULL, NULL,
        NULL, NULL};
    float *const x = (float *)ref_new(T * ld, sizeof *x);
    for (size_t i = 0; i < T * ld; i++)
        x[i] = (float)(random_normal(state) * pow(10.0, 3.0 * random_uniform(state) - 1.5));
    void *const data = convert(x, T * ld, dtype);
    r.memory = guard_new(((T - 1) * ld + width) * dtype_bytes(dtype), 0);
    memcpy(r.memory.data, data, r.memory.n_bytes);
    r.values = widen(data, T * ld, dtype);
    r.input.tokens = r.memory.data;
    r.input.ld = ld;
    r.input.first = first;
    r.indices = some_tokens(T, n_kept, first, state);
    r.representative = (int32_t *)ref_new(T, sizeof *r.representative);
    r.who = (int32_t *)ref_new(T, sizeof *r.who);
    for (size_t i = 0; i < T; i++) r.who[i] = (int32_t)random_size(state, 0, n_kept - 1);
    for (size_t j = 0; j < n_kept; j++) r.who[(size_t)r.indices[j] - first] = (int32_t)j;
    for (size_t i = 0; i < T; i++) r.representative[i] = r.indices[r.who[i]];
    free(x);
    free(data);
    return r;
}

static void rows_free(rows *r) {
    guard_free(&r->memory);
    free(r->indices);
    free(r->representative);
    free(r->who);
    free(r->values);
}

static uint16_t round16(prunesid_dtype dtype, double x) {
    return dtype == PRUNESID_F16 ? f16_from_double(x) : bf16_from_float((float)x);
}

/* Merged rows [n_kept], ld_out apart: each is what float64 says, rounded once. */
static void check_merged(const rows *r, double a, const unsigned char *out, size_t ld_out) {
    const prunesid_dtype dtype = r->input.dtype;
    double *const column = (double *)ref_new(r->T, sizeof *column);
    for (size_t c = 0; c<r->width; c += r->width> 300 ? 97 : 1) {
        for (size_t i = 0; i < r->T; i++) column[i] = r->values[i * r->ld + c];
        for (size_t j = 0; j < r->n_kept; j++) {
            const size_t i = (size_t)r->indices[j] - r->input.first;
            const unsigned char *const at = out + (j * ld_out + c) * dtype_bytes(dtype);
            double size = 0.0;
            const double want = ref_merge(column, r->T, r->who, j, i, a, &size);
            const double slack = 0x1p-50 * size;
            if (dtype == PRUNESID_F32) {
                float got;
                memcpy(&got, at, sizeof got);
                CHECK(fabs((double)got - want) <= 0x1p-24 * fabs(want) + slack,
                    "row %zu, channel %zu: %.17g, not %.17g", j, c, (double)got, want);
            } else {
                uint16_t got;
                memcpy(&got, at, sizeof got);
                CHECK(got == round16(dtype, want) || got == round16(dtype, want - slack) ||
                          got == round16(dtype, want + slack),
                    "row %zu, channel %zu, dtype %d: %#x, not %#x", j, c, (int)dtype, got,
                    round16(dtype, want));
            }
        }
    }
    free(column);
}

static const double weights[] = {0.0, 0.5, 1.0, 0.25, 0.3141592653589793, 1e-9};

/* Out of place and in place, to the same bits; what lies between the rows is left alone. */
static void merges_rows_of_any_dtype_and_stride(void **unused) {
    static const size_t widths[] = {1, 3, 16, 40, 1023, 1024, 1025, 2500};
    uint64_t state = 11;
    (void)unused;
    for (size_t i = 0; i < n_runs(400); i++) {
        const prunesid_dtype dtype = (prunesid_dtype)(i % 3);
        const size_t T = random_size(&state, 1, 60), width = widths[i / 3 % N_ITEMS(widths)];
        const size_t n_kept = random_size(&state, 1, i % 5 ? T : ref_min(T, 3));
        const size_t ld = width + i % 2 * random_size(&state, 0, 9), item = dtype_bytes(dtype);
        const size_t ld_out = width + i / 2 % 2 * random_size(&state, 0, 9);
        const double a = weights[i % N_ITEMS(weights)];
        rows r = rows_new(T, width, ld, n_kept, dtype, i % 4 * 1000, &state);
        guard out = guard_new(((n_kept - 1) * ld_out + width) * item, 0x77);
        guard before = guard_new(r.memory.n_bytes, 0);
        memcpy(before.data, r.memory.data, before.n_bytes);
        CHECK_STATUS(
            prunesid_merge(&r.input, r.indices, n_kept, r.representative, a, out.data, ld_out),
            PRUNESID_OK, "case %zu", i);
        assert_memory_equal(before.data, r.memory.data, before.n_bytes);
        check_merged(&r, a, out.data, ld_out);
        for (size_t b = 0; b < out.n_bytes; b++)
            CHECK(b / item % ld_out < width || out.data[b] == 0x77, "case %zu, byte %zu", i, b);

        CHECK_STATUS(
            prunesid_merge(&r.input, r.indices, n_kept, r.representative, a, r.memory.data, ld),
            PRUNESID_OK, "case %zu", i);
        for (size_t j = 0; j < n_kept; j++)
            CHECK(memcmp(r.memory.data + j * ld * item, out.data + j * ld_out * item,
                      width * item) == 0,
                "case %zu, row %zu in place", i, j);
        for (size_t b = 0; b < before.n_bytes; b++)
            CHECK(b / item % ld < width || r.memory.data[b] == before.data[b], "case %zu", i);
        guard_free(&out);
        guard_free(&before);
        rows_free(&r);
    }
}

/* Halfway between two numbers is common where the rows are of 16 bits: exactly then to even. */
static void ties_go_to_even(void **unused) {
    enum { T = 600, WIDTH = 64, N = 70 };
    (void)unused;
    for (int t = PRUNESID_F16; t <= PRUNESID_BF16; t++) {
        const prunesid_dtype dtype = (prunesid_dtype)t;
        const int digits = dtype == PRUNESID_F16 ? 11 : 8;
        uint64_t state = 21;
        size_t n_ties = 0;
        rows r = rows_new(T, WIDTH, WIDTH, N, dtype, 0, &state);
        uint16_t *const x = (uint16_t *)(void *)r.memory.data;
        uint16_t *const out = (uint16_t *)ref_new((size_t)N * WIDTH, sizeof *out);
        for (size_t i = 0; i < (size_t)T * WIDTH; i++) { /* of one size, as real channels are */
            r.values[i] = 1.0 + ldexp((double)random_size(&state, 0, 40), 1 - digits);
            x[i] = round16(dtype, r.values[i]);
        }
        assert_int_equal(
            prunesid_merge(&r.input, r.indices, N, r.representative, 0.5, out, WIDTH), PRUNESID_OK);
        for (size_t j = 0; j < N; j++) {
            for (size_t c = 0; c < WIDTH; c++) { /* in units of the last place, as integers */
                const double unit = ldexp(1.0, 1 - digits);
                int64_t sum = 0, n = 0;
                for (size_t i = 0; i < T; i++) {
                    if ((size_t)r.who[i] != j) continue;
                    sum += (int64_t)((r.values[i * WIDTH + c] - 1.0) / unit);
                    n++;
                }
                const size_t i = (size_t)r.indices[j];
                sum += n * (int64_t)((r.values[i * WIDTH + c] - 1.0) / unit);
                const int64_t twice = 2 * n, rest = sum % twice;
                int64_t whole = sum / twice;
                whole += rest * 2 > twice || (rest * 2 == twice && whole % 2 == 1);
                n_ties += rest * 2 == twice;
                CHECK(out[j * WIDTH + c] == round16(dtype, 1.0 + (double)whole * unit),
                    "dtype %d, row %zu, channel %zu", t, j, c);
            }
        }
        assert_true(n_ties > 100);
        free(out);
        rows_free(&r);
    }
}

/* The numbers of either 16-bit type, halfway between two of them, and on either side of that. */
static void rounds_to_the_nearest(void **unused) {
    (void)unused;
    for (uint32_t i = 0; i < 0x8000; i++) {
        for (int t = PRUNESID_F16; t <= PRUNESID_BF16; t++) {
            const int is_f16 = t == PRUNESID_F16, n = is_f16 ? 10 : 7, bias = is_f16 ? 15 : 127;
            const uint32_t top = is_f16 ? 0x7C00 : 0x7F80;
            const uint16_t bits = (uint16_t)i, other = (uint16_t)(i | 0x8000);
            const double x = is_f16 ? (double)float_from_f16(bits) : (double)float_from_bf16(bits);
            if (i > top) { /* it stays one */
                assert_int_equal(prunesid_round16_(x, n, bias) & 0x7FFF, top | 1u << (n - 1));
                continue;
            }
            assert_int_equal(prunesid_round16_(x, n, bias), bits);
            assert_int_equal(prunesid_round16_(-x, n, bias), other);
            if (i == top) continue;
            const double next = i + 1 < top ? (is_f16 ? (double)float_from_f16((uint16_t)(i + 1))
                                                      : (double)float_from_bf16((uint16_t)(i + 1)))
                                            : ldexp(1.0, is_f16 ? 16 : 128);
            const double half = 0.5 * (x + next);
            const uint16_t even = (uint16_t)(i + i % 2);
            assert_int_equal(prunesid_round16_(half, n, bias), even);
            assert_int_equal(prunesid_round16_(-half, n, bias), even | 0x8000);
            assert_int_equal(prunesid_round16_(nextafter(half, 0.0), n, bias), i);
            assert_int_equal(prunesid_round16_(nextafter(half, INFINITY), n, bias), i + 1);
        }
    }
    static const double far[] = {1e300, 5e-324, 1e-300};
    for (size_t i = 0; i < N_ITEMS(far); i++) {
        assert_int_equal(prunesid_round16_(far[i], 10, 15), i == 0 ? 0x7C00 : 0);
        assert_int_equal(prunesid_round16_(-far[i], 7, 127), i == 0 ? 0xFF80 : 0x8000);
    }
}

/* DeepStack's [L, T, H], or [T, L, H]: each plane by a merge of its own. */
static void merges_planes_one_by_one(void **unused) {
    enum { L = 3, T = 40, H = 5, N = 6 };
    (void)unused;
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        uint64_t state = 31;
        rows all = rows_new((size_t)L * T, H, H, (size_t)L * T, PRUNESID_BF16, 0, &state);
        rows one = rows_new(T, H, H, N, PRUNESID_BF16, 0, &state);
        uint16_t *const planes = (uint16_t *)(void *)all.memory.data;
        for (size_t l = 0; l < L; l++) {
            uint16_t out[N * H];
            prunesid_input plane = prunesid_input_init(
                planes + l * (interleaved ? H : (size_t)T * H), PRUNESID_BF16, T, H);
            plane.ld = interleaved ? (size_t)L * H : H;
            assert_int_equal(
                prunesid_merge(&plane, one.indices, N, one.representative, 0.5, out, H),
                PRUNESID_OK);
            for (size_t i = 0; i < T; i++)
                for (size_t c = 0; c < H; c++)
                    one.values[i * H + c] =
                        all.values[(interleaved ? i * L + l : l * T + i) * H + c];
            check_merged(&one, 0.5, (const unsigned char *)out, H);
        }
        rows_free(&all);
        rows_free(&one);
    }
}

/* Regions of one matrix: each by itself, or all of it at once, since indices count through. */
static void regions_merge_alone_or_together(void **unused) {
    enum { T = 90, D = 20, N_REGIONS = 3 };
    static const size_t firsts[] = {0, 25, 60}, sizes[] = {25, 35, 30};
    float *const x = tokens_new(KIND_REAL, T, D, 77);
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 7);
    const prunesid_input all = prunesid_input_init(x, PRUNESID_F32, T, D);
    int32_t representative[T], indices[3 * 7], count[3 * 7];
    float alone[3 * 7 * D], together[3 * 7 * D];
    prunesid_region regions[N_REGIONS];
    prunesid_plan plan;
    size_t at = 0;
    (void)unused;
    for (size_t r = 0; r < N_REGIONS; r++) {
        regions[r] = prunesid_region_init(&all, firsts[r], sizes[r], 0);
        regions[r].details.representative = representative + firsts[r];
        regions[r].details.count = count + 7 * r;
    }
    const prunesid_batch batch = prunesid_batch_init(&config, PRUNESID_FIXED, regions, N_REGIONS);
    assert_int_equal(prunesid_batch_plan(&batch, &plan), PRUNESID_OK);
    guard workspace = guard_new(plan.workspace_bytes, 0xFF);
    assert_int_equal(
        prunesid_batch_select(&batch, workspace.data, workspace.n_bytes, indices, plan.n_kept),
        PRUNESID_OK);
    for (size_t r = 0; r < N_REGIONS; r++) {
        int32_t n = 0;
        for (size_t j = 0; j < regions[r].n_kept; j++) n += regions[r].details.count[j];
        assert_int_equal(n, sizes[r]);
        assert_true(regions[r].details.stats.coverage > 0.0);
        assert_int_equal(prunesid_merge(&regions[r].input, regions[r].indices, regions[r].n_kept,
                             regions[r].details.representative, 0.5, alone + at * D, D),
            PRUNESID_OK);
        at += regions[r].n_kept;
    }
    assert_int_equal(
        prunesid_merge(&all, indices, plan.n_kept, representative, 0.5, together, D), PRUNESID_OK);
    assert_int_equal(at, plan.n_kept);
    assert_memory_equal(alone, together, sizeof alone);
    guard_free(&workspace);
    free(x);
}

/* What is not finite gets no further than its channel of its row; a row that stands for itself
 * alone, and every row where the weight is 0, stays as it is bit by bit. */
static void not_finite_rows(void **unused) {
    static const int32_t indices[] = {0, 1, 3}, representative[] = {0, 1, 1, 3, 3, 3};
    (void)unused;
    for (int t = PRUNESID_F32; t <= PRUNESID_BF16; t++) {
        const float x[6][3] = {{NAN, INFINITY, 1}, {1, 2, 3}, {3, -INFINITY, 5}, {INFINITY, NAN, 0},
            {1, 1, -3}, {-INFINITY, 4, 1.5f}};
        const prunesid_dtype dtype = (prunesid_dtype)t;
        const size_t row = 3 * dtype_bytes(dtype);
        unsigned char *const data = (unsigned char *)convert(&x[0][0], 18, dtype);
        unsigned char out[36];
        const prunesid_input input = prunesid_input_init(data, dtype, 6, 3);
        assert_int_equal(
            prunesid_merge(&input, indices, 3, representative, 1.0, out, 3), PRUNESID_OK);
        assert_memory_equal(out, data, row);
        double *const merged = widen(out + row, 6, dtype);
        assert_true(merged[0] == 2.0 && merged[1] == -INFINITY && merged[2] == 4.0);
        assert_true(isnan(merged[3]) && isnan(merged[4]) && merged[5] == -0.5);
        assert_int_equal(
            prunesid_merge(&input, indices, 3, representative, 0.0, out, 3), PRUNESID_OK);
        for (size_t j = 0; j < 3; j++)
            assert_memory_equal(out + j * row, data + (size_t)indices[j] * row, row);
        free(merged);
        free(data);
    }
}

/* float16's largest neither overflow while they are summed nor where they are rounded. */
static void the_largest_numbers(void **unused) {
    static const int32_t indices[] = {2}, representative[] = {2, 2, 2, 2};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(weights); i++) {
        const uint16_t f16[] = {0x7BFF, 0x7BFF, 0x7BFF, 0x7BFF};
        const uint16_t bf16[] = {0xFF7F, 0xFF7F, 0xFF7F, 0xFF7F};
        const float f32[] = {FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX};
        const void *const of[] = {f32, f16, bf16};
        for (int t = PRUNESID_F32; t <= PRUNESID_BF16; t++) {
            const prunesid_input input = prunesid_input_init(of[t], (prunesid_dtype)t, 4, 1);
            uint32_t out = 0;
            assert_int_equal(
                prunesid_merge(&input, indices, 1, representative, weights[i], &out, 1),
                PRUNESID_OK);
            assert_memory_equal(&out, of[t], dtype_bytes((prunesid_dtype)t));
        }
    }
}

/* ---- what is wrong ------------------------------------------------------------------------ */

typedef struct call {
    prunesid_input input;
    const prunesid_input *input_at;
    int32_t indices[3], representative[6];
    const int32_t *indices_at, *representative_at;
    size_t n_kept, ld_out;
    double weight;
    void *out;
} call;

static float matrix[6][4], output[3][4];

static call call_new(void) {
    static const int32_t indices[] = {10, 12, 15}, representative[] = {10, 10, 12, 15, 12, 15};
    call c;
    memset(&c, 0, sizeof c);
    for (size_t i = 0; i < 24; i++) matrix[i / 4][i % 4] = (float)i;
    memset(output, OUTPUT_FILL, sizeof output);
    c.input = prunesid_input_init(matrix, PRUNESID_F32, 6, 3);
    c.input.ld = 4;
    c.input.first = 10;
    memcpy(c.indices, indices, sizeof indices);
    memcpy(c.representative, representative, sizeof representative);
    c.n_kept = 3;
    c.ld_out = 4;
    c.weight = 0.5;
    c.out = output;
    return c;
}

/* Nothing is written, unless all is well. */
static void check_call(call *c, prunesid_status want, int line) {
    float before[2][6][4];
    memcpy(before[0], matrix, sizeof matrix);
    memcpy(before[1], output, sizeof output);
    const prunesid_status got = prunesid_merge(
        c->input_at, c->indices_at, c->n_kept, c->representative_at, c->weight, c->out, c->ld_out);
    CHECK_STATUS(got, want, "line %d", line);
    if (want == PRUNESID_OK) return;
    CHECK(memcmp(before[0], matrix, sizeof matrix) == 0 &&
              memcmp(before[1], output, sizeof output) == 0,
        "line %d writes", line);
}

#define BROKEN(status, change)                                                                     \
    do {                                                                                           \
        call c = call_new();                                                                       \
        c.input_at = &c.input;                                                                     \
        c.indices_at = c.indices;                                                                  \
        c.representative_at = c.representative;                                                    \
        change;                                                                                    \
        check_call(&c, PRUNESID_##status, __LINE__);                                               \
    } while (0)

static void each_cause_has_its_status(void **unused) {
    (void)unused;
    BROKEN(OK, (void)0);
    BROKEN(OK, c.out = matrix);
    BROKEN(OK, c.input.scores = &matrix[0][0]); /* not looked at */
    BROKEN(OK, c.input.n_protected = 77);
    BROKEN(ERROR_NULL, c.input_at = NULL);
    BROKEN(ERROR_NULL, c.input.tokens = NULL);
    BROKEN(ERROR_NULL, c.indices_at = NULL);
    BROKEN(ERROR_NULL, c.representative_at = NULL);
    BROKEN(ERROR_NULL, c.out = NULL);
    BROKEN(ERROR_EMPTY, c.input.n_tokens = 0);
    BROKEN(ERROR_EMPTY, c.input.dim = 0);
    BROKEN(ERROR_DIMENSION, c.input.n_tokens = (size_t)INT32_MAX + 1);
    BROKEN(ERROR_DIMENSION, c.input.first = INT32_MAX - 5);
    BROKEN(ERROR_DTYPE, c.input.dtype = (prunesid_dtype)3);
    BROKEN(ERROR_STRIDE, c.input.ld = 2);
    BROKEN(ERROR_STRIDE, c.ld_out = 2);
    BROKEN(ERROR_STRIDE, c.out = matrix; c.ld_out = 3);
    BROKEN(ERROR_STRIDE, c.out = matrix; c.ld_out = 5);
    BROKEN(ERROR_OVERFLOW, c.input.ld = SIZE_MAX / 8);
    BROKEN(ERROR_OVERFLOW, c.ld_out = SIZE_MAX / 4);
    BROKEN(ERROR_OVERFLOW, c.ld_out = SIZE_MAX / 24 + 1);
    BROKEN(ERROR_ALIGNMENT, c.input.tokens = (const unsigned char *)matrix + 2);
    BROKEN(ERROR_ALIGNMENT, c.out = (unsigned char *)output + 2);
    BROKEN(ERROR_ALIGNMENT, c.input.dtype = PRUNESID_F16; c.out = (unsigned char *)output + 1);
    BROKEN(OK, c.input.dtype = PRUNESID_BF16; c.out = (unsigned char *)output + 2);
    BROKEN(ERROR_WEIGHT, c.weight = -1e-9);
    BROKEN(ERROR_WEIGHT, c.weight = 1.0000001);
    BROKEN(ERROR_WEIGHT, c.weight = (double)NAN);
    BROKEN(ERROR_WEIGHT, c.weight = (double)INFINITY);
    BROKEN(ERROR_WEIGHT, c.weight = -(double)INFINITY);
    BROKEN(ERROR_INDEX, c.indices[0] = 9);
    BROKEN(ERROR_INDEX, c.indices[0] = -1);
    BROKEN(ERROR_INDEX, c.indices[2] = 16);
    BROKEN(ERROR_INDEX, c.indices[1] = 10);
    BROKEN(ERROR_INDEX, c.indices[1] = 15);
    BROKEN(ERROR_INDEX, c.n_kept = 3; c.indices[1] = INT32_MIN);
    BROKEN(ERROR_REPRESENTATIVE, c.indices[1] = 11); /* not its own */
    BROKEN(ERROR_REPRESENTATIVE, c.n_kept = 2);      /* 15 is its own, but not kept */
    BROKEN(ERROR_REPRESENTATIVE, c.n_kept = 0);
    BROKEN(ERROR_REPRESENTATIVE, c.n_kept = 0; c.indices_at = NULL);
    BROKEN(ERROR_REPRESENTATIVE, c.representative[0] = 12);
    BROKEN(ERROR_REPRESENTATIVE, c.representative[1] = 9);
    BROKEN(ERROR_REPRESENTATIVE, c.representative[1] = -1);
    BROKEN(ERROR_REPRESENTATIVE, c.representative[1] = 16);
    BROKEN(ERROR_REPRESENTATIVE, c.representative[1] = 13); /* which is not kept */
    BROKEN(ERROR_REPRESENTATIVE, c.representative[1] = 11);
    BROKEN(ERROR_REPRESENTATIVE, c.representative[4] = INT32_MAX);
    BROKEN(ERROR_REPRESENTATIVE, c.representative[4] = INT32_MIN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(represents_any_choice),
        cmocka_unit_test(near_ties_are_those_of_float64),
        cmocka_unit_test(the_lower_index_is_the_first_among_equals),
        cmocka_unit_test(rows_of_zeros),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(scaling_does_not_matter),
        cmocka_unit_test(the_stage_is_the_selection_s),
        cmocka_unit_test(what_is_all_kept_stands_for_itself),
        cmocka_unit_test(matches_the_specification),
        cmocka_unit_test(merges_rows_of_any_dtype_and_stride),
        cmocka_unit_test(ties_go_to_even),
        cmocka_unit_test(rounds_to_the_nearest),
        cmocka_unit_test(merges_planes_one_by_one),
        cmocka_unit_test(regions_merge_alone_or_together),
        cmocka_unit_test(not_finite_rows),
        cmocka_unit_test(the_largest_numbers),
        cmocka_unit_test(each_cause_has_its_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
