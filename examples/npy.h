/* npy.h - load and save NumPy's .npy files: one array of numbers a file.   MIT licence.
 *
 * Loads little-endian float16 ('<f2'), float32 ('<f4'), int32 ('<i4') and int64 ('<i8') in C order
 * with 0 to 4 dimensions, format versions 1 to 3. Everything else is refused with a cause that a
 * user can act on. The size of the file is held against the shape before memory is asked for, so a
 * forged header cannot make the program allocate what the file does not contain.
 *
 * C99 and POSIX. Include it before any system header, or define _XOPEN_SOURCE to 700. */
#ifndef NPY_H
#define NPY_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define NPY_MAX_DIMS 4
#define NPY_MAX_HEADER_BYTES 65536

typedef struct npy_array {
    void *data;        /* n_items of item_bytes each, C order; malloc'ed */
    int n_dims;        /* 0 to NPY_MAX_DIMS */
    size_t shape[4];   /* [n_dims]; 1 beyond */
    size_t n_items;    /* product of the shape; may be 0 */
    char kind;         /* 'f' or 'i' */
    size_t item_bytes; /* 2, 4 or 8 */
} npy_array;

typedef struct npy_error_ {
    char *text;
    size_t n_bytes;
} npy_error_;

/* What a header says, checked for syntax only. */
typedef struct npy_header_ {
    char descr[16];
    int fortran_order;
    int n_dims;
    size_t shape[NPY_MAX_DIMS];
    int has_descr, has_order, has_shape;
} npy_header_;

typedef struct npy_cursor_ {
    const char *at;
    const char *end;
} npy_cursor_;

static inline int npy_fail_(npy_error_ error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (error.n_bytes > 0) {
        vsnprintf(error.text, error.n_bytes, format, arguments);
    }
    va_end(arguments);
    return -1;
}

static inline int npy_host_is_little_endian_(void) {
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

/* ---- the header: a Python dict literal ---------------------------------------------------- */

/* The next character after blanks, 0 at the end. */
static inline char npy_peek_(npy_cursor_ *cursor) {
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\n')) {
        cursor->at++;
    }
    return cursor->at < cursor->end ? *cursor->at : '\0';
}

static inline int npy_take_(npy_cursor_ *cursor, char c) {
    if (npy_peek_(cursor) != c || cursor->at == cursor->end) {
        return 0;
    }
    cursor->at++;
    return 1;
}

static inline int npy_take_word_(npy_cursor_ *cursor, const char *word) {
    const size_t length = strlen(word);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0) {
        return 0;
    }
    cursor->at += length;
    return 1;
}

/* A quoted string without escapes, cut to what text holds. */
static inline int npy_take_string_(npy_cursor_ *cursor, char *text, size_t text_bytes) {
    const char quote = npy_peek_(cursor);
    size_t length = 0;
    if (quote != '\'' && quote != '"') {
        return 0;
    }
    cursor->at++;
    for (; cursor->at < cursor->end && *cursor->at != quote; cursor->at++) {
        const char c = *cursor->at;
        if (length + 1 < text_bytes) {
            text[length++] = c >= ' ' && c <= '~' ? c : '?';
        }
    }
    text[length] = '\0';
    return npy_take_(cursor, quote);
}

static inline int npy_take_size_(npy_cursor_ *cursor, size_t *value, npy_error_ error) {
    const char *const begin = cursor->at;
    *value = 0;
    for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++) {
        const size_t digit = (size_t)(*cursor->at - '0');
        if (*value > (SIZE_MAX - digit) / 10) {
            return npy_fail_(error, "the shape is too large");
        }
        *value = *value * 10 + digit;
    }
    return cursor->at > begin ? 0 : npy_fail_(error, "malformed .npy header: bad shape");
}

