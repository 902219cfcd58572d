/* prunesid_prefill.c - times decoder layers with all visual tokens and with those kept.
 * MIT licence.
 *
 * README.md beside this file defines every number. */
#define BENCH_NAME "prunesid_prefill"
#include "bench.h"
#include "decoder.h"
#include "prunesid.h"
#include "tokens.h"

/* A language model, and the width and number of the visual tokens that its pruner sees. */
typedef struct model {
    const char *name;
    decoder_shape shape;
    int has_bias;
    size_t n_layers, dim, visual, keep;
} model;

static const model models[] = {
    {"llava-1.5-7b", {4096, 32, 32, 11008, 10000.0, 1e-5}, 0, 32, 1024, 576, 64},
    {"llava-next-7b", {4096, 32, 32, 11008, 10000.0, 1e-5}, 0, 32, 1024, 2880, 160},
    {"qwen2-vl-7b", {3584, 28, 4, 18944, 1000000.0, 1e-6}, 1, 28, 3584, 1024, 114},
    {"custom", {512, 8, 8, 1408, 10000.0, 1e-5}, 0, 8, 256, 576, 64},
};
enum { CUSTOM = sizeof models / sizeof *models - 1 };

/* ---- the command line --------------------------------------------------------------------- */

enum {
    OPTION_MODEL,
    OPTION_VISUAL,
    OPTION_KEEP,
    OPTION_TEXT,
    OPTION_LAYERS,
    OPTION_THREADS,
    OPTION_REPS,
    OPTION_JSON,
    OPTION_HIDDEN, /* from here on for custom */
    OPTION_HEADS,
    OPTION_KV_HEADS,
    OPTION_MLP,
    OPTION_DEPTH,
    OPTION_DIM,
    N_OPTIONS
};

static const char *const model_names[] = {
    "llava-1.5-7b", "llava-next-7b", "qwen2-vl-7b", "custom", NULL};

static bench_option options[N_OPTIONS] = {
    [OPTION_MODEL] = {"--model", "the decoder", BENCH_CHOICE, 0, 0, model_names, 0, 0},
    [OPTION_VISUAL] = {"--visual", "T, visual tokens (default: the model's)", BENCH_COUNT, 0, 1, 0,
        0, 0},
    [OPTION_KEEP] = {"--keep", "N, visual tokens to keep (default: the model's)", BENCH_COUNT, 0, 1,
        0, 0, 0},
    [OPTION_TEXT] = {"--text", "text tokens behind them", BENCH_COUNT, 64, 0, 0, 0, 0},
    [OPTION_LAYERS] = {"--layers", "layers that are really run", BENCH_COUNT, 1, 1, 0, 0, 0},
    [OPTION_THREADS] = {"--threads", "of OpenBLAS, for the whole run", BENCH_COUNT, 1, 1, 0, 0, 0},
    [OPTION_REPS] = {"--reps", "timed runs of each", BENCH_COUNT, 3, 1, 0, 0, 0},
    [OPTION_JSON] = {"--json", "prints one JSON object", BENCH_FLAG, 0, 0, 0, 0, 0},
    [OPTION_HIDDEN] = {"--hidden", "custom: channels", BENCH_COUNT, 512, 1, 0, 0, 0},
    [OPTION_HEADS] = {"--heads", "custom: query heads", BENCH_COUNT, 8, 1, 0, 0, 0},
    [OPTION_KV_HEADS] = {"--kv-heads", "custom: key heads", BENCH_COUNT, 8, 1, 0, 0, 0},
    [OPTION_MLP] = {"--mlp", "custom: width of the MLP", BENCH_COUNT, 1408, 1, 0, 0, 0},
    [OPTION_DEPTH] = {"--depth", "custom: layers of the model", BENCH_COUNT, 8, 1, 0, 0, 0},
    [OPTION_DIM] = {"--dim", "custom: channels of a visual token", BENCH_COUNT, 256, 1, 0, 0, 0},
};

static size_t number_of(size_t option) {
    return options[option].number;
}

static size_t given_or(size_t option, size_t otherwise) {
    return options[option].given ? number_of(option) : otherwise;
}

