/* npy_save.h - writes NumPy's .npy files, and any others, whole or not at all.   MIT licence.
 *
 * A file is first staged: written, and synced to the disk, as a file without a name in the folder
 * where it belongs. Once all of it, and whatever else has to succeed, has succeeded, it is
 * committed: a rename puts it in its place. Of several, npy_commit_all puts all or none.
 *
 * What is guaranteed
 *   - At every moment a target is the whole old file or the whole new one (or absent, if there was
 *     no old one), after a loss of power too.
 *   - Whatever ends the process before a commit, even SIGKILL, leaves nothing behind. Where the
 *     system has no files without names (O_TMPFILE), it is a file .npy-<process>-<n>.tmp, which is
 *     removed by exit and by SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM and SIGXCPU; only SIGKILL
 *     and the like leave it, and it is in nobody's way: a name that is taken is passed over.
 *   - A commit blocks signals, so that nothing but SIGKILL or a loss of power can come between the
 *     renames of npy_commit_all and leave some files new and some old, or such a temporary name.
 *   - An error of npy_commit_all puts back what was renamed. It cannot where the file system has no
 *     hard links (FAT), and says so.
 * What cannot be
 *   - A device, a FIFO and whatever standard output is are written as they are, before any rename:
 *     bytes that are out cannot be taken back.
 *   - A file that is a mount point cannot be replaced: it is written in place, after all renames.
 *
 * A link is followed, the mode of the old file is kept, its owner and other hard links are not.
 * For one thread at a time. C99 and POSIX; link npy_save.c. Include it before any system header, or
 * define _XOPEN_SOURCE to 700. */
#ifndef NPY_SAVE_H
#define NPY_SAVE_H

#include "npy_load.h"

/* A whole file that waits to take its place; {0}: none. */
typedef struct npy_staged {
    char *target;               /* its place, links followed; NULL: there is no file */
    struct npy_name_ *name;     /* of the temporary file, if it has one */
    struct npy_name_ *old_name; /* of the old file, while it may have to be put back */
    void *bytes;                /* instead of a file: what goes to the descriptor of a device */
    size_t n_bytes;
    int descriptor; /* of what has no name, or of the device */
    int had_old, is_in_place;
} npy_staged;

/* Stages head and then body for path. 0, or -1 with the cause in error and nothing left behind. */
int npy_stage(const char *path, const void *head, size_t head_bytes, const void *body,
    size_t body_bytes, npy_staged *out, char *error, size_t error_bytes);

/* Stages data, C order, for path: descr "<f2", "<f4", "<i4" or "<i8", n_dims 0 to NPY_MAX_DIMS. */
int npy_stage_array(const char *path, const char *descr, int n_dims, const size_t *shape,
    const void *data, npy_staged *out, char *error, size_t error_bytes);

/* Takes the file back, if there is one. */
void npy_discard(npy_staged *staged);

/* Puts n files of different targets in their places, and leaves none staged; entries without a file
 * are passed over. 0, or -1 with the cause in error, the number of the file at fault in *failed,
 * and every target what it was. */
int npy_commit_all(npy_staged *staged, size_t n, size_t *failed, char *error, size_t error_bytes);

/* The same for one. */
int npy_commit(npy_staged *staged, char *error, size_t error_bytes);

/* Stages and commits. 0, or -1 with the cause in error; path is then what it was. */
int npy_save(const char *path, const char *descr, int n_dims, const size_t *shape, const void *data,
    char *error, size_t error_bytes);

#endif /* NPY_SAVE_H */
