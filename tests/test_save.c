/* test_save.c - files that are written whole or not at all, whatever ends the process.   MIT
 * licence.
 *
 * Every test runs in a new folder below TMPDIR. Built twice: with NPY_NAMED_ONLY as well, as where
 * the system has no files without names. */
#define _GNU_SOURCE /* unshare */
#include "npy_save.h"

#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CAUSE_BYTES = 256, N_VALUES = 5000, TIMEOUT_SECONDS = 60 };

static char directory[4096], origin[4096], cause[CAUSE_BYTES];
static int32_t values[N_VALUES];
static const size_t n_values = N_VALUES;

static int enter(void **state) {
    const char *const base = getenv("TMPDIR");
    (void)state;
    snprintf(directory, sizeof directory, "%s/prunesid_save_XXXXXX", base != NULL ? base : "/tmp");
    for (size_t i = 0; i < N_VALUES; i++) values[i] = (int32_t)i;
    return getcwd(origin, sizeof origin) == NULL || mkdtemp(directory) == NULL ||
           chdir(directory) != 0;
}

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
    return n;
}

static int leave(void **state) {
    (void)state;
    if (access("old.npy/inside", F_OK) == 0) unlink("old.npy/inside");
    count_files(1);
    return chdir(origin) != 0 || rmdir(directory) != 0;
}

static void stage(const char *path, npy_staged *out) {
    CHECK(npy_stage_array(path, "<i4", 1, &n_values, values, out, cause, sizeof cause) == 0,
        "%s: %s", path, cause);
}

static void write_text(const char *path, const char *text) {
    FILE *const file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void check_text(const char *path, const char *text) {
    char found[64] = "";
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(found, sizeof found, file));
    fclose(file);
    assert_string_equal(found, text);
}

static void check_values(const char *path) {
    npy_array array;
    CHECK(npy_load(path, &array, cause, sizeof cause) == 0, "%s: %s", path, cause);
    assert_int_equal(array.n_items, N_VALUES);
    assert_memory_equal(array.data, values, sizeof values);
    npy_free(&array);
}

static mode_t mode_of(const char *path) {
    struct stat about;
    assert_int_equal(lstat(path, &about), 0);
    return about.st_mode & 07777;
}

/* What waitpid says of a child that runs task. */
static int status_of(void (*task)(const void *what), const void *what) {
    int status = 0;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        alarm(TIMEOUT_SECONDS);
        task(what);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* ---- a file in its place ------------------------------------------------------------------- */

static void a_file_is_new_or_takes_the_old_ones_place(void **state) {
    char path[sizeof directory + 16];
    npy_staged staged;
    (void)state;
    const mode_t mask = umask(027);
    stage("new.npy", &staged);
    assert_int_not_equal(access("new.npy", F_OK), 0);
    assert_int_equal(npy_commit(&staged, cause, sizeof cause), 0);
    umask(mask);
    check_values("new.npy");
    assert_int_equal(mode_of("new.npy"), 0640);
    write_text("old.npy", "old");
    assert_int_equal(chmod("old.npy", 0604), 0);
    assert_int_equal(symlink("old.npy", "link.npy"), 0);
    stage("link.npy", &staged);
    check_text("old.npy", "old");
    assert_int_equal(npy_commit(&staged, cause, sizeof cause), 0);
    check_values("old.npy");
    assert_int_equal(mode_of("old.npy"), 0604);
    assert_int_equal(readlink("link.npy", path, sizeof path), strlen("old.npy"));
    snprintf(path, sizeof path, "%s/absolute.npy", directory);
    assert_int_equal(npy_save(path, "<i4", 1, &n_values, values, cause, sizeof cause), 0);
    check_values("absolute.npy");
    assert_int_equal(count_files(0), 4);
}

static void what_is_discarded_was_never_there(void **state) {
    npy_staged staged;
    (void)state;
    write_text("old.npy", "old");
    stage("old.npy", &staged);
    npy_discard(&staged);
    npy_discard(&staged);
    stage("new.npy", &staged);
    npy_discard(&staged);
    check_text("old.npy", "old");
    assert_int_equal(count_files(0), 1);
}

static void refuses(void **state) {
    static const char *const cases[][2] = {{"no/o.npy", "No such file or directory"},
        {"dead.npy", "a link that leads nowhere"}, {"folder", "is a directory"}};
    npy_staged staged;
    (void)state;
    assert_int_equal(symlink("nowhere", "dead.npy"), 0);
    assert_int_equal(mkdir("folder", 0700), 0);
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        assert_int_equal(npy_stage(cases[i][0], "a", 1, "b", 1, &staged, cause, sizeof cause), -1);
        assert_string_equal(cause, cases[i][1]);
        assert_null(staged.target);
    }
    assert_int_equal(
        npy_stage_array("o.npy", "<u1", 1, &n_values, values, &staged, cause, 256), -1);
    assert_int_equal(
        npy_stage_array("o.npy", "<i4", 5, &n_values, values, &staged, cause, 256), -1);
    assert_int_equal(count_files(0), 2);
}