/* The model that the command line asks for. */
static int choose_model(model *out) {
    *out = models[number_of(OPTION_MODEL)];
    for (size_t i = OPTION_HIDDEN; i < N_OPTIONS; i++) {
        if (options[i].given && number_of(OPTION_MODEL) != CUSTOM) {
            return bench_usage_error("%s is for --model custom", options[i].name);
        }
    }
    out->visual = given_or(OPTION_VISUAL, out->visual);
    out->keep = given_or(OPTION_KEEP, out->keep);
    if (number_of(OPTION_MODEL) != CUSTOM) {
        return BENCH_GO_ON;
    }
    decoder_shape *const shape = &out->shape;
    shape->hidden = number_of(OPTION_HIDDEN);
    shape->n_heads = number_of(OPTION_HEADS);
    shape->n_kv_heads = number_of(OPTION_KV_HEADS);
    shape->mlp = number_of(OPTION_MLP);
    out->n_layers = number_of(OPTION_DEPTH);
    out->dim = number_of(OPTION_DIM);
    if (shape->hidden % (2 * shape->n_heads) != 0) {
        return bench_report("--hidden: must be an even number of channels for each of --heads");
    }
    if (shape->n_heads % shape->n_kv_heads != 0) {
        return bench_report("--kv-heads: must divide --heads");
    }
    return BENCH_GO_ON;
}

/* ---- made-up numbers ---------------------------------------------------------------------- */

/* Uniform, of the variance that keeps a product with n_inputs numbers at the size of its input. Two
 * random numbers of 32 bits at a time: a layer has 230 million. */
static float *new_weights(size_t n_rows, size_t n_inputs, uint64_t *state) {
    const size_t n = n_rows * n_inputs;
    float *const w = bench_floats(n_rows, n_inputs);
    const float scale = (float)(sqrt(3.0 / (double)n_inputs) / 2147483648.0);
    for (size_t i = 0; i < n; i += 2) {
        const uint64_t bits = tokens_random_bits(state);
        w[i] = scale * (float)(int32_t)(uint32_t)bits;
        if (i + 1 < n) {
            w[i + 1] = scale * (float)(int32_t)(uint32_t)(bits >> 32);
        }
    }
    return w;
}

static float *new_ones(size_t n) {
    float *const w = bench_floats(1, n);
    for (size_t i = 0; i < n; i++) {
        w[i] = 1.0f;
    }
    return w;
}

static decoder_weights new_layer(const model *m, uint64_t *state) {
    const size_t hidden = m->shape.hidden, width = decoder_qkv_width(&m->shape);
    const decoder_weights w = {.attention_norm = new_ones(hidden),
        .qkv = new_weights(width, hidden, state),
        .qkv_bias = m->has_bias ? new_weights(width, 1, state) : NULL,
        .out = new_weights(hidden, hidden, state),
        .mlp_norm = new_ones(hidden),
        .gate_up = new_weights(2 * m->shape.mlp, hidden, state),
        .down = new_weights(hidden, m->shape.mlp, state)};
    return w;
}

/* ---- what is timed ------------------------------------------------------------------------ */

typedef struct job {
    model m;
    decoder_weights weights;
    float *embeddings; /* [visual + text, hidden] as they enter the decoder */
    float *x;          /* the same, where the decoder works */
    float *memory;     /* of decoder_run */
    prunesid_config config;
    prunesid_tokens tokens; /* [visual, dim] as they leave the vision encoder */
    prunesid_output out;
    void *workspace;
    size_t workspace_bytes;
} job;

typedef struct samples {
    double *full, *select, *pruned;
    double cores_used; /* while all this was timed */
} samples;

static double run_decoder(job *j, size_t n_tokens) {
    const uint64_t start = bench_clock_ns();
    decoder_run(&j->m.shape, &j->weights, number_of(OPTION_LAYERS), j->x, n_tokens, j->memory);
    return bench_ms_since(start);
}

static double run_full(job *j) {
    const size_t n = j->m.visual + number_of(OPTION_TEXT);
    memcpy(j->x, j->embeddings, n * j->m.shape.hidden * sizeof *j->x);
    return run_decoder(j, n);
}

