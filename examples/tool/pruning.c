/* pruning.c - what is kept: the command line as a batch of the library.   MIT licence. */
#include "tool.h"

#include "threads.h"

#include <limits.h>
#include <time.h>

/* ---- budgets ------------------------------------------------------------------------------ */

static uint64_t nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t smallest_budget(const job *all) {
    const size_t least = all->config.reserved + 1, wanted = all->of[OPTION_MIN].number;
    return wanted > least ? wanted : least;
}

static size_t largest_budget(const job *all) {
    return all->of[OPTION_MAX].given ? all->of[OPTION_MAX].number : INT_MAX;
}

int make_config(job *all) {
    const option_value *const of = all->of;
    const size_t budget = of[OPTION_KEEP].given ? of[OPTION_KEEP].number : 1;
    all->config = prunesid_config_init((prunesid_preset)of[OPTION_PRESET].number, budget);
    all->config.svd = (prunesid_svd)of[OPTION_SVD].number;
    all->config.clock_ns = nanoseconds_now;
    if (of[OPTION_RESERVE].given) all->config.reserved = of[OPTION_RESERVE].number;
    const size_t reserved = all->config.reserved;
    if (budget <= reserved)
        return report(option_name(of[OPTION_RESERVE].given ? OPTION_RESERVE : OPTION_KEEP),
            "%zu reserved leave no token in a budget of %zu", reserved, budget);
    if (largest_budget(all) <= reserved)
        return report(option_name(OPTION_MAX), "%zu reserved leave no token in a budget of %zu",
            reserved, of[OPTION_MAX].number);
    if (smallest_budget(all) > largest_budget(all))
        return report(option_name(OPTION_MIN), "%zu is above --max, %zu", of[OPTION_MIN].number,
            of[OPTION_MAX].number);
    return EXIT_OK;
}

/* N phi / X each, whatever the others are; or B N shared by phi. */
static prunesid_status choose_budgets(
    const job *all, const double *phi, const size_t *low, const size_t *high, size_t *budgets) {
    const size_t n = all->n_images, budget = all->config.budget;
    prunesid_status status = PRUNESID_OK;
    if (!all->of[OPTION_PHI_REF].given)
        return prunesid_share(phi, n, n * budget, low, high, budgets);
    for (size_t i = 0; i < n && status == PRUNESID_OK; i++)
        status = prunesid_budget(
            phi[i], all->of[OPTION_PHI_REF].real, budget, low[i], high[i], &budgets[i]);
    return status;
}

/* Budgets of the images that are left, after measure. */
static int set_budgets(job *all) {
    const size_t n = all->n_images;
    double *const phi = (double *)allocate(n, sizeof *phi);
    size_t *const budgets = (size_t *)allocate(3 * n, sizeof *budgets);
    for (size_t i = 0; i < n; i++) {
        phi[i] = all->images[i].information.phi;
        budgets[n + i] = smallest_budget(all);
        budgets[2 * n + i] = largest_budget(all);
    }
    const prunesid_status status = choose_budgets(all, phi, budgets + n, budgets + 2 * n, budgets);
    for (size_t i = 0; i < n && status == PRUNESID_OK; i++) all->regions[i].budget = budgets[i];
    free(phi);
    free(budgets);
    return status == PRUNESID_OK
               ? EXIT_OK
               : report(option_name(OPTION_KEEP), "%s", prunesid_status_string(status));
}

/* ---- one batch ---------------------------------------------------------------------------- */

/* Reports image i and takes it out of the job. */
static void leave_out(job *all, size_t i) {
    const image *const of = &all->images[i];
    const char *const path = all->paths[of->file];
    const char *const cause = prunesid_status_string(all->regions[i].status);
    const size_t n_rows = all->files[of->file].shape[0] * all->files[of->file].shape[1];
    if (all->regions[i].input.n_tokens == n_rows)
        report(path, "%s", cause);
    else
        report(path, "%s %zu: %s", all->of[OPTION_REGIONS].given ? "region" : "image", of->number,
            cause);
    all->failed[of->file] = 1;
    all->n_images--;
    memmove(all->images + i, all->images + i + 1, (all->n_images - i) * sizeof *all->images);
    memmove(all->regions + i, all->regions + i + 1, (all->n_images - i) * sizeof *all->regions);
}

/* Returns how many failed. */
static size_t leave_out_failed(job *all) {
    const size_t n_before = all->n_images;
    for (size_t i = 0; i < all->n_images;)
        if (all->regions[i].status == PRUNESID_OK)
            i++;
        else
            leave_out(all, i);
    return n_before - all->n_images;
}

static int report_batch(const job *all, prunesid_status status) {
    if (status == PRUNESID_ERROR_TOTAL)
        return report(option_name(OPTION_MIN), "%zu is above the mean, --keep %zu",
            all->of[OPTION_MIN].number, all->of[OPTION_KEEP].number);
    return report(option_name(all->of[OPTION_REGIONS].given ? OPTION_REGIONS : OPTION_KEEP), "%s",
        prunesid_status_string(status));
}

static void *allocate_workspace(size_t n_bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, PRUNESID_ALIGNMENT, n_bytes) != 0)
        exit(report("memory", "a workspace of %zu bytes could not be allocated", n_bytes));
    return memory;
}

