/* test_regions.c - tiles, frames and images in one call: each as if it were alone, whatever shares the
 * budget and whoever runs the tasks.   MIT licence. */
#include "support.h"

#include <pthread.h>

enum { MAX_REGIONS = 16, MAX_GUARDED = 24, MAX_WORKERS = 5, N_ARRAYS = 5 };

static const prunesid_sharing all_sharings[] = {PRUNESID_FIXED, PRUNESID_BY_SIZE, PRUNESID_BY_PHI};

/* ---- a problem and its outcome ------------------------------------------------------------ */

/* Which rows a problem's regions are read from. */
typedef enum placing {
    IN_ONE_MATRIX,
    SCATTERED, /* each its own memory; the tokens have none */
    MIXED,     /* every second one */
    N_PLACINGS
} placing;

typedef struct problem {
    prunesid_config config;
    prunesid_sharing sharing;
    prunesid_tokens tokens; /* [T, ld], NaN wherever nothing may be read */
    prunesid_region regions[MAX_REGIONS];
    size_t n_regions;
    int32_t guarded[MAX_GUARDED];
    float *scores[MAX_REGIONS];
    void *alone[MAX_REGIONS];  /* [T_r, d] the same rows, tight */
    void *pieces[MAX_REGIONS]; /* [T_r, ld], or NULL */
    void *data;
} problem;

/* Regions of sizes[r] tokens behind gaps[r] others. */
static problem problem_new(prunesid_preset preset, prunesid_sharing sharing, const size_t *sizes,
    const size_t *gaps, size_t n_regions, size_t dim, size_t ld, prunesid_dtype dtype,
    placing where, uint64_t seed) {
    problem p;
    size_t T = 0, n = 0;
    memset(&p, 0, sizeof p);
    for (size_t r = 0; r < n_regions; r++) {
        p.regions[r] = prunesid_region_init(T + gaps[r], sizes[r], 1);
        T += gaps[r] + sizes[r];
    }
    T += gaps[0]; /* and some behind the last */
    p.config = prunesid_config_init(preset, T, dim, 0);
    p.sharing = sharing;
    p.n_regions = n_regions;
    float *const wide = (float *)ref_new(T * ld, sizeof *wide);
    for (size_t i = 0; i < T * ld; i++) wide[i] = NAN;
    for (size_t r = 0; r < n_regions; r++) {
        const size_t first = p.regions[r].first;
        const kind what = n++ % 3 == 2 ? KIND_DUPLICATES : seed % 2 ? KIND_GAUSS : KIND_REAL;
        float *const x = tokens_new(what, sizes[r], dim, seed * 100 + r);
        p.alone[r] = convert(x, sizes[r] * dim, dtype);
        float *const piece = (float *)ref_new(sizes[r] * ld, sizeof *piece);
        for (size_t i = 0; i < sizes[r] * ld; i++) {
            piece[i] = i % ld < dim ? x[i / ld * dim + i % ld] : NAN;
        }
        if (where == SCATTERED || (where == MIXED && r % 2 == 0)) {
            p.pieces[r] = convert(piece, sizes[r] * ld, dtype);
            p.regions[r].data = p.pieces[r];
        } else {
            memcpy(wide + first * ld, piece, sizes[r] * ld * sizeof *piece);
        }
        free(piece);
        free(x);
    }
    p.data = convert(wide, T * ld, dtype);
    p.tokens = prunesid_tokens_view(where == SCATTERED ? NULL : p.data, dtype, T, dim);
    p.tokens.ld = ld;
    free(wide);
    return p;
}

static void give_scores(problem *p, size_t r, uint64_t seed) {
    p->scores[r] = scores_new(p->regions[r].n_tokens, seed);
    p->regions[r].scores = p->scores[r];
}

/* The tokens numbered by list, ascending. */
static void protect(problem *p, const int32_t *list, size_t n) {
    memcpy(p->guarded, list, n * sizeof *list);
    p->config.n_protected = n;
}

static void problem_free(problem *p) {
    for (size_t r = 0; r < p->n_regions; r++) {
        free(p->scores[r]);
        free(p->alone[r]);
        free(p->pieces[r]);
    }
    free(p->data);
}

typedef struct outcome {
    prunesid_status status;
    prunesid_region regions[MAX_REGIONS];
    guard indices, arrays[MAX_REGIONS][N_ARRAYS]; /* order, group, state, loading, representative */
    size_t n_regions;
} outcome;

enum { UNUSED_STATUS = -1000 };

static outcome outcome_new(const problem *p, size_t n_kept) {
    outcome o;
    memset(&o, 0, sizeof o);
    memcpy(o.regions, p->regions, sizeof o.regions);
    o.n_regions = p->n_regions;
    o.indices = guard_new(n_kept * sizeof(int32_t), OUTPUT_FILL);
    for (size_t r = 0; r < p->n_regions; r++) {
        prunesid_output *const out = &o.regions[r].out;
        for (size_t a = 0; a < N_ARRAYS; a++) {
            const size_t item = a == 2 ? sizeof(uint8_t) : sizeof(int32_t);
            o.arrays[r][a] = guard_new(p->regions[r].n_tokens * item, OUTPUT_FILL);
        }
        memset(&out->stats, OUTPUT_FILL, sizeof out->stats);
        out->n_kept = 12345;
        out->order = (int32_t *)(void *)o.arrays[r][0].data;
        out->group = (int32_t *)(void *)o.arrays[r][1].data;
        out->state = o.arrays[r][2].data;
        out->loading = (float *)(void *)o.arrays[r][3].data;
        out->representative = (int32_t *)(void *)o.arrays[r][4].data;
        o.regions[r].status = (prunesid_status)UNUSED_STATUS;
    }
    return o;
}

static void outcome_free(outcome *o) {
    guard_free(&o->indices);
    for (size_t r = 0; r < o->n_regions; r++) {
        for (size_t a = 0; a < N_ARRAYS; a++) guard_free(&o->arrays[r][a]);
    }
}

/* The regions in exactly the workspace they need. */
static outcome run_regions(problem *p, const prunesid_threads *threads) {
    p->config.protected_indices = p->config.n_protected > 0 ? p->guarded : NULL;
    const size_t n_kept = prunesid_regions_n_kept(&p->config, p->sharing, p->regions, p->n_regions);
    const size_t n_bytes = prunesid_regions_workspace_size(
        &p->config, p->sharing, p->regions, p->n_regions, threads != NULL ? threads->n_workers : 1);
    outcome o = outcome_new(p, n_kept);
    guard workspace = guard_new(n_bytes, 0xFF);
    o.status = prunesid_select_regions(&p->config, p->sharing, &p->tokens, o.regions, p->n_regions,
        threads, workspace.data, n_bytes, (int32_t *)(void *)o.indices.data);
    guard_free(&workspace);
    return o;
}

