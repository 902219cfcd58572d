/* session.h - a vision-language model in llama.cpp, and one prompt with pictures through it, with
 * pruning or without.   MIT licence. */
#ifndef SESSION_H
#define SESSION_H

#include <math.h>
#include <sys/stat.h>
#include <time.h>

#include "options.h"
#include "recipe.h"

typedef struct session {
    struct llama_model *model;
    struct llama_context *context;
    mtmd_context *vision;
    int32_t n_batch;
} session;

/* What one prompt took. Times in ms; first_ms: from its beginning to the first token's logits. */
typedef struct outcome {
    size_t n_images, n_before, n_after; /* visual tokens */
    double rho;                         /* mean over the images */
    double encode_ms, select_ms, prefill_ms, first_ms;
    llama_pos n_past; /* where what follows would stand */
} outcome;

static inline double session_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static inline void session_be_quiet(enum lm_ggml_log_level level, const char *text, void *user) {
    (void)level;
    (void)text;
    (void)user;
}

static inline int session_is_file(const char *path) {
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

static inline void session_close(session *s) {
    if (s->vision != NULL) mtmd_free(s->vision);
    if (s->context != NULL) llama_free(s->context);
    if (s->model != NULL) llama_model_free(s->model);
}

/* EXIT_OK; or EXIT_BAD_INPUT after standard error says what is wrong with the files. */
static inline int session_open(session *s, const char *model, const char *mmproj, uint32_t n_ctx,
    int32_t n_batch, int32_t n_threads) {
    memset(s, 0, sizeof *s);
    llama_log_set(session_be_quiet, NULL);
    mtmd_log_set(session_be_quiet, NULL);
    mtmd_helper_log_set(session_be_quiet, NULL);
    llama_backend_init();
    if (!session_is_file(model)) return report(model, "not a file");
    if (!session_is_file(mmproj)) return report(mmproj, "not a file: the vision part (mmproj)");
    struct llama_model_params of_model = llama_model_default_params();
    of_model.n_gpu_layers = 0;
    s->model = llama_model_load_from_file(model, of_model);
    if (s->model == NULL) return report(model, "not a model that this llama.cpp can load");
    const struct mtmd_caps caps = mtmd_get_cap_from_file(mmproj);
    if (!caps.inp_vision) return report(mmproj, "has no vision part: it is no mmproj file");
    struct mtmd_context_params of_vision = mtmd_context_params_default();
    of_vision.use_gpu = false;
    of_vision.print_timings = false;
    of_vision.warmup = false;
    of_vision.n_threads = n_threads;
    of_vision.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    s->vision = mtmd_init_from_file(mmproj, s->model, of_vision);
    if (s->vision == NULL) return report(mmproj, "does not fit %s", model);
    if (!mtmd_support_vision(s->vision)) return report(mmproj, "has no vision part");
    struct llama_context_params of_context = llama_context_default_params();
    of_context.n_ctx = n_ctx;
    of_context.n_batch = of_context.n_ubatch = (uint32_t)n_batch;
    of_context.n_threads = of_context.n_threads_batch = n_threads;
    of_context.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED; /* the same bits in any slices */
    s->context = llama_init_from_model(s->model, of_context);
    if (s->context == NULL) return report(model, "no memory for %u tokens", n_ctx);
    s->n_batch = (int32_t)llama_n_batch(s->context); /* no more than the context holds */
    return EXIT_OK;
}

/* The prompt's chunks: text, and an image where a marker stands. NULL after a message. */
static inline mtmd_input_chunks *session_chunks(
    const session *s, const char *prompt, char *const *images, size_t n_images) {
    mtmd_input_chunks *chunks = mtmd_input_chunks_init();
    mtmd_bitmap **const bitmaps = calloc(n_images + 1, sizeof *bitmaps);
    const mtmd_bitmap **const shown = calloc(n_images + 1, sizeof *shown);
    const mtmd_input_text text = {prompt, strlen(prompt), true, true};
    int is_good = chunks != NULL && bitmaps != NULL && shown != NULL;
    for (size_t i = 0; i < n_images && is_good; i++) {
        const int is_file = session_is_file(images[i]);
        if (is_file)
            bitmaps[i] = mtmd_helper_bitmap_init_from_file(s->vision, images[i], false).bitmap;
        shown[i] = bitmaps[i];
        is_good = bitmaps[i] != NULL;
        if (!is_good) report(images[i], is_file ? "not a picture" : "not a file");
    }
    const char *const marker = mtmd_default_marker();
    size_t n_markers = 0;
    for (const char *at = prompt; (at = strstr(at, marker)) != NULL; at++) n_markers++;
    if (chunks == NULL || bitmaps == NULL || shown == NULL) {
        report("the prompt", "out of memory");
    } else if (is_good && n_markers != n_images) {
        report("the prompt", "needs one %s for each of %zu images", marker, n_images);
        is_good = 0;
    } else if (is_good) {
        const int32_t said = mtmd_tokenize(s->vision, chunks, &text, shown, n_images);
        is_good = said == 0;
        if (!is_good) report("the prompt", "cannot be prepared: the engine says %d", (int)said);
    }
    const size_t n = is_good ? mtmd_input_chunks_size(chunks) : 0;
    if (is_good && mtmd_input_chunk_get_type(mtmd_input_chunks_get(chunks, n - 1)) !=
                       MTMD_INPUT_CHUNK_TYPE_TEXT) {
        report("the prompt", "needs text behind its last image");
        is_good = 0;
    }
    for (size_t i = 0; i < n_images && bitmaps != NULL; i++)
        if (bitmaps[i] != NULL) mtmd_bitmap_free(bitmaps[i]);
    free(bitmaps);
    free(shown);
    if (is_good) return chunks;
    if (chunks != NULL) mtmd_input_chunks_free(chunks);
    return NULL;
}

/* How an image is pruned. */
typedef struct pruning {
    prunesid_config config; /* with the budget of every image, */
    double ratio;           /* if this is not above 0: the part of its own tokens; */
    double phi_ref;         /* above 0: times phi / phi_ref */
    double merge;
} pruning;

static inline prunesid_status session_budget(
    const session *s, const pruning *how, size_t T, prunesid_config *config) {
    *config = how->config;
    config->clock_ns = NULL;
    if (how->ratio > 0.0) config->budget = config->reserved + (size_t)rint(how->ratio * (double)T);
    if (config->budget <= config->reserved) config->budget = config->reserved + 1;
    if (!(how->phi_ref > 0.0)) return PRUNESID_OK;
    prunesid_information information;
    prunesid_input input = prunesid_input_init(
        mtmd_get_output_embd(s->vision), PRUNESID_F32, T, (size_t)llama_model_n_embd_inp(s->model));
    input.dim = (size_t)llama_model_n_embd(s->model);
    size_t bytes = 0;
    prunesid_status status = prunesid_workspace_size(config, T, input.dim, &bytes);
    void *const workspace = status == PRUNESID_OK ? malloc(bytes) : NULL;
    if (status == PRUNESID_OK && workspace == NULL) status = PRUNESID_ERROR_ALLOCATION;
    if (status == PRUNESID_OK) status = prunesid_redundancy(&input, workspace, bytes, &information);
    free(workspace);
    if (status != PRUNESID_OK) return status;
    return prunesid_budget(information.phi, how->phi_ref, config->budget, config->reserved + 1,
        T + config->reserved, &config->budget);
}

/* An image: the engine's own way if how is NULL. */
static inline int session_image(
    session *s, const mtmd_input_chunk *chunk, const pruning *how, outcome *out) {
    const size_t T = mtmd_input_chunk_get_n_tokens(chunk);
    size_t n_kept = T;
    const double started = session_now_ms();
    int status = mtmd_encode_chunk(s->vision, chunk);
    double encoded = session_now_ms();
    out->encode_ms += encoded - started;
    out->n_images++;
    out->n_before += T;
    if (status != 0) return report("an image", "the encoder failed");
    int32_t *const kept = malloc(2 * T * sizeof *kept);
    if (kept == NULL) return report("an image", "out of memory");
    if (how != NULL) {
        prunesid_config config;
        prunesid_details details = prunesid_details_init();
        if (how->merge > 0.0) details.representative = kept + T;
        prunesid_status said = session_budget(s, how, T, &config);
        if (said == PRUNESID_OK)
            said = prune_image(
                s->vision, s->model, chunk, &config, NULL, how->merge, kept, &n_kept, &details);
        out->rho += details.stats.rho;
        out->select_ms += session_now_ms() - encoded;
        if (said != PRUNESID_OK) {
            free(kept);
            return report("an image", "%s", prunesid_status_string(said));
        }
    }
    out->n_after += n_kept;
    if (mtmd_decode_use_non_causal(s->vision, chunk) && n_kept > (size_t)s->n_batch) {
        free(kept);
        return report("an image",
            "%zu tokens do not fit one batch of %d, which this model's images have to", n_kept,
            (int)s->n_batch);
    }
    status = how == NULL ? mtmd_helper_decode_image_chunk(s->vision, s->context, chunk,
                               mtmd_get_output_embd(s->vision), out->n_past, 0, s->n_batch,
                               &out->n_past, NULL, NULL)
                         : decode_image(s->vision, s->context, chunk, kept, n_kept,
                               (size_t)s->n_batch, &out->n_past);
    out->prefill_ms += session_now_ms() - encoded;
    free(kept);
    return status == 0 ? EXIT_OK : report("an image", "llama_decode failed with %d", status);
}

/* All chunks from an empty memory on, up to the logits of the first token. EXIT_OK or, after a
 * message, EXIT_BAD_INPUT. */
static inline int session_run(
    session *s, const mtmd_input_chunks *chunks, const pruning *how, outcome *out) {
    const size_t n = mtmd_input_chunks_size(chunks);
    const double started = session_now_ms();
    memset(out, 0, sizeof *out);
    llama_memory_clear(llama_get_memory(s->context), true);
    for (size_t i = 0; i < n; i++) {
        const mtmd_input_chunk *const chunk = mtmd_input_chunks_get(chunks, i);
        if (mtmd_input_chunk_get_type(chunk) == MTMD_INPUT_CHUNK_TYPE_TEXT) {
            const double begun = session_now_ms();
            if (mtmd_helper_eval_chunk_single(s->vision, s->context, chunk, out->n_past, 0,
                    s->n_batch, i + 1 == n, &out->n_past) != 0)
                return report("the prompt", "llama_decode failed");
            out->prefill_ms += session_now_ms() - begun;
        } else {
            const int status = session_image(s, chunk, how, out);
            if (status != EXIT_OK) return status;
        }
    }
    out->first_ms = session_now_ms() - started;
    if (out->n_images > 0) out->rho /= (double)out->n_images;
    return EXIT_OK;
}

/* The logits [n_vocab] behind what was decided last, which the engine owns. */
static inline const float *session_logits(const session *s) {
    return llama_get_logits_ith(s->context, -1);
}

static inline size_t session_n_vocab(const session *s) {
    return (size_t)llama_vocab_n_tokens(llama_model_get_vocab(s->model));
}

/* Decodes one token at *n_past: EXIT_OK; GO_ON, if the context is full; or EXIT_BAD_INPUT after a
 * message. */
static inline int session_next(session *s, llama_token token, llama_pos *n_past) {
    llama_pos at[4] = {*n_past, *n_past, *n_past, 0};
    const struct llama_batch batch = {1, &token, NULL, at, NULL, NULL, NULL};
    const int status = llama_decode(s->context, batch);
    ++*n_past;
    if (status == 1) return GO_ON;
    return status == 0 ? EXIT_OK : report("a token", "llama_decode failed with %d", status);
}

static inline int session_is_end(const session *s, llama_token token) {
    return llama_vocab_is_eog(llama_model_get_vocab(s->model), token);
}

static inline llama_token session_likeliest(const session *s) {
    const float *const logits = session_logits(s);
    size_t best = 0;
    for (size_t i = 1; i < session_n_vocab(s); i++)
        if (logits[i] > logits[best]) best = i;
    return (llama_token)best;
}

#endif /* SESSION_H */
