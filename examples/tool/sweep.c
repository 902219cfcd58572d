/* sweep.c - how many tokens are enough? Every image with many budgets, and what each leaves.   MIT
 * licence. */
#include "tool.h"

#include "curve.h"
#include "utf8.h"

#include <math.h>

enum {
    N_TURNS = 3 /* of a selection: the fastest counts, the machine was least in its way */
};

/* One image with one budget. */
typedef struct measurement {
    size_t budget, n_survivors, n_kept; /* n_kept 0: the image cannot have this budget */
    double coverage, left, ms;
} measurement;

typedef struct sweep {
    const job *all;
    budget_rule *rules; /* [n_rules] */
    size_t n_rules;
    measurement *found; /* [n_images, n_rules] of the images that are good */
    size_t *files;      /* [n_images] */
    double *sizes;      /* [n_images] their tokens, ascending in the end */
    size_t n_images;
    curve_point *points; /* [n_points] of the rules that an image can have */
    size_t n_points;
    int as_png;      /* the curve; else SVG */
    int leaves_out;  /* a budget that was asked for, of an image at least */
    size_t bend;     /* n_points: none */
    size_t n_tokens; /* of an image, the median */
} sweep;

/* ---- budgets ------------------------------------------------------------------------------ */

static size_t count_items(const char *list) {
    size_t n = 1;
    for (; *list != '\0'; list++) n += *list == ',';
    return n;
}

/* What --keep lists; else 8, 12, 16, 24, ... and all tokens of the largest image, from 1 on if
 * those are few, and from the number of protected tokens on if they are more. */
static void choose_rules(sweep *s) {
    const job *const all = s->all;
    const char *text = all->of[OPTION_KEEP].text;
    const size_t reserved = all->config.reserved, least = all->n_protected;
    size_t most = 0;
    for (size_t i = 0; i < all->n_images; i++)
        most = all->regions[i].input.n_tokens > most ? all->regions[i].input.n_tokens : most;
    s->rules = (budget_rule *)allocate(text != NULL ? count_items(text) : 128, sizeof *s->rules);
    while (text != NULL) {
        text = next_budget(text, &s->rules[s->n_rules++]);
        text = *text == ',' ? text + 1 : NULL;
    }
    for (size_t n = most < 64 ? 1 : 8; all->of[OPTION_KEEP].text == NULL;) {
        const size_t next = n + (n < 2 ? 1 : n & (n - 1) ? n / 3 : n / 2);
        const size_t wanted = n > least ? n : least;
        const budget_rule rule = {wanted < most ? wanted + reserved : most + reserved, 0};
        if (n >= most || next > least) s->rules[s->n_rules++] = rule;
        if (wanted >= most) break;
        n = next;
    }
}

/* ---- one image ---------------------------------------------------------------------------- */

/* Representatives are found in the first turn, and are in no time. */
static prunesid_status measure_point(const sweep *s, const prunesid_region *region,
    const budget_rule *rule, void *workspace, size_t n_bytes, measurement *out) {
    const job *const all = s->all;
    const prunesid_input *const input = &region->input;
    const double n_text = (double)all->of[OPTION_TEXT].number;
    prunesid_config config = all->config;
    config.budget = out->budget = budget_of(all, rule, input->n_tokens);
    out->n_kept = prunesid_n_kept(&config, input->n_tokens);
    out->left = ((double)out->n_kept + n_text) / ((double)input->n_tokens + n_text);
    for (int turn = 0; turn < N_TURNS; turn++) {
        prunesid_details details = prunesid_details_init();
        details.scope = region->details.scope;
        details.count = turn == 0 ? all->count : NULL;
        const prunesid_status status =
            all->of[OPTION_METHOD].number == METHOD_UNIFORM
                ? select_evenly(&config, input, workspace, n_bytes, all->indices, &details)
                : prunesid_select(
                      &config, input, workspace, n_bytes, all->indices, out->n_kept, &details);
        if (status != PRUNESID_OK) return status;
        const double ms = 1e-6 * (double)selection_ns(&details.stats);
        if (turn == 0) {
            out->coverage = details.stats.coverage;
            out->n_survivors = details.stats.n_survivors;
        }
        out->ms = turn == 0 || ms < out->ms ? ms : out->ms;
    }
    return PRUNESID_OK;
}