/* The selection, and moving the embeddings of the kept tokens to the front. */
static prunesid_status run_select(job *j, double *ms) {
    const size_t row_bytes = j->m.shape.hidden * sizeof *j->x;
    const uint64_t start = bench_clock_ns();
    prunesid_status status =
        prunesid_select(&j->config, &j->tokens, NULL, j->workspace, j->workspace_bytes, &j->out);
    if (status == PRUNESID_OK) {
        status = prunesid_gather(j->embeddings, j->m.visual, row_bytes, row_bytes, j->out.indices,
            j->out.n_kept, j->x, row_bytes);
    }
    *ms = bench_ms_since(start);
    return status;
}

/* After run_select: the kept tokens, then the text. */
static double run_pruned(job *j) {
    const size_t hidden = j->m.shape.hidden, n_text = number_of(OPTION_TEXT);
    memcpy(j->x + j->out.n_kept * hidden, j->embeddings + j->m.visual * hidden,
        n_text * hidden * sizeof *j->x);
    return run_decoder(j, j->out.n_kept + n_text);
}

/* Turn by turn, after a pruned turn that warms up. */
static prunesid_status run_all(job *j, samples *s) {
    const size_t n = number_of(OPTION_REPS);
    uint64_t progress = 0;
    double ms;
    s->full = (double *)bench_allocate(n, sizeof *s->full);
    s->select = (double *)bench_allocate(n, sizeof *s->select);
    s->pruned = (double *)bench_allocate(n, sizeof *s->pruned);
    prunesid_status status = run_select(j, &ms);
    if (status == PRUNESID_OK) {
        run_pruned(j);
    }
    const uint64_t start = bench_clock_ns(), cpu_start = bench_cpu_ns();
    for (size_t run = 0; run < n && status == PRUNESID_OK; run++) {
        bench_progress(&progress, "turn", run + 1, n);
        s->full[run] = run_full(j);
        status = run_select(j, &s->select[run]);
        s->pruned[run] = run_pruned(j);
    }
    s->cores_used = bench_cores_used(start, cpu_start);
    return status;
}

/* ---- results ------------------------------------------------------------------------------ */

typedef struct result {
    double full_ms, select_ms, pruned_ms, speedup; /* of the layers that were run */
    double full_gflops;
    double model_full_ms, model_pruned_ms, model_speedup; /* extrapolated to the whole model */
} result;

static result summarise(const job *j, samples *s) {
    const size_t n = number_of(OPTION_REPS), n_run = number_of(OPTION_LAYERS);
    const double up = (double)j->m.n_layers / (double)n_run;
    result r;
    r.full_ms = bench_median(s->full, n);
    r.select_ms = bench_median(s->select, n);
    r.pruned_ms = bench_median(s->pruned, n);
    r.speedup = r.full_ms / (r.select_ms + r.pruned_ms);
    r.full_gflops = decoder_flops(&j->m.shape, j->m.visual + number_of(OPTION_TEXT)) *
                    (double)n_run / r.full_ms * 1e-6;
    r.model_full_ms = r.full_ms * up;
    r.model_pruned_ms = r.pruned_ms * up;
    r.model_speedup = r.model_full_ms / (r.select_ms + r.model_pruned_ms);
    return r;
}

static void print_json(const job *j, const samples *s, const result *r) {
    const decoder_shape *const shape = &j->m.shape;
    printf("{\"model\": \"%s\", \"visual\": %zu, \"keep\": %zu, \"kept\": %zu, \"text\": %zu",
        j->m.name, j->m.visual, j->m.keep, j->out.n_kept, number_of(OPTION_TEXT));
    printf(", \"hidden\": %zu, \"heads\": %zu, \"kv_heads\": %zu, \"mlp\": %zu, \"dim\": %zu",
        shape->hidden, shape->n_heads, shape->n_kv_heads, shape->mlp, j->m.dim);
    printf(", \"threads\": %zu, \"reps\": %zu, \"corename\": \"%s\", \"cores_used\": %.4g",
        number_of(OPTION_THREADS), number_of(OPTION_REPS), openblas_get_corename(), s->cores_used);
    printf(", \"layers_run\": %zu, \"layers_model\": %zu", number_of(OPTION_LAYERS), j->m.n_layers);
    printf(", \"full_ms\": %.6g, \"select_ms\": %.6g, \"pruned_ms\": %.6g, \"speedup\": %.6g",
        r->full_ms, r->select_ms, r->pruned_ms, r->speedup);
    printf(", \"full_gflops\": %.6g", r->full_gflops);
    printf(", \"extrapolated\": {\"layers\": %zu, \"full_ms\": %.6g, \"select_ms\": %.6g"
           ", \"pruned_ms\": %.6g, \"speedup\": %.6g}}\n",
        j->m.n_layers, r->model_full_ms, r->select_ms, r->model_pruned_ms, r->model_speedup);
}

