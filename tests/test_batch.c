/* test_batch.c - tiles, frames and images in one call: each as if it were alone, whatever shares
 * the budget and whoever runs the tasks.   MIT licence.
 *
 * What a batch refuses, and whose fault it says it is, is in test_errors.c. */
#include "threads.h"

#include "support.h"

enum { MAX_REGIONS = 8, N_GROUPS = 3, LD_LOADINGS = N_GROUPS + 2, N_PROBLEMS = 432 };

#ifdef _OPENMP
static const int has_openmp = 1;
#else
static const int has_openmp = 0;
#endif

static const prunesid_sharing all_sharings[] = {PRUNESID_FIXED, PRUNESID_BY_SIZE, PRUNESID_BY_PHI};

/* ---- problems ----------------------------------------------------------------------------- */

enum { TOKENS, SCORES, LOADINGS, N_SPOTS };

typedef struct outcome outcome;

typedef struct problem {
    size_t number;
    prunesid_config config;
    prunesid_sharing sharing;
    prunesid_region regions[MAX_REGIONS];
    prunesid_input alone[MAX_REGIONS];          /* the regions' own, but for where the tokens lie */
    unsigned char *spots[MAX_REGIONS][N_SPOTS]; /* the last number of each to be read, or NULL */
    size_t missing[MAX_REGIONS];                /* bits: arrays that are not asked for */
    size_t n_regions, n_blocks;
    void *blocks[5 * MAX_REGIONS];
    const outcome *good; /* what comes of it: see each_problem */
} problem;

#define HERE "problem %zu, region %zu", p->number, r

static void *own(problem *p, void *block) {
    assert_true(p->n_blocks < N_ITEMS(p->blocks));
    return p->blocks[p->n_blocks++] = block;
}

static void problem_free(problem *p) {
    while (p->n_blocks > 0) free(p->blocks[--p->n_blocks]);
}

/* Cuts the regions [from, to) out of an image of their own, with NaN wherever no token may be read
 * and protected tokens wherever they fall. */
static void cut_image(problem *p, size_t from, size_t to, const size_t *sizes, size_t dim,
    int protects, uint64_t *state) {
    static const kind kinds[] = {KIND_REAL, KIND_GAUSS, KIND_DUPLICATES};
    const prunesid_dtype dtype = (prunesid_dtype)random_size(state, 0, 2);
    const size_t ld = dim + random_size(state, 0, 1) * 5, gap = random_size(state, 0, 3);
    const size_t item = dtype_bytes(dtype);
    size_t T = gap;
    for (size_t r = from; r < to; r++) T += sizes[r] + gap;
    unsigned char *const tokens = (unsigned char *)own(p, ref_new(T * ld, item));
    float *const scores = (float *)own(p, scores_new(T, random_bits(state)));
    float *const loadings =
        (float *)own(p, tokens_new(KIND_GAUSS, T, LD_LOADINGS, random_bits(state)));
    int32_t *const list = (int32_t *)own(p, ref_new(T, sizeof *list));
    prunesid_input image = prunesid_input_init(tokens, dtype, T, dim);
    memset(tokens, 0xFF, T * ld * item);
    image.ld = ld;
    image.first = random_size(state, 0, 2) * 20;
    image.scores = scores;
    image.loadings = p->config.n_groups > 0 ? loadings : NULL;
    image.ld_loadings = LD_LOADINGS;
    image.protected_tokens = list;
    for (size_t i = random_size(state, 0, 4); protects && i < T; i += ref_max(5, T / 8))
        list[image.n_protected++] = (int32_t)(image.first + i);
    for (size_t r = from, at = gap; r < to; at += sizes[r++] + gap) {
        const size_t n = sizes[r], last = at + n - 1;
        float *const x = tokens_new(kinds[random_size(state, 0, 2)], n, dim, random_bits(state));
        unsigned char *const tight = (unsigned char *)own(p, convert(x, n * dim, dtype));
        prunesid_input *const input = &p->regions[r].input;
        free(x);
        for (size_t i = 0; i < n; i++)
            memcpy(tokens + (at + i) * ld * item, tight + i * dim * item, dim * item);
        p->regions[r] = prunesid_region_init(&image, at, n, 1);
        if (random_bits(state) % 2) input->scores = NULL;
        p->alone[r] = *input;
        p->alone[r].tokens = tight;
        p->alone[r].ld = dim;
        p->spots[r][TOKENS] = tokens + (last * ld + dim - 1) * item;
        if (input->scores != NULL) p->spots[r][SCORES] = (unsigned char *)(scores + last);
        if (input->loadings != NULL)
            p->spots[r][LOADINGS] = (unsigned char *)(loadings + last * LD_LOADINGS + N_GROUPS - 1);
    }
}

static size_t least_budget(const problem *p, size_t r) {
    return p->config.reserved + ref_max(p->alone[r].n_protected, 1);
}

/* Of FIXED. */
static size_t own_budget(const problem *p, size_t r) {
    return p->regions[r].budget > 0 ? p->regions[r].budget : p->config.budget;
}

/* The limits of region r's share, by the header's words. */
static void limits(const problem *p, size_t r, size_t *low, size_t *high) {
    const size_t all = p->alone[r].n_tokens + p->config.reserved;
    *low = ref_min(ref_max(p->regions[r].low, least_budget(p, r)), all);
    *high = ref_min(p->regions[r].high, all);
}

