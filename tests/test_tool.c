/* test_tool.c - the command-line tool from outside: output, exit codes, error lines, files.
 *
 * Runs the program PRUNESID_TOOL, a compile definition. Each test runs in a new directory below
 * TMPDIR that holds links to the example data and what the test puts there, so that anything left
 * behind shows. MIT licence. */
#include "npy_save.h"

#include "support.h"

#include <dirent.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 40, MAX_LINE = 1024, MAX_LIST = 4096, MAX_OWNED = 2048 };
enum { CAUSE_BYTES = 256, TIMEOUT_SECONDS = 120 };

/* The example data as the tests call it. */
static const struct {
    const char *name, *file;
} links[] = {{"astronaut", "astronaut_vit384/tokens.npy"}, {"coffee", "coffee_vit384/tokens.npy"},
    {"chelsea", "chelsea_vit384/tokens.npy"}, {"wide", "chelsea_mlp384/tokens.npy"},
    {"attention", "astronaut_vit384/cls_attention.npy"},
    {"attention.coffee", "coffee_vit384/cls_attention.npy"},
    {"attention.chelsea", "chelsea_vit384/cls_attention.npy"},
    {"photo.png", "coffee_vit384/photo.png"}};
enum { N_IMAGES = 4, N_NARROW = 3, IMAGE_TOKENS = 576 }; /* of the links */

/* The small matrix that most tests use, t.npy. */
enum { T = 20, D = 8 };

/* ---- memory and files of one test --------------------------------------------------------- */

static void *owned[MAX_OWNED];
static size_t n_owned;
static char directory[4096], origin[4096];

/* Freed after the test. */
static void *own(void *memory) {
    assert_non_null(memory);
    assert_true(n_owned < MAX_OWNED);
    return owned[n_owned++] = memory;
}

static int enter(void **state) {
    const char *const base = getenv("TMPDIR");
    char target[4096];
    (void)state;
    snprintf(directory, sizeof directory, "%s/prunesid_tool_XXXXXX", base != NULL ? base : "/tmp");
    if (getcwd(origin, sizeof origin) == NULL || mkdtemp(directory) == NULL ||
        chdir(directory) != 0)
        return -1;
    for (size_t i = 0; i < N_ITEMS(links); i++) {
        snprintf(target, sizeof target, "%s/%s", PRUNESID_EXAMPLES_DATA, links[i].file);
        if (symlink(target, links[i].name) != 0) return -1;
    }
    return 0;
}

/* What the test and the tool have put here; deletes everything on the way if asked. */
static size_t count_files(int deletes) {
    DIR *const here = opendir(".");
    size_t n = 0;
    assert_non_null(here);
    for (const struct dirent *entry = readdir(here); entry != NULL; entry = readdir(here)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        n++;
        if (deletes && unlink(entry->d_name) != 0) rmdir(entry->d_name);
    }
    closedir(here);
    return n - N_ITEMS(links);
}

static int leave(void **state) {
    (void)state;
    count_files(1);
    while (n_owned > 0) free(owned[--n_owned]);
    return chdir(origin) != 0 || rmdir(directory) != 0;
}

static char *read_stream(FILE *stream, size_t *n_bytes) {
    assert_int_equal(fseek(stream, 0, SEEK_END), 0);
    const size_t length = (size_t)ftell(stream);
    char *const text = (char *)own(malloc(length + 1));
    rewind(stream);
    assert_int_equal(fread(text, 1, length, stream), length);
    text[length] = '\0';
    if (n_bytes != NULL) *n_bytes = length;
    fclose(stream);
    return text;
}

static void write_bytes(const char *path, const void *bytes, size_t n_bytes) {
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    assert_int_equal(fclose(file), 0);
}

static void save(
    const char *path, const char *descr, int n_dims, const size_t *shape, const void *data) {
    char cause[CAUSE_BYTES] = "";
    CHECK(npy_save(path, descr, n_dims, shape, data, cause, sizeof cause) == 0, "%s: %s", path,
        cause);
}

static npy_array load_file(const char *path) {
    npy_array array;
    char cause[CAUSE_BYTES] = "";
    CHECK(npy_load(path, &array, cause, sizeof cause) == 0, "%s: %s", path, cause);
    own(array.data);
    return array;
}

/* A repeatable number in [-2, 2) with few enough bits for float16. */
static float some_value(size_t i) {
    const uint32_t mixed = ((uint32_t)i + 1u) * 2654435761u;
    return (float)(mixed >> 24) / 64.0f - 2.0f;
}

static float *some_values(size_t n, size_t first, float above) {
    float *const values = (float *)own(malloc(n * sizeof *values));
    for (size_t i = 0; i < n; i++) values[i] = above + some_value(first + i);
    return values;
}

/* n_rows x n_columns of some_value, with one element replaced if there is a place for it. */
static void save_matrix(
    const char *path, size_t n_rows, size_t n_columns, size_t place, float with) {
    const size_t shape[2] = {n_rows, n_columns};
    float *const values = some_values(n_rows * n_columns, 0, 0);
    if (place < n_rows * n_columns) values[place] = with;
    save(path, "<f4", n_columns > 1 ? 2 : 1, shape, values);
}

static void save_good(const char *path) {
    save_matrix(path, T, D, SIZE_MAX, 0);
}

/* Rows [first, end) of from, of one dimension or two, as a file of their own. */
static void cut(const char *path, const char *from, size_t first, size_t end) {
    const npy_array all = load_file(from);
    const char descr[] = {'<', all.kind, (char)('0' + all.item_bytes), '\0'};
    const size_t shape[2] = {end - first, all.shape[1]};
    save(path, descr, all.n_dims, shape,
        (const char *)all.data + first * all.shape[1] * all.item_bytes);
}

/* ---- running ------------------------------------------------------------------------------ */

typedef struct result {
    int code;
    char *out, *err;
} result;

/* Arguments are what stands between blanks; ~ stands for a blank inside one. */
static void become_tool(char *line, const char *threads, int out, int err) {
    char name[] = "prunesid";
    char *argv[MAX_ARGUMENTS + 2] = {name};
    size_t n = 1;
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) {
        if (n > MAX_ARGUMENTS) _exit(126);
        argv[n++] = word;
        for (; *word != '\0'; word++) *word = *word == '~' ? ' ' : *word;
    }
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    if (threads != NULL) setenv("OPENBLAS_NUM_THREADS", threads, 1);
    alarm(TIMEOUT_SECONDS); /* outlives execv: a hang becomes a failure */
    execv(PRUNESID_TOOL, argv);
    _exit(127);
}

/* threads: of OpenBLAS, or NULL; out_path: where standard output goes, or NULL. */
static result run_line(const char *threads, const char *out_path, const char *line) {
    FILE *const out = out_path == NULL ? tmpfile() : fopen(out_path, "w+");
    FILE *const err = tmpfile();
    char copy[MAX_LINE];
    assert_non_null(out);
    assert_non_null(err);
    assert_true((size_t)snprintf(copy, sizeof copy, "%s", line) < sizeof copy);
    const pid_t child = fork();
    if (child == 0) become_tool(copy, threads, fileno(out), fileno(err));
    int status = 0;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    result got = {WIFEXITED(status) ? WEXITSTATUS(status) : -1, NULL, NULL};
    got.out = read_stream(out, NULL);
    got.err = read_stream(err, NULL);
    return got;
}

/* Standard output closed, or a pipe whose reader has gone. */
static result run_unread(const char *line, int is_pipe) {
    FILE *const err = tmpfile();
    char copy[MAX_LINE];
    int ends[2] = {-1, -1}, status = 0;
    assert_non_null(err);
    assert_true((size_t)snprintf(copy, sizeof copy, "%s", line) < sizeof copy);
    if (is_pipe) {
        assert_int_equal(pipe(ends), 0);
        close(ends[0]);
    }
    const pid_t child = fork();
    if (child == 0) {
        close(STDOUT_FILENO);
        become_tool(copy, NULL, ends[1], fileno(err)); /* the end of a pipe, or none */
    }
    assert_true(child > 0);
    if (is_pipe) close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    result got = {WIFEXITED(status) ? WEXITSTATUS(status) : -1, NULL, NULL};
    got.out = (char *)own(calloc(1, 1));
    got.err = read_stream(err, NULL);
    return got;
}

/* ---- what a run must give ----------------------------------------------------------------- */

static int starts_with(const char *text, const char *wanted) {
    return strncmp(text, wanted, strlen(wanted)) == 0;
}

/* Returns what is printed. */
static char *succeed(const char *format, ...) {
    char line[MAX_LINE];
    va_list arguments;
    va_start(arguments, format);
    assert_true((size_t)vsnprintf(line, sizeof line, format, arguments) < sizeof line);
    va_end(arguments);
    const result got = run_line(NULL, NULL, line);
    CHECK(got.code == 0 && *got.err == '\0', "%s: exit %d, %s", line, got.code, got.err);
    return got.out;
}

/* What the tool must refuse: a bad file or value, which subject names, or NULL: a usage error. */
typedef struct refusal {
    const char *line, *subject, *cause;
} refusal;

/* Nothing on standard output, and on standard error one line that names subject and cause, or one
 * of cause and one of help. */
static void check_refusal(const refusal *wanted, const result *got) {
    char start[512];
    snprintf(start, sizeof start, "prunesid: %s%s", wanted->subject != NULL ? wanted->subject : "",
        wanted->subject != NULL ? ": " : "");
    const char *const behind = strchr(got->err, '\n');
    CHECK(got->code == (wanted->subject != NULL ? 1 : 2) && starts_with(got->err, start) &&
              strstr(got->err, wanted->cause) != NULL && *got->out == '\0' && behind != NULL &&
              strcmp(behind + 1, wanted->subject != NULL ? "" : "try: prunesid --help\n") == 0,
        "%s: wanted '%s...%s', got %d and '%s'", wanted->line, start, wanted->cause, got->code,
        got->err);
}

/* And no file is left behind. */
static void refuse(const char *line, const char *subject, const char *cause) {
    const refusal wanted = {line, subject, cause};
    const size_t before = count_files(0);
    const result got = run_line(NULL, NULL, line);
    check_refusal(&wanted, &got);
    CHECK(count_files(0) == before, "%s", line);
}

/* ---- JSON, as far as the tool prints it --------------------------------------------------- */

static const char *value_of(const char *json, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *const at = strstr(json, quoted);
    CHECK(at != NULL, "no %s in %s", quoted, json);
    return at + strlen(quoted);
}

static long number_of(const char *json, const char *key) {
    return strtol(value_of(json, key), NULL, 10);
}

static double real_of(const char *json, const char *key) {
    return strtod(value_of(json, key), NULL);
}

static size_t list_of(const char *json, const char *key, long list[MAX_LIST]) {
    const char *at = value_of(json, key);
    size_t n = 0;
    assert_int_equal(*at, '[');
    while (*at != ']') {
        char *end;
        assert_true(n < MAX_LIST);
        list[n++] = strtol(at + 1, &end, 10);
        assert_ptr_not_equal(end, at + 1);
        at = end;
    }
    return n;
}

static long sum(const long *values, size_t n) {
    long total = 0;
    for (size_t i = 0; i < n; i++) total += values[i];
    return total;
}

/* What every selection must be: the keys in their order, ascending indices in range, the same set
 * in pick order, a group for each token. */
static void check_selection(const char *json) {
    static const char *const keys[] = {"tokens", "dim", "budget", "preset", "reserved", "keep",
        "groups", "rho", "phi", "tau", "survivors", "indices", "order", "group"};
    long indices[MAX_LIST], order[MAX_LIST], group[MAX_LIST];
    unsigned char kept[MAX_LIST] = {0};
    for (size_t i = 1; i < N_ITEMS(keys); i++)
        assert_true(value_of(json, keys[i - 1]) < value_of(json, keys[i]));
    const long n_tokens = number_of(json, "tokens"), n_groups = number_of(json, "groups");
    const long room = number_of(json, "budget") - number_of(json, "reserved");
    const long n_kept = room < n_tokens ? room : n_tokens;
    assert_int_equal(number_of(json, "keep"), n_kept);
    assert_int_equal(list_of(json, "indices", indices), n_kept);
    assert_int_equal(list_of(json, "order", order), n_kept);
    assert_int_equal(list_of(json, "group", group), n_tokens);
    for (long j = 0; j < n_kept; j++) {
        assert_in_range(indices[j], 0, n_tokens - 1);
        assert_true(j == 0 || indices[j - 1] < indices[j]);
        kept[indices[j]]++;
    }
    for (long j = 0; j < n_kept; j++) {
        assert_in_range(order[j], 0, n_tokens - 1);
        assert_int_equal(kept[order[j]]++, 1);
    }
    for (long i = 0; i < n_tokens; i++)
        assert_true(n_groups > 0 ? group[i] >= 0 && group[i] < n_groups : group[i] == -1);
    assert_true(fabs(real_of(json, "rho") + real_of(json, "phi") - 1) < 1e-12);
}

/* What select prints for a file, without the line's end. */
static char *selection_of(const char *path, long keep, const char *more) {
    char *const json = succeed("select %s --keep %ld --json %s", path, keep, more);
    json[strlen(json) - 1] = '\0';
    return json;
}

/* The same as a region that starts at first. */
static char *moved(const char *json, long first) {
    static const char *const keys[] = {"indices", "order"};
    const size_t n_bytes = 4 * strlen(json) + 64;
    char *const out = (char *)own(malloc(n_bytes));
    const char *from = json + 1;
    long list[MAX_LIST];
    int at = snprintf(out, n_bytes, "{\"first\": %ld, ", first);
    for (size_t k = 0; k < 2; k++) {
        const char *const value = value_of(json, keys[k]);
        const size_t n = list_of(json, keys[k], list);
        at += snprintf(out + at, n_bytes - (size_t)at, "%.*s[", (int)(value - from), from);
        for (size_t j = 0; j < n; j++)
            at +=
                snprintf(out + at, n_bytes - (size_t)at, j > 0 ? ", %ld" : "%ld", list[j] + first);
        from = strchr(value, ']');
    }
    snprintf(out + at, n_bytes - (size_t)at, "%s", from);
    return out;
}

/* at: one of several selections that json prints. It is what select prints for rows [first, end) of
 * from, a region if counts_on; scores may be NULL. Returns what follows it. */
static const char *check_part(const char *at, const char *from, const char *scores, size_t first,
    size_t end, long keep, const char *more, int counts_on) {
    char options[128];
    snprintf(options, sizeof options, "%s%s", more, scores != NULL ? " --scores cut_s.npy" : "");
    cut("cut.npy", from, first, end);
    if (scores != NULL) cut("cut_s.npy", scores, first, end);
    const char *const alone = selection_of("cut.npy", keep, options);
    const char *const wanted = counts_on ? moved(alone, (long)first) : alone;
    CHECK(starts_with(at, wanted), "%s, rows %zu to %zu", from, first, end);
    return at + strlen(wanted);
}

/* ---- what it prints ----------------------------------------------------------------------- */

