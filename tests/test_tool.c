/* test_tool.c - the command-line tool from outside: output, exit codes, error lines, files.
 *
 * Runs the program PRUNESID_TOOL on the data in PRUNESID_EXAMPLES_DATA, both compile definitions.
 * Each test runs in a new directory below TMPDIR that holds nothing but what the test puts there,
 * so that anything left behind shows. MIT licence. */
#include "../examples/npy.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_ARGUMENTS = 40, MAX_LIST = 4096, CAUSE_BYTES = 256, TIMEOUT_SECONDS = 120 };

static const char *const examples[] = {"astronaut_vit384", "coffee_vit384", "chelsea_vit384"};
enum { N_EXAMPLES = 3, EXAMPLE_TOKENS = 576, EXAMPLE_DIM = 192 };

/* The small matrix that most tests use. */
enum { T = 20, D = 8 };

typedef struct result {
    int code;
    char *out;
    char *err;
} result;

/* ---- running ------------------------------------------------------------------------------ */

static char *read_stream(FILE *stream) {
    assert_int_equal(fseek(stream, 0, SEEK_END), 0);
    const long length = ftell(stream);
    assert_true(length >= 0);
    char *const text = (char *)malloc((size_t)length + 1);
    assert_non_null(text);
    rewind(stream);
    assert_int_equal(fread(text, 1, (size_t)length, stream), length);
    text[length] = '\0';
    return text;
}

static void become_tool(const char *const *arguments, const char *threads, int out, int err) {
    char *argv[MAX_ARGUMENTS + 2] = {NULL};
    argv[0] = strdup("prunesid");
    for (size_t i = 0; arguments[i] != NULL; i++) {
        argv[i + 1] = strdup(arguments[i]);
    }
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    if (threads != NULL) {
        setenv("OPENBLAS_NUM_THREADS", threads, 1);
    }
    alarm(TIMEOUT_SECONDS); /* outlives execv: a hang becomes a failure */
    execv(PRUNESID_TOOL, argv);
    _exit(127);
}

static result run_list(const char *const *arguments, const char *threads, const char *out_path) {
    FILE *const out = out_path == NULL ? tmpfile() : fopen(out_path, "w");
    FILE *const err = tmpfile();
    assert_non_null(out);
    assert_non_null(err);
    const pid_t child = fork();
    if (child == 0) {
        become_tool(arguments, threads, fileno(out), fileno(err));
    }
    int status = 0;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    result got = {-1, NULL, NULL};
    got.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    got.out = out_path == NULL ? read_stream(out) : strdup("");
    got.err = read_stream(err);
    fclose(out);
    fclose(err);
    return got;
}

/* The list ends with NULL. */
static result run_va(const char *first, va_list list) {
    const char *arguments[MAX_ARGUMENTS + 1] = {first};
    size_t n = 0;
    do {
        n++;
        assert_true(n <= MAX_ARGUMENTS);
        arguments[n] = va_arg(list, const char *);
    } while (arguments[n] != NULL);
    return run_list(arguments, NULL, NULL);
}

static void release(result *one) {
    free(one->out);
    free(one->err);
}

/* ---- the working directory ---------------------------------------------------------------- */

static char directory[4096];
static char origin[4096];

static int enter(void **state) {
    (void)state;
    const char *const base = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/prunesid_tool_XXXXXX", base != NULL ? base : "/tmp");
    return getcwd(origin, sizeof origin) == NULL || mkdtemp(directory) == NULL ||
           chdir(directory) != 0;
}

/* Entries of the working directory; deletes them on the way if asked. */
static size_t count_entries(int deletes) {
    DIR *const here = opendir(".");
    size_t n = 0;
    assert_non_null(here);
    for (const struct dirent *entry = readdir(here); entry != NULL; entry = readdir(here)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            n++;
            if (deletes && unlink(entry->d_name) != 0) {
                rmdir(entry->d_name);
            }
        }
    }
    closedir(here);
    return n;
}

static int leave(void **state) {
    (void)state;
    count_entries(1);
    return chdir(origin) != 0 || rmdir(directory) != 0;
}

/* ---- what a run must give ----------------------------------------------------------------- */

/* The arguments of these end with NULL. */
static char *succeed(const char *first, ...) {
    va_list list;
    va_start(list, first);
    result got = run_va(first, list);
    va_end(list);
    if (got.code != 0) {
        print_error("%s", got.err);
    }
    assert_int_equal(got.code, 0);
    assert_string_equal(got.err, "");
    free(got.err);
    return got.out;
}

static void check_failure(const result *got, const char *subject, const char *cause) {
    char prefix[512];
    snprintf(prefix, sizeof prefix, "prunesid: %s: ", subject);
    if (got->code != 1 || strncmp(got->err, prefix, strlen(prefix)) != 0 ||
        strstr(got->err, cause) == NULL) {
        print_error("wanted '%s...%s', got %d and '%s'\n", prefix, cause, got->code, got->err);
    }
    assert_int_equal(got->code, 1);
    assert_string_equal(got->out, "");
    assert_int_equal(strncmp(got->err, prefix, strlen(prefix)), 0);
    assert_non_null(strstr(got->err, cause));
    assert_ptr_equal(strchr(got->err, '\n'), got->err + strlen(got->err) - 1);
}

/* One line that names subject and cause, nothing on standard output, no file left behind. */
static void fail_with(const char *subject, const char *cause, const char *first, ...) {
    const size_t before = count_entries(0);
    va_list list;
    va_start(list, first);
    result got = run_va(first, list);
    va_end(list);
    check_failure(&got, subject, cause);
    assert_int_equal(count_entries(0), before);
    release(&got);
}

static void misuse(const char *cause, const char *first, ...) {
    va_list list;
    va_start(list, first);
    result got = run_va(first, list);
    va_end(list);
    if (got.code != 2 || strstr(got.err, cause) == NULL) {
        print_error("wanted '%s', got %d and '%s'\n", cause, got.code, got.err);
    }
    assert_int_equal(got.code, 2);
    assert_string_equal(got.out, "");
    assert_int_equal(strncmp(got.err, "prunesid: ", 10), 0);
    assert_non_null(strstr(got.err, cause));
    assert_non_null(strstr(got.err, "prunesid --help"));
    release(&got);
}

/* ---- JSON, as far as the tool prints it --------------------------------------------------- */