/* n regions of one image or n images of one, with any rules; nothing in it is wrong. */
static problem problem_of(size_t number, size_t n, const size_t *sizes, size_t dim) {
    problem p;
    uint64_t state = number;
    memset(&p, 0, sizeof p);
    p.number = number;
    p.n_regions = n;
    p.config = prunesid_config_init(all_presets[number % N_ITEMS(all_presets)], 0);
    p.sharing = all_sharings[number / 4 % 3];
    p.config.svd = (prunesid_svd)random_size(&state, 0, 1);
    if (random_bits(&state) % 3 == 0) p.config.reserved = random_size(&state, 0, 3);
    size_t least = sizes[0];
    for (size_t r = 1; r < n; r++) least = ref_min(least, sizes[r]);
    if (random_bits(&state) % 2 && least >= N_GROUPS) p.config.n_groups = N_GROUPS;
    const int protects = random_bits(&state) % 2 == 0, is_one = number / 12 % 2 == 0;
    if (is_one) cut_image(&p, 0, n, sizes, dim, protects, &state);
    for (size_t r = 0; r < n; r++) {
        prunesid_region *const region = &p.regions[r];
        size_t low, high;
        const size_t its_dim = random_size(&state, dim, 2 * dim);
        if (!is_one) cut_image(&p, r, r + 1, sizes, its_dim, protects, &state);
        region->budget = least_budget(&p, r) + random_size(&state, 0, sizes[r]);
        if (random_bits(&state) % 8 == 0) region->budget = 0;
        region->low = random_size(&state, 0, 1) * random_size(&state, 0, sizes[r]);
        if (random_bits(&state) % 2)
            region->high = ref_max(region->low, least_budget(&p, r)) + random_size(&state, 0, 9);
        if (random_bits(&state) % 4 == 0) p.missing[r] = random_bits(&state) % 128;
        region->details.scope = (prunesid_scope)random_size(&state, 0, 1);
        limits(&p, r, &low, &high);
        p.config.budget += low + random_size(&state, 0, sizes[r]);
    }
    return p;
}

static problem problem_new(size_t number) {
    uint64_t state = ~(uint64_t)number;
    size_t sizes[MAX_REGIONS];
    const size_t least = number % 3 ? N_GROUPS : 1;
    for (size_t r = 0; r < MAX_REGIONS; r++) {
        const size_t most = random_bits(&state) % 3 ? 12 : random_bits(&state) % 2 ? 3 : 64;
        sizes[r] = random_size(&state, least, most);
    }
    const size_t n = random_size(&state, 1, MAX_REGIONS);
    return problem_of(number, n, sizes, random_size(&state, N_GROUPS, 12));
}

/* ---- who runs the tasks ------------------------------------------------------------------- */

typedef enum manner {
    SERIAL, /* no hook */
    POOL,
    BACKWARDS,        /* one thread, last task first, the workers in turn */
    WILDLY,           /* the same, and what no hook should do */
    LEAVES_OUT,       /* all but the task which */
    LEAVES_OUT_LATER, /* from the second pass on, which under BY_PHI is the selection */
    BAD_WORKER,       /* which gets a worker that there is none of */
    RUNS_NOTHING
} manner;

typedef struct hook {
    manner how;
    size_t n_workers, which;
    size_t n_calls, got_tasks, got_workers; /* by the batch */
} hook;

static void run_hook(void (*task)(void *data, size_t i, size_t worker), void *data, size_t n_tasks,
    size_t n_workers, void *user) {
    static const size_t far[] = {0, 1, 1000, SIZE_MAX / 2};
    hook *const h = (hook *)user;
    h->n_calls++;
    h->got_tasks = n_tasks;
    h->got_workers = n_workers;
    if (h->how == POOL) threads_run(task, data, n_tasks, n_workers, NULL);
    if (h->how == POOL || h->how == RUNS_NOTHING) return;
    for (size_t i = n_tasks; i-- > 0;) {
        const size_t worker = i * 7 % n_workers;
        for (size_t f = 0; h->how == WILDLY && f < N_ITEMS(far); f++) {
            task(data, n_tasks + far[f], worker);
            task(data, i, n_workers + far[f]);
            task(data, SIZE_MAX - far[f], SIZE_MAX - far[f]);
        }
        if (i == h->which && h->how == LEAVES_OUT) continue;
        if (i == h->which && h->how == LEAVES_OUT_LATER && h->n_calls > 1) continue;
        task(data, i, i == h->which && h->how == BAD_WORKER ? n_workers : worker);
        if (h->how == WILDLY) task(data, i, worker); /* once more */
    }
}

/* ---- outcomes ----------------------------------------------------------------------------- */

struct outcome {
    prunesid_status status;
    prunesid_batch batch;
    prunesid_plan plan;
    prunesid_region regions[MAX_REGIONS], before[MAX_REGIONS];
    run runs[MAX_REGIONS]; /* the regions' arrays, with room for all of their tokens */
    guard workspace, indices;
};