/* A budget with too little room for the protected tokens is left out, unless every one is. */
static prunesid_status measure_image(
    const sweep *s, const prunesid_region *region, measurement *out) {
    prunesid_config config = s->all->config;
    size_t n_bytes = 0, n_measured = 0;
    for (size_t p = 0; p < s->n_rules; p++) {
        const size_t budget = budget_of(s->all, &s->rules[p], region->input.n_tokens);
        config.budget = budget > config.budget ? budget : config.budget;
    }
    prunesid_status status =
        prunesid_workspace_size(&config, region->input.n_tokens, region->input.dim, &n_bytes);
    if (status != PRUNESID_OK) return status;
    void *const workspace = allocate_workspace(n_bytes);
    for (size_t p = 0; p < s->n_rules && status == PRUNESID_OK; p++) {
        status = measure_point(s, region, &s->rules[p], workspace, n_bytes, &out[p]);
        n_measured += status == PRUNESID_OK;
        if (status != PRUNESID_ERROR_PROTECTED_COUNT) continue;
        out[p].n_kept = 0;
        status = PRUNESID_OK;
    }
    free(workspace);
    return status == PRUNESID_OK && n_measured == 0 ? PRUNESID_ERROR_PROTECTED_COUNT : status;
}

static void measure_images(sweep *s, unsigned char *failed) {
    const job *const all = s->all;
    s->found = (measurement *)allocate(all->n_images * s->n_rules, sizeof *s->found);
    s->files = (size_t *)allocate(all->n_images, sizeof *s->files);
    s->sizes = (double *)allocate(all->n_images, sizeof *s->sizes);
    for (size_t i = 0; i < all->n_images; i++) {
        const size_t file = all->images[i].file;
        const prunesid_status status =
            measure_image(s, &all->regions[i], s->found + s->n_images * s->n_rules);
        if (status == PRUNESID_OK) {
            s->sizes[s->n_images] = (double)all->regions[i].input.n_tokens;
            s->files[s->n_images++] = file;
        } else {
            failed[file] = 1;
            report(all->paths[file], "image %zu: %s", all->images[i].number,
                prunesid_status_string(status));
        }
    }
}

/* ---- all images --------------------------------------------------------------------------- */

static int compare_reals(const void *a, const void *b) {
    const double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

/* The lower of two in the middle; sorts values. */
static double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare_reals);
    return values[(n - 1) / 2];
}

/* Of the images that have it: how many there are. */
static size_t sum_up_point(const sweep *s, size_t p, double *values, curve_point *out) {
    const measurement **const found =
        (const measurement **)allocate(s->n_images, sizeof(const measurement *));
    size_t n = 0;
    for (size_t i = 0; i < s->n_images; i++)
        if (s->found[i * s->n_rules + p].n_kept > 0) found[n++] = &s->found[i * s->n_rules + p];
    if (n > 0) {
        for (size_t i = 0; i < n; i++) values[i] = (double)found[i]->budget;
        out->budget = median(values, n);
        out->share = s->rules[p].share;
        for (size_t i = 0; i < n; i++) values[i] = (double)found[i]->n_kept;
        out->keep = median(values, n);
        for (size_t i = 0; i < n; i++) values[i] = (double)found[i]->n_survivors;
        out->survivors = median(values, n);
        for (size_t i = 0; i < n; i++) values[i] = found[i]->left;
        out->left = median(values, n);
        for (size_t i = 0; i < n; i++) values[i] = found[i]->coverage;
        out->coverage = median(values, n);
        out->least_coverage = values[0];
        for (size_t i = 0; i < n; i++) values[i] = found[i]->ms;
        out->select_ms = median(values, n);
        out->most_ms = values[n - 1];
        out->n_images = n;
    }
    free(found);
    return n;
}

/* A budget as it is asked for: a number, or a share as a percentage. */
static const char *budget_text(size_t n_tokens, double share, char text[CAUSE_BYTES]) {
    if (share > 0)
        snprintf(text, CAUSE_BYTES, "%g%%", 100 * share);
    else
        snprintf(text, CAUSE_BYTES, "%zu", n_tokens);
    return text;
}

static int compare_points(const void *a, const void *b) {
    const curve_point *const one = (const curve_point *)a, *const other = (const curve_point *)b;
    return (one->budget > other->budget) - (one->budget < other->budget);
}

