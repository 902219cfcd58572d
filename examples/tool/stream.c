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

/* ---- budgets of all ----------------------------------------------------------------------- */

/* What --dynamic needs of every image, and what comes out. */
typedef struct shares {
    double *phi;
    size_t *n_tokens, *budgets;
    size_t n;
} shares;

static void add_shares(const job *part, shares *to) {
    const size_t n = to->n + part->n_images;
    to->phi = (double *)realloc(to->phi, (n + 1) * sizeof *to->phi);
    to->n_tokens = (size_t *)realloc(to->n_tokens, (n + 1) * sizeof *to->n_tokens);
    if (to->phi == NULL || to->n_tokens == NULL)
        exit(report("memory", "no room for %zu images", n));
    for (size_t i = 0; i < part->n_images; i++) {
        to->phi[to->n + i] = part->images[i].information.phi;
        to->n_tokens[to->n + i] = part->regions[i].input.n_tokens;
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
    if (out->n == 0) return EXIT_OK;
    out->budgets = (size_t *)allocate(out->n, sizeof *out->budgets);
    return choose_budgets(all, out->phi, out->n_tokens, out->n, out->budgets);
}

/* ---- names -------------------------------------------------------------------------------- */

/* Without "./" in front, which says nothing. */
static const char *plain_path(const char *path) {
    while (path[0] == '.' && path[1] == '/') path += 2 + strspn(path + 2, "/");
    return path;
}

static const char *base_name(const char *path) {
    const char *const slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Bytes of the folder that all files are in. */
static size_t common_folder(const job *all) {
    const char *const first = plain_path(all->paths[0]);
    size_t n = strlen(first);
    for (size_t f = 0; f < all->n_files; f++) {
        const char *const path = plain_path(all->paths[f]);
        size_t same = 0;
        while (same < n && path[same] == first[same]) same++;
        n = same;
        while (n > 0 && first[n - 1] != '/') n--;
    }
    return n;
}

/* What the outputs of a file are called: its name, or where two files have one name its path in the
 * common folder with _ for each further folder; without ".npy". */
static char *output_name(const job *all, const char *path) {
    const char *const from = strcmp(path, "-") == 0 ? "stdin"
                             : all->names_by_path   ? plain_path(path) + all->n_common
                                                    : base_name(path);
    const size_t length = strlen(from);
    const int ends = length > 4 && strcmp(from + length - 4, ".npy") == 0;
    char *const name = (char *)allocate(length + 1, 1);
    memcpy(name, from, ends ? length - 4 : length);
    for (char *at = name; *at != '\0'; at++) *at = *at == '/' ? '_' : *at;
    return name;
}

static size_t count_windows(const job *all, size_t n_frames) {
    const size_t n = all->of[OPTION_WINDOW].given ? all->of[OPTION_WINDOW].number : 1;
    return n_frames / n + (n_frames % n > 0);
}

/* DIR/NAME.kind.npy, or DIR/NAME.number.kind.npy where a file has several images. */
static char *output_path(
    const job *all, const char *file, size_t n_images, size_t number, const char *kind) {
    const char *const folder = all->of[OPTION_OUT_DIR].text;
    char *const name = output_name(all, file);
    const size_t n_bytes = strlen(folder) + strlen(name) + strlen(kind) + 32;
    char *const path = (char *)allocate(n_bytes, 1);
    if (n_images > 1)
        snprintf(path, n_bytes, "%s/%s.%zu.%s.npy", folder, name, number, kind);
    else
        snprintf(path, n_bytes, "%s/%s.%s.npy", folder, name, kind);
    free(name);
    return path;
}

/* What a file's outputs are called, and of how many images there are some; 0: not known. */
typedef struct named {
    char *name;
    const char *path;
    size_t n_images;
} named;

static int compare_names(const void *a, const void *b) {
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

/* Whether an image of the file is called as image number k of another. */
static int check_name(const job *all, const named *names, const named *one) {
    named other = {.name = (char *)allocate(strlen(one->name) + 1, 1)};
    strcpy(other.name, one->name);
    char *const dot = strrchr(other.name, '.');
    const char *const digits = dot != NULL ? dot + 1 : "";
    int status = EXIT_OK;
    if (dot != NULL) *dot = '\0';
    const named *const found =
        (const named *)bsearch(&other, names, all->n_files, sizeof *names, compare_names);
    const int is_number = *digits != '\0' && digits[strspn(digits, "0123456789")] == '\0' &&
                          (*digits != '0' || digits[1] == '\0');
    if (found != NULL && is_number && one->n_images <= 1 &&
        (found->n_images == 0 ||
            (found->n_images > 1 && strtoull(digits, NULL, 10) < found->n_images)))
        status = report(one->path, "%s would write into the place of what belongs to %s",
            option_name(OPTION_OUT_DIR), found->path);
    free(other.name);
    return status;
}

/* Sorted; whether no two are the same. */
static int list_names(const job *all, named *names) {
    size_t shape[2];
    for (size_t f = 0; f < all->n_files; f++) {
        free(names[f].name);
        names[f].path = all->paths[f];
        names[f].name = output_name(all, names[f].path);
        names[f].n_images =
            peek_shape(all, names[f].path, shape) ? count_windows(all, shape[0]) : 0;
    }
    qsort(names, all->n_files, sizeof *names, compare_names);
    for (size_t f = 1; f < all->n_files; f++)
        if (compare_names(&names[f - 1], &names[f]) == 0) return 0;
    return 1;
}

/* ---- places ------------------------------------------------------------------------------- */

static int compare_places(const void *a, const void *b) {
    const place *const one = (const place *)a, *const other = (const place *)b;
    return one->device != other->device
               ? (one->device > other->device) - (one->device < other->device)
               : (one->number > other->number) - (one->number < other->number);
}

/* And those of one file by their names. */
static int compare_inputs(const void *a, const void *b) {
    const int order = compare_places(a, b);
    return order != 0
               ? order
               : strcmp(base_name(((const place *)a)->path), base_name(((const place *)b)->path));
}

/* And links last. */
static int compare_outputs(const void *a, const void *b) {
    const int order = compare_places(a, b);
    return order != 0 ? order : ((const place *)a)->is_link - ((const place *)b)->is_link;
}

static void add_place(places *list, const struct stat *about, const char *path, int is_link) {
    const place one = {about->st_dev, about->st_ino, path, is_link};
    if (list->n == list->room) {
        list->room = 2 * (list->room + 64);
        list->at = (place *)realloc(list->at, list->room * sizeof *list->at);
        if (list->at == NULL) exit(report("memory", "no room for %zu files", list->room));
    }
    list->at[list->n++] = one;
}

static void add_input(places *list, const char *path) {
    struct stat about;
    if ((strcmp(path, "-") == 0 ? fstat(STDIN_FILENO, &about) : stat(path, &about)) == 0)
        add_place(list, &about, path, 0);
}

/* What no output may take the place of: all that is read, and where standard output goes. */
static int list_inputs(job *all) {
    places *const list = &all->inputs;
    struct stat about;
    for (size_t f = 0; f < all->n_files; f++) add_input(list, all->paths[f]);
    if (list->n > 0) qsort(list->at, list->n, sizeof *list->at, compare_inputs);
    for (size_t i = 1; i < list->n; i++)
        if (compare_inputs(&list->at[i - 1], &list->at[i]) == 0)
            return report(list->at[i].path, "the file is given twice, and %s has one place for it",
                option_name(OPTION_OUT_DIR));
    for (size_t i = 0; i < N_INPUTS; i++)
        if (all->of[input_options[i]].given) add_input(list, all->of[input_options[i]].text);
    if (fstat(STDOUT_FILENO, &about) == 0 && S_ISREG(about.st_mode))
        add_place(list, &about, "standard output", 0);
    if (list->n > 0) qsort(list->at, list->n, sizeof *list->at, compare_places);
    return EXIT_OK;
}

/* Whether an output of a file may be written. *about: what is there, if *is_there. */
static int check_place(
    const job *all, const char *file, const char *output, struct stat *about, int *is_there) {
    *is_there = stat(output, about) == 0;
    if (!*is_there || all->inputs.n == 0) return EXIT_OK;
    const place there = {.device = about->st_dev, .number = about->st_ino};
    const place *const input = (const place *)bsearch(
        &there, all->inputs.at, all->inputs.n, sizeof *all->inputs.at, compare_places);
    if (input == NULL) return EXIT_OK;
    return report(input->path, "%s would write into the place of this file what belongs to %s",
        option_name(OPTION_OUT_DIR), file);
}

static const char *const kinds[] = {"indices", "tokens"};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* The places of a file's outputs, as far as something is there. */
static int list_outputs(const job *all, const named *of, places *outputs) {
    int status = EXIT_OK;
    for (size_t i = 0; i < N_KINDS * of->n_images && status == EXIT_OK; i++) {
        char *const path =
            output_path(all, of->path, of->n_images, i / N_KINDS, kinds[i % N_KINDS]);
        struct stat about, link;
        int is_there;
        status = check_place(all, of->path, path, &about, &is_there);
        if (status == EXIT_OK && is_there && S_ISREG(about.st_mode) && lstat(path, &link) == 0)
            add_place(outputs, &about, of->path, S_ISLNK(link.st_mode));
        free(path);
    }
    return status;
}

/* Whether every output has a place of its own. A second name that is no link is simply replaced. */
static int check_places(const job *all, const named *names) {
    places outputs = {0};
    int status = EXIT_OK;
    for (size_t f = 0; f < all->n_files && status == EXIT_OK; f++)
        status = list_outputs(all, &names[f], &outputs);
    if (outputs.n > 0) qsort(outputs.at, outputs.n, sizeof *outputs.at, compare_outputs);
    for (size_t i = 1; i < outputs.n && status == EXIT_OK; i++)
        if (compare_places(&outputs.at[i - 1], &outputs.at[i]) == 0 && outputs.at[i].is_link)
            status = report(outputs.at[i].path,
                "a link in %s puts it into the place of what belongs to %s",
                all->of[OPTION_OUT_DIR].text, outputs.at[i - 1].path);
    free(outputs.at);
    return status;
}

static int choose_names(job *all) {
    named *const names = (named *)allocate(all->n_files, sizeof *names);
    int status = list_inputs(all);
    all->n_common = common_folder(all);
    if (status == EXIT_OK) all->names_by_path = !list_names(all, names);
    if (status == EXIT_OK && all->names_by_path && !list_names(all, names))
        status =
            report(option_name(OPTION_OUT_DIR), "two files have one name, or one is given twice");
    for (size_t f = 0; f < all->n_files && status == EXIT_OK; f++)
        status = check_name(all, names, &names[f]);
    if (status == EXIT_OK) status = check_places(all, names);
    for (size_t f = 0; f < all->n_files; f++) free(names[f].name);
    free(names);
    return status;
}

static int check_score_total(const job *all, size_t n_images) {
    if (n_images >= all->score_table.shape[0]) return EXIT_OK;
    return report(all->of[OPTION_SCORES].text, "it has %zu images, the files have %zu",
        all->score_table.shape[0], n_images);
}

/* Whether the scores are for just these files, as far as their headers tell. */
static int check_score_table(const job *all) {
    size_t n = 0, shape[2];
    for (size_t f = 0; f < all->n_files; f++) {
        if (!peek_shape(all, all->paths[f], shape)) return EXIT_OK; /* seen to when it is loaded */
        if (check_score_rows(all, all->paths[f], shape, n) != EXIT_OK) return EXIT_BAD_INPUT;
        n += shape[0];
    }
    return check_score_total(all, n);
}

static int make_folder(const char *path) {
    struct stat what;
    if (mkdir(path, 0777) == 0) return EXIT_OK;
    const int cause = errno;
    if (stat(path, &what) == 0 && S_ISDIR(what.st_mode)) return EXIT_OK;
    return report(path, "%s", cause == EEXIST ? "not a folder" : strerror(cause));
}

/* ---- one image ---------------------------------------------------------------------------- */

/* Both files of an image, or neither. */
static int write_image(const job *part, size_t i) {
    const prunesid_region *const region = &part->regions[i];
    const image *const of = &part->images[i];
    const char *const file = part->paths[of->file];
    const size_t n_images = count_windows(part, part->files[of->file].shape[0]);
    char *paths[N_KINDS];
    npy_staged staged[N_KINDS] = {{0}};
    char cause[CAUSE_BYTES];
    size_t at = 0;
    int status = EXIT_OK;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct stat about;
        int is_there;
        paths[k] = output_path(part, file, n_images, of->number, kinds[k]);
        if (status == EXIT_OK) status = check_place(part, file, paths[k], &about, &is_there);
    }
    const int is_free = status == EXIT_OK;
    if (is_free)
        status = npy_stage_array(
            paths[0], "<i4", 1, &region->n_kept, region->indices, &staged[0], cause, CAUSE_BYTES);
    if (status == EXIT_OK) {
        at = 1;
        status = stage_rows(paths[1], part, &part->files[of->file], region, 1, &staged[1], cause);
    }
    if (status == EXIT_OK) status = npy_commit_all(staged, N_KINDS, &at, cause, CAUSE_BYTES);
    if (status != EXIT_OK && is_free) status = report(paths[at], "%s", cause);
    for (size_t k = 0; k < N_KINDS; k++) {
        npy_discard(&staged[k]);
        free(paths[k]);
    }
    return status;
}

/* Writes and prints the images of a part, whose files begin at number at. */
static int put_images(const job *part, size_t at, totals *sum) {
    const option_value *const of = part->of;
    for (size_t i = 0; i < part->n_images; i++) {
        const size_t file = part->images[i].file;
        if (of[OPTION_OUT_DIR].given && write_image(part, i) != EXIT_OK) {
            part->failed[file] = 1;
            return EXIT_BAD_INPUT;
        }
        if (of[OPTION_JSON].given) printf(sum->n_images > 0 ? ", " : "{\"images\": [");
        if (of[OPTION_JSON].given) print_image(part, i, NULL);
        if (of[OPTION_JSONL].given) print_image(part, i, part->paths[file]);
        count_image(sum, &part->regions[i], at + file);
    }
    return finish_printing();
}

/* ---- all of them -------------------------------------------------------------------------- */

/* What stands behind the last image, or instead of images; of a stream that stopped, too. */
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
        show_progress(NULL);
        if (status == EXIT_OK) status = put_images(&part, at, sum);
        close_part(all, &part, at);
        if (status != EXIT_OK) {
            if (all->of[OPTION_JSON].given && !ferror(stdout)) print_end(all, sum);
            return status;
        }
        if (at + n < all->n_files) show_progress("%zu of %zu files", at + n, all->n_files);
    }
    show_progress(NULL);
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
    /* One file takes its scores by itself, as without a stream: --item may choose among them. */
    if (status == EXIT_OK && of[OPTION_SCORES].given &&
        (all->n_files > 1 || !of[OPTION_ITEM].given))
        status = load_score_table(all);
    if (status == EXIT_OK && all->score_table.data != NULL) status = check_score_table(all);
    if (status == EXIT_OK && shares_all) status = share_budgets(all, &budgets);
    if (status == EXIT_OK) status = put_files(all, shares_all ? budgets.budgets : NULL, &sum);
    if (status == EXIT_OK) status = check_score_total(all, all->n_scored);
    for (size_t f = 0; f < all->n_files; f++)
        if (all->failed[f]) status = EXIT_BAD_INPUT;
    free(budgets.phi);
    free(budgets.n_tokens);
    free(budgets.budgets);
    free(all->inputs.at);
    free(sum.budgets);
    free(sum.files);
    return status;
}