/* A planned call, not yet made: on the heap, for the batch points into it. */
static outcome *outcome_new(const problem *p, hook *h) {
    outcome *const o = (outcome *)ref_new(1, sizeof *o);
    memcpy(o->regions, p->regions, sizeof o->regions);
    for (size_t r = 0; r < p->n_regions; r++) {
        prunesid_config all = p->config;
        all.budget = all.reserved + p->regions[r].input.n_tokens;
        o->runs[r] = run_new(&all, &p->regions[r].input);
        prunesid_details *const d = &o->regions[r].details;
        memcpy(d, &o->runs[r].details, sizeof *d);
        d->scope = p->regions[r].details.scope;
        if (p->missing[r] & 1) d->order = NULL;
        if (p->missing[r] & 2) d->group = NULL;
        if (p->missing[r] & 4) d->state = NULL;
        if (p->missing[r] & 8) d->loading = NULL;
        if (p->missing[r] & 16) d->representative = NULL;
        if (p->missing[r] & 32) d->count = NULL;
        if (p->missing[r] & 64) d->log_count = NULL;
        o->regions[r].n_kept = o->regions[r].share = 12345; /* to be written, as is the rest */
        o->regions[r].status = PRUNESID_ERROR_ALLOCATION;
        o->regions[r].indices = o->runs[r].indices;
    }
    memcpy(o->before, o->regions, sizeof o->before);
    o->batch = prunesid_batch_init(&p->config, p->sharing, o->regions, p->n_regions);
    h->n_calls = 0;
    o->batch.config.threads.n_workers = h->n_workers;
    o->batch.config.threads.run = h->how == SERIAL ? NULL : run_hook;
    o->batch.config.threads.user = h;
    memset(&o->plan, OUTPUT_FILL, sizeof o->plan);
    o->status = prunesid_batch_plan(&o->batch, &o->plan);
    o->workspace = guard_new(o->plan.workspace_bytes, 0xFF);
    o->indices = guard_new(o->plan.n_kept * sizeof(int32_t), OUTPUT_FILL);
    return o;
}

static void outcome_free(outcome *o) {
    guard_free(&o->workspace);
    guard_free(&o->indices);
    for (size_t r = 0; r < o->batch.n_regions; r++) run_free(&o->runs[r]);
    free(o);
}

static int32_t *indices_of(const outcome *o) {
    return (int32_t *)(void *)o->indices.data;
}

static int arrays_untouched(const outcome *o, size_t r) {
    run its = o->runs[r];
    memcpy(&its.details.stats, &o->regions[r].details.stats, sizeof its.details.stats);
    return run_untouched(&its);
}

static int all_untouched(const outcome *o) {
    int untouched = guard_untouched(&o->indices, OUTPUT_FILL) &&
                    memcmp(o->regions, o->before, sizeof o->before) == 0;
    for (size_t r = 0; r < o->batch.n_regions; r++) untouched &= arrays_untouched(o, r);
    return untouched;
}

/* In exactly the workspace and the indices that were planned. */
static void outcome_run(outcome *o) {
    const prunesid_status planned = o->status;
    o->status = prunesid_batch_select(
        &o->batch, o->workspace.data, o->workspace.n_bytes, indices_of(o), o->plan.n_kept);
    if (planned != PRUNESID_OK) assert_true(o->status == planned && all_untouched(o));
}

static outcome *run_batch(const problem *p, hook *h) {
    outcome *const o = outcome_new(p, h);
    outcome_run(o);
    return o;
}

static outcome *run_serial(const problem *p) {
    hook h = {SERIAL, 1, 0, 0, 0, 0};
    return run_batch(p, &h);
}

static int same_stats(const prunesid_stats *a, const prunesid_stats *b) {
    return a->rho == b->rho && a->phi == b->phi && a->tau == b->tau && a->preset == b->preset &&
           a->n_groups == b->n_groups && a->n_survivors == b->n_survivors && a->svd == b->svd &&
           a->svd_steps == b->svd_steps && a->svd_residual == b->svd_residual &&
           a->lapack_info == b->lapack_info && a->coverage == b->coverage;
}

/* Loadings where no order was asked for, and so none of their last bits was refined for it. */
static int same_to_rounding(const guard *a, const guard *b) {
    const float *const x = (const float *)(const void *)a->data;
    const float *const y = (const float *)(const void *)b->data;
    int is_same = 1;
    for (size_t i = 0; i < b->n_bytes / sizeof *y; i++) is_same &= fabsf(x[i] - y[i]) <= 1e-4f;
    return is_same;
}

/* Region r's result is, bit for bit, the selection that it gets alone, in the arrays asked for; *at
 * is its place among the indices. */
static void check_region(const problem *p, const outcome *o, size_t r, size_t *at) {
    const prunesid_region *const region = &o->regions[r];
    const guard *const memory = o->runs[r].memory;
    prunesid_config c = p->config;
    c.budget = region->share;
    run want = run_select_scope(&c, &p->alone[r], p->regions[r].details.scope);
    if (p->missing[r] >> 4 == 7) want.details.stats.coverage = 0.0;
    CHECK_STATUS(want.status, PRUNESID_OK, HERE);
    CHECK_STATUS(region->status, PRUNESID_OK, HERE);
    CHECK(p->sharing != PRUNESID_FIXED || region->share == own_budget(p, r), HERE);
    CHECK(region->n_kept == want.n_kept && *at + want.n_kept <= o->plan.n_kept, HERE);
    CHECK(region->indices == indices_of(o) + *at, HERE);
    CHECK(memcmp(region->indices, want.indices, want.memory[0].n_bytes) == 0, HERE);
    for (size_t m = 1; m < N_OUTPUTS; m++) {
        const guard *const its = &memory[m], *const wanted = &want.memory[m];
        const int is_unordered = m == 4 && (p->missing[r] & 1);
        CHECK(p->missing[r] >> (m - 1) & 1 ? guard_untouched(its, OUTPUT_FILL)
              : is_unordered               ? same_to_rounding(its, wanted)
                                           : memcmp(its->data, wanted->data, wanted->n_bytes) == 0,
            HERE);
    }
    for (size_t i = want.memory[1].n_bytes; i < memory[1].n_bytes; i++)
        CHECK(memory[1].data[i] == OUTPUT_FILL, HERE); /* behind the order */
    CHECK(same_stats(&region->details.stats, &want.details.stats), HERE);
    CHECK(memcmp(region, &o->before[r], offsetof(prunesid_region, details)) == 0, HERE);
    *at += want.n_kept;
    run_free(&want);
}