static void test_select_json_is_a_selection_for_every_example(void **state) {
    const prunesid_rules *rules;
    (void)state;
    for (size_t e = 0; e < N_IMAGES; e++) {
        for (size_t p = 0; (rules = prunesid_preset_rules(p)) != NULL; p++) {
            const prunesid_preset used = p == PRUNESID_AUTO ? PRUNESID_QWEN2VL : (prunesid_preset)p;
            const char *const json =
                succeed("select %s --keep 64 --preset %s --json", links[e].name, rules->name);
            check_selection(json);
            assert_int_equal(number_of(json, "tokens"), IMAGE_TOKENS);
            assert_int_equal(number_of(json, "dim"), e < N_NARROW ? 192 : 768);
            assert_int_equal(number_of(json, "keep"), 64 - rules->reserved);
            assert_int_equal(number_of(json, "groups"), 16);
            assert_true(
                starts_with(value_of(json, "preset") + 1, prunesid_preset_rules(used)->name));
        }
    }
}

static void test_scores_choose_the_llava_rules(void **state) {
    (void)state;
    const char *json = succeed("select astronaut --keep=64 --scores attention --json");
    check_selection(json);
    assert_true(starts_with(value_of(json, "preset"), "\"llava\""));
    assert_int_equal(number_of(json, "reserved"), 0);
    json = succeed("select astronaut --keep=64 --scores attention --reserve=2 --json");
    assert_int_equal(number_of(json, "reserved"), 2);
    assert_int_equal(number_of(json, "keep"), 62);
}

static void test_a_budget_above_the_tokens_keeps_everything(void **state) {
    (void)state;
    save_good("t.npy");
    save_matrix("v.npy", T, 3, SIZE_MAX, 0);
    const char *const json = succeed("select t.npy --keep 2147483647 --json");
    check_selection(json);
    assert_int_equal(number_of(json, "keep"), T);
    assert_int_equal(number_of(json, "groups"), 0);
    assert_int_equal(number_of(json, "survivors"), T);
    assert_true(starts_with(value_of(json, "tau"), "null,"));
    assert_string_equal(json, succeed("select t.npy --keep 2147483647 --loadings v.npy --json"));
    check_selection(succeed("select t.npy --keep 1 --json"));
}

static void test_loadings_set_the_groups(void **state) {
    (void)state;
    save_good("t.npy");
    save_matrix("v.npy", T, 3, SIZE_MAX, 0);
    const char *const json = succeed("select t.npy --keep 8 --loadings v.npy --json");
    long group[MAX_LIST];
    check_selection(json);
    assert_int_equal(number_of(json, "groups"), 3);
    assert_int_equal(list_of(json, "group", group), T);
    for (size_t i = 0; i < T; i++) {
        size_t most = 0;
        for (size_t k = 1; k < 3; k++)
            most = fabsf(some_value(i * 3 + k)) > fabsf(some_value(i * 3 + most)) ? k : most;
        assert_int_equal(group[i], most);
    }
}

static void test_the_summary_is_for_people(void **state) {
    (void)state;
    const char *out = succeed("select astronaut --keep 64");
    assert_non_null(strstr(out, "64 of 576 tokens"));
    assert_non_null(strstr(out, "preset     qwen2vl"));
    assert_non_null(strstr(out, "\nindices   "));
    out = succeed("batch astronaut coffee --keep 600");
    assert_non_null(strstr(out, "image 1: "));
    assert_non_null(strstr(out, "tau        none"));
}

static void test_info(void **state) {
    const size_t shape[3] = {1, 3, 2};
    const float values[6] = {1, 0, 0, 0, 0, 2};
    (void)state;
    save("t.npy", "<f4", 3, shape, values);
    assert_string_equal(succeed("info t.npy --json"),
        "{\"tokens\": 3, \"dim\": 2, \"dtype\": \"float32\", \"rho\": 0, \"phi\": 1, "
        "\"nonzero\": 2}\n");
    assert_non_null(strstr(succeed("info t.npy"), "mean 0.5, from 0 to 2"));
    assert_non_null(strstr(succeed("info chelsea --json"), "\"dtype\": \"float16\""));
}

static void test_help_and_version(void **state) {
    const prunesid_rules *rules;
    char version[64];
    (void)state;
    const char *const help = succeed("--help");
    assert_non_null(strstr(help, "prunesid select TOKENS.npy --keep N"));
    for (size_t p = 0; (rules = prunesid_preset_rules(p)) != NULL; p++) {
        assert_non_null(strstr(help, rules->name));
        assert_non_null(strstr(help, rules->purpose));
    }
    assert_string_equal(help, succeed("-h"));
    assert_string_equal(help, succeed("help"));
    snprintf(version, sizeof version, "prunesid %d.%d.%d\n", PRUNESID_VERSION_MAJOR,
        PRUNESID_VERSION_MINOR, PRUNESID_VERSION_PATCH);
    assert_string_equal(succeed("--version"), version);
    assert_string_equal(succeed("batch --version"), version);
    assert_string_equal(succeed("-V"), version);
}

/* ---- what it writes ----------------------------------------------------------------------- */

/* i.npy and k.npy hold the indices of json and their rows. */
static void check_output_files(const char *json, const char *tokens_path, size_t n_wanted) {
    long listed[MAX_LIST];
    const size_t n_kept = list_of(json, "indices", listed);
    const npy_array all = load_file(tokens_path), rows = load_file("k.npy");
    const npy_array indices = load_file("i.npy");
    const size_t dim = all.shape[1], row_bytes = dim * all.item_bytes;
    assert_int_equal(n_kept, n_wanted);
    assert_int_equal(indices.n_dims, 1);
    assert_int_equal(indices.kind, 'i');
    assert_int_equal(indices.shape[0], n_kept);
    assert_int_equal(rows.n_dims, 2);
    assert_int_equal(rows.item_bytes, all.item_bytes);
    assert_int_equal(rows.shape[0], n_kept);
    assert_int_equal(rows.shape[1], dim);
    for (size_t j = 0; j < n_kept; j++) {
        const int32_t index = ((const int32_t *)indices.data)[j];
        assert_int_equal(index, listed[j]);
        assert_memory_equal((const char *)rows.data + j * row_bytes,
            (const char *)all.data + (size_t)index * row_bytes, row_bytes);
    }
}

static void test_output_files_match_the_json(void **state) {
    static const char *const paths[] = {"t.npy", "coffee"};
    (void)state;
    save_good("t.npy");
    for (size_t i = 0; i < 2; i++) {
        const char *const json =
            succeed("select %s --keep 12 --json --indices i.npy --tokens k.npy", paths[i]);
        check_output_files(json, paths[i], 12);
        assert_int_equal(count_files(0), 3);
    }
}

#define FOUR "select t.npy --keep 4 "
#define BATCH "batch t.npy --keep 4 "
#define REGIONS FOUR "--regions "
#define POSITIONS FOUR "--positions p.npy "
#define PLOT "plot t.npy --keep 4 --image photo.png "

/* What was there before a failure is there after it. */
static void test_outputs_are_all_or_none(void **state) {
    static const refusal full = {FOUR "--indices old.npy", "standard output", ""};
    struct stat kept;
    (void)state;
    save_good("t.npy");
    write_bytes("old.npy", "precious", 8);
    assert_int_equal(symlink("old.npy", "link.npy"), 0);
    refuse(FOUR "--indices old.npy --tokens no/k.npy", "no/k.npy", "No such file");
    refuse(FOUR "--indices link.npy --tokens no/k.npy", "no/k.npy", "No such file");
    if (access("/dev/full", W_OK) == 0) { /* a result that nobody can read is a failure as well */
        const result got = run_line(NULL, "/dev/full", full.line);
        check_refusal(&full, &got);
        const result late = run_line(NULL, NULL, FOUR "--tokens old.npy --indices /dev/full");
        assert_int_equal(late.code, 1);
        assert_string_equal(late.err, "prunesid: /dev/full: No space left on device\n");
    }
    assert_int_equal(stat("old.npy", &kept), 0);
    assert_int_equal(kept.st_size, 8);
    /* Standard output is closed, or nobody reads it. */
    for (int is_pipe = 0; is_pipe < 2; is_pipe++) {
        const refusal unread = {full.line, full.subject, is_pipe ? "Broken pipe" : "Bad file"};
        const result got = run_unread(unread.line, is_pipe);
        check_refusal(&unread, &got);
    }
    assert_int_equal(stat("old.npy", &kept), 0);
    assert_int_equal(kept.st_size, 8);
    /* And a success goes through the link, and leaves the mode alone. */
    assert_int_equal(chmod("old.npy", 0600), 0);
    succeed(FOUR "--indices link.npy");
    assert_int_equal(lstat("link.npy", &kept), 0);
    assert_true(S_ISLNK(kept.st_mode));
    assert_int_equal(stat("old.npy", &kept), 0);
    assert_true(kept.st_size > 8 && (kept.st_mode & 0777) == 0600);
}

/* ---- what it refuses ---------------------------------------------------------------------- */

#define RANGE "must be between 1 and 2147483647"

static const refusal refusals[] = {
    /* the line */
    {"", NULL, "no command: select, batch, info, plot or sweep\n"},
    {"prune t.npy", NULL, "unknown command 'prune': select, batch, info, plot or sweep\n"},
    {"selct t.npy", NULL, "unknown command 'selct': did you mean select?"},
    {"select --keep 4", NULL, "needs a file"},
    {"batch --keep 4", NULL, "needs a file"},
    {"select t.npy t.npy --keep 4", NULL, "use batch"},
    {"select t.npy", NULL, "select needs --keep"},
    {"select t.npy --keep", NULL, "--keep needs a value"},
    {"select t.npy --keep=", NULL, "--keep needs a value"},
    {"select t.npy --kep 4", NULL, "unknown option '--kep': did you mean --keep?"},
    {"select t.npy --kep=4", NULL, "unknown option '--kep=4': did you mean --keep?"},
    {"select t.npy -k 4", NULL, "unknown option '-k'\n"},
    {"select t.npy --keep 0 --dynamic", NULL, "--dynamic is not"}, /* wins over the value */
    {FOUR "--seed 1", NULL, "unknown option '--seed'\n"},
    {FOUR "--keep=4", NULL, "--keep is given twice"},
    {FOUR "--json=1", NULL, "--json takes no value"},
    {FOUR "--preset best", NULL,
        "--preset: unknown choice 'best': auto, paper, llava or qwen2vl\n"},
    {FOUR "--svd sketch", NULL, "--svd: unknown choice 'sketch': krylov or exact\n"},
    {FOUR "--dynamic", NULL, "--dynamic is not an option of select"},
    {FOUR "--min 2", NULL, "--min is not an option of select"},
    {FOUR "--window=2", NULL, "--window is not an option of select"},
    {FOUR "--threads 2", NULL, "--threads is not an option of select without --regions"},
    {FOUR "--policy keep", NULL, "--policy is not an option of select without --positions"},
    {FOUR "--positions-out o.npy", NULL, "--positions-out is not an option of select without"},
    {"info t.npy --keep 4", NULL, "--keep is not an option of info"},
    {BATCH "--regions=8", NULL, "--regions is not an option of batch"},
    {BATCH "--positions p.npy", NULL, "--positions is not an option of batch"},
    {BATCH "--indices i.npy", NULL, "--indices is for one image"},
    {BATCH "--tokens k.npy", NULL, "--tokens is for one image"},
    {BATCH "--loadings v.npy", NULL, "--loadings is for one image"},
    {FOUR "--indices o.npy --tokens o.npy", NULL, "name the same file"},
    {FOUR "--tokens ./t.npy", NULL, "own file"},
    {FOUR "--scores s.npy --indices s.npy", NULL, "name the same file"},
    {FOUR "--indices - --json", NULL, "standard output is taken by --json"},
    {FOUR "--indices - --tokens -", NULL, "standard output is taken by another file"},
    /* values */
    {"select t.npy --keep 0", "--keep", RANGE},
    {"select t.npy --keep -1", "--keep", RANGE},
    {"select t.npy --keep 99999999999", "--keep", RANGE},
    {"select t.npy --keep 2147483648", "--keep", RANGE},
    {"select t.npy --keep 99999999999999999999999", "--keep", RANGE},
    {"select t.npy --keep -99999999999999999999", "--keep", RANGE},
    {"select t.npy --keep abc", NULL, "--keep: 'abc' is not a whole number"},
    {"select t.npy --keep=4x", NULL, "'4x' is not a whole number"},
    {"select t.npy --keep=4.5", NULL, "'4.5' is not a whole number"},
    {"select t.npy --keep ~4", NULL, "' 4' is not a whole number"},
    {"select t.npy --keep 1 --preset llava", "--keep", "1 reserved"},
    {FOUR "--reserve 4", "--reserve", "4 reserved"},
    {FOUR "--reserve -1", "--reserve", "must be between 0"},
    {BATCH "--reserve 9", "--reserve", "9 reserved"},
    {BATCH "--dynamic --min 8 --max 4", "--min", "8 is above --max, 4"},
    {BATCH "--dynamic --min -1", "--min", "must be between 0"},
    {BATCH "--dynamic --max 0", "--max", "leave no token"},
    {BATCH "--phi-ref 0", "--phi-ref", "must be positive"},
    {BATCH "--phi-ref nan", "--phi-ref", "must be positive"},
    {BATCH "--phi-ref 1e999", "--phi-ref", "must be positive"},
    {BATCH "--phi-ref x", NULL, "'x' is not a number"},
    {BATCH "--min 1", NULL, "--min and --max need --dynamic or --phi-ref"},
    {BATCH "--window=0", "--window", RANGE},
    {BATCH "--threads=0", "--threads", RANGE},
    /* files */
    {"select no.npy --keep 4", "no.npy", "No such file"},
    {"batch no.npy --keep 4", "no.npy", "No such file"},
    {"select folder --keep 4", "folder", "is a directory"},
    {"select pipe --keep 4", "pipe", "not a regular file"},
    {FOUR "--scores no.npy", "no.npy", "No such file"},
    {FOUR "--loadings no.npy", "no.npy", "No such file"},
    {FOUR "--positions no.npy", "no.npy", "No such file"},
    {FOUR "--indices no/i.npy", "no/i.npy", "No such file"},
    {FOUR "--indices i.npy --tokens no/k.npy", "no/k.npy", "No such file"},
    {FOUR "--tokens folder", "folder", "is a directory"},
    {FOUR "--indices new.npy --tokens ./new.npy", "./new.npy",
        "--indices and --tokens name the same file"},
    {FOUR "--indices new.npy --tokens folder/../new.npy", "folder/../new.npy", "the same file"},
    {FOUR "--indices dangling", "dangling", "link"},
    /* shapes */
    {"select pair.npy --keep 4", "pair.npy", "use batch"},
    {"batch deep.npy --keep 4", "deep.npy", "not [tokens, channels]"},
    {"info s.npy", "s.npy", "not [tokens, channels]"},
    {"select none.npy --keep 4", "none.npy", "the shape is [0, 8]: no tokens\n"},
    {"batch narrow.npy --keep 4", "narrow.npy", "the shape is [20, 0]: no channels\n"},
    {FOUR "--scores s19.npy", "s19.npy", "[19], but the tokens need [20]"},
    {BATCH "--scores s19.npy", "s19.npy", "[19], but"},
    {FOUR "--scores table.npy", "table.npy", "[1, 20], but the tokens need [20]"},
    {BATCH "t.npy --scores table.npy", "table.npy", "[1, 20], but the tokens need [2, 20]"},
    {BATCH "pair.npy --scores table.npy", "table.npy", "of one size"},
    {FOUR "--scores p.npy", "p.npy", "integer"},
    {FOUR "--loadings v21.npy", "v21.npy", "[21, 3], but the tokens need [20, groups]"},
    {FOUR "--loadings s.npy", "s.npy", "[20], but"},
    /* regions */
    {REGIONS "0:4,3:8", "--regions", "'3:8' overlaps"},
    {REGIONS "8:12,9:10", "--regions", "'9:10' overlaps"},
    {REGIONS "8:12,0:9", "--regions", "'0:9' overlaps"},
    {REGIONS "8:12,0:4", "--regions", "'0:4' is out of order"},
    {REGIONS "4:4", "--regions", "'4:4' is empty"},
    {REGIONS "4,0", "--regions", "'0' is empty"},
    {REGIONS "4:2", "--regions", "'4:2' ends before it starts"},
    {REGIONS "0:21 --indices i.npy", "--regions", "0:21 ends behind the 20 tokens of t.npy"},
    {REGIONS "20:21", "--regions", "20:21 ends behind"},
    {REGIONS "10,11", "--regions", "10:21 ends behind"},
    {REGIONS "-1:4", "--regions", "out of range"},
    {REGIONS "0:2147483648", "--regions", "out of range"},
    {REGIONS "99999999999999999999:4", "--regions", "out of range"},
    {REGIONS "2147483647,2147483647", "--regions", "out of range"},
    {REGIONS "x", NULL, "FIRST:END or SIZE"},
    {REGIONS "4,", NULL, "FIRST:END or SIZE"},
    {REGIONS ",4", NULL, "FIRST:END or SIZE"},
    {REGIONS "4,,4", NULL, "FIRST:END or SIZE"},
    {REGIONS "4:", NULL, "FIRST:END or SIZE"},
    {REGIONS ":4", NULL, "FIRST:END or SIZE"},
    {REGIONS "4:8:9", NULL, "FIRST:END or SIZE"},
    {REGIONS "4;8", NULL, "FIRST:END or SIZE"},
    {REGIONS "4~8", NULL, "FIRST:END or SIZE"},
    {REGIONS "4.5", NULL, "FIRST:END or SIZE"},
    {REGIONS "8,8 --dynamic --min 5", "--min", "5 is above the mean, --keep 4"},
    {REGIONS "8,8 --dynamic --min=3 --max=2", "--min", "3 is above --max, 2"},
    {REGIONS "8,8 --dynamic --max 0", "--max", "leave no token"},
    {REGIONS "8,8 --reserve 4", "--reserve", "4 reserved leave no token"},
    {REGIONS "8,8 --threads 0", "--threads", RANGE},
    {REGIONS "8,8 --scores s19.npy", "s19.npy", "[19], but the tokens need [20]"},
    {REGIONS "8,8 --min 2", NULL, "--min and --max need --dynamic\n"},
    {REGIONS "8,8 --loadings v.npy", NULL, "cannot go with --regions"},
    {REGIONS "8,8 --phi-ref 1", NULL, "--phi-ref is not an option of select"},
    /* positions */
    {POSITIONS "--indices i.npy --positions-out no/o.npy", "no/o.npy", "No such file"},
    {POSITIONS "--policy drop", NULL, "unknown choice 'drop': keep, compact or renumber"},
    {POSITIONS "--indices=o --positions-out=o", NULL, "name the same file"},
    /* pictures */
    {PLOT "--grid 4x4 -o o.png", "--grid", "4x4 does not give the 20 tokens"},
    {PLOT "--grid 2147483647x2147483647 -o o.png", "--grid", "does not give"},
    {PLOT "--grid 0x20 -o o.png", "--grid", "must be between 1"},
    {PLOT "--grid 4x5 --indices i.npy -o no/o.png", "no/o.png", "No such file"},
    {PLOT "--grid 4by5 -o o.png", NULL, "is not HxW"},
    {PLOT "--grid 4x -o o.png", NULL, "is not HxW"},
    {PLOT "--grid=4x-5 -o o.png", NULL, "is not HxW"},
    {PLOT "-o o.png", NULL, "plot needs --grid"},
    {PLOT "--grid 4x5", NULL, "plot needs -o"},
    {"plot t.npy --keep 4 --grid 4x5 --image no.png -o o.svg", "o.svg", "a plot is .png, not .svg"},
    {"plot t.npy --keep 4 --grid 4x5 -o o.png", NULL, "plot needs --image"},
    {"plot t.npy --keep 4 --grid 4x5 -o o.png --image no.png", "no.png", "No such file"},
    {"plot t.npy --keep 4 --grid 4x5 -o o.png --image bad.png", "bad.png",
        "not a readable PNG or JPEG"},
};

