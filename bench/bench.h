/* bench.h - what the benches share: the command line, clock, medians and progress.   MIT licence.
 *
 * Define BENCH_NAME, the program's name, and include this first: it selects POSIX. */
#ifndef BENCH_H
#define BENCH_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Exit codes; BENCH_GO_ON is none. */
enum { BENCH_GO_ON = -1, BENCH_OK = 0, BENCH_BAD_INPUT = 1, BENCH_USAGE = 2 };

/* ---- errors and memory -------------------------------------------------------------------- */

/* One line on standard error; returns BENCH_BAD_INPUT. */
static inline int bench_report(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs(BENCH_NAME ": ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return BENCH_BAD_INPUT;
}

static inline int bench_usage_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs(BENCH_NAME ": ", stderr);
    vfprintf(stderr, format, arguments);
    fputs(" (see '" BENCH_NAME " --help')\n", stderr);
    va_end(arguments);
    return BENCH_USAGE;
}

/* Memory for whole cache lines; without it there is nothing to measure. */
static inline void *bench_allocate(size_t n_items, size_t item_bytes) {
    void *memory = NULL;
    if ((n_items > 0 && item_bytes > SIZE_MAX / n_items) ||
        posix_memalign(&memory, 64, n_items * item_bytes + 1) != 0) {
        exit(bench_report("%zu items of %zu bytes do not fit in memory", n_items, item_bytes));
    }
    return memory;
}

static inline float *bench_floats(size_t n_rows, size_t n_columns) {
    return (float *)bench_allocate(n_rows, n_columns * sizeof(float));
}

/* A failed write, to a full disk say, is an error as well. */
static inline int bench_finish_printing(void) {
    return fflush(stdout) == 0 && !ferror(stdout) ? BENCH_OK
                                                  : bench_report("standard output: write failed");
}

/* ---- the command line --------------------------------------------------------------------- */

typedef enum bench_kind { BENCH_FLAG, BENCH_COUNT, BENCH_CHOICE, BENCH_TEXT } bench_kind;

/* One option, its default, and after bench_parse its value. */
typedef struct bench_option {
    const char *name, *help;
    bench_kind kind;
    size_t number;              /* BENCH_COUNT; BENCH_CHOICE: which; BENCH_FLAG: 0 or 1 */
    size_t least;               /* BENCH_COUNT: up to INT_MAX */
    const char *const *choices; /* BENCH_CHOICE, NULL-terminated */
    const char *text;           /* BENCH_TEXT */
    int given;
} bench_option;

static inline void bench_print_help(const char *about, const bench_option *options, size_t n) {
    printf("%s\n\nusage: " BENCH_NAME " [options]\n\n", about);
    for (size_t i = 0; i < n; i++) {
        printf("  %-11s %s", options[i].name, options[i].help);
        if (options[i].kind == BENCH_COUNT && options[i].number > 0) {
            printf(" (default %zu)", options[i].number);
        } else if (options[i].kind == BENCH_CHOICE) {
            for (size_t c = 0; options[i].choices[c] != NULL; c++) {
                printf("%s%s", c > 0 ? ", " : ": ", options[i].choices[c]);
            }
            printf(" (default %s)", options[i].choices[options[i].number]);
        }
        putchar('\n');
    }
    puts("  --help\n\nExit status: 0 done, 1 a bad file or value, 2 a usage error.");
}

static inline int bench_scan_count(bench_option *option, const char *text) {
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || strchr(" \t\n\v\f\r", *text) != NULL) {
        return bench_usage_error("%s: '%s' is not a whole number", option->name, text);
    }
    if (errno == ERANGE || value < (long long)option->least || value > INT_MAX) {
        return bench_report("%s: must be between %zu and %d", option->name, option->least, INT_MAX);
    }
    option->number = (size_t)value;
    return BENCH_GO_ON;
}