static void check_all(const problem *p, const outcome *o) {
    size_t at = 0, r = 0;
    CHECK_STATUS(o->status, PRUNESID_OK, HERE);
    for (; r < p->n_regions; r++) check_region(p, o, r, &at);
    CHECK(at == o->plan.n_kept && o->plan.region == p->n_regions, HERE);
}

typedef struct sweep {
    size_t step;
    void (*check)(problem *p);
} sweep;

/* Calls the check with every step-th problem, what comes of which is right. */
static void each_problem(void **state) {
    const sweep *const s = (const sweep *)*state;
    for (size_t i = 0; i < N_PROBLEMS; i += s->step) {
        problem p = problem_new(i);
        outcome *const good = run_serial(&p);
        check_all(&p, good);
        p.good = good;
        s->check(&p);
        outcome_free(good);
        problem_free(&p);
    }
}

/* ---- each region as if it were alone ------------------------------------------------------ */

/* Who else is pruned changes nothing in a region. */
static void each_region_is_pruned_as_if_alone(problem *p) {
    for (size_t r = 0; r < p->n_regions; r++) {
        problem one = *p;
        one.n_regions = 1;
        one.sharing = PRUNESID_FIXED;
        one.regions[0] = p->regions[r];
        one.regions[0].budget = p->good->regions[r].share;
        one.alone[0] = p->alone[r];
        one.missing[0] = p->missing[r];
        outcome *const o = run_serial(&one);
        check_all(&one, o);
        outcome_free(o);
    }
}

/* Large enough for KRYLOV's own basis, and for several workers to share: the same bits from fewer
 * workers than regions and from more, whatever these do or leave. */
static void krylov_regions_too(void **unused) {
    static const size_t sizes[] = {300, 40, 420};
    static const hook hooks[] = {{POOL, 2, 0, 0, 0, 0}, {POOL, 5, 0, 0, 0, 0},
        {BACKWARDS, 4, 0, 0, 0, 0}, {WILDLY, 9, 0, 0, 0, 0}, {LEAVES_OUT, 4, 1, 0, 0, 0},
        {BAD_WORKER, SIZE_MAX, 0, 0, 0, 0}, {RUNS_NOTHING, 4, 0, 0, 0, 0}};
    size_t n_krylov = 0;
    (void)unused;
    for (size_t i = 0; i < 24; i += 5) {
        problem p = problem_of(i, N_ITEMS(sizes), sizes, 300);
        p.config.svd = PRUNESID_SVD_KRYLOV;
        p.config.budget = 140; /* one region with all of it would be EXACT at once */
        for (size_t r = 0; r < p.n_regions; r++) {
            p.regions[r].budget = 20 + 20 * r;
            p.regions[r].low = 0;
            p.regions[r].high = SIZE_MAX;
            p.regions[r].input.loadings = p.alone[r].loadings = NULL;
        }
        for (size_t j = 0; j < N_ITEMS(hooks); j++) {
            hook h = hooks[j];
            outcome *const o = run_batch(&p, &h);
            const prunesid_stats *const stats = &o->regions[0].details.stats;
            check_all(&p, o);
            assert_true(stats->svd == PRUNESID_SVD_EXACT || stats->svd_steps > 0);
            assert_true(h.n_calls > 0 && h.got_workers <= h.n_workers);
            n_krylov += stats->svd == PRUNESID_SVD_KRYLOV;
            outcome_free(o);
        }
        problem_free(&p);
    }
    assert_true(n_krylov > 0);
}

static uint64_t counting_clock(void) {
    static uint64_t now;
    return ++now;
}

static void stages_are_timed(problem *p) {
    p->config.clock_ns = counting_clock;
    p->config.svd = PRUNESID_SVD_EXACT;
    outcome *const o = run_serial(p);
    check_all(p, o);
    for (size_t r = 0; r < p->n_regions; r++) {
        const prunesid_stats *const stats = &o->regions[r].details.stats;
        const int has_svd = stats->n_groups > 0 && p->regions[r].input.loadings == NULL;
        CHECK(stats->ns_redundancy > 0 && has_svd == (stats->ns_svd > 0), HERE);
    }
    outcome_free(o);
}

/* ---- totals and limits -------------------------------------------------------------------- */