static const char *value_of(const char *json, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *const at = strstr(json, quoted);
    if (at == NULL) {
        fail_msg("no %s in %s", quoted, json);
    }
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

/* What every selection must be: the keys in their order, ascending indices in range, the same set
 * in pick order, a group for each token. */
static void check_selection(const char *json) {
    static const char *const keys[] = {"tokens", "dim", "budget", "preset", "reserved", "keep",
        "groups", "rho", "phi", "tau", "survivors", "indices", "order", "group"};
    long indices[MAX_LIST], order[MAX_LIST], group[MAX_LIST];
    unsigned char kept[MAX_LIST] = {0};
    for (size_t i = 1; i < sizeof keys / sizeof *keys; i++) {
        assert_true(value_of(json, keys[i - 1]) < value_of(json, keys[i]));
    }
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
    for (long i = 0; i < n_tokens; i++) {
        assert_true(n_groups > 0 ? group[i] >= 0 && group[i] < n_groups : group[i] == -1);
    }
    assert_true(fabs(real_of(json, "rho") + real_of(json, "phi") - 1) < 1e-12);
}

/* The end of the list of key. */
static const char *end_of(const char *json, const char *key) {
    return strchr(value_of(json, key), ']');
}

/* What a region of a matrix must print, given what select prints for it alone. */
static char *moved(const char *json, long first) {
    static const char *const keys[] = {"indices", "order"};
    const size_t n_bytes = 4 * strlen(json) + 64;
    char *const out = (char *)malloc(n_bytes);
    long list[MAX_LIST];
    assert_non_null(out);
    int at = snprintf(out, n_bytes, "{\"first\": %ld, ", first);
    for (size_t k = 0; k < 2; k++) {
        const char *const begin = k == 0 ? json + 1 : end_of(json, keys[0]);
        const size_t n = list_of(json, keys[k], list);
        at += snprintf(
            out + at, n_bytes - (size_t)at, "%.*s[", (int)(value_of(json, keys[k]) - begin), begin);
        for (size_t j = 0; j < n; j++) {
            at +=
                snprintf(out + at, n_bytes - (size_t)at, j > 0 ? ", %ld" : "%ld", list[j] + first);
        }
    }
    snprintf(out + at, n_bytes - (size_t)at, "%s", end_of(json, keys[1]));
    out[strlen(out) - 1] = '\0'; /* the line's end */
    return out;
}

/* ---- files -------------------------------------------------------------------------------- */

static const char *example_path(size_t which, const char *name) {
    static char paths[8][4096];
    static size_t next;
    char *const path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s/%s", PRUNESID_EXAMPLES_DATA, examples[which], name);
    return path;
}

/* A repeatable number in [-2, 2) with few enough bits for float16. */
static float some_value(size_t i) {
    const uint32_t mixed = ((uint32_t)i + 1u) * 2654435761u;
    return (float)(mixed >> 24) / 64.0f - 2.0f;
}

static void save(
    const char *path, const char *descr, int n_dims, const size_t *shape, const void *data) {
    char cause[CAUSE_BYTES] = "";
    if (npy_save(path, descr, n_dims, shape, data, cause, sizeof cause) != 0) {
        fail_msg("%s: %s", path, cause);
    }
}

static npy_array load(const char *path) {
    npy_array array;
    char cause[CAUSE_BYTES] = "";
    if (npy_load(path, &array, cause, sizeof cause) != 0) {
        fail_msg("%s: %s", path, cause);
    }
    return array;
}

/* n_rows x n_columns of some_value, with one element replaced if there is a place for it. */
static void save_matrix(
    const char *path, size_t n_rows, size_t n_columns, size_t place, float with) {
    const size_t shape[2] = {n_rows, n_columns};
    float *const values = (float *)calloc(n_rows * n_columns, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n_rows * n_columns; i++) {
        values[i] = i == place ? with : some_value(i);
    }
    save(path, "<f4", n_columns > 1 ? 2 : 1, shape, values);
    free(values);
}

static void save_good(const char *path) {
    save_matrix(path, T, D, SIZE_MAX, 0);
}

static void write_bytes(const char *path, const void *bytes, size_t n_bytes) {
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    assert_int_equal(fclose(file), 0);
}

/* Rows [first, end) of from, of one dimension or two, as a file of their own. */
static void cut(const char *path, const char *from, size_t first, size_t end) {
    npy_array all = load(from);
    const char descr[] = {'<', all.kind, (char)('0' + all.item_bytes), '\0'};
    const size_t shape[2] = {end - first, all.shape[1]};
    save(path, descr, all.n_dims, shape,
        (const char *)all.data + first * all.shape[1] * all.item_bytes);
    npy_free(&all);
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

static unsigned char *read_bytes(const char *path, size_t *n_bytes) {
    FILE *const file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *n_bytes = (size_t)ftell(file);
    unsigned char *const bytes = (unsigned char *)malloc(*n_bytes + 1);
    assert_non_null(bytes);
    rewind(file);
    assert_int_equal(fread(bytes, 1, *n_bytes, file), *n_bytes);
    fclose(file);
    return bytes;
}

/* ---- what it prints ----------------------------------------------------------------------- */

static void test_select_json_is_a_selection_for_every_example(void **state) {
    static const char *const presets[] = {"auto", "paper", "llava", "qwen2vl"};
    static const char *const resolved[] = {"\"qwen2vl\"", "\"paper\"", "\"llava\"", "\"qwen2vl\""};
    (void)state;
    for (size_t e = 0; e < N_EXAMPLES; e++) {
        for (size_t p = 0; p < 4; p++) {
            char *const json = succeed("select", example_path(e, "tokens.npy"), "--keep", "64",
                "--preset", presets[p], "--json", NULL);
            check_selection(json);
            assert_int_equal(number_of(json, "tokens"), EXAMPLE_TOKENS);
            assert_int_equal(number_of(json, "dim"), EXAMPLE_DIM);
            assert_int_equal(number_of(json, "keep"), p == 2 ? 63 : 64);
            assert_int_equal(number_of(json, "groups"), 16);
            assert_int_equal(
                strncmp(value_of(json, "preset"), resolved[p], strlen(resolved[p])), 0);
            free(json);
        }
    }
}

static void test_scores_choose_the_llava_rules(void **state) {
    (void)state;
    const char *const tokens = example_path(0, "tokens.npy");
    const char *const scores = example_path(0, "cls_attention.npy");
    char *json = succeed("select", tokens, "--keep=64", "--scores", scores, "--json", NULL);
    check_selection(json);
    assert_int_equal(strncmp(value_of(json, "preset"), "\"llava\"", 7), 0);
    assert_int_equal(number_of(json, "reserved"), 0);
    free(json);
    json =
        succeed("select", tokens, "--keep=64", "--scores", scores, "--reserve=2", "--json", NULL);
    assert_int_equal(number_of(json, "reserved"), 2);
    assert_int_equal(number_of(json, "keep"), 62);
    free(json);
}

static void test_a_budget_above_the_tokens_keeps_everything(void **state) {
    (void)state;
    save_good("t.npy");
    save_matrix("v.npy", T, 3, SIZE_MAX, 0);
    char *json = succeed("select", "t.npy", "--keep", "2147483647", "--json", NULL);
    check_selection(json);
    assert_int_equal(number_of(json, "keep"), T);
    assert_int_equal(number_of(json, "groups"), 0);
    assert_int_equal(number_of(json, "survivors"), T);
    assert_int_equal(strncmp(value_of(json, "tau"), "null,", 5), 0);
    char *const other =
        succeed("select", "t.npy", "--keep", "2147483647", "--loadings", "v.npy", "--json", NULL);
    assert_string_equal(json, other);
    free(other);
    free(json);
    json = succeed("select", "t.npy", "--keep", "1", "--json", NULL);
    check_selection(json);
    free(json);
}

static void test_loadings_set_the_groups(void **state) {
    (void)state;
    save_good("t.npy");
    save_matrix("v.npy", T, 3, SIZE_MAX, 0);
    char *const json =
        succeed("select", "t.npy", "--keep", "8", "--loadings", "v.npy", "--json", NULL);
    long group[MAX_LIST];
    check_selection(json);
    assert_int_equal(number_of(json, "groups"), 3);
    assert_int_equal(list_of(json, "group", group), T);
    for (size_t i = 0; i < T; i++) {
        size_t most = 0;
        for (size_t k = 1; k < 3; k++) {
            most = fabsf(some_value(i * 3 + k)) > fabsf(some_value(i * 3 + most)) ? k : most;
        }
        assert_int_equal(group[i], most);
    }
    free(json);
}

static void test_the_summary_is_for_people(void **state) {
    (void)state;
    char *out = succeed("select", example_path(0, "tokens.npy"), "--keep", "64", NULL);
    assert_non_null(strstr(out, "64 of 576 tokens"));
    assert_non_null(strstr(out, "preset     qwen2vl"));
    assert_non_null(strstr(out, "\nindices   "));
    free(out);
    out = succeed("batch", example_path(0, "tokens.npy"), example_path(1, "tokens.npy"), "--keep",
        "600", NULL);
    assert_non_null(strstr(out, "image 1: "));
    assert_non_null(strstr(out, "tau        none"));
    free(out);
}

static void test_info(void **state) {
    (void)state;
    const size_t shape[3] = {1, 3, 2};
    const float values[6] = {1, 0, 0, 0, 0, 2};
    save("t.npy", "<f4", 3, shape, values);
    char *out = succeed("info", "t.npy", "--json", NULL);
    assert_string_equal(out, "{\"tokens\": 3, \"dim\": 2, \"dtype\": \"float32\", \"rho\": 0, "
                             "\"phi\": 1, \"nonzero\": 2}\n");
    free(out);
    out = succeed("info", "t.npy", NULL);
    assert_non_null(strstr(out, "mean 0.5, from 0 to 2"));
    free(out);
    out = succeed("info", example_path(2, "tokens.npy"), "--json", NULL);
    assert_non_null(strstr(out, "\"dtype\": \"float16\""));
    free(out);
}

static void test_help_and_version(void **state) {
    (void)state;
    char *const help = succeed("--help", NULL);
    char *const same = succeed("select", "--help", NULL);
    char *const version = succeed("--version", NULL);
    assert_non_null(strstr(help, "prunesid select TOKENS.npy --keep N"));
    assert_string_equal(help, same);
    assert_int_equal(strncmp(version, "prunesid ", 9), 0);
    free(help);
    free(same);
    free(version);
}

/* ---- what it writes ----------------------------------------------------------------------- */

/* i.npy and k.npy hold the indices of json and their rows. */
static void check_output_files(const char *json, const char *tokens_path, size_t n_wanted) {
    long listed[MAX_LIST];
    const size_t n_kept = list_of(json, "indices", listed);
    npy_array all = load(tokens_path), rows = load("k.npy"), indices = load("i.npy");
    const size_t dim = all.shape[1];
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
        assert_memory_equal((const char *)rows.data + j * dim * all.item_bytes,
            (const char *)all.data + (size_t)index * dim * all.item_bytes, dim * all.item_bytes);
    }
    npy_free(&all);
    npy_free(&rows);
    npy_free(&indices);
}

static void check_outputs(const char *tokens_path) {
    char *const json = succeed("select", tokens_path, "--keep", "12", "--json", "--indices",
        "i.npy", "--tokens", "k.npy", NULL);
    check_output_files(json, tokens_path, 12);
    free(json);
}

static void test_output_files_match_the_json(void **state) {
    (void)state;
    save_good("t.npy");
    check_outputs("t.npy");
    assert_int_equal(count_entries(0), 3);
    check_outputs(example_path(1, "tokens.npy"));
    assert_int_equal(count_entries(0), 3);
}

static void test_outputs_are_all_or_none(void **state) {
    (void)state;
    save_good("t.npy");
    fail_with("missing/i.npy", "No such file", "select", "t.npy", "--keep", "4", "--indices",
        "missing/i.npy", NULL);
    fail_with("missing/k.npy", "No such file", "select", "t.npy", "--keep", "4", "--indices",
        "i.npy", "--tokens", "missing/k.npy", NULL);
    assert_int_equal(mkdir("taken.npy", 0777), 0);
    fail_with("taken.npy", "", "select", "t.npy", "--keep", "4", "--tokens", "taken.npy", NULL);
    assert_int_equal(mkfifo("pipe", 0666), 0);
    fail_with("pipe", "regular", "select", "t.npy", "--keep", "4", "--indices", "pipe", NULL);
    assert_int_equal(unlink("pipe"), 0);
    misuse("standard output", "select", "t.npy", "--keep", "4", "--indices", "-", NULL);
    fail_with("missing/o.png", "No such file", "plot", "t.npy", "--keep", "4", "--grid", "4x5",
        "--image", example_path(0, "photo.png"), "--indices", "i.npy", "-o", "missing/o.png", NULL);
    /* What was there before a failure is there after it. */
    FILE *const old = fopen("old.npy", "wb");
    assert_non_null(old);
    assert_int_equal(fputs("precious", old) >= 0 && fclose(old) == 0, 1);
    assert_int_equal(symlink("old.npy", "link.npy"), 0);
    assert_int_equal(symlink("nowhere", "dangling.npy"), 0);
    fail_with("missing/k.npy", "No such file", "select", "t.npy", "--keep", "4", "--indices",
        "old.npy", "--tokens", "missing/k.npy", NULL);
    fail_with("missing/k.npy", "No such file", "select", "t.npy", "--keep", "4", "--indices",
        "link.npy", "--tokens", "missing/k.npy", NULL);
    fail_with("dangling.npy", "link", "select", "t.npy", "--keep", "4", "--indices", "dangling.npy",
        NULL);
    /* A result that nobody can read is a failure as well. */
    if (access("/dev/full", W_OK) == 0) {
        static const char *const arguments[] = {
            "select", "t.npy", "--keep", "4", "--indices", "old.npy", NULL};
        result got = run_list(arguments, NULL, "/dev/full");
        check_failure(&got, "standard output", "");
        release(&got);
    }
    struct stat kept;
    assert_int_equal(stat("old.npy", &kept), 0);
    assert_int_equal(kept.st_size, 8);
    /* And a success goes through the link, and leaves the mode alone. */
    assert_int_equal(chmod("old.npy", 0600), 0);
    free(succeed("select", "t.npy", "--keep", "4", "--indices", "link.npy", NULL));
    assert_int_equal(lstat("link.npy", &kept), 0);
    assert_true(S_ISLNK(kept.st_mode));
    assert_int_equal(stat("old.npy", &kept), 0);
    assert_true(kept.st_size > 8 && (kept.st_mode & 0777) == 0600);
}

/* ---- bad input ---------------------------------------------------------------------------- */

static void test_values_that_are_not_finite_are_located(void **state) {
    static const size_t places[] = {0, 10 * D + 3, T * D - 1};
    static const uint16_t half_bits[] = {0x7e00, 0x7c00, 0xfc00};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    (void)state;
    save_good("t.npy");
    for (size_t b = 0; b < 3; b++) {
        for (size_t p = 0; p < 3; p++) {
            char where[128];
            snprintf(where, sizeof where, "row %zu, column %zu is not finite", places[p] / D,
                places[p] % D);
            save_matrix("bad.npy", T, D, places[p], bad[b]);
            fail_with("bad.npy", where, "select", "bad.npy", "--keep", "4", "--json", NULL);
            fail_with("bad.npy", where, "info", "bad.npy", NULL);
            fail_with("bad.npy", where, "batch", "bad.npy", "--keep", "4", NULL);
            fail_with(
                "bad.npy", where, "select", "t.npy", "--loadings", "bad.npy", "--keep", "4", NULL);
            uint16_t halves[T * D] = {0};
            const size_t shape[3] = {2, T / 2, D};
            halves[places[p]] = half_bits[b];
            save("bad.npy", "<f2", 3, shape, halves);
            snprintf(where, sizeof where, "image %zu, row %zu, column %zu is not finite",
                places[p] / D / (T / 2), places[p] / D % (T / 2), places[p] % D);
            fail_with("bad.npy", where, "batch", "bad.npy", "--keep", "4", NULL);
        }
        for (size_t p = 0; p < 3; p++) {
            char where[128];
            const size_t place = places[p] / D;
            snprintf(where, sizeof where, "element %zu is not finite", place);
            save_matrix("s.npy", T, 1, place, bad[b]);
            fail_with("s.npy", where, "select", "t.npy", "--scores", "s.npy", "--keep", "4", NULL);
        }
    }
}

static void test_bad_counts(void **state) {
    static const char *const out_of_range[] = {
        "0", "-1", "99999999999", "2147483648", "99999999999999999999999", "-99999999999999999999"};
    (void)state;
    save_good("t.npy");
    for (size_t i = 0; i < sizeof out_of_range / sizeof *out_of_range; i++) {
        fail_with("--keep", "must be between 1 and 2147483647", "select", "t.npy", "--keep",
            out_of_range[i], NULL);
    }
    misuse("'abc' is not a whole number", "select", "t.npy", "--keep", "abc", NULL);
    misuse("'4x' is not a whole number", "select", "t.npy", "--keep=4x", NULL);
    misuse("'4.5' is not a whole number", "select", "t.npy", "--keep=4.5", NULL);
    misuse("' 4' is not a whole number", "select", "t.npy", "--keep", " 4", NULL);
    misuse("select needs --keep", "select", "t.npy", NULL);
    misuse("--keep needs a value", "select", "t.npy", "--keep", NULL);
    misuse("--keep needs a value", "select", "t.npy", "--keep=", NULL);
    fail_with("--reserve", "4 reserved", "select", "t.npy", "--keep", "4", "--reserve", "4", NULL);
    fail_with("--reserve", "9 reserved", "batch", "t.npy", "--keep", "4", "--reserve", "9", NULL);
    fail_with("--reserve", "must be between 0", "select", "t.npy", "--keep", "4", "--reserve", "-1",
        NULL);
    fail_with("--keep", "1 reserved", "select", "t.npy", "--keep", "1", "--preset", "llava", NULL);
    fail_with(
        "--seed", "must be between 0", "select", "t.npy", "--keep", "4", "--seed", "-1", NULL);
    fail_with("--seed", "must be between 0", "select", "t.npy", "--keep", "4", "--seed",
        "18446744073709551616", NULL);
    free(succeed("select", "t.npy", "--keep", "4", "--seed", "18446744073709551615", NULL));
}

static void test_limits_of_dynamic_budgets(void **state) {
    (void)state;
    save_good("t.npy");
    fail_with("--min", "8 is above --max, 4", "batch", "t.npy", "--keep", "4", "--dynamic", "--min",
        "8", "--max", "4", NULL);
    fail_with("--min", "must be between 0", "batch", "t.npy", "--keep", "4", "--dynamic", "--min",
        "-1", NULL);
    fail_with("--max", "leave no token", "batch", "t.npy", "--keep", "4", "--dynamic", "--max", "0",
        NULL);
    fail_with(
        "--phi-ref", "must be positive", "batch", "t.npy", "--keep", "4", "--phi-ref", "0", NULL);
    fail_with(
        "--phi-ref", "must be positive", "batch", "t.npy", "--keep", "4", "--phi-ref", "nan", NULL);
    fail_with("--phi-ref", "must be positive", "batch", "t.npy", "--keep", "4", "--phi-ref",
        "1e999", NULL);
    misuse("'x' is not a number", "batch", "t.npy", "--keep", "4", "--phi-ref", "x", NULL);
    misuse("--min and --max need", "batch", "t.npy", "--keep", "4", "--min", "1", NULL);
    free(succeed("batch", "t.npy", "--keep", "4", "--dynamic", "--min", "0", NULL));
}

static void test_wrong_shapes(void **state) {
    const size_t table[2] = {1, T}, pair[3] = {2, T / 2, D}, deep[4] = {1, 1, T, D},
                 none[2] = {0, D};
    const float zeros[T * D] = {0};
    const int32_t integers[T] = {0};
    (void)state;
    save_good("t.npy");
    save_matrix("s.npy", T - 1, 1, SIZE_MAX, 0);
    fail_with("s.npy", "[19], but the tokens need [20]", "select", "t.npy", "--scores", "s.npy",
        "--keep", "4", NULL);
    fail_with("s.npy", "[19], but", "batch", "t.npy", "--scores", "s.npy", "--keep", "4", NULL);
    save("s.npy", "<f4", 2, table, zeros);
    fail_with("s.npy", "[1, 20], but the tokens need [20]", "select", "t.npy", "--scores", "s.npy",
        "--keep", "4", NULL);
    free(succeed("batch", "t.npy", "--scores", "s.npy", "--keep", "4", NULL));
    fail_with("s.npy", "[1, 20], but the tokens need [2, 20]", "batch", "t.npy", "t.npy",
        "--scores", "s.npy", "--keep", "4", NULL);
    save("pair.npy", "<f4", 3, pair, zeros);
    fail_with("s.npy", "of one size", "batch", "t.npy", "pair.npy", "--scores", "s.npy", "--keep",
        "4", NULL);
    fail_with("pair.npy", "use batch", "select", "pair.npy", "--keep", "4", NULL);
    save("s.npy", "<i4", 1, table + 1, integers);
    fail_with("s.npy", "integer", "select", "t.npy", "--scores", "s.npy", "--keep", "4", NULL);

    save_matrix("v.npy", T + 1, 3, SIZE_MAX, 0);
    fail_with("v.npy", "[21, 3], but the tokens need [20, groups]", "select", "t.npy", "--loadings",
        "v.npy", "--keep", "4", NULL);
    save_matrix("v.npy", T, 1, SIZE_MAX, 0);
    fail_with("v.npy", "[20], but", "select", "t.npy", "--loadings", "v.npy", "--keep", "4", NULL);

    save("deep.npy", "<f4", 4, deep, zeros);
    fail_with("deep.npy", "not [tokens, channels]", "batch", "deep.npy", "--keep", "4", NULL);
    save("list.npy", "<f4", 1, deep + 2, zeros);
    fail_with("list.npy", "not [tokens, channels]", "info", "list.npy", NULL);
    save("none.npy", "<f4", 2, none, zeros);
    fail_with("none.npy", "no tokens", "select", "none.npy", "--keep", "4", NULL);
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
        {1, HEADER("'<f8'", "False", "(2, 3)"), 48, "dtype '<f8'"},
        {1, HEADER("'<i8'", "False", "(2, 3)"), 48, "dtype '<i8'"},
        {1, HEADER("'<i4'", "False", "(2, 3)"), 24, "integer"},
        {1, HEADER("'|O'", "False", "(2, 3)"), 24, "dtype '|O'"},
        {1, HEADER("[('x', '<f4')]", "False", "(2, 3)"), 24, "structured"},
        {1, HEADER("'<f4'", "True", "(2, 3)"), 24, "Fortran"},
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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        forge("t.npy", cases[i].version, cases[i].header, cases[i].n_zeros);
        fail_with(
            "t.npy", cases[i].cause, "select", "t.npy", "--keep", "1", "--indices", "i.npy", NULL);
        fail_with("t.npy", cases[i].cause, "batch", "t.npy", "--keep", "1", NULL);
    }
}

