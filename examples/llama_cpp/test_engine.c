/* test_engine.c - pruning inside the engine, checked through its own interface.   MIT licence.
 *
 *     test_engine DIR      DIR as make_models.py writes it
 *
 * For each family: with a budget of all tokens the first token's logits are those of the engine's
 * own way, bit for bit; with half of them positions, slices and the length of the KV cache are what
 * they have to be, with one image, two images, and an image between two texts. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>

#include "session.h"

const options_program program = {.name = "test_engine"};

static int n_failed;

static void check(int holds, const char *family, const char *what) {
    printf("%s %s: %s\n", holds ? "ok    " : "FAILED", family, what);
    n_failed += !holds;
}

/* Sequence 0 as the engine saves it (llama.cpp b10256): a magic number, the sequence, streams, the
 * number of cells, and then of each cell its position, the number of its sequences, under M-RoPE x
 * and y, and its sequence. malloc'd; NULL if it cannot be had. */
enum { STATE_CELLS = 3, STATE_HEAD = 4 };

static uint32_t *saved_state(const session *s) {
    const size_t n_bytes = llama_state_seq_get_size(s->context, 0);
    uint32_t *const state = malloc(n_bytes);
    const size_t n_written =
        state != NULL ? llama_state_seq_get_data(s->context, (uint8_t *)state, n_bytes, 0) : 0;
    if (n_written >= STATE_HEAD * sizeof *state) return state;
    free(state);
    return NULL;
}

static size_t n_cells(const session *s) {
    uint32_t *const state = saved_state(s);
    const size_t n = state != NULL ? state[STATE_CELLS] : 0;
    free(state);
    return n;
}

/* Whether the cache holds the K kept tokens of an image that began at 5, and nothing else, each
 * where it has to stand: as it stood under M-RoPE, else one after the other. */
static int stands_right(
    const session *s, const mtmd_input_chunk *chunk, const int32_t *kept, size_t K) {
    const int is_mrope = mtmd_decode_use_mrope(s->vision);
    uint32_t *const state = saved_state(s);
    int holds = state != NULL && state[STATE_CELLS] == K;
    for (size_t j = 0; j < K && holds; j++) {
        const uint32_t *const cell = state + STATE_HEAD + (is_mrope ? 5 : 3) * j;
        const struct mtmd_decoder_pos own = mtmd_image_tokens_get_decoder_pos(
            mtmd_input_chunk_get_tokens_image(chunk), 5, (size_t)kept[j]);
        holds =
            is_mrope ? cell[0] == own.t && cell[2] == own.x && cell[3] == own.y : cell[0] == 5 + j;
    }
    free(state);
    return holds;
}

static float *copy_logits(const session *s) {
    const size_t n = session_n_vocab(s);
    float *const copy = malloc(n * sizeof *copy);
    if (copy != NULL) memcpy(copy, session_logits(s), n * sizeof *copy);
    return copy;
}

/* The layouts of a prompt: what stands around the images. */
static const struct {
    const char *name;
    size_t n_images;
    const char *prompt;
} layouts[] = {{"one image", 1, "<__media__>say"}, {"between texts", 1, "one <__media__> two"},
    {"two images", 2, "a <__media__> b <__media__> c"}};

static pruning keep(size_t n, double merge) {
    pruning how = {prunesid_config_init(PRUNESID_AUTO, n), 0.0, 0.0, merge};
    how.config.reserved = 0;
    return how;
}