/* What should come of it: a status, the region at fault, and how many are kept. */
static prunesid_status foreseen(const problem *p, prunesid_plan *plan) {
    const int is_fixed = p->sharing == PRUNESID_FIXED;
    const size_t reserved = p->config.reserved, N = p->config.budget;
    size_t floors = 0, ceilings = 0, fixed = 0;
    plan->n_kept = 0;
    for (size_t r = plan->region = 0; r < p->n_regions; plan->region = ++r) {
        const prunesid_region *const region = &p->regions[r];
        size_t low, high;
        limits(p, r, &low, &high);
        floors += low;
        ceilings += high;
        fixed += ref_min(own_budget(p, r) - reserved, region->input.n_tokens);
        if (is_fixed && own_budget(p, r) < least_budget(p, r))
            return PRUNESID_ERROR_PROTECTED_COUNT;
        if (!is_fixed && ref_max(region->low, least_budget(p, r)) > region->high)
            return PRUNESID_ERROR_LIMITS;
    }
    if (!is_fixed && floors > N) return PRUNESID_ERROR_TOTAL;
    plan->n_kept = is_fixed ? fixed : ref_min(N, ceilings) - p->n_regions * reserved;
    return PRUNESID_OK;
}

static prunesid_information redundancy_alone(const problem *p, size_t r) {
    prunesid_information found;
    prunesid_config c = prunesid_config_init(PRUNESID_AUTO, 1);
    guard workspace = guard_workspace(&c, &p->alone[r]);
    CHECK_STATUS(prunesid_redundancy(&p->alone[r], workspace.data, workspace.n_bytes, &found),
        PRUNESID_OK, HERE);
    guard_free(&workspace);
    return found;
}

/* The shares are those of the weights: tokens, or the phi of each region alone. */
static void check_shares(const problem *p, const outcome *o) {
    const size_t n = p->n_regions, N = p->config.budget;
    double weights[MAX_REGIONS];
    size_t low[MAX_REGIONS], high[MAX_REGIONS], want[2][MAX_REGIONS], total = 0, ceilings = 0;
    for (size_t r = 0; r < n; r++) {
        const double phi = redundancy_alone(p, r).phi;
        const size_t share = o->regions[r].share;
        weights[r] = p->sharing == PRUNESID_BY_PHI ? phi : (double)p->alone[r].n_tokens;
        limits(p, r, &low[r], &high[r]);
        total += share;
        ceilings += high[r];
        CHECK(share >= low[r] && share <= high[r], HERE);
        CHECK(o->regions[r].details.stats.phi == phi, HERE);
    }
    assert_int_equal(total, ref_min(N, ceilings));
    assert_int_equal(prunesid_share(weights, n, N, low, high, want[0]), PRUNESID_OK);
    ref_share(weights, n, N, low, high, want[1]);
    for (size_t r = 0; r < n; r++)
        CHECK(o->regions[r].share == want[0][r] && o->regions[r].share == want[1][r], HERE);
}

/* Every third problem as it is, the others with a budget or limits that may be too tight. */
static void totals_are_exact(void **unused) {
    size_t n_good[3] = {0, 0, 0}, n_refused[3] = {0, 0, 0};
    uint64_t state = 2026;
    (void)unused;
    for (size_t i = 0; i < 3 * 1200; i++) {
        problem problem_i = problem_new(i / 3), *const p = &problem_i;
        const size_t r = random_size(&state, 0, p->n_regions - 1), reserved = p->config.reserved;
        const size_t enough = ref_min(p->config.budget, reserved + 12); /* for one region's own */
        prunesid_plan plan;
        p->sharing = all_sharings[i % 3];
        if (i / 3 % 3 == 1) {
            p->config.budget = random_size(&state, enough, p->config.budget);
        } else if (i / 3 % 3 == 2) {
            p->regions[r].budget = reserved + random_size(&state, 1, 4);
            p->regions[r].high = random_size(&state, 0, p->regions[r].low + reserved + 3);
        }
        const prunesid_status want = foreseen(p, &plan);
        outcome *const o = run_serial(p);
        CHECK_STATUS(o->status, want, HERE);
        CHECK(o->plan.region == plan.region && o->plan.n_kept == plan.n_kept, HERE);
        CHECK((o->plan.workspace_bytes > 0) == (want == PRUNESID_OK), HERE);
        if (want == PRUNESID_OK) check_all(p, o);
        if (want == PRUNESID_OK && p->sharing != PRUNESID_FIXED) check_shares(p, o);
        n_good[i % 3] += want == PRUNESID_OK;
        n_refused[i % 3] += want != PRUNESID_OK;
        outcome_free(o);
        problem_free(p);
    }
    for (size_t s = 0; s < 3; s++) /* the dice must not have gone to one side */
        CHECK(n_good[s] >= 600 && n_refused[s] >= 10, "sharing %zu: %zu good", s, n_good[s]);
}

/* Rich regions get more than poor ones; of equal remainders the first is rounded up. */
static void sharing_follows_phi_or_size(void **unused) {
    enum { EACH = 24, DIM = 12 };
    static const size_t by_size[] = {13, 12, 12};
    problem p;
    (void)unused;
    memset(&p, 0, sizeof p);
    p.config = prunesid_config_init(PRUNESID_AUTO, 37);
    p.n_regions = 3;
    for (size_t r = 0; r < 3; r++) {
        void *const x = own(&p, tokens_new(r == 1 ? KIND_EQUAL : KIND_GAUSS, EACH, DIM, r));
        p.alone[r] = prunesid_input_init(x, PRUNESID_F32, EACH, DIM);
        p.regions[r] = prunesid_region_init(&p.alone[r], 0, EACH, 0);
    }
    p.sharing = PRUNESID_BY_SIZE;
    outcome *o = run_serial(&p);
    check_all(&p, o);
    for (size_t r = 0; r < 3; r++) assert_int_equal(o->regions[r].share, by_size[r]);
    outcome_free(o);
    p.sharing = PRUNESID_BY_PHI;
    o = run_serial(&p);
    check_all(&p, o);
    assert_int_equal(o->regions[1].share, 1); /* rho is 1: nothing but the floor */
    assert_int_equal(o->regions[0].share + o->regions[2].share, 36);
    assert_true(o->regions[0].share <= EACH && o->regions[2].share <= EACH);
    outcome_free(o);
    problem_free(&p);
}

