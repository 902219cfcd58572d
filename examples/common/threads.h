/* threads.h - calls a task once for each of several numbers, over POSIX threads.   MIT licence.
 *
 * threads_run is a run function of prunesid_threads. Work that comes in small pieces wants threads
 * that are there already: a run over a pool costs a few microseconds, one without some 50 a thread.
 *
 *     threads_pool pool;
 *     threads_pool_start(&pool, 4);
 *     const prunesid_threads over_pool = {4, threads_run, &pool};
 *     const prunesid_threads without = {4, threads_run, NULL};
 *     ...
 *     threads_pool_stop(&pool);
 *
 * A pool does one run at a time, for one caller. Include this before any system header, or define
 * _XOPEN_SOURCE to 700. Atomics are those of gcc and clang. */
#ifndef THREADS_H
#define THREADS_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* How often a thread looks for what it waits for, at 0.1 to 0.5 microseconds a look, before it
 * sleeps: waking it again takes some 50. */
enum { THREADS_LOOKS = 1000 };

/* Threads that sleep until something happens, and how many. */
typedef struct threads_bed_ {
    pthread_cond_t wakes;
    size_t n_asleep;
} threads_bed_;

typedef struct threads_pool {
    void (*task)(void *data, size_t i, size_t worker);
    void *data;
    size_t n_tasks;
    size_t n_done;
    /* Of the tasks, those that nobody has taken; and in the upper half, how many workers may take
     * them. In one word, since a thread that looks late must not mix one run with the next. */
    uint64_t open;
    int stops;
    pthread_mutex_t lock; /* of falling asleep */
    threads_bed_ worker_bed, caller_bed;
    struct threads_worker_ *workers; /* [n_threads] */
    size_t n_threads;                /* besides the caller's */
} threads_pool;

typedef struct threads_worker_ {
    threads_pool *pool;
    size_t number;
    pthread_t thread;
} threads_worker_;

static inline size_t threads_load_(const size_t *number) {
    return __atomic_load_n(number, __ATOMIC_SEQ_CST);
}

static inline int threads_are_open_(uint64_t open, size_t number) {
    return (uint32_t)open > 0 && number < open >> 32;
}

/* Whether the worker of this number has something to do. */
static inline int threads_has_work_(const threads_pool *pool, size_t number) {
    return threads_are_open_(__atomic_load_n(&pool->open, __ATOMIC_SEQ_CST), number) ||
           __atomic_load_n(&pool->stops, __ATOMIC_SEQ_CST);
}

static inline int threads_are_done_(const threads_pool *pool, size_t n_tasks) {
    return threads_load_(&pool->n_done) == n_tasks;
}

/* Returns once is_so(pool, number). */
static inline void threads_wait_(threads_pool *pool, threads_bed_ *bed,
    int (*is_so)(const threads_pool *pool, size_t number), size_t number) {
    for (int i = 0; i < THREADS_LOOKS; i++) {
        if (is_so(pool, number)) return;
        sched_yield(); /* there may be more threads than processors */
    }
    pthread_mutex_lock(&pool->lock);
    __atomic_add_fetch(&bed->n_asleep, 1, __ATOMIC_SEQ_CST);
    while (!is_so(pool, number)) pthread_cond_wait(&bed->wakes, &pool->lock);
    __atomic_sub_fetch(&bed->n_asleep, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&pool->lock);
}

/* After what they wait for has happened: whoever falls asleep meanwhile sees it. */
static inline void threads_wake_(threads_pool *pool, threads_bed_ *bed) {
    if (threads_load_(&bed->n_asleep) == 0) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&bed->wakes);
    pthread_mutex_unlock(&pool->lock);
}

/* Does tasks until none is open. What the pool says of a run stays as it is while a task of it has
 * been taken and is not done. */
