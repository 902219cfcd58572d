/* prunesid_bench.c - times a selection, stage by stage, beside a T x T x d sgemm.   MIT licence.
 *
 * README.md beside this file defines every number. */
#include "bench.h"
#include "names.h"
#include "npy_load.h"
#include "prunesid.h"

#include <math.h>

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

static const option table[N_OPTIONS] = {
    [OPTION_TOKENS] = {"--tokens", "T", "rows of the made-up tokens", option_count, .number = 576,
        .least = 1},
    [OPTION_DIM] = {"--dim", "d", "channels of a token", option_count, .number = 1024, .least = 1},
    [OPTION_KEEP] = {"--keep", "N", "the budget", option_count, .number = 64, .least = 1},
    [OPTION_PRESET] = {"--preset", "NAME", "the rules:", option_choice, .choice = preset_name},
    [OPTION_SVD] = {"--svd", "METHOD", "how principal components are found:", option_choice,
        .choice = svd_name},
    [OPTION_THREADS] = {"--threads", "n", "of OpenBLAS, for the whole run", option_count,
        .number = 1, .least = 1},
    [OPTION_REPS] = {"--reps", "r", "timed runs of each (default: 3 to 51, about 10 s)",
        option_count, .least = 1},
    [OPTION_SEED] = {"--seed", "s", "of the made-up tokens", option_count, .number = 1},
    [OPTION_FILE] = {"--file", "TOKENS.npy", "float16 or float32 [T, d], in their place",
        .read = option_text},
    [OPTION_JSON] = {"--json", .help = "prints one JSON object"},
};

static int check_line(const options *given) {
    const option_value *const of = given->of;
    return of[OPTION_FILE].given && (of[OPTION_TOKENS].given || of[OPTION_DIM].given)
               ? usage_error("--file brings its own --tokens and --dim")
               : GO_ON;
}

const options_program program = {.name = "prunesid_bench",
    .about = "Times prunesid_select beside one T x T x d sgemm.\n\nusage: prunesid_bench [options]",
    .table = table,
    .n_options = N_OPTIONS,
    .check = check_line};

static option_value values[N_OPTIONS];

/* ---- what is timed ------------------------------------------------------------------------ */

typedef struct job {
    prunesid_config config;
    prunesid_input input;
    prunesid_details details;
    int32_t *indices; /* [n_kept] */
    size_t n_kept;
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
    const prunesid_status status = prunesid_select(&j->config, &j->input, j->workspace,
        j->workspace_bytes, j->indices, j->n_kept, &j->details);
    *ms = bench_ms_since(start);
    return status;
}

/* X X^T: what a pruner that builds the similarity matrix pays for that matrix alone. */
static double run_gemm(const job *j) {
    const float *const x = (const float *)j->input.tokens;
    const size_t T = j->input.n_tokens, d = j->input.dim;
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
        stats->ns_matrix, stats->ns_svd, stats->ns_redundancy, stats->ns_nms, stats->ns_quotas};
    for (size_t i = 0; i < N_STAGES; i++) s->stage[i][run] = (double)ns[i] * 1e-6;
}

/* As many runs as --reps says, or as fit the time that one run of each lets expect. */
static size_t choose_reps(double ms_of_one) {
    if (values[OPTION_REPS].given) return values[OPTION_REPS].number;
    const double fitting = AUTO_MS / (ms_of_one > 0.01 ? ms_of_one : 0.01);
    return fitting < 3 ? 3 : fitting > MAX_REPS ? MAX_REPS : (size_t)fitting;
}