static int same_stats(const prunesid_stats *a, const prunesid_stats *b) {
    return a->rho == b->rho && a->phi == b->phi && a->tau == b->tau && a->preset == b->preset &&
           a->n_groups == b->n_groups && a->n_survivors == b->n_survivors && a->svd == b->svd &&
           a->svd_iterations == b->svd_iterations && a->svd_residual == b->svd_residual &&
           a->lapack_info == b->lapack_info;
}

/* A region that failed keeps nothing; where the whole call is refused not even that is written. */
static int region_untouched(const problem *p, const outcome *o, size_t r) {
    prunesid_output before = o->regions[r].out;
    int same = o->regions[r].budget == p->regions[r].budget &&
               (before.n_kept == 12345 || before.n_kept == 0) && before.indices == NULL;
    memset(&before.stats, OUTPUT_FILL, sizeof before.stats);
    same = same && memcmp(&before.stats, &o->regions[r].out.stats, sizeof before.stats) == 0;
    for (size_t a = 0; a < N_ARRAYS; a++) {
        same = same && guard_untouched(&o->arrays[r][a], OUTPUT_FILL);
    }
    return same;
}

static int all_untouched(const problem *p, const outcome *o) {
    int same = guard_untouched(&o->indices, OUTPUT_FILL);
    for (size_t r = 0; r < p->n_regions; r++) same = same && region_untouched(p, o, r);
    return same;
}

/* Bit for bit, one's with another's. */
static int outcome_equal(const outcome *a, const outcome *b) {
    int same = a->status == b->status && a->indices.n_bytes == b->indices.n_bytes &&
               memcmp(a->indices.data, b->indices.data, a->indices.n_bytes) == 0;
    for (size_t r = 0; same && r < a->n_regions; r++) {
        const prunesid_region *const one = &a->regions[r], *const two = &b->regions[r];
        same = one->status == two->status && one->budget == two->budget &&
               one->out.n_kept == two->out.n_kept && same_stats(&one->out.stats, &two->out.stats) &&
               (one->out.indices == NULL) == (two->out.indices == NULL);
        for (size_t i = 0; same && i < N_ARRAYS; i++) {
            const guard *const m = &a->arrays[r][i];
            same = memcmp(m->data, b->arrays[r][i].data, m->n_bytes) == 0;
        }
    }
    return same;
}

/* Region r as an image of its own, with its protected tokens in list [MAX_GUARDED]. */
static prunesid_config config_alone(
    const problem *p, size_t r, size_t budget, int32_t list[MAX_GUARDED]) {
    const int32_t first = (int32_t)p->regions[r].first;
    prunesid_config c = p->config;
    c.n_tokens = p->regions[r].n_tokens;
    c.budget = budget;
    c.protected_indices = list;
    c.n_protected = 0;
    for (size_t i = 0; i < p->config.n_protected; i++) {
        const int32_t index = p->guarded[i];
        if (index >= first && index < first + (int32_t)c.n_tokens) {
            list[c.n_protected++] = index - first;
        }
    }
    return c;
}

static run select_alone(const problem *p, size_t r, size_t budget) {
    int32_t list[MAX_GUARDED];
    const prunesid_config c = config_alone(p, r, budget, list);
    const prunesid_tokens view =
        prunesid_tokens_view(p->alone[r], p->tokens.dtype, c.n_tokens, c.dim);
    return run_select(&c, &view, p->regions[r].scores, NULL);
}

static int shifted(const int32_t *got, const int32_t *want, size_t n, size_t first) {
    for (size_t i = 0; i < n; i++) {
        if (got[i] != want[i] + (int32_t)first) return 0;
    }
    return 1;
}

/* Region r's result is the selection that the region alone gets; *at is its place in the indices. */
static void check_region(
    const problem *p, const outcome *o, size_t r, size_t *at, const char *name, size_t number) {
    const prunesid_region *const region = &o->regions[r];
    run want = select_alone(p, r, region->budget);
    const size_t n = want.out.n_kept, first = region->first, T = region->n_tokens;
    CHECK_STATUS(want.status, PRUNESID_OK, "%s %zu, region %zu", name, number, r);
    CHECK_STATUS(region->status, PRUNESID_OK, "%s %zu, region %zu", name, number, r);
    CHECK(region->out.n_kept == n, "%s %zu, region %zu: %zu, not %zu", name, number, r,
        region->out.n_kept, n);
    CHECK((*at + n) * 4 <= o->indices.n_bytes, "%s %zu, region %zu", name, number, r);
    CHECK(region->out.indices == (int32_t *)(void *)o->indices.data + *at, "%s %zu, region %zu",
        name, number, r);
    CHECK(shifted(region->out.indices, want.out.indices, n, first), "%s %zu, region %zu", name,
        number, r);
    CHECK(shifted(region->out.order, want.out.order, n, first), "%s %zu, region %zu", name, number,
        r);
    for (size_t i = n * 4; i < T * 4; i++) {
        assert_int_equal(o->arrays[r][0].data[i], OUTPUT_FILL);
    }
    CHECK(shifted(region->out.representative, want.out.representative, T, first),
        "%s %zu, region %zu", name, number, r);
    for (size_t a = 1; a < 4; a++) {
        const guard *const got = &o->arrays[r][a], *const wanted = &want.memory[a + 1];
        CHECK(memcmp(got->data, wanted->data, wanted->n_bytes) == 0,
            "%s %zu, region %zu, array %zu", name, number, r, a);
    }
    CHECK(same_stats(&region->out.stats, &want.out.stats), "%s %zu, region %zu", name, number, r);
    assert_ptr_equal(region->data, p->regions[r].data);
    assert_ptr_equal(region->scores, p->regions[r].scores);
    *at += n;
    run_free(&want);
}

static void check_all(const problem *p, const outcome *o, const char *name, size_t number) {
    size_t at = 0;
    CHECK_STATUS(o->status, PRUNESID_OK, "%s %zu", name, number);
    for (size_t r = 0; r < p->n_regions; r++) check_region(p, o, r, &at, name, number);
    CHECK(at * 4 == o->indices.n_bytes, "%s %zu: %zu kept, not %zu", name, number, at,
        o->indices.n_bytes / 4);
}

/* ---- who runs the tasks ------------------------------------------------------------------- */

typedef void task_function(void *data, size_t i, size_t worker);

typedef struct pool {
    pthread_mutex_t mutex;
    task_function *task;
    void *data;
    size_t next, n_tasks;
} pool;