static void test_every_version_and_spelling_loads(void **state) {
    (void)state;
    for (int version = 1; version <= 3; version++) {
        forge("t.npy", version, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n",
            24);
        free(succeed("select", "t.npy", "--keep", "1", NULL));
    }
    forge("t.npy", 1, "{\"shape\":(2,3,),\"descr\":\"<f2\",\"fortran_order\":False}", 12);
    free(succeed("select", "t.npy", "--keep", "1", NULL));
}

/* No prefix of a good file is a good file, and none may crash. */
static void test_truncated_files(void **state) {
    size_t n_bytes;
    (void)state;
    save_good("t.npy");
    unsigned char *const bytes = read_bytes("t.npy", &n_bytes);
    for (size_t n = 0; n < n_bytes; n += n < 16 ? 1 : 61) {
        write_bytes("short.npy", bytes, n);
        fail_with("short.npy",
            n == 0  ? "empty"
            : n < 8 ? "not a .npy file"
                    : "truncated",
            "select", "short.npy", "--keep", "4", NULL);
    }
    free(bytes);
    write_bytes("short.npy", "\x93NUMPY\x02\0\xff\xff\xff\xff{}", 14);
    fail_with("short.npy", "claims 4294967295 bytes", "info", "short.npy", NULL);
    write_bytes("short.npy", "this is no array at all", 23);
    fail_with("short.npy", "not a .npy file", "info", "short.npy", NULL);
}

