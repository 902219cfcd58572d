/* prunesid_bench.c - times a selection, stage by stage, beside a T x T x d sgemm.   MIT licence.
 *
 * README.md beside this file defines every number. */
#include "bench.h"
#include "names.h"
#include "npy_load.h"
#include "prunesid.h"
#include "threads.h"

#include <math.h>
#include <string.h>

enum { N_STAGES = 5, PEAK_SIDE = 768, MAX_REPS = 51, AUTO_MS = 10000 };
enum { MAX_SQUARE_BYTES = 1 << 28 }; /* of T x T at once; beyond, panels of rows */

static const size_t percents[] = {50, 95, 99};
enum { N_PERCENTS = sizeof percents / sizeof *percents };

static const char *const stage_names[N_STAGES] = {"sigmoid", "svd", "redundancy", "nms", "quotas"};

/* ---- the command line --------------------------------------------------------------------- */

enum {
    OPTION_TOKENS,
    OPTION_DIM,
    OPTION_KEEP,
    OPTION_PRESET,
    OPTION_SVD,
    OPTION_DTYPE,
    OPTION_REPRESENT,
    OPTION_MERGE,
    OPTION_WORKERS,
    OPTION_THREADS,
    OPTION_REPS,
    OPTION_IMAGES,
    OPTION_SEED,
    OPTION_FILE,
    OPTION_JSON,
    N_OPTIONS
};

/* By prunesid_dtype; NULL behind the last. */
static const char *dtype_name(size_t number) {
    static const char *const names[] = {
        [PRUNESID_F32] = "f32", [PRUNESID_F16] = "f16", [PRUNESID_BF16] = "bf16"};
    return number < sizeof names / sizeof *names ? names[number] : NULL;
}

static const option table[N_OPTIONS] = {
    [OPTION_TOKENS] = {"--tokens", "T", "rows of the made-up tokens", option_count, .number = 576,
        .least = 1},
    [OPTION_DIM] = {"--dim", "d", "channels of a token", option_count, .number = 1024, .least = 1},
    [OPTION_KEEP] = {"--keep", "N", "the budget", option_count, .number = 64, .least = 1},
    [OPTION_PRESET] = {"--preset", "NAME", "the rules:", option_choice, .choice = preset_name},
    [OPTION_SVD] = {"--svd", "METHOD", "how principal components are found:", option_choice,
        .choice = svd_name},
    [OPTION_DTYPE] = {"--dtype", "TYPE", "of the tokens:", option_choice, .choice = dtype_name},
    [OPTION_REPRESENT] = {"--represent", "SCOPE",
        "finds representatives as well, among:", option_choice, .choice = scope_name},
    [OPTION_MERGE] = {"--merge", "A",
        "merges the tokens as well, with that weight; implies --represent", option_real,
        .number = 0},
    [OPTION_WORKERS] = {"--workers", "n", "that share the image", option_count, .number = 1,
        .least = 1},
    [OPTION_THREADS] = {"--threads", "n", "of OpenBLAS, for the whole run", option_count,
        .number = 1, .least = 1},
    [OPTION_REPS] = {"--reps", "r", "timed runs of each (default: 3 to 51, about 10 s)",
        option_count, .least = 1},
    [OPTION_IMAGES] = {"--images", "n", "times n made-up images as well, once each", option_count,
        .least = 1},
    [OPTION_SEED] = {"--seed", "s", "of the made-up tokens; of n images, of the first",
        option_count, .number = 1},
    [OPTION_FILE] = {"--file", "TOKENS.npy", "float16 or float32 [T, d], in their place",
        .read = option_text},
    [OPTION_JSON] = {"--json", .help = "prints one JSON object"},
};

static int check_line(const options *given) {
    const option_value *const of = given->of;
    if (!of[OPTION_FILE].given) return GO_ON;
    if (of[OPTION_TOKENS].given || of[OPTION_DIM].given)
        return usage_error("--file brings its own --tokens and --dim");
    return of[OPTION_IMAGES].given ? usage_error("--images are made up: not with --file") : GO_ON;
}

const options_program program = {.name = "prunesid_bench",
    .about = "Times prunesid_select beside one T x T x d sgemm.\n\nusage: prunesid_bench [options]",
    .table = table,
    .n_options = N_OPTIONS,
    .check = check_line};

static option_value values[N_OPTIONS];

/* ---- what is timed ------------------------------------------------------------------------ */