typedef struct member {
    pthread_t thread;
    pool *all;
    size_t worker;
} member;

static void *pool_work(void *argument) {
    member *const m = (member *)argument;
    for (;;) {
        assert_int_equal(pthread_mutex_lock(&m->all->mutex), 0);
        const size_t i = m->all->next++;
        assert_int_equal(pthread_mutex_unlock(&m->all->mutex), 0);
        if (i >= m->all->n_tasks) return NULL;
        m->all->task(m->all->data, i, m->worker);
    }
}

/* What a hook was asked for. */
typedef struct seen {
    size_t n_calls, n_tasks, n_workers, which;
} seen;

static void note(void *user, size_t n_tasks, size_t n_workers) {
    seen *const s = (seen *)user;
    s->n_calls++;
    s->n_tasks = n_tasks;
    s->n_workers = n_workers;
}

static void run_pool(
    task_function *task, void *data, size_t n_tasks, size_t n_workers, void *user) {
    pool all = {PTHREAD_MUTEX_INITIALIZER, task, data, 0, n_tasks};
    member members[MAX_WORKERS];
    note(user, n_tasks, n_workers);
    assert_true(n_workers >= 1 && n_workers <= MAX_WORKERS);
    for (size_t w = 0; w < n_workers; w++) {
        members[w].all = &all;
        members[w].worker = w;
        assert_int_equal(pthread_create(&members[w].thread, NULL, pool_work, &members[w]), 0);
    }
    for (size_t w = 0; w < n_workers; w++) {
        assert_int_equal(pthread_join(members[w].thread, NULL), 0);
    }
}

/* One thread, last task first, the workers in turn. */
static void run_backwards(
    task_function *task, void *data, size_t n_tasks, size_t n_workers, void *user) {
    note(user, n_tasks, n_workers);
    for (size_t i = n_tasks; i-- > 0;) task(data, i, i * 7 % n_workers);
}

/* All but seen.which. */
static void run_but_one(
    task_function *task, void *data, size_t n_tasks, size_t n_workers, void *user) {
    note(user, n_tasks, n_workers);
    for (size_t i = 0; i < n_tasks; i++) {
        if (i != ((const seen *)user)->which) task(data, i, i % n_workers);
    }
}

/* All but one in the second round, which under BY_PHI is the selection. */
static void run_but_one_later(
    task_function *task, void *data, size_t n_tasks, size_t n_workers, void *user) {
    note(user, n_tasks, n_workers);
    for (size_t i = 0; i < n_tasks; i++) {
        if (i != ((const seen *)user)->which || ((const seen *)user)->n_calls < 2) {
            task(data, i, i % n_workers);
        }
    }
}

static void run_nothing(
    task_function *task, void *data, size_t n_tasks, size_t n_workers, void *user) {
    (void)task;
    (void)data;
    note(user, n_tasks, n_workers);
}

/* What no hook should do, around what it should. */
static void run_wildly(
    task_function *task, void *data, size_t n_tasks, size_t n_workers, void *user) {
    static const size_t far[] = {0, 1, 1000, SIZE_MAX / 2};
    note(user, n_tasks, n_workers);
    for (size_t f = 0; f < N_ITEMS(far); f++) {
        task(data, n_tasks + far[f], 0);
        task(data, 0, n_workers + far[f]);
        task(data, SIZE_MAX - far[f], SIZE_MAX - far[f]);
    }
    for (size_t i = 0; i < n_tasks; i++) {
        task(data, i, i % n_workers);
        task(data, i + n_tasks, i % n_workers);
        task(data, i, i % n_workers + n_workers);
    }
}

/* seen.which gets a worker that there is none of. */
static void run_with_a_bad_worker(
    task_function *task, void *data, size_t n_tasks, size_t n_workers, void *user) {
    note(user, n_tasks, n_workers);
    for (size_t i = 0; i < n_tasks; i++) {
        task(data, i, i == ((const seen *)user)->which ? n_workers : i % n_workers);
    }
}

typedef void run_function(task_function *, void *, size_t, size_t, void *);

static prunesid_threads threads_of(run_function *function, size_t n_workers, seen *user) {
    const prunesid_threads threads = {n_workers, function, user};
    memset(user, 0, sizeof *user);
    return threads;
}

/* ---- each region as if it were alone ------------------------------------------------------ */

static const size_t some_sizes[] = {30, 1, 9, 64, 17}, some_gaps[] = {3, 0, 5, 1, 0};
static const int32_t some_guarded[] = {4, 33, 40, 47, 60, 112};

/* A problem with all that number's bits and digits ask for. */
static problem problem_number(size_t number) {
    const size_t dim = 16, ld = number / 4 % 2 ? dim + 5 : dim;
    problem p = problem_new(all_presets[number % 4], all_sharings[number / 8 % 3], some_sizes,
        some_gaps, N_ITEMS(some_sizes), dim, ld, (prunesid_dtype)(number / 24 % 3),
        (placing)(number / 72 % N_PLACINGS), number);
    p.config.svd = (prunesid_svd)(number / 5 % 3);
    p.config.seed = number;
    if (number / 216 % 2) protect(&p, some_guarded, N_ITEMS(some_guarded));
    if (number % 5 == 1) p.config.reserved = 2;
    for (size_t r = 0; r < p.n_regions; r++) {
        static const size_t budgets[] = {9, 4, 30, 12, 17};
        p.regions[r].budget = budgets[r] + (number + r) % 3;
        if ((number / 7 + r * (number / 14)) % 2) give_scores(&p, r, number + r);
        if (number % 11 == r) p.regions[r].low = 6;
        if (number % 7 == r) p.regions[r].high = 8;
    }
    p.config.budget = 40 + number % 50;
    return p;
}

enum { N_PROBLEMS = 432 };

static void each_region_is_pruned_as_if_alone(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_PROBLEMS; i++) {
        problem p = problem_number(i);
        outcome o = run_regions(&p, NULL);
        check_all(&p, &o, "problem", i);
        outcome_free(&o);
        problem_free(&p);
    }
}

/* Large enough for KRYLOV's own basis; budgets from none of it to all. */
static void krylov_regions_too(void **unused) {
    static const size_t sizes[] = {300, 40, 320}, gaps[] = {2, 0, 1};
    (void)unused;
    for (size_t i = 0; i < 6; i++) {
        problem p = problem_new(all_presets[i % 4], all_sharings[i % 3], sizes, gaps, 3, 600, 601,
            (prunesid_dtype)(i % 3), i % 2 ? SCATTERED : IN_ONE_MATRIX, 40 + 2 * i);
        seen user;
        const prunesid_threads threads = threads_of(run_pool, 2, &user);
        for (size_t r = 0; r < 3; r++) p.regions[r].budget = 20 + 20 * r;
        p.config.budget = 140; /* one region with all of it would be EXACT at once */
        outcome o = run_regions(&p, &threads);
        check_all(&p, &o, "large problem", i);
        CHECK(o.regions[0].out.stats.svd == PRUNESID_SVD_EXACT ||
                  o.regions[0].out.stats.svd_iterations > 0,
            "problem %zu", i);
        outcome_free(&o);
        problem_free(&p);
    }
}

