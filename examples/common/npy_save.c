/* npy_save.c - files that are written whole or not at all.   MIT licence. */
#define _GNU_SOURCE /* O_TMPFILE */
#include "npy_save.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

/* NPY_NAMED_ONLY: as on a system without O_TMPFILE, for tests. */
#if defined(O_TMPFILE) && !defined(NPY_NAMED_ONLY)
#define NPY_UNNAMED_ 1
#else
#define NPY_UNNAMED_ 0
#endif

enum { FIRST_FREE = 3, MOST_OPEN = 256, MOST_TRIES = 1000, OWN_NAME_BYTES = 48 };

/* ---- names that must not stay behind ------------------------------------------------------- */

typedef struct npy_name_ {
    struct npy_name_ *next;
    char text[]; /* a whole path: a change of folder does not matter */
} npy_name;

static npy_name *volatile names; /* changes only while the signals below are blocked */
static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGXCPU};
enum { N_DEADLY = sizeof deadly / sizeof *deadly };

static void remove_names(void) {
    for (const npy_name *name = names; name != NULL; name = name->next) unlink(name->text);
}

static void clean_up_and_die(int number) {
    const int before = errno;
    remove_names();
    errno = before;
    signal(number, SIG_DFL);
    raise(number); /* comes once this handler has returned */
}

