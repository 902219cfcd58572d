/* support.h - what the test files share: data, made-up tokens, guarded memory.   MIT licence.
 *
 * Include it first: it selects POSIX and brings cmocka, the reference and the header under test. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include "npy_load.h"
#include "half.h"
#include "random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reference.h"

#define N_ITEMS(array) (sizeof(array) / sizeof(array)[0])

/* Asserts that say where in a table they failed. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("%s: ", #condition);                                                       \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)
#define CHECK_STATUS(got, wanted, ...)                                                             \
    do {                                                                                           \
        const prunesid_status got_ = (got), wanted_ = (wanted);                                    \
        if (got_ != wanted_) {                                                                     \
            print_error(                                                                           \
                "%d (%s), not %d: ", (int)got_, prunesid_status_string(got_), (int)wanted_);       \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

/* In the order of the header's table. */
#define PRESET_(preset, value, name, centring, least, tau, quota, reserved, purpose) preset,
static const prunesid_preset all_presets[] = {PRUNESID_PRESET_TABLE(PRESET_)};
#undef PRESET_

/* How often a test of random runs goes on: as PRUNESID_TEST_RUNS says, or for a few seconds; less
 * where nothing is optimised. */
static inline size_t n_runs(size_t as_usual) {
    const char *const asked = getenv("PRUNESID_TEST_RUNS");
    if (asked != NULL) return (size_t)strtoul(asked, NULL, 10);
#ifdef __OPTIMIZE__
    return as_usual;
#else
    return as_usual / 8 + 1;
#endif
}

/* ---- guarded memory ----------------------------------------------------------------------- */

enum { CANARY_BYTES = 64, CANARY = 0xA5 };

/* n_bytes at data, aligned to 16 and no more, with canaries that touch both ends. */
typedef struct guard {
    unsigned char *base, *data;
    size_t n_bytes;
} guard;

static inline guard guard_new(size_t n_bytes, int fill) {
    guard g = {NULL, NULL, n_bytes};
    void *base = NULL;
    assert_int_equal(posix_memalign(&base, 64, n_bytes + 3 * CANARY_BYTES), 0);
    g.base = (unsigned char *)base;
    g.data = g.base + CANARY_BYTES + 16;
    memset(g.base, CANARY, n_bytes + 3 * CANARY_BYTES);
    memset(g.data, fill, n_bytes);
    return g;
}

static inline int guard_intact(const guard *g) {
    for (size_t i = 0; i < CANARY_BYTES; i++)
        if (g->data[-1 - (ptrdiff_t)i] != CANARY || g->data[g->n_bytes + i] != CANARY) return 0;
    return 1;
}

/* Whether every byte is still what it was filled with. */
static inline int guard_untouched(const guard *g, int fill) {
    for (size_t i = 0; i < g->n_bytes; i++)
        if (g->data[i] != fill) return 0;
    return guard_intact(g);
}

static inline void guard_free(guard *g) {
    assert_true(guard_intact(g));
    free(g->base);
    g->base = g->data = NULL;
}

/* Exactly the workspace that is asked for, full of NaN. */
static inline guard guard_workspace(const prunesid_config *config, const prunesid_input *input) {
    size_t n_bytes = 0;
    assert_int_equal(
        prunesid_workspace_size(config, input->n_tokens, input->dim, &n_bytes), PRUNESID_OK);
    assert_true(n_bytes > 0);
    return guard_new(n_bytes, 0xFF);
}

/* ---- a whole selection in guarded memory -------------------------------------------------- */

enum { N_OUTPUTS = 8, OUTPUT_FILL = 0x5C };

typedef struct run {
    prunesid_status status;
    size_t n_kept;
    int32_t *indices;         /* [n_kept] */
    prunesid_details details; /* all of its arrays */
    guard memory[N_OUTPUTS];  /* of the indices, then of the arrays in their order */
} run;

static inline run run_new(const prunesid_config *config, const prunesid_input *input) {
    const size_t T = input->n_tokens, n_kept = prunesid_n_kept(config, T);
    const size_t bytes[N_OUTPUTS] = {
        n_kept * 4, n_kept * 4, T * 4, T, T * 4, T * 4, n_kept * 4, n_kept * 4};
    run r;
    memset(&r, 0, sizeof r);
    memset(&r.details, OUTPUT_FILL, sizeof r.details);
    for (size_t i = 0; i < N_OUTPUTS; i++) r.memory[i] = guard_new(bytes[i], OUTPUT_FILL);
    r.n_kept = n_kept;
    r.indices = (int32_t *)(void *)r.memory[0].data;
    r.details.order = (int32_t *)(void *)r.memory[1].data;
    r.details.group = (int32_t *)(void *)r.memory[2].data;
    r.details.state = r.memory[3].data;
    r.details.loading = (float *)(void *)r.memory[4].data;
    r.details.scope = PRUNESID_SCOPE_ALL;
    r.details.representative = (int32_t *)(void *)r.memory[5].data;
    r.details.count = (int32_t *)(void *)r.memory[6].data;
    r.details.log_count = (float *)(void *)r.memory[7].data;
    return r;
}

