/* pruning.c - what is kept: the command line as a batch of the library.   MIT licence. */
#include "tool.h"

#include "threads.h"

#include <limits.h>
#include <math.h>
#include <time.h>

/* ---- budgets ------------------------------------------------------------------------------ */

uint64_t nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t selection_ns(const prunesid_stats *stats) {
    return stats->ns_redundancy + stats->ns_matrix + stats->ns_svd + stats->ns_nms +
           stats->ns_quotas;
}

static size_t smallest_budget(const job *all) {
    const size_t least = all->config.reserved + 1, wanted = all->of[OPTION_MIN].number;
    return wanted > least ? wanted : least;
}

static size_t largest_budget(const job *all) {
    return all->of[OPTION_MAX].given ? all->of[OPTION_MAX].number : INT_MAX;
}

size_t budget_of(const job *all, const budget_rule *rule, size_t n_tokens) {
    const size_t least = all->config.reserved + 1;
    const size_t budget =
        rule->share > 0 ? (size_t)llrint(rule->share * (double)n_tokens) : rule->n_tokens;
    return rule->share > 0 && budget < least ? least : budget;
}

size_t budget_for(const job *all, size_t n_tokens) {
    budget_rule rule = {all->config.budget, 0};
    if (all->of[OPTION_KEEP].given) next_budget(all->of[OPTION_KEEP].text, &rule);
    return budget_of(all, &rule, n_tokens);
}

int make_config(job *all) {
    const option_value *const of = all->of;
    all->config = prunesid_config_init((prunesid_preset)of[OPTION_PRESET].number, 1);
    all->config.svd = (prunesid_svd)of[OPTION_SVD].number;
    all->config.clock_ns = nanoseconds_now;
    if (of[OPTION_RESERVE].given) all->config.reserved = of[OPTION_RESERVE].number;
    const size_t reserved = all->config.reserved;
    const char *text = of[OPTION_KEEP].text;
    for (budget_rule rule; text != NULL; text = *text == ',' ? text + 1 : NULL) {
        text = next_budget(text, &rule);
        if (!(rule.share > 0) && rule.n_tokens <= reserved)
            return report(option_name(of[OPTION_RESERVE].given ? OPTION_RESERVE : OPTION_KEEP),
                "%zu reserved leave no token in a budget of %zu", reserved, rule.n_tokens);
    }
    if (largest_budget(all) <= reserved)
        return report(option_name(OPTION_MAX), "%zu reserved leave no token in a budget of %zu",
            reserved, of[OPTION_MAX].number);
    if (smallest_budget(all) > largest_budget(all))
        return report(option_name(OPTION_MIN), "%zu is above --max, %zu", of[OPTION_MIN].number,
            of[OPTION_MAX].number);
    all->config.budget = reserved + 1; /* each image has its own */
    return EXIT_OK;
}

static int report_batch(const job *all, prunesid_status status) {
    if (status == PRUNESID_ERROR_TOTAL)
        return report(option_name(OPTION_MIN), "%zu is above the mean, --keep %s",
            all->of[OPTION_MIN].number, all->of[OPTION_KEEP].text);
    return report(option_name(all->of[OPTION_REGIONS].given ? OPTION_REGIONS : OPTION_KEEP), "%s",
        prunesid_status_string(status));
}

/* budgets: [4, n] budgets, what each wants by itself, floors and ceilings. Writes the first. */
static prunesid_status share(const job *all, const double *phi, size_t n, size_t *budgets) {
    const size_t *const wanted = budgets + n, *const low = wanted + n, *const high = low + n;
    prunesid_status status = PRUNESID_OK;
    size_t total = 0;
    for (size_t i = 0; i < n; i++) total += wanted[i];
    if (!all->of[OPTION_PHI_REF].given) return prunesid_share(phi, n, total, low, high, budgets);
    for (size_t i = 0; i < n && status == PRUNESID_OK; i++)
        status = prunesid_budget(
            phi[i], all->of[OPTION_PHI_REF].real, wanted[i], low[i], high[i], &budgets[i]);
    return status;
}