/* Optional arrays may be missing, of some regions or of all. */
static void arrays_are_optional(void **unused) {
    problem p = problem_number(0);
    outcome whole = run_regions(&p, NULL);
    (void)unused;
    for (size_t mask = 0; mask < 1u << N_ARRAYS; mask++) {
        outcome o = outcome_new(&p, whole.indices.n_bytes / 4);
        const size_t n_bytes =
            prunesid_regions_workspace_size(&p.config, p.sharing, p.regions, p.n_regions, 1);
        guard workspace = guard_new(n_bytes, 0xFF);
        for (size_t r = 0; r < p.n_regions; r++) {
            prunesid_output *const out = &o.regions[r].out;
            const size_t bits = r % 2 ? mask : mask * 5;
            out->order = bits & 1 ? NULL : out->order;
            out->group = bits & 2 ? NULL : out->group;
            out->state = bits & 4 ? NULL : out->state;
            out->loading = bits & 8 ? NULL : out->loading;
            out->representative = bits & 16 ? NULL : out->representative;
        }
        assert_int_equal(
            prunesid_select_regions(&p.config, p.sharing, &p.tokens, o.regions, p.n_regions, NULL,
                workspace.data, n_bytes, (int32_t *)(void *)o.indices.data),
            PRUNESID_OK);
        assert_memory_equal(o.indices.data, whole.indices.data, whole.indices.n_bytes);
        for (size_t r = 0; r < p.n_regions; r++) {
            const prunesid_output *const out = &o.regions[r].out;
            const void *const given[] = {
                out->order, out->group, out->state, out->loading, out->representative};
            for (size_t a = 0; a < N_ARRAYS; a++) {
                const guard *const got = &o.arrays[r][a], *const want = &whole.arrays[r][a];
                assert_true(given[a] != NULL ? memcmp(got->data, want->data, want->n_bytes) == 0
                                             : guard_untouched(got, OUTPUT_FILL));
            }
        }
        guard_free(&workspace);
        outcome_free(&o);
    }
    outcome_free(&whole);
    problem_free(&p);
}

/* ---- totals, limits, and what is refused -------------------------------------------------- */

/* A random layout of tiny regions with random floors and ceilings. */
static problem random_problem(uint64_t *state) {
    size_t sizes[MAX_REGIONS], gaps[MAX_REGIONS], most = 0;
    const size_t n = random_size(state, 1, 10), dim = random_size(state, 2, 8);
    for (size_t r = 0; r < n; r++) {
        sizes[r] = random_size(state, 1, random_bits(state) % 4 ? 12 : 3);
        gaps[r] = random_bits(state) % 2 ? 0 : random_size(state, 0, 3);
        most += sizes[r];
    }
    problem p = problem_new(all_presets[random_size(state, 0, 3)], PRUNESID_FIXED, sizes, gaps, n,
        dim, dim + random_size(state, 0, 2), (prunesid_dtype)random_size(state, 0, 2),
        (placing)random_size(state, 0, N_PLACINGS - 1), random_bits(state) % 1000);
    p.config.svd = (prunesid_svd)random_size(state, 0, 2);
    if (random_bits(state) % 3 == 0) p.config.reserved = random_size(state, 0, 3);
    for (size_t r = 0; r < n; r++) {
        prunesid_region *const region = &p.regions[r];
        region->budget = p.config.reserved + random_size(state, 1, sizes[r] + 2);
        if (random_bits(state) % 2) region->low = random_size(state, 0, sizes[r]);
        if (random_bits(state) % 2) {
            region->high = region->low + p.config.reserved + random_size(state, 0, sizes[r]);
        }
        if (random_bits(state) % 3 == 0) give_scores(&p, r, random_bits(state) % 1000);
        for (size_t i = 0; i < sizes[r] && p.config.n_protected < MAX_GUARDED; i++) {
            if (random_bits(state) % 24 == 0) {
                p.guarded[p.config.n_protected++] = (int32_t)(region->first + i);
            }
        }
    }
    p.config.budget = n * p.config.reserved + random_size(state, n, most + most / 4 + 2);
    return p;
}

/* The limits of region r's share, by the header's words. */
static void limits(const problem *p, size_t r, size_t *low, size_t *high) {
    int32_t list[MAX_GUARDED];
    const prunesid_config c = config_alone(p, r, 1, list);
    const size_t all = p->regions[r].n_tokens + p->config.reserved;
    *low = ref_max(p->regions[r].low, p->config.reserved + ref_max(c.n_protected, 1));
    *low = ref_min(*low, all);
    *high = ref_min(p->regions[r].high, all);
}

/* What should come of it; *n_kept for PRUNESID_OK. */
static prunesid_status foreseen(const problem *p, size_t *n_kept) {
    size_t floors = 0, ceilings = 0, fixed = 0;
    prunesid_status status = PRUNESID_OK;
    for (size_t r = 0; r < p->n_regions; r++) {
        int32_t list[MAX_GUARDED];
        const prunesid_config c = config_alone(p, r, p->regions[r].budget, list);
        size_t low, high;
        limits(p, r, &low, &high);
        floors += low;
        ceilings += high;
        fixed += ref_min(c.budget - c.reserved, c.n_tokens);
        if (status == PRUNESID_OK && p->sharing == PRUNESID_FIXED && c.n_protected > 0 &&
            c.n_protected > c.budget - c.reserved) {
            status = PRUNESID_ERROR_PROTECTED_COUNT;
        }
        if (status == PRUNESID_OK && p->sharing != PRUNESID_FIXED &&
            ref_max(p->regions[r].low, c.reserved + ref_max(c.n_protected, 1)) >
                p->regions[r].high) {
            status = PRUNESID_ERROR_LIMITS;
        }
    }
    *n_kept = fixed;
    if (p->sharing == PRUNESID_FIXED) return status;
    *n_kept = ref_min(p->config.budget, ceilings) - p->n_regions * p->config.reserved;
    return status != PRUNESID_OK       ? status
           : floors > p->config.budget ? PRUNESID_ERROR_TOTAL
                                       : PRUNESID_OK;
}

