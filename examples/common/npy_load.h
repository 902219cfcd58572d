/* npy_load.h - reads NumPy's .npy files: one array of numbers a file.   MIT licence.
 *
 * Reads little-endian float16 ('<f2'), float32 ('<f4'), float64 ('<f8', as float32), int32
 * ('<i4'), int64 ('<i8') and 16 bits that the caller knows the meaning of, bfloat16 say ('<u2',
 * '<i2', '<V2'), in C or Fortran order, with 0 to 4 dimensions, format versions 1 to 3. Everything
 * else is refused with a cause that a user can act on. The size of the file is held against the
 * shape before memory is asked for, so a forged header cannot make the program allocate what the
 * file does not contain.
 *
 * C99 and POSIX. Include it before any system header, or define _XOPEN_SOURCE to 700. */
#ifndef NPY_LOAD_H
#define NPY_LOAD_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include "half.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NPY_MAX_DIMS 4
#define NPY_MAX_HEADER_BYTES 65536

typedef struct npy_array {
    void *data;        /* n_items of item_bytes each, C order; malloc'ed */
    int n_dims;        /* 0 to NPY_MAX_DIMS */
    size_t shape[4];   /* [n_dims]; 1 beyond */
    size_t n_items;    /* product of the shape; may be 0 */
    char kind;         /* 'f', 'i', or 'u': 16 bits of whatever kind */
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
    if (error.n_bytes > 0) vsnprintf(error.text, error.n_bytes, format, arguments);
    va_end(arguments);
    return -1;
}

static inline int npy_host_is_little_endian_(void) {
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

/* Items of at most 8 bytes, the last byte first. */
static inline void npy_swap_(void *items, size_t n_items, size_t item_bytes) {
    unsigned char *at = (unsigned char *)items, swapped[8];
    for (; n_items > 0; n_items--, at += item_bytes) {
        for (size_t i = 0; i < item_bytes; i++) swapped[item_bytes - 1 - i] = at[i];
        memcpy(at, swapped, item_bytes);
    }
}

/* ---- the header: a Python dict literal ---------------------------------------------------- */

/* The next character after blanks, 0 at the end. */
static inline char npy_peek_(npy_cursor_ *cursor) {
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\n')) cursor->at++;
    return cursor->at < cursor->end ? *cursor->at : '\0';
}

static inline int npy_take_(npy_cursor_ *cursor, char c) {
    if (npy_peek_(cursor) != c || cursor->at == cursor->end) return 0;
    cursor->at++;
    return 1;
}

static inline int npy_take_word_(npy_cursor_ *cursor, const char *word) {
    const size_t length = strlen(word);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
        return 0;
    cursor->at += length;
    return 1;
}

/* A quoted string without escapes, cut to what text holds. */
static inline int npy_take_string_(npy_cursor_ *cursor, char *text, size_t text_bytes) {
    const char quote = npy_peek_(cursor);
    size_t length = 0;
    if (quote != '\'' && quote != '"') return 0;
    cursor->at++;
    for (; cursor->at < cursor->end && *cursor->at != quote; cursor->at++) {
        const char c = *cursor->at;
        if (length + 1 < text_bytes) text[length++] = c >= ' ' && c <= '~' ? c : '?';
    }
    text[length] = '\0';
    return npy_take_(cursor, quote);
}

static inline int npy_take_size_(npy_cursor_ *cursor, size_t *value, npy_error_ error) {
    const char *const begin = cursor->at;
    *value = 0;
    for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++) {
        const size_t digit = (size_t)(*cursor->at - '0');
        if (*value > (SIZE_MAX - digit) / 10) return npy_fail_(error, "the shape is too large");
        *value = *value * 10 + digit;
    }
    return cursor->at > begin ? 0 : npy_fail_(error, "malformed .npy header: bad shape");
}

static inline int npy_take_shape_(npy_cursor_ *cursor, npy_header_ *header, npy_error_ error) {
    header->n_dims = 0;
    if (!npy_take_(cursor, '('))
        return npy_fail_(error, "malformed .npy header: the shape is not a tuple");
    while (!npy_take_(cursor, ')')) {
        if (npy_take_(cursor, '-')) return npy_fail_(error, "the shape has a negative dimension");
        if (header->n_dims == NPY_MAX_DIMS)
            return npy_fail_(error, "the array has more than %d dimensions", NPY_MAX_DIMS);
        if (npy_take_size_(cursor, &header->shape[header->n_dims], error) != 0) return -1;
        header->n_dims++;
        if (!npy_take_(cursor, ',') && npy_peek_(cursor) != ')')
            return npy_fail_(error, "malformed .npy header: bad shape");
    }
    header->has_shape = 1;
    return 0;
}