/* ---- the workspace and the workers -------------------------------------------------------- */

/* To the byte, which outcome_run shows from above. Every worker that takes a region has memory of
 * its own; where there are more of them than regions they share one after the other, in that of
 * one. */
static void the_workspace_is_exact(problem *p) {
    const size_t most = p->n_regions + 2;
    size_t before = 0, of_one = 0;
    for (size_t n = 1; n <= most; n++) {
        hook h = {BACKWARDS, n == most ? SIZE_MAX : n, 0, 0, 0, 0};
        outcome *const o = outcome_new(p, &h);
        const size_t bytes = o->workspace.n_bytes, n_kept = o->plan.n_kept;
        prunesid_information information[MAX_REGIONS];
        of_one = n == 1 ? bytes : of_one;
        CHECK(n <= p->n_regions ? bytes > before : bytes == of_one, "%zu workers", n);
        assert_int_equal(
            prunesid_batch_select(&o->batch, o->workspace.data, bytes - 1, indices_of(o), n_kept),
            PRUNESID_ERROR_WORKSPACE_SHORT);
        assert_int_equal(
            prunesid_batch_redundancy(&o->batch, o->workspace.data, bytes - 1, information),
            PRUNESID_ERROR_WORKSPACE_SHORT);
        assert_int_equal(
            prunesid_batch_select(&o->batch, o->workspace.data, bytes, indices_of(o), n_kept - 1),
            PRUNESID_ERROR_CAPACITY);
        assert_true(all_untouched(o) && guard_untouched(&o->workspace, 0xFF) && h.n_calls == 0);
        before = bytes;
        outcome_free(o);
    }
}

/* How often a hook is called to hand out the regions: never for one worker, nor for more than there
 * are regions, which share tokens instead. */
static size_t n_handed_out(const problem *p, const hook *h, size_t n_passes) {
    return h->n_workers > 1 && h->n_workers <= p->n_regions ? n_passes : 0;
}

static void workers_do_not_matter(problem *p) {
    const size_t n_passes = p->sharing == PRUNESID_BY_PHI ? 2 : 1;
    for (size_t i = 0; i < 5 * 4; i++) {
        hook h = {(manner)(SERIAL + i % 4), i / 4 + 1, SIZE_MAX, 0, 0, 0};
        if (h.how == SERIAL && !has_openmp) continue;
        outcome *const o = run_batch(p, &h);
        check_all(p, o);
        for (size_t r = 0; r < p->n_regions; r++)
            CHECK(o->regions[r].share == p->good->regions[r].share, HERE);
        if (h.how != SERIAL && h.n_workers <= p->n_regions) {
            assert_int_equal(h.n_calls, n_handed_out(p, &h, n_passes));
            assert_true(
                h.n_calls == 0 || (h.got_tasks == p->n_regions && h.got_workers == h.n_workers));
        }
        outcome_free(o);
    }
}

/* ---- regions that fail -------------------------------------------------------------------- */

static void spoil(problem *p, size_t r, size_t spot) {
    memset(p->spots[r][spot], 0xFF, /* NaN in every dtype */
        spot == TOKENS ? dtype_bytes(p->regions[r].input.dtype) : sizeof(float));
}

static int has_nothing(const outcome *o, size_t r) {
    const prunesid_region *const region = &o->regions[r];
    return region->n_kept == 0 && region->share == 0 && region->indices == NULL &&
           arrays_untouched(o, r);
}

/* Region bad failed, all others are complete. If that was known before the budget was shared, they
 * share all of it but what the failed one reserves, so that no more is kept than was planned; else
 * they have what they have where nothing fails, and bad's place stays empty. */
static void check_one_failed(const problem *p, const outcome *o, const outcome *good, size_t bad,
    prunesid_status status, int is_early) {
    size_t at = 0, total = p->config.reserved, ceilings = p->config.reserved, low, high;
    for (size_t r = 0; r < p->n_regions; r++) {
        const size_t share = o->regions[r].share;
        if (r == bad) {
            CHECK_STATUS(o->status, status, HERE);
            CHECK_STATUS(o->regions[r].status, status, HERE);
            CHECK(has_nothing(o, r), HERE);
            for (size_t n = is_early ? 0 : good->regions[r].n_kept; n > 0; n--, at++)
                CHECK(indices_of(o)[at] == OUTPUT_FILL * 0x01010101, HERE);
            continue;
        }
        check_region(p, o, r, &at);
        limits(p, r, &low, &high);
        total += share;
        ceilings += high;
        CHECK(is_early ? share >= low && share <= high : share == good->regions[r].share, HERE);
    }
    if (is_early) assert_int_equal(total, ref_min(p->config.budget, ceilings));
}