static void print_table(const job *j, const samples *s, const result *r) {
    const size_t n_text = number_of(OPTION_TEXT), n_run = number_of(OPTION_LAYERS);
    printf("%s: %zu of %zu visual tokens kept, %zu text tokens, %zu thread%s, %s kernels,"
           " median of %zu\n\n",
        j->m.name, j->out.n_kept, j->m.visual, n_text, number_of(OPTION_THREADS),
        number_of(OPTION_THREADS) > 1 ? "s" : "", openblas_get_corename(), number_of(OPTION_REPS));
    printf("%-28s %12s %20s\n", "", "measured", "extrapolated to");
    printf("%-28s %12zu %20zu\n", "layers", n_run, j->m.n_layers);
    printf("full: %6zu tokens, ms      %12.1f %20.1f\n", j->m.visual + n_text, r->full_ms,
        r->model_full_ms);
    printf("%-28s %12.3f %20.3f\n", "select and gather, ms", r->select_ms, r->select_ms);
    printf("pruned: %4zu tokens, ms      %12.1f %20.1f\n", j->out.n_kept + n_text, r->pruned_ms,
        r->model_pruned_ms);
    printf("%-28s %11.2fx %19.2fx\n", "full / (select + pruned)", r->speedup, r->model_speedup);
    printf("\n%-22s %10.1f GFLOP/s\n", "full layers", r->full_gflops);
    bench_print_cores_used(s->cores_used);
    if (r->model_speedup <= 1.0) {
        printf("Here pruning does not pay.\n");
    }
}

/* ---- setting up --------------------------------------------------------------------------- */

static void set_up(job *j) {
    const size_t n = j->m.visual + number_of(OPTION_TEXT), hidden = j->m.shape.hidden;
    const size_t n_memory = decoder_memory_floats(&j->m.shape, n);
    uint64_t state = 1;
    j->weights = new_layer(&j->m, &state);
    j->embeddings = new_weights(n, hidden, &state);
    j->x = bench_floats(n, hidden);
    j->memory = bench_floats(1, n_memory);
    memset(j->x, 0, n * hidden * sizeof *j->x); /* or the first turn would pay for the pages */
    memset(j->memory, 0, n_memory * sizeof *j->memory);
    j->config = prunesid_config_init(PRUNESID_AUTO, j->m.visual, j->m.dim, j->m.keep);
    j->workspace_bytes = prunesid_workspace_size(&j->config);
    j->workspace = bench_allocate(1, j->workspace_bytes);
    j->out = prunesid_output_init((int32_t *)bench_allocate(j->m.visual, sizeof(int32_t)));
}

int main(int argc, char **argv) {
    static job j;
    static samples s;
    int status = bench_parse(argc, argv,
        "Times decoder layers with all visual tokens and with those that prunesid_select keeps.",
        options, N_OPTIONS);
    if (status == BENCH_GO_ON) {
        status = choose_model(&j.m);
    }
    if (status != BENCH_GO_ON) {
        return status;
    }
    openblas_set_num_threads((int)number_of(OPTION_THREADS));
    float *const tokens = bench_floats(j.m.visual, j.m.dim);
    if (tokens_fill(tokens, j.m.visual, j.m.dim, 1) != 0) {
        return bench_report("memory: no room for the made-up tokens");
    }
    j.tokens = prunesid_tokens_view(tokens, PRUNESID_F32, j.m.visual, j.m.dim);
    set_up(&j);
    const prunesid_status done = run_all(&j, &s);
    if (done != PRUNESID_OK) {
        return bench_report("%s", prunesid_status_string(done));
    }
    const result r = summarise(&j, &s);
    if (number_of(OPTION_JSON)) {
        print_json(&j, &s, &r);
    } else {
        print_table(&j, &s, &r);
    }
    return bench_finish_printing();
}
