/* prunesid_bench.c - times a selection, stage by stage, beside a T x T x d sgemm.   MIT licence.
 *
 * README.md beside this file defines every number. */
#define BENCH_NAME "prunesid_bench"
#include "bench.h"
#include "npy.h"
#include "prunesid.h"
#include "tokens.h"

enum { STAGE_SVD = 1, N_STAGES = 5, PEAK_SIDE = 768, MAX_REPS = 51, AUTO_MS = 10000 };
enum { MAX_SQUARE_BYTES = 1 << 28 }; /* of T x T at once; beyond, panels of rows */

static const char *const stage_names[N_STAGES] = {"sigmoid", "svd", "redundancy", "nms", "quotas"};

/* ---- the command line --------------------------------------------------------------------- */

enum {
    OPTION_TOKENS,
    OPTION_DIM,
    OPTION_KEEP,
    OPTION_PRESET,
    OPTION_SVD,
    OPTION_THREADS,
    OPTION_REPS,
    OPTION_SEED,
    OPTION_FILE,
    OPTION_JSON,
    N_OPTIONS
};

/* In the order of prunesid_preset and of prunesid_svd. */
static const char *const preset_names[] = {"auto", "paper", "llava", "qwen2vl", NULL};
static const char *const svd_names[] = {"krylov", "exact", "sketch", NULL};

static bench_option options[N_OPTIONS] = {
    [OPTION_TOKENS] = {"--tokens", "T, rows of the made-up tokens", BENCH_COUNT, 576, 1, 0, 0, 0},
    [OPTION_DIM] = {"--dim", "d, channels of a token", BENCH_COUNT, 1024, 1, 0, 0, 0},
    [OPTION_KEEP] = {"--keep", "N, the budget", BENCH_COUNT, 64, 1, 0, 0, 0},
    [OPTION_PRESET] = {"--preset", "the rules", BENCH_CHOICE, 0, 0, preset_names, 0, 0},
    [OPTION_SVD] = {"--svd", "the SVD method", BENCH_CHOICE, 0, 0, svd_names, 0, 0},
    [OPTION_THREADS] = {"--threads", "of OpenBLAS, for the whole run", BENCH_COUNT, 1, 1, 0, 0, 0},
    [OPTION_REPS] = {"--reps", "timed runs of each (default: 3 to 51, about 10 s)", BENCH_COUNT, 0,
        1, 0, 0, 0},
    [OPTION_SEED] = {"--seed", "of the made-up tokens", BENCH_COUNT, 1, 0, 0, 0, 0},
    [OPTION_FILE] = {"--file", "TOKENS.npy, float16 or float32 [T, d], in their place", BENCH_TEXT,
        0, 0, 0, 0, 0},
    [OPTION_JSON] = {"--json", "prints one JSON object", BENCH_FLAG, 0, 0, 0, 0, 0},
};

static size_t number_of(size_t option) {
    return options[option].number;
}

/* ---- what is timed ------------------------------------------------------------------------ */

typedef struct job {
    prunesid_config config;
    prunesid_tokens tokens;
    prunesid_output out;
    void *workspace;
    size_t workspace_bytes;
    float *square;     /* [panel_rows, T] of X X^T at once */
    size_t panel_rows; /* T where all of it fits */
    float *peak[3];    /* [PEAK_SIDE, PEAK_SIDE] each */
} job;

/* [run] of each, in milliseconds. */
typedef struct samples {
    size_t n;
    double *select, *stage[N_STAGES], *gemm, *peak;
    double cores_used; /* while all this was timed */
} samples;

static prunesid_status run_select(job *j, double *ms) {
    const uint64_t start = bench_clock_ns();
    const prunesid_status status =
        prunesid_select(&j->config, &j->tokens, NULL, j->workspace, j->workspace_bytes, &j->out);
    *ms = bench_ms_since(start);
    return status;
}

/* X X^T: what a pruner that builds the similarity matrix pays for that matrix alone. */
static double run_gemm(const job *j) {
    const float *const x = (const float *)j->tokens.data;
    const size_t T = j->tokens.n_tokens, d = j->tokens.dim;
    const uint64_t start = bench_clock_ns();
    for (size_t i = 0; i < T; i += j->panel_rows) {
        const size_t rows = T - i < j->panel_rows ? T - i : j->panel_rows;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)T, (int)d, 1.0f,
            x + i * d, (int)d, x, (int)d, 0.0f, j->square, (int)T);
    }
    return bench_ms_since(start);
}