/* Whoever ignores a signal, as nohup does, or handles it goes on doing so. */
static void catch_signals(void) {
    static int is_done;
    struct sigaction mine = {.sa_handler = clean_up_and_die}, old;
    if (is_done) return;
    is_done = 1;
    atexit(remove_names);
    sigfillset(&mine.sa_mask);
    for (size_t i = 0; i < N_DEADLY; i++)
        if (sigaction(deadly[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(deadly[i], &mine, NULL);
}

static void block_signals(sigset_t *before) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, before);
}

static void unblock_signals(const sigset_t *before) {
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* Forgets a name, and unlinks it if there is still a file of it. */
static void drop_name(npy_name **name, int unlinks) {
    sigset_t before;
    if (*name == NULL) return;
    block_signals(&before);
    if (unlinks) unlink((*name)->text);
    if (names == *name) {
        names = (*name)->next;
    } else {
        npy_name *at = names;
        while (at->next != *name) at = at->next;
        at->next = (*name)->next;
    }
    unblock_signals(&before);
    free(*name);
    *name = NULL;
}

/* Length of the folder's part of a path, its last slash included. */
static size_t folder_length(const char *path) {
    const char *const slash = strrchr(path, '/');
    return slash != NULL ? (size_t)(slash - path) + 1 : 0;
}

/* Gives a file a new name beside target: make(name, from) fails with EEXIST if it is taken. NULL
 * with errno set if that cannot be. *result: what make returned. */
static npy_name *new_name(const char *target, int (*make)(const char *name, const void *from),
    const void *from, int *result) {
    static unsigned number;
    const size_t folder = folder_length(target);
    npy_name *const name = (npy_name *)malloc(sizeof *name + folder + OWN_NAME_BYTES);
    sigset_t before;
    int cause = EEXIST;
    *result = -1;
    if (name == NULL) return NULL;
    catch_signals();
    memcpy(name->text, target, folder);
    block_signals(&before);
    for (int i = 0; i < MOST_TRIES && *result < 0 && cause == EEXIST; i++) {
        snprintf(name->text + folder, OWN_NAME_BYTES, ".npy-%ld-%u.tmp", (long)getpid(), number++);
        *result = make(name->text, from);
        cause = errno;
    }
    if (*result >= 0) {
        name->next = names;
        names = name;
    }
    unblock_signals(&before);
    if (*result >= 0) return name;
    free(name);
    errno = cause;
    return NULL;
}

static int make_file(const char *name, const void *mode) {
    return open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, *(const mode_t *)mode);
}

/* A second name of the file that from is called. */
static int make_link(const char *name, const void *from) {
    return linkat(AT_FDCWD, (const char *)from, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

/* ---- staging ------------------------------------------------------------------------------- */

/* Descriptors 0 to 2 may be closed: what takes their number would be written to by printf. */
static int lift(int descriptor) {
    if (descriptor < 0 || descriptor >= FIRST_FREE) return descriptor;
    const int lifted = fcntl(descriptor, F_DUPFD_CLOEXEC, FIRST_FREE);
    const int cause = errno;
    close(descriptor);
    errno = cause;
    return lifted;
}

static void own_path(int descriptor, char path[64]) {
    snprintf(path, 64, "/proc/self/fd/%d", descriptor);
}

/* A file that has no name in target's folder but may get one; -1 where there is no such thing, or
 * too many are open already. */
static int open_unnamed(const char *target, mode_t mode) {
#if NPY_UNNAMED_
    char path[64];
    char *const folder = strndup(target, folder_length(target));
    if (folder == NULL) return -1;
    const int descriptor = lift(open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, mode));
    free(folder);
    own_path(descriptor, path);
    if (descriptor < 0 || (descriptor < MOST_OPEN && access(path, F_OK) == 0)) return descriptor;
    close(descriptor);
#else
    (void)target;
    (void)mode;
#endif
    return -1;
}

static int write_all(int descriptor, const void *bytes, size_t n_bytes) {
    const char *at = (const char *)bytes;
    while (n_bytes > 0) {
        const ssize_t n = write(descriptor, at, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        at += n;
        n_bytes -= (size_t)n;
    }
    return 0;
}

/* Some file systems know no fsync, and say so. */
static int sync_file(int descriptor) {
    return fsync(descriptor) == 0 || errno == EINVAL || errno == ENOSYS ? 0 : -1;
}

/* The path of something new, its folder's links followed; NULL with errno set. */
static char *new_target(const char *path) {
    const size_t length = folder_length(path);
    char *const folder = length > 0 ? strndup(path, length) : strdup(".");
    char *const real = folder != NULL ? realpath(folder, NULL) : NULL;
    const size_t n_bytes = real != NULL ? strlen(real) + strlen(path + length) + 2 : 0;
    char *const target = real != NULL ? (char *)malloc(n_bytes) : NULL;
    if (target != NULL)
        snprintf(target, n_bytes, "%s%s%s", real, real[strlen(real) - 1] == '/' ? "" : "/",
            path + length);
    free(folder);
    free(real);
    return target;
}

static int is_standard_output(const struct stat *file) {
    struct stat out;
    return fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == file->st_dev &&
           out.st_ino == file->st_ino;
}

/* What cannot be renamed away: its bytes wait in memory. */
static int stage_bytes(const char *path, const struct stat *about, const void *head,
    size_t head_bytes, const void *body, size_t body_bytes, npy_staged *out) {
    out->target = strdup(path);
    if (out->target == NULL) return -1;
    out->bytes = malloc(head_bytes + body_bytes + 1);
    if (out->bytes == NULL) return -1;
    memcpy(out->bytes, head, head_bytes);
    memcpy((char *)out->bytes + head_bytes, body, body_bytes);
    out->n_bytes = head_bytes + body_bytes;
    out->descriptor = is_standard_output(about) ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, FIRST_FREE)
                                                : lift(open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC));
    return out->descriptor >= 0 ? 0 : -1;
}

static int stage_file(const char *path, const struct stat *old, const void *head, size_t head_bytes,
    const void *body, size_t body_bytes, npy_staged *out) {
    const mode_t mode = old != NULL ? old->st_mode & 0777 : 0666;
    int descriptor;
    out->target = old != NULL ? realpath(path, NULL) : new_target(path);
    if (out->target == NULL) return -1;
    out->descriptor = descriptor = open_unnamed(out->target, mode);
    if (descriptor < 0) {
        out->name = new_name(out->target, make_file, &mode, &descriptor);
        descriptor = lift(descriptor);
    }
    if (descriptor < 0) return -1;
    int good = (old == NULL || fchmod(descriptor, mode) == 0) &&
               write_all(descriptor, head, head_bytes) == 0 &&
               write_all(descriptor, body, body_bytes) == 0 && sync_file(descriptor) == 0;
    if (out->name != NULL) {
        const int cause = errno;
        const int is_closed = close(descriptor) == 0;
        if (good && !is_closed)
            good = 0;
        else
            errno = cause;
    }
    return good ? 0 : -1;
}

int npy_stage(const char *path, const void *head, size_t head_bytes, const void *body,
    size_t body_bytes, npy_staged *out, char *error, size_t error_bytes) {
    const npy_error_ cause = {error, error_bytes};
    const npy_staged none = {.descriptor = -1};
    struct stat link, old;
    const int is_new = lstat(path, &link) != 0;
    *out = none;
    if (!is_new && stat(path, &old) != 0) return npy_fail_(cause, "a link that leads nowhere");
    if (!is_new && S_ISDIR(old.st_mode)) return npy_fail_(cause, "is a directory");
    const int status =
        !is_new && (!S_ISREG(old.st_mode) || is_standard_output(&old))
            ? stage_bytes(path, &old, head, head_bytes, body, body_bytes, out)
            : stage_file(path, is_new ? NULL : &old, head, head_bytes, body, body_bytes, out);
    if (status == 0) return 0;
    npy_fail_(cause, "%s", strerror(errno));
    npy_discard(out);
    return -1;
}

void npy_discard(npy_staged *staged) {
    const npy_staged none = {.descriptor = -1};
    if (staged->target == NULL) return;
    if (staged->descriptor >= 0) close(staged->descriptor);
    drop_name(&staged->name, 1);
    drop_name(&staged->old_name, 1);
    free(staged->bytes);
    free(staged->target);
    *staged = none;
}

/* ---- committing ---------------------------------------------------------------------------- */

/* rename needs a name. */
static int give_name(npy_staged *staged) {
    char path[64];
    int result;
    if (staged->name != NULL || staged->bytes != NULL) return 0;
    own_path(staged->descriptor, path);
    staged->name = new_name(staged->target, make_link, path, &result);
    return result;
}

/* A second name keeps the old file for put_back. */
static int keep_old(npy_staged *staged) {
    int result;
    struct stat old;
    if (staged->bytes != NULL || lstat(staged->target, &old) != 0) return 0;
    staged->had_old = 1;
    staged->old_name = new_name(staged->target, make_link, staged->target, &result);
    return result == 0 || errno == EPERM || errno == EXDEV || errno == EOPNOTSUPP || errno == ENOSYS
               ? 0
               : -1;
}

/* A mount point is busy: it is written in place later. */
static int move(npy_staged *staged) {
    if (staged->bytes != NULL) return 0;
    if (rename(staged->name->text, staged->target) == 0) {
        drop_name(&staged->name, 0);
        return 0;
    }
    staged->is_in_place = errno == EBUSY;
    return staged->is_in_place ? 0 : -1;
}

static int copy_in_place(npy_staged *staged) {
    char buffer[4096];
    ssize_t n = -1;
    if (!staged->is_in_place) return 0;
    const int from = open(staged->name->text, O_RDONLY | O_CLOEXEC);
    const int to = open(staged->target, O_WRONLY | O_TRUNC | O_CLOEXEC);
    int status = from >= 0 && to >= 0 ? 0 : -1;
    while (status == 0 && (n = read(from, buffer, sizeof buffer)) > 0)
        status = write_all(to, buffer, (size_t)n);
    if (n < 0 || (status == 0 && sync_file(to) != 0)) status = -1;
    const int cause = errno;
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    errno = cause;
    return status;
}

/* Undoes move. -1 if the new file stays. */
static int put_back(npy_staged *staged) {
    if (staged->bytes != NULL || staged->name != NULL || staged->is_in_place) return 0;
    if (!staged->had_old) return unlink(staged->target);
    if (staged->old_name == NULL || rename(staged->old_name->text, staged->target) != 0) return -1;
    drop_name(&staged->old_name, 0);
    return 0;
}

/* The renames reach the disk. */
static void sync_folder(const char *target) {
    char *const folder = strndup(target, folder_length(target));
    const int descriptor = folder != NULL ? open(folder, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor >= 0) {
        sync_file(descriptor); /* the files are in their places, whatever it says */
        close(descriptor);
    }
    free(folder);
}

static int write_device(npy_staged *staged) {
    if (staged->bytes == NULL) return 0;
    return write_all(staged->descriptor, staged->bytes, staged->n_bytes);
}

/* step for each of n files that there are; n, or the first that fails with errno set. */
static size_t for_all(npy_staged *staged, size_t n, int (*step)(npy_staged *staged)) {
    for (size_t i = 0; i < n; i++)
        if (staged[i].target != NULL && step(&staged[i]) != 0) return i;
    return n;
}

/* All renames and what is in place, or none. Returns which failed, n if none. *cause: its errno;
 * *is_mixed: some files are new all the same. */
static size_t move_all(npy_staged *staged, size_t n, int *cause, int *is_mixed) {
    size_t bad = for_all(staged, n, give_name);
    if (bad == n && n > 1) bad = for_all(staged, n, keep_old);
    if (bad == n) {
        bad = for_all(staged, n, move);
        const size_t n_moved = bad;
        if (bad == n) bad = for_all(staged, n, copy_in_place);
        *cause = errno;
        for (size_t i = 0; bad < n && i < n_moved; i++)
            if (staged[i].target != NULL && put_back(&staged[i]) != 0) *is_mixed = 1;
    } else {
        *cause = errno;
    }
    return bad;
}

int npy_commit_all(npy_staged *staged, size_t n, size_t *failed, char *error, size_t error_bytes) {
    const npy_error_ cause = {error, error_bytes};
    int number = 0, is_mixed = 0;
    sigset_t before;
    size_t bad = for_all(staged, n, write_device); /* may wait, so that signals have to work */
    if (bad < n) {
        number = errno;
    } else {
        block_signals(&before);
        bad = move_all(staged, n, &number, &is_mixed);
        for (size_t i = 0; i < n; i++) {
            if (staged[i].target != NULL && staged[i].bytes == NULL) sync_folder(staged[i].target);
            npy_discard(&staged[i]);
        }
        unblock_signals(&before);
    }
    for (size_t i = 0; i < n; i++) npy_discard(&staged[i]);
    *failed = bad;
    if (bad == n) return 0;
    return npy_fail_(
        cause, "%s%s", strerror(number), is_mixed ? ", and another output is new already" : "");
}

int npy_commit(npy_staged *staged, char *error, size_t error_bytes) {
    size_t failed;
    return npy_commit_all(staged, 1, &failed, error, error_bytes);
}

/* ---- .npy ---------------------------------------------------------------------------------- */

int npy_stage_array(const char *path, const char *descr, int n_dims, const size_t *shape,
    const void *data, npy_staged *out, char *error, size_t error_bytes) {
    const npy_error_ cause = {error, error_bytes};
    char head[256] = "\x93NUMPY\x01";
    char tuple[128] = "";
    npy_array array = {0};
    size_t n_items = 1, length = 0;
    if (n_dims < 0 || n_dims > NPY_MAX_DIMS || npy_accept_dtype_(descr, &array, cause) != 0)
        return npy_fail_(cause, "this array cannot be saved");
    for (int i = 0; i < n_dims; i++) {
        n_items *= shape[i];
        length += (size_t)snprintf(
            tuple + length, sizeof tuple - length, "%zu,%s", shape[i], i + 1 < n_dims ? " " : "");
    }
    if (n_dims > 1) tuple[length - 1] = '\0'; /* Python writes (2, 3) but (2,) */
    length = (size_t)snprintf(head + 10, sizeof head - 10,
        "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, tuple);
    const size_t head_bytes = (10 + length + 1 + 63) / 64 * 64; /* the data is aligned to 64 */
    memset(head + 10 + length, ' ', head_bytes - 10 - length - 1);
    head[head_bytes - 1] = '\n';
    head[8] = (char)((head_bytes - 10) & 255);
    head[9] = (char)((head_bytes - 10) >> 8);
    const size_t n_bytes = n_items * array.item_bytes;
    if (!npy_host_is_little_endian_()) {
        array.data = malloc(n_bytes + 1);
        if (array.data == NULL) return npy_fail_(cause, "out of memory");
        memcpy(array.data, data, n_bytes);
        npy_swap_(array.data, n_items, array.item_bytes);
        data = array.data;
    }
    const int status = npy_stage(path, head, head_bytes, data, n_bytes, out, error, error_bytes);
    free(array.data);
    return status;
}

int npy_save(const char *path, const char *descr, int n_dims, const size_t *shape, const void *data,
    char *error, size_t error_bytes) {
    npy_staged staged;
    const int status =
        npy_stage_array(path, descr, n_dims, shape, data, &staged, error, error_bytes);
    return status == 0 ? npy_commit(&staged, error, error_bytes) : status;
}