static inline int npy_take_shape_(npy_cursor_ *cursor, npy_header_ *header, npy_error_ error) {
    header->n_dims = 0;
    if (!npy_take_(cursor, '(')) {
        return npy_fail_(error, "malformed .npy header: the shape is not a tuple");
    }
    while (!npy_take_(cursor, ')')) {
        if (npy_take_(cursor, '-')) {
            return npy_fail_(error, "the shape has a negative dimension");
        }
        if (header->n_dims == NPY_MAX_DIMS) {
            return npy_fail_(error, "the array has more than %d dimensions", NPY_MAX_DIMS);
        }
        if (npy_take_size_(cursor, &header->shape[header->n_dims], error) != 0) {
            return -1;
        }
        header->n_dims++;
        if (!npy_take_(cursor, ',') && npy_peek_(cursor) != ')') {
            return npy_fail_(error, "malformed .npy header: bad shape");
        }
    }
    header->has_shape = 1;
    return 0;
}

static inline int npy_take_descr_(npy_cursor_ *cursor, npy_header_ *header, npy_error_ error) {
    if (npy_take_(cursor, '[')) {
        return npy_fail_(error, "structured dtypes are not supported");
    }
    if (!npy_take_string_(cursor, header->descr, sizeof header->descr)) {
        return npy_fail_(error, "malformed .npy header: bad dtype");
    }
    header->has_descr = 1;
    return 0;
}

static inline int npy_take_order_(npy_cursor_ *cursor, npy_header_ *header, npy_error_ error) {
    npy_peek_(cursor); /* a word cannot start with blanks */
    header->fortran_order = npy_take_word_(cursor, "True");
    if (!header->fortran_order && !npy_take_word_(cursor, "False")) {
        return npy_fail_(error, "malformed .npy header: bad fortran_order");
    }
    header->has_order = 1;
    return 0;
}

static inline int npy_take_entry_(npy_cursor_ *cursor, npy_header_ *header, npy_error_ error) {
    char key[16];
    if (!npy_take_string_(cursor, key, sizeof key) || !npy_take_(cursor, ':')) {
        return npy_fail_(error, "malformed .npy header: it is not a dictionary");
    }
    if (strcmp(key, "descr") == 0 && !header->has_descr) {
        return npy_take_descr_(cursor, header, error);
    }
    if (strcmp(key, "fortran_order") == 0 && !header->has_order) {
        return npy_take_order_(cursor, header, error);
    }
    if (strcmp(key, "shape") == 0 && !header->has_shape) {
        return npy_take_shape_(cursor, header, error);
    }
    return npy_fail_(error, "malformed .npy header: unexpected key '%s'", key);
}

static inline int npy_parse_header_(
    const char *text, size_t length, npy_header_ *header, npy_error_ error) {
    npy_cursor_ cursor = {text, text + length};
    memset(header, 0, sizeof *header);
    if (!npy_take_(&cursor, '{')) {
        return npy_fail_(error, "malformed .npy header: it is not a dictionary");
    }
    while (!npy_take_(&cursor, '}')) {
        if (npy_take_entry_(&cursor, header, error) != 0) {
            return -1;
        }
        if (!npy_take_(&cursor, ',') && npy_peek_(&cursor) != '}') {
            return npy_fail_(error, "malformed .npy header: it is not a dictionary");
        }
    }
    npy_peek_(&cursor);
    if (cursor.at != cursor.end) {
        return npy_fail_(error, "malformed .npy header: text after the dictionary");
    }
    if (!header->has_descr || !header->has_order || !header->has_shape) {
        return npy_fail_(error, "malformed .npy header: no '%s'",
            !header->has_descr   ? "descr"
            : !header->has_order ? "fortran_order"
                                 : "shape");
    }
    return 0;
}

/* ---- loading ------------------------------------------------------------------------------ */

static inline int npy_accept_dtype_(const char *descr, npy_array *out, npy_error_ error) {
    if (strcmp(descr, "<f2") != 0 && strcmp(descr, "<f4") != 0 && strcmp(descr, "<i4") != 0 &&
        strcmp(descr, "<i8") != 0) {
        return npy_fail_(error,
            "dtype '%s' is not supported: save little-endian float16 or float32 (positions: int32 "
            "or int64)",
            descr);
    }
    out->kind = descr[1];
    out->item_bytes = (size_t)(descr[2] - '0');
    return 0;
}