static void test_what_is_wrong_is_refused(void **state) {
    static const struct {
        const char *path, *descr;
        int n_dims;
        size_t shape[4];
    } files[] = {{"s.npy", "<f4", 1, {T}}, {"s19.npy", "<f4", 1, {T - 1}},
        {"table.npy", "<f4", 2, {1, T}}, {"p.npy", "<i4", 1, {T}},
        {"pair.npy", "<f4", 3, {2, T / 2, D}}, {"v.npy", "<f4", 2, {T, 3}},
        {"v21.npy", "<f4", 2, {T + 1, 3}}, {"deep.npy", "<f4", 4, {1, 1, T, D}},
        {"none.npy", "<f4", 2, {0, D}}, {"narrow.npy", "<f4", 2, {T, 0}}};
    const float zeros[T * D] = {0};
    (void)state;
    save_good("t.npy");
    for (size_t i = 0; i < N_ITEMS(files); i++)
        save(files[i].path, files[i].descr, files[i].n_dims, files[i].shape, zeros);
    write_bytes("bad.png", "\x89PNG\r\n\x1a\n but not really", 24);
    assert_int_equal(mkdir("folder", 0777), 0);
    assert_int_equal(mkfifo("pipe", 0666), 0);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    for (size_t i = 0; i < N_ITEMS(refusals); i++)
        refuse(refusals[i].line, refusals[i].subject, refusals[i].cause);
    if (geteuid() != 0) { /* root reads everything */
        assert_int_equal(chmod("v.npy", 0), 0);
        refuse("select v.npy --keep 4", "v.npy", "Permission denied");
    }
    succeed(BATCH "--scores table.npy");
    succeed(BATCH "--dynamic --min 0");
}

/* Two dashes end the options. */
static void test_files_may_be_called_as_options_are(void **state) {
    (void)state;
    save_good("--t.npy");
    save_good("-o");
    succeed("select --keep 4 -- --t.npy");
    succeed("batch --keep 4 -- --t.npy -o");
    refuse("select --keep 4 --t.npy", NULL, "unknown option");
}

static void test_values_that_are_not_finite_are_located(void **state) {
    static const size_t places[] = {0, 10 * D + 3, T * D - 1};
    static const uint16_t half_bits[] = {0x7e00, 0x7c00, 0xfc00};
    static const char *const lines[] = {"select bad.npy --keep 4 --json", "info bad.npy",
        "batch bad.npy --keep 4", FOUR "--loadings bad.npy"};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    const size_t pair[3] = {2, T / 2, D};
    char where[128];
    (void)state;
    save_good("t.npy");
    for (size_t c = 0; c < 9; c++) {
        const size_t place = places[c % 3], row = place / D, column = place % D, b = c / 3;
        uint16_t halves[T * D] = {0};
        snprintf(where, sizeof where, "row %zu, column %zu is not finite", row, column);
        save_matrix("bad.npy", T, D, place, bad[b]);
        for (size_t i = 0; i < N_ITEMS(lines); i++) refuse(lines[i], "bad.npy", where);
        halves[place] = half_bits[b];
        save("bad.npy", "<f2", 3, pair, halves);
        snprintf(where, sizeof where, "image %zu, row %zu, column %zu is not finite", row / (T / 2),
            row % (T / 2), column);
        refuse("batch bad.npy --keep 4", "bad.npy", where);
        snprintf(where, sizeof where, "element %zu is not finite", row);
        save_matrix("s.npy", T, 1, row, bad[b]);
        refuse(FOUR "--scores s.npy", "s.npy", where);
    }
}

/* A .npy file of any version with any header text and n_zeros bytes of data. */
static void forge(const char *path, int version, const char *header, size_t n_zeros) {
    unsigned char bytes[2048] = "\x93NUMPY";
    const size_t length = strlen(header);
    const size_t start = version == 1 ? 10 : 12;
    bytes[6] = (unsigned char)version;
    bytes[8] = (unsigned char)(length & 255);
    bytes[9] = (unsigned char)(length >> 8);
    assert_true(start + length + n_zeros <= sizeof bytes);
    memcpy(bytes + start, header, length);
    write_bytes(path, bytes, start + length + n_zeros);
}

static void test_forged_files(void **state) {
    static const struct {
        int version;
        const char *header;
        size_t n_zeros;
        const char *cause;
    } cases[] = {
#define HEADER(descr, order, shape)                                                                \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"
        {1, HEADER("'>f4'", "False", "(2, 3)"), 24, "dtype '>f4'"},
        {1, HEADER("'<f8'", "False", "(2, 3)"), 47, "truncated: the shape needs 48"},
        {1, HEADER("'<u2'", "False", "(2, 3)"), 12, "--dtype bf16"},
        {1, HEADER("'<u4'", "False", "(2, 3)"), 24, "dtype '<u4'"},
        {1, HEADER("'<i8'", "False", "(2, 3)"), 48, "dtype '<i8'"},
        {1, HEADER("'<i4'", "False", "(2, 3)"), 24, "integer"},
        {1, HEADER("'|O'", "False", "(2, 3)"), 24, "dtype '|O'"},
        {1, HEADER("[('x', '<f4')]", "False", "(2, 3)"), 24, "structured"},
        {1, HEADER("'<f4'", "True", "(2, 3)"), 23, "truncated: the shape needs 24"},
        {1, HEADER("'<f4'", "Maybe", "(2, 3)"), 24, "fortran_order"},
        {1, HEADER("'<f4'", "False", "(-2, 3)"), 24, "negative"},
        {1, HEADER("'<f4'", "False", "(2, 3"), 24, "bad shape"},
        {1, HEADER("'<f4'", "False", "(2 3)"), 24, "bad shape"},
        {1, HEADER("'<f4'", "False", "(x, 3)"), 24, "bad shape"},
        {1, HEADER("'<f4'", "False", "6"), 24, "not a tuple"},
        {1, HEADER("'<f4'", "False", "(1, 1, 1, 2, 3)"), 24, "more than 4 dimensions"},
        {1, HEADER("'<f4'", "False", "()"), 4, "not [tokens, channels]"},
        {1, HEADER("'<f4'", "False", "(4294967296, 4294967296)"), 24, "too large"},
        {1, HEADER("'<f4'", "False", "(99999999999999999999999, 3)"), 24, "too large"},
        {1, HEADER("'<f4'", "False", "(0, 9223372036854775807)"), 0, "too large"},
        {1, HEADER("'<f4'", "False", "(1000000000000, 3)"), 24, "truncated: the shape needs"},
        {1, HEADER("'<f4'", "False", "(2, 3)"), 23, "truncated: the shape needs 24"},
        {1, HEADER("'<f4'", "False", "(2, 3)"), 25, "1 bytes follow the data"},
        {1, "{'descr': '<f4', 'shape': (2, 3), }\n", 24, "no 'fortran_order'"},
        {1, "{'fortran_order': False, 'shape': (2, 3)}\n", 24, "no 'descr'"},
        {1, "{'descr': '<f4', 'fortran_order': False}\n", 24, "no 'shape'"},
        {1, "{'descr': '<f4', 'descr': '<f2'}\n", 24, "unexpected key 'descr'"},
        {1, "{'descr': '<f4', 'x': 1}\n", 24, "unexpected key 'x'"},
        {1, "{'descr': '<f4' 'shape': (2, 3)}\n", 24, "not a dictionary"},
        {1, "{'descr\n", 24, "malformed"},
        {1, "{}{}\n", 24, "after the dictionary"},
        {1, "", 24, "not a dictionary"},
        {4, HEADER("'<f4'", "False", "(2, 3)"), 24, "version 4"},
#undef HEADER
    };
    (void)state;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        forge("t.npy", cases[i].version, cases[i].header, cases[i].n_zeros);
        refuse(FOUR "--indices i.npy", "t.npy", cases[i].cause);
        refuse(BATCH, "t.npy", cases[i].cause);
    }
}

static void test_every_version_and_spelling_loads(void **state) {
    (void)state;
    for (int version = 1; version <= 3; version++) {
        forge("t.npy", version, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n",
            24);
        succeed("select t.npy --keep 1");
    }
    forge("t.npy", 1, "{\"shape\":(2,3,),\"descr\":\"<f2\",\"fortran_order\":False}", 12);
    succeed("select t.npy --keep 1");
}

/* No prefix of a good file is a good file, and none may crash. */
static void test_truncated_files(void **state) {
    size_t n_bytes;
    (void)state;
    save_good("t.npy");
    const char *const bytes = read_stream(fopen("t.npy", "rb"), &n_bytes);
    for (size_t n = 0; n < n_bytes; n += n < 16 ? 1 : 61) {
        const char *const cause = n == 0 ? "empty" : n < 8 ? "not a .npy file" : "truncated";
        write_bytes("short.npy", bytes, n);
        refuse("select short.npy --keep 4", "short.npy", cause);
    }
    write_bytes("short.npy", "\x93NUMPY\x02\0\xff\xff\xff\xff{}", 14);
    refuse("info short.npy", "short.npy", "claims 4294967295 bytes");
    write_bytes("short.npy", "this is no array at all", 23);
    refuse("info short.npy", "short.npy", "not a .npy file");
}

/* ---- regions ------------------------------------------------------------------------------ */

/* Every region of json is a selection by itself, and the indices of all follow each other. */
static void check_regions(const char *json, const char *tokens, const char *scores,
    const size_t (*ranges)[2], size_t n_ranges, const char *preset) {
    long budgets[MAX_LIST], all[MAX_LIST], one[MAX_LIST];
    const size_t n_all = list_of(json, "indices", all);
    const char *at = value_of(json, "regions") + 1;
    size_t n_before = 0;
    assert_int_equal(list_of(json, "budgets", budgets), n_ranges);
    for (size_t r = 0; r < n_ranges; r++) {
        const size_t n = list_of(at, "indices", one);
        assert_true(n_before + n <= n_all);
        assert_memory_equal(all + n_before, one, n * sizeof *one);
        n_before += n;
        at = check_part(at, tokens, scores, ranges[r][0], ranges[r][1], budgets[r], preset, 1);
        assert_true(starts_with(at, r + 1 < n_ranges ? ", " : "]}\n"));
        at += 2;
    }
    assert_int_equal(n_before, n_all);
}

