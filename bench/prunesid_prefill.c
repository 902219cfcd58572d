/* prunesid_prefill.c - times decoder layers with all visual tokens and with those kept.
 * MIT licence.
 *
 * README.md beside this file defines every number. */
#include "bench.h"
#include "decoder.h"
#include "prunesid.h"

#include <math.h>
#include <string.h>

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
enum { N_MODELS = sizeof models / sizeof *models, CUSTOM = N_MODELS - 1 };

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

/* By the place in models; NULL behind the last. */
static const char *model_name(size_t number) {
    return number < N_MODELS ? models[number].name : NULL;
}

static const option table[N_OPTIONS] = {
    [OPTION_MODEL] = {"--model", "NAME", "the decoder:", option_choice, .choice = model_name},
    [OPTION_VISUAL] = {"--visual", "T", "visual tokens (default: the model's)", option_count,
        .least = 1},
    [OPTION_KEEP] = {"--keep", "N", "visual tokens to keep (default: the model's)", option_count,
        .least = 1},
    [OPTION_TEXT] = {"--text", "n", "text tokens behind them", option_count, .number = 64},
    [OPTION_LAYERS] = {"--layers", "l", "layers that are really run", option_count, .number = 1,
        .least = 1},
    [OPTION_THREADS] = {"--threads", "n", "of OpenBLAS, for the whole run", option_count,
        .number = 1, .least = 1},
    [OPTION_REPS] = {"--reps", "r", "timed runs of each", option_count, .number = 3, .least = 1},
    [OPTION_JSON] = {"--json", .help = "prints one JSON object"},
    [OPTION_HIDDEN] = {"--hidden", "h", "channels", option_count, .number = 512, .least = 1,
        .heading = "--model custom:"},
    [OPTION_HEADS] = {"--heads", "q", "query heads", option_count, .number = 8, .least = 1},
    [OPTION_KV_HEADS] = {"--kv-heads", "k", "key heads", option_count, .number = 8, .least = 1},
    [OPTION_MLP] = {"--mlp", "m", "width of the MLP", option_count, .number = 1408, .least = 1},
    [OPTION_DEPTH] = {"--depth", "L", "layers of the model", option_count, .number = 8, .least = 1},
    [OPTION_DIM] = {"--dim", "d", "channels of a visual token", option_count, .number = 256,
        .least = 1},
};

const options_program program = {.name = "prunesid_prefill",
    .about = "Times decoder layers with all visual tokens and with those that prunesid_select "
             "keeps.\n\nusage: prunesid_prefill [options]",
    .table = table,
    .n_options = N_OPTIONS};

static option_value values[N_OPTIONS];

static size_t given_or(size_t which, size_t otherwise) {
    return values[which].given ? values[which].number : otherwise;
}

/* The model that the command line asks for. */
static int choose_model(model *out) {
    const int is_custom = values[OPTION_MODEL].number == CUSTOM;
    for (size_t i = OPTION_HIDDEN; i < N_OPTIONS; i++)
        if (values[i].given && !is_custom)
            return usage_error("%s is for --model custom", table[i].name);
    *out = models[values[OPTION_MODEL].number];
    out->visual = given_or(OPTION_VISUAL, out->visual);
    out->keep = given_or(OPTION_KEEP, out->keep);
    if (!is_custom) return GO_ON;
    decoder_shape *const shape = &out->shape;
    shape->hidden = values[OPTION_HIDDEN].number;
    shape->n_heads = values[OPTION_HEADS].number;
    shape->n_kv_heads = values[OPTION_KV_HEADS].number;
    shape->mlp = values[OPTION_MLP].number;
    out->n_layers = values[OPTION_DEPTH].number;
    out->dim = values[OPTION_DIM].number;
    if (shape->hidden % (2 * shape->n_heads) != 0)
        return report("--hidden", "must be an even number of channels for each of --heads");
    if (shape->n_heads % shape->n_kv_heads != 0) return report("--kv-heads", "must divide --heads");
    return GO_ON;
}

/* ---- made-up numbers ---------------------------------------------------------------------- */

/* Uniform, of the variance that keeps a product with n_inputs numbers at the size of its input. Two
 * random numbers of 32 bits at a time: a layer has 230 million. */