/* Turn by turn, so that a busy moment of the machine hits all alike. The first turn warms up. */
static prunesid_status run_all(job *j, samples *s) {
    double ms = 0.0;
    uint64_t progress = 0;
    prunesid_status status = run_select(j, &ms);
    if (status != PRUNESID_OK) return status;
    s->n = choose_reps(2.0 * ms + run_gemm(j) + run_peak(j));
    double **const lists[] = {&s->select, &s->gemm, &s->peak, &s->stage[0], &s->stage[1],
        &s->stage[2], &s->stage[3], &s->stage[4]};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        *lists[i] = (double *)bench_allocate(s->n, sizeof **lists[i]);
    const uint64_t start = bench_clock_ns(), cpu_start = bench_cpu_ns();
    for (size_t run = 0; run < s->n && status == PRUNESID_OK; run++) {
        status = run_select(j, &s->select[run]);
        note_stages(&j->details.stats, s, run);
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

/* What KRYLOV multiplies by A and its transpose, 2 T d a vector. */
static double svd_flops(const job *j) {
    const prunesid_stats *const stats = &j->details.stats;
    if (stats->svd == PRUNESID_SVD_EXACT || stats->svd_steps == 0) return 0.0;
    const size_t block = prunesid_krylov_block_(stats->n_groups); /* is nowhere public */
    const size_t n_vectors = block * (1 + 2 * (size_t)stats->svd_steps);
    return 2.0 * (double)j->input.n_tokens * (double)j->input.dim * (double)n_vectors;
}

static double gflops(double flops, double ms) {
    return flops / (ms > 0.0 ? ms : 1e-6) * 1e-6;
}

static result summarise(const job *j, samples *s) {
    const double T = (double)j->input.n_tokens, d = (double)j->input.dim, side = PEAK_SIDE;
    const double gemm_flops = 2.0 * T * T * d, peak_flops = 2.0 * side * side * side;
    result r;
    r.median_ms = bench_median(s->select, s->n);
    r.min_ms = s->select[0];
    for (size_t i = 0; i < N_STAGES; i++) r.stages_ms[i] = bench_median(s->stage[i], s->n);
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
    const prunesid_stats *const stats = &j->details.stats;
    printf("{\"tokens\": %zu, \"dim\": %zu, \"keep\": %zu, \"source\": \"%s\"", j->input.n_tokens,
        j->input.dim, j->config.budget, values[OPTION_FILE].given ? "file" : "made up");
    printf(", \"preset\": \"%s\", \"svd\": \"%s\", \"svd_used\": \"%s\"",
        preset_name(stats->preset), svd_name(j->config.svd), svd_name(stats->svd));
    printf(", \"threads\": %zu, \"reps\": %zu, \"corename\": \"%s\", \"cores_used\": %.4g",
        values[OPTION_THREADS].number, s->n, openblas_get_corename(), s->cores_used);
    printf(", \"median_ms\": %.6g, \"min_ms\": %.6g, \"stages_ms\": {", r->median_ms, r->min_ms);
    for (size_t i = 0; i < N_STAGES; i++)
        printf("%s\"%s\": %.6g", i > 0 ? ", " : "", stage_names[i], r->stages_ms[i]);
    printf("}, \"gemm_ms\": %.6g, \"gemm_panel_rows\": %zu, \"ratio\": %.6g", r->gemm_ms,
        j->panel_rows, r->median_ms / r->gemm_ms);
    printf(", \"workspace_bytes\": %zu, \"iterations\": %d, \"groups\": %zu", j->workspace_bytes,
        stats->svd_steps, stats->n_groups);
    printf(", \"peak_gflops\": %.6g, \"gemm_share\": %.4g", r->peak_gflops, r->gemm_share);
    printf(", \"svd_gflop\": %.6g, \"svd_share\": ", r->svd_gflop);
    printf(r->svd_share < 0.0 ? "null}\n" : "%.4g}\n", r->svd_share);
}

static void print_table(const job *j, const samples *s, const result *r) {
    const prunesid_stats *const stats = &j->details.stats;
    const double input_bytes = (double)(j->input.n_tokens * j->input.dim) * sizeof(float);
    printf(
        "%zu of %zu tokens of %zu channels (%s), rules %s, %zu thread%s, %s kernels, %zu turns\n",
        j->n_kept, j->input.n_tokens, j->input.dim,
        values[OPTION_FILE].given ? values[OPTION_FILE].text : "made up",
        preset_name(stats->preset), values[OPTION_THREADS].number,
        values[OPTION_THREADS].number > 1 ? "s" : "", openblas_get_corename(), s->n);
    printf("%-22s %10.3f ms, least %.3f\n", "select, median", r->median_ms, r->min_ms);
    for (size_t i = 0; i < N_STAGES; i++) {
        printf("  %-20s %10.3f ms %3.0f %%\n", stage_names[i], r->stages_ms[i],
            100.0 * r->stages_ms[i] / r->median_ms);
    }
    printf("%-22s %10.3f ms", "T x T x d sgemm", r->gemm_ms);
    printf(j->panel_rows < j->input.n_tokens ? ", in panels of %zu rows\n" : "\n", j->panel_rows);
    printf("%-22s %10.3f\n", "ratio, select / sgemm", r->median_ms / r->gemm_ms);
    printf("%-22s %10.3f MB, %.2f times the input\n", "workspace",
        (double)j->workspace_bytes * 1e-6, (double)j->workspace_bytes / input_bytes);
    printf("%-22s %10s, %d iterations, %zu groups\n", "SVD", svd_name(stats->svd), stats->svd_steps,
        stats->n_groups);
    printf("%-22s %10.1f GFLOP/s\n", "peak sgemm", r->peak_gflops);
    printf("%-22s %10.0f %% of the peak\n", "T x T x d sgemm", 100.0 * r->gemm_share);
    if (r->svd_share >= 0.0) {
        printf("%-22s %10.0f %% of the peak, %.3f GFLOP with A\n", "svd, all of it",
            100.0 * r->svd_share, r->svd_gflop);
    }
    bench_print_cores_used(s->cores_used);
}

/* ---- setting up --------------------------------------------------------------------------- */

static int load_tokens(const char *path, prunesid_input *out) {
    npy_array array;
    char cause[256];
    if (npy_load(path, &array, cause, sizeof cause) != 0) return report(path, "%s", cause);
    int status = GO_ON;
    if (array.kind != 'f' || array.n_dims != 2 || array.n_items == 0) {
        status = report(path, "not floating-point numbers [tokens, channels]");
    } else {
        float *const x = bench_floats(array.shape[0], array.shape[1]);
        for (size_t i = 0; i < array.n_items; i++) x[i] = npy_float_at(&array, i);
        *out = prunesid_input_init(x, PRUNESID_F32, array.shape[0], array.shape[1]);
    }
    npy_free(&array);
    return status;
}

static void make_tokens(prunesid_input *out) {
    const size_t T = values[OPTION_TOKENS].number, d = values[OPTION_DIM].number;
    *out = prunesid_input_init(bench_tokens(T, d, values[OPTION_SEED].number), PRUNESID_F32, T, d);
}

static prunesid_status set_up(job *j) {
    const size_t T = j->input.n_tokens, row_bytes = T * sizeof(float);
    j->config = prunesid_config_init(
        (prunesid_preset)values[OPTION_PRESET].number, values[OPTION_KEEP].number);
    j->config.svd = (prunesid_svd)values[OPTION_SVD].number;
    j->config.clock_ns = bench_clock_ns;
    j->details = prunesid_details_init();
    const prunesid_status status =
        prunesid_workspace_size(&j->config, T, j->input.dim, &j->workspace_bytes);
    if (status != PRUNESID_OK) return status;
    j->workspace = bench_allocate(1, j->workspace_bytes);
    j->n_kept = prunesid_n_kept(&j->config, T);
    j->indices = (int32_t *)bench_allocate(j->n_kept, sizeof(int32_t));
    j->panel_rows = MAX_SQUARE_BYTES / row_bytes > 0 ? MAX_SQUARE_BYTES / row_bytes : 1;
    j->panel_rows = j->panel_rows < T ? j->panel_rows : T;
    j->square = bench_floats(j->panel_rows, T);
    for (size_t i = 0; i < 3; i++) {
        j->peak[i] = bench_floats(PEAK_SIDE, PEAK_SIDE);
        for (size_t k = 0; k < (size_t)PEAK_SIDE * PEAK_SIDE; k++)
            j->peak[i][k] = (float)(k % 7) - 3.0f;
    }
    return PRUNESID_OK;
}

int main(int argc, char **argv) {
    static job j;
    static samples s;
    options given = {.of = values};
    int status = options_parse(argc, argv, &given);
    if (status != GO_ON) return status;
    openblas_set_num_threads((int)values[OPTION_THREADS].number);
    if (values[OPTION_FILE].given)
        status = load_tokens(values[OPTION_FILE].text, &j.input);
    else
        make_tokens(&j.input);
    if (status != GO_ON) return status;
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