static double run_peak(const job *j) {
    const uint64_t start = bench_clock_ns();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, PEAK_SIDE, PEAK_SIDE, PEAK_SIDE, 1.0f,
        j->peak[0], PEAK_SIDE, j->peak[1], PEAK_SIDE, 0.0f, j->peak[2], PEAK_SIDE);
    return bench_ms_since(start);
}

static void note_stages(const prunesid_stats *stats, samples *s, size_t run) {
    const uint64_t ns[N_STAGES] = {
        stats->ns_sigmoid, stats->ns_svd, stats->ns_redundancy, stats->ns_nms, stats->ns_quotas};
    for (size_t i = 0; i < N_STAGES; i++) {
        s->stage[i][run] = (double)ns[i] * 1e-6;
    }
}

/* As many runs as --reps says, or as fit the time that one run of each lets expect. */
static size_t choose_reps(double ms_of_one) {
    if (options[OPTION_REPS].given) {
        return number_of(OPTION_REPS);
    }
    const double fitting = AUTO_MS / (ms_of_one > 0.01 ? ms_of_one : 0.01);
    return fitting < 3 ? 3 : fitting > MAX_REPS ? MAX_REPS : (size_t)fitting;
}

/* Turn by turn, so that a busy moment of the machine hits all alike. The first turn warms up. */
static prunesid_status run_all(job *j, samples *s) {
    double ms = 0.0;
    uint64_t progress = 0;
    prunesid_status status = run_select(j, &ms);
    if (status != PRUNESID_OK) {
        return status;
    }
    s->n = choose_reps(2.0 * ms + run_gemm(j) + run_peak(j));
    double **const lists[] = {&s->select, &s->gemm, &s->peak, &s->stage[0], &s->stage[1],
        &s->stage[2], &s->stage[3], &s->stage[4]};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        *lists[i] = (double *)bench_allocate(s->n, sizeof **lists[i]);
    }
    const uint64_t start = bench_clock_ns(), cpu_start = bench_cpu_ns();
    for (size_t run = 0; run < s->n && status == PRUNESID_OK; run++) {
        status = run_select(j, &s->select[run]);
        note_stages(&j->out.stats, s, run);
        s->gemm[run] = run_gemm(j);
        s->peak[run] = run_peak(j);
        bench_progress(&progress, "turn", run + 1, s->n);
    }
    s->cores_used = bench_cores_used(start, cpu_start);
    return status;
}

/* ---- results ------------------------------------------------------------------------------ */

typedef struct result {
    double median_ms, min_ms, stages_ms[N_STAGES], gemm_ms;
    double peak_gflops;          /* the best that any sgemm of this run reached */
    double gemm_share;           /* of the peak */
    double svd_gflop, svd_share; /* products with A, over the whole stage; -1 for none */
} result;

/* What the SVD multiplies by A and its transpose, 2 T d a vector: float32 methods only. */
static double svd_flops(const job *j) {
    const prunesid_stats *const stats = &j->out.stats;
    const prunesid_config resolved = prunesid_config_resolve(&j->config, 0);
    const double Td = (double)j->tokens.n_tokens * (double)j->tokens.dim;
    prunesid_arena_ arena = {NULL, 0, 0};
    prunesid_plan_ plan;
    prunesid_lay_out_(&resolved, &arena, &plan); /* the size of a block is nowhere public */
    const int n_blocks = 1 + 2 * stats->svd_iterations + (stats->svd == PRUNESID_SVD_SKETCH);
    const int counts = stats->svd != PRUNESID_SVD_EXACT && stats->svd_iterations > 0;
    return counts ? 2.0 * Td * (double)plan.block * n_blocks : 0.0;
}

static double gflops(double flops, double ms) {
    return flops / (ms > 0.0 ? ms : 1e-6) * 1e-6;
}