static float *new_weights(size_t n_rows, size_t n_inputs, uint64_t *state) {
    const size_t n = n_rows * n_inputs;
    float *const w = bench_floats(n_rows, n_inputs);
    const float scale = (float)(sqrt(3.0 / (double)n_inputs) / 2147483648.0);
    for (size_t i = 0; i < n; i += 2) {
        const uint64_t bits = random_bits(state);
        w[i] = scale * (float)(int32_t)(uint32_t)bits;
        if (i + 1 < n) w[i + 1] = scale * (float)(int32_t)(uint32_t)(bits >> 32);
    }
    return w;
}

static float *new_ones(size_t n) {
    float *const w = bench_floats(1, n);
    for (size_t i = 0; i < n; i++) w[i] = 1.0f;
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
    prunesid_input input; /* [visual, dim] as they leave the vision encoder */
    int32_t *kept;        /* [n_kept] */
    size_t n_kept;
    void *workspace;
    size_t workspace_bytes;
} job;

typedef struct samples {
    double *full, *select, *pruned;
    double cores_used; /* while all this was timed */
} samples;

static double run_decoder(job *j, size_t n_tokens) {
    const uint64_t start = bench_clock_ns();
    decoder_run(&j->m.shape, &j->weights, values[OPTION_LAYERS].number, j->x, n_tokens, j->memory);
    return bench_ms_since(start);
}

static double run_full(job *j) {
    const size_t n = j->m.visual + values[OPTION_TEXT].number;
    memcpy(j->x, j->embeddings, n * j->m.shape.hidden * sizeof *j->x);
    return run_decoder(j, n);
}

/* The selection, and moving the embeddings of the kept tokens to the front. */
static prunesid_status run_select(job *j, double *ms) {
    const size_t row_bytes = j->m.shape.hidden * sizeof *j->x;
    const uint64_t start = bench_clock_ns();
    prunesid_status status = prunesid_select(
        &j->config, &j->input, j->workspace, j->workspace_bytes, j->kept, j->n_kept, NULL);
    if (status == PRUNESID_OK)
        status = prunesid_gather(
            j->embeddings, j->m.visual, row_bytes, row_bytes, j->kept, j->n_kept, j->x, row_bytes);
    *ms = bench_ms_since(start);
    return status;
}

/* After run_select: the kept tokens, then the text. */
static double run_pruned(job *j) {
    const size_t hidden = j->m.shape.hidden, n_text = values[OPTION_TEXT].number;
    memcpy(j->x + j->n_kept * hidden, j->embeddings + j->m.visual * hidden,
        n_text * hidden * sizeof *j->x);
    return run_decoder(j, j->n_kept + n_text);
}

/* Turn by turn, after a pruned turn that warms up. */
static prunesid_status run_all(job *j, samples *s) {
    const size_t n = values[OPTION_REPS].number;
    uint64_t progress = 0;
    double ms;
    s->full = (double *)bench_allocate(n, sizeof *s->full);
    s->select = (double *)bench_allocate(n, sizeof *s->select);
    s->pruned = (double *)bench_allocate(n, sizeof *s->pruned);
    prunesid_status status = run_select(j, &ms);
    if (status == PRUNESID_OK) run_pruned(j);
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
    const size_t n = values[OPTION_REPS].number, n_run = values[OPTION_LAYERS].number;
    const double up = (double)j->m.n_layers / (double)n_run;
    result r;
    r.full_ms = bench_median(s->full, n);
    r.select_ms = bench_median(s->select, n);
    r.pruned_ms = bench_median(s->pruned, n);
    r.speedup = r.full_ms / (r.select_ms + r.pruned_ms);
    r.full_gflops = decoder_flops(&j->m.shape, j->m.visual + values[OPTION_TEXT].number) *
                    (double)n_run / r.full_ms * 1e-6;
    r.model_full_ms = r.full_ms * up;
    r.model_pruned_ms = r.pruned_ms * up;
    r.model_speedup = r.model_full_ms / (r.select_ms + r.model_pruned_ms);
    return r;
}