/* More than there may be descriptors: the later ones have names. */
static void many_wait_at_once(void **state) {
    enum { MANY = 400 };
    static npy_staged staged[MANY];
    char path[32];
    size_t failed;
    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        snprintf(path, sizeof path, "%zu.npy", i);
        stage(path, &staged[i]);
    }
    assert_int_equal(npy_commit_all(staged, MANY, &failed, cause, sizeof cause), 0);
    assert_int_equal(failed, MANY);
    assert_int_equal(count_files(0), MANY);
    check_values("0.npy");
    check_values("399.npy");
}

/* ---- the end of the process ---------------------------------------------------------------- */

static void stage_and_end(const void *number) {
    npy_staged staged[3] = {{0}};
    if (npy_stage_array("a.npy", "<i4", 1, &n_values, values, &staged[0], cause, 256) != 0 ||
        npy_stage_array("old.npy", "<i4", 1, &n_values, values, &staged[1], cause, 256) != 0 ||
        npy_stage_array("b.npy", "<i4", 1, &n_values, values, &staged[2], cause, 256) != 0)
        _exit(99);
    npy_discard(&staged[1]);
    if (*(const int *)number == 0) exit(3); /* what a failed allocation comes to */
    raise(*(const int *)number);
    _exit(98);
}

static void whatever_ends_the_process_nothing_is_left(void **state) {
    static const int numbers[] = {0, SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT, SIGXCPU, SIGKILL};
    (void)state;
    write_text("old.npy", "old");
    for (size_t i = 0; i < N_ITEMS(numbers); i++) {
#ifdef NPY_NAMED_ONLY
        if (numbers[i] == SIGKILL) continue; /* as is said there */
#endif
        const int status = status_of(stage_and_end, &numbers[i]);
        CHECK(numbers[i] == 0 ? WIFEXITED(status) && WEXITSTATUS(status) == 3
                              : WIFSIGNALED(status) && WTERMSIG(status) == numbers[i],
            "signal %d: status %d", numbers[i], status);
        CHECK(count_files(0) == 1, "signal %d", numbers[i]);
        check_text("old.npy", "old");
    }
}

static void stage_under_nohup(const void *unused) {
    npy_staged staged;
    (void)unused;
    signal(SIGHUP, SIG_IGN);
    if (npy_stage("o.npy", "a", 1, "b", 1, &staged, cause, sizeof cause) != 0) _exit(1);
    raise(SIGHUP);
    _exit(npy_commit(&staged, cause, sizeof cause) != 0);
}

static void an_ignored_signal_stays_ignored(void **state) {
    (void)state;
    assert_int_equal(status_of(stage_under_nohup, NULL), 0);
    assert_int_equal(count_files(0), 1);
}

/* A process before had the same number and was killed. */
static void save_among_taken_names(const void *unused) {
    char name[64];
    npy_staged staged[2];
    size_t failed;
    (void)unused;
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof name, ".npy-%ld-%u.tmp", (long)getpid(), i);
        write_text(name, "left behind");
    }
    if (npy_stage("old.npy", "a", 1, "b", 1, &staged[0], cause, sizeof cause) != 0) _exit(1);
    if (npy_stage("new.npy", "a", 1, "b", 1, &staged[1], cause, sizeof cause) != 0) _exit(2);
    if (npy_commit_all(staged, 2, &failed, cause, sizeof cause) != 0) _exit(3);
}

