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

/* The encoded image's rows become those that are kept, in the engine's own buffer.
 *   known    scores and protected rows (begin, row break, end), if there are any; or NULL
 *   merge    how much of what a kept row stands for goes into it; above 0 it needs
 *            details->representative with room for all tokens
 *   kept     room for all of the chunk's tokens; *n_kept of them are written */
static prunesid_status prune_image(mtmd_context *vision, const struct llama_model *model,
    const mtmd_input_chunk *chunk, const prunesid_config *config, const prunesid_input *known,
    double merge, int32_t *kept, size_t *n_kept, prunesid_details *details) {
    const size_t T = mtmd_input_chunk_get_n_tokens(chunk);
    const size_t W = (size_t)llama_model_n_embd_inp(model), row = W * sizeof(float);
    float *const rows = mtmd_get_output_embd(vision); /* [T, W], until the next image */
    prunesid_input input = prunesid_input_init(rows, PRUNESID_F32, T, W);
    if (known != NULL) input.scores = known->scores;
    if (known != NULL) input.protected_tokens = known->protected_tokens;
    if (known != NULL) input.n_protected = known->n_protected;
    *n_kept = prunesid_n_kept(config, T);
    input.dim = (size_t)llama_model_n_embd(model); /* DeepStack planes behind are not looked at */
    const prunesid_status status = prunesid_select_alloc(config, &input, kept, T, details, NULL);
    if (status != PRUNESID_OK) return status;
    input.dim = W; /* but go along */
    return merge > 0.0
               ? prunesid_merge(&input, kept, *n_kept, details->representative, merge, rows, W)
               : prunesid_gather(rows, T, row, row, kept, *n_kept, rows, row);
}

/* Decodes those rows into sequence 0 from *n_past on; *n_past becomes where the text behind them
 * begins. As llama_decode; -1: no memory, or too many rows for an image that is not causal. */
static int decode_image(mtmd_context *vision, struct llama_context *context,
    const mtmd_input_chunk *chunk, const int32_t *kept, size_t n_kept, size_t n_batch,
    llama_pos *n_past) {
    const size_t T = mtmd_input_chunk_get_n_tokens(chunk);
    const size_t W = (size_t)llama_model_n_embd_inp(llama_get_model(context));
    const int is_mrope = mtmd_decode_use_mrope(vision), n_sections = is_mrope ? 4 : 1;
    const int is_causal = !mtmd_decode_use_non_causal(vision, chunk);
    struct mtmd_decoder_pos *const at = malloc(T * sizeof *at);
    llama_pos *const ids = malloc(4 * n_kept * sizeof *ids); /* of a slice: section by section */
    int status = at != NULL && ids != NULL ? 0 : -1;
    if (!is_causal && (n_kept > llama_n_ubatch(context) || n_kept > n_batch)) status = -1;
    for (size_t j = 0; j < n_kept && status == 0; j++) at[j].t = (uint32_t)*n_past + (uint32_t)j;
    if (status == 0 && is_mrope) { /* tokens stand where they stood, else one after the other */
        mtmd_helper_image_get_decoder_pos(mtmd_input_chunk_get_tokens_image(chunk), *n_past, at);
        prunesid_gather(at, T, sizeof *at, sizeof *at, kept, n_kept, at, sizeof *at);
    }
    if (!is_causal) llama_set_causal_attn(context, false);
    for (size_t begin = 0, n; begin < n_kept && status == 0; begin += n) {
        n = n_kept - begin < n_batch ? n_kept - begin : n_batch;
        for (size_t j = 0; j < n; j++) {
            const struct mtmd_decoder_pos own = at[begin + j];
            const uint32_t of_section[4] = {own.t, own.y, own.x, own.z};
            for (int s = 0; s < n_sections; s++) ids[(size_t)s * n + j] = (llama_pos)of_section[s];
        }
        float *const rows = mtmd_get_output_embd(vision) + begin * W;
        const struct llama_batch batch = {(int32_t)n, NULL, rows, ids, NULL, NULL, NULL};
        status = llama_decode(context, batch);
    }
    if (!is_causal) llama_set_causal_attn(context, true);
    free(at);
    free(ids);
    if (status == 0) *n_past += is_mrope ? mtmd_input_chunk_get_n_pos(chunk) : (llama_pos)n_kept;
    return status;
}

#endif /* RECIPE_H */