/* One way to select from the image. */
typedef struct way {
    prunesid_config config;
    prunesid_input input;
    prunesid_details details;
    int32_t *indices; /* [n_kept] */
    void *merged;     /* [n_kept, d] */
} way;

typedef struct job {
    size_t T, d;
    float *floats;    /* [T, d] the tokens; as those of the dtype, if it is not float32 */
    uint16_t *halves; /* [T, d] the same in 16 bits; or NULL */
    way asked;        /* as the command line says */
    way plain;        /* the same image as float32 by one worker */
    int has_plain;    /* and that is another */
    size_t n_kept;
    void *workspace; /* for either */
    size_t workspace_bytes;
    threads_pool pool;
    float *square;     /* [panel_rows, T] of X X^T at once */
    size_t panel_rows; /* T where all of it fits */
    float *peak[3];    /* [PEAK_SIDE, PEAK_SIDE] each */
} job;

/* [run] of each, in milliseconds. */
typedef struct samples {
    size_t n;
    double *select, *stage[N_STAGES], *represent, *merge, *plain, *gemm, *peak;
    double cores_used; /* while all this was timed */
} samples;

/* How the components of an image were found. */
enum { BY_KRYLOV, BY_REFINING, BY_EXACT, N_FOUND };

static const char *const found_names[N_FOUND] = {"krylov", "refined", "exact"};

/* Of --images, in milliseconds, sorted. */
typedef struct images {
    double *ms;           /* [n] of all */
    double *of[N_FOUND];  /* [n_of] of those found in each way */
    size_t n_of[N_FOUND]; /* images without any SVD count as Krylov's */
    size_t slowest;       /* the seed of the one that took longest */
} images;

/* ---- tokens ------------------------------------------------------------------------------- */

static int load_tokens(const char *path, job *j) {
    npy_array array;
    char cause[256];
    if (npy_load(path, &array, cause, sizeof cause) != 0) return report(path, "%s", cause);
    int status = GO_ON;
    if (array.kind != 'f' || array.n_dims != 2 || array.n_items == 0) {
        status = report(path, "not floating-point numbers [tokens, channels]");
    } else {
        j->T = array.shape[0];
        j->d = array.shape[1];
        j->floats = bench_floats(j->T, j->d);
        for (size_t i = 0; i < array.n_items; i++) j->floats[i] = npy_float_at(&array, i);
    }
    npy_free(&array);
    return status;
}

/* As the dtype asked for holds them, and as float32 again. */
static void round_tokens(job *j) {
    const size_t n = j->T * j->d;
    if (values[OPTION_DTYPE].number == PRUNESID_F16) {
        for (size_t i = 0; i < n; i++) {
            j->halves[i] = f16_from_double((double)j->floats[i]);
            j->floats[i] = float_from_f16(j->halves[i]);
        }
    } else if (values[OPTION_DTYPE].number == PRUNESID_BF16) {
        for (size_t i = 0; i < n; i++) {
            j->halves[i] = bf16_from_float(j->floats[i]);
            j->floats[i] = float_from_bf16(j->halves[i]);
        }
    }
}

static void make_image(job *j, size_t seed) {
    if (tokens_fill(j->floats, j->T, j->d, seed) != 0)
        exit(report("memory", "no room for made-up tokens"));
    round_tokens(j);
}

static int get_tokens(job *j) {
    int status = GO_ON;
    if (values[OPTION_FILE].given) {
        status = load_tokens(values[OPTION_FILE].text, j);
        if (status != GO_ON) return status;
    } else {
        j->T = values[OPTION_TOKENS].number;
        j->d = values[OPTION_DIM].number;
        j->floats = bench_floats(j->T, j->d);
    }
    if (values[OPTION_DTYPE].number != PRUNESID_F32)
        j->halves = (uint16_t *)bench_allocate(j->T, j->d * sizeof *j->halves);
    if (values[OPTION_FILE].given)
        round_tokens(j);
    else
        make_image(j, values[OPTION_SEED].number);
    return GO_ON;
}

/* ---- runs --------------------------------------------------------------------------------- */

static prunesid_status run_select(const job *j, way *w, double *ms) {
    const uint64_t start = bench_clock_ns();
    const prunesid_status status = prunesid_select(&w->config, &w->input, j->workspace,
        j->workspace_bytes, w->indices, j->n_kept, &w->details);
    *ms = bench_ms_since(start);
    return status;
}