static void test_files_that_cannot_be_read(void **state) {
    (void)state;
    fail_with("t.npy", "No such file", "select", "t.npy", "--keep", "4", NULL);
    assert_int_equal(mkdir("t.npy", 0777), 0);
    fail_with("t.npy", "is a directory", "select", "t.npy", "--keep", "4", NULL);
    assert_int_equal(mkfifo("pipe.npy", 0666), 0);
    fail_with("pipe.npy", "not a regular file", "select", "pipe.npy", "--keep", "4", NULL);
    save_good("good.npy");
    fail_with(
        "s.npy", "No such file", "select", "good.npy", "--keep", "4", "--scores", "s.npy", NULL);
    fail_with(
        "v.npy", "No such file", "select", "good.npy", "--keep", "4", "--loadings", "v.npy", NULL);
    if (geteuid() != 0) { /* root reads everything */
        assert_int_equal(chmod("good.npy", 0), 0);
        fail_with("good.npy", "Permission denied", "select", "good.npy", "--keep", "4", NULL);
    }
}

static void test_usage_errors(void **state) {
    (void)state;
    save_good("t.npy");
    misuse("no command", NULL);
    misuse("unknown command 'prune'", "prune", "t.npy", NULL);
    misuse("unknown option '--kep'", "select", "t.npy", "--kep", "4", NULL);
    misuse("unknown option '-k'", "select", "t.npy", "-k", "4", NULL);
    misuse("--keep is given twice", "select", "t.npy", "--keep", "4", "--keep=4", NULL);
    misuse("--json takes no value", "select", "t.npy", "--keep", "4", "--json=1", NULL);
    misuse("unknown choice 'best'", "select", "t.npy", "--keep", "4", "--preset", "best", NULL);
    misuse("unknown choice 'qr'", "select", "t.npy", "--keep", "4", "--svd", "qr", NULL);
    misuse("needs a file", "select", "--keep", "4", NULL);
    misuse("needs a file", "batch", "--keep", "4", NULL);
    misuse("use batch", "select", "t.npy", "t.npy", "--keep", "4", NULL);
    misuse(
        "--dynamic is not an option of select", "select", "t.npy", "--keep=4", "--dynamic", NULL);
    misuse("--keep is not an option of info", "info", "t.npy", "--keep", "4", NULL);
    misuse(
        "--indices is for one image", "batch", "t.npy", "--keep", "4", "--indices", "i.npy", NULL);
    misuse("--tokens is for one image", "batch", "t.npy", "--keep", "4", "--tokens", "k.npy", NULL);
    misuse(
        "--loadings is for one image", "batch", "t.npy", "--keep=4", "--loadings", "v.npy", NULL);
    misuse("name the same file", "select", "t.npy", "--keep", "4", "--indices", "o.npy", "--tokens",
        "o.npy", NULL);
    assert_int_equal(count_entries(0), 1);
}

static void test_two_dashes_end_the_options(void **state) {
    (void)state;
    save_good("--t.npy");
    save_good("-o");
    free(succeed("select", "--keep", "4", "--", "--t.npy", NULL));
    free(succeed("batch", "--keep", "4", "--", "--t.npy", "-o", NULL));
    misuse("unknown option", "select", "--keep", "4", "--t.npy", NULL);
}

static long sum(const long *values, size_t n) {
    long total = 0;
    for (size_t i = 0; i < n; i++) {
        total += values[i];
    }
    return total;
}