static inline int npy_accept_header_(const npy_header_ *header, npy_array *out, npy_error_ error) {
    if (npy_accept_dtype_(header->descr, out, error) != 0) {
        return -1;
    }
    if (header->fortran_order) {
        return npy_fail_(error, "the array is in Fortran order: save it in C order");
    }
    size_t limit = SIZE_MAX / out->item_bytes;
    out->n_dims = header->n_dims;
    out->n_items = 1;
    for (int i = 0; i < NPY_MAX_DIMS; i++) {
        out->shape[i] = i < header->n_dims ? header->shape[i] : 1;
        /* The product is bounded without its zeros: (0, SIZE_MAX, SIZE_MAX) is a forgery too. */
        if (out->shape[i] > limit) {
            return npy_fail_(error, "the shape is too large");
        }
        limit /= out->shape[i] > 0 ? out->shape[i] : 1;
        out->n_items *= out->shape[i];
    }
    return 0;
}

/* Reads magic, version and header length, all of which tell where the data starts. */
static inline int npy_read_prefix_(
    FILE *file, size_t file_bytes, size_t *prefix_bytes, size_t *header_bytes, npy_error_ error) {
    unsigned char prefix[12] = {0};
    if (file_bytes == 0) {
        return npy_fail_(error, "the file is empty");
    }
    if (fread(prefix, 1, 8, file) != 8 || memcmp(prefix, "\x93NUMPY", 6) != 0) {
        return npy_fail_(error, "not a .npy file");
    }
    if (prefix[6] < 1 || prefix[6] > 3) {
        return npy_fail_(error, "unknown .npy version %d.%d", prefix[6], prefix[7]);
    }
    const size_t length_bytes = prefix[6] == 1 ? 2 : 4;
    if (fread(prefix + 8, 1, length_bytes, file) != length_bytes) {
        return npy_fail_(error, "truncated .npy header");
    }
    *prefix_bytes = 8 + length_bytes;
    *header_bytes =
        prefix[8] | (size_t)prefix[9] << 8 | (size_t)prefix[10] << 16 | (size_t)prefix[11] << 24;
    if (*header_bytes > NPY_MAX_HEADER_BYTES) {
        return npy_fail_(error, "the .npy header claims %zu bytes", *header_bytes);
    }
    return *prefix_bytes + *header_bytes <= file_bytes ? 0
                                                       : npy_fail_(error, "truncated .npy header");
}

static inline int npy_read_header_(
    FILE *file, size_t header_bytes, npy_array *out, npy_error_ error) {
    char *const text = (char *)malloc(header_bytes + 1);
    if (text == NULL) {
        return npy_fail_(error, "out of memory");
    }
    if (fread(text, 1, header_bytes, file) != header_bytes) {
        free(text);
        return npy_fail_(error, "truncated .npy header");
    }
    npy_header_ header;
    const int status = npy_parse_header_(text, header_bytes, &header, error);
    free(text);
    return status != 0 ? status : npy_accept_header_(&header, out, error);
}

static inline int npy_read_data_(
    FILE *file, size_t available_bytes, npy_array *out, npy_error_ error) {
    const size_t data_bytes = out->n_items * out->item_bytes;
    if (data_bytes > available_bytes) {
        return npy_fail_(error, "truncated: the shape needs %zu bytes of data, the file has %zu",
            data_bytes, available_bytes);
    }
    if (data_bytes < available_bytes) {
        return npy_fail_(error, "%zu bytes follow the data", available_bytes - data_bytes);
    }
    out->data = malloc(data_bytes > 0 ? data_bytes : 1);
    if (out->data == NULL) {
        return npy_fail_(error, "out of memory");
    }
    if (fread(out->data, 1, data_bytes, file) != data_bytes) {
        return npy_fail_(error, "could not be read to its end");
    }
    return 0;
}

static inline int npy_read_(FILE *file, size_t file_bytes, npy_array *out, npy_error_ error) {
    size_t prefix_bytes = 0, header_bytes = 0;
    if (npy_read_prefix_(file, file_bytes, &prefix_bytes, &header_bytes, error) != 0 ||
        npy_read_header_(file, header_bytes, out, error) != 0) {
        return -1;
    }
    return npy_read_data_(file, file_bytes - prefix_bytes - header_bytes, out, error);
}

