/* stream.c - a batch of any length: its files are loaded, pruned and written a few at a time.   MIT
 * licence. */
#include "tool.h"

#include "utf8.h"

#include <unistd.h>

/* What is left of the images that are done. */
typedef struct totals {
    size_t *budgets, *files; /* [n_images] of each image */
    size_t n_images, room;
    size_t n_tokens, n_kept; /* of all of them */
} totals;

static void count_image(totals *sum, const prunesid_region *region, size_t file) {
    if (sum->n_images == sum->room) {
        sum->room = 2 * (sum->room + 512);
        sum->budgets = (size_t *)realloc(sum->budgets, sum->room * sizeof *sum->budgets);
        sum->files = (size_t *)realloc(sum->files, sum->room * sizeof *sum->files);
        if (sum->budgets == NULL || sum->files == NULL)
            exit(report("memory", "no room for %zu images", sum->room));
    }
    sum->budgets[sum->n_images] = region->share;
    sum->files[sum->n_images++] = file;
    sum->n_tokens += region->input.n_tokens;
    sum->n_kept += region->n_kept;
}

/* ---- a few files -------------------------------------------------------------------------- */

/* Files [at, at + n) as a job of their own, without those that failed before. Loads them. */
static int open_part(const job *all, size_t at, size_t n, job *part) {
    *part = *all;
    part->paths = all->paths + at;
    part->n_files = n;
    part->files = NULL;
    part->failed = NULL;
    return load_images(part);
}

/* Frees what was loaded; what all has to remember goes there. */
static void close_part(job *all, job *part, size_t at) {
    for (size_t f = 0; f < part->n_files && part->failed != NULL; f++)
        if (part->failed[f]) all->failed[at + f] = 1;
    all->n_scored = part->n_scored;
    free_images(part);
}

/* How many files at once, from at on: one for each thread, up to one that failed before. */
static size_t part_size(const job *all, size_t at) {
    const size_t wanted = all->of[OPTION_THREADS].number;
    size_t n = 0;
    while (n < wanted && at + n < all->n_files && !all->failed[at + n]) n++;
    return n;
}

static void show_progress(const job *all, size_t n_done) {
    if (!isatty(STDERR_FILENO)) return;
    if (n_done < all->n_files)
        fprintf(stderr, "\r%zu of %zu files", n_done, all->n_files);
    else
        fputs("\r\033[K", stderr); /* the line is emptied */
}

/* ---- budgets of all ----------------------------------------------------------------------- */

/* What --dynamic needs of every image. */
typedef struct shares {
    double *phi;
    size_t *wanted; /* [4, n]: budgets by themselves, floors, ceilings, and what comes out */
    size_t n;
} shares;

static void add_shares(const job *part, shares *to) {
    const size_t n = to->n + part->n_images;
    to->phi = (double *)realloc(to->phi, (n + 1) * sizeof *to->phi);
    to->wanted = (size_t *)realloc(to->wanted, (4 * n + 1) * sizeof *to->wanted);
    if (to->phi == NULL || to->wanted == NULL) exit(report("memory", "no room for %zu images", n));
    for (size_t i = 0; i < part->n_images; i++) {
        to->phi[to->n + i] = part->images[i].information.phi;
        to->wanted[to->n + i] = budget_for(part, part->regions[i].input.n_tokens);
    }
    to->n = n;
}

/* Reads every file once for its phi, and shares the budget. */
static int share_budgets(job *all, shares *out) {
    for (size_t at = 0, n; at < all->n_files; at += n) {
        job part;
        n = part_size(all, at);
        int status = open_part(all, at, n, &part);
        if (status == EXIT_OK) status = measure(&part);
        if (status == EXIT_OK) {
            for (size_t i = 0; i < part.n_images;) /* a file is good as a whole or not at all */
                if (part.failed[part.images[i].file])
                    drop_image(&part, i);
                else
                    i++;
            add_shares(&part, out);
        }
        close_part(all, &part, at);
        if (status != EXIT_OK) return status;
    }
    all->n_scored = 0;
    size_t *const low = out->wanted + out->n, *const high = low + out->n;
    for (size_t i = 0; i < out->n; i++) {
        low[i] = smallest_budget(all);
        high[i] = largest_budget(all);
    }
    if (out->n == 0) return EXIT_OK;
    const prunesid_status status =
        choose_budgets(all, out->phi, out->n, out->wanted, low, high, high + out->n);
    return status == PRUNESID_OK
               ? EXIT_OK
               : report(option_name(OPTION_KEEP), "%s", prunesid_status_string(status));
}

/* ---- names -------------------------------------------------------------------------------- */

/* Bytes of the folder that all files are in. */
static size_t common_folder(const job *all) {
    const char *const first = all->paths[0];
    size_t n = strlen(first);
    for (size_t f = 0; f < all->n_files; f++) {
        size_t same = 0;
        while (same < n && all->paths[f][same] == first[same]) same++;
        n = same;
        while (n > 0 && first[n - 1] != '/') n--;
    }
    return n;
}