/* The point farthest above the straight line between the ends: until there a token adds more
 * coverage than the average one, behind it less. Less than a fiftieth above it is no bend. */
static size_t find_bend(const curve_point *points, size_t n) {
    const double width = n > 0 ? points[n - 1].budget - points[0].budget : 0;
    double most = 0.02;
    size_t bend = n;
    for (size_t p = 1; p + 1 < n; p++) {
        const double part = (points[p].budget - points[0].budget) / width;
        const double line =
            points[0].coverage + part * (points[n - 1].coverage - points[0].coverage);
        if (!(points[p].coverage - line > most)) continue;
        most = points[p].coverage - line;
        bend = p;
    }
    return bend;
}

static void sum_up(sweep *s) {
    double *const values = (double *)allocate(s->n_images, sizeof *values);
    char text[CAUSE_BYTES];
    s->points = (curve_point *)allocate(s->n_rules, sizeof *s->points);
    for (size_t p = 0; p < s->n_rules; p++) {
        const size_t n = sum_up_point(s, p, values, &s->points[s->n_points]);
        s->n_points += n > 0;
        if (n == s->n_images) continue;
        s->leaves_out = 1;
        report(option_name(OPTION_KEEP),
            "%s has no room for %zu protected tokens: left out for %zu of %zu images",
            budget_text(s->rules[p].n_tokens, s->rules[p].share, text), s->all->n_protected,
            s->n_images - n, s->n_images);
    }
    qsort(s->points, s->n_points, sizeof *s->points, compare_points);
    s->bend = find_bend(s->points, s->n_points);
    s->n_tokens = (size_t)median(s->sizes, s->n_images);
    free(values);
}

/* ---- what it says ------------------------------------------------------------------------- */

static void print_sweep_json(const sweep *s) {
    const int many = s->n_images > 1;
    printf("{\"version\": %d, \"files\": [", JSON_VERSION);
    for (size_t i = 0; i < s->n_images; i++) {
        if (i > 0) printf(", ");
        utf8_print_json(stdout, s->all->paths[s->files[i]]);
    }
    printf("], \"method\": \"%s\", \"tokens\": %zu, \"text\": %zu, \"points\": [",
        method_name(s->all->of[OPTION_METHOD].number), s->n_tokens, s->all->of[OPTION_TEXT].number);
    for (size_t p = 0; p < s->n_points; p++) {
        const curve_point *const at = &s->points[p];
        printf("%s{\"keep\": %.0f, \"budget\": %.0f", p > 0 ? ", " : "", at->keep, at->budget);
        if (at->share > 0) printf(", \"share\": %.17g", at->share);
        printf(", \"coverage\": %.17g, \"survivors\": %.0f, \"select_ms\": %.6g"
               ", \"prefill_left\": %.17g",
            at->coverage, at->survivors, at->select_ms, at->left);
        if (many)
            printf(", \"worst_coverage\": %.17g, \"slowest_ms\": %.6g, \"images\": %zu",
                at->least_coverage, at->most_ms, at->n_images);
        putchar('}');
    }
    if (s->bend < s->n_points)
        printf("], \"bend\": %.0f, \"bend_budget\": %.0f", s->points[s->bend].keep,
            s->points[s->bend].budget);
    else
        printf("], \"bend\": null, \"bend_budget\": null");
    print_failed(s->all);
    printf("}\n");
}

/* "3 images of 1 to 8 tokens". */
static const char *sizes_text(const sweep *s, char text[CAUSE_BYTES]) {
    const size_t least = (size_t)s->sizes[0], most = (size_t)s->sizes[s->n_images - 1];
    char range[CAUSE_BYTES / 2] = "";
    if (least < most) snprintf(range, sizeof range, "%zu to ", least);
    snprintf(text, CAUSE_BYTES, "%zu image%s of %s%zu token%s", s->n_images,
        s->n_images > 1 ? "s" : "", range, most, most > 1 ? "s" : "");
    return text;
}