int choose_budgets(
    const job *all, const double *phi, const size_t *n_tokens, size_t n, size_t *budgets) {
    size_t *const sizes = (size_t *)allocate(4 * n, sizeof *sizes);
    size_t *const wanted = sizes + n, *const low = wanted + n, *const high = low + n;
    for (size_t i = 0; i < n; i++) {
        /* As the library does it with regions: none can take more than it has. */
        const size_t most = n_tokens[i] + all->config.reserved;
        wanted[i] = budget_for(all, n_tokens[i]);
        low[i] = smallest_budget(all);
        high[i] = largest_budget(all);
        high[i] = high[i] < most ? high[i] : most;
        low[i] = low[i] < high[i] ? low[i] : high[i];
    }
    const prunesid_status status = share(all, phi, n, sizes);
    if (status == PRUNESID_OK) memcpy(budgets, sizes, n * sizeof *budgets);
    free(sizes);
    return status == PRUNESID_OK ? EXIT_OK : report_batch(all, status);
}

/* Budgets of the images that are left, after measure. */
static int set_budgets(job *all) {
    const size_t n = all->n_images;
    double *const phi = (double *)allocate(n, sizeof *phi);
    size_t *const sizes = (size_t *)allocate(2 * n, sizeof *sizes), *const budgets = sizes + n;
    for (size_t i = 0; i < n; i++) {
        phi[i] = all->images[i].information.phi;
        sizes[i] = all->regions[i].input.n_tokens;
    }
    const int status = choose_budgets(all, phi, sizes, n, budgets);
    for (size_t i = 0; i < n && status == EXIT_OK; i++) all->regions[i].budget = budgets[i];
    free(phi);
    free(sizes);
    return status;
}

/* ---- one batch ---------------------------------------------------------------------------- */

void drop_image(job *all, size_t i) {
    all->n_images--;
    memmove(all->images + i, all->images + i + 1, (all->n_images - i) * sizeof *all->images);
    memmove(all->regions + i, all->regions + i + 1, (all->n_images - i) * sizeof *all->regions);
}

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
    drop_image(all, i);
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