static inline int npy_take_descr_(npy_cursor_ *cursor, npy_header_ *header, npy_error_ error) {
    if (npy_take_(cursor, '[')) return npy_fail_(error, "structured dtypes are not supported");
    if (!npy_take_string_(cursor, header->descr, sizeof header->descr))
        return npy_fail_(error, "malformed .npy header: bad dtype");
    header->has_descr = 1;
    return 0;
}

static inline int npy_take_order_(npy_cursor_ *cursor, npy_header_ *header, npy_error_ error) {
    npy_peek_(cursor); /* a word cannot start with blanks */
    header->fortran_order = npy_take_word_(cursor, "True");
    if (!header->fortran_order && !npy_take_word_(cursor, "False"))
        return npy_fail_(error, "malformed .npy header: bad fortran_order");
    header->has_order = 1;
    return 0;
}

static inline int npy_take_entry_(npy_cursor_ *cursor, npy_header_ *header, npy_error_ error) {
    char key[16];
    if (!npy_take_string_(cursor, key, sizeof key) || !npy_take_(cursor, ':'))
        return npy_fail_(error, "malformed .npy header: it is not a dictionary");
    if (strcmp(key, "descr") == 0 && !header->has_descr)
        return npy_take_descr_(cursor, header, error);
    if (strcmp(key, "fortran_order") == 0 && !header->has_order)
        return npy_take_order_(cursor, header, error);
    if (strcmp(key, "shape") == 0 && !header->has_shape)
        return npy_take_shape_(cursor, header, error);
    return npy_fail_(error, "malformed .npy header: unexpected key '%s'", key);
}

static inline int npy_parse_header_(
    const char *text, size_t length, npy_header_ *header, npy_error_ error) {
    npy_cursor_ cursor = {text, text + length};
    memset(header, 0, sizeof *header);
    if (!npy_take_(&cursor, '{'))
        return npy_fail_(error, "malformed .npy header: it is not a dictionary");
    while (!npy_take_(&cursor, '}')) {
        if (npy_take_entry_(&cursor, header, error) != 0) return -1;
        if (!npy_take_(&cursor, ',') && npy_peek_(&cursor) != '}')
            return npy_fail_(error, "malformed .npy header: it is not a dictionary");
    }
    npy_peek_(&cursor);
    if (cursor.at != cursor.end)
        return npy_fail_(error, "malformed .npy header: text after the dictionary");
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
    static const struct {
        char descr[4], kind;
    } known[] = {{"<f2", 'f'}, {"<f4", 'f'}, {"<f8", 'f'}, {"<i4", 'i'}, {"<i8", 'i'}, {"<u2", 'u'},
        {"<i2", 'u'}, {"<V2", 'u'}, {"|V2", 'u'}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(descr, known[i].descr) != 0) continue;
        out->kind = known[i].kind;
        out->item_bytes = (size_t)(descr[2] - '0');
        return 0;
    }
    return npy_fail_(error,
        "dtype '%s' is not supported: save little-endian float16, float32, float64 or bfloat16 as "
        "uint16 (positions: int32 or int64)",
        descr);
}

static inline int npy_accept_shape_(
    int n_dims, const size_t *shape, npy_array *out, npy_error_ error) {
    size_t limit = SIZE_MAX / out->item_bytes;
    out->n_dims = n_dims;
    out->n_items = 1;
    for (int i = 0; i < NPY_MAX_DIMS; i++) {
        out->shape[i] = i < n_dims ? shape[i] : 1;
        /* The product is bounded without its zeros: (0, SIZE_MAX, SIZE_MAX) is a forgery too. */
        if (out->shape[i] > limit) return npy_fail_(error, "the shape is too large");
        limit /= out->shape[i] > 0 ? out->shape[i] : 1;
        out->n_items *= out->shape[i];
    }
    return 0;
}