static inline void run_free(run *r) {
    for (size_t i = 0; i < N_OUTPUTS; i++) guard_free(&r->memory[i]);
}

static inline run run_select_scope(
    const prunesid_config *config, const prunesid_input *input, prunesid_scope scope) {
    run r = run_new(config, input);
    r.details.scope = scope;
    guard workspace = guard_workspace(config, input);
    r.status = prunesid_select(
        config, input, workspace.data, workspace.n_bytes, r.indices, r.n_kept, &r.details);
    guard_free(&workspace);
    return r;
}

static inline run run_select(const prunesid_config *config, const prunesid_input *input) {
    return run_select_scope(config, input, PRUNESID_SCOPE_ALL);
}

/* Whether nothing was written, the stats included. */
static inline int run_untouched(const run *r) {
    prunesid_stats filled;
    memset(&filled, OUTPUT_FILL, sizeof filled);
    int untouched = memcmp(&r->details.stats, &filled, sizeof filled) == 0;
    for (size_t i = 0; i < N_OUTPUTS; i++)
        untouched = untouched && guard_untouched(&r->memory[i], OUTPUT_FILL);
    return untouched;
}

/* Bit for bit, the residual's too, but for the method, its steps and the clocks. */
static inline int run_equal(const run *a, const run *b) {
    const prunesid_stats *const of_a = &a->details.stats, *const of_b = &b->details.stats;
    int equal = a->status == b->status && a->n_kept == b->n_kept && of_a->rho == of_b->rho &&
                of_a->tau == of_b->tau && of_a->n_survivors == of_b->n_survivors &&
                of_a->coverage == of_b->coverage && of_a->svd_residual == of_b->svd_residual;
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        equal = equal && a->memory[i].n_bytes == b->memory[i].n_bytes &&
                memcmp(a->memory[i].data, b->memory[i].data, a->memory[i].n_bytes) == 0;
    }
    return equal;
}

/* Exactly the promised number of distinct ascending indices, and outputs that agree with them. */
static inline int run_consistent(
    const run *r, const prunesid_config *config, const prunesid_input *input) {
    const size_t T = input->n_tokens, n = r->n_kept;
    const int64_t first = (int64_t)input->first, end = first + (int64_t)T;
    const int32_t n_groups = (int32_t)r->details.stats.n_groups;
    unsigned char *const kept = (unsigned char *)ref_new(T, 1);
    int32_t *const tally = (int32_t *)ref_new(T, sizeof *tally);
    size_t n_state = 0;
    int good = r->status == PRUNESID_OK && n == ref_min(config->budget - config->reserved, T) &&
               n == prunesid_n_kept(config, T);
    for (size_t i = 0; good && i < n; i++) {
        good = r->indices[i] >= first && r->indices[i] < end &&
               (i == 0 || r->indices[i] > r->indices[i - 1]);
        kept[good ? r->indices[i] - first : 0] = 1;
    }
    for (size_t i = 0; good && i < n; i++) { /* the order is a permutation of the indices */
        const int32_t pick = r->details.order[i];
        good = pick >= first && pick < end && kept[pick - first] == 1;
        kept[good ? pick - first : 0] = 2;
    }
    for (size_t i = 0; good && i < T; i++) {
        const int32_t stands = r->details.representative[i], k = r->details.group[i];
        const uint8_t state = r->details.state[i];
        n_state += state == PRUNESID_KEPT;
        good = state <= PRUNESID_SUPPRESSED && stands >= first && stands < end &&
               (state == PRUNESID_KEPT) == (kept[i] == 2) && kept[stands - first] == 2 &&
               (kept[i] != 2 || stands == first + (int64_t)i) &&
               (n_groups == 0 ? k == -1 : k >= 0 && k < n_groups) &&
               (n_groups > 0 || r->details.loading[i] == 0.0f);
        tally[good ? stands - first : 0]++;
    }
    for (size_t i = 0; good && i < n; i++) {
        const int32_t count = r->details.count[i];
        good = count == tally[r->indices[i] - first] &&
               r->details.log_count[i] == (float)log((double)count);
    }
    free(kept);
    free(tally);
    return good && n_state == n;
}

/* ---- number formats ----------------------------------------------------------------------- */