/* Everything of one prompt in one session of that family. */
static void test_layout(session *s, const char *family, char *picture, size_t l) {
    char *images[2] = {picture, picture};
    mtmd_input_chunks *const chunks =
        session_chunks(s, layouts[l].prompt, images, layouts[l].n_images);
    const pruning all = keep(100000, 0.0);
    const size_t n_vocab = session_n_vocab(s);
    const int is_mrope = mtmd_decode_use_mrope(s->vision);
    outcome full, kept, half, sliced;
    char what[128];
    if (chunks == NULL) {
        check(0, family, "the prompt");
        return;
    }
    check(session_run(s, chunks, NULL, &full) == EXIT_OK, family, "the engine's own way");
    float *const want = copy_logits(s);
    const size_t n_full = n_cells(s);
    check(session_run(s, chunks, &all, &kept) == EXIT_OK, family, "all tokens kept");
    snprintf(what, sizeof what, "%s: logits equal with all kept", layouts[l].name);
    check(
        want != NULL && memcmp(want, session_logits(s), n_vocab * sizeof *want) == 0, family, what);
    check(kept.n_past == full.n_past && n_cells(s) == n_full, family, "and the cache");
    free(want);

    const size_t T = full.n_before / layouts[l].n_images;
    const pruning some = keep(T / 2, 0.0), merged = keep(T / 2, 0.5);
    check(session_run(s, chunks, &some, &half) == EXIT_OK, family, "half of them kept");
    const size_t n_gone = layouts[l].n_images * (T - T / 2);
    snprintf(what, sizeof what, "%s: %zu of %zu cells", layouts[l].name, n_full - n_gone, n_full);
    check(half.n_after == full.n_before - n_gone && n_cells(s) == n_full - n_gone, family, what);
    const llama_pos behind = is_mrope ? full.n_past : full.n_past - (llama_pos)n_gone;
    const llama_pos last = llama_memory_seq_pos_max(llama_get_memory(s->context), 0);
    snprintf(what, sizeof what, "%s: what follows stands at %d", layouts[l].name, (int)behind);
    check(half.n_past == behind && last == behind - 1, family, what);

    /* In slices of 7: the same bits, where the image is causal. */
    float *const whole = copy_logits(s);
    const int32_t n_batch = s->n_batch;
    const mtmd_input_chunk *image = NULL;
    for (size_t i = 0; i < mtmd_input_chunks_size(chunks); i++)
        if (mtmd_input_chunk_get_type(mtmd_input_chunks_get(chunks, i)) ==
            MTMD_INPUT_CHUNK_TYPE_IMAGE)
            image = mtmd_input_chunks_get(chunks, i);
    s->n_batch = mtmd_decode_use_non_causal(s->vision, image) ? n_batch : 7;
    check(session_run(s, chunks, &some, &sliced) == EXIT_OK, family, "in slices");
    check(whole != NULL && memcmp(whole, session_logits(s), n_vocab * sizeof *whole) == 0 &&
              n_cells(s) == n_full - n_gone,
        family, "the same bits in slices");
    s->n_batch = n_batch;
    check(session_run(s, chunks, &merged, &sliced) == EXIT_OK && whole != NULL &&
              memcmp(whole, session_logits(s), n_vocab * sizeof *whole) != 0 &&
              n_cells(s) == n_full - n_gone,
        family, "merged rows are others, and as many");
    free(whole);
    mtmd_input_chunks_free(chunks);
}

/* The rows' planes do not reach the choice, which is that of a dense copy of the main features; and
 * the rows are decoded at their own places, as a plain loop over one token at a time has it. */