static void test_regions_are_selections_of_their_own(void **state) {
    static const size_t ranges[][2] = {{3, 200}, {220, 400}, {400, 570}, {570, 576}};
    static const char *const scores[] = {"attention", "attention.coffee", "attention.chelsea"};
    static const struct {
        const char *preset;
        int scored;
        size_t n_kept;
    } cases[] = {{"", 0, 102}, {"", 1, 102}, {"--preset llava", 0, 99}, {"--preset paper", 1, 102}};
    (void)state;
#define LIST "--keep 32 --regions 3:200,220:400,170,6 "
    for (size_t i = 0; i < N_NARROW * N_ITEMS(cases); i++) {
        const size_t e = i / N_ITEMS(cases), c = i % N_ITEMS(cases);
        const char *const given = cases[c].scored ? scores[e] : NULL;
        const char *const json = succeed(
            "select %s " LIST "%s --json --indices i.npy --tokens k.npy %s %s", links[e].name,
            cases[c].preset, given != NULL ? "--scores" : "", given != NULL ? given : "");
        check_regions(json, links[e].name, given, ranges, 4, cases[c].preset);
        check_output_files(json, links[e].name, cases[c].n_kept);
    }
    const char *const text = succeed("select astronaut " LIST);
    assert_non_null(strstr(text, "\nregion 1: "));
    assert_non_null(strstr(text, "tokens 220 to 399\nkept       32 of 180"));
#undef LIST
}

static void test_regions_share_a_budget(void **state) {
    static const size_t ranges[][2] = {{0, 10}, {10, 200}, {200, 400}, {500, 576}};
    static const struct {
        const char *limits;
        long low, high, total;
    } cases[] = {{"--keep 40 --min 0 --max 200", 1, 200, 160},
        {"--keep 17 --min 12 --max 20", 12, 20, 68}, {"--keep 40 --min 40 --max 60", 40, 60, 160},
        {"--keep 1 --min 0 --max 9", 1, 1, 4}, {"--keep 150 --min 9 --max 500", 9, 200, 476},
        {"--keep 17 --min 12 --max 12", 12, 12, 46}};
    (void)state;
    for (size_t c = 0; c < N_ITEMS(cases); c++) {
        const char *const json = succeed(
            "select coffee %s --regions 10,190,200,500:576 --dynamic --json", cases[c].limits);
        long budgets[MAX_LIST], all[MAX_LIST];
        const size_t n = list_of(json, "budgets", budgets);
        check_regions(json, "coffee", NULL, ranges, 4, "");
        for (size_t r = 0; r < n; r++) {
            const long size = (long)(ranges[r][1] - ranges[r][0]);
            assert_in_range(budgets[r], cases[c].low < size ? cases[c].low : size,
                cases[c].high < size ? cases[c].high : size);
        }
        assert_int_equal(sum(budgets, n), cases[c].total);
        assert_int_equal(list_of(json, "indices", all), cases[c].total);
    }
}

/* ---- positions ---------------------------------------------------------------------------- */

enum { P = 8, P_KEPT = 4 };

/* Tokens at right angles, so that scores alone decide: 0, 2, 5 and 6 stay, of all or by halves. */
static void save_known(void) {
    static const float scores[P] = {9, 1, 8, 2, 0.5f, 7, 6, 3};
    const size_t shape[2] = {P, P};
    float values[P * P] = {0};
    for (size_t i = 0; i < P; i++) values[i * P + i] = 1;
    save("t.npy", "<f4", 2, shape, values);
    save("s.npy", "<f4", 1, shape, scores);
}

/* Ids [n_sections, P] as int32 or int64. */
static void save_ids(int is_wide, size_t n_sections, const int64_t *ids) {
    const size_t table[2] = {n_sections, P};
    int32_t narrow[4 * P];
    for (size_t i = 0; i < n_sections * P; i++) narrow[i] = (int32_t)ids[i];
    save("p.npy", is_wide ? "<i8" : "<i4", n_sections > 1 ? 2 : 1, table + (n_sections == 1),
        is_wide ? (const void *)ids : narrow);
}

static void check_positions(
    const char *json, int is_wide, size_t n_sections, const int64_t *wanted, long next) {
    const size_t n = n_sections * P_KEPT;
    const npy_array ids = load_file("o.npy");
    const char *at = value_of(json, "positions");
    assert_int_equal(number_of(json, "next_position"), next);
    assert_int_equal(ids.kind, 'i');
    assert_int_equal(ids.item_bytes, is_wide ? 8 : 4);
    assert_int_equal(ids.n_dims, n_sections > 1 ? 2 : 1);
    assert_int_equal(ids.n_items, n);
    assert_int_equal(ids.shape[ids.n_dims - 1], P_KEPT);
    assert_int_equal(starts_with(at, "[["), n_sections > 1);
    for (size_t i = 0; i < n; i++) {
        char *end;
        at += strspn(at, "[], ");
        assert_int_equal(npy_integer_at(&ids, i), wanted[i]);
        assert_int_equal(strtol(at, &end, 10), wanted[i]);
        at = end;
    }
    assert_true(starts_with(at, n_sections > 1 ? "]], " : "], "));
}

static void test_positions(void **state) {
    static const int64_t ids[][4 * P] = {{10, 11, 12, 13, 14, 15, 16, 17},
        {5, 5, 5, 5, 9, 10, 10, 10, /* four rows of one, text, one row of three */
            5, 6, 7, 8, 9, 10, 10, 10, 5, 5, 5, 5, 9, 10, 11, 12},
        {1, 1, 1, 1, 9, 9, 9, 9, 1, 1, 2, 2, 9, 9, 10, 10, 1, 2, 1, 2, 9, 10, 9, 10, 0, 0, 0, 0, 0,
            0, 0, 0}, /* t, y, x and a tag */
        {3, 4, 5, 6, 7, 8, 9, 10, 5, 5, 5, 5, 9, 10, 10, 10, 5, 6, 7, 8, 9, 10, 10, 10, 5, 5, 5, 5,
            9, 10, 11, 12}}; /* text, t, h, w */
    static const struct {
        size_t which, n_sections;
        int cuts;
        const char *policy;
        int64_t kept[4 * P_KEPT];
        long next;
    } cases[] = {
        {0, 1, 0, "keep", {10, 12, 15, 16}, 18},
        {0, 1, 0, "compact", {10, 12, 15, 16}, 17},
        {0, 1, 0, "renumber", {10, 11, 12, 13}, 14},
        {0, 1, 1, "keep", {10, 12, 15, 16}, 18},
        {0, 1, 1, "compact", {10, 12, 14, 15}, 16},
        {0, 1, 1, "renumber", {10, 11, 12, 13}, 14},
        {1, 3, 0, "keep", {5, 5, 10, 10, 5, 7, 10, 10, 5, 5, 10, 11}, 13},
        {1, 3, 0, "compact", {5, 5, 10, 10, 5, 7, 10, 10, 5, 5, 10, 11}, 12},
        {1, 3, 0, "renumber", {5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8}, 9},
        {1, 3, 1, "keep", {5, 5, 10, 10, 5, 7, 10, 10, 5, 5, 10, 11}, 13},
        {1, 3, 1, "compact", {5, 5, 9, 9, 5, 7, 9, 9, 5, 5, 9, 10}, 11},
        {1, 3, 1, "renumber", {5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8}, 9},
        {2, 4, 1, "keep", {1, 1, 9, 9, 1, 2, 9, 10, 1, 1, 10, 9, 0, 0, 0, 0}, 11},
        {3, 4, 1, "compact", {3, 4, 5, 6, 5, 5, 9, 9, 5, 7, 9, 9, 5, 5, 9, 10}, 11},
    };
    (void)state;
    save_known();
    for (size_t c = 0; c < 2 * N_ITEMS(cases); c++) {
        const size_t i = c / 2;
        const int is_wide = c % 2 == 1;
        save_ids(is_wide, cases[i].n_sections, ids[cases[i].which]);
        const char *const json = succeed(
            "select t.npy --preset paper --scores s.npy --positions p.npy --positions-out o.npy "
            "--json --policy %s %s",
            cases[i].policy, cases[i].cuts ? "--keep 2 --regions 0:4,5:8" : "--keep 4");
        check_positions(json, is_wide, cases[i].n_sections, cases[i].kept, cases[i].next);
    }
    save_ids(1, 4, ids[2]);
    assert_non_null(strstr(
        succeed("select t.npy --keep 4 --positions p.npy"), "\npositions  keep, the next is 11\n"));
}

/* Four sections are a text's and a grid's unless the last is all zeros, which its end decides. */
static void test_the_fourth_section_is_looked_at_to_its_end(void **state) {
    int64_t ids[4 * P];
    (void)state;
    save_known();
    for (size_t place = 0; place <= P; place++) {
        for (size_t i = 0; i < 3 * P; i++) ids[i] = (int64_t)(10 * (i % P));
        for (size_t i = 0; i < P; i++) ids[3 * P + i] = i == place;
        save_ids(place % 2, 4, ids);
        const char *json = succeed("select t.npy --preset paper --scores s.npy --positions p.npy "
                                   "--json --keep 4");
        long kept[MAX_LIST], got[MAX_LIST];
        const size_t n = list_of(json, "indices", kept);
        json = strstr(json, "\"positions\": [");
        assert_non_null(json);
        char *at = (char *)own(strdup(json + strlen("\"positions\": ["))), *end;
        for (size_t j = 0; j < n; j++) { /* the first section */
            got[j] = strtol(at + 1, &end, 10);
            at = end + (j + 1 < n);
            CHECK(got[j] == (place < P ? (long)j : 10 * kept[j]), "place %zu, token %zu: %ld",
                place, j, got[j]);
        }
    }
}

/* An image of one column has w = 0 throughout, as a tag may be: --layout says which. */
static void test_the_layout_of_one_column_can_be_said(void **state) {
    static const int64_t ids[4 * P] = {3, 4, 5, 6, 7, 8, 9, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3,
        4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0}; /* text, t, h, w */
    static const struct {
        const char *layout;
        int64_t kept[4 * P_KEPT];
        long next;
    } cases[] = {
        {"auto", {3, 5, 8, 9, 0, 0, 0, 0, 0, 2, 5, 6, 0, 0, 0, 0}, 11},
        {"mrope-tag", {3, 5, 8, 9, 0, 0, 0, 0, 0, 2, 5, 6, 0, 0, 0, 0}, 11},
        {"text-mrope", {3, 4, 5, 6, 0, 0, 0, 0, 0, 2, 5, 6, 0, 0, 0, 0}, 8},
    };
    (void)state;
    save_known();
    for (size_t c = 0; c < 2 * N_ITEMS(cases); c++) {
        const size_t i = c / 2;
        save_ids(c % 2 == 1, 4, ids);
        const char *const json = succeed(POSITIONS
            "--preset paper --scores s.npy --positions-out o.npy --json --layout %s",
            cases[i].layout);
        check_positions(json, c % 2 == 1, 4, cases[i].kept, cases[i].next);
    }
    /* And a tag may be any number, such as the image's. */
    int64_t tagged[4 * P];
    for (size_t i = 0; i < 4 * P; i++) tagged[i] = i < 3 * P ? ids[i] : 2;
    save_ids(0, 4, tagged);
    const char *const tag = succeed(POSITIONS "--json --layout mrope-tag --policy renumber");
    assert_non_null(strstr(tag, ", [2, 2, 2, 2]], "));
    refuse(POSITIONS "--layout 1d", "p.npy", "the shape is [4, 8], but --layout 1d needs [8]");
    refuse(POSITIONS "--layout mrope", "p.npy", "but --layout mrope needs [3, 8]");
    save_ids(0, 3, ids);
    succeed(POSITIONS "--layout mrope");
    refuse(POSITIONS "--layout mrope-tag", "p.npy", "but --layout mrope-tag needs [4, 8]");
    refuse(
        POSITIONS "--layout text-mrope", "p.npy", "[3, 8], but --layout text-mrope needs [4, 8]");
    save_ids(0, 1, ids);
    succeed(POSITIONS "--layout 1d");
    refuse("select t.npy --keep 4 --layout 1d", NULL,
        "--layout is not an option of select without --positions");
    refuse(POSITIONS "--layout 2d", NULL, "auto, 1d, mrope, mrope-tag or text-mrope");
}

static void test_bad_positions(void **state) {
    static const struct {
        const char *descr;
        int n_dims;
        size_t shape[3];
        const char *cause;
    } shapes[] = {
        {"<i4", 1, {7}, "the shape is [7], but the tokens need [8], [3, 8] or [4, 8]"},
        {"<i8", 1, {9}, "[9], but"},
        {"<i4", 1, {0}, "[0], but"},
        {"<i4", 0, {0}, "[], but"},
        {"<i4", 2, {1, 8}, "[1, 8], but"},
        {"<i8", 2, {2, 8}, "[2, 8], but"},
        {"<i4", 2, {8, 3}, "[8, 3], but"},
        {"<i4", 2, {3, 7}, "[3, 7], but"},
        {"<i4", 3, {3, 1, 8}, "[3, 1, 8], but"},
        {"<f4", 1, {8}, "the dtype '<f4' is a real number's: save int32 or int64"},
    };
    static const struct {
        size_t n_sections, at;
        int64_t id;
        int is_wide;
        const char *cause;
    } values[] = {{3, 2 * P + 5, -3, 0, "section 2, token 5 has the id -3"},
        {3, 2 * P + 5, INT64_MAX / 2 + 1, 1, "has the id 4611686018427387904"},
        {1, 0, INT32_MAX - 2, 0, "id is out of range"}};
    int64_t ids[4 * P] = {0};
    (void)state;
    save_known();
    for (size_t i = 0; i < N_ITEMS(shapes); i++) {
        save("p.npy", shapes[i].descr, shapes[i].n_dims, shapes[i].shape, ids);
        refuse(POSITIONS "--positions-out o.npy", "p.npy", shapes[i].cause);
    }
    for (size_t i = 0; i < N_ITEMS(values); i++) {
        ids[values[i].at] = values[i].id;
        save_ids(values[i].is_wide, values[i].n_sections, ids);
        refuse(POSITIONS "--policy renumber --indices i.npy", "p.npy", values[i].cause);
    }
    save_ids(1, 1, ids); /* the last one has room in int64 */
    succeed(POSITIONS "--policy renumber");
}

/* ---- batches ------------------------------------------------------------------------------ */

#define NARROW "astronaut coffee chelsea"

static void test_a_batch_is_its_images_one_by_one(void **state) {
    (void)state;
    const char *at = succeed("batch " NARROW " wide --keep 48 --json");
    long budgets[MAX_LIST];
    assert_int_equal(list_of(at, "budgets", budgets), N_IMAGES);
    for (size_t e = 0; e < N_IMAGES; e++) {
        const char *const one = selection_of(links[e].name, 48, "");
        assert_int_equal(budgets[e], 48);
        at = strstr(at, one);
        assert_non_null(at);
        at += strlen(one);
    }
    assert_string_equal(at, "], \"files\": [\"astronaut\", \"coffee\", \"chelsea\", \"wide\"], "
                            "\"version\": 1}\n");
}