/* Reads magic, version and header length, all of which tell where the data starts. */
static inline int npy_read_prefix_(
    FILE *file, size_t file_bytes, size_t *prefix_bytes, size_t *header_bytes, npy_error_ error) {
    unsigned char prefix[12] = {0};
    if (file_bytes == 0) return npy_fail_(error, "the file is empty");
    if (fread(prefix, 1, 8, file) != 8 || memcmp(prefix, "\x93NUMPY", 6) != 0)
        return npy_fail_(error, "not a .npy file");
    if (prefix[6] < 1 || prefix[6] > 3)
        return npy_fail_(error, "unknown .npy version %d.%d", prefix[6], prefix[7]);
    const size_t length_bytes = prefix[6] == 1 ? 2 : 4;
    if (fread(prefix + 8, 1, length_bytes, file) != length_bytes)
        return npy_fail_(error, "truncated .npy header");
    *prefix_bytes = 8 + length_bytes;
    *header_bytes =
        prefix[8] | (size_t)prefix[9] << 8 | (size_t)prefix[10] << 16 | (size_t)prefix[11] << 24;
    if (*header_bytes > NPY_MAX_HEADER_BYTES)
        return npy_fail_(error, "the .npy header claims %zu bytes", *header_bytes);
    return *prefix_bytes + *header_bytes <= file_bytes ? 0
                                                       : npy_fail_(error, "truncated .npy header");
}

static inline int npy_read_header_(
    FILE *file, size_t header_bytes, npy_array *out, int *fortran_order, npy_error_ error) {
    char *const text = (char *)malloc(header_bytes + 1);
    if (text == NULL) return npy_fail_(error, "out of memory");
    if (fread(text, 1, header_bytes, file) != header_bytes) {
        free(text);
        return npy_fail_(error, "truncated .npy header");
    }
    npy_header_ header;
    const int status = npy_parse_header_(text, header_bytes, &header, error);
    free(text);
    if (status != 0 || npy_accept_dtype_(header.descr, out, error) != 0) return -1;
    *fortran_order = header.fortran_order;
    return npy_accept_shape_(header.n_dims, header.shape, out, error);
}

static inline int npy_read_data_(
    FILE *file, size_t available_bytes, npy_array *out, npy_error_ error) {
    const size_t data_bytes = out->n_items * out->item_bytes;
    if (data_bytes > available_bytes) {
        return npy_fail_(error, "truncated: the shape needs %zu bytes of data, the file has %zu",
            data_bytes, available_bytes);
    }
    if (data_bytes < available_bytes)
        return npy_fail_(error, "%zu bytes follow the data", available_bytes - data_bytes);
    out->data = malloc(data_bytes > 0 ? data_bytes : 1);
    if (out->data == NULL) return npy_fail_(error, "out of memory");
    if (fread(out->data, 1, data_bytes, file) != data_bytes)
        return npy_fail_(error, "could not be read to its end");
    if (!npy_host_is_little_endian_()) npy_swap_(out->data, out->n_items, out->item_bytes);
    return 0;
}

/* Puts items that lie in Fortran order, the first index fastest, into C order. */
static inline int npy_reorder_(npy_array *array, npy_error_ error) {
    const size_t *const shape = array->shape, bytes = array->item_bytes;
    char *const out = (char *)malloc(array->n_items * bytes + 1), *to = out;
    if (out == NULL) return npy_fail_(error, "out of memory");
    for (size_t i = 0; i < shape[0]; i++)
        for (size_t j = 0; j < shape[1]; j++)
            for (size_t k = 0; k < shape[2]; k++)
                for (size_t l = 0; l < shape[3]; l++, to += bytes)
                    memcpy(to,
                        (const char *)array->data +
                            (((l * shape[2] + k) * shape[1] + j) * shape[0] + i) * bytes,
                        bytes);
    free(array->data);
    array->data = out;
    return 0;
}

/* float64 to float32 in place; what float32 cannot hold becomes an infinity. */
static inline void npy_narrow_(npy_array *array) {
    for (size_t i = 0; i < array->n_items; i++) {
        double wide;
        memcpy(&wide, (const char *)array->data + i * sizeof wide, sizeof wide);
        const float narrow = fabs(wide) <= 3.4028234663852886e38 || isnan(wide) ? (float)wide
                             : wide > 0                                         ? INFINITY
                                                                                : -INFINITY;
        memcpy((char *)array->data + i * sizeof narrow, &narrow, sizeof narrow);
    }
    array->item_bytes = sizeof(float);
}

static inline int npy_read_(FILE *file, size_t file_bytes, npy_array *out, npy_error_ error) {
    size_t prefix_bytes = 0, header_bytes = 0;
    int fortran_order = 0;
    if (npy_read_prefix_(file, file_bytes, &prefix_bytes, &header_bytes, error) != 0 ||
        npy_read_header_(file, header_bytes, out, &fortran_order, error) != 0 ||
        npy_read_data_(file, file_bytes - prefix_bytes - header_bytes, out, error) != 0)
        return -1;
    return fortran_order && out->n_dims > 1 && out->n_items > 0 ? npy_reorder_(out, error) : 0;
}