/* What the outputs of a file are called: its name, or where two files have one name its path in the
 * common folder with _ for each further folder; without ".npy". */
static char *output_name(const job *all, const char *path) {
    const char *const slash = strrchr(path, '/'), *const base = slash != NULL ? slash + 1 : path;
    const char *const from = strcmp(path, "-") == 0 ? "stdin"
                             : all->names_by_path   ? path + all->n_common
                                                    : base;
    const size_t length = strlen(from);
    const int ends = length > 4 && strcmp(from + length - 4, ".npy") == 0;
    char *const name = (char *)allocate(length + 1, 1);
    memcpy(name, from, ends ? length - 4 : length);
    for (char *at = name; *at != '\0'; at++) *at = *at == '/' ? '_' : *at;
    return name;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int is_name(char *const *names, size_t n, const char *name) {
    return bsearch(&name, names, n, sizeof *names, compare_names) != NULL;
}

/* Cuts a last part of name off, what follows its last dot; returns it, or NULL. */
static char *cut_part(char *name) {
    char *const dot = strrchr(name, '.');
    if (dot == NULL) return NULL;
    *dot = '\0';
    return dot + 1;
}

/* Whether an output would take the place of another, or of a file that is still to be read. */
static int check_name(const job *all, char *const *names, const char *path) {
    const char *const folder = all->of[OPTION_OUT_DIR].text;
    char *const name = output_name(all, path), *const inside = (char *)allocate(
                                                   strlen(folder) + strlen(name) + 8, 1);
    sprintf(inside, "%s/%s.npy", folder, name);
    const int is_there = are_same_file(inside, path);
    const char *const part = cut_part(name);
    int status = EXIT_OK;
    if (part != NULL && is_name(names, all->n_files, name)) {
        const int is_output = strcmp(part, "indices") == 0 || strcmp(part, "tokens") == 0;
        if ((is_output && is_there) || (*part != '\0' && part[strspn(part, "0123456789")] == '\0'))
            status = report(path, "%s would write into the place of what belongs to %s.npy",
                option_name(OPTION_OUT_DIR), name);
    }
    free(inside);
    free(name);
    return status;
}

/* Sorted; whether no two are the same. */
static int list_names(const job *all, char **names) {
    for (size_t f = 0; f < all->n_files; f++) {
        free(names[f]);
        names[f] = output_name(all, all->paths[f]);
    }
    qsort(names, all->n_files, sizeof *names, compare_names);
    for (size_t f = 1; f < all->n_files; f++)
        if (strcmp(names[f - 1], names[f]) == 0) return 0;
    return 1;
}

static int choose_names(job *all) {
    char **const names = (char **)allocate(all->n_files, sizeof *names);
    int status = EXIT_OK;
    all->n_common = common_folder(all);
    all->names_by_path = !list_names(all, names);
    if (all->names_by_path && !list_names(all, names))
        status =
            report(option_name(OPTION_OUT_DIR), "two files have one name, or one is given twice");
    for (size_t f = 0; f < all->n_files && status == EXIT_OK; f++)
        status = check_name(all, names, all->paths[f]);
    for (size_t f = 0; f < all->n_files; f++) free(names[f]);
    free(names);
    return status;
}

static int make_folder(const char *path) {
    struct stat what;
    if (mkdir(path, 0777) == 0) return EXIT_OK;
    const int cause = errno;
    if (stat(path, &what) == 0 && S_ISDIR(what.st_mode)) return EXIT_OK;
    return report(path, "%s", cause == EEXIST ? "not a folder" : strerror(cause));
}

/* ---- one image ---------------------------------------------------------------------------- */

/* DIR/NAME.kind.npy, or DIR/NAME.number.kind.npy where a file has several images. */
static char *output_path(const job *part, const image *of, const char *kind) {
    const size_t window = part->of[OPTION_WINDOW].given ? part->of[OPTION_WINDOW].number : 1;
    const char *const folder = part->of[OPTION_OUT_DIR].text;
    char *const name = output_name(part, part->paths[of->file]);
    const size_t n_bytes = strlen(folder) + strlen(name) + strlen(kind) + 32;
    char *const path = (char *)allocate(n_bytes, 1);
    if (part->files[of->file].shape[0] > window)
        snprintf(path, n_bytes, "%s/%s.%zu.%s.npy", folder, name, of->number, kind);
    else
        snprintf(path, n_bytes, "%s/%s.%s.npy", folder, name, kind);
    free(name);
    return path;
}

/* Both files of an image, or neither. */
static int write_image(const job *part, size_t i) {
    const prunesid_region *const region = &part->regions[i];
    const image *const of = &part->images[i];
    char *const paths[2] = {output_path(part, of, "indices"), output_path(part, of, "tokens")};
    npy_staged staged[2] = {{0}};
    char cause[CAUSE_BYTES];
    size_t at = 0;
    int status = npy_stage_array(
        paths[0], "<i4", 1, &region->n_kept, region->indices, &staged[0], cause, CAUSE_BYTES);
    if (status == 0) {
        at = 1;
        status = stage_rows(paths[1], part, &part->files[of->file], region, 1, &staged[1], cause);
    }
    if (status == 0) status = npy_commit_all(staged, 2, &at, cause, CAUSE_BYTES);
    for (size_t s = 0; s < 2; s++) npy_discard(&staged[s]);
    if (status != 0) status = report(paths[at], "%s", cause);
    free(paths[0]);
    free(paths[1]);
    return status;
}

/* Writes and prints the images of a part, whose files begin at number at. */
static int put_images(const job *part, size_t at, totals *sum) {
    const option_value *const of = part->of;
    for (size_t i = 0; i < part->n_images; i++) {
        const size_t file = part->images[i].file;
        if (of[OPTION_OUT_DIR].given && write_image(part, i) != EXIT_OK) return EXIT_BAD_INPUT;
        if (of[OPTION_JSON].given) printf(sum->n_images > 0 ? ", " : "{\"images\": [");
        if (of[OPTION_JSON].given) print_image(part, i, NULL);
        if (of[OPTION_JSONL].given) print_image(part, i, part->paths[file]);
        count_image(sum, &part->regions[i], at + file);
    }
    return finish_printing();
}

/* ---- all of them -------------------------------------------------------------------------- */

/* What stands behind the last image, or instead of images. */
static int print_end(const job *all, const totals *sum) {
    if (all->of[OPTION_JSON].given && sum->n_images > 0) {
        printf("], \"budgets\": [");
        for (size_t i = 0; i < sum->n_images; i++) printf(i > 0 ? ", %zu" : "%zu", sum->budgets[i]);
        printf("], \"files\": [");
        for (size_t i = 0; i < sum->n_images; i++) {
            if (i > 0) printf(", ");
            utf8_print_json(stdout, all->paths[sum->files[i]]);
        }
        printf("], \"version\": %d", JSON_VERSION);
        print_failed(all);
        printf("}\n");
    } else if (!all->of[OPTION_JSON].given && !all->of[OPTION_JSONL].given) {
        printf("%zu images, %zu of %zu tokens kept: ", sum->n_images, sum->n_kept, sum->n_tokens);
        utf8_print(stdout, all->of[OPTION_OUT_DIR].text);
        putchar('\n');
    }
    return finish_printing();
}

/* budgets: of every image, or NULL where each has its own. */
static int put_files(job *all, const size_t *budgets, totals *sum) {
    for (size_t at = 0, n; at < all->n_files; at += n) {
        job part;
        n = part_size(all, at);
        if (n == 0) { /* it failed when the budgets were shared, and is reported */
            n = 1;
            continue;
        }
        int status = open_part(all, at, n, &part);
        part.has_budgets = budgets != NULL;
        for (size_t i = 0; status == EXIT_OK && budgets != NULL && i < part.n_images; i++)
            part.regions[i].budget = *budgets++;
        if (status == EXIT_OK) status = prune(&part);
        if (status == EXIT_OK) status = put_images(&part, at, sum);
        close_part(all, &part, at);
        if (status != EXIT_OK) return status;
        show_progress(all, at + n);
    }
    return print_end(all, sum);
}

int run_stream(job *all) {
    const option_value *const of = all->of;
    const int shares_all = of[OPTION_DYNAMIC].given && !of[OPTION_PHI_REF].given;
    shares budgets = {0};
    totals sum = {0};
    int status = EXIT_OK;
    for (size_t f = 0; f < all->n_files && shares_all; f++)
        if (strcmp(all->paths[f], "-") == 0)
            return usage_error("--dynamic reads each file twice: it cannot be standard input");
    all->failed = (unsigned char *)allocate(all->n_files, 1);
    if (of[OPTION_OUT_DIR].given) status = choose_names(all);
    if (status == EXIT_OK && of[OPTION_OUT_DIR].given)
        status = make_folder(of[OPTION_OUT_DIR].text);
    if (status == EXIT_OK && of[OPTION_SCORES].given) status = load_score_table(all);
    if (status == EXIT_OK && shares_all) status = share_budgets(all, &budgets);
    if (status == EXIT_OK)
        status = put_files(all, shares_all ? budgets.wanted + 3 * budgets.n : NULL, &sum);
    if (status == EXIT_OK && all->n_scored < all->score_table.shape[0])
        status = report(of[OPTION_SCORES].text, "it has %zu images, the files have %zu",
            all->score_table.shape[0], all->n_scored);
    for (size_t f = 0; f < all->n_files; f++)
        if (all->failed[f]) status = EXIT_BAD_INPUT;
    free(budgets.phi);
    free(budgets.wanted);
    free(sum.budgets);
    free(sum.files);
    return status;
}