/* As if they were not there, but for an error line each, a list in the JSON and the exit code. */
static void test_a_batch_leaves_out_what_is_no_good(void **state) {
    static const char *const budgets[] = {"", "--dynamic", "--phi-ref=0.9"};
    static const char failed[] = ", \"failed\": [\"bad.npy\", \"\\\"a\\\\\\u0009b\", \"none\"]}\n";
    static const char lines[] = "prunesid: bad.npy: row 3, column 1 is not finite\n"
                                "prunesid: \"a\\\\x09b: No such file or directory\n"
                                "prunesid: none: the shape is [0, 20, 8]: no tokens\n";
    const size_t shape[3] = {2, T / 2, D}, no_images[3] = {0, T, D};
    const float *const values = some_values(T * D, 0, 0);
    char line[MAX_LINE];
    (void)state;
    save("two.npy", "<f4", 3, shape, values);
    save("none", "<f4", 3, no_images, values);
    save_good("t.npy");
    save_matrix("bad.npy", T, D, 3 * D + 1, NAN);
    for (size_t i = 0; i < N_ITEMS(budgets); i++) {
        const char *const good = succeed("batch two.npy t.npy --keep 4 --json %s", budgets[i]);
        const size_t n = strlen(good) - strlen("}\n");
        snprintf(line, sizeof line, "batch two.npy bad.npy \"a\\\tb t.npy none --keep 4 --json %s",
            budgets[i]);
        const result got = run_line(NULL, NULL, line);
        assert_int_equal(got.code, 1);
        assert_true(starts_with(got.err, lines));
        assert_int_equal(strncmp(got.out, good, n), 0);
        assert_string_equal(got.out + n, failed);
    }
    const result got = run_line(NULL, NULL, "batch bad.npy t.npy two.npy --keep 4");
    assert_int_equal(got.code, 1);
    assert_true(starts_with(got.out, "image 0: t.npy\nkept "));
    assert_non_null(strstr(got.out, "\nimage 2: two.npy\nkept "));
    /* With scores nobody knows whose they are; without an image there is nothing to print. */
    save("s.npy", "<f4", 2, shape, values);
    refuse("batch two.npy bad.npy none --scores s.npy --keep 4", "bad.npy",
        "is not finite (--scores needs every file)");
    refuse("batch none --keep 4 --dynamic --json", "none", "[0, 20, 8]: no tokens\n");
}

/* Names of any bytes: the JSON stays UTF-8 and valid, and nothing steers the terminal. */
static void test_names_are_any_bytes(void **state) {
    static const struct {
        const char *name, *json, *text;
    } cases[] = {{"\xC3\xA9\xF0\x9F\x90\x88", "\xC3\xA9\xF0\x9F\x90\x88", NULL},
        {"\xFF\xC3", "\\uefff\\uefc3", "\\xff\\xc3"}, {"\x1B[31m", "\\u001b[31m", "\\x1b[31m"},
        {"\xC2\x9B\x7F", "\\u009b\\u007f", "\\xc2\\x9b\\x7f"},
        {"\xED\xA0\x80", "\\uefed\\uefa0\\uef80", "\\xed\\xa0\\x80"}, /* a surrogate */
        {"\xC0\xAF", "\\uefc0\\uefaf", "\\xc0\\xaf"},                 /* overlong */
        {"\xF4\x90\x80\x80", "\\ueff4\\uef90\\uef80\\uef80", "\\xf4\\x90\\x80\\x80"},
        {"\xEE\xBF\xBF", "\\uefee\\uefbf\\uefbf", "\xEE\xBF\xBF"}, /* what \xff becomes */
        {"\xE2\x82", "\\uefe2\\uef82", "\\xe2\\x82"},
        {"a\"\\\n", "a\\\"\\\\\\u000a", "a\"\\\\x0a"}};
    char line[MAX_LINE], wanted[MAX_LINE];
    (void)state;
    save_good("t.npy");
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        const char *const text = cases[i].text != NULL ? cases[i].text : cases[i].name;
        snprintf(line, sizeof line, "batch t.npy %s --keep 4 --json", cases[i].name);
        snprintf(wanted, sizeof wanted, "\"failed\": [\"%s\"]}\n", cases[i].json);
        const result got = run_line(NULL, NULL, line);
        CHECK(strstr(got.out, wanted) != NULL, "%zu: %s", i, got.out);
        snprintf(wanted, sizeof wanted, "prunesid: %s: No such file or directory\n", text);
        assert_string_equal(got.err, wanted);
        save_good(cases[i].name);
        snprintf(line, sizeof line, "batch t.npy %s --keep 4", cases[i].name);
        snprintf(wanted, sizeof wanted, "\nimage 1: %s\n", text);
        assert_non_null(strstr(run_line(NULL, NULL, line).out, wanted));
        snprintf(line, sizeof line, "select %s --keep 4 --regions 20", cases[i].name);
        snprintf(wanted, sizeof wanted, "region 0: %s, tokens 0 to 19\n", text);
        assert_non_null(strstr(run_line(NULL, NULL, line).out, wanted));
        snprintf(line, sizeof line, "%s --keep 4", cases[i].name);
        snprintf(wanted, sizeof wanted,
            "prunesid: unknown command '%s': select, batch, info, plot or sweep\ntry: prunesid "
            "--help\n",
            text);
        assert_string_equal(run_line(NULL, NULL, line).err, wanted);
    }
}

/* A frame is an image, or a window of several is: what select makes of its rows. */
static void test_windows_are_images_of_their_frames(void **state) {
    enum { FRAMES = 5, EACH = 4 };
    static const struct {
        const char *option;
        size_t n;
        size_t ends[FRAMES];
    } cases[] = {{"", 5, {1, 2, 3, 4, 5}}, {"--window 1", 5, {1, 2, 3, 4, 5}},
        {"--window 2", 3, {2, 4, 5}}, {"--window 3", 2, {3, 5}}, {"--window 5", 1, {5}},
        {"--window 2147483647", 1, {5}}};
    const size_t shape[3] = {FRAMES, EACH, D}, rows[2] = {FRAMES * EACH, D};
    const float *const values = some_values(FRAMES * EACH * D, 0, 0);
    const float *const scores = some_values(FRAMES * EACH, 1000, 3);
    long budgets[MAX_LIST];
    (void)state;
    save("video.npy", "<f4", 3, shape, values);
    save("s.npy", "<f4", 2, shape, scores);
    save("rows.npy", "<f4", 2, rows, values);
    save("row_s.npy", "<f4", 1, rows, scores);
    for (size_t c = 0; c < 2 * N_ITEMS(cases); c++) {
        const char *const given = c % 2 == 1 ? "row_s.npy" : NULL;
        const char *const json = succeed("batch video.npy --keep 3 --json %s %s",
            cases[c / 2].option, given != NULL ? "--scores s.npy" : "");
        const char *at = value_of(json, "images") + 1;
        assert_int_equal(list_of(json, "budgets", budgets), cases[c / 2].n);
        for (size_t w = 0, first = 0; w < cases[c / 2].n; w++) {
            const size_t end = cases[c / 2].ends[w] * EACH;
            at = check_part(at, "rows.npy", given, first, end, 3, "", 0) + 2;
            first = end;
        }
    }
    /* Each file has windows of its own, and a matrix is one frame. */
    const char *const json =
        succeed("batch video.npy rows.npy video.npy --window 3 --keep 3 --dynamic --json");
    assert_int_equal(list_of(json, "budgets", budgets), 5);
    assert_int_equal(sum(budgets, 5), 15);
}

static void test_dynamic_budgets_keep_the_total_and_the_limits(void **state) {
    static const struct {
        long keep, min, max;
    } cases[] = {
        {2, 1, 100}, {17, 1, 1000}, {64, 1, 1000}, {192, 1, 2000}, {576, 1, 4000}, {64, 60, 66}};
    (void)state;
    for (size_t c = 0; c < N_ITEMS(cases); c++) {
        const char *const json =
            succeed("batch " NARROW " wide --keep %ld --dynamic --min %ld --max %ld --json",
                cases[c].keep, cases[c].min, cases[c].max);
        long budgets[MAX_LIST];
        const char *at = json;
        assert_int_equal(list_of(json, "budgets", budgets), N_IMAGES);
        assert_int_equal(sum(budgets, N_IMAGES), N_IMAGES * cases[c].keep);
        for (size_t b = 0; b < N_IMAGES; b++) {
            at = strstr(at, "{\"tokens\"");
            assert_non_null(at);
            assert_in_range(budgets[b], cases[c].min, cases[c].max);
            assert_int_equal(number_of(at, "budget"), budgets[b]);
            check_selection(at++);
        }
    }
}

static void test_budgets_by_a_reference_follow_phi(void **state) {
    (void)state;
    for (size_t e = 0; e < N_IMAGES; e++) {
        const char *const info = succeed("info %s --json", links[e].name);
        const char *const json = succeed("batch %s --keep 64 --phi-ref 0.5 --json", links[e].name);
        assert_int_equal(number_of(json, "budget"), lrint(64 * real_of(info, "phi") / 0.5));
    }
}

static void test_a_dynamic_budget_has_room_beside_reserved_rows(void **state) {
    static const struct {
        const char *options;
        long budgets[2];
    } cases[] = {
        {"--dynamic --min 0 --reserve 3", {12, 4}}, {"--phi-ref 0.5 --min 5 --max 10", {10, 5}}};
    const float zeros[T * D] = {0}; /* phi is 1 for these and 0 for the ones */
    const size_t shape[2] = {T, D};
    float ones[T * D];
    long budgets[MAX_LIST];
    (void)state;
    for (size_t i = 0; i < T * D; i++) ones[i] = 1;
    save("zeros.npy", "<f4", 2, shape, zeros);
    save("ones.npy", "<f4", 2, shape, ones);
    for (size_t c = 0; c < N_ITEMS(cases); c++) {
        const char *const json =
            succeed("batch zeros.npy ones.npy --keep 8 --json %s", cases[c].options);
        assert_int_equal(list_of(json, "budgets", budgets), 2);
        assert_memory_equal(budgets, cases[c].budgets, sizeof cases[c].budgets);
    }
}

/* ---- sameness ----------------------------------------------------------------------------- */

static void check_same(const result *a, const result *b) {
    assert_int_equal(a->code, b->code);
    assert_string_equal(a->out, b->out);
    assert_string_equal(a->err, b->err);
}

static void test_both_dtypes_give_the_same_output(void **state) {
    const npy_array half = load_file("astronaut");
    float *const values = (float *)own(malloc(half.n_items * sizeof *values));
    (void)state;
    for (size_t i = 0; i < half.n_items; i++) values[i] = npy_float_at(&half, i);
    save("t.npy", "<f4", half.n_dims, half.shape, values);
    assert_string_equal(selection_of("t.npy", 64, ""), selection_of("astronaut", 64, ""));
}

/* Neither OpenBLAS's threads nor the tool's. */
static void test_threads_do_not_change_the_output(void **state) {
    static const char *const methods[] = {"krylov", "exact"};
    static const char *const cases[] = {
        "batch astronaut t.npy no.npy video.npy wide --keep=40 --window=2 --dynamic --json",
        "batch astronaut t.npy video.npy --keep=40 --phi-ref=0.7 --json",
        "select wide --keep=40 --regions=100,200,150,126 --json",
        "select astronaut --keep=40 --regions=100,200,300:330,350:576 --dynamic --json",
        "select astronaut --keep=40 --regions=9,300,267 --dynamic --json --scores attention"};
    static const int workers[] = {1, 2, 3, 1000};
    const size_t shape[3] = {3, 2, D};
    char line[MAX_LINE];
    (void)state;
    save_good("t.npy");
    save("video.npy", "<f4", 3, shape, some_values(3 * 2 * D, 0, 0));
    for (size_t i = 0; i < 2 * N_IMAGES; i++) {
        snprintf(line, sizeof line, "select %s --keep 192 --svd %s --json", links[i / 2].name,
            methods[i % 2]);
        const result one = run_line("1", NULL, line), two = run_line("2", NULL, line);
        assert_int_equal(one.code, 0);
        check_same(&one, &two);
    }
    for (size_t i = 0; i < N_ITEMS(cases) * N_ITEMS(workers); i++) {
        const char *const serial_line = cases[i / N_ITEMS(workers)];
        snprintf(line, sizeof line, "%s --threads=%d", serial_line, workers[i % N_ITEMS(workers)]);
        const result serial = run_line(NULL, NULL, serial_line), got = run_line(NULL, NULL, line);
        check_same(&serial, &got);
    }
}

/* ---- pictures ----------------------------------------------------------------------------- */

static size_t big_endian(const char *at) {
    const unsigned char *const bytes = (const unsigned char *)at;
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
}

static void test_plot_is_select_with_a_png(void **state) {
    static const int keeps[] = {1, 64, 320, 576};
    (void)state;
    for (size_t k = 0; k < N_ITEMS(keeps); k++) {
        size_t n_bytes;
        assert_string_equal(
            succeed(
                "plot coffee --image photo.png --grid 24x24 -o o.png --keep %d --json", keeps[k]),
            succeed("select coffee --keep %d --json", keeps[k]));
        const char *const bytes = read_stream(fopen("o.png", "rb"), &n_bytes);
        assert_true(n_bytes > 1000);
        assert_memory_equal(bytes, "\x89PNG\r\n\x1a\n", 8);
        assert_true(big_endian(bytes + 16) >= 768);
        assert_true(big_endian(bytes + 20) > 768);
        assert_memory_equal(bytes + n_bytes - 8, "IEND", 4);
        assert_int_equal(count_files(0), 1);
    }
}

/* ---- how many are enough ------------------------------------------------------------------ */

/* Objects of a list, one after the other: what follows the next "keep". */
static const char *next_point(const char *at) {
    const char *const point = strstr(at, "{\"keep\": ");
    return point != NULL ? point + 1 : NULL;
}

static void test_a_sweep_is_its_selections(void **state) {
    static const long keeps[] = {16, 64, 144, 576};
    static const char *const methods[] = {"prunesid", "uniform"};
    (void)state;
    for (size_t m = 0; m < 2; m++) {
        const char *at = succeed(
            "sweep astronaut --keep 576,64,16,25%% --method %s --text 0 --json", methods[m]);
        assert_true(starts_with(at, "{\"version\": 1, \"files\": [\"astronaut\"], \"method\": "));
        assert_int_equal(number_of(at, "tokens"), IMAGE_TOKENS);
        at = value_of(at, "points");
        for (size_t p = 0; p < N_ITEMS(keeps); p++) {
            const char *const one = succeed("select astronaut --keep %ld --method %s --represent "
                                            "all --json",
                keeps[p], methods[m]);
            at = next_point(at);
            assert_non_null(at);
            assert_int_equal(number_of(at, "keep"), keeps[p]);
            assert_true(real_of(at, "coverage") == real_of(one, "coverage"));
            assert_int_equal(number_of(at, "survivors"), number_of(one, "survivors"));
            assert_true(real_of(at, "select_ms") >= 0);
            assert_true(
                fabs(real_of(at, "prefill_left") - (double)keeps[p] / IMAGE_TOKENS) < 1e-12);
        }
        assert_true(real_of(at, "coverage") == 1);
        assert_null(next_point(at));
    }
}