/* The shares are those of the weights: tokens, or the phi of each region alone. */
static void check_shares(const problem *p, const outcome *o, size_t number) {
    double weights[MAX_REGIONS];
    size_t low[MAX_REGIONS], high[MAX_REGIONS], want[MAX_REGIONS], total = 0, ceilings = 0;
    for (size_t r = 0; r < p->n_regions; r++) {
        int32_t list[MAX_GUARDED];
        prunesid_config c = config_alone(p, r, p->regions[r].n_tokens + p->config.reserved, list);
        prunesid_information found = {0.0, 0.0, 0.0, 0};
        const prunesid_tokens view =
            prunesid_tokens_view(p->alone[r], p->tokens.dtype, c.n_tokens, c.dim);
        guard workspace = guard_workspace(&c);
        assert_int_equal(
            prunesid_redundancy(&c, &view, workspace.data, workspace.n_bytes, &found), PRUNESID_OK);
        guard_free(&workspace);
        weights[r] = p->sharing == PRUNESID_BY_PHI ? found.phi : (double)c.n_tokens;
        limits(p, r, &low[r], &high[r]);
        total += o->regions[r].budget;
        ceilings += high[r];
        CHECK(o->regions[r].budget >= low[r] && o->regions[r].budget <= high[r],
            "problem %zu, region %zu: %zu is not in [%zu, %zu]", number, r, o->regions[r].budget,
            low[r], high[r]);
        CHECK(o->regions[r].out.stats.phi == found.phi, "problem %zu, region %zu", number, r);
    }
    CHECK(total == ref_min(p->config.budget, ceilings), "problem %zu: %zu", number, total);
    assert_int_equal(
        prunesid_share(weights, p->n_regions, p->config.budget, low, high, want), PRUNESID_OK);
    for (size_t r = 0; r < p->n_regions; r++) {
        CHECK(o->regions[r].budget == want[r], "problem %zu, region %zu: %zu, not %zu", number, r,
            o->regions[r].budget, want[r]);
    }
    if (p->config.budget % p->n_regions != 0) return;
    ref_budgets(weights, p->n_regions, p->config.budget / p->n_regions, low, high, want);
    for (size_t r = 0; r < p->n_regions; r++) {
        CHECK(o->regions[r].budget == want[r],
            "problem %zu, region %zu: %zu, not the reference's %zu", number, r,
            o->regions[r].budget, want[r]);
    }
}

static void totals_are_exact(void **unused) {
    uint64_t state = 2026;
    size_t n_good[3] = {0, 0, 0}, n_refused[3] = {0, 0, 0};
    (void)unused;
    for (size_t i = 0; i < 1200; i++) {
        problem p = random_problem(&state);
        for (size_t s = 0; s < 3; s++) {
            size_t n_kept;
            p.sharing = all_sharings[s];
            const prunesid_status want = foreseen(&p, &n_kept);
            outcome o = run_regions(&p, NULL);
            CHECK_STATUS(o.status, want, "problem %zu, sharing %zu", i, s);
            n_good[s] += want == PRUNESID_OK;
            n_refused[s] += want != PRUNESID_OK;
            if (want == PRUNESID_OK) {
                CHECK(
                    prunesid_regions_n_kept(&p.config, p.sharing, p.regions, p.n_regions) == n_kept,
                    "problem %zu, sharing %zu: not %zu", i, s, n_kept);
                check_all(&p, &o, "random problem", i);
                if (p.sharing != PRUNESID_FIXED) check_shares(&p, &o, i);
            } else {
                assert_true(all_untouched(&p, &o));
                assert_int_equal(
                    prunesid_regions_n_kept(&p.config, p.sharing, p.regions, p.n_regions), 0);
                assert_int_equal(prunesid_regions_workspace_size(
                                     &p.config, p.sharing, p.regions, p.n_regions, 1),
                    0);
            }
            outcome_free(&o);
        }
        problem_free(&p);
    }
    for (size_t s = 0; s < 3; s++) { /* the dice must not have gone to one side */
        CHECK(n_good[s] >= 600, "sharing %zu: %zu good", s, n_good[s]);
        CHECK(n_refused[s] >= 10, "sharing %zu: %zu refused", s, n_refused[s]);
    }
}

/* Rich regions get more than poor ones; large ones more than small ones. */
static void sharing_follows_phi_or_size(void **unused) {
    enum { EACH = 24, DIM = 12 };
    static const size_t sizes[] = {EACH, EACH, EACH}, gaps[] = {0, 0, 0};
    problem p = problem_new(
        PRUNESID_AUTO, PRUNESID_BY_PHI, sizes, gaps, 3, DIM, DIM, PRUNESID_F32, SCATTERED, 1);
    float *const poor = tokens_new(KIND_EQUAL, EACH, DIM, 1);
    (void)unused;
    memcpy(p.alone[1], poor, EACH * DIM * sizeof *poor);
    memcpy(p.pieces[1], poor, EACH * DIM * sizeof *poor);
    p.config.budget = 37;
    outcome o = run_regions(&p, NULL);
    check_all(&p, &o, "three images", 0);
    assert_int_equal(o.regions[1].budget, 1); /* rho is 1: nothing but the floor */
    assert_true(o.regions[0].budget + o.regions[2].budget == 36 && o.regions[0].budget <= EACH);
    outcome_free(&o);
    p.sharing = PRUNESID_BY_SIZE;
    o = run_regions(&p, NULL);
    check_all(&p, &o, "three images", 1);
    assert_true(o.regions[0].budget == 13 && o.regions[1].budget == 12);
    assert_int_equal(o.regions[2].budget, 12);
    outcome_free(&o);
    free(poor);
    problem_free(&p);
}

/* ---- the workspace ------------------------------------------------------------------------ */

static void the_workspace_is_exact(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 48; i++) {
        problem p = problem_number(i * 9);
        for (size_t n_workers = 1; n_workers <= MAX_WORKERS; n_workers += 2) {
            seen user;
            const prunesid_threads threads = threads_of(run_backwards, n_workers, &user);
            outcome o = run_regions(&p, &threads); /* guarded and exact */
            CHECK_STATUS(o.status, PRUNESID_OK, "problem %zu", i);
            outcome_free(&o);
            const size_t n_bytes = prunesid_regions_workspace_size(
                &p.config, p.sharing, p.regions, p.n_regions, n_workers);
            const size_t n_kept =
                prunesid_regions_n_kept(&p.config, p.sharing, p.regions, p.n_regions);
            guard workspace = guard_new(n_bytes + 64, 0xEE);
            o = outcome_new(&p, n_kept);
            int32_t *const indices = (int32_t *)(void *)o.indices.data;
            assert_int_equal(prunesid_select_regions(&p.config, p.sharing, &p.tokens, o.regions,
                                 p.n_regions, &threads, workspace.data, n_bytes - 1, indices),
                PRUNESID_ERROR_WORKSPACE_SHORT);
            assert_int_equal(prunesid_select_regions(&p.config, p.sharing, &p.tokens, o.regions,
                                 p.n_regions, &threads, workspace.data + 8, n_bytes, indices),
                PRUNESID_ERROR_WORKSPACE_ALIGNMENT);
            assert_int_equal(prunesid_select_regions(&p.config, p.sharing, &p.tokens, o.regions,
                                 p.n_regions, &threads, NULL, n_bytes, indices),
                PRUNESID_ERROR_NULL);
            assert_true(all_untouched(&p, &o) && guard_untouched(&workspace, 0xEE));
            for (size_t r = 0; r < p.n_regions; r++) {
                assert_int_equal(o.regions[r].status, UNUSED_STATUS);
            }
            guard_free(&workspace);
            outcome_free(&o);
        }
        problem_free(&p);
    }
}

