/* utf8.h - what of a text may go to a terminal as it is.   MIT licence.
 *
 * A file's name is any bytes: they may be no UTF-8, or steer the terminal that they are printed
 * on. */
#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes of the UTF-8 character that text begins with, and *point, its number; 0 if it is none:
 * overlong, a surrogate, beyond U+10FFFF or cut off. A NUL is none. */
static inline size_t utf8_length(const char *text, uint32_t *point) {
    static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
    const unsigned char first = (unsigned char)*text;
    const size_t length = first < 0x80   ? 1
                          : first < 0xC0 ? 0
                          : first < 0xE0 ? 2
                          : first < 0xF0 ? 3
                          : first < 0xF8 ? 4
                                         : 0;
    if (length == 0 || first == 0) return 0;
    *point = length == 1 ? first : first & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        const unsigned char next = (unsigned char)text[i]; /* a NUL ends this as well */
        if ((next & 0xC0) != 0x80) return 0;
        *point = *point << 6 | (next & 0x3F);
    }
    return *point >= least[length] && *point <= 0x10FFFF && *point >> 11 != 0x1B ? length : 0;
}

static inline int utf8_is_control(uint32_t point) {
    return point < 0x20 || (point >= 0x7F && point < 0xA0);
}

/* Prints text for people: a control character, and each byte that is not UTF-8, as \xNN. */
static inline void utf8_print(FILE *to, const char *text) {
    uint32_t point = 0;
    while (*text != '\0') {
        const size_t length = utf8_length(text, &point), n = length > 0 ? length : 1;
        if (length > 0 && !utf8_is_control(point))
            fwrite(text, 1, n, to);
        else
            for (size_t i = 0; i < n; i++) fprintf(to, "\\x%02x", (unsigned char)text[i]);
        text += n;
    }
}

/* Prints text as a JSON string. A byte b that is not UTF-8 becomes the private character U+EF00 +
 * b, so that the JSON is valid and names stay apart; a private character that could be meant by
 * that goes byte by byte as well. Control characters are escaped. */
static inline void utf8_print_json(FILE *to, const char *text) {
    uint32_t point = 0;
    fputc('"', to);
    while (*text != '\0') {
        const size_t length = utf8_length(text, &point), n = length > 0 ? length : 1;
        const int is_bytes = length == 0 || (point >= 0xEF80 && point < 0xF000);
        for (size_t i = 0; is_bytes && i < n; i++)
            fprintf(to, "\\u%04x", 0xEF00u + (unsigned char)text[i]);
        if (!is_bytes && utf8_is_control(point)) {
            fprintf(to, "\\u%04x", (unsigned)point);
        } else if (!is_bytes) {
            if (point == '"' || point == '\\') fputc('\\', to);
            fwrite(text, 1, n, to);
        }
        text += n;
    }
    fputc('"', to);
}

#endif /* UTF8_H */