/* ---- regions ------------------------------------------------------------------------------ */

/* Every region of json is what select prints for rows [first, end) with the region's budget, and
 * the indices of all follow each other. */
static void check_regions(const char *json, const char *tokens, const char *scores,
    const size_t (*ranges)[2], size_t n_ranges, const char *preset) {
    long budgets[MAX_LIST], all[MAX_LIST], own[MAX_LIST];
    size_t at = 0;
    assert_int_equal(list_of(json, "budgets", budgets), n_ranges);
    const size_t n_all = list_of(json, "indices", all);
    const char *region = value_of(json, "regions") + 1;
    for (size_t r = 0; r < n_ranges; r++) {
        char keep[32];
        snprintf(keep, sizeof keep, "%ld", budgets[r]);
        cut("cut.npy", tokens, ranges[r][0], ranges[r][1]);
        if (scores != NULL) {
            cut("cut_scores.npy", scores, ranges[r][0], ranges[r][1]);
        }
        char *const alone = succeed("select", "cut.npy", "--keep", keep, "--preset", preset,
            "--json", scores != NULL ? "--scores" : NULL, "cut_scores.npy", NULL);
        char *const wanted = moved(alone, (long)ranges[r][0]);
        assert_int_equal(strncmp(region, wanted, strlen(wanted)), 0);
        const size_t n_own = list_of(wanted, "indices", own);
        for (size_t j = 0; j < n_own; j++) {
            assert_int_equal(all[at++], own[j]);
        }
        region += strlen(wanted);
        assert_int_equal(strncmp(region, r + 1 < n_ranges ? ", " : "]}\n", 2), 0);
        region += 2;
        free(wanted);
        free(alone);
    }
    assert_int_equal(at, n_all);
}

static void test_regions_are_selections_of_their_own(void **state) {
    static const size_t ranges[][2] = {{3, 200}, {220, 400}, {400, 570}, {570, 576}};
    static const char list[] = "3:200,220:400,170,6";
    static const struct {
        const char *preset;
        int scored;
        size_t n_kept;
    } cases[] = {{"auto", 0, 102}, {"auto", 1, 102}, {"llava", 0, 99}, {"paper", 1, 102}};
    (void)state;
    for (size_t e = 0; e < N_EXAMPLES; e++) {
        const char *const tokens = example_path(e, "tokens.npy");
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            const char *const scores =
                cases[c].scored ? example_path(e, "cls_attention.npy") : NULL;
            char *const json = succeed("select", tokens, "--keep", "32", "--regions", list,
                "--preset", cases[c].preset, "--json", "--indices", "i.npy", "--tokens", "k.npy",
                scores != NULL ? "--scores" : NULL, scores, NULL);
            check_regions(json, tokens, scores, ranges, 4, cases[c].preset);
            check_output_files(json, tokens, cases[c].n_kept);
            free(json);
        }
    }
    char *const text =
        succeed("select", example_path(0, "tokens.npy"), "--keep", "32", "--regions", list, NULL);
    assert_non_null(strstr(text, "\nregion 1: "));
    assert_non_null(strstr(text, "tokens 220 to 399\nkept       32 of 180"));
    free(text);
}

static void test_regions_share_a_budget(void **state) {
    static const size_t ranges[][2] = {{0, 10}, {10, 200}, {200, 400}, {500, 576}};
    static const char list[] = "10,190,200,500:576";
    static const struct {
        const char *keep, *min, *max;
        long low, high, total;
    } cases[] = {{"40", "0", "200", 1, 200, 160}, {"17", "12", "20", 12, 20, 68},
        {"40", "40", "60", 40, 60, 160}, {"1", "0", "9", 1, 1, 4}, {"150", "9", "500", 9, 200, 476},
        {"17", "12", "12", 12, 12, 46}};
    const char *const tokens = example_path(1, "tokens.npy");
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char *const json = succeed("select", tokens, "--keep", cases[c].keep, "--regions", list,
            "--dynamic", "--min", cases[c].min, "--max", cases[c].max, "--json", NULL);
        long budgets[MAX_LIST], all[MAX_LIST], total = 0;
        const size_t n = list_of(json, "budgets", budgets);
        check_regions(json, tokens, NULL, ranges, 4, "auto");
        for (size_t r = 0; r < n; r++) {
            const long size = (long)(ranges[r][1] - ranges[r][0]);
            assert_in_range(budgets[r], cases[c].low < size ? cases[c].low : size,
                cases[c].high < size ? cases[c].high : size);
            total += budgets[r];
        }
        assert_int_equal(total, cases[c].total);
        assert_int_equal(list_of(json, "indices", all), cases[c].total);
        free(json);
    }
}

static void test_bad_regions(void **state) {
    static const char *const bad[][2] = {{"0:4,3:8", "'3:8' overlaps"},
        {"8:12,9:10", "'9:10' overlaps"}, {"8:12,0:4", "'0:4' is out of order"},
        {"8:12,0:9", "'0:9' overlaps"}, {"4:4", "'4:4' is empty"}, {"4,0", "'0' is empty"},
        {"4:2", "'4:2' ends before it starts"}, {"0:21", "0:21 ends behind the 20 tokens of t.npy"},
        {"20:21", "20:21 ends behind"}, {"10,11", "10:21 ends behind"}, {"-1:4", "out of range"},
        {"0:2147483648", "out of range"}, {"99999999999999999999:4", "out of range"},
        {"2147483647,2147483647", "out of range"}};
    static const char *const ugly[] = {
        "x", "4,", ",4", "4,,4", "4:", ":4", "4:8:9", "4;8", "4 8", "4.5"};
    (void)state;
    save_good("t.npy");
    save_matrix("v.npy", T, 3, SIZE_MAX, 0);
    save_matrix("s.npy", 8, 1, SIZE_MAX, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fail_with("--regions", bad[i][1], "select", "t.npy", "--keep", "4", "--regions", bad[i][0],
            "--indices", "i.npy", NULL);
    }
    for (size_t i = 0; i < sizeof ugly / sizeof *ugly; i++) {
        misuse("FIRST:END or SIZE", "select", "t.npy", "--keep=4", "--regions", ugly[i], NULL);
    }
#define REGIONS "select", "t.npy", "--keep", "4", "--regions", "8,8"
    fail_with("--min", "5 is above the mean, --keep 4", REGIONS, "--dynamic", "--min", "5", NULL);
    fail_with("--min", "3 is above --max, 2", REGIONS, "--dynamic", "--min=3", "--max=2", NULL);
    fail_with("--max", "leave no token", REGIONS, "--dynamic", "--max", "0", NULL);
    fail_with("--reserve", "4 reserved leave no token", REGIONS, "--reserve", "4", NULL);
    fail_with("--threads", "must be between 1", REGIONS, "--threads", "0", NULL);
    fail_with("s.npy", "[8], but the tokens need [20]", REGIONS, "--scores", "s.npy", NULL);
    misuse("--min and --max need --dynamic", REGIONS, "--min", "2", NULL);
    misuse("cannot go with --regions", REGIONS, "--loadings", "v.npy", NULL);
    misuse("--phi-ref is not an option of select", REGIONS, "--phi-ref", "1", NULL);
#undef REGIONS
    misuse(
        "--regions is not an option of batch", "batch", "t.npy", "--keep=4", "--regions=8", NULL);
    misuse("--threads is not an option of select without --regions", "select", "t.npy", "--keep=4",
        "--threads", "2", NULL);
    misuse("--min is not an option of select", "select", "t.npy", "--keep=4", "--min", "2", NULL);
}

/* ---- positions ---------------------------------------------------------------------------- */

enum { P = 8, P_KEPT = 4 };

/* Tokens at right angles, so that scores alone decide: 0, 2, 5 and 6 stay, of all or by halves. */
static void save_known(void) {
    static const float scores[P] = {9, 1, 8, 2, 0.5f, 7, 6, 3};
    const size_t shape[2] = {P, P};
    float values[P * P] = {0};
    for (size_t i = 0; i < P; i++) {
        values[i * P + i] = 1;
    }
    save("t.npy", "<f4", 2, shape, values);
    save("s.npy", "<f4", 1, shape, scores);
}

/* Ids [n_sections, P] as int32 or int64. */
static void save_ids(const char *path, int is_wide, size_t n_sections, const int64_t *ids) {
    const size_t table[2] = {n_sections, P};
    int32_t narrow[4 * P];
    for (size_t i = 0; i < n_sections * P; i++) {
        narrow[i] = (int32_t)ids[i];
    }
    save(path, is_wide ? "<i8" : "<i4", n_sections > 1 ? 2 : 1, table + (n_sections == 1),
        is_wide ? (const void *)ids : narrow);
}