static void print_bend(const sweep *s) {
    if (s->bend == s->n_points) {
        printf(
            "\nNo bend: over these budgets coverage grows about evenly, or hardly at all. Choose "
            "by what\nthe prefill may cost, and compare answers on your own data.\n");
        return;
    }
    const curve_point *const at = &s->points[s->bend];
    printf(
        "\nThe curve bends at %.0f tokens: coverage %.3f with %.0f %% of the prefill's tokens. Up "
        "to there a\ntoken adds more coverage than the average one, behind it less.",
        at->budget, at->coverage, 100 * at->left);
    if (s->n_images > 1) printf(" The worst image is at %.3f there.", at->least_coverage);
    printf(
        "\nThat makes it a budget to start from, not one that is known to be enough: coverage "
        "says how much\nof the tokens the kept ones resemble, not how well a model answers. "
        "Compare answers on your own\ndata, with the budgets on both sides of it; text and small "
        "details need more.\n");
}

static void print_sweep_table(const sweep *s) {
    const int many = s->n_images > 1;
    char text[CAUSE_BYTES];
    printf("%s, %s%s\n\n", sizes_text(s, text), method_name(s->all->of[OPTION_METHOD].number),
        many ? "; medians" : "");
    printf("%7s  %8s  %8s", "budget", "keep", "coverage");
    if (many) printf("  %8s", "worst");
    printf("  %9s  %9s", "survivors", "select ms");
    if (many) printf("  %9s", "slowest");
    printf("  %12s\n", "prefill left");
    for (size_t p = 0; p < s->n_points; p++) {
        const curve_point *const at = &s->points[p];
        printf("%7s  %8.0f  %8.4f", budget_text((size_t)at->budget, at->share, text), at->keep,
            at->coverage);
        if (many) printf("  %8.4f", at->least_coverage);
        printf("  %9.0f  %9.3f", at->survivors, at->select_ms);
        if (many) printf("  %9.3f", at->most_ms);
        printf("  %10.1f %%%s\n", 100 * at->left, p == s->bend ? "  <- bends" : "");
    }
    print_bend(s);
}

static int stage_curve(const sweep *s, npy_staged *out) {
    const char *const path = s->all->of[OPTION_OUTPUT].text;
    char title[2 * CAUSE_BYTES], sizes[CAUSE_BYTES], cause[CAUSE_BYTES];
    size_t n_bytes = 0;
    if (path == NULL) return EXIT_OK;
    snprintf(title, sizeof title, "%s: %s", method_name(s->all->of[OPTION_METHOD].number),
        sizes_text(s, sizes));
    const curve_request request = {.points = s->points,
        .n_points = s->n_points,
        .n_images = s->n_images,
        .bend = s->bend,
        .n_tokens = (double)s->n_tokens,
        .title = title};
    unsigned char *const bytes = curve_draw(&request, s->as_png, &n_bytes, cause, sizeof cause);
    const int status =
        bytes == NULL ? -1 : npy_stage(path, bytes, n_bytes, "", 0, out, cause, CAUSE_BYTES);
    free(bytes);
    return status == 0 ? EXIT_OK : report(path, "%s", cause);
}

static int show(const sweep *s) {
    npy_staged staged = {0};
    char cause[CAUSE_BYTES];
    int status = stage_curve(s, &staged);
    if (status == EXIT_OK && !writes_to_output(s->all->of)) {
        if (s->all->of[OPTION_JSON].given)
            print_sweep_json(s);
        else
            print_sweep_table(s);
        status = finish_printing();
    }
    if (status == EXIT_OK && staged.target != NULL && npy_commit(&staged, cause, CAUSE_BYTES) != 0)
        status = report(s->all->of[OPTION_OUTPUT].text, "%s", cause);
    npy_discard(&staged);
    return status;
}

int run_sweep(job *all) {
    sweep s = {.all = all};
    int status = read_ending(all, &s.as_png);
    if (status == EXIT_OK) status = load_images(all);
    if (status != EXIT_OK) return status;
    if (all->n_images > 0) {
        choose_rules(&s);
        measure_images(&s, all->failed);
    }
    if (s.n_images > 0) {
        sum_up(&s);
        status = show(&s);
        if (s.leaves_out) status = EXIT_BAD_INPUT;
    }
    for (size_t f = 0; f < all->n_files; f++)
        if (all->failed[f]) status = EXIT_BAD_INPUT;
    free(s.rules);
    free(s.found);
    free(s.files);
    free(s.sizes);
    free(s.points);
    return s.n_images > 0 ? status : EXIT_BAD_INPUT;
}