/* More workers than regions cost nothing more, and no worker is one too few. */
static void the_workspace_grows_with_workers(void **unused) {
    problem p = problem_number(0);
    size_t before = 0, n_bytes;
    (void)unused;
    assert_int_equal(
        prunesid_regions_workspace_size(&p.config, p.sharing, p.regions, p.n_regions, 0), 0);
    for (size_t n = 1; n < 10; n++) {
        n_bytes = prunesid_regions_workspace_size(&p.config, p.sharing, p.regions, p.n_regions, n);
        assert_true(n <= p.n_regions ? n_bytes > before : n_bytes == before);
        before = n_bytes;
    }
    n_bytes =
        prunesid_regions_workspace_size(&p.config, p.sharing, p.regions, p.n_regions, SIZE_MAX);
    assert_int_equal(n_bytes, before);
    problem_free(&p);
}

/* ---- threads ------------------------------------------------------------------------------ */

static void workers_do_not_matter(void **unused) {
    static run_function *const hooks[] = {run_pool, run_backwards, run_wildly};
    (void)unused;
    for (size_t i = 0; i < N_PROBLEMS; i += 5) {
        problem p = problem_number(i);
        outcome want = run_regions(&p, NULL);
        CHECK_STATUS(want.status, PRUNESID_OK, "problem %zu", i);
        for (size_t n = 1; n <= MAX_WORKERS; n++) {
            for (size_t h = 0; h < N_ITEMS(hooks); h++) {
                seen user;
                const prunesid_threads threads = threads_of(hooks[h], n, &user);
                outcome o = run_regions(&p, &threads);
                CHECK(outcome_equal(&want, &o), "problem %zu, %zu workers, hook %zu", i, n, h);
                CHECK(user.n_calls == (p.sharing == PRUNESID_BY_PHI ? 2u : 1u) &&
                          user.n_tasks == p.n_regions && user.n_workers == ref_min(n, p.n_regions),
                    "problem %zu, %zu workers, hook %zu", i, n, h);
                outcome_free(&o);
            }
        }
        outcome_free(&want);
        problem_free(&p);
    }
}

#ifdef _OPENMP
static void openmp_gives_the_serial_bits(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_PROBLEMS; i += 5) {
        problem p = problem_number(i);
        outcome want = run_regions(&p, NULL);
        CHECK_STATUS(want.status, PRUNESID_OK, "problem %zu", i);
        for (size_t n = 1; n <= 8; n++) {
            const prunesid_threads threads = {n, NULL, NULL};
            outcome o = run_regions(&p, &threads);
            CHECK(outcome_equal(&want, &o), "problem %zu, %zu workers", i, n);
            outcome_free(&o);
        }
        outcome_free(&want);
        problem_free(&p);
    }
}
#else
static void workers_need_a_hook(void **unused) {
    const prunesid_threads one = {1, NULL, NULL}, two = {2, NULL, NULL};
    (void)unused;
    for (size_t i = 0; i < 24; i++) {
        problem p = problem_number(i);
        outcome o = run_regions(&p, &one);
        assert_int_equal(o.status, PRUNESID_OK);
        outcome_free(&o);
        o = run_regions(&p, &two);
        assert_int_equal(o.status, PRUNESID_ERROR_THREADS);
        assert_true(all_untouched(&p, &o));
        outcome_free(&o);
        problem_free(&p);
    }
}
#endif

/* What surrounds a region, and who else is pruned, changes nothing in it. */
static void other_regions_do_not_matter(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_PROBLEMS; i += 24) { /* those that are FIXED */
        problem p = problem_number(i);
        assert_int_equal(p.sharing, PRUNESID_FIXED);
        outcome whole = run_regions(&p, NULL);
        assert_int_equal(whole.status, PRUNESID_OK);
        for (size_t r = 0; r < p.n_regions; r++) {
            problem one = p;
            one.regions[0] = p.regions[r];
            one.alone[0] = p.alone[r];
            one.n_regions = 1;
            one.config.n_protected = 0;
            for (size_t g = 0; g < p.config.n_protected; g++) {
                const size_t index = (size_t)p.guarded[g], first = p.regions[r].first;
                if (index >= first && index < first + p.regions[r].n_tokens) {
                    one.guarded[one.config.n_protected++] = p.guarded[g];
                }
            }
            outcome o = run_regions(&one, NULL);
            assert_int_equal(o.status, PRUNESID_OK);
            assert_memory_equal(o.indices.data, whole.regions[r].out.indices, o.indices.n_bytes);
            for (size_t a = 0; a < N_ARRAYS; a++) {
                assert_memory_equal(
                    o.arrays[0][a].data, whole.arrays[r][a].data, o.arrays[0][a].n_bytes);
            }
            outcome_free(&o);
        }
        outcome_free(&whole);
        problem_free(&p);
    }
}

/* ---- regions that fail -------------------------------------------------------------------- */

static size_t place_of(const problem *p, const outcome *o, size_t r) {
    size_t at = 0;
    for (size_t q = 0; q < r; q++) {
        int32_t list[MAX_GUARDED];
        const prunesid_config c = config_alone(p, q, o->regions[q].budget, list);
        at += prunesid_n_kept(&c);
    }
    return at;
}