static result summarise(const job *j, samples *s) {
    const double T = (double)j->tokens.n_tokens, d = (double)j->tokens.dim, side = PEAK_SIDE;
    const double gemm_flops = 2.0 * T * T * d, peak_flops = 2.0 * side * side * side;
    result r;
    r.median_ms = bench_median(s->select, s->n);
    r.min_ms = s->select[0];
    for (size_t i = 0; i < N_STAGES; i++) {
        r.stages_ms[i] = bench_median(s->stage[i], s->n);
    }
    r.gemm_ms = bench_median(s->gemm, s->n);
    bench_median(s->peak, s->n);
    r.peak_gflops = fmax(gflops(peak_flops, s->peak[0]), gflops(gemm_flops, s->gemm[0]));
    r.gemm_share = gflops(gemm_flops, r.gemm_ms) / r.peak_gflops;
    r.svd_gflop = svd_flops(j) * 1e-9;
    r.svd_share =
        r.svd_gflop > 0.0 ? gflops(svd_flops(j), r.stages_ms[STAGE_SVD]) / r.peak_gflops : -1.0;
    return r;
}

static void print_json(const job *j, const samples *s, const result *r) {
    const prunesid_stats *const stats = &j->out.stats;
    printf("{\"tokens\": %zu, \"dim\": %zu, \"keep\": %zu, \"source\": \"%s\"", j->tokens.n_tokens,
        j->tokens.dim, j->config.budget, options[OPTION_FILE].given ? "file" : "made up");
    printf(", \"preset\": \"%s\", \"svd\": \"%s\", \"svd_used\": \"%s\"",
        preset_names[stats->preset], svd_names[j->config.svd], svd_names[stats->svd]);
    printf(", \"threads\": %zu, \"reps\": %zu, \"corename\": \"%s\", \"cores_used\": %.4g",
        number_of(OPTION_THREADS), s->n, openblas_get_corename(), s->cores_used);
    printf(", \"median_ms\": %.6g, \"min_ms\": %.6g, \"stages_ms\": {", r->median_ms, r->min_ms);
    for (size_t i = 0; i < N_STAGES; i++) {
        printf("%s\"%s\": %.6g", i > 0 ? ", " : "", stage_names[i], r->stages_ms[i]);
    }
    printf("}, \"gemm_ms\": %.6g, \"gemm_panel_rows\": %zu, \"ratio\": %.6g", r->gemm_ms,
        j->panel_rows, r->median_ms / r->gemm_ms);
    printf(", \"workspace_bytes\": %zu, \"iterations\": %d, \"groups\": %zu", j->workspace_bytes,
        stats->svd_iterations, stats->n_groups);
    printf(", \"peak_gflops\": %.6g, \"gemm_share\": %.4g", r->peak_gflops, r->gemm_share);
    printf(", \"svd_gflop\": %.6g, \"svd_share\": ", r->svd_gflop);
    printf(r->svd_share < 0.0 ? "null}\n" : "%.4g}\n", r->svd_share);
}

static void print_table(const job *j, const samples *s, const result *r) {
    const prunesid_stats *const stats = &j->out.stats;
    const double input_bytes = (double)(j->tokens.n_tokens * j->tokens.dim) * sizeof(float);
    printf(
        "%zu of %zu tokens of %zu channels (%s), rules %s, %zu thread%s, %s kernels, %zu turns\n",
        j->out.n_kept, j->tokens.n_tokens, j->tokens.dim,
        options[OPTION_FILE].given ? options[OPTION_FILE].text : "made up",
        preset_names[stats->preset], number_of(OPTION_THREADS),
        number_of(OPTION_THREADS) > 1 ? "s" : "", openblas_get_corename(), s->n);
    printf("%-22s %10.3f ms, least %.3f\n", "select, median", r->median_ms, r->min_ms);
    for (size_t i = 0; i < N_STAGES; i++) {
        printf("  %-20s %10.3f ms %3.0f %%\n", stage_names[i], r->stages_ms[i],
            100.0 * r->stages_ms[i] / r->median_ms);
    }
    printf("%-22s %10.3f ms", "T x T x d sgemm", r->gemm_ms);
    printf(j->panel_rows < j->tokens.n_tokens ? ", in panels of %zu rows\n" : "\n", j->panel_rows);
    printf("%-22s %10.3f\n", "ratio, select / sgemm", r->median_ms / r->gemm_ms);
    printf("%-22s %10.3f MB, %.2f times the input\n", "workspace",
        (double)j->workspace_bytes * 1e-6, (double)j->workspace_bytes / input_bytes);
    printf("%-22s %10s, %d iterations, %zu groups\n", "SVD", svd_names[stats->svd],
        stats->svd_iterations, stats->n_groups);
    printf("%-22s %10.1f GFLOP/s\n", "peak sgemm", r->peak_gflops);
    printf("%-22s %10.0f %% of the peak\n", "T x T x d sgemm", 100.0 * r->gemm_share);
    if (r->svd_share >= 0.0) {
        printf("%-22s %10.0f %% of the peak, %.3f GFLOP with A\n", "svd, all of it",
            100.0 * r->svd_share, r->svd_gflop);
    }
    bench_print_cores_used(s->cores_used);
}