static inline void npy_free(npy_array *array) {
    free(array->data);
    memset(array, 0, sizeof *array);
}

/* An open file of a known size; bytes: of one that had to be read for that. */
typedef struct npy_source_ {
    FILE *file;
    size_t n_bytes;
    char *bytes;
} npy_source_;

/* A pipe has no size: all of it is read, into memory that doubles as it fills. */
static inline int npy_open_input_(npy_source_ *out, npy_error_ error) {
    for (size_t room = 65536;; room *= 2) {
        char *const grown = (char *)realloc(out->bytes, room);
        if (grown == NULL) return npy_fail_(error, "out of memory");
        out->bytes = grown;
        out->n_bytes += fread(grown + out->n_bytes, 1, room - out->n_bytes, stdin);
        if (ferror(stdin)) return npy_fail_(error, "could not be read to its end");
        if (out->n_bytes < room) break;
    }
    if (out->n_bytes == 0) return npy_fail_(error, "the file is empty");
    out->file = fmemopen(out->bytes, out->n_bytes, "rb");
    return out->file != NULL ? 0 : npy_fail_(error, "out of memory");
}

static inline int npy_open_(const char *path, npy_source_ *out, npy_error_ error) {
    struct stat about;
    memset(out, 0, sizeof *out);
    if (strcmp(path, "-") == 0) return npy_open_input_(out, error);
    if (stat(path, &about) != 0) return npy_fail_(error, "%s", strerror(errno));
    if (!S_ISREG(about.st_mode)) /* before it is opened: a FIFO would block */
        return npy_fail_(error, S_ISDIR(about.st_mode) ? "is a directory" : "not a regular file");
    out->file = fopen(path, "rb");
    out->n_bytes = (size_t)about.st_size;
    return out->file != NULL ? 0 : npy_fail_(error, "%s", strerror(errno));
}

/* What every load ends with; returns status. */
static inline int npy_finish_(int status, npy_source_ *source, npy_array *out) {
    if (source->file != NULL) fclose(source->file);
    free(source->bytes);
    if (status != 0)
        npy_free(out);
    else if (out->kind == 'f' && out->item_bytes == sizeof(double))
        npy_narrow_(out);
    return status;
}

/* Loads path; "-" is standard input. 0, or -1 with the cause (without the file's name) in error and
 * *out empty. */
static inline int npy_load(const char *path, npy_array *out, char *error, size_t error_bytes) {
    const npy_error_ cause = {error, error_bytes};
    npy_source_ source;
    memset(out, 0, sizeof *out);
    int status = npy_open_(path, &source, cause);
    if (status == 0) status = npy_read_(source.file, source.n_bytes, out, cause);
    return npy_finish_(status, &source, out);
}

/* Its dtype and shape alone, by the header; a pipe would be read to its end. */
static inline int npy_load_shape(
    const char *path, npy_array *out, char *error, size_t error_bytes) {
    const npy_error_ cause = {error, error_bytes};
    npy_source_ source;
    size_t prefix_bytes = 0, header_bytes = 0;
    int fortran_order = 0;
    memset(out, 0, sizeof *out);
    int status = npy_open_(path, &source, cause);
    if (status == 0)
        status = npy_read_prefix_(source.file, source.n_bytes, &prefix_bytes, &header_bytes, cause);
    if (status == 0)
        status = npy_read_header_(source.file, header_bytes, out, &fortran_order, cause);
    if (source.file != NULL) fclose(source.file);
    free(source.bytes);
    return status;
}

/* As npy_load, of a file of numbers alone, C order: descr as in a header. */
static inline int npy_load_raw(const char *path, const char *descr, int n_dims, const size_t *shape,
    npy_array *out, char *error, size_t error_bytes) {
    const npy_error_ cause = {error, error_bytes};
    npy_source_ source;
    memset(out, 0, sizeof *out);
    int status = npy_open_(path, &source, cause);
    if (status == 0) status = npy_accept_dtype_(descr, out, cause);
    if (status == 0) status = npy_accept_shape_(n_dims, shape, out, cause);
    if (status == 0) status = npy_read_data_(source.file, source.n_bytes, out, cause);
    return npy_finish_(status, &source, out);
}

/* Item i of a float16 or float32 array, or of 16 bits that are bfloat16. */
static inline float npy_float_at(const npy_array *array, size_t i) {
    uint16_t half;
    float value;
    if (array->item_bytes == sizeof half) {
        memcpy(&half, (const char *)array->data + i * sizeof half, sizeof half);
        return array->kind == 'u' ? float_from_bf16(half) : float_from_f16(half);
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

#endif /* NPY_LOAD_H */
