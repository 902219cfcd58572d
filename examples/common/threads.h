/* threads.h - calls a task once for each of several numbers, over POSIX threads.   MIT licence.
 *
 * Include it before any system header, or define _XOPEN_SOURCE to 700. */
#ifndef THREADS_H
#define THREADS_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

typedef struct threads_work_ {
    void (*task)(void *data, size_t i, size_t worker);
    void *data;
    size_t n_tasks, next; /* next: the first task that nobody has taken */
    pthread_mutex_t lock; /* of next */
} threads_work_;

typedef struct threads_worker_ {
    threads_work_ *work;
    size_t number;
    pthread_t thread;
} threads_worker_;

static inline void *threads_work_on_(void *argument) {
    const threads_worker_ *const self = (const threads_worker_ *)argument;
    threads_work_ *const work = self->work;
    for (;;) {
        pthread_mutex_lock(&work->lock);
        const size_t i = work->next;
        work->next += i < work->n_tasks ? 1 : 0;
        pthread_mutex_unlock(&work->lock);
        if (i == work->n_tasks) return NULL;
        work->task(work->data, i, self->number);
    }
}

/* The run function of prunesid_threads: task(data, i, worker) for every i < n_tasks, each worker
 * < n_workers in one thread, the caller's being the last. Where a thread cannot be had the others
 * do its work. */
static inline void threads_run(void (*task)(void *data, size_t i, size_t worker), void *data,
    size_t n_tasks, size_t n_workers, void *user) {
    threads_work_ work = {task, data, n_tasks, 0, PTHREAD_MUTEX_INITIALIZER};
    threads_worker_ *const workers =
        n_workers > 1 ? (threads_worker_ *)calloc(n_workers, sizeof *workers) : NULL;
    size_t n_started = 0;
    (void)user;
    while (workers != NULL && n_started + 1 < n_workers) {
        threads_worker_ *const next = &workers[n_started];
        next->work = &work;
        next->number = n_started;
        if (pthread_create(&next->thread, NULL, threads_work_on_, next) != 0) break;
        n_started++;
    }
    threads_worker_ self = {.work = &work, .number = n_started};
    threads_work_on_(&self);
    for (size_t i = 0; i < n_started; i++) pthread_join(workers[i].thread, NULL);
    free(workers);
    pthread_mutex_destroy(&work.lock);
}

#endif /* THREADS_H */