static inline size_t dtype_bytes(prunesid_dtype dtype) {
    return dtype == PRUNESID_F32 ? 4 : 2;
}

/* A new array of dtype with the n rounded values. */
static inline void *convert(const float *values, size_t n, prunesid_dtype dtype) {
    void *const out = ref_new(n, dtype_bytes(dtype));
    for (size_t i = 0; i < n; i++) {
        if (dtype == PRUNESID_F32) {
            ((float *)out)[i] = values[i];
        } else {
            ((uint16_t *)out)[i] = dtype == PRUNESID_F16 ? f16_from_double((double)values[i])
                                                         : bf16_from_float(values[i]);
        }
    }
    return out;
}

/* The n elements of data as float64. */
static inline double *widen(const void *data, size_t n, prunesid_dtype dtype) {
    double *const out = (double *)ref_new(n, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        out[i] = dtype == PRUNESID_F32   ? (double)((const float *)data)[i]
                 : dtype == PRUNESID_F16 ? (double)float_from_f16(((const uint16_t *)data)[i])
                                         : (double)float_from_bf16(((const uint16_t *)data)[i]);
    }
    return out;
}

/* ---- made-up tokens ----------------------------------------------------------------------- */

typedef enum kind {
    KIND_REAL,       /* low rank with a decaying spectrum, an offset and noise */
    KIND_SINKS,      /* the same with 2 % of high-norm tokens */
    KIND_DUPLICATES, /* the same, every fourth token an exact copy of an earlier one */
    KIND_HOLES,      /* the same, every fifth token all zero */
    KIND_GAUSS,      /* flat spectrum */
    KIND_EQUAL,
    KIND_ZERO,
    KIND_ONE_HOT,
    KIND_HUGE, /* KIND_REAL times 1e30 */
    KIND_TINY, /* KIND_REAL times 1e-38 */
    N_KINDS
} kind;

/* Singular values that fall by 4 % a component, as they do in real tokens. */
static inline void fill_real(float *x, size_t T, size_t d, uint64_t *state) {
    const size_t rank = ref_min(ref_min(T, d), 96);
    double *const left = (double *)ref_new(T * rank, sizeof *left);
    double *const right = (double *)ref_new(rank * d, sizeof *right);
    double *const offset = (double *)ref_new(d, sizeof *offset);
    for (size_t i = 0; i < T * rank; i++)
        left[i] = random_normal(state) * 0.4 * pow(0.96, (double)(i % rank));
    for (size_t i = 0; i < rank * d; i++) right[i] = random_normal(state);
    for (size_t j = 0; j < d; j++) offset[j] = random_normal(state);
    double *const row = (double *)ref_new(d, sizeof *row);
    for (size_t i = 0; i < T; i++) {
        for (size_t j = 0; j < d; j++) row[j] = offset[j] + 0.02 * random_normal(state);
        for (size_t r = 0; r < rank; r++)
            for (size_t j = 0; j < d; j++) row[j] += left[i * rank + r] * right[r * d + j];
        for (size_t j = 0; j < d; j++) x[i * d + j] = (float)row[j];
    }
    free(left);
    free(right);
    free(offset);
    free(row);
}

/* A new [T, d]. */
static inline float *tokens_new(kind what, size_t T, size_t d, uint64_t seed) {
    float *const x = (float *)ref_new(T * d, sizeof *x);
    uint64_t state = seed;
    const double scale = what == KIND_HUGE ? 1e30 : what == KIND_TINY ? 1e-38 : 1.0;
    if (what != KIND_GAUSS && what != KIND_EQUAL && what != KIND_ZERO && what != KIND_ONE_HOT)
        fill_real(x, T, d, &state);
    for (size_t i = 0; i < T; i++) {
        for (size_t j = 0; j < d; j++) {
            float *const at = &x[i * d + j];
            switch (what) {
            case KIND_SINKS:
                *at *= i % 50 == 7 ? 8.0f : 1.0f;
                break;
            case KIND_DUPLICATES:
                *at = i % 4 == 3 ? x[i / 2 * d + j] : *at;
                break;
            case KIND_HOLES:
                *at = i % 5 == 4 ? 0.0f : *at;
                break;
            case KIND_GAUSS:
                *at = (float)random_normal(&state);
                break;
            case KIND_EQUAL:
                *at = (float)sin((double)j + 1.0);
                break;
            case KIND_ONE_HOT:
                *at = j == i % d ? 1.0f : 0.0f;
                break;
            case KIND_REAL:
            case KIND_ZERO:
            case KIND_HUGE:
            case KIND_TINY:
            case N_KINDS:
                *at = (float)((double)*at * scale);
                break;
            }
        }
    }
    return x;
}

