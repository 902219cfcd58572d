/* fuzz_regions.c - bytes -> regions and limits -> kept tokens -> a prompt's rows and position ids.
 * MIT licence.
 *
 * Whatever the bytes, the answer is a status or exactly the promised ascending indices, each inside
 * its region, and position ids below the next one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "prunesid.h"

enum { MAX_TOKENS = 200, MAX_DIM = 24, MAX_REGIONS = 8 };

static void must(int condition) {
    if (!condition) {
        abort();
    }
}

static void check_regions(
    const prunesid_region *regions, size_t n_regions, const int32_t *indices, size_t n_kept) {
    size_t n = 0;
    for (size_t r = 0; r < n_regions; r++) {
        const prunesid_region *const region = &regions[r];
        must(region->status == PRUNESID_OK && region->out.indices == indices + n);
        for (size_t j = 0; j < region->out.n_kept; j++, n++) {
            must((size_t)indices[n] - region->first < region->n_tokens);
            must(j == 0 || indices[n] > indices[n - 1]);
        }
    }
    must(n == n_kept);
}

/* The kept tokens as placeholders in a prompt, with ids that never fall. */
static void check_prompt(bytes *from, const int32_t *kept, size_t n_kept, size_t n_visual) {
    static int32_t rows[3 * MAX_TOKENS];
    static int64_t ids[4][3 * MAX_TOKENS], moved[4][3 * MAX_TOKENS];
    const prunesid_span spans[2] = {
        {take(from), n_visual / 2}, {take(from), n_visual - n_visual / 2}};
    const size_t n_prompt = take(from) + n_visual, n_sections = take(from) % 6;
    size_t n_rows = 0;
    if (prunesid_prompt_rows(spans, 2, n_prompt, kept, n_kept, rows, &n_rows) != PRUNESID_OK) {
        return;
    }
    must(n_rows == n_prompt - n_visual + n_kept);
    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 1; i < n_prompt; i++) {
            ids[k][i] = ids[k][i - 1] + (int64_t)(take(from) % 3);
        }
    }
    const prunesid_position_ids in = {ids, 8, n_sections, n_prompt, 3 * MAX_TOKENS};
    const prunesid_position_ids out = {moved, 8, n_sections, n_rows, 3 * MAX_TOKENS};
    const prunesid_position_policy policy = (prunesid_position_policy)(take(from) % 4);
    int64_t next = -1;
    if (prunesid_positions(policy, &in, spans, 2, rows, n_rows, &out, &next) != PRUNESID_OK) {
        return;
    }
    for (size_t k = 0; k < n_sections; k++) {
        for (size_t j = 0; j < n_rows; j++) {
            must(moved[k][j] < next);
            /* COMPACT supposes that ids behind a span are above those in it; these may not be. */
            must(policy == PRUNESID_POSITIONS_COMPACT ||
                 (moved[k][j] >= 0 && (j == 0 || moved[k][j] >= moved[k][j - 1])));
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
    prunesid_config config =
        prunesid_config_init((prunesid_preset)(take(&from) % 4), T, d, take(&from) + take(&from));
    const int32_t protected_index = (int32_t)take(&from);
    config.protected_indices = &protected_index;
    config.n_protected = take(&from) % 4 == 0 ? 1 : 0;
    prunesid_region regions[MAX_REGIONS];
    for (size_t r = 0, at = 0; r < n_regions; r++) {
        at += take(&from) % 4 ? 0 : take(&from) % 16;
        regions[r] = prunesid_region_init(at, take(&from) % 64, 1 + take(&from));
        regions[r].low = take(&from) % 4 ? 0 : take(&from);
        regions[r].high = take(&from) % 4 ? SIZE_MAX : take(&from);
        at += regions[r].n_tokens;
    }
    for (size_t i = 0; i < T * d; i++) {
        x[i] = ((float)(from.n ? from.at[i % from.n] : 0) - 128.0f) / 32.0f;
    }
    const prunesid_tokens tokens = prunesid_tokens_view(x, PRUNESID_F32, T, d);
    const size_t n_kept = prunesid_regions_n_kept(&config, sharing, regions, n_regions);
    const size_t bytes_needed =
        prunesid_regions_workspace_size(&config, sharing, regions, n_regions, 1);
    must((n_kept == 0) == (bytes_needed == 0) && n_kept <= T);
    void *const workspace = malloc(bytes_needed > 0 ? bytes_needed : 1);
    if (workspace == NULL) {
        return 0;
    }
    const prunesid_status status = prunesid_select_regions(
        &config, sharing, &tokens, regions, n_regions, NULL, workspace, bytes_needed, indices);
    free(workspace);
    must((status == PRUNESID_OK) == (bytes_needed > 0));
    if (status == PRUNESID_OK) {
        check_regions(regions, n_regions, indices, n_kept);
        check_prompt(&from, indices, n_kept, T);
    }
    return 0;
}