/* Region bad failed with status, all others are complete; FIXED. */
static void check_one_failed(
    const problem *p, const outcome *o, size_t bad, prunesid_status status, size_t number) {
    int32_t list[MAX_GUARDED];
    const prunesid_config c = config_alone(p, bad, p->regions[bad].budget, list);
    const size_t from = place_of(p, o, bad), n = prunesid_n_kept(&c);
    CHECK_STATUS(o->status, status, "problem %zu", number);
    CHECK_STATUS(o->regions[bad].status, status, "problem %zu", number);
    CHECK(region_untouched(p, o, bad), "problem %zu, region %zu", number, bad);
    for (size_t i = from * 4; i < (from + n) * 4; i++) {
        CHECK(o->indices.data[i] == OUTPUT_FILL, "problem %zu, region %zu", number, bad);
    }
    for (size_t r = 0; r < p->n_regions; r++) {
        size_t at = place_of(p, o, r);
        if (r != bad) check_region(p, o, r, &at, "problem", number);
    }
}

/* Puts a NaN into the last token of region r, wherever its rows are. */
static void spoil(problem *p, size_t r) {
    const size_t item = dtype_bytes(p->tokens.dtype), T = p->regions[r].n_tokens;
    const size_t row = p->pieces[r] != NULL ? T - 1 : p->regions[r].first + T - 1;
    unsigned char *const base = (unsigned char *)(p->pieces[r] != NULL ? p->pieces[r] : p->data);
    memset(base + (row * p->tokens.ld + p->config.dim - 1) * item, 0xFF, item);
}

/* Region bad failed before its phi was known: the others share all of the budget and are complete. */
static void check_others_share(
    const problem *p, const outcome *o, size_t bad, prunesid_status status, size_t number) {
    size_t at = 0, total = 0, ceilings = 0;
    CHECK_STATUS(o->status, status, "problem %zu", number);
    CHECK_STATUS(o->regions[bad].status, status, "problem %zu", number);
    CHECK(region_untouched(p, o, bad), "problem %zu, region %zu", number, bad);
    for (size_t r = 0; r < p->n_regions; r++) {
        size_t low, high;
        limits(p, r, &low, &high);
        if (r == bad) continue;
        CHECK(o->regions[r].budget >= low && o->regions[r].budget <= high, "problem %zu", number);
        check_region(p, o, r, &at, "problem", number);
        total += o->regions[r].budget;
        ceilings += high;
    }
    total += p->config.reserved; /* of the one that failed: the indices are no more than promised */
    ceilings += p->config.reserved;
    CHECK(total == ref_min(p->config.budget, ceilings), "problem %zu: %zu", number, total);
}

static void a_bad_region_does_not_stop_the_others(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_PROBLEMS; i++) {
        problem p = problem_number(i);
        const size_t bad = i % p.n_regions;
        seen user;
        const prunesid_threads threads = threads_of(i % 4 ? run_backwards : run_pool, 3, &user);
        spoil(&p, bad);
        if (p.sharing == PRUNESID_FIXED) {
            outcome o = run_regions(&p, i % 2 ? &threads : NULL);
            check_one_failed(&p, &o, bad, PRUNESID_ERROR_TOKENS_NOT_FINITE, i);
            outcome_free(&o);
        } else if (p.sharing == PRUNESID_BY_PHI) {
            outcome o = run_regions(&p, i % 2 ? &threads : NULL);
            check_others_share(&p, &o, bad, PRUNESID_ERROR_TOKENS_NOT_FINITE, i);
            outcome_free(&o);
        }
        problem_free(&p);
    }
}

/* BY_SIZE: the shares are known without the tokens, so the others are complete here too. */
static void a_bad_region_under_shared_sizes(void **unused) {
    (void)unused;
    for (size_t i = 8; i < N_PROBLEMS; i += 24) {
        problem p = problem_number(i);
        assert_int_equal(p.sharing, PRUNESID_BY_SIZE);
        outcome good = run_regions(&p, NULL);
        check_all(&p, &good, "problem", i);
        for (size_t bad = 0; bad < p.n_regions; bad++) {
            problem q = problem_number(i);
            spoil(&q, bad);
            outcome o = run_regions(&q, NULL);
            CHECK_STATUS(o.status, PRUNESID_ERROR_TOKENS_NOT_FINITE, "problem %zu", i);
            CHECK_STATUS(o.regions[bad].status, PRUNESID_ERROR_TOKENS_NOT_FINITE, "problem %zu", i);
            assert_true(region_untouched(&q, &o, bad));
            for (size_t r = 0; r < q.n_regions; r++) {
                size_t at = place_of(&p, &good, r);
                if (r != bad) check_region(&q, &o, r, &at, "problem", i);
            }
            const size_t from = place_of(&p, &good, bad);
            for (size_t j = from * 4; j < (from + good.regions[bad].out.n_kept) * 4; j++) {
                assert_int_equal(o.indices.data[j], OUTPUT_FILL);
            }
            outcome_free(&o);
            problem_free(&q);
        }
        outcome_free(&good);
        problem_free(&p);
    }
}

/* Every status that only one region can have, and of several the first. */
static void each_region_has_its_own_status(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 4; i++) {
        problem p = problem_number(144); /* FIXED, each with memory of its own or the matrix */
        assert_true(p.sharing == PRUNESID_FIXED && p.pieces[2] != NULL);
        prunesid_status want = PRUNESID_ERROR_ALIGNMENT;
        if (p.scores[2] == NULL) give_scores(&p, 2, 1);
        if (i == 0) {
            p.regions[2].data = (const unsigned char *)p.pieces[2] + 1;
        } else if (i == 1) {
            p.regions[2].scores =
                (const float *)(const void *)((const unsigned char *)p.scores[2] + 1);
        } else if (i == 2) {
            p.scores[2][8] = NAN;
            want = PRUNESID_ERROR_SCORES_NOT_FINITE;
        } else { /* a region without memory while the tokens have none */
            for (size_t r = 0; r < p.n_regions; r++) {
                p.regions[r].data = p.alone[r];
            }
            p.tokens.data = p.regions[2].data = NULL;
            p.tokens.ld = p.config.dim;
            want = PRUNESID_ERROR_NULL;
        }
        outcome o = run_regions(&p, NULL);
        check_one_failed(&p, &o, 2, want, i);
        outcome_free(&o);
        if (i == 2) { /* and another one behind it, then before it */
            spoil(&p, 3);
            o = run_regions(&p, NULL);
            assert_int_equal(o.status, PRUNESID_ERROR_SCORES_NOT_FINITE);
            assert_int_equal(o.regions[3].status, PRUNESID_ERROR_TOKENS_NOT_FINITE);
            assert_true(region_untouched(&p, &o, 2) && region_untouched(&p, &o, 3));
            outcome_free(&o);
            spoil(&p, 0);
            o = run_regions(&p, NULL);
            assert_int_equal(o.status, PRUNESID_ERROR_TOKENS_NOT_FINITE);
            assert_int_equal(o.regions[2].status, PRUNESID_ERROR_SCORES_NOT_FINITE);
            assert_int_equal(o.regions[1].status, PRUNESID_OK);
            outcome_free(&o);
        }
        problem_free(&p);
    }
}