/* X X^T: what a pruner that builds the similarity matrix pays for that matrix alone. */
static double run_gemm(const job *j) {
    const float *const x = j->floats;
    const size_t T = j->T, d = j->d;
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

/* Not part of the selection's time. */
static prunesid_status run_merge(const job *j, way *w, double *ms) {
    if (!values[OPTION_MERGE].given) return PRUNESID_OK;
    const uint64_t start = bench_clock_ns();
    const prunesid_status status = prunesid_merge(&w->input, w->indices, j->n_kept,
        w->details.representative, values[OPTION_MERGE].real, w->merged, j->d);
    *ms = bench_ms_since(start);
    return status;
}

static void note_stages(const prunesid_stats *stats, samples *s, size_t run) {
    const uint64_t ns[N_STAGES] = {
        stats->ns_matrix, stats->ns_svd, stats->ns_redundancy, stats->ns_nms, stats->ns_quotas};
    for (size_t i = 0; i < N_STAGES; i++) s->stage[i][run] = (double)ns[i] * 1e-6;
    s->represent[run] = (double)stats->ns_represent * 1e-6;
}

/* As many runs as --reps says, or as fit the time that one run of each lets expect. */
static size_t choose_reps(double ms_of_one) {
    if (values[OPTION_REPS].given) return values[OPTION_REPS].number;
    const double fitting = AUTO_MS / (ms_of_one > 0.01 ? ms_of_one : 0.01);
    return fitting < 3 ? 3 : fitting > MAX_REPS ? MAX_REPS : (size_t)fitting;
}

static int are_same(const int32_t *a, const int32_t *b, size_t n) {
    return a == NULL || memcmp(a, b, n * sizeof *a) == 0;
}

/* One run of each, which warms up as well. Neither dtype nor workers may change what is kept, nor
 * what stands for what. */
static prunesid_status run_once(job *j, double *ms_of_all) {
    double ms = 0.0;
    prunesid_status status = run_select(j, &j->asked, ms_of_all);
    if (status == PRUNESID_OK) status = run_merge(j, &j->asked, &ms);
    *ms_of_all += ms;
    if (status == PRUNESID_OK && j->has_plain) {
        status = run_select(j, &j->plain, &ms);
        *ms_of_all += ms;
        if (status == PRUNESID_OK &&
            !(are_same(j->asked.indices, j->plain.indices, j->n_kept) &&
                are_same(j->asked.details.representative, j->plain.details.representative, j->T)))
            exit(report("select", "another dtype or other workers keep other tokens"));
    }
    *ms_of_all += run_gemm(j) + run_peak(j);
    return status;
}

/* Turn by turn, so that a busy moment of the machine hits all alike. */
static prunesid_status run_all(job *j, samples *s) {
    double ms = 0.0;
    uint64_t progress = 0;
    prunesid_status status = run_once(j, &ms);
    if (status != PRUNESID_OK) return status;
    s->n = choose_reps(ms);
    double **const lists[] = {&s->select, &s->represent, &s->merge, &s->plain, &s->gemm, &s->peak,
        &s->stage[0], &s->stage[1], &s->stage[2], &s->stage[3], &s->stage[4]};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        *lists[i] = (double *)bench_allocate(s->n, sizeof **lists[i]);
    const uint64_t start = bench_clock_ns(), cpu_start = bench_cpu_ns();
    for (size_t run = 0; run < s->n && status == PRUNESID_OK; run++) {
        status = run_select(j, &j->asked, &s->select[run]);
        note_stages(&j->asked.details.stats, s, run);
        if (status == PRUNESID_OK) status = run_merge(j, &j->asked, &s->merge[run]);
        if (status == PRUNESID_OK && j->has_plain)
            status = run_select(j, &j->plain, &s->plain[run]);
        s->gemm[run] = run_gemm(j);
        s->peak[run] = run_peak(j);
        bench_progress(&progress, "turn", run + 1, s->n);
    }
    s->cores_used = bench_cores_used(start, cpu_start);
    return status;
}

static size_t how_found(const prunesid_stats *stats) {
    if (stats->n_groups > 0 && stats->svd == PRUNESID_SVD_EXACT) return BY_EXACT;
    return stats->n_refined > 0 ? BY_REFINING : BY_KRYLOV;
}

/* The images are made in the place of the first, one after another. */
static prunesid_status run_images(job *j, images *all) {
    const size_t n = values[OPTION_IMAGES].number, first = values[OPTION_SEED].number;
    prunesid_status status = PRUNESID_OK;
    uint64_t progress = 0;
    double most = 0.0;
    all->ms = (double *)bench_allocate(n, sizeof *all->ms);
    for (size_t f = 0; f < N_FOUND; f++)
        all->of[f] = (double *)bench_allocate(n, sizeof *all->of[f]);
    for (size_t i = 0; i < n && status == PRUNESID_OK; i++) {
        way w = j->asked; /* its stats are not those of the image that is printed */
        make_image(j, first + i);
        status = run_select(j, &w, &all->ms[i]);
        const size_t found = how_found(&w.details.stats);
        all->of[found][all->n_of[found]++] = all->ms[i];
        if (all->ms[i] > most) {
            most = all->ms[i];
            all->slowest = first + i;
        }
        bench_progress(&progress, "image", i + 1, n);
    }
    if (status != PRUNESID_OK) return status;
    bench_sort(all->ms, n);
    for (size_t f = 0; f < N_FOUND; f++) bench_sort(all->of[f], all->n_of[f]);
    return PRUNESID_OK;
}

/* ---- results ------------------------------------------------------------------------------ */

typedef struct result {
    double median_ms, min_ms, stages_ms[N_STAGES], represent_ms, merge_ms, gemm_ms;
    double plain_ms;    /* -1 for none */
    double peak_gflops; /* the best that any sgemm of this run reached */
    double gemm_share;  /* of the peak */
} result;

static double gflops(double flops, double ms) {
    return flops / (ms > 0.0 ? ms : 1e-6) * 1e-6;
}

static result summarise(const job *j, samples *s) {
    const double T = (double)j->T, d = (double)j->d, side = PEAK_SIDE;
    const double gemm_flops = 2.0 * T * T * d, peak_flops = 2.0 * side * side * side;
    result r;
    r.median_ms = bench_median(s->select, s->n);
    r.min_ms = s->select[0];
    for (size_t i = 0; i < N_STAGES; i++) r.stages_ms[i] = bench_median(s->stage[i], s->n);
    r.represent_ms = bench_median(s->represent, s->n);
    r.merge_ms = values[OPTION_MERGE].given ? bench_median(s->merge, s->n) : 0.0;
    r.plain_ms = j->has_plain ? bench_median(s->plain, s->n) : -1.0;
    r.gemm_ms = bench_median(s->gemm, s->n);
    bench_median(s->peak, s->n);
    r.peak_gflops = fmax(gflops(peak_flops, s->peak[0]), gflops(gemm_flops, s->gemm[0]));
    r.gemm_share = gflops(gemm_flops, r.gemm_ms) / r.peak_gflops;
    return r;
}

static void print_images_json(const images *all) {
    const size_t n = values[OPTION_IMAGES].number;
    printf(", \"images\": %zu", n);
    for (size_t i = 0; i < N_PERCENTS; i++)
        printf(", \"p%zu_ms\": %.6g", percents[i], bench_percentile(all->ms, n, percents[i]));
    printf(", \"max_ms\": %.6g, \"slowest_seed\": %zu", all->ms[n - 1], all->slowest);
    printf(", \"n_refined_images\": %zu, \"n_exact_images\": %zu, \"p50_ms_of\": {",
        all->n_of[BY_REFINING], all->n_of[BY_EXACT]);
    for (size_t f = 0; f < N_FOUND; f++) {
        printf("%s\"%s\": ", f > 0 ? ", " : "", found_names[f]);
        if (all->n_of[f] > 0)
            printf("%.6g", bench_percentile(all->of[f], all->n_of[f], 50));
        else
            printf("null");
    }
    printf("}");
}

static void print_json(const job *j, const samples *s, const result *r, const images *all) {
    const prunesid_stats *const stats = &j->asked.details.stats;
    printf("{\"tokens\": %zu, \"dim\": %zu, \"keep\": %zu, \"source\": \"%s\"", j->T, j->d,
        j->asked.config.budget, values[OPTION_FILE].given ? "file" : "made up");
    printf(", \"seed\": %zu, \"dtype\": \"%s\", \"workers\": %zu", values[OPTION_SEED].number,
        dtype_name(j->asked.input.dtype), j->asked.config.threads.n_workers);
    printf(", \"preset\": \"%s\", \"svd\": \"%s\", \"svd_used\": \"%s\"",
        preset_name(stats->preset), svd_name(j->asked.config.svd), svd_name(stats->svd));
    printf(", \"threads\": %zu, \"reps\": %zu, \"corename\": \"%s\", \"cores_used\": %.4g",
        values[OPTION_THREADS].number, s->n, openblas_get_corename(), s->cores_used);
    printf(", \"median_ms\": %.6g, \"min_ms\": %.6g, \"stages_ms\": {", r->median_ms, r->min_ms);
    for (size_t i = 0; i < N_STAGES; i++)
        printf("%s\"%s\": %.6g", i > 0 ? ", " : "", stage_names[i], r->stages_ms[i]);
    printf("}, \"gemm_ms\": %.6g, \"gemm_panel_rows\": %zu, \"ratio\": %.6g", r->gemm_ms,
        j->panel_rows, r->median_ms / r->gemm_ms);
    printf(j->has_plain ? ", \"plain_ms\": %.6g" : ", \"plain_ms\": null", r->plain_ms);
    printf(", \"workspace_bytes\": %zu, \"iterations\": %d, \"groups\": %zu, \"refined\": %zu",
        j->workspace_bytes, stats->svd_steps, stats->n_groups, stats->n_refined);
    printf(", \"peak_gflops\": %.6g, \"gemm_share\": %.4g", r->peak_gflops, r->gemm_share);
    if (j->asked.details.representative != NULL)
        printf(", \"represent\": \"%s\", \"represent_ms\": %.6g, \"coverage\": %.6g",
            scope_name(j->asked.details.scope), r->represent_ms, stats->coverage);
    if (values[OPTION_MERGE].given)
        printf(", \"merge\": %.6g, \"merge_ms\": %.6g", values[OPTION_MERGE].real, r->merge_ms);
    if (values[OPTION_IMAGES].given) print_images_json(all);
    puts("}");
}

static void print_images_table(const images *all) {
    const size_t n = values[OPTION_IMAGES].number;
    printf("%-22s %10zu, seeds from %zu\n", "images, once each", n, values[OPTION_SEED].number);
    for (size_t i = 0; i < N_PERCENTS; i++)
        printf("  %zu %-17s %10.3f ms\n", percents[i], "% of them within",
            bench_percentile(all->ms, n, percents[i]));
    printf("  %-20s %10.3f ms, seed %zu, %.2f times the median\n", "slowest", all->ms[n - 1],
        all->slowest, all->ms[n - 1] / bench_percentile(all->ms, n, 50));
    for (size_t f = 0; f < N_FOUND; f++) {
        if (all->n_of[f] == 0) continue;
        printf("  %-8s %5zu images %10.3f ms, median\n", found_names[f], all->n_of[f],
            bench_percentile(all->of[f], all->n_of[f], 50));
    }
}

static void print_table(const job *j, const samples *s, const result *r, const images *all) {
    const prunesid_stats *const stats = &j->asked.details.stats;
    const double input_bytes = (double)(j->T * j->d) * sizeof(float);
    printf("%zu of %zu tokens of %zu channels (%s, %s), rules %s\n", j->n_kept, j->T, j->d,
        values[OPTION_FILE].given ? values[OPTION_FILE].text : "made up",
        dtype_name(j->asked.input.dtype), preset_name(stats->preset));
    printf("%zu worker%s, %zu BLAS thread%s, %s kernels, %zu turns\n",
        values[OPTION_WORKERS].number, values[OPTION_WORKERS].number > 1 ? "s" : "",
        values[OPTION_THREADS].number, values[OPTION_THREADS].number > 1 ? "s" : "",
        openblas_get_corename(), s->n);
    printf("%-22s %10.3f ms, least %.3f\n", "select, median", r->median_ms, r->min_ms);
    for (size_t i = 0; i < N_STAGES; i++) {
        printf("  %-20s %10.3f ms %3.0f %%\n", stage_names[i], r->stages_ms[i],
            100.0 * r->stages_ms[i] / r->median_ms);
    }
    if (j->asked.details.representative != NULL) {
        printf("  represent, %-9s %10.3f ms %3.0f %%: %.2f of the rest, coverage %.3f\n",
            scope_name(j->asked.details.scope), r->represent_ms,
            100.0 * r->represent_ms / r->median_ms,
            r->represent_ms / (r->median_ms - r->represent_ms), stats->coverage);
    }
    if (values[OPTION_MERGE].given) printf("%-22s %10.3f ms\n", "merge", r->merge_ms);
    if (j->has_plain) {
        printf("%-22s %10.3f ms: %.2f times the above\n", "f32 by one worker", r->plain_ms,
            r->plain_ms / r->median_ms);
    }
    printf("%-22s %10.3f ms", "T x T x d sgemm", r->gemm_ms);
    printf(j->panel_rows < j->T ? ", in panels of %zu rows\n" : "\n", j->panel_rows);
    printf("%-22s %10.3f\n", "ratio, select / sgemm", r->median_ms / r->gemm_ms);
    printf("%-22s %10.3f MB, %.2f times the float32 input\n", "workspace",
        (double)j->workspace_bytes * 1e-6, (double)j->workspace_bytes / input_bytes);
    printf("%-22s %10s, %d iterations, %zu groups, %zu refined\n", "SVD", svd_name(stats->svd),
        stats->svd_steps, stats->n_groups, stats->n_refined);
    printf("%-22s %10.1f GFLOP/s\n", "peak sgemm", r->peak_gflops);
    printf("%-22s %10.0f %% of the peak\n", "T x T x d sgemm", 100.0 * r->gemm_share);
    if (values[OPTION_IMAGES].given) print_images_table(all);
    bench_print_cores_used(s->cores_used);
}

/* ---- setting up --------------------------------------------------------------------------- */

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Its workspace is in workspace_bytes then. */
static prunesid_status set_up_way(job *j, way *w, size_t dtype, size_t n_workers) {
    const prunesid_threads threads = {n_workers, threads_run, &j->pool};
    size_t n_bytes = 0;
    w->config = prunesid_config_init(
        (prunesid_preset)values[OPTION_PRESET].number, values[OPTION_KEEP].number);
    w->config.svd = (prunesid_svd)values[OPTION_SVD].number;
    w->config.threads = threads;
    w->config.clock_ns = bench_clock_ns;
    const void *const tokens = dtype != PRUNESID_F32 ? (void *)j->halves : j->floats;
    w->input = prunesid_input_init(tokens, (prunesid_dtype)dtype, j->T, j->d);
    w->details = prunesid_details_init();
    if (values[OPTION_REPRESENT].given || values[OPTION_MERGE].given) {
        w->details.scope = (prunesid_scope)values[OPTION_REPRESENT].number;
        w->details.representative = (int32_t *)bench_allocate(j->T, sizeof(int32_t));
    }
    const prunesid_status status = prunesid_workspace_size(&w->config, j->T, j->d, &n_bytes);
    if (status != PRUNESID_OK) return status;
    j->workspace_bytes = larger(j->workspace_bytes, n_bytes);
    j->n_kept = prunesid_n_kept(&w->config, j->T);
    w->indices = (int32_t *)bench_allocate(j->n_kept, sizeof(int32_t));
    w->merged = bench_floats(j->n_kept, j->d);
    return PRUNESID_OK;
}

static prunesid_status set_up(job *j) {
    const size_t T = j->T, row_bytes = T * sizeof(float);
    const size_t dtype = values[OPTION_DTYPE].number, n_workers = values[OPTION_WORKERS].number;
    j->has_plain = dtype != PRUNESID_F32 || n_workers > 1;
    prunesid_status status = set_up_way(j, &j->asked, dtype, n_workers);
    if (status == PRUNESID_OK) status = set_up_way(j, &j->plain, PRUNESID_F32, 1);
    if (status != PRUNESID_OK) return status;
    threads_pool_start(&j->pool, n_workers);
    j->workspace = bench_allocate(1, j->workspace_bytes);
    j->panel_rows = larger(MAX_SQUARE_BYTES / row_bytes, 1);
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
    static images all;
    options given = {.of = values};
    int status = options_parse(argc, argv, &given);
    if (status != GO_ON) return status;
    openblas_set_num_threads((int)values[OPTION_THREADS].number);
    status = get_tokens(&j);
    if (status != GO_ON) return status;
    prunesid_status done = set_up(&j);
    if (done == PRUNESID_OK) done = run_all(&j, &s);
    if (done == PRUNESID_OK && values[OPTION_IMAGES].given) done = run_images(&j, &all);
    if (done != PRUNESID_OK) return report("select", "%s", prunesid_status_string(done));
    threads_pool_stop(&j.pool);
    const result r = summarise(&j, &s);
    if (values[OPTION_JSON].given)
        print_json(&j, &s, &r, &all);
    else
        print_table(&j, &s, &r, &all);
    return finish_printing();
}