/* Step 3 of every region. */
static prunesid_status measure_batch(
    job *all, const prunesid_batch *batch, void *workspace, size_t n_bytes) {
    prunesid_information *const found =
        (prunesid_information *)allocate(all->n_images, sizeof *found);
    const prunesid_status status = prunesid_batch_redundancy(batch, workspace, n_bytes, found);
    for (size_t i = 0; i < all->n_images; i++) all->images[i].information = found[i];
    free(found);
    return status;
}

/* All steps. */
static prunesid_status select_batch(
    job *all, const prunesid_batch *batch, void *workspace, size_t n_bytes) {
    return prunesid_batch_select(batch, workspace, n_bytes, all->indices, all->n_tokens);
}

/* Runs a pass, one of the two above, over the regions that are left. */
static int run_batch(job *all, prunesid_sharing sharing,
    prunesid_status (*pass)(
        job *all, const prunesid_batch *batch, void *workspace, size_t n_bytes)) {
    const size_t n_threads = all->of[OPTION_THREADS].number;
    while (all->n_images > 0) {
        const size_t n = all->n_images;
        prunesid_config config = all->config;
        config.budget *= sharing == PRUNESID_FIXED ? 1 : n;
        prunesid_batch batch = prunesid_batch_init(&config, sharing, all->regions, n);
        prunesid_plan plan;
        batch.config.threads.n_workers = n_threads < n ? n_threads : n;
        batch.config.threads.run = threads_run;
        prunesid_status status = prunesid_batch_plan(&batch, &plan);
        if (status != PRUNESID_OK && plan.region < n) { /* the others are planned without it */
            all->regions[plan.region].status = status;
            leave_out(all, plan.region);
            continue;
        }
        if (status == PRUNESID_OK) {
            void *const workspace = allocate_workspace(plan.workspace_bytes);
            status = pass(all, &batch, workspace, plan.workspace_bytes);
            free(workspace);
        }
        if (leave_out_failed(all) > 0) status = PRUNESID_OK; /* it is reported */
        return status == PRUNESID_OK ? EXIT_OK : report_batch(all, status);
    }
    return EXIT_OK;
}

/* ---- all images --------------------------------------------------------------------------- */

int measure(job *all) {
    return run_batch(all, PRUNESID_FIXED, measure_batch);
}

/* Images with budgets of their own. If one fails, the others share without it. */
static int prune_images(job *all) {
    const int is_dynamic = all->of[OPTION_DYNAMIC].given || all->of[OPTION_PHI_REF].given;
    int status = is_dynamic ? measure(all) : EXIT_OK;
    size_t n_before;
    do {
        n_before = all->n_images;
        if (is_dynamic && n_before > 0) status = set_budgets(all);
        if (status == EXIT_OK) status = run_batch(all, PRUNESID_FIXED, select_batch);
    } while (is_dynamic && status == EXIT_OK && all->n_images < n_before);
    return status;
}

static int prune_regions(job *all) {
    for (size_t r = 0; r < all->n_images; r++) {
        all->regions[r].low = smallest_budget(all);
        all->regions[r].high = largest_budget(all);
    }
    return run_batch(
        all, all->of[OPTION_DYNAMIC].given ? PRUNESID_BY_PHI : PRUNESID_FIXED, select_batch);
}

int prune(job *all) {
    const int status = all->of[OPTION_REGIONS].given ? prune_regions(all) : prune_images(all);
    for (size_t i = 0; i < all->n_images; i++) all->n_kept += all->regions[i].n_kept;
    return status;
}

/* ---- positions ---------------------------------------------------------------------------- */

/* Of four sections the last is a tag if it is all zeros; else the first is the text's. */
static prunesid_layout layout_of(const npy_array *ids) {
    const size_t n_sections = ids->n_dims == 1 ? 1 : ids->shape[0], n = ids->n_items;
    if (n_sections < 4) return n_sections == 1 ? PRUNESID_LAYOUT_1D : PRUNESID_LAYOUT_MROPE;
    for (size_t i = n - ids->shape[1]; i < n; i++)
        if (npy_integer_at(ids, i) != 0) return PRUNESID_LAYOUT_TEXT_MROPE;
    return PRUNESID_LAYOUT_MROPE_TAG;
}

int move_positions(job *all) {
    npy_array *const ids = &all->positions;
    const size_t n_before = all->n_tokens, n = all->n_kept, bytes = ids->item_bytes;
    const size_t n_sections = ids->n_items / n_before;
    prunesid_span *const spans = (prunesid_span *)allocate(all->n_images, sizeof *spans);
    for (size_t i = 0; i < all->n_images; i++) {
        spans[i].first = all->regions[i].input.first;
        spans[i].n_tokens = all->regions[i].input.n_tokens;
    }
    const prunesid_prompt prompt = {n_before, spans, all->n_images, all->indices, n};
    const prunesid_position_ids where = {ids->data, bytes, layout_of(ids), n_before, 1};
    const prunesid_status status =
        prunesid_positions((prunesid_position_policy)all->of[OPTION_POLICY].number, &prompt, &where,
            &all->next_position);
    free(spans);
    if (status != PRUNESID_OK)
        return report(all->of[OPTION_POSITIONS].text, "%s", prunesid_status_string(status));
    for (size_t s = 0; s < n_sections; s++) /* the sections close up */
        memmove(
            (char *)ids->data + s * n * bytes, (char *)ids->data + s * n_before * bytes, n * bytes);
    ids->shape[ids->n_dims - 1] = n;
    ids->n_items = n_sections * n;
    return EXIT_OK;
}
