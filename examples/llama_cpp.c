/* llama_cpp.c - what a llama.cpp (libmtmd) host does between encode and decode.   MIT licence.
 *
 * Nothing of llama.cpp is needed to run it; its names stand where its calls go. Since
 * mtmd_helper_decode_image_chunk takes the count from the chunk, a host that prunes builds the
 * llama_batch itself:
 *     embd   mtmd_get_output_embd(ctx): [n, W], W = llama_model_n_embd_inp(model); the main
 *            features are the first D = llama_model_n_embd(model), Qwen3-VL's DeepStack planes the
 *            rest
 *     pos    M-RoPE models: [4][n], t then y then x then z, from the structs that
 *            mtmd_helper_image_get_decoder_pos fills; other models: [n], consecutive
 * Where the image model is not causal (mtmd_decode_use_non_causal), the kept tokens must fit one
 * micro-batch, with llama_set_causal_attn(lctx, false) around the decode. */
#include "encoder.h"

#include <string.h>

enum { D = 256, W = 4 * D, HIGH = 16, WIDE = 24, TOKENS = HIGH * WIDE };
enum { BUDGET = 48, N_BATCH = 20, N_PAST = 35, ROWS = HIGH * (WIDE + 1) - 1 };

typedef struct mtmd_decoder_pos { /* as libmtmd has it */
    uint32_t t, x, y, z;
} mtmd_decoder_pos;

static float embd[TOKENS][W], kept_embd[BUDGET][W];     /* of an M-RoPE model */
static float row_embd[ROWS][D], kept_row_embd[ROWS][D]; /* of a model with structural rows */

/* Stands for llama_decode of n embeddings: the positions must be these tokens' own. */
static int decode(const mtmd_decoder_pos *pos, size_t n, const int32_t *kept) {
    for (size_t j = 0; j < n; j++)
        if (!holds(pos[j].t == N_PAST && pos[j].y == N_PAST + (uint32_t)kept[j] / WIDE &&
                       pos[j].x == N_PAST + (uint32_t)kept[j] % WIDE && pos[j].z == 0,
                "t, x, y, z of the kept token"))
            return 1;
    return 0;
}

/* Qwen2-VL and others with M-RoPE: kept tokens stand where they stood, gaps and all. */
static int with_mrope(void) {
    mtmd_decoder_pos pos[TOKENS];
    encode_image(embd[0], HIGH, WIDE, W, W, 5u, 8, 1.0f);
    for (uint32_t i = 0; i < TOKENS; i++) {
        const mtmd_decoder_pos at = {N_PAST, N_PAST + i % WIDE, N_PAST + i / WIDE, 0};
        pos[i] = at;
    }

    const prunesid_config config = prunesid_config_init(PRUNESID_QWEN2VL, BUDGET);
    prunesid_input input = prunesid_input_init(embd, PRUNESID_F32, TOKENS, D);
    input.ld = W; /* look at the main features, move everything */
    int32_t kept[BUDGET];
    prunesid_status status = prunesid_select_alloc(&config, &input, kept, BUDGET, NULL, NULL);
    const size_t n_kept = prunesid_n_kept(&config, TOKENS);
    if (status == PRUNESID_OK)
        status = prunesid_gather(
            embd, TOKENS, sizeof *embd, sizeof *embd, kept, n_kept, kept_embd, sizeof *kept_embd);
    if (failed(status, "select or gather")) return 1;

    /* Four ids a token, one token after the other. x and y may change places: each is a section. */
    const prunesid_span image = {0, TOKENS};
    const prunesid_prompt prompt = {TOKENS, &image, 1, kept, n_kept};
    const prunesid_position_ids ids = {pos, sizeof pos->t, PRUNESID_LAYOUT_MROPE_TAG, 1, 4};
    int64_t n_past = 0;
    status = prunesid_positions(PRUNESID_POSITIONS_KEEP, &prompt, &ids, &n_past);
    if (failed(status, "positions")) return 1;

    size_t n_batches = 0;
    for (size_t begin = 0; begin < n_kept; begin += N_BATCH, n_batches++) {
        const size_t n = n_kept - begin < N_BATCH ? n_kept - begin : N_BATCH;
        if (decode(pos + begin, n, kept + begin)) return 1;
    }
    printf("M-RoPE: %zu of %d tokens in %zu batches, %d of %d floats looked at, text from %lld\n",
        n_kept, TOKENS, n_batches, D, W, (long long)n_past);
    const int n_pos = HIGH > WIDE ? HIGH : WIDE; /* mtmd_input_chunk_get_n_pos(chunk) */
    return !holds(n_past == N_PAST + n_pos, "text goes on at n_past + n_pos") ||
           !holds(memcmp(kept_embd[7], embd[kept[7]], sizeof *embd) == 0, "rows with their planes");
}

/* Pixtral: a break token ends every row of patches but the last. They are protected, and count
 * inside N. Positions are consecutive: n_past grows by what was kept. */
static int without_mrope(void) {
    enum { BREAKS = HIGH - 1 };
    int32_t breaks[BREAKS], kept[BUDGET + BREAKS], pos[ROWS];
    encode_image(row_embd[0], 1, ROWS, D, D, 6u, 8, 1.0f);
    for (int32_t y = 0; y < BREAKS; y++) {
        breaks[y] = y * (WIDE + 1) + WIDE;
        encode_image(row_embd[breaks[y]], 1, 1, D, D, 99u, 1, 0.0f); /* one embedding for all */
    }
    for (int32_t i = 0; i < ROWS; i++) pos[i] = N_PAST + i;

    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, BUDGET + BREAKS);
    prunesid_input input = prunesid_input_init(row_embd, PRUNESID_F32, ROWS, D);
    input.protected_tokens = breaks;
    input.n_protected = BREAKS;
    prunesid_status status =
        prunesid_select_alloc(&config, &input, kept, BUDGET + BREAKS, NULL, NULL);
    const size_t n_kept = prunesid_n_kept(&config, ROWS);
    if (status == PRUNESID_OK)
        status = prunesid_gather(row_embd, ROWS, sizeof *row_embd, sizeof *row_embd, kept, n_kept,
            kept_row_embd, sizeof *kept_row_embd);
    if (failed(status, "select or gather")) return 1;

    const prunesid_span image = {0, ROWS};
    const prunesid_prompt prompt = {ROWS, &image, 1, kept, n_kept};
    const prunesid_position_ids ids = {pos, sizeof *pos, PRUNESID_LAYOUT_1D, ROWS, 1};
    int64_t n_past = 0;
    status = prunesid_positions(PRUNESID_POSITIONS_RENUMBER, &prompt, &ids, &n_past);
    if (failed(status, "positions")) return 1;
    printf("no M-RoPE: %zu of %d tokens, %d of them row breaks, text from %lld\n", n_kept, ROWS,
        BREAKS, (long long)n_past);
    size_t n_found = 0;
    for (size_t j = 0; j < n_kept; j++) {
        n_found += n_found < BREAKS && kept[j] == breaks[n_found] ? 1 : 0;
        if (!holds(pos[j] == N_PAST + (int32_t)j, "consecutive positions")) return 1;
    }
    return !holds(n_found == BREAKS, "every row break stays") ||
           !holds(n_past == N_PAST + (int64_t)n_kept, "n_past grows by what was kept");
}

int main(void) {
    return with_mrope() || without_mrope();
}