static const struct {
    size_t spot; /* that is spoilt; N_SPOTS: none */
    manner how;
    int is_early; /* found by a pass for phi */
    prunesid_status status;
} troubles[] = {
    {TOKENS, SERIAL, 1, PRUNESID_ERROR_TOKENS_NOT_FINITE},
    {TOKENS, POOL, 1, PRUNESID_ERROR_TOKENS_NOT_FINITE},
    {SCORES, BACKWARDS, 0, PRUNESID_ERROR_SCORES_NOT_FINITE},
    {LOADINGS, BACKWARDS, 0, PRUNESID_ERROR_LOADINGS_NOT_FINITE},
    {N_SPOTS, LEAVES_OUT, 1, PRUNESID_ERROR_NOT_RUN},
    {N_SPOTS, BAD_WORKER, 1, PRUNESID_ERROR_NOT_RUN},
    {N_SPOTS, LEAVES_OUT_LATER, 0, PRUNESID_ERROR_NOT_RUN},
    {TOKENS, LEAVES_OUT_LATER, 1, PRUNESID_ERROR_TOKENS_NOT_FINITE}, /* the first cause stays */
};

static void a_bad_region_does_not_stop_the_others(problem *p) {
    const int is_by_phi = p->sharing == PRUNESID_BY_PHI;
    const size_t bad = p->number / 4 % p->n_regions;
    for (size_t t = 0; t < N_ITEMS(troubles); t++) {
        const size_t spot = troubles[t].spot;
        hook h = {troubles[t].how, troubles[t].how == SERIAL ? 1 : 2, bad, 0, 0, 0};
        if (spot == N_SPOTS && p->n_regions < h.n_workers) continue; /* nothing can be left out */
        if (spot < N_SPOTS && p->spots[bad][spot] == NULL) continue;
        if (h.how == LEAVES_OUT_LATER && !is_by_phi) continue;
        problem spoilt = problem_new(p->number);
        if (spot < N_SPOTS) spoil(&spoilt, bad, spot);
        outcome *const o = run_batch(&spoilt, &h);
        check_one_failed(
            &spoilt, o, p->good, bad, troubles[t].status, is_by_phi && troubles[t].is_early);
        outcome_free(o);
        problem_free(&spoilt);
    }
}

/* Each region has a status of its own; of several failures the first is returned. */
static void the_first_failure_is_returned(problem *p) {
    static const prunesid_status of_spots[] = {PRUNESID_ERROR_TOKENS_NOT_FINITE,
        PRUNESID_ERROR_SCORES_NOT_FINITE, PRUNESID_ERROR_LOADINGS_NOT_FINITE};
    prunesid_status want[MAX_REGIONS] = {PRUNESID_OK}, first;
    for (size_t r = p->n_regions; r-- > 0;) {
        if (r % 4 == 3 || p->spots[r][r % 4] == NULL) continue;
        spoil(p, r, r % 4);
        first = want[r] = of_spots[r % 4];
        outcome *const o = run_serial(p);
        CHECK_STATUS(o->status, first, HERE);
        for (size_t q = 0; q < p->n_regions; q++) {
            CHECK_STATUS(o->regions[q].status, want[q], HERE);
            CHECK(want[q] == PRUNESID_OK || has_nothing(o, q), HERE);
        }
        outcome_free(o);
    }
}

/* Then none is run; but where a region is shared its own thread does what is left. */
static void a_hook_that_runs_nothing(problem *p) {
    hook h = {RUNS_NOTHING, 2, 0, 0, 0, 0};
    outcome *const o = run_batch(p, &h);
    if (p->n_regions < h.n_workers) {
        check_all(p, o);
        outcome_free(o);
        return;
    }
    assert_int_equal(o->status, PRUNESID_ERROR_NOT_RUN);
    assert_int_equal(h.n_calls, p->sharing == PRUNESID_BY_PHI ? 2 : 1);
    assert_true(guard_untouched(&o->indices, OUTPUT_FILL));
    for (size_t r = 0; r < p->n_regions; r++) {
        CHECK_STATUS(o->regions[r].status, PRUNESID_ERROR_NOT_RUN, HERE);
        CHECK(has_nothing(o, r), HERE);
    }
    outcome_free(o);
}

/* ---- redundancy alone --------------------------------------------------------------------- */

/* Nothing is written but the statuses, and the information of all regions but bad. */
static void check_information(const problem *p, manner how, size_t bad, prunesid_status status) {
    hook h = {how, 2, bad, 0, 0, 0};
    outcome *const o = outcome_new(p, &h);
    prunesid_information found[MAX_REGIONS];
    memset(found, OUTPUT_FILL, sizeof found);
    assert_int_equal(
        prunesid_batch_redundancy(&o->batch, o->workspace.data, o->workspace.n_bytes, found),
        status);
    for (size_t r = 0; r < MAX_REGIONS; r++) {
        prunesid_information want;
        memset(&want, OUTPUT_FILL, sizeof want);
        if (r < p->n_regions && r != bad) want = redundancy_alone(p, r);
        CHECK(memcmp(&found[r], &want, sizeof want) == 0, HERE);
        if (r >= p->n_regions) continue;
        CHECK_STATUS(o->regions[r].status, r == bad ? status : PRUNESID_OK, HERE);
        o->regions[r].status = o->before[r].status;
    }
    assert_true(all_untouched(o) && h.n_calls == n_handed_out(p, &h, 1));
    outcome_free(o);
}

static void redundancy_of_every_region(problem *p) {
    const size_t bad = p->number % p->n_regions;
    check_information(p, POOL, SIZE_MAX, PRUNESID_OK);
    check_information(p, WILDLY, SIZE_MAX, PRUNESID_OK);
    if (p->n_regions > 1) check_information(p, LEAVES_OUT, bad, PRUNESID_ERROR_NOT_RUN);
    spoil(p, bad, TOKENS);
    check_information(p, BACKWARDS, bad, PRUNESID_ERROR_TOKENS_NOT_FINITE);
}

