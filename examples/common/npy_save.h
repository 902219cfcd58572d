/* npy_save.h - writes NumPy's .npy files, and any others, at once and whole.   MIT licence.
 *
 * A file is first written beside the place where it belongs, and put there by a rename once all of
 * it, and whatever else has to succeed, has succeeded.
 *
 * C99 and POSIX. Include it before any system header, or define _XOPEN_SOURCE to 700. */
#ifndef NPY_SAVE_H
#define NPY_SAVE_H

#include "npy_load.h"

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

/* A whole file that waits beside its target to take its place; all NULL: none. */
typedef struct npy_staged {
    char *temporary, *target;
} npy_staged;

/* Takes the file back, if there is one. */
static inline void npy_discard(npy_staged *staged) {
    if (staged->temporary != NULL) unlink(staged->temporary);
    free(staged->temporary);
    free(staged->target);
    staged->temporary = staged->target = NULL;
}

/* Puts it in its place, at once and whole. 0, or -1 with the cause in error, the old file kept. */
static inline int npy_commit(npy_staged *staged, char *error, size_t error_bytes) {
    const npy_error_ cause = {error, error_bytes};
    if (rename(staged->temporary, staged->target) != 0) {
        npy_fail_(cause, "%s", strerror(errno));
        npy_discard(staged);
        return -1;
    }
    free(staged->temporary);
    staged->temporary = NULL;
    npy_discard(staged);
    return 0;
}

/* What path names, links followed, on the heap; NULL with the cause in error if it is something
 * that a file must not take the place of. *mode: what it has, or 0 if there is nothing yet. */
static inline char *npy_target_(const char *path, mode_t *mode, npy_error_ cause) {
    struct stat old;
    *mode = 0;
    if (lstat(path, &old) != 0) return strdup(path);
    if (stat(path, &old) != 0) {
        npy_fail_(cause, "a link that leads nowhere");
        return NULL;
    }
    if (!S_ISREG(old.st_mode)) {
        npy_fail_(cause, "not a regular file"); /* a rename would take a device's place */
        return NULL;
    }
    *mode = old.st_mode & 0777;
    return realpath(path, NULL);
}

/* Writes head and body beside path, or beside the file that it links to. 0, or -1 with the cause in
 * error and nothing left behind. */
static inline int npy_stage(const char *path, const void *head, size_t head_bytes, const void *body,
    size_t body_bytes, npy_staged *out, char *error, size_t error_bytes) {
    const npy_error_ cause = {error, error_bytes};
    mode_t mode;
    npy_fail_(cause, "out of memory");
    out->temporary = NULL;
    out->target = npy_target_(path, &mode, cause);
    const size_t name_bytes = out->target != NULL ? strlen(out->target) + 32 : 0;
    char *const name = name_bytes > 0 ? (char *)malloc(name_bytes) : NULL;
    if (name == NULL) {
        npy_discard(out);
        return -1;
    }
    snprintf(name, name_bytes, "%s.%ld.tmp", out->target, (long)getpid());
    const int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL, mode != 0 ? mode : 0666);
    FILE *const file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    if (descriptor >= 0) out->temporary = name; /* ours from here on: to be taken back */
    int good = file != NULL && (mode == 0 || fchmod(descriptor, mode) == 0) &&
               fwrite(head, 1, head_bytes, file) == head_bytes &&
               fwrite(body, 1, body_bytes, file) == body_bytes;
    if (file != NULL)
        good = fclose(file) == 0 && good;
    else if (descriptor >= 0)
        close(descriptor);
    if (good) return 0;
    npy_fail_(cause, "%s", strerror(errno));
    if (out->temporary == NULL) free(name);
    npy_discard(out);
    return -1;
}

/* Stages data, C order, for path: descr "<f2", "<f4", "<i4" or "<i8", n_dims 0 to NPY_MAX_DIMS. */
static inline int npy_stage_array(const char *path, const char *descr, int n_dims,
    const size_t *shape, const void *data, npy_staged *out, char *error, size_t error_bytes) {
    const npy_error_ cause = {error, error_bytes};
    char head[256] = "\x93NUMPY\x01";
    char tuple[128] = "";
    npy_array array = {0};
    size_t n_items = 1, length = 0;
    if (!npy_host_is_little_endian_() || n_dims < 0 || n_dims > NPY_MAX_DIMS ||
        npy_accept_dtype_(descr, &array, cause) != 0)
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
    return npy_stage(
        path, head, head_bytes, data, n_items * array.item_bytes, out, error, error_bytes);
}

/* Saves it. 0, or -1 with the cause in error; path is then what it was. */
static inline int npy_save(const char *path, const char *descr, int n_dims, const size_t *shape,
    const void *data, char *error, size_t error_bytes) {
    npy_staged staged = {NULL, NULL};
    const int status =
        npy_stage_array(path, descr, n_dims, shape, data, &staged, error, error_bytes);
    return status == 0 ? npy_commit(&staged, error, error_bytes) : status;
}

#endif /* NPY_SAVE_H */