static inline int bench_scan_value(bench_option *option, const char *text) {
    switch (option->kind) {
    case BENCH_COUNT:
        return bench_scan_count(option, text);
    case BENCH_CHOICE:
        for (size_t i = 0; option->choices[i] != NULL; i++) {
            if (strcmp(text, option->choices[i]) == 0) {
                option->number = i;
                return BENCH_GO_ON;
            }
        }
        return bench_usage_error("%s: unknown choice '%s'", option->name, text);
    case BENCH_TEXT:
        option->text = text;
        break;
    case BENCH_FLAG:
        break;
    }
    return BENCH_GO_ON;
}

/* Takes "--name value" or "--name=value" at argv[*at]; *at moves behind it. */
static inline int bench_take_option(
    int argc, char **argv, int *at, bench_option *options, size_t n_options) {
    const char *const argument = argv[(*at)++];
    const size_t length = strcspn(argument, "=");
    size_t i = 0;
    while (i < n_options &&
           (strlen(options[i].name) != length || strncmp(options[i].name, argument, length) != 0)) {
        i++;
    }
    if (i == n_options) {
        return bench_usage_error(
            argument[0] == '-' ? "unknown option '%s'" : "unexpected argument '%s'", argument);
    }
    bench_option *const option = &options[i];
    if (option->given) {
        return bench_usage_error("%s is given twice", option->name);
    }
    option->given = 1;
    if (option->kind == BENCH_FLAG) {
        option->number = 1;
        return argument[length] == '\0' ? BENCH_GO_ON
                                        : bench_usage_error("%s takes no value", option->name);
    }
    const char *const text = argument[length] == '='      ? argument + length + 1
                             : *at < argc && argv[*at][0] ? argv[(*at)++]
                                                          : "";
    return *text != '\0' ? bench_scan_value(option, text)
                         : bench_usage_error("%s needs a value", option->name);
}

/* BENCH_GO_ON, or the exit code after --help or after standard error says why. */
static inline int bench_parse(
    int argc, char **argv, const char *about, bench_option *options, size_t n_options) {
    for (int at = 1; at < argc;) {
        if (strcmp(argv[at], "--help") == 0) {
            bench_print_help(about, options, n_options);
            return bench_finish_printing();
        }
        const int status = bench_take_option(argc, argv, &at, options, n_options);
        if (status != BENCH_GO_ON) {
            return status;
        }
    }
    return BENCH_GO_ON;
}

/* ---- time --------------------------------------------------------------------------------- */

static inline uint64_t bench_read_clock_(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t bench_clock_ns(void) {
    return bench_read_clock_(CLOCK_MONOTONIC);
}

/* Processor time of all threads. */
static inline uint64_t bench_cpu_ns(void) {
    return bench_read_clock_(CLOCK_PROCESS_CPUTIME_ID);
}

static inline double bench_ms_since(uint64_t start_ns) {
    return (double)(bench_clock_ns() - start_ns) * 1e-6;
}

static inline int bench_compare_(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts values [n], n >= 1; the smallest comes first. */
static inline double bench_median(double *values, size_t n) {
    qsort(values, n, sizeof *values, bench_compare_);
    return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

/* Processor seconds a second: with one thread 1, less what other processes took of its core. */
static inline double bench_cores_used(uint64_t start_ns, uint64_t cpu_start_ns) {
    const double wall_ns = (double)(bench_clock_ns() - start_ns);
    return (double)(bench_cpu_ns() - cpu_start_ns) / (wall_ns > 0.0 ? wall_ns : 1.0);
}

/* The line of a table that says whether to trust it. */
static inline void bench_print_cores_used(double cores) {
    printf("%-22s %10.2f%s\n", "cores used", cores,
        cores < 0.97 ? ": the machine was busy, run it again" : "");
}

/* A line on standard error every two seconds, so that a long run shows that it lives. */
static inline void bench_progress(uint64_t *last_ns, const char *what, size_t done, size_t of) {
    if (*last_ns == 0) {
        *last_ns = bench_clock_ns();
    } else if (bench_ms_since(*last_ns) > 2000.0) {
        *last_ns = bench_clock_ns();
        fprintf(stderr, BENCH_NAME ": %s %zu of %zu\n", what, done, of);
    }
}

#endif /* BENCH_H */
