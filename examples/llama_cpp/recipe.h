/* recipe.h - prunesid.h in llama.cpp's libmtmd: what comes between mtmd_encode_chunk and the text
 * behind an image, in place of mtmd_helper_decode_image_chunk.   MIT licence. */
#ifndef RECIPE_H
#define RECIPE_H

#include <llama.h>
#include <mtmd-helper.h>
#include <mtmd.h>
#include <stdlib.h>
#include <string.h>

#include "prunesid.h"

/* Keeps config's budget of the encoded image's tokens, decodes them into sequence 0 from *n_past
 * on, and moves *n_past to where the text behind them begins. kept: room for all of the chunk's
 * tokens. merge: how much of the tokens that each kept one stands for goes into it; if it is above
 * 0, details->representative has room for all tokens. PRUNESID_OK, another of our statuses, or
 * llama_decode's. */
static int decode_pruned(mtmd_context *vision, struct llama_context *context,
    const mtmd_input_chunk *chunk, const prunesid_config *config, double merge, int32_t n_batch,
    llama_pos *n_past, int32_t *kept, prunesid_details *details) {
    const struct llama_model *model = llama_get_model(context);
    const size_t T = mtmd_input_chunk_get_n_tokens(chunk), K = prunesid_n_kept(config, T);
    const size_t W = (size_t)llama_model_n_embd_inp(model); /* a row, DeepStack planes and all */
    const size_t row = W * sizeof(float);
    const int is_mrope = mtmd_decode_use_mrope(vision);
    const size_t n_sections = is_mrope ? 4 : 1;
    const int is_causal = !mtmd_decode_use_non_causal(vision, chunk);
    float *const rows = mtmd_get_output_embd(vision);
    if (!is_causal && K > llama_n_ubatch(context)) return PRUNESID_ERROR_CAPACITY; /* it aborts */

    prunesid_input input = prunesid_input_init(rows, PRUNESID_F32, T, W);
    input.dim = (size_t)llama_model_n_embd(model); /* what is looked at: the main features */
    int status = prunesid_select_alloc(config, &input, kept, T, details, NULL);
    if (status != PRUNESID_OK) return status;
    input.dim = W; /* what is moved: all of a row */
    status = merge > 0.0 ? prunesid_merge(&input, kept, K, details->representative, merge, rows, W)
                         : prunesid_gather(rows, T, row, row, kept, K, rows, row);
    if (status != PRUNESID_OK) return status;

    /* M-RoPE: tokens stand where they stood. Else one after the other, and n_past grows by K. */
    struct mtmd_decoder_pos *const at = malloc(T * sizeof *at);
    llama_pos *const ids =
        malloc(n_sections * K * sizeof *ids); /* of a slice: section by section */
    if (at == NULL || ids == NULL) status = PRUNESID_ERROR_ALLOCATION;
    for (size_t j = 0; j < K && status == PRUNESID_OK && !is_mrope; j++)
        at[j].t = (uint32_t)*n_past + (uint32_t)j;
    if (status == PRUNESID_OK && is_mrope) {
        mtmd_helper_image_get_decoder_pos(mtmd_input_chunk_get_tokens_image(chunk), *n_past, at);
        status = prunesid_gather(at, T, sizeof *at, sizeof *at, kept, K, at, sizeof *at);
    }

    if (!is_causal) llama_set_causal_attn(context, false);
    for (size_t begin = 0, n; begin < K && status == 0; begin += n) {
        n = K - begin < (size_t)n_batch ? K - begin : (size_t)n_batch;
        for (size_t j = 0; j < n; j++) {
            const struct mtmd_decoder_pos own = at[begin + j];
            const uint32_t of_section[4] = {own.t, own.y, own.x, own.z};
            for (size_t s = 0; s < n_sections; s++) ids[s * n + j] = (llama_pos)of_section[s];
        }
        const struct llama_batch batch = {
            (int32_t)n, NULL, rows + begin * W, ids, NULL, NULL, NULL};
        status = llama_decode(context, batch);
    }
    if (!is_causal) llama_set_causal_attn(context, true);
    free(at);
    free(ids);
    *n_past += is_mrope ? mtmd_input_chunk_get_n_pos(chunk) : (llama_pos)K;
    return status;
}

#endif /* RECIPE_H */