void *allocate_workspace(size_t n_bytes) {
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

/* ---- the even grid ------------------------------------------------------------------------- */

/* n of n_tokens, evenly, both ends among them. */
static size_t even_index(size_t i, size_t n, size_t n_tokens) {
    if (n == 1) return 0;
    return (size_t)lrint((double)i * ((double)(n_tokens - 1) / (double)(n - 1)));
}

/* The protected tokens, and an even choice of the others. */
static void pick_evenly(const prunesid_input *input, size_t n_kept, int32_t *indices) {
    const size_t n_free = input->n_tokens - input->n_protected, n = n_kept - input->n_protected;
    size_t at = 0, n_protected = 0, n_even = 0, j = 0;
    for (size_t i = 0; i < input->n_tokens && at < n_kept; i++) {
        const int32_t index = (int32_t)(input->first + i);
        if (n_protected < input->n_protected && input->protected_tokens[n_protected] == index) {
            indices[at++] = index;
            n_protected++;
            continue;
        }
        if (n_even < n && j++ == even_index(n_even, n, n_free)) {
            indices[at++] = index;
            n_even++;
        }
    }
}

static prunesid_status represent_evenly(const prunesid_config *config, const prunesid_input *input,
    void *workspace, size_t workspace_bytes, const int32_t *indices, prunesid_details *details) {
    const uint64_t start = nanoseconds_now();
    const prunesid_status status = prunesid_represent(config, input, indices, NULL, workspace,
        workspace_bytes, details->representative, details->count, NULL, &details->stats.coverage);
    details->stats.ns_represent = nanoseconds_now() - start;
    return status;
}

prunesid_status select_evenly(const prunesid_config *config, const prunesid_input *input,
    void *workspace, size_t workspace_bytes, int32_t *indices, prunesid_details *details) {
    const size_t n_kept = prunesid_n_kept(config, input->n_tokens);
    prunesid_stats *const stats = &details->stats;
    prunesid_information found;
    prunesid_status status = prunesid_redundancy(input, workspace, workspace_bytes, &found);
    if (status != PRUNESID_OK) return status;
    if (input->n_protected > n_kept) return PRUNESID_ERROR_PROTECTED_COUNT;
    *stats = prunesid_details_init().stats;
    stats->rho = found.rho;
    stats->phi = found.phi;
    stats->n_survivors = input->n_tokens;
    const uint64_t start = nanoseconds_now();
    pick_evenly(input, n_kept, indices);
    stats->ns_quotas = nanoseconds_now() - start;
    if (details->order != NULL) memcpy(details->order, indices, n_kept * sizeof *indices);
    for (size_t i = 0; i < input->n_tokens && details->group != NULL; i++) details->group[i] = -1;
    return details->count == NULL
               ? PRUNESID_OK
               : represent_evenly(config, input, workspace, workspace_bytes, indices, details);
}

/* Every region with its own budget, in place of prunesid_batch_select. */
static prunesid_status spread_batch(
    job *all, const prunesid_batch *batch, void *workspace, size_t n_bytes) {
    size_t n_before = 0;
    prunesid_status first = PRUNESID_OK;
    for (size_t r = 0; r < batch->n_regions; r++) {
        prunesid_region *const region = &batch->regions[r];
        prunesid_config config = batch->config;
        config.budget = region->budget;
        config.threads.n_workers = 1;
        region->indices = all->indices + n_before;
        region->status = select_evenly(
            &config, &region->input, workspace, n_bytes, region->indices, &region->details);
        region->n_kept = 0;
        if (region->status == PRUNESID_OK) {
            region->share = region->budget;
            region->n_kept = prunesid_n_kept(&config, region->input.n_tokens);
        }
        n_before += region->n_kept;
        if (first == PRUNESID_OK) first = region->status;
    }
    return first;
}

/* Runs a pass, one of the three above, over the regions that are left. */
static int run_batch(job *all, prunesid_sharing sharing,
    prunesid_status (*pass)(
        job *all, const prunesid_batch *batch, void *workspace, size_t n_bytes)) {
    const size_t n_threads = all->of[OPTION_THREADS].number;
    while (all->n_images > 0) {
        const size_t n = all->n_images;
        prunesid_config config = all->config;
        for (size_t i = 0; i < n && sharing != PRUNESID_FIXED; i++)
            config.budget = (i > 0 ? config.budget : 0) + all->regions[i].budget;
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
static int prune_images(job *all, int evenly) {
    const int chooses = is_dynamic(all) && !all->has_budgets;
    int status = chooses ? measure(all) : EXIT_OK;
    size_t n_before;
    do {
        n_before = all->n_images;
        if (chooses && n_before > 0) status = set_budgets(all);
        if (status == EXIT_OK)
            status = run_batch(all, PRUNESID_FIXED, evenly ? spread_batch : select_batch);
    } while (chooses && status == EXIT_OK && all->n_images < n_before);
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
    const int evenly = all->of[OPTION_METHOD].number == METHOD_UNIFORM;
    const int status =
        all->of[OPTION_REGIONS].given && !evenly ? prune_regions(all) : prune_images(all, evenly);
    all->n_kept = 0;
    for (size_t i = 0; i < all->n_images; i++) all->n_kept += all->regions[i].n_kept;
    return status;
}

/* ---- positions ---------------------------------------------------------------------------- */

/* What --layout says. Else of four sections the last is a tag if it is all zeros, or the first is
 * the text's. */
static prunesid_layout layout_of(const job *all) {
    const npy_array *const ids = &all->positions;
    const size_t said = all->of[OPTION_LAYOUT].number;
    const size_t n_sections = ids->n_dims == 1 ? 1 : ids->shape[0], n = ids->n_items;
    if (said != LAYOUT_AUTO) return (prunesid_layout)(said - 1);
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
    const prunesid_position_ids where = {ids->data, bytes, layout_of(all), n_before, 1};
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