/* [T] distinct positive importance scores, heavy-tailed as attention is. */
static inline float *scores_new(size_t T, uint64_t seed) {
    float *const scores = (float *)ref_new(T, sizeof *scores);
    uint64_t state = seed;
    for (size_t i = 0; i < T; i++) scores[i] = (float)exp(2.0 * random_normal(&state));
    return scores;
}

/* ---- real tokens -------------------------------------------------------------------------- */

static const char *const all_sets[] = {"astronaut_swin512", "astronaut_vit384", "chelsea_mlp384",
    "chelsea_vit384", "chelsea_vit512", "coffee_cat384", "coffee_vit384", "raccoon_vit384",
    "rocket_vit384"};

/* Loads <folder>/<set>/<name>, PRUNESID_TEST_DATA first, then PRUNESID_EXAMPLES_DATA. 0 or -1. */
static inline int load(const char *set, const char *name, npy_array *array) {
    static const char *const folders[] = {PRUNESID_TEST_DATA, PRUNESID_EXAMPLES_DATA};
    char path[1024], error[256];
    for (size_t i = 0; i < N_ITEMS(folders); i++) {
        snprintf(path, sizeof path, "%s/%s/%s", folders[i], set, name);
        if (npy_load(path, array, error, sizeof error) == 0) return 0;
    }
    return -1;
}

/* The tokens of a set, float16 as they are stored; free with npy_free. */
static inline npy_array load_tokens(const char *set, prunesid_input *input) {
    npy_array array;
    CHECK(load(set, "tokens.npy", &array) == 0, "no tokens.npy of %s", set);
    assert_true(array.n_dims == 2 && array.kind == 'f' && array.item_bytes == 2);
    *input = prunesid_input_init(array.data, PRUNESID_F16, array.shape[0], array.shape[1]);
    return array;
}

/* One expectation; data/convert.py writes them. */
typedef struct expected {
    prunesid_preset asked, preset;
    size_t n_tokens, dim, budget, reserved, has_scores, n_kept, n_groups, n_survivors;
    double rho, phi, tau;
    int32_t *order, *group;
} expected;

static inline prunesid_preset preset_named(const char *name) {
    size_t preset = 0;
    const prunesid_rules *rules = prunesid_preset_rules(preset);
    while (rules != NULL && strcmp(rules->name, name) != 0) rules = prunesid_preset_rules(++preset);
    CHECK(rules != NULL, "no preset is called %s", name);
    return (prunesid_preset)preset;
}

static inline int32_t *read_integers(FILE *file, size_t n) {
    int32_t *const list = (int32_t *)ref_new(n, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        int value = 0;
        assert_int_equal(fscanf(file, "%d", &value), 1);
        list[i] = value;
    }
    return list;
}

/* Opens <PRUNESID_TEST_DATA>/<set>/<name> and reads the number of cases; NULL if there is none. */
static inline FILE *expected_open(const char *set, const char *name, size_t *n_cases) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s/%s", PRUNESID_TEST_DATA, set, name);
    FILE *const file = fopen(path, "r");
    if (file != NULL) assert_int_equal(fscanf(file, "%zu", n_cases), 1);
    return file;
}

static inline expected expected_read(FILE *file) {
    expected e;
    char asked[16], preset[16];
    assert_int_equal(fscanf(file, "%15s %15s", asked, preset), 2);
    e.asked = preset_named(asked);
    e.preset = preset_named(preset);
    assert_int_equal(fscanf(file, "%zu %zu %zu %zu %zu %zu %zu %zu", &e.n_tokens, &e.dim, &e.budget,
                         &e.reserved, &e.has_scores, &e.n_kept, &e.n_groups, &e.n_survivors),
        8);
    assert_int_equal(fscanf(file, "%lf %lf %lf", &e.rho, &e.phi, &e.tau), 3);
    e.order = read_integers(file, e.n_kept);
    e.group = read_integers(file, e.n_tokens);
    return e;
}

static inline void expected_free(expected *e) {
    free(e->order);
    free(e->group);
}

/* |a and b| / |a or b| of two sets below n_universe. */
static inline double jaccard(
    const int32_t *a, size_t n_a, const int32_t *b, size_t n_b, size_t n_universe) {
    unsigned char *const in = (unsigned char *)ref_new(n_universe, 1);
    size_t n_both = 0;
    for (size_t i = 0; i < n_a; i++) in[a[i]] = 1;
    for (size_t i = 0; i < n_b; i++) n_both += in[b[i]];
    free(in);
    return n_a + n_b == n_both ? 1.0 : (double)n_both / (double)(n_a + n_b - n_both);
}

#endif /* SUPPORT_H */