static void test_rows(session *s, const char *family, char *picture) {
    mtmd_input_chunks *const chunks = session_chunks(s, layouts[0].prompt, &picture, 1);
    const size_t W = (size_t)llama_model_n_embd_inp(s->model);
    const size_t D = (size_t)llama_model_n_embd(s->model), n_vocab = session_n_vocab(s);
    const int is_mrope = mtmd_decode_use_mrope(s->vision);
    for (size_t i = 0; chunks != NULL && i < mtmd_input_chunks_size(chunks); i++) {
        const mtmd_input_chunk *const chunk = mtmd_input_chunks_get(chunks, i);
        const size_t T = mtmd_input_chunk_get_n_tokens(chunk), K = T / 3;
        if (mtmd_input_chunk_get_type(chunk) != MTMD_INPUT_CHUNK_TYPE_IMAGE) continue;
        const pruning how = keep(K, 0.0);
        int32_t *const a = calloc(2 * T, sizeof *a), *const b = a + T;
        float *const rows = malloc(T * W * sizeof *rows), *const dense =
                                                              malloc(T * D * sizeof *dense);
        llama_pos *const at = calloc(4 * T, sizeof *at), n_past = 5;
        size_t n_kept = 0;
        prunesid_details details = prunesid_details_init();
        int holds = mtmd_encode_chunk(s->vision, chunk) == 0 && a != NULL && rows != NULL;
        memcpy(rows, mtmd_get_output_embd(s->vision), T * W * sizeof *rows);
        for (size_t t = 0; t < T; t++) memcpy(dense + t * D, rows + t * W, D * sizeof *dense);
        prunesid_input input = prunesid_input_init(dense, PRUNESID_F32, T, D);
        holds =
            holds && prunesid_select_alloc(&how.config, &input, a, T, NULL, NULL) == PRUNESID_OK &&
            prune_image(s->vision, s->model, chunk, &how.config, NULL, 0.0, b, &n_kept, &details) ==
                PRUNESID_OK;
        check(holds && n_kept == K && memcmp(a, b, K * sizeof *a) == 0, family,
            "chosen as from a dense copy");
        if (W > D) check(W == 3 * D, family, "rows have two planes behind their features");

        llama_memory_clear(llama_get_memory(s->context), true);
        holds = decode_image(s->vision, s->context, chunk, b, K, (size_t)s->n_batch, &n_past) == 0;
        check(holds && stands_right(s, chunk, b, K), family, "each kept token's cell");
        float *const want = copy_logits(s);
        for (size_t j = 0; j < K; j++) {
            const struct mtmd_decoder_pos own = mtmd_image_tokens_get_decoder_pos(
                mtmd_input_chunk_get_tokens_image(chunk), 5, (size_t)a[j]);
            memcpy(rows + j * W, rows + (size_t)a[j] * W, W * sizeof *rows);
            at[j] = is_mrope ? (llama_pos)own.t : 5 + (llama_pos)j;
            if (!is_mrope) continue;
            at[K + j] = (llama_pos)own.y;
            at[2 * K + j] = (llama_pos)own.x;
            at[3 * K + j] = (llama_pos)own.z;
        }
        const struct llama_batch batch = {(int32_t)K, NULL, rows, at, NULL, NULL, NULL};
        llama_memory_clear(llama_get_memory(s->context), true);
        const int is_causal = !mtmd_decode_use_non_causal(s->vision, chunk);
        llama_set_causal_attn(s->context, is_causal);
        holds = holds && llama_decode(s->context, batch) == 0;
        llama_set_causal_attn(s->context, true);
        check(holds && want != NULL && memcmp(want, session_logits(s), n_vocab * sizeof *want) == 0,
            family, "rows and places as a plain loop has them");
        free(want);
        free(a);
        free(rows);
        free(dense);
        free(at);
    }
    if (chunks != NULL) mtmd_input_chunks_free(chunks);
}

int main(int argc, char **argv) {
    static const char *const families[] = {"llava", "qwen3vl", "gemma3"};
    char model[1024], mmproj[1024], picture[1024];
    if (argc != 2) return usage_error("one folder");
    snprintf(picture, sizeof picture, "%s/picture.ppm", argv[1]);
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        session s;
        snprintf(model, sizeof model, "%s/%s/model.gguf", argv[1], families[f]);
        snprintf(mmproj, sizeof mmproj, "%s/%s/mmproj.gguf", argv[1], families[f]);
        if (session_open(&s, model, mmproj, 1024, 256, 1) == EXIT_OK) {
            for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++)
                test_layout(&s, families[f], picture, l);
            test_rows(&s, families[f], picture);
        } else {
            n_failed++;
        }
        session_close(&s);
    }
    printf("%d failed\n", n_failed);
    return n_failed > 0;
}