static void a_process_id_that_comes_again_is_in_nobodys_way(void **state) {
    (void)state;
    write_text("old.npy", "old");
    assert_int_equal(status_of(save_among_taken_names, NULL), 0);
    check_text("old.npy", "ab");
    check_text("new.npy", "ab");
    assert_int_equal(count_files(0), 52);
}

static void outgrow_the_limit(const void *unused) {
    const struct rlimit limit = {1000, 1000};
    npy_staged staged;
    (void)unused;
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(1);
    if (npy_stage_array("o.npy", "<i4", 1, &n_values, values, &staged, cause, 256) != -1) _exit(2);
    _exit(strcmp(cause, "File too large") != 0 || staged.target != NULL);
}

static void a_disk_that_takes_no_more_leaves_nothing(void **state) {
    (void)state;
    assert_int_equal(status_of(outgrow_the_limit, NULL), 0);
    assert_int_equal(count_files(0), 0);
}

/* ---- several ------------------------------------------------------------------------------- */

/* One target becomes a folder with something in it: a rename cannot take its place. */
static void several_are_all_or_none(void **state) {
    static const char *const paths[] = {"a.npy", "old.npy", "b.npy", "new.npy"};
    npy_staged staged[N_ITEMS(paths) + 1] = {{0}};
    size_t failed;
    (void)state;
    for (size_t bad = 0; bad <= N_ITEMS(paths); bad++) {
        char inside[64];
        write_text("a.npy", "of a");
        write_text("b.npy", "of b");
        unlink("old.npy");
        unlink("new.npy");
        for (size_t i = 0; i < N_ITEMS(paths); i++) stage(paths[i], &staged[i]);
        if (bad < N_ITEMS(paths)) {
            snprintf(inside, sizeof inside, "%s/inside", paths[bad]);
            unlink(paths[bad]);
            assert_int_equal(mkdir(paths[bad], 0700), 0);
            write_text(inside, "");
        }
        const int status = npy_commit_all(staged, N_ITEMS(staged), &failed, cause, sizeof cause);
        if (bad == N_ITEMS(paths)) {
            assert_int_equal(status, 0);
            for (size_t i = 0; i < N_ITEMS(paths); i++) check_values(paths[i]);
            assert_int_equal(count_files(0), N_ITEMS(paths));
            break;
        }
        assert_int_equal(status, -1);
        assert_int_equal(failed, bad);
        for (size_t i = 0; i < N_ITEMS(paths); i++) assert_null(staged[i].target);
        if (bad != 0) check_text("a.npy", "of a");
        if (bad != 2) check_text("b.npy", "of b");
        CHECK(count_files(0) == (bad % 2 == 0 ? 2 : 3), "case %zu", bad);
        unlink(inside);
        rmdir(paths[bad]);
    }
}

/* ---- devices and the like ------------------------------------------------------------------ */

static void read_the_fifo(const void *unused) {
    char text[16] = "";
    (void)unused;
    const int fifo = open("fifo", O_RDONLY);
    const ssize_t n = read(fifo, text, 15);
    _exit(n != 5 || strcmp(text, "bytes") != 0 || read(fifo, text, 1) != 0);
}

static void devices_are_written_as_they_are(void **state) {
    npy_staged staged[2];
    size_t failed;
    int status;
    (void)state;
    stage("/dev/null", &staged[0]);
    assert_int_equal(npy_commit(&staged[0], cause, sizeof cause), 0);
    assert_true(access("/dev/null", W_OK) == 0);
    if (access("/dev/full", W_OK) == 0) { /* nothing else is written then */
        stage("new.npy", &staged[0]);
        stage("/dev/full", &staged[1]);
        assert_int_equal(npy_commit_all(staged, 2, &failed, cause, sizeof cause), -1);
        assert_int_equal(failed, 1);
        assert_string_equal(cause, "No space left on device");
        assert_int_equal(count_files(0), 0);
    }
    assert_int_equal(mkfifo("fifo", 0600), 0);
    const pid_t reader = fork();
    if (reader == 0) read_the_fifo(NULL);
    assert_int_equal(npy_stage("fifo", "by", 2, "tes", 3, &staged[0], cause, sizeof cause), 0);
    assert_int_equal(npy_commit(&staged[0], cause, sizeof cause), 0);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    assert_int_equal(count_files(0), 1);
}