static void check_positions(
    const char *json, int is_wide, size_t n_sections, const int64_t *wanted, long next) {
    const size_t n = n_sections * P_KEPT;
    npy_array ids = load("o.npy");
    const char *at = value_of(json, "positions");
    assert_int_equal(number_of(json, "next_position"), next);
    assert_int_equal(ids.kind, 'i');
    assert_int_equal(ids.item_bytes, is_wide ? 8 : 4);
    assert_int_equal(ids.n_dims, n_sections > 1 ? 2 : 1);
    assert_int_equal(ids.n_items, n);
    assert_int_equal(ids.shape[ids.n_dims - 1], P_KEPT);
    assert_int_equal(strncmp(at, "[[", 2) == 0, n_sections > 1);
    for (size_t i = 0; i < n; i++) {
        char *end;
        at += strspn(at, "[], ");
        assert_int_equal(npy_integer_at(&ids, i), wanted[i]);
        assert_int_equal(strtol(at, &end, 10), wanted[i]);
        at = end;
    }
    assert_int_equal(strncmp(at, n_sections > 1 ? "]], " : "], ", n_sections > 1 ? 4 : 3), 0);
    npy_free(&ids);
}

static void test_positions(void **state) {
    static const int64_t ids[3][4 * P] = {{10, 11, 12, 13, 14, 15, 16, 17},
        {5, 5, 5, 5, 9, 10, 10, 10, /* four rows of one, text, one row of three */
            5, 6, 7, 8, 9, 10, 10, 10, 5, 5, 5, 5, 9, 10, 11, 12},
        {1, 1, 1, 1, 9, 9, 9, 9, 1, 1, 2, 2, 9, 9, 10, 10, 1, 2, 1, 2, 9, 10, 9, 10, 0, 0, 0, 0, 0,
            0, 0, 0}};
    static const struct {
        size_t which, n_sections;
        const char *regions, *policy;
        int64_t kept[4 * P_KEPT];
        long next;
    } cases[] = {
        {0, 1, NULL, "keep", {10, 12, 15, 16}, 18},
        {0, 1, NULL, "compact", {10, 12, 15, 16}, 17},
        {0, 1, NULL, "renumber", {10, 11, 12, 13}, 14},
        {0, 1, "0:4,5:8", "keep", {10, 12, 15, 16}, 18},
        {0, 1, "0:4,5:8", "compact", {10, 12, 14, 15}, 16},
        {0, 1, "0:4,5:8", "renumber", {10, 11, 12, 13}, 14},
        {1, 3, NULL, "keep", {5, 5, 10, 10, 5, 7, 10, 10, 5, 5, 10, 11}, 13},
        {1, 3, NULL, "compact", {5, 5, 10, 10, 5, 7, 10, 10, 5, 5, 10, 11}, 12},
        {1, 3, NULL, "renumber", {5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8}, 9},
        {1, 3, "0:4,5:8", "keep", {5, 5, 10, 10, 5, 7, 10, 10, 5, 5, 10, 11}, 13},
        {1, 3, "0:4,5:8", "compact", {5, 5, 9, 9, 5, 7, 9, 9, 5, 5, 9, 10}, 11},
        {1, 3, "0:4,5:8", "renumber", {5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8}, 9},
        {2, 4, "4,4", "keep", {1, 1, 9, 9, 1, 2, 9, 10, 1, 1, 10, 9, 0, 0, 0, 0}, 11},
    };
    (void)state;
    save_known();
    for (size_t c = 0; c < 2 * (sizeof cases / sizeof *cases); c++) {
        const size_t i = c / 2;
        const int is_wide = c % 2 == 1, cuts = cases[i].regions != NULL;
        save_ids("p.npy", is_wide, cases[i].n_sections, ids[cases[i].which]);
        char *const json =
            succeed("select", "t.npy", "--preset", "paper", "--scores", "s.npy", "--positions",
                "p.npy", "--positions-out", "o.npy", "--json", "--policy", cases[i].policy,
                "--keep", cuts ? "2" : "4", cuts ? "--regions" : NULL, cases[i].regions, NULL);
        check_positions(json, is_wide, cases[i].n_sections, cases[i].kept, cases[i].next);
        free(json);
    }
    char *const text =
        succeed("select", "t.npy", "--keep", "4", "--positions", "p.npy", NULL); /* keep: default */
    assert_non_null(strstr(text, "\npositions  keep, the next is 11\n"));
    free(text);
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
    int64_t ids[4 * P] = {0};
    (void)state;
    save_known();
#define POSITIONS "select", "t.npy", "--keep", "4", "--positions", "p.npy"
    fail_with("p.npy", "No such file", POSITIONS, NULL);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        save("p.npy", shapes[i].descr, shapes[i].n_dims, shapes[i].shape, ids);
        fail_with("p.npy", shapes[i].cause, POSITIONS, "--positions-out", "o.npy", NULL);
    }
    ids[2 * P + 5] = -3;
    save_ids("p.npy", 0, 3, ids);
    fail_with("p.npy", "section 2, token 5 has the id -3", POSITIONS, NULL);
    ids[2 * P + 5] = INT64_MAX / 2 + 1;
    save_ids("p.npy", 1, 3, ids);
    fail_with("p.npy", "has the id 4611686018427387904", POSITIONS, "--indices", "i.npy", NULL);
    ids[0] = INT32_MAX - 2;
    save_ids("p.npy", 0, 1, ids);
    fail_with("p.npy", "an id out of range", POSITIONS, "--policy", "renumber", NULL);
    save_ids("p.npy", 1, 1, ids);
    free(succeed(POSITIONS, "--policy", "renumber", NULL));
    fail_with("missing/o.npy", "No such file", POSITIONS, "--indices", "i.npy", "--positions-out",
        "missing/o.npy", NULL);
    misuse("unknown choice 'drop'", POSITIONS, "--policy", "drop", NULL);
    misuse("name the same file", POSITIONS, "--indices=o", "--positions-out=o", NULL);
#undef POSITIONS
    misuse("--policy is not an option of select without --positions", "select", "t.npy", "--keep=4",
        "--policy", "keep", NULL);
    misuse("--positions-out is not an option of select without --positions", "select", "t.npy",
        "--keep=4", "--positions-out", "o.npy", NULL);
    misuse("--positions is not an option of batch", "batch", "t.npy", "--keep=4", "--positions",
        "p.npy", NULL);
    misuse(
        "--window is not an option of select", "select", "t.npy", "--keep=4", "--window=2", NULL);
}

/* ---- batches ------------------------------------------------------------------------------ */

static void test_a_batch_is_its_images_one_by_one(void **state) {
    (void)state;
    char *const batch =
        succeed("batch", example_path(0, "tokens.npy"), example_path(1, "tokens.npy"),
            example_path(2, "tokens.npy"), "--keep", "48", "--json", NULL);
    long budgets[MAX_LIST];
    const char *at = batch;
    assert_int_equal(list_of(batch, "budgets", budgets), N_EXAMPLES);
    for (size_t e = 0; e < N_EXAMPLES; e++) {
        char *const one =
            succeed("select", example_path(e, "tokens.npy"), "--keep", "48", "--json", NULL);
        one[strlen(one) - 1] = '\0'; /* the line's end */
        assert_int_equal(budgets[e], 48);
        at = strstr(at, one);
        assert_non_null(at);
        at += strlen(one);
        free(one);
    }
    assert_string_equal(at, "]}\n");
    free(batch);
}

static void test_a_stacked_file_is_a_batch(void **state) {
    const size_t shape[3] = {2, T / 2, D}, table[2] = {2, T / 2}, half[2] = {T / 2, D};
    float values[T * D], scores[T];
    (void)state;
    for (size_t i = 0; i < T * D; i++) {
        values[i] = some_value(i);
    }
    for (size_t i = 0; i < T; i++) {
        scores[i] = 3 + some_value(i + 1000);
    }
    save("stack.npy", "<f4", 3, shape, values);
    save("s.npy", "<f4", 2, table, scores);
    char *const batch =
        succeed("batch", "stack.npy", "--keep", "4", "--scores", "s.npy", "--json", NULL);
    for (size_t b = 0; b < 2; b++) {
        save("one.npy", "<f4", 2, half, values + b * T / 2 * D);
        save("s1.npy", "<f4", 1, half, scores + b * T / 2);
        char *const one =
            succeed("select", "one.npy", "--keep", "4", "--scores", "s1.npy", "--json", NULL);
        one[strlen(one) - 1] = '\0';
        assert_non_null(strstr(batch, one));
        free(one);
    }
    free(batch);
}

