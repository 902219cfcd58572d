/* bench.h - what the benches share: memory, clock, medians and progress.   MIT licence.
 *
 * Include it first: it selects POSIX. */
#ifndef BENCH_H
#define BENCH_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include "options.h"
#include "tokens.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- memory ------------------------------------------------------------------------------- */

/* Memory for whole cache lines; without it there is nothing to measure. */
static inline void *bench_allocate(size_t n_items, size_t item_bytes) {
    void *memory = NULL;
    if ((n_items > 0 && item_bytes > SIZE_MAX / n_items) ||
        posix_memalign(&memory, 64, n_items * item_bytes + 1) != 0)
        exit(report("memory", "%zu items of %zu bytes do not fit", n_items, item_bytes));
    return memory;
}

static inline float *bench_floats(size_t n_rows, size_t n_columns) {
    return (float *)bench_allocate(n_rows, n_columns * sizeof(float));
}

/* New made-up tokens [T, d]. */
static inline float *bench_tokens(size_t T, size_t d, uint64_t seed) {
    float *const x = bench_floats(T, d);
    if (tokens_fill(x, T, d, seed) != 0) exit(report("memory", "no room for made-up tokens"));
    return x;
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

/* The smallest comes first. */
static inline void bench_sort(double *values, size_t n) {
    qsort(values, n, sizeof *values, bench_compare_);
}

/* What so many percent of n >= 1 sorted values do not exceed: one of them. */
static inline double bench_percentile(const double *sorted, size_t n, size_t percent) {
    return sorted[(n * percent + 99) / 100 - 1];
}

/* Sorts values [n], n >= 1. */
static inline double bench_median(double *values, size_t n) {
    bench_sort(values, n);
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
        fprintf(stderr, "%s: %s %zu of %zu\n", program.name, what, done, of);
    }
}

#endif /* BENCH_H */