static inline void threads_work_(threads_pool *pool, size_t number) {
    uint64_t open = __atomic_load_n(&pool->open, __ATOMIC_SEQ_CST);
    while (threads_are_open_(open, number)) {
        if (!__atomic_compare_exchange_n(
                &pool->open, &open, open - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            continue;
        const size_t n_tasks = pool->n_tasks;
        pool->task(pool->data, n_tasks - (uint32_t)open, number);
        if (__atomic_add_fetch(&pool->n_done, 1, __ATOMIC_SEQ_CST) == n_tasks)
            threads_wake_(pool, &pool->caller_bed);
        open = __atomic_load_n(&pool->open, __ATOMIC_SEQ_CST);
    }
}

static inline void *threads_live_(void *argument) {
    const threads_worker_ *const self = (const threads_worker_ *)argument;
    threads_pool *const pool = self->pool;
    while (!__atomic_load_n(&pool->stops, __ATOMIC_SEQ_CST)) {
        threads_work_(pool, self->number);
        threads_wait_(pool, &pool->worker_bed, threads_has_work_, self->number);
    }
    return NULL;
}

/* Starts threads for n_workers, one of which is whoever calls threads_run. Where one cannot be had
 * the others do its work. */
static inline void threads_pool_start(threads_pool *pool, size_t n_workers) {
    const threads_pool idle = {.lock = PTHREAD_MUTEX_INITIALIZER,
        .worker_bed = {PTHREAD_COND_INITIALIZER, 0},
        .caller_bed = {PTHREAD_COND_INITIALIZER, 0}};
    *pool = idle;
    if (n_workers > 1)
        pool->workers = (threads_worker_ *)calloc(n_workers - 1, sizeof *pool->workers);
    while (pool->workers != NULL && pool->n_threads + 1 < n_workers) {
        threads_worker_ *const next = &pool->workers[pool->n_threads];
        next->pool = pool;
        next->number = pool->n_threads + 1; /* 0 is the caller */
        if (pthread_create(&next->thread, NULL, threads_live_, next) != 0) break;
        pool->n_threads++;
    }
}

static inline void threads_pool_stop(threads_pool *pool) {
    __atomic_store_n(&pool->stops, 1, __ATOMIC_SEQ_CST);
    threads_wake_(pool, &pool->worker_bed);
    for (size_t i = 0; i < pool->n_threads; i++) pthread_join(pool->workers[i].thread, NULL);
    free(pool->workers);
    pthread_cond_destroy(&pool->worker_bed.wakes);
    pthread_cond_destroy(&pool->caller_bed.wakes);
    pthread_mutex_destroy(&pool->lock);
}

static inline void threads_pool_run_(threads_pool *pool,
    void (*task)(void *data, size_t i, size_t worker), void *data, size_t n_tasks,
    size_t n_workers) {
    pool->task = task;
    pool->data = data;
    pool->n_tasks = n_tasks;
    __atomic_store_n(&pool->n_done, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&pool->open, (uint64_t)n_workers << 32 | (uint32_t)n_tasks, __ATOMIC_SEQ_CST);
    if (n_workers > 1) threads_wake_(pool, &pool->worker_bed);
    threads_work_(pool, 0);
    threads_wait_(pool, &pool->caller_bed, threads_are_done_, n_tasks);
}

/* The run function of prunesid_threads: task(data, i, worker) for every i < n_tasks, each worker
 * < n_workers in one thread. user is a threads_pool, or NULL for threads of this run alone. Counts
 * fit 32 bits. */
static inline void threads_run(void (*task)(void *data, size_t i, size_t worker), void *data,
    size_t n_tasks, size_t n_workers, void *user) {
    threads_pool own, *const pool = user != NULL ? (threads_pool *)user : &own;
    if (user == NULL) threads_pool_start(&own, n_workers);
    threads_pool_run_(pool, task, data, n_tasks, n_workers);
    if (user == NULL) threads_pool_stop(&own);
}

#endif /* THREADS_H */