static void test_a_sweep_of_several_has_the_median_and_the_worst(void **state) {
    double coverage[N_NARROW];
    (void)state;
    for (size_t e = 0; e < N_NARROW; e++)
        coverage[e] = real_of(succeed("sweep %s --keep 64 --json", links[e].name), "coverage");
    const double least = fmin(coverage[0], fmin(coverage[1], coverage[2]));
    const double most = fmax(coverage[0], fmax(coverage[1], coverage[2]));
    const char *const json = succeed("sweep astronaut coffee chelsea --keep 64 --json");
    assert_true(real_of(json, "worst_coverage") == least);
    const double middle = coverage[0] + coverage[1] + coverage[2] - least - most;
    assert_true(fabs(real_of(json, "coverage") - middle) < 1e-12);
    assert_true(real_of(json, "slowest_ms") >= real_of(json, "select_ms"));
    /* A bad file is named, the others come out. */
    const result got = run_line(NULL, NULL, "sweep astronaut no.npy --keep 64 --json");
    assert_int_equal(got.code, 1);
    assert_string_equal(got.err, "prunesid: no.npy: No such file or directory\n");
    assert_non_null(strstr(got.out, "\"failed\": [\"no.npy\"]}\n"));
}

/* Two kinds of token only: with two kept all is covered, and there the curve bends. */
static void test_a_sweep_finds_the_bend(void **state) {
    float values[T * D] = {0};
    const size_t shape[2] = {T, D};
    (void)state;
    for (size_t i = 0; i < T; i++) values[i * D + i * 3 / T] = 1;
    save("t.npy", "<f4", 2, shape, values);
    const char *const json = succeed("sweep t.npy --keep 1,2,3,4,5,10,20 --method uniform --json");
    assert_int_equal(number_of(json, "bend"), 3);
    const char *const text = succeed("sweep t.npy --keep 1,2,3,4,5,10,20 --method uniform");
    assert_non_null(strstr(text, "The curve bends at 3 tokens: coverage 1.000"));
    assert_non_null(strstr(text, "not one that is known to be enough"));
    assert_true(starts_with(value_of(succeed("sweep t.npy --keep 4,20 --json"), "bend"), "null"));
    assert_non_null(strstr(succeed("sweep t.npy --keep 4,20"), "No bend"));
    /* By itself it goes from a few to all. */
    const char *at = value_of(succeed("sweep t.npy --json"), "points");
    static const long keeps[] = {1, 2, 3, 4, 6, 8, 12, 16, 20};
    for (size_t p = 0; p < N_ITEMS(keeps); p++) {
        at = next_point(at);
        assert_non_null(at);
        assert_int_equal(number_of(at, "keep"), keeps[p]);
    }
    assert_null(next_point(at));
}

/* Budgets below the protected tokens are not begun with, and of a list left out by themselves. */
static void test_a_sweep_has_room_for_protected_tokens(void **state) {
    static const long keeps[] = {5, 6, 8, 12, 16, 20};
    (void)state;
    save_good("t.npy");
    const char *at = succeed("sweep t.npy --protect 0:5 --json");
    for (size_t p = 0; p < N_ITEMS(keeps); p++) {
        at = next_point(at);
        assert_non_null(at);
        assert_int_equal(number_of(at, "keep"), keeps[p]);
    }
    assert_null(next_point(at));
    at = next_point(succeed("sweep coffee --protect 0:10 --reserve 3 --json"));
    assert_int_equal(number_of(at, "keep"), 10);
    assert_int_equal(number_of(next_point(at), "keep"), 12);
    assert_int_equal(number_of(succeed("sweep coffee --protect 3 --json"), "keep"), 8);
    /* 25% is 5 tokens of t.npy and 144 of the other. */
    result got = run_line(NULL, NULL, "sweep t.npy --keep 4,8,25% --protect 0:6 --json");
    assert_int_equal(got.code, 1);
    assert_string_equal(got.err,
        "prunesid: --keep: 4 has no room for 6 protected tokens: left out for 1 of 1 images\n"
        "prunesid: --keep: 25% has no room for 6 protected tokens: left out for 1 of 1 images\n");
    at = next_point(got.out);
    assert_int_equal(number_of(at, "keep"), 8);
    assert_null(next_point(at));
    assert_null(strstr(got.out, "failed"));
    got = run_line(NULL, NULL, "sweep t.npy coffee --keep 10,25% --protect 0:6 --json");
    assert_int_equal(got.code, 1);
    assert_string_equal(got.err,
        "prunesid: --keep: 25% has no room for 6 protected tokens: left out for 1 of 2 images\n");
    at = next_point(got.out);
    assert_int_equal(number_of(at, "images"), 2);
    at = next_point(at);
    assert_int_equal(number_of(at, "images"), 1);
    assert_int_equal(number_of(at, "keep"), 144);
    refuse("sweep t.npy --keep 2,4 --protect 0:6", "t.npy", "more protected tokens");
    refuse("sweep t.npy --protect 20", "t.npy", "protected");
}

/* Points are told apart by what was asked for, also where the median image keeps the same. */
static void test_a_sweep_of_unlike_sizes_goes_by_budgets(void **state) {
    static const size_t sizes[] = {8, 1, 2};
    static const char *const rows[] = {"\n      1         1 ", "\n      2         2 ",
        "\n      3         2 ", "\n      4         2 ", "\n      6         2 ",
        "\n      8         2 "};
    static const long budgets[] = {1, 2, 3, 4, 6, 8}, keeps[] = {1, 2, 2, 2, 2, 2};
    char path[16];
    (void)state;
    for (size_t f = 0; f < N_ITEMS(sizes); f++) {
        snprintf(path, sizeof path, "%zu.npy", f);
        save_matrix(path, sizes[f], 6, SIZE_MAX, 0);
    }
    const char *at = succeed("sweep 0.npy 1.npy 2.npy --json");
    assert_int_equal(number_of(at, "tokens"), 2);
    for (size_t p = 0; p < N_ITEMS(budgets); p++) {
        at = next_point(at);
        assert_non_null(at);
        assert_int_equal(number_of(at, "budget"), budgets[p]);
        assert_int_equal(number_of(at, "keep"), keeps[p]);
    }
    assert_null(next_point(at));
    const char *const text = succeed("sweep 0.npy 1.npy 2.npy -o c.svg");
    assert_true(starts_with(text, "3 images of 1 to 8 tokens, prunesid; medians\n\n budget  "));
    for (size_t p = 0; p < N_ITEMS(rows); p++) assert_non_null(strstr(text, rows[p]));
    assert_non_null(
        strstr(read_stream(fopen("c.svg", "rb"), NULL), "prunesid: 3 images of 1 to 8 tokens<"));
    assert_true(starts_with(succeed("sweep 1.npy"), "1 image of 1 token, "));
    /* The bend is at a budget, of which keep says what stays; reserved rows are in it. */
    at = succeed("sweep 0.npy 1.npy 2.npy --reserve 3 --keep 4,5,7,11 --json");
    assert_int_equal(number_of(next_point(at), "keep"), 1);
    assert_int_equal(number_of(next_point(at), "budget"), 4);
    assert_int_equal(number_of(at, "bend"), 2);
    assert_int_equal(number_of(at, "bend_budget"), 5);
    /* A share stands where its median budget is, and is shown as it was asked for. */
    at = next_point(succeed("sweep coffee --keep 12.5%%,64 --json"));
    assert_int_equal(number_of(at, "budget"), 64);
    at = next_point(at);
    assert_int_equal(number_of(at, "budget"), 72);
    assert_true(real_of(at, "share") == 0.125);
    assert_non_null(strstr(succeed("sweep coffee --keep 12.5%%,64"), "\n  12.5%        72 "));
}

static void test_a_sweep_draws_its_curve(void **state) {
    size_t n_bytes;
    (void)state;
    succeed("sweep astronaut coffee -o c.svg");
    const char *bytes = read_stream(fopen("c.svg", "rb"), &n_bytes);
    assert_true(starts_with(bytes, "<svg xmlns=\"http://www.w3.org/2000/svg\""));
    assert_string_equal(bytes + n_bytes - 7, "</svg>\n");
    assert_non_null(strstr(bytes, "2 images of 576 tokens"));
    assert_non_null(strstr(bytes, "of the worst image"));
    assert_true(starts_with(succeed("sweep astronaut coffee -o -"), "<svg "));
    succeed("sweep astronaut -o c.png");
    bytes = read_stream(fopen("c.png", "rb"), &n_bytes);
    assert_memory_equal(bytes, "\x89PNG\r\n\x1a\n", 8);
    assert_int_equal(big_endian(bytes + 16), 1520);
    refuse("sweep astronaut -o no/c.svg", "no/c.svg", "No such file");
    /* The ending in any case; what is no ending of a curve is refused before a file is read. */
    succeed("sweep astronaut -o C.PnG");
    assert_memory_equal(read_stream(fopen("C.PnG", "rb"), NULL), "\x89PNG\r\n\x1a\n", 8);
    succeed("sweep astronaut -o C.SVG");
    assert_true(starts_with(read_stream(fopen("C.SVG", "rb"), NULL), "<svg "));
    succeed("sweep astronaut -o ./curve");
    assert_true(starts_with(read_stream(fopen("curve", "rb"), NULL), "<svg "));
    refuse("sweep no.npy -o c.jpg", "c.jpg", "a curve is .svg or .png, not .jpg");
    refuse("sweep no.npy -o ./c.png.txt", "./c.png.txt", "a curve is .svg or .png, not .txt");
    refuse("sweep no.npy -o c.", "c.", "a curve is .svg or .png, not .");
}

/* Numbers below the axis: whole ones; and no number of any axis twice. */
static void test_the_axis_of_a_small_curve_has_whole_numbers(void **state) {
    static const char middle[] = "text-anchor=\"middle\" fill=\"#59636e\">";
    static const char end[] = "text-anchor=\"end\" fill=\"#59636e\">";
    (void)state;
    for (size_t n = 1; n <= 8; n++) {
        save_matrix("t.npy", n, 6, SIZE_MAX, 0);
        const char *at = succeed("sweep t.npy -o -"), *before = "";
        for (const char *y = strstr(at, end); y != NULL; y = strstr(y, end)) {
            y += strlen(end);
            CHECK(strncmp(y, before, strcspn(y, "<")) != 0, "%zu tokens: %.8s", n, y);
            before = y;
        }
        for (size_t x = 0; x <= n; x += n < 8 ? 1 : 2) {
            char label[16];
            snprintf(label, sizeof label, "%zu</text>", x);
            at = strstr(at, middle);
            assert_non_null(at);
            at += strlen(middle);
            CHECK(starts_with(at, label), "%zu tokens: %.8s, not %zu", n, at, x);
        }
        assert_null(strstr(at, middle));
    }
}

/* ---- other ways to choose ----------------------------------------------------------------- */

static void test_uniform_is_an_even_grid(void **state) {
    static const long keeps[] = {1, 2, 7, 64, 100, 575, 576, 1000};
    long indices[MAX_LIST];
    (void)state;
    for (size_t k = 0; k < N_ITEMS(keeps); k++) {
        const char *const json =
            succeed("select coffee --keep %ld --method uniform --json", keeps[k]);
        const size_t n = list_of(json, "indices", indices);
        check_selection(json);
        assert_true(starts_with(value_of(json, "preset"), "\"uniform\""));
        for (size_t j = 0; j < n; j++) {
            const double step = n > 1 ? (double)(IMAGE_TOKENS - 1) / (double)(n - 1) : 0;
            assert_int_equal(indices[j], lrint((double)j * step));
        }
    }
    /* Of each region by itself, and with the rules of --dynamic. */
    const char *const json =
        succeed("select coffee --keep 3 --method uniform --regions 9,20:29 --json");
    assert_int_equal(list_of(json, "indices", indices), 6);
    static const long wanted[] = {0, 4, 8, 20, 24, 28};
    assert_memory_equal(indices, wanted, sizeof wanted);
    const char *const batch =
        succeed("batch " NARROW " wide --keep 64 --dynamic --method uniform --json");
    assert_int_equal(list_of(batch, "budgets", indices), N_IMAGES);
    assert_int_equal(sum(indices, N_IMAGES), N_IMAGES * 64);
}

static void test_a_share_is_of_each_image(void **state) {
    long budgets[MAX_LIST];
    (void)state;
    save_good("t.npy");
    assert_int_equal(number_of(succeed("select t.npy --keep 25%% --json"), "keep"), 5);
    assert_int_equal(number_of(succeed("select t.npy --keep 12.5%% --json"), "keep"), 2);
    assert_int_equal(number_of(succeed("select t.npy --keep 100%% --json"), "keep"), T);
    assert_int_equal(number_of(succeed("select t.npy --keep 0.1%% --json"), "keep"), 1);
    const char *const json = succeed("batch t.npy coffee --keep 50%% --json");
    assert_int_equal(list_of(json, "budgets", budgets), 2);
    assert_int_equal(budgets[0], 10);
    assert_int_equal(budgets[1], 288);
    assert_int_equal(
        list_of(succeed("select t.npy --keep 50%% --regions 4,16 --json"), "budgets", budgets), 2);
    assert_int_equal(budgets[0], 2);
    assert_int_equal(budgets[1], 8);
}

static int holds(const long *list, size_t n, long value) {
    for (size_t i = 0; i < n; i++)
        if (list[i] == value) return 1;
    return 0;
}

static void test_protected_tokens_are_kept(void **state) {
    static const char *const ways[] = {"--protect 575,3,100:103,3", "--protect p.npy"};
    static const char *const methods[] = {"prunesid", "uniform"};
    static const int64_t ids[] = {575, 3, 102, 101, 100, 100};
    const size_t n_ids = N_ITEMS(ids);
    (void)state;
    save("p.npy", "<i8", 1, &n_ids, ids);
    for (size_t c = 0; c < 4; c++) {
        long indices[MAX_LIST];
        const char *const json =
            succeed("select coffee --keep 32 --json %s --method %s", ways[c % 2], methods[c / 2]);
        const size_t n = list_of(json, "indices", indices);
        check_selection(json);
        for (size_t i = 0; i < n_ids; i++) assert_true(holds(indices, n, (long)ids[i]));
    }
    /* Of every image of a batch, and in a region where it lies. */
    const char *at = succeed("batch coffee chelsea --keep 8 --protect 7 --json");
    long indices[MAX_LIST];
    for (size_t i = 0; i < 2; i++) {
        at = strstr(at, "{\"tokens\"");
        assert_non_null(at);
        assert_true(holds(indices, list_of(at, "indices", indices), 7));
        at++;
    }
    const char *const json =
        succeed("select coffee --keep 4 --protect 450 --regions 300,276 --json");
    assert_true(holds(indices, list_of(json, "indices", indices), 450));
    refuse("select coffee --keep 4 --protect 576", "--protect", "576 is not among the 576");
    refuse("select coffee --keep 4 --protect 0:5", "coffee", "more protected tokens");
    refuse("select coffee --keep 4 --protect 5:5", NULL, "INDEX or FIRST:END");
    refuse("select coffee --keep 4 --protect 5,,6", NULL, "INDEX or FIRST:END");
    refuse("select coffee --keep 4 --protect -1", NULL, "'-1' is no index");
    refuse("select coffee --keep 4 --protect +1", NULL, "'+1' is no index");
    refuse("select coffee --keep 4 --protect ~1", NULL, "' 1' is no index");
    refuse("select coffee --keep 4 --protect 1,-2", NULL, "'1,-2' is no index");
    refuse("select coffee --keep 4 --protect 1:+2", NULL, "'1:+2' is no index");
    refuse("select coffee --keep 4 --protect no.npy", "no.npy", "No such file");
}