static inline void npy_free(npy_array *array) {
    free(array->data);
    memset(array, 0, sizeof *array);
}

/* Loads path. 0, or -1 with the cause (without the file's name) in error and *out empty. */
static inline int npy_load(const char *path, npy_array *out, char *error, size_t error_bytes) {
    const npy_error_ cause = {error, error_bytes};
    memset(out, 0, sizeof *out);
    if (!npy_host_is_little_endian_()) {
        return npy_fail_(cause, "big-endian machines are not supported");
    }
    struct stat about;
    if (stat(path, &about) != 0) {
        return npy_fail_(cause, "%s", strerror(errno));
    }
    if (!S_ISREG(about.st_mode)) { /* before it is opened: a FIFO would block */
        return npy_fail_(cause, S_ISDIR(about.st_mode) ? "is a directory" : "not a regular file");
    }
    FILE *const file = fopen(path, "rb");
    if (file == NULL) {
        return npy_fail_(cause, "%s", strerror(errno));
    }
    const int status = npy_read_(file, (size_t)about.st_size, out, cause);
    fclose(file);
    if (status != 0) {
        npy_free(out);
    }
    return status;
}

static inline float npy_half_to_float_(uint16_t half) {
    const int exponent = half >> 10 & 31;
    const int fraction = half & 1023;
    const float magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                            : exponent == 0 ? ldexpf((float)fraction, -24)
                                            : ldexpf((float)(fraction + 1024), exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

/* Item i of a float16 or float32 array. */
static inline float npy_float_at(const npy_array *array, size_t i) {
    uint16_t half;
    float value;
    if (array->item_bytes == sizeof half) {
        memcpy(&half, (const char *)array->data + i * sizeof half, sizeof half);
        return npy_half_to_float_(half);
    }
    memcpy(&value, (const char *)array->data + i * sizeof value, sizeof value);
    return value;
}

/* Item i of an int32 or int64 array. */
static inline int64_t npy_integer_at(const npy_array *array, size_t i) {
    int32_t narrow;
    int64_t wide;
    if (array->item_bytes == sizeof narrow) {
        memcpy(&narrow, (const char *)array->data + i * sizeof narrow, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, (const char *)array->data + i * sizeof wide, sizeof wide);
    return wide;
}

/* ---- saving ------------------------------------------------------------------------------- */

/* A whole file that waits beside its target to take its place; all NULL: none. */
typedef struct npy_staged {
    char *temporary, *target;
} npy_staged;

/* Takes the file back, if there is one. */
static inline void npy_discard(npy_staged *staged) {
    if (staged->temporary != NULL) {
        unlink(staged->temporary);
    }
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
    if (lstat(path, &old) != 0) {
        return strdup(path);
    }
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
    if (descriptor >= 0) {
        out->temporary = name; /* ours from here on: to be taken back */
    }
    int good = file != NULL && (mode == 0 || fchmod(descriptor, mode) == 0) &&
               fwrite(head, 1, head_bytes, file) == head_bytes &&
               fwrite(body, 1, body_bytes, file) == body_bytes;
    if (file != NULL) {
        good = fclose(file) == 0 && good;
    } else if (descriptor >= 0) {
        close(descriptor);
    }
    if (good) {
        return 0;
    }
    npy_fail_(cause, "%s", strerror(errno));
    if (out->temporary == NULL) {
        free(name);
    }
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
        npy_accept_dtype_(descr, &array, cause) != 0) {
        return npy_fail_(cause, "this array cannot be saved");
    }
    for (int i = 0; i < n_dims; i++) {
        n_items *= shape[i];
        length += (size_t)snprintf(
            tuple + length, sizeof tuple - length, "%zu,%s", shape[i], i + 1 < n_dims ? " " : "");
    }
    if (n_dims > 1) {
        tuple[length - 1] = '\0'; /* Python writes (2, 3) but (2,) */
    }
    length = (size_t)snprintf(head + 10, sizeof head - 10,
        "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, tuple);
    const size_t head_bytes =
        (10 + length + 1 + 63) / 64 * 64; /* the format aligns the data to 64 bytes */
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

#endif /* NPY_H */