/* As if they were not there, but for an error line each, a list in the JSON and the exit code. */
static void test_a_batch_leaves_out_what_is_no_good(void **state) {
    static const char *const budgets[] = {NULL, "--dynamic", "--phi-ref=0.9"};
    static const char failed[] = ", \"failed\": [\"bad.npy\", \"\\\"a\\\\\\u0009b\", \"none\"]}\n";
    static const char lines[] = "prunesid: bad.npy: row 3, column 1 is not finite\n"
                                "prunesid: \"a\\\tb: No such file or directory\n"
                                "prunesid: none: there are no tokens, no channels or no images\n";
    const size_t shape[3] = {2, T / 2, D}, no_images[3] = {0, T, D};
    float values[T * D];
    (void)state;
    for (size_t i = 0; i < T * D; i++) {
        values[i] = some_value(i);
    }
    save("two.npy", "<f4", 3, shape, values);
    save("none", "<f4", 3, no_images, values);
    save_good("t.npy");
    save_matrix("bad.npy", T, D, 3 * D + 1, NAN);
    for (size_t i = 0; i < 3; i++) {
        const char *const mixed[] = {"batch", "two.npy", "bad.npy", "\"a\\\tb", "t.npy", "none",
            "--keep", "4", "--json", budgets[i], NULL};
        char *const good =
            succeed("batch", "two.npy", "t.npy", "--keep", "4", "--json", budgets[i], NULL);
        const size_t n = strlen(good) - strlen("}\n");
        result got = run_list(mixed, NULL, NULL);
        assert_int_equal(got.code, 1);
        assert_string_equal(got.err, lines);
        assert_int_equal(strncmp(got.out, good, n), 0);
        assert_string_equal(got.out + n, failed);
        release(&got);
        free(good);
    }
    static const char *const summary[] = {
        "batch", "bad.npy", "t.npy", "two.npy", "--keep", "4", NULL};
    result got = run_list(summary, NULL, NULL);
    assert_int_equal(got.code, 1);
    assert_int_equal(strncmp(got.out, "image 0: t.npy\nkept ", 20), 0);
    assert_non_null(strstr(got.out, "\nimage 2: two.npy\nkept "));
    release(&got);
    /* With scores nobody knows whose they are; without an image there is nothing to print. */
    save("s.npy", "<f4", 2, shape, values);
    fail_with("bad.npy", "is not finite (--scores needs every file)", "batch", "two.npy", "bad.npy",
        "none", "--scores", "s.npy", "--keep", "4", NULL);
    fail_with("none", "no images", "batch", "none", "--keep", "4", "--dynamic", "--json", NULL);
    fail_with("no.npy", "No such file", "batch", "no.npy", "--keep", "4", NULL);
}

/* A window is an image: what select makes of its frames in a row. */
static void test_windows_are_images_of_their_frames(void **state) {
    enum { FRAMES = 5, EACH = 4 };
    static const struct {
        const char *window;
        size_t n;
        size_t ends[FRAMES];
    } cases[] = {{"1", 5, {1, 2, 3, 4, 5}}, {"2", 3, {2, 4, 5}}, {"3", 2, {3, 5}}, {"5", 1, {5}},
        {"2147483647", 1, {5}}};
    const size_t shape[3] = {FRAMES, EACH, D}, table[2] = {FRAMES, EACH},
                 rows[2] = {FRAMES * EACH, D};
    float values[FRAMES * EACH * D], scores[FRAMES * EACH];
    (void)state;
    for (size_t i = 0; i < FRAMES * EACH * D; i++) {
        values[i] = some_value(i);
    }
    for (size_t i = 0; i < FRAMES * EACH; i++) {
        scores[i] = 3 + some_value(i + 1000);
    }
    save("video.npy", "<f4", 3, shape, values);
    save("s.npy", "<f4", 2, table, scores);
    save("rows.npy", "<f4", 2, rows, values);
    save("row_scores.npy", "<f4", 1, rows, scores);
    for (size_t c = 0; c < 2 * (sizeof cases / sizeof *cases); c++) {
        const size_t *const ends = cases[c / 2].ends;
        const int scored = c % 2 == 1;
        long budgets[MAX_LIST];
        char *const json = succeed("batch", "video.npy", "--keep", "3", "--json", "--window",
            cases[c / 2].window, scored ? "--scores" : NULL, "s.npy", NULL);
        const char *at = value_of(json, "images") + 1;
        assert_int_equal(list_of(json, "budgets", budgets), cases[c / 2].n);
        for (size_t w = 0; w < cases[c / 2].n; w++) {
            const size_t first = w == 0 ? 0 : ends[w - 1] * EACH;
            cut("cut.npy", "rows.npy", first, ends[w] * EACH);
            cut("cut_scores.npy", "row_scores.npy", first, ends[w] * EACH);
            char *const one = succeed("select", "cut.npy", "--keep", "3", "--json",
                scored ? "--scores" : NULL, "cut_scores.npy", NULL);
            one[strlen(one) - 1] = '\0';
            assert_int_equal(strncmp(at, one, strlen(one)), 0);
            at += strlen(one) + 2;
            free(one);
        }
        free(json);
    }
    /* Each file has windows of its own, and a matrix is one frame. */
    char *const json = succeed("batch", "video.npy", "rows.npy", "video.npy", "--window", "3",
        "--keep", "3", "--dynamic", "--json", NULL);
    long budgets[MAX_LIST];
    assert_int_equal(list_of(json, "budgets", budgets), 5);
    assert_int_equal(sum(budgets, 5), 15);
    free(json);
    fail_with(
        "--window", "must be between 1", "batch", "video.npy", "--keep=3", "--window=0", NULL);
    fail_with(
        "--threads", "must be between 1", "batch", "video.npy", "--keep=3", "--threads=0", NULL);
}

static void test_dynamic_budgets_keep_the_total(void **state) {
    static const char *const keeps[] = {"2", "17", "64", "192", "576"};
    (void)state;
    for (size_t k = 0; k < sizeof keeps / sizeof *keeps; k++) {
        char *const json =
            succeed("batch", example_path(0, "tokens.npy"), example_path(1, "tokens.npy"),
                example_path(2, "tokens.npy"), "--keep", keeps[k], "--dynamic", "--json", NULL);
        long budgets[MAX_LIST];
        const size_t n = list_of(json, "budgets", budgets);
        const char *at = json;
        assert_int_equal(n, N_EXAMPLES);
        assert_int_equal(sum(budgets, n), N_EXAMPLES * strtol(keeps[k], NULL, 10));
        for (size_t b = 0; b < n; b++) {
            at = strstr(at, "{\"tokens\"");
            assert_non_null(at);
            assert_int_equal(number_of(at, "budget"), budgets[b]);
            check_selection(at++);
        }
        free(json);
    }
}

static void test_dynamic_budgets_follow_phi_and_limits(void **state) {
    (void)state;
    char *json = succeed("batch", example_path(0, "tokens.npy"), example_path(1, "tokens.npy"),
        example_path(2, "tokens.npy"), "--keep", "64", "--dynamic", "--min", "60", "--max", "66",
        "--json", NULL);
    long budgets[MAX_LIST];
    const size_t n = list_of(json, "budgets", budgets);
    assert_int_equal(sum(budgets, n), N_EXAMPLES * 64);
    for (size_t b = 0; b < n; b++) {
        assert_in_range(budgets[b], 60, 66);
    }
    free(json);
    for (size_t e = 0; e < N_EXAMPLES; e++) {
        char *const info = succeed("info", example_path(e, "tokens.npy"), "--json", NULL);
        json = succeed("batch", example_path(e, "tokens.npy"), "--keep", "64", "--phi-ref", "0.5",
            "--json", NULL);
        assert_int_equal(number_of(json, "budget"), lrint(64 * real_of(info, "phi") / 0.5));
        free(info);
        free(json);
    }
}

static void test_a_dynamic_budget_has_room_beside_reserved_rows(void **state) {
    const float zeros[T * D] = {0}; /* phi is 1 for these and 0 for the ones */
    const size_t shape[2] = {T, D};
    float ones[T * D];
    (void)state;
    for (size_t i = 0; i < T * D; i++) {
        ones[i] = 1;
    }
    save("zeros.npy", "<f4", 2, shape, zeros);
    save("ones.npy", "<f4", 2, shape, ones);
    char *json = succeed("batch", "zeros.npy", "ones.npy", "--keep", "8", "--dynamic", "--min", "0",
        "--reserve", "3", "--json", NULL);
    long budgets[MAX_LIST];
    assert_int_equal(list_of(json, "budgets", budgets), 2);
    assert_int_equal(budgets[0], 12);
    assert_int_equal(budgets[1], 4);
    free(json);
    json = succeed("batch", "zeros.npy", "ones.npy", "--keep", "8", "--phi-ref", "0.5", "--min",
        "5", "--max", "10", "--json", NULL);
    assert_int_equal(list_of(json, "budgets", budgets), 2);
    assert_int_equal(budgets[0], 10);
    assert_int_equal(budgets[1], 5);
    free(json);
}