static void save_to_standard_output(const void *path) {
    npy_staged staged;
    const int file = open("out", O_RDWR | O_CREAT, 0600);
    if (dup2(file, STDOUT_FILENO) < 0) _exit(1);
    printf("first, ");
    if (npy_stage((const char *)path, "th", 2, "en", 2, &staged, cause, sizeof cause) != 0)
        _exit(2);
    fflush(stdout);
    _exit(npy_commit(&staged, cause, sizeof cause) != 0);
}

/* Whatever it is called, and though it is a regular file here. */
static void standard_output_is_written_behind_what_was_printed(void **state) {
    static const char *const paths[] = {"/dev/stdout", "out"};
    (void)state;
    for (size_t i = 0; i < N_ITEMS(paths); i++) {
        assert_int_equal(status_of(save_to_standard_output, paths[i]), 0);
        check_text("out", "first, then");
        assert_int_equal(count_files(1), 1);
    }
}

/* printf must not come into a file that got the number of a standard output that was closed. */
static void save_without_standard_output(const void *unused) {
    npy_staged staged;
    (void)unused;
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    if (npy_stage("o.npy", "wh", 2, "ole", 3, &staged, cause, sizeof cause) != 0) _exit(1);
    printf("lost");
    if (fflush(stdout) == 0) _exit(2);
    _exit(npy_commit(&staged, cause, sizeof cause) != 0);
}

static void a_closed_standard_output_stays_closed(void **state) {
    (void)state;
    assert_int_equal(status_of(save_without_standard_output, NULL), 0);
    check_text("o.npy", "whole");
    assert_int_equal(count_files(0), 1);
}

#ifdef CLONE_NEWNS
static void save_to_a_mount_point(const void *unused) {
    npy_staged staged[2];
    size_t failed;
    (void)unused;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("below", "above", NULL, MS_BIND, NULL) != 0)
        _exit(77);
    if (npy_stage("above", "n", 1, "ew", 2, &staged[0], cause, sizeof cause) != 0) _exit(1);
    if (npy_stage("other", "n", 1, "ew", 2, &staged[1], cause, sizeof cause) != 0) _exit(2);
    if (npy_commit_all(staged, 2, &failed, cause, sizeof cause) != 0) _exit(3);
    check_text("above", "new");
}
#endif

static void a_mount_point_is_written_in_place(void **state) {
    (void)state;
#ifdef CLONE_NEWNS
    write_text("above", "hidden");
    write_text("below", "older and longer");
    const int status = status_of(save_to_a_mount_point, NULL);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("nothing can be mounted here\n");
        skip();
    }
    assert_int_equal(status, 0);
    check_text("below", "new");
    check_text("above", "hidden");
    check_text("other", "new");
    assert_int_equal(count_files(0), 3);
#else
    skip();
#endif
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_new_or_takes_the_old_ones_place),
        TEST(what_is_discarded_was_never_there),
        TEST(refuses),
        TEST(many_wait_at_once),
        TEST(whatever_ends_the_process_nothing_is_left),
        TEST(an_ignored_signal_stays_ignored),
        TEST(a_process_id_that_comes_again_is_in_nobodys_way),
        TEST(a_disk_that_takes_no_more_leaves_nothing),
        TEST(several_are_all_or_none),
        TEST(devices_are_written_as_they_are),
        TEST(standard_output_is_written_behind_what_was_printed),
        TEST(a_closed_standard_output_stays_closed),
        TEST(a_mount_point_is_written_in_place),
    };
    return cmocka_run_group_tests_name("save", tests, NULL, NULL);
}