/* ---- setting up --------------------------------------------------------------------------- */

static int load_tokens(const char *path, prunesid_tokens *out) {
    npy_array array;
    char cause[256];
    if (npy_load(path, &array, cause, sizeof cause) != 0) {
        return bench_report("%s: %s", path, cause);
    }
    int status = BENCH_GO_ON;
    if (array.kind != 'f' || array.n_dims != 2 || array.n_items == 0) {
        status = bench_report("%s: not floating-point numbers [tokens, channels]", path);
    } else {
        float *const x = bench_floats(array.shape[0], array.shape[1]);
        for (size_t i = 0; i < array.n_items; i++) {
            x[i] = npy_float_at(&array, i);
        }
        *out = prunesid_tokens_view(x, PRUNESID_F32, array.shape[0], array.shape[1]);
    }
    npy_free(&array);
    return status;
}

static int make_tokens(prunesid_tokens *out) {
    const size_t T = number_of(OPTION_TOKENS), d = number_of(OPTION_DIM);
    float *const x = bench_floats(T, d);
    if (tokens_fill(x, T, d, number_of(OPTION_SEED)) != 0) {
        return bench_report("memory: no room for the made-up tokens");
    }
    *out = prunesid_tokens_view(x, PRUNESID_F32, T, d);
    return BENCH_GO_ON;
}

static void set_up(job *j) {
    const size_t T = j->tokens.n_tokens, row_bytes = T * sizeof(float);
    j->config = prunesid_config_init(
        (prunesid_preset)number_of(OPTION_PRESET), T, j->tokens.dim, number_of(OPTION_KEEP));
    j->config.svd = (prunesid_svd)number_of(OPTION_SVD);
    j->config.clock_ns = bench_clock_ns;
    j->workspace_bytes = prunesid_workspace_size(&j->config);
    j->workspace = bench_allocate(1, j->workspace_bytes);
    j->out = prunesid_output_init((int32_t *)bench_allocate(T, sizeof(int32_t)));
    j->panel_rows = MAX_SQUARE_BYTES / row_bytes > 0 ? MAX_SQUARE_BYTES / row_bytes : 1;
    j->panel_rows = j->panel_rows < T ? j->panel_rows : T;
    j->square = bench_floats(j->panel_rows, T);
    for (size_t i = 0; i < 3; i++) {
        j->peak[i] = bench_floats(PEAK_SIDE, PEAK_SIDE);
        for (size_t k = 0; k < (size_t)PEAK_SIDE * PEAK_SIDE; k++) {
            j->peak[i][k] = (float)(k % 7) - 3.0f;
        }
    }
}

int main(int argc, char **argv) {
    static job j;
    static samples s;
    int status = bench_parse(
        argc, argv, "Times prunesid_select beside one T x T x d sgemm.", options, N_OPTIONS);
    if (status == BENCH_GO_ON && options[OPTION_FILE].given &&
        (options[OPTION_TOKENS].given || options[OPTION_DIM].given)) {
        status = bench_usage_error("--file brings its own --tokens and --dim");
    }
    if (status == BENCH_GO_ON) {
        openblas_set_num_threads((int)number_of(OPTION_THREADS));
        status = options[OPTION_FILE].given ? load_tokens(options[OPTION_FILE].text, &j.tokens)
                                            : make_tokens(&j.tokens);
    }
    if (status != BENCH_GO_ON) {
        return status;
    }
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