/* ---- what starts it ----------------------------------------------------------------------- */

static void initialisers_fill_every_field(void **unused) {
    const prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 9);
    const prunesid_details none = prunesid_details_init();
    const float x[5] = {0.0f};
    const prunesid_input image = prunesid_input_init(x, PRUNESID_F32, 5, 1);
    prunesid_region region = prunesid_region_init(&image, 3, 2, 7);
    const prunesid_batch batch = prunesid_batch_init(&config, PRUNESID_BY_PHI, &region, 1);
    const prunesid_details *const d = &region.details;
    (void)unused;
    assert_true(region.input.scores == NULL && region.input.loadings == NULL);
    assert_true(region.input.n_protected == 0);
    assert_true(region.budget == 7 && region.low == 0 && region.high == SIZE_MAX);
    assert_true(d->order == NULL && d->group == NULL && d->state == NULL && d->loading == NULL);
    assert_true(d->representative == NULL && same_stats(&d->stats, &none.stats));
    assert_true(region.status == PRUNESID_OK && region.indices == NULL && region.n_kept == 0);
    assert_true(batch.config.preset == PRUNESID_PAPER && batch.config.budget == 9);
    assert_true(batch.sharing == PRUNESID_BY_PHI && batch.regions == &region);
    assert_true(batch.n_regions == 1 && batch.config.threads.n_workers == 1 &&
                batch.config.threads.run == NULL);
}

/* What lies in rows [at, at + n_tokens). */
static void a_region_is_cut_out_of_its_image(void **unused) {
    static const int32_t list[] = {100, 104, 105, 106, 111, 112, 119};
    static const size_t cases[][4] = {/* at, n_tokens; from where in the list, and how many */
        {5, 7, 2, 3}, {0, 20, 0, 7}, {7, 4, 0, 0}, {12, 8, 5, 2}, {19, 1, 6, 1}, {1, 3, 0, 0}};
    const float x[20 * 6] = {0.0f}, scores[20] = {0.0f}, loadings[20 * 4] = {0.0f};
    (void)unused;
    for (size_t i = 0; i < 3 * N_ITEMS(cases); i++) {
        const size_t *const c = cases[i / 3], at = c[0];
        prunesid_input image = prunesid_input_init(x, (prunesid_dtype)(i % 3), 20, 5);
        image.ld = 6;
        image.first = 100;
        image.scores = scores;
        image.loadings = loadings;
        image.ld_loadings = 4;
        image.protected_tokens = list;
        image.n_protected = N_ITEMS(list);
        const prunesid_input got = prunesid_region_init(&image, at, c[1], 3).input;
        assert_ptr_equal(got.tokens, (const char *)x + at * 6 * dtype_bytes(image.dtype));
        assert_true(got.dtype == image.dtype && got.n_tokens == c[1] && got.first == 100 + at);
        assert_true(got.dim == 5 && got.ld == 6 && got.ld_loadings == 4);
        assert_true(got.scores == scores + at && got.loadings == loadings + at * 4);
        assert_true(got.n_protected == c[3] && (c[3] == 0 || got.protected_tokens == list + c[2]));
    }
}

/* A list that is wrong in the image is wrong in each region, wherever the wrong index lies. */
static void bad_protected_tokens_stay_bad(void **unused) {
    static const int32_t lists[][3] = {{-1, 3, 4}, {3, 4, 6}, {5, 1, 3}, {2, 2, 4}};
    const float x[6 * 2] = {0.0f};
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 3);
    const prunesid_input whole = prunesid_input_init(x, PRUNESID_F32, 6, 2);
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(lists); i++) {
        for (size_t at = 0; at < 6; at += 3) {
            prunesid_input image = whole;
            prunesid_plan plan;
            image.protected_tokens = lists[i];
            image.n_protected = 3;
            prunesid_region region = prunesid_region_init(&image, at, 3, 0);
            const prunesid_batch batch = prunesid_batch_init(&config, PRUNESID_FIXED, &region, 1);
            CHECK_STATUS(prunesid_batch_plan(&batch, &plan), PRUNESID_ERROR_PROTECTED_INDEX,
                "list %zu, rows from %zu", i, at);
        }
    }
}

static struct CMUnitTest swept(const char *name, sweep *s) {
    const struct CMUnitTest test = {name, each_problem, NULL, NULL, s};
    return test;
}

#define EACH_PROBLEM(step, check) swept(#check, &(sweep){step, check})

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initialisers_fill_every_field),
        cmocka_unit_test(a_region_is_cut_out_of_its_image),
        cmocka_unit_test(bad_protected_tokens_stay_bad),
        EACH_PROBLEM(1, each_region_is_pruned_as_if_alone),
        cmocka_unit_test(krylov_regions_too),
        EACH_PROBLEM(20, stages_are_timed),
        cmocka_unit_test(totals_are_exact),
        cmocka_unit_test(sharing_follows_phi_or_size),
        EACH_PROBLEM(9, the_workspace_is_exact),
        EACH_PROBLEM(5, workers_do_not_matter),
        EACH_PROBLEM(1, a_bad_region_does_not_stop_the_others),
        EACH_PROBLEM(5, the_first_failure_is_returned),
        EACH_PROBLEM(20, a_hook_that_runs_nothing),
        EACH_PROBLEM(5, redundancy_of_every_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