/* ---- sameness ----------------------------------------------------------------------------- */

static void test_both_dtypes_give_the_same_output(void **state) {
    (void)state;
    npy_array half = load(example_path(0, "tokens.npy"));
    float *const values = (float *)malloc(half.n_items * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < half.n_items; i++) {
        values[i] = npy_float_at(&half, i);
    }
    save("t.npy", "<f4", half.n_dims, half.shape, values);
    char *const single = succeed("select", "t.npy", "--keep", "64", "--json", NULL);
    char *const original =
        succeed("select", example_path(0, "tokens.npy"), "--keep", "64", "--json", NULL);
    assert_string_equal(single, original);
    free(single);
    free(original);
    free(values);
    npy_free(&half);
}

static void test_threads_do_not_change_the_output(void **state) {
    static const char *const methods[] = {"krylov", "exact", "sketch"};
    (void)state;
    for (size_t m = 0; m < 3; m++) {
        for (size_t e = 0; e < N_EXAMPLES; e++) {
            const char *const arguments[] = {"select", example_path(e, "tokens.npy"), "--keep",
                "192", "--svd", methods[m], "--json", NULL};
            result one = run_list(arguments, "1", NULL);
            result two = run_list(arguments, "2", NULL);
            assert_int_equal(one.code, 0);
            assert_string_equal(one.out, two.out);
            release(&one);
            release(&two);
        }
    }
}

static void test_workers_do_not_change_the_output(void **state) {
    const char *const tokens = example_path(0, "tokens.npy");
    const char *const attention = example_path(0, "cls_attention.npy");
    const char *const cases[][14] = {
        {"batch", tokens, "t.npy", "no.npy", "video.npy", example_path(1, "tokens.npy"),
            "--keep=40", "--window=2", "--dynamic", "--json"},
        {"batch", tokens, "t.npy", "video.npy", "--keep=40", "--phi-ref=0.7", "--json"},
        {"select", tokens, "--keep=40", "--regions=100,200,150,126", "--json"},
        {"select", tokens, "--keep=40", "--regions=100,200,200:330,350:576", "--dynamic", "--json",
            "--scores", attention}};
    const size_t shape[3] = {3, 2, D};
    float values[3 * 2 * D];
    (void)state;
    for (size_t i = 0; i < 3 * 2 * D; i++) {
        values[i] = some_value(i);
    }
    save_good("t.npy");
    save("video.npy", "<f4", 3, shape, values);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        result serial = run_list(cases[c], NULL, NULL);
        for (int n = 1; n <= 4; n++) {
            char option[32];
            const char *arguments[16] = {NULL};
            memcpy(arguments, cases[c], sizeof cases[c]);
            snprintf(option, sizeof option, "--threads=%d", n < 4 ? n : 1000);
            size_t at = 0;
            while (arguments[at] != NULL) {
                at++;
            }
            arguments[at] = option;
            result got = run_list(arguments, NULL, NULL);
            assert_int_equal(got.code, serial.code);
            assert_string_equal(got.out, serial.out);
            assert_string_equal(got.err, serial.err);
            release(&got);
        }
        release(&serial);
    }
}

/* ---- pictures ----------------------------------------------------------------------------- */

static size_t big_endian(const unsigned char *bytes) {
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
}

static void test_plot_writes_a_png(void **state) {
    static const char *const keeps[] = {"1", "64", "320", "576"};
    (void)state;
    for (size_t k = 0; k < sizeof keeps / sizeof *keeps; k++) {
        size_t n_bytes;
        free(succeed("plot", example_path(1, "tokens.npy"), "--image", example_path(1, "photo.png"),
            "--grid", "24x24", "--keep", keeps[k], "-o", "o.png", NULL));
        unsigned char *const bytes = read_bytes("o.png", &n_bytes);
        assert_true(n_bytes > 1000);
        assert_memory_equal(bytes, "\x89PNG\r\n\x1a\n", 8);
        assert_true(big_endian(bytes + 16) >= 768);
        assert_true(big_endian(bytes + 20) > 768);
        assert_memory_equal(bytes + n_bytes - 8, "IEND", 4);
        free(bytes);
        assert_int_equal(count_entries(0), 1);
    }
}

static void test_plot_selects_what_select_selects(void **state) {
    (void)state;
    char *const picture =
        succeed("plot", example_path(0, "tokens.npy"), "--image", example_path(0, "photo.png"),
            "--grid", "24x24", "--keep", "64", "--json", "-o", "o.png", NULL);
    char *const plain =
        succeed("select", example_path(0, "tokens.npy"), "--keep", "64", "--json", NULL);
    assert_string_equal(picture, plain);
    free(picture);
    free(plain);
}

static void test_plot_refuses(void **state) {
    (void)state;
    const char *const photo = example_path(0, "photo.png");
    save_good("t.npy");
    write_bytes("bad.png", "\x89PNG\r\n\x1a\n but not really", 24);
    fail_with("--grid", "4x4 does not give the 20 tokens", "plot", "t.npy", "--image", photo,
        "--grid", "4x4", "--keep", "4", "-o", "o.png", NULL);
    fail_with("--grid", "does not give", "plot", "t.npy", "--image", photo, "--grid",
        "2147483647x2147483647", "--keep", "4", "-o", "o.png", NULL);
    fail_with("--grid", "must be between 1", "plot", "t.npy", "--image", photo, "--grid", "0x20",
        "--keep", "4", "-o", "o.png", NULL);
    fail_with("bad.png", "not a readable PNG or JPEG", "plot", "t.npy", "--image", "bad.png",
        "--grid", "4x5", "--keep", "4", "-o", "o.png", NULL);
    fail_with("no.png", "No such file", "plot", "t.npy", "--image", "no.png", "--grid", "4x5",
        "--keep", "4", "-o", "o.png", NULL);
    fail_with("missing/o.png", "No such file", "plot", "t.npy", "--image", photo, "--grid", "4x5",
        "--keep", "4", "-o", "missing/o.png", NULL);
    misuse("is not HxW", "plot", "t.npy", "--image", photo, "--grid", "4by5", "--keep", "4", "-o",
        "o.png", NULL);
    misuse("is not HxW", "plot", "t.npy", "--image", photo, "--grid", "4x", "--keep", "4", "-o",
        "o.png", NULL);
    misuse("is not HxW", "plot", "t.npy", "--image", photo, "--grid=4x-5", "--keep", "4", "-o",
        "o.png", NULL);
    misuse(
        "plot needs --image", "plot", "t.npy", "--grid", "4x5", "--keep", "4", "-o", "o.png", NULL);
    misuse(
        "plot needs --grid", "plot", "t.npy", "--image", photo, "--keep", "4", "-o", "o.png", NULL);
    misuse(
        "plot needs -o", "plot", "t.npy", "--image", photo, "--grid", "4x5", "--keep", "4", NULL);
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
        TEST(bad_counts),
        TEST(limits_of_dynamic_budgets),
        TEST(wrong_shapes),
        TEST(forged_files),
        TEST(every_version_and_spelling_loads),
        TEST(truncated_files),
        TEST(files_that_cannot_be_read),
        TEST(usage_errors),
        TEST(two_dashes_end_the_options),
        TEST(regions_are_selections_of_their_own),
        TEST(regions_share_a_budget),
        TEST(bad_regions),
        TEST(positions),
        TEST(bad_positions),
        TEST(a_batch_is_its_images_one_by_one),
        TEST(a_stacked_file_is_a_batch),
        TEST(a_batch_leaves_out_what_is_no_good),
        TEST(windows_are_images_of_their_frames),
        TEST(dynamic_budgets_keep_the_total),
        TEST(dynamic_budgets_follow_phi_and_limits),
        TEST(a_dynamic_budget_has_room_beside_reserved_rows),
        TEST(both_dtypes_give_the_same_output),
        TEST(threads_do_not_change_the_output),
        TEST(workers_do_not_change_the_output),
        TEST(plot_writes_a_png),
        TEST(plot_selects_what_select_selects),
        TEST(plot_refuses),
    };
    return cmocka_run_group_tests_name("tool", tests, NULL, NULL);
}
