/* fuzz_select.c - bytes -> configuration, tokens and what is known of them -> a selection.   MIT
 * licence.
 *
 * Whatever the bytes, the answer is a status or exactly the promised distinct ascending indices. */
#include <string.h>

#include "bytes.h"
#include "prunesid.h"

enum { MAX_TOKENS = 300, MAX_DIM = 280, MAX_GROUPS = 64, MAX_GUARDED = 16 };

static float row[MAX_TOKENS];

static void check(const prunesid_config *config, const prunesid_input *input,
    const int32_t *indices, const prunesid_details *details) {
    const size_t n_kept = prunesid_n_kept(config, input->n_tokens);
    for (size_t i = 0; i < n_kept; i++) {
        must(indices[i] >= 0 && (size_t)indices[i] - input->first < input->n_tokens);
        must(i == 0 || indices[i] > indices[i - 1]);
        must((size_t)details->order[i] - input->first < input->n_tokens);
        must(details->state[(size_t)indices[i] - input->first] == PRUNESID_KEPT);
    }
    size_t n = 0;
    for (size_t i = 0; i < input->n_tokens; i++)
        must((size_t)details->representative[i] - input->first < input->n_tokens);
    for (size_t j = 0; j < n_kept; j++) n += (size_t)details->count[j];
    must(n == input->n_tokens && details->stats.coverage <= 1.0);
    prunesid_input rows = *input;
    rows.tokens = row;
    rows.dtype = PRUNESID_F32;
    rows.dim = rows.ld = 1;
    must(prunesid_merge(&rows, indices, n_kept, details->representative, 0.5, row, 1) ==
         PRUNESID_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static float x[MAX_TOKENS * MAX_DIM + 1], scores[MAX_TOKENS], loadings[MAX_TOKENS * MAX_GROUPS];
    static int32_t indices[MAX_TOKENS], order[MAX_TOKENS], representative[MAX_TOKENS];
    static int32_t count[MAX_TOKENS];
    static uint8_t state[MAX_TOKENS];
    static int32_t guarded[MAX_GUARDED];
    bytes from = {data, n_bytes};
    const size_t large = take(&from) % 8 == 0, T = 1 + take(&from) + (large ? 44 : 0);
    const size_t d = 1 + (large ? 255 + take(&from) % 24 : take(&from) % 48);
    prunesid_config config =
        prunesid_config_init((prunesid_preset)(take(&from) % 5), take(&from) + take(&from) % 64);
    config.svd = (prunesid_svd)(take(&from) % 3);
    config.reserved = take(&from) % 8 ? config.reserved : take(&from);
    config.n_groups = take(&from) % 4 ? 0 : take(&from) % (MAX_GROUPS + 1);
    prunesid_input input = prunesid_input_init(x, (prunesid_dtype)(take(&from) % 3), T, d);
    input.first = take(&from) % 4 ? 0 : take(&from);
    input.n_protected = take(&from) % 4 ? 0 : take(&from) % MAX_GUARDED;
    input.protected_tokens = guarded;
    for (size_t i = 0, at = input.first; i < MAX_GUARDED; i++) {
        at += take(&from) % 17;
        guarded[i] = (int32_t)at;
    }
    input.scores = take(&from) % 2 ? scores : NULL;
    for (size_t i = 0; input.scores != NULL && i < T; i++) scores[i] = (float)take(&from) - 64.0f;
    input.loadings = take(&from) % 8 ? NULL : loadings;
    input.ld_loadings = MAX_GROUPS;
    if (input.loadings != NULL) fill(&from, loadings, T * MAX_GROUPS);
    if (take(&from) % 2) { /* any bits */
        const size_t n_most = T * d * sizeof *x;
        memset(x, 0, sizeof x);
        if (from.n > 0) memcpy(x, from.at, from.n < n_most ? from.n : n_most);
    } else {
        input.dtype = PRUNESID_F32;
        fill(&from, x, T * d);
    }
    prunesid_details details = prunesid_details_init();
    details.order = order;
    details.state = state;
    details.representative = representative;
    details.count = count;
    details.scope = (prunesid_scope)(take(&from) % 3);
    const size_t capacity = take(&from) % 8 ? MAX_TOKENS : take(&from);
    if (prunesid_select_alloc(&config, &input, indices, capacity, &details, NULL) == PRUNESID_OK) {
        must(prunesid_n_kept(&config, T) <= capacity);
        check(&config, &input, indices, &details);
    }
    return 0;
}