static void print_json(const job *j, const samples *s, const result *r) {
    const decoder_shape *const shape = &j->m.shape;
    printf("{\"model\": \"%s\", \"visual\": %zu, \"keep\": %zu, \"kept\": %zu, \"text\": %zu",
        j->m.name, j->m.visual, j->m.keep, j->n_kept, values[OPTION_TEXT].number);
    printf(", \"hidden\": %zu, \"heads\": %zu, \"kv_heads\": %zu, \"mlp\": %zu, \"dim\": %zu",
        shape->hidden, shape->n_heads, shape->n_kv_heads, shape->mlp, j->m.dim);
    printf(", \"threads\": %zu, \"reps\": %zu, \"corename\": \"%s\", \"cores_used\": %.4g",
        values[OPTION_THREADS].number, values[OPTION_REPS].number, openblas_get_corename(),
        s->cores_used);
    printf(", \"layers_run\": %zu, \"layers_model\": %zu", values[OPTION_LAYERS].number,
        j->m.n_layers);
    printf(", \"full_ms\": %.6g, \"select_ms\": %.6g, \"pruned_ms\": %.6g, \"speedup\": %.6g",
        r->full_ms, r->select_ms, r->pruned_ms, r->speedup);
    printf(", \"full_gflops\": %.6g", r->full_gflops);
    printf(", \"extrapolated\": {\"layers\": %zu, \"full_ms\": %.6g, \"select_ms\": %.6g"
           ", \"pruned_ms\": %.6g, \"speedup\": %.6g}}\n",
        j->m.n_layers, r->model_full_ms, r->select_ms, r->model_pruned_ms, r->model_speedup);
}

static void print_table(const job *j, const samples *s, const result *r) {
    const size_t n_text = values[OPTION_TEXT].number, n_run = values[OPTION_LAYERS].number;
    printf("%s: %zu of %zu visual tokens kept, %zu text tokens, %zu thread%s, %s kernels,"
           " median of %zu\n\n",
        j->m.name, j->n_kept, j->m.visual, n_text, values[OPTION_THREADS].number,
        values[OPTION_THREADS].number > 1 ? "s" : "", openblas_get_corename(),
        values[OPTION_REPS].number);
    printf("%-28s %12s %20s\n", "", "measured", "extrapolated to");
    printf("%-28s %12zu %20zu\n", "layers", n_run, j->m.n_layers);
    printf("full: %6zu tokens, ms      %12.1f %20.1f\n", j->m.visual + n_text, r->full_ms,
        r->model_full_ms);
    printf("%-28s %12.3f %20.3f\n", "select and gather, ms", r->select_ms, r->select_ms);
    printf("pruned: %4zu tokens, ms      %12.1f %20.1f\n", j->n_kept + n_text, r->pruned_ms,
        r->model_pruned_ms);
    printf("%-28s %11.2fx %19.2fx\n", "full / (select + pruned)", r->speedup, r->model_speedup);
    printf("\n%-22s %10.1f GFLOP/s\n", "full layers", r->full_gflops);
    bench_print_cores_used(s->cores_used);
    if (r->model_speedup <= 1.0) printf("Here pruning does not pay.\n");
}

/* ---- setting up --------------------------------------------------------------------------- */

static prunesid_status set_up(job *j) {
    const size_t n = j->m.visual + values[OPTION_TEXT].number, hidden = j->m.shape.hidden;
    const size_t n_memory = decoder_memory_floats(&j->m.shape, n);
    uint64_t state = 1;
    j->weights = new_layer(&j->m, &state);
    j->embeddings = new_weights(n, hidden, &state);
    j->x = bench_floats(n, hidden);
    j->memory = bench_floats(1, n_memory);
    memset(j->x, 0, n * hidden * sizeof *j->x); /* or the first turn would pay for the pages */
    memset(j->memory, 0, n_memory * sizeof *j->memory);
    const size_t T = j->m.visual, d = j->m.dim;
    j->input = prunesid_input_init(bench_tokens(T, d, 1), PRUNESID_F32, T, d);
    j->config = prunesid_config_init(PRUNESID_AUTO, j->m.keep);
    const prunesid_status status = prunesid_workspace_size(&j->config, T, d, &j->workspace_bytes);
    if (status != PRUNESID_OK) return status;
    j->workspace = bench_allocate(1, j->workspace_bytes);
    j->n_kept = prunesid_n_kept(&j->config, T);
    j->kept = (int32_t *)bench_allocate(j->n_kept, sizeof *j->kept);
    return PRUNESID_OK;
}

int main(int argc, char **argv) {
    static job j;
    static samples s;
    options given = {.of = values};
    int status = options_parse(argc, argv, &given);
    if (status == GO_ON) status = choose_model(&j.m);
    if (status != GO_ON) return status;
    openblas_set_num_threads((int)values[OPTION_THREADS].number);
    prunesid_status done = set_up(&j);
    if (done == PRUNESID_OK) done = run_all(&j, &s);
    if (done != PRUNESID_OK) return report("select", "%s", prunesid_status_string(done));
    const result r = summarise(&j, &s);
    if (values[OPTION_JSON].given)
        print_json(&j, &s, &r);
    else
        print_table(&j, &s, &r);
    return finish_printing();
}
