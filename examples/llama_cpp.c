/* llama_cpp.c - what a llama.cpp (libmtmd) host does between encode and decode.   MIT licence.
 *
 * Nothing of llama.cpp is needed to run it; its names stand where its calls go. Since
 * mtmd_helper_decode_image_chunk takes the count from the chunk, a host that prunes builds the
 * llama_batch itself:
 *     embd   mtmd_get_output_embd(ctx): [n, W], W = llama_model_n_embd_inp(model); the main
 *            features are the first D = llama_model_n_embd(model), Qwen3-VL's DeepStack planes the
 *            rest
 *     pos    M-RoPE models: [4][n] section after section, from mtmd_helper_image_get_decoder_pos;
 *            other models: [n], consecutive
 * Where the image model is not causal (mtmd_decode_use_non_causal), the kept tokens must fit one
 * micro-batch, with llama_set_causal_attn(lctx, false) around the decode. */
#include "encoder.h"

#include <string.h>

enum { D = 256, W = 4 * D, SECTIONS = 4, HIGH = 16, WIDE = 24, TOKENS = HIGH * WIDE };
enum { BUDGET = 48, N_BATCH = 20, N_PAST = 35, ROWS = HIGH * (WIDE + 1) - 1 };

static float embd[TOKENS][W], kept_embd[BUDGET][W];     /* of an M-RoPE model */
static float row_embd[ROWS][D], kept_row_embd[ROWS][D]; /* of a model with structural rows */

/* Stands for llama_decode with a batch of n: the positions must be these tokens' own. */
static int decode(const int32_t *pos, size_t n, const int32_t *kept) {
    for (size_t j = 0; j < n; j++)
        if (!holds(pos[j] == N_PAST && pos[n + j] == N_PAST + kept[j] / WIDE &&
                       pos[2 * n + j] == N_PAST + kept[j] % WIDE && pos[3 * n + j] == 0,
                "t, y, x, z of the kept token"))
            return 1;
    return 0;
}

/* Qwen2-VL and others with M-RoPE: kept tokens stand where they stood, gaps and all. */
static int with_mrope(void) {
    const prunesid_config config = prunesid_config_init(PRUNESID_QWEN2VL, TOKENS, D, BUDGET);
    prunesid_tokens view = prunesid_tokens_view(embd, PRUNESID_F32, TOKENS, D);
    view.ld = W; /* look at the main features, move everything */
    int32_t kept[BUDGET], pos[SECTIONS][TOKENS], kept_pos[SECTIONS][BUDGET];
    prunesid_output out = prunesid_output_init(kept);
    encode_image(embd[0], HIGH, WIDE, W, W, 5u, 8, 1.0f);
    prunesid_status status = prunesid_select_alloc(&config, &view, NULL, NULL, &out);
    if (status == PRUNESID_OK)
        status = prunesid_gather(embd, TOKENS, sizeof *embd, sizeof *embd, kept, out.n_kept,
            kept_embd, sizeof *kept_embd);
    if (failed(status, "select or gather")) return 1;

    for (int32_t i = 0; i < TOKENS; i++) {
        pos[0][i] = N_PAST, pos[1][i] = N_PAST + i / WIDE;
        pos[2][i] = N_PAST + i % WIDE, pos[3][i] = 0;
    }
    const prunesid_span image = {0, TOKENS};
    const prunesid_position_ids from = {pos, sizeof(int32_t), SECTIONS, TOKENS, TOKENS};
    const prunesid_position_ids to = {kept_pos, sizeof(int32_t), SECTIONS, out.n_kept, BUDGET};
    int64_t n_past = 0;
    status = prunesid_positions(
        PRUNESID_POSITIONS_KEEP, &from, &image, 1, kept, out.n_kept, &to, &n_past);
    if (failed(status, "positions")) return 1;

    /* A batch of n_batch of them is a slice of every section: repack it. */
    size_t n_batches = 0;
    for (size_t begin = 0, n; begin < out.n_kept; begin += n, n_batches++) {
        int32_t batch_pos[SECTIONS * N_BATCH];
        n = out.n_kept - begin < N_BATCH ? out.n_kept - begin : N_BATCH;
        for (size_t s = 0; s < SECTIONS; s++)
            memcpy(batch_pos + s * n, kept_pos[s] + begin, n * sizeof *batch_pos);
        if (decode(batch_pos, n, kept + begin)) return 1;
    }
    printf("M-RoPE: %zu of %d tokens in %zu batches, %d of %d floats looked at, text from %lld\n",
        out.n_kept, TOKENS, n_batches, D, W, (long long)n_past);
    const int n_pos = HIGH > WIDE ? HIGH : WIDE; /* mtmd_input_chunk_get_n_pos(chunk) */
    return !holds(n_past == N_PAST + n_pos, "text goes on at n_past + n_pos") ||
           !holds(memcmp(kept_embd[7], embd[kept[7]], sizeof *embd) == 0, "rows with their planes");
}

/* Pixtral: a break token ends every row of patches but the last. They are protected, and count
 * inside N. Positions are consecutive: n_past grows by what was kept. */
static int without_mrope(void) {
    const size_t n_breaks = HIGH - 1;
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, ROWS, D, BUDGET + n_breaks);
    const prunesid_tokens view = prunesid_tokens_view(row_embd, PRUNESID_F32, ROWS, D);
    int32_t breaks[HIGH], kept[ROWS], pos[ROWS];
    encode_image(row_embd[0], 1, ROWS, D, D, 6u, 8, 1.0f);
    for (int32_t y = 0; y < HIGH - 1; y++) {
        breaks[y] = y * (WIDE + 1) + WIDE;
        encode_image(row_embd[breaks[y]], 1, 1, D, D, 99u, 1, 0.0f); /* one embedding for all */
    }
    config.protected_indices = breaks;
    config.n_protected = n_breaks;
    prunesid_output out = prunesid_output_init(kept);
    prunesid_status status = prunesid_select_alloc(&config, &view, NULL, NULL, &out);
    if (status == PRUNESID_OK)
        status = prunesid_gather(row_embd, ROWS, sizeof *row_embd, sizeof *row_embd, kept,
            out.n_kept, kept_row_embd, sizeof *kept_row_embd);
    if (failed(status, "select or gather")) return 1;

    for (int32_t i = 0; i < ROWS; i++) pos[i] = N_PAST + i;
    const prunesid_span image = {0, ROWS};
    const prunesid_position_ids ids = {pos, sizeof(int32_t), 1, ROWS, ROWS};
    const prunesid_position_ids kept_ids = {
        pos, sizeof(int32_t), 1, out.n_kept, ROWS}; /* in place */
    int64_t n_past = 0;
    status = prunesid_positions(
        PRUNESID_POSITIONS_RENUMBER, &ids, &image, 1, kept, out.n_kept, &kept_ids, &n_past);
    if (failed(status, "positions")) return 1;
    printf("no M-RoPE: %zu of %d tokens, %zu of them row breaks, text from %lld\n", out.n_kept,
        ROWS, n_breaks, (long long)n_past);
    size_t n_found = 0;
    for (size_t j = 0; j < out.n_kept; j++) {
        n_found += n_found < n_breaks && kept[j] == breaks[n_found] ? 1 : 0;
        if (!holds(pos[j] == N_PAST + (int32_t)j, "consecutive positions")) return 1;
    }
    return !holds(n_found == n_breaks, "every row break stays") ||
           !holds(n_past == N_PAST + (int64_t)out.n_kept, "n_past grows by what was kept");
}

int main(void) {
    return with_mrope() || without_mrope();
}