/* ---- who stands for whom ------------------------------------------------------------------- */

static double cosine(const npy_array *rows, size_t i, size_t j) {
    double dot = 0, of_i = 0, of_j = 0;
    for (size_t c = 0; c < rows->shape[1]; c++) {
        const double a = npy_float_at(rows, i * rows->shape[1] + c);
        const double b = npy_float_at(rows, j * rows->shape[1] + c);
        dot += a * b;
        of_i += a * a;
        of_j += b * b;
    }
    return dot / sqrt(of_i * of_j);
}

static void test_representatives_and_merged_rows(void **state) {
    static const char *const scopes[] = {"all", "group"};
    static const char *const methods[] = {"--method prunesid", "--method uniform"};
    const npy_array rows = load_file("coffee");
    const size_t d = rows.shape[1];
    (void)state;
    for (size_t c = 0; c < 3; c++) {
        long indices[MAX_LIST], group[MAX_LIST], who[MAX_LIST], count[MAX_LIST];
        const char *const json =
            succeed("select coffee --keep 24 %s --represent %s --json --merge 0.25 --tokens m.npy",
                methods[c / 2], scopes[c % 2]);
        const size_t n = list_of(json, "indices", indices);
        const npy_array merged = load_file("m.npy");
        list_of(json, "group", group);
        assert_int_equal(list_of(json, "representative", who), IMAGE_TOKENS);
        assert_int_equal(list_of(json, "count", count), n);
        assert_int_equal(sum(count, n), IMAGE_TOKENS);
        double coverage = 0;
        for (size_t i = 0; i < IMAGE_TOKENS; i++) {
            const double own = cosine(&rows, i, (size_t)who[i]);
            coverage += own / IMAGE_TOKENS;
            assert_true(holds(indices, n, who[i]));
            for (size_t j = 0; j < n && c % 2 == 0; j++)
                assert_true(cosine(&rows, i, (size_t)indices[j]) <= own + 1e-9);
            assert_true(c % 2 == 0 || group[who[i]] == group[i]);
        }
        assert_true(fabs(coverage - real_of(json, "coverage")) < 1e-6);
        assert_int_equal(merged.shape[0], n);
        for (size_t j = 0; j < n * d; j++) {
            double mean = 0;
            for (size_t i = 0; i < IMAGE_TOKENS; i++)
                if (who[i] == indices[j / d])
                    mean += npy_float_at(&rows, i * d + j % d) / (double)count[j / d];
            const double wanted =
                0.75 * npy_float_at(&rows, (size_t)indices[j / d] * d + j % d) + 0.25 * mean;
            assert_true(fabs(npy_float_at(&merged, j) - wanted) <= 1e-3 * (1 + fabs(wanted)));
        }
    }
    /* Without --represent nothing is added, and the scope is all. */
    const char *const plain = succeed("select coffee --keep 24 --json --merge 0.25 --tokens n.npy");
    assert_null(strstr(plain, "representative"));
    succeed("select coffee --keep 24 --represent all --merge 0.25 --tokens m.npy");
    assert_memory_equal(load_file("n.npy").data, load_file("m.npy").data, 24 * d * 2);
    assert_string_equal(plain, succeed("select coffee --keep 24 --json"));
    refuse("select coffee --keep 4 --merge 1.5 --tokens m.npy", "--merge", "between 0 and 1");
    refuse("select coffee --keep 4 --merge nan --tokens m.npy", "--merge", "between 0 and 1");
    refuse("select coffee --keep 4 --merge x --tokens m.npy", NULL, "'x' is not a number");
    refuse("select coffee --keep 4 --merge 0.5", NULL, "--merge needs --tokens");
    refuse("batch coffee --keep 4 --merge 0.5", NULL, "--merge needs --out-dir");
    refuse("select coffee --keep 4 --represent best", NULL, "all or group");
    refuse("select coffee --keep 4 --represent group --method uniform", NULL, "no groups");
    refuse("select coffee --keep 4 --method uniform --svd exact", NULL, "does not use --svd");
    refuse("select coffee --keep 4 --method unifrm", NULL, "did you mean uniform?");
}

/* ---- what it reads ------------------------------------------------------------------------- */

static void save_descr(const char *path, const char *descr, int fortran, const char *shape,
    const void *data, size_t n_bytes) {
    char header[256];
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr,
        fortran ? "True" : "False", shape);
    const size_t length = strlen(header);
    char *const bytes = (char *)own(malloc(10 + length + n_bytes));
    memcpy(bytes, "\x93NUMPY\x01", 8); /* and its NUL */
    bytes[8] = (char)length;
    bytes[9] = 0;
    memcpy(bytes + 10, header, length);
    memcpy(bytes + 10 + length, data, n_bytes);
    write_bytes(path, bytes, 10 + length + n_bytes);
}

static void test_other_dtypes_and_orders(void **state) {
    float *const values = some_values(T * D, 0, 0); /* of 8 bits: exact in every dtype */
    uint16_t halves[T * D];
    double wide[T * D], turned[T * D];
    float frames[2 * T * D];
    (void)state;
    for (size_t i = 0; i < T * D; i++) {
        halves[i] = bf16_from_float(values[i]);
        wide[i] = values[i];
        turned[i % D * T + i / D] = values[i];
        /* [2, T, D] in Fortran order, the first image reversed. */
        frames[2 * (i % D * T + i / D) + 1] = values[i];
        frames[2 * (i % D * T + i / D)] = values[T * D - 1 - i];
    }
    save_good("t.npy");
    save_descr("f8.npy", "<f8", 0, "(20, 8)", wide, sizeof wide);
    save_descr("turned.npy", "<f8", 1, "(20, 8)", turned, sizeof turned);
    save_descr("u2.npy", "<u2", 0, "(20, 8)", halves, sizeof halves);
    save_descr("i2.npy", "<i2", 0, "(20, 8)", halves, sizeof halves);
    save_descr("v2.npy", "|V2", 0, "(20, 8)", halves, sizeof halves);
    save_descr("two.npy", "<f4", 1, "(2, 20, 8)", frames, sizeof frames);
    write_bytes("b.raw", halves, sizeof halves);
    write_bytes("d.raw", wide, sizeof wide);
    static const char *const same[] = {"f8.npy", "turned.npy", "u2.npy --dtype bf16",
        "i2.npy --dtype bf16", "v2.npy --dtype bf16", "two.npy --item 1",
        "b.raw --shape 20x8 --dtype bf16", "d.raw --shape 1x20x8 --dtype f64"};
    const char *const wanted = succeed("select t.npy --keep 6 --json");
    for (size_t i = 0; i < N_ITEMS(same); i++)
        assert_string_equal(succeed("select %s --keep 6 --json", same[i]), wanted);
    /* Rows come out as they went in; float64 as float32. */
    succeed("select u2.npy --dtype bf16 --keep 6 --tokens k.npy --indices i.npy");
    const npy_array rows = load_file("k.npy"), indices = load_file("i.npy");
    assert_int_equal(rows.kind, 'u');
    for (size_t j = 0; j < 6; j++)
        assert_memory_equal((const uint16_t *)rows.data + j * D,
            halves + (size_t)((const int32_t *)indices.data)[j] * D, D * 2);
    succeed("select f8.npy --keep 6 --tokens k.npy");
    assert_int_equal(load_file("k.npy").item_bytes, 4);
    assert_non_null(strstr(succeed("info u2.npy --dtype bf16 --json"), "\"dtype\": \"bfloat16\""));
    wide[3] = 1e39; /* float32 has no such number */
    save_descr("f8.npy", "<f8", 0, "(20, 8)", wide, sizeof wide);
    refuse("info f8.npy", "f8.npy", "row 0, column 3 is not finite");
    refuse("select u2.npy --keep 6", "u2.npy", "--dtype bf16 or --dtype f16");
    refuse("select t.npy --keep 6 --dtype bf16", "t.npy", "is not that of --dtype bf16");
    refuse("select b.raw --keep 6 --shape 21x8 --dtype bf16", "b.raw", "needs 336 bytes");
    refuse("select b.raw --keep 6 --shape 19x8 --dtype bf16", "b.raw", "16 bytes follow");
    refuse("select b.raw --keep 6 --shape 20", NULL, "is not TxD or BxTxD");
    refuse("select b.raw --keep 6 --shape 0x8", "--shape", "must be between 1");
    refuse("select two.npy --keep 6", "two.npy", "several images: use batch, or --item");
    refuse("info two.npy --item 2", "two.npy", "there is no image 2 among its 2");
    refuse("info t.npy --item 1", "t.npy", "there is no image 1");
}

/* Lines that a shell runs, for its pipes; $T is the tool. */
static char *shell(const char *line) {
    char command[MAX_LINE];
    snprintf(command, sizeof command, "T='%s'; %s", PRUNESID_TOOL, line);
    FILE *const out = popen(command, "r");
    char *const text = (char *)own(calloc(65536, 1));
    assert_non_null(out);
    fread(text, 1, 65535, out);
    CHECK(pclose(out) == 0, "%s", line);
    return text;
}

static void test_standard_input_and_output(void **state) {
    (void)state;
    save_good("t.npy");
    const char *const json = succeed("select t.npy --keep 6 --json --indices i.npy --tokens k.npy");
    assert_string_equal(shell("$T select - --keep 6 --json <t.npy"), json);
    assert_string_equal(shell("cat t.npy | $T select - --keep 6 --json"), json);
    assert_string_equal(
        shell("$T select t.npy --keep 6 --indices - | cmp - i.npy && echo same"), "same\n");
    assert_string_equal(
        shell("$T select t.npy --keep 6 --tokens - >o.npy && cmp o.npy k.npy && echo same"),
        "same\n");
    assert_string_equal(shell("$T select t.npy --keep 6 --tokens - | $T info - --json"),
        succeed("info k.npy --json"));
    assert_string_equal(
        shell("printf '' | $T info - 2>&1 || echo $?"), "prunesid: -: the file is empty\n1\n");
    /* A file that is standard output under another name is - as well. */
    assert_string_equal(
        shell("$T select t.npy --keep 6 --tokens s.npy >s.npy && cmp s.npy k.npy && echo same"),
        "same\n");
    assert_string_equal(
        shell("$T select t.npy --keep 6 --indices /dev/stdout | cmp - i.npy && echo same"),
        "same\n");
    assert_string_equal(
        shell("$T select t.npy --keep 6 --json --tokens s.npy 2>&1 >s.npy | head -n 1"),
        "prunesid: --tokens: standard output is taken by --json\n");
    refuse("batch - - --keep 4", NULL, "named twice");
    refuse("select - --keep 4 --scores -", NULL, "named twice");
}

/* ---- batches of any length ----------------------------------------------------------------- */

static void check_written(const char *name, const char *json) {
    char path[256];
    long listed[MAX_LIST];
    const size_t n = list_of(json, "indices", listed);
    snprintf(path, sizeof path, "out/%s.indices.npy", name);
    const npy_array indices = load_file(path);
    snprintf(path, sizeof path, "out/%s.tokens.npy", name);
    const npy_array rows = load_file(path);
    assert_int_equal(indices.n_items, n);
    assert_int_equal(rows.shape[0], n);
    for (size_t j = 0; j < n; j++) assert_int_equal(npy_integer_at(&indices, j), listed[j]);
}

static void empty_out(void) {
    shell("rm -rf out");
}

static void test_a_stream_is_a_batch(void **state) {
    static const char *const options[] = {"", "--dynamic", "--phi-ref 0.7", "--threads 2",
        "--window 2", "--represent group", "--method uniform", "--dynamic --min 5 --threads 3",
        "--scores s.npy"};
    static const char *const names[] = {"t", "three.0", "three.1", "three.2", "u"};
    const size_t three[3] = {3, T, D}, all[2] = {5, T};
    (void)state;
    save_good("t.npy");
    save("three.npy", "<f4", 3, three, some_values(3 * T * D, 500, 0));
    save("s.npy", "<f4", 2, all, some_values(5 * T, 90, 3));
    save("u.npy", "<f4", 2, three + 1, some_values(T * D, 7, 6)); /* poor: a small budget */
    for (size_t i = 0; i < N_ITEMS(options); i++) {
        const char *const json =
            succeed("batch t.npy three.npy u.npy --keep 6 --json %s", options[i]);
        const char *const lines =
            succeed("batch t.npy three.npy u.npy --keep 6 --jsonl --out-dir out %s", options[i]);
        const char *const object =
            succeed("batch t.npy three.npy u.npy --keep 6 --json --out-dir out %s", options[i]);
        const char *at = value_of(json, "images"), *line = lines, *other = object;
        const int is_windowed = strstr(options[i], "--window") != NULL;
        const size_t n = is_windowed ? 4 : 5;
        for (size_t k = 0; k < n; k++) {
            at = strstr(at, "{\"tokens\"");
            assert_non_null(at);
            const size_t length = (size_t)(strchr(at, '}') - at);
            line = strstr(line, "\"tokens\"");
            other = strstr(other, "\"tokens\"");
            assert_non_null(line);
            assert_non_null(other);
            assert_int_equal(strncmp(line, at + 1, length), 0);
            assert_int_equal(strncmp(other, at + 1, length), 0);
            if (!is_windowed) check_written(names[k], at);
            at++, line++, other++;
        }
        assert_true(starts_with(lines, "{\"version\": 1, \"file\": \"t.npy\", \"item\": 0, "));
        assert_null(strstr(line, "\"tokens\""));
        assert_non_null(strstr(object, "\"files\": [\"t.npy\", \"three.npy\", "));
        empty_out();
    }
    const char *const text = succeed("batch t.npy three.npy --keep 6 --out-dir out --merge 0.5");
    assert_string_equal(text, "4 images, 24 of 80 tokens kept: out\n");
    succeed("select t.npy --keep 6 --merge 0.5 --tokens k.npy");
    assert_string_equal(shell("cmp out/t.tokens.npy k.npy && echo same"), "same\n");
    empty_out();
}

