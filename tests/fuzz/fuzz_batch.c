/* fuzz_batch.c - bytes -> regions and limits -> kept tokens -> a prompt's rows and position ids.
 * MIT licence.
 *
 * Whatever the bytes, the answer is a status or exactly the planned ascending indices, each inside
 * its region, and position ids below the next one. */
#include <string.h>

#include "bytes.h"
#include "prunesid.h"

enum { MAX_TOKENS = 200, MAX_DIM = 24, MAX_REGIONS = 8, MAX_PROMPT = 3 * MAX_TOKENS };

static void check_regions(
    const prunesid_region *regions, size_t n_regions, const int32_t *indices, size_t n_kept) {
    size_t n = 0;
    for (size_t r = 0; r < n_regions; r++) {
        const prunesid_region *const region = &regions[r];
        must(region->status == PRUNESID_OK && region->indices == indices + n);
        for (size_t j = 0; j < region->n_kept; j++, n++) {
            must((size_t)indices[n] - region->input.first < region->input.n_tokens);
            must(j == 0 || indices[n] > indices[n - 1]);
        }
    }
    must(n == n_kept);
}

/* The kept tokens as placeholders in a prompt, with ids that never fall. */
static void check_prompt(bytes *from, const int32_t *kept, size_t n_kept, size_t n_visual) {
    static int32_t rows[MAX_PROMPT];
    static int64_t ids[4 * MAX_PROMPT];
    static const size_t n_sections[] = {1, 3, 4, 4, 0}; /* the last layout does not exist */
    const prunesid_span spans[2] = {
        {take(from), n_visual / 2}, {take(from), n_visual - n_visual / 2}};
    const size_t layout = take(from) % 5, are_structs = take(from) % 2;
    prunesid_prompt prompt = {take(from) + n_visual, spans, 2, rows, 0};
    if (prunesid_prompt_rows(&prompt, kept, n_kept) != PRUNESID_OK) return;
    must(prompt.n_rows == prompt.n_tokens - n_visual + n_kept);
    const prunesid_position_ids positions = {ids, 8, (prunesid_layout)layout,
        are_structs ? 1 : prompt.n_tokens, are_structs ? n_sections[layout] : 1};
    const size_t section = positions.section_stride, token = positions.token_stride;
    for (size_t k = 0; k < n_sections[layout]; k++) {
        for (size_t i = 0; i < prompt.n_tokens; i++) {
            const int64_t before = i > 0 ? ids[k * section + (i - 1) * token] : 0;
            ids[k * section + i * token] = before + (int64_t)(take(from) % 3);
        }
    }
    const prunesid_position_policy policy = (prunesid_position_policy)(take(from) % 4);
    int64_t next = -1;
    if (prunesid_positions(policy, &prompt, &positions, &next) != PRUNESID_OK) return;
    must(layout < 4 && policy <= PRUNESID_POSITIONS_RENUMBER);
    const size_t grid = layout == PRUNESID_LAYOUT_TEXT_MROPE ? 1 : 0;
    const size_t grid_end = layout == PRUNESID_LAYOUT_MROPE_TAG ? 3 : n_sections[layout];
    for (size_t k = grid; k < grid_end; k++) {
        for (size_t j = 0; j < prompt.n_rows; j++) {
            const int64_t id = ids[k * section + j * token];
            must(id < next);
            /* COMPACT supposes that ids behind a span are above those in it; these may not be. */
            must(policy == PRUNESID_POSITIONS_COMPACT ||
                 (id >= 0 && (j == 0 || id >= ids[k * section + (j - 1) * token])));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static float x[MAX_TOKENS * MAX_DIM];
    static int32_t indices[MAX_TOKENS];
    bytes from = {data, n_bytes};
    const size_t T = 1 + take(&from) % MAX_TOKENS, d = 1 + take(&from) % MAX_DIM;
    const size_t n_regions = take(&from) % (MAX_REGIONS + 1);
    const prunesid_sharing sharing = (prunesid_sharing)(take(&from) % 4);
    const prunesid_config config =
        prunesid_config_init((prunesid_preset)(take(&from) % 5), take(&from) + take(&from));
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
    if (status == PRUNESID_OK) {
        check_regions(regions, n_regions, indices, plan.n_kept);
        check_prompt(&from, indices, plan.n_kept, T);
    }
    return 0;
}
