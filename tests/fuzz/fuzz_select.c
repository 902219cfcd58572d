/* fuzz_select.c - bytes -> configuration, tokens and scores -> a selection.   MIT licence.
 *
 * Whatever the bytes, the answer is a status or exactly the promised distinct ascending indices. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "prunesid.h"

static void check(const prunesid_config *config, const prunesid_output *out) {
    if (out->n_kept != prunesid_n_kept(config)) {
        abort();
    }
    for (size_t i = 0; i < out->n_kept; i++) {
        if (out->indices[i] < 0 || (size_t)out->indices[i] >= config->n_tokens ||
            (i > 0 && out->indices[i] <= out->indices[i - 1])) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    enum { MAX_TOKENS = 300, MAX_DIM = 280 };
    static float x[MAX_TOKENS * MAX_DIM + 1], scores[MAX_TOKENS];
    static int32_t indices[MAX_TOKENS], guarded[16];
    bytes from = {data, n_bytes};
    const size_t large = take(&from) % 8 == 0, T = 1 + take(&from) + (large ? 44 : 0);
    const size_t d = 1 + (large ? 255 + take(&from) % 24 : take(&from) % 48);
    prunesid_config config = prunesid_config_init(
        (prunesid_preset)(take(&from) % 5), T, d, take(&from) + take(&from) % 64);
    config.svd = (prunesid_svd)(take(&from) % 4);
    config.reserved = take(&from) % 8 ? config.reserved : take(&from);
    config.n_groups = take(&from) % 4 ? 0 : take(&from);
    config.n_protected = take(&from) % 4 ? 0 : take(&from) % 16;
    config.protected_indices = guarded;
    for (size_t i = 0, at = 0; i < 16; i++) {
        at += take(&from) % 17;
        guarded[i] = (int32_t)at;
    }
    prunesid_tokens tokens = prunesid_tokens_view(x, (prunesid_dtype)(take(&from) % 3), T, d);
    const int has_scores = take(&from) % 2;
    memset(x, 0, sizeof x);
    for (size_t i = 0; has_scores && i < T; i++) {
        scores[i] = (float)take(&from) - 64.0f;
    }
    if (take(&from) % 2) { /* any bits, or small numbers that tie and repeat */
        const size_t n_most = T * d * sizeof *x;
        memcpy(x, from.at, from.n < n_most ? from.n : n_most);
    } else {
        tokens.dtype = PRUNESID_F32;
        for (size_t i = 0; i < T * d; i++) {
            x[i] = ((float)(from.n ? from.at[i % from.n] : 0) - 128.0f) / 32.0f;
        }
    }
    prunesid_output out = prunesid_output_init(indices);
    if (prunesid_select_alloc(&config, &tokens, has_scores ? scores : NULL, NULL, &out) ==
        PRUNESID_OK) {
        check(&config, &out);
    }
    return 0;
}