/* Scores do not matter to phi: a bad one is found once all budgets are, and stops nobody else. */
static void bad_scores_under_phi(void **unused) {
    problem p = problem_number(16);
    (void)unused;
    assert_int_equal(p.sharing, PRUNESID_BY_PHI);
    if (p.scores[3] == NULL) give_scores(&p, 3, 5);
    outcome good = run_regions(&p, NULL);
    check_all(&p, &good, "problem", 16);
    p.scores[3][63] = INFINITY;
    outcome o = run_regions(&p, NULL);
    assert_int_equal(o.status, PRUNESID_ERROR_SCORES_NOT_FINITE);
    for (size_t r = 0; r < p.n_regions; r++) {
        size_t at = place_of(&p, &good, r);
        if (r != 3) check_region(&p, &o, r, &at, "problem", 16);
    }
    assert_true(region_untouched(&p, &o, 3));
    outcome_free(&o);
    outcome_free(&good);
    problem_free(&p);
}

static void a_task_left_out(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_PROBLEMS; i += 4) {
        problem p = problem_number(i);
        for (size_t h = 0; h < 2; h++) {
            seen user;
            const prunesid_threads threads =
                threads_of(h == 0 ? run_but_one : run_with_a_bad_worker, 2, &user);
            user.which = i / 4 % p.n_regions;
            outcome o = run_regions(&p, &threads);
            if (p.sharing == PRUNESID_FIXED) {
                check_one_failed(&p, &o, user.which, PRUNESID_ERROR_THREADS, i);
            } else if (p.sharing == PRUNESID_BY_PHI) {
                check_others_share(&p, &o, user.which, PRUNESID_ERROR_THREADS, i);
            } else {
                CHECK_STATUS(o.status, PRUNESID_ERROR_THREADS, "problem %zu", i);
                CHECK_STATUS(
                    o.regions[user.which].status, PRUNESID_ERROR_THREADS, "problem %zu", i);
                CHECK(region_untouched(&p, &o, user.which), "problem %zu", i);
            }
            outcome_free(&o);
        }
        problem_free(&p);
    }
}

/* Under BY_PHI a status of the first round must not pass for one of the second. */
static void a_task_left_out_after_phi(void **unused) {
    (void)unused;
    for (size_t i = 16; i < N_PROBLEMS; i += 24) {
        problem p = problem_number(i);
        seen user;
        const prunesid_threads threads = threads_of(run_but_one_later, 2, &user);
        assert_int_equal(p.sharing, PRUNESID_BY_PHI);
        outcome good = run_regions(&p, NULL);
        user.which = i / 24 % p.n_regions;
        outcome o = run_regions(&p, &threads);
        CHECK_STATUS(o.status, PRUNESID_ERROR_THREADS, "problem %zu", i);
        for (size_t r = 0; r < p.n_regions; r++) {
            size_t at = place_of(&p, &good, r);
            if (r != user.which) check_region(&p, &o, r, &at, "problem", i);
        }
        CHECK_STATUS(o.regions[user.which].status, PRUNESID_ERROR_THREADS, "problem %zu", i);
        assert_true(region_untouched(&p, &o, user.which));
        outcome_free(&o);
        outcome_free(&good);
        problem_free(&p);
    }
}

static void a_hook_that_runs_nothing(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 24; i++) {
        problem p = problem_number(i);
        seen user;
        const prunesid_threads threads = threads_of(run_nothing, 1, &user);
        outcome o = run_regions(&p, &threads);
        assert_int_equal(o.status, PRUNESID_ERROR_THREADS);
        assert_int_equal(user.n_calls, p.sharing == PRUNESID_BY_PHI ? 2 : 1);
        assert_true(all_untouched(&p, &o));
        for (size_t r = 0; r < p.n_regions; r++) {
            assert_int_equal(o.regions[r].status, PRUNESID_ERROR_THREADS);
        }
        outcome_free(&o);
        problem_free(&p);
    }
}

/* ---- the clock ---------------------------------------------------------------------------- */

static uint64_t counting_clock(void) {
    static uint64_t now;
    return ++now;
}

static void stages_are_timed_in_every_region(void **unused) {
    problem p = problem_number(0);
    (void)unused;
    p.config.clock_ns = counting_clock;
    p.config.svd = PRUNESID_SVD_EXACT;
    outcome o = run_regions(&p, NULL);
    check_all(&p, &o, "problem", 0);
    for (size_t r = 0; r < p.n_regions; r++) {
        assert_true(o.regions[r].out.stats.ns_redundancy > 0);
        assert_true((o.regions[r].out.stats.n_groups > 0) == (o.regions[r].out.stats.ns_svd > 0));
    }
    outcome_free(&o);
    problem_free(&p);
}

static void region_init_fills_every_field(void **unused) {
    const prunesid_region region = prunesid_region_init(5, 7, 3);
    (void)unused;
    assert_true(region.first == 5 && region.n_tokens == 7 && region.budget == 3);
    assert_true(region.data == NULL && region.scores == NULL);
    assert_true(region.low == 0 && region.high >= (size_t)INT32_MAX);
    assert_true(region.out.indices == NULL && region.out.order == NULL);
    assert_true(region.out.group == NULL && region.out.state == NULL);
    assert_true(region.out.loading == NULL && region.out.representative == NULL);
    assert_int_equal(region.status, PRUNESID_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(region_init_fills_every_field),
        cmocka_unit_test(each_region_is_pruned_as_if_alone),
        cmocka_unit_test(krylov_regions_too),
        cmocka_unit_test(arrays_are_optional),
        cmocka_unit_test(totals_are_exact),
        cmocka_unit_test(sharing_follows_phi_or_size),
        cmocka_unit_test(the_workspace_is_exact),
        cmocka_unit_test(the_workspace_grows_with_workers),
        cmocka_unit_test(workers_do_not_matter),
#ifdef _OPENMP
        cmocka_unit_test(openmp_gives_the_serial_bits),
#else
        cmocka_unit_test(workers_need_a_hook),
#endif
        cmocka_unit_test(other_regions_do_not_matter),
        cmocka_unit_test(a_bad_region_does_not_stop_the_others),
        cmocka_unit_test(a_bad_region_under_shared_sizes),
        cmocka_unit_test(each_region_has_its_own_status),
        cmocka_unit_test(bad_scores_under_phi),
        cmocka_unit_test(a_task_left_out),
        cmocka_unit_test(a_task_left_out_after_phi),
        cmocka_unit_test(a_hook_that_runs_nothing),
        cmocka_unit_test(stages_are_timed_in_every_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
