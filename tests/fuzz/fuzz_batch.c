/* fuzz_batch.c - bytes -> regions and limits -> kept tokens.   MIT licence.
 *
 * Whatever the bytes, the answer is a status or exactly the planned ascending indices: of each
 * region what a selection of its own makes of its share. */
#include "support.h"

#include "bytes.h"

enum { MAX_TOKENS = 200, MAX_DIM = 24, MAX_REGIONS = 8 };

static void check_regions(const prunesid_config *config, int is_shared,
    const prunesid_region *regions, size_t n_regions, const int32_t *indices, size_t n_kept) {
    size_t n = 0;
    for (size_t r = 0; r < n_regions; r++) {
        const prunesid_region *const region = &regions[r];
        prunesid_config alone = *config;
        must(region->status == PRUNESID_OK && region->indices == indices + n);
        if (is_shared) {
            const size_t least = ref_max(config->reserved + 1, region->input.n_protected);
            const size_t all = region->input.n_tokens + config->reserved; /* no more is wanted */
            must(region->share >= ref_min(region->low, all));
            must(region->share <= ref_max(region->high, ref_max(region->low, least)));
        }
        alone.budget = region->share;
        int32_t own[MAX_TOKENS];
        prunesid_details details = prunesid_details_init();
        must(prunesid_select_alloc(&alone, &region->input, own, MAX_TOKENS, &details, NULL) ==
             PRUNESID_OK);
        must(memcmp(own, indices + n, region->n_kept * sizeof *own) == 0);
        must(details.stats.rho == region->details.stats.rho);
        must(details.stats.tau == region->details.stats.tau);
        n += region->n_kept;
    }
    must(n == n_kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static float x[MAX_TOKENS * MAX_DIM];
    static int32_t indices[MAX_TOKENS];
    bytes from = {data, n_bytes};
    const size_t T = 1 + take(&from) % MAX_TOKENS, d = 1 + take(&from) % MAX_DIM;
    const size_t n_regions = take(&from) % (MAX_REGIONS + 1);
    const prunesid_sharing sharing = (prunesid_sharing)(take(&from) % 4);
    const prunesid_preset preset = (prunesid_preset)(take(&from) % 5);
    const prunesid_config config = prunesid_config_init(preset, take_two(&from) % 512);
    const int32_t guarded = (int32_t)take(&from);
    prunesid_input image = prunesid_input_init(x, PRUNESID_F32, T, d);
    image.protected_tokens = &guarded;
    image.n_protected = take(&from) % 4 == 0 ? 1 : 0;
    prunesid_region regions[MAX_REGIONS];
    for (size_t r = 0, at = 0; r < n_regions; r++) {
        at += take(&from) % 4 ? 0 : take(&from) % 16;
        const size_t n_tokens = take(&from) % 64; /* maybe more than are left: then refused */
        regions[r] = prunesid_region_init(&image, at, n_tokens, 1 + take(&from));
        regions[r].low = take(&from) % 4 ? 0 : take(&from);
        regions[r].high = take(&from) % 4 ? SIZE_MAX : take(&from);
        at += n_tokens;
    }
    fill(&from, x, T * d);
    prunesid_plan plan;
    const prunesid_batch batch = prunesid_batch_init(&config, sharing, regions, n_regions);
    const prunesid_status planned = prunesid_batch_plan(&batch, &plan);
    must((planned == PRUNESID_OK) == (plan.n_kept > 0));
    must((planned == PRUNESID_OK) == (plan.workspace_bytes > 0));
    must(plan.n_kept <= T && plan.region <= n_regions);
    void *const workspace = malloc(plan.workspace_bytes > 0 ? plan.workspace_bytes : 1);
    if (workspace == NULL) return 0;
    const prunesid_status status =
        prunesid_batch_select(&batch, workspace, plan.workspace_bytes, indices, plan.n_kept);
    free(workspace);
    must(status == planned);
    if (status == PRUNESID_OK)
        check_regions(&config, sharing != PRUNESID_FIXED, regions, n_regions, indices, plan.n_kept);
    return 0;
}