static void test_a_stream_leaves_out_what_is_no_good(void **state) {
    static const char *const options[] = {"", "--dynamic", "--threads 2"};
    (void)state;
    save_good("t.npy");
    save_good("u.npy");
    save_matrix("bad.npy", T, D, 3 * D + 1, NAN);
    for (size_t i = 0; i < N_ITEMS(options); i++) {
        char line[MAX_LINE];
        snprintf(line, sizeof line, "batch t.npy bad.npy no.npy u.npy --keep 6 --out-dir out %s",
            options[i]);
        const result got = run_line(NULL, NULL, line);
        assert_int_equal(got.code, 1);
        assert_string_equal(got.err, "prunesid: bad.npy: row 3, column 1 is not finite\n"
                                     "prunesid: no.npy: No such file or directory\n");
        assert_string_equal(got.out, "2 images, 12 of 40 tokens kept: out\n");
        assert_string_equal(
            shell("ls out"), "t.indices.npy\nt.tokens.npy\nu.indices.npy\nu.tokens.npy\n");
        empty_out();
    }
    assert_int_equal(mkdir("a", 0777), 0);
    save_good("a/t.npy");
    succeed("batch t.npy a/t.npy --keep 4 --out-dir out");
    assert_string_equal(
        shell("ls out"), "a_t.indices.npy\na_t.tokens.npy\nt.indices.npy\nt.tokens.npy\n");
    empty_out();
    refuse("batch no.npy ./no.npy --keep 4 --out-dir out", "--out-dir", "two files have one");
    refuse("batch t.npy --keep 4 --out-dir u.npy", "u.npy", "not a folder");
    refuse("batch t.npy --keep 4 --json --jsonl", NULL, "take one of them");
    refuse("batch - --keep 4 --jsonl --dynamic", NULL, "reads each file twice");
    refuse("select t.npy --keep 4 --jsonl", NULL, "--jsonl is not an option of select");
    succeed("batch t.npy --keep 4 --out-dir .");
    refuse("batch t.npy t.tokens.npy --keep 4 --out-dir .", "t.tokens.npy", "into the place");
    unlink("a/t.npy");
}

/* Rows of noise, or nearly equal ones. */
static void save_rows(const char *path, size_t n_rows, float noise) {
    const size_t shape[2] = {n_rows, 16};
    float *const values = some_values(n_rows * 16, 3, 0);
    for (size_t i = 0; i < n_rows * 16; i++) values[i] = values[i] * noise + (noise < 1);
    save(path, "<f4", 2, shape, values);
}

static void test_what_an_image_cannot_use_goes_to_the_others(void **state) {
    static const char *const ways[] = {"--json", "--json --out-dir out"};
    long budgets[MAX_LIST];
    (void)state;
    save_rows("s1.npy", 10, 1);
    save_rows("s2.npy", 100, 1e-3f);
    for (size_t i = 0; i < 4; i++) {
        const char *const json = succeed("batch s1.npy s2.npy --keep 20 --dynamic %s %s",
            ways[i % 2], i < 2 ? "" : "--reserve 1");
        assert_int_equal(list_of(json, "budgets", budgets), 2);
        assert_int_equal(budgets[0], i < 2 ? 10 : 11);
        assert_int_equal(sum(budgets, 2), 40);
    }
    assert_string_equal(succeed("batch s1.npy s2.npy --keep 20 --dynamic --out-dir out"),
        "2 images, 40 of 110 tokens kept: out\n");
    empty_out();
}

static void test_a_stream_has_the_scores_of_its_item(void **state) {
    const size_t shape[3] = {4, T, D};
    (void)state;
    save_good("t.npy");
    save("b.npy", "<f4", 3, shape, some_values(4 * T * D, 500, 0));
    save("sc.npy", "<f4", 2, shape, some_values(4 * T, 90, 3));
    save("s5.npy", "<f4", 2, (const size_t[]){5, T}, some_values(5 * T, 90, 3));
    save("s6.npy", "<f4", 2, (const size_t[]){6, T}, some_values(6 * T, 90, 3));
    const char *const json = succeed("batch b.npy --item 2 --keep 4 --scores sc.npy --json");
    const char *const line = succeed("batch b.npy --item 2 --keep 4 --scores sc.npy --jsonl");
    const char *const from = strstr(json, "\"tokens\"");
    assert_non_null(from);
    assert_non_null(strstr(line, "\"tokens\""));
    assert_int_equal(
        strncmp(strstr(line, "\"tokens\""), from, (size_t)(strchr(from, '}') - from)), 0);
    /* What does not fit is seen before anything is put out. */
    succeed("batch t.npy b.npy --keep 4 --scores s5.npy --jsonl");
    refuse("batch t.npy b.npy --keep 4 --scores s6.npy --jsonl", "s6.npy", "it has 6 images");
    refuse("batch t.npy b.npy --keep 4 --scores sc.npy --jsonl", "sc.npy", "4 images of 20 tokens");
}

/* Nothing that is read, and no other output, is written over; and no file is written. */
static void test_a_stream_takes_no_files_place(void **state) {
    static const struct {
        const char *line, *subject, *cause;
    } cases[] = {
        {"batch b.npy k/b.0.tokens.npy --keep 4 --out-dir k", "k/b.0.tokens.npy", "b.npy\n"},
        {"batch t.npy --keep 4 --out-dir ln", "t.npy", "of this file what belongs to t.npy"},
        {"batch t.npy --keep 4 --scores k/t.tokens.npy --out-dir k", "k/t.tokens.npy", "t.npy\n"},
        {"batch t.npy --keep 4 --protect k/t.indices.npy --out-dir k", "k/t.indices.npy",
            "t.npy\n"},
        {"batch k/x.npy k/y.npy --keep 4 --out-dir k", "k/y.npy", "a link in k"},
        {"batch b.npy b.1.npy --keep 4 --out-dir out", "b.1.npy", "what belongs to b.npy"},
        {"batch t.npy k/../t.npy --keep 4 --out-dir out", NULL, "the file is given twice"},
        {"batch t.npy ./t.npy --keep 4 --out-dir out", NULL, "the file is given twice"},
    };
    const size_t shape[3] = {4, T, D}, one = 1;
    const int32_t index = 3;
    (void)state;
    assert_int_equal(mkdir("k", 0777), 0);
    assert_int_equal(mkdir("ln", 0777), 0);
    save_good("t.npy");
    save_good("b.1.npy");
    save_good("t.1.npy");
    save_good("k/b.0.tokens.npy");
    save_good("k/x.npy");
    save_good("k/y.npy");
    save("b.npy", "<f4", 3, shape, some_values(4 * T * D, 500, 0));
    save("k/t.tokens.npy", "<f4", 1, shape + 1, some_values(T, 90, 3));
    save("k/t.indices.npy", "<i4", 1, &one, &index);
    assert_int_equal(symlink("../t.npy", "ln/t.tokens.npy"), 0);
    save_good("k/x.tokens.npy");
    assert_int_equal(symlink("x.tokens.npy", "k/y.tokens.npy"), 0);
    const char *const before = shell("ls -l --full-time . k ln; cat *.npy k/* | cksum");
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        const result got = run_line(NULL, NULL, cases[i].line);
        CHECK(got.code == 1 && *got.out == '\0' && strstr(got.err, cases[i].cause) != NULL &&
                  (cases[i].subject == NULL || starts_with(got.err + 10, cases[i].subject)),
            "%s: %d, %s", cases[i].line, got.code, got.err);
        assert_string_equal(before, shell("ls -l --full-time . k ln; cat *.npy k/* | cksum"));
    }
    /* Standard input is a file as well. */
    shell("ln -s b.0.tokens.npy k/stdin.tokens.npy");
    assert_string_equal(
        shell("$T batch - --keep 4 --out-dir k <k/b.0.tokens.npy 2>&1; ls k | grep -c stdin"),
        "prunesid: -: --out-dir would write into the place of this file what belongs to -\n1\n");
    /* A header that claims more images than any file has is found out at once. */
    forge("huge.npy", 1,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999, 1, 1), }\n", 4);
    const result huge = run_line(NULL, NULL, "batch huge.npy --keep 4 --out-dir out");
    assert_int_equal(huge.code, 1);
    assert_non_null(strstr(huge.err, "huge.npy: truncated"));
    succeed("batch t.npy t.1.npy --keep 4 --out-dir out"); /* one image each: all names differ */
    assert_string_equal(shell("ls out | wc -l"), "4\n");
    succeed("batch t.npy t.1.npy --keep 4 --out-dir out"); /* again */
    empty_out();
    succeed("batch ./t.npy k/x.npy ./b.npy k/b.0.tokens.npy --keep 4 --out-dir out");
    succeed("batch ./t.npy k/../k/x.npy --keep 4 --out-dir out");
    shell("rm -rf out k ln");
}

static void test_a_stream_that_stops_closes_its_json(void **state) {
    const size_t shape[2] = {2, T};
    (void)state;
    save_good("t.npy");
    save_good("u.npy");
    save("s2.npy", "<f4", 2, shape, some_values(2 * T, 90, 3));
    result got =
        run_line(NULL, NULL, "batch t.npy no.npy --keep 4 --scores s2.npy --json --out-dir out");
    assert_int_equal(got.code, 1);
    assert_non_null(
        strstr(got.out, "], \"files\": [\"t.npy\"], \"version\": 1, \"failed\": [\"no.npy\"]}\n"));
    assert_int_equal(mkdir("out/u.tokens.npy", 0777), 0);
    got = run_line(NULL, NULL, "batch t.npy u.npy --keep 4 --json --out-dir out");
    assert_int_equal(got.code, 1);
    assert_non_null(strstr(got.err, "out/u.tokens.npy: is a directory"));
    assert_non_null(
        strstr(got.out, "], \"files\": [\"t.npy\"], \"version\": 1, \"failed\": [\"u.npy\"]}\n"));
    empty_out();
}

/* On a terminal the progress is gone before a message, and in the end. */
static void test_progress_makes_way(void **state) {
    (void)state;
    save_good("t.npy");
    save_good("u.npy");
    if (strcmp(shell("script --version >/dev/null 2>&1 && echo yes; true"), "yes\n") != 0) skip();
    const char *const text = shell("script -qec \"$T batch t.npy no.npy u.npy --keep 4 --out-dir "
                                   "out\" /dev/null </dev/null; true");
    assert_non_null(strstr(text, "1 of 3 files\r\033[Kprunesid: no.npy: "));
    assert_non_null(strstr(text, "2 of 3 files\r\033[K2 images, "));
    empty_out();
}

/* Killed at some moment: every file that is there is whole, and none is there by another name. */
static void test_what_a_killed_stream_leaves_is_whole(void **state) {
    enum { FILES = 300 };
    static const struct timespec moment = {0, 1000000};
    char line[65536] = "batch";
    char name[64], *argv[FILES + 8];
    size_t n = 0, n_whole = 0;
    (void)state;
    save_matrix("m.npy", 64, 64, SIZE_MAX, 0);
    for (size_t f = 0; f < FILES; f++) {
        snprintf(name, sizeof name, "m%03zu.npy", f);
        assert_int_equal(symlink("m.npy", name), 0);
        snprintf(line + strlen(line), sizeof line - strlen(line), " %s", name);
    }
    strcat(line, " --keep 16 --out-dir out");
    argv[n++] = (char *)own(strdup("prunesid"));
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) argv[n++] = word;
    argv[n] = NULL;
    const pid_t child = fork();
    if (child == 0) {
        execv(PRUNESID_TOOL, argv);
        _exit(127);
    }
    assert_true(child > 0);
    for (size_t wait = 0; wait < 10000 && access("out/m020.indices.npy", F_OK) != 0; wait++)
        nanosleep(&moment, NULL);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    for (size_t f = 0; f < FILES; f++) {
        snprintf(name, sizeof name, "out/m%03zu.indices.npy", f);
        if (access(name, F_OK) != 0) continue;
        assert_int_equal(load_file(name).n_items, 16);
        snprintf(name, sizeof name, "out/m%03zu.tokens.npy", f);
        if (access(name, F_OK) == 0) assert_int_equal(load_file(name).n_items, 16 * 64);
        n_whole++;
    }
    assert_true(n_whole > 20);
    assert_string_equal(
        shell("ls out | grep -v -e indices.npy -e tokens.npy | grep -v tmp; true"), "");
    empty_out();
}

/* ---- help ---------------------------------------------------------------------------------- */

static void test_help_of_a_command_has_its_options(void **state) {
    static const char *const names[] = {"select", "batch", "info", "plot", "sweep"};
    (void)state;
    for (size_t c = 0; c < N_ITEMS(names); c++) {
        const char *const help = succeed("%s --help", names[c]);
        char usage[64];
        snprintf(usage, sizeof usage, "\n  prunesid %s ", names[c]);
        assert_non_null(strstr(help, usage));
        assert_string_equal(help, succeed("%s -h", names[c]));
        assert_string_equal(help, succeed("help %s", names[c]));
        assert_int_equal(strstr(help, "\n  --out-dir ") != NULL, c == 1);
        assert_int_equal(strstr(help, "\n  --grid ") != NULL, c == 3);
        assert_non_null(strstr(help, "\n  --item i"));
    }
    refuse("help slect", NULL, "did you mean select?");
}

/* ------------------------------------------------------------------------------------------- */

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(select_json_is_a_selection_for_every_example),
        TEST(scores_choose_the_llava_rules),
        TEST(a_budget_above_the_tokens_keeps_everything),
        TEST(loadings_set_the_groups),
        TEST(the_summary_is_for_people),
        TEST(info),
        TEST(help_and_version),
        TEST(output_files_match_the_json),
        TEST(outputs_are_all_or_none),
        TEST(values_that_are_not_finite_are_located),
        TEST(what_is_wrong_is_refused),
        TEST(files_may_be_called_as_options_are),
        TEST(forged_files),
        TEST(every_version_and_spelling_loads),
        TEST(truncated_files),
        TEST(regions_are_selections_of_their_own),
        TEST(regions_share_a_budget),
        TEST(positions),
        TEST(the_fourth_section_is_looked_at_to_its_end),
        TEST(the_layout_of_one_column_can_be_said),
        TEST(bad_positions),
        TEST(a_batch_is_its_images_one_by_one),
        TEST(a_batch_leaves_out_what_is_no_good),
        TEST(names_are_any_bytes),
        TEST(windows_are_images_of_their_frames),
        TEST(dynamic_budgets_keep_the_total_and_the_limits),
        TEST(budgets_by_a_reference_follow_phi),
        TEST(a_dynamic_budget_has_room_beside_reserved_rows),
        TEST(both_dtypes_give_the_same_output),
        TEST(threads_do_not_change_the_output),
        TEST(plot_is_select_with_a_png),
        TEST(a_sweep_is_its_selections),
        TEST(a_sweep_of_several_has_the_median_and_the_worst),
        TEST(a_sweep_finds_the_bend),
        TEST(a_sweep_has_room_for_protected_tokens),
        TEST(a_sweep_of_unlike_sizes_goes_by_budgets),
        TEST(a_sweep_draws_its_curve),
        TEST(the_axis_of_a_small_curve_has_whole_numbers),
        TEST(uniform_is_an_even_grid),
        TEST(a_share_is_of_each_image),
        TEST(protected_tokens_are_kept),
        TEST(representatives_and_merged_rows),
        TEST(other_dtypes_and_orders),
        TEST(standard_input_and_output),
        TEST(a_stream_is_a_batch),
        TEST(a_stream_leaves_out_what_is_no_good),
        TEST(what_an_image_cannot_use_goes_to_the_others),
        TEST(a_stream_has_the_scores_of_its_item),
        TEST(a_stream_takes_no_files_place),
        TEST(a_stream_that_stops_closes_its_json),
        TEST(progress_makes_way),
        TEST(what_a_killed_stream_leaves_is_whole),
        TEST(help_of_a_command_has_its_options),
    };
    return cmocka_run_group_tests_name("tool", tests, NULL, NULL);
}
