/* A small pool of threads for what waits for the API server. Threads are started when there is more
 * to do than idle hands, and stay. */
#include "extender/priv.h"

#include <assert.h>
#include <pthread.h>

enum { QUEUE_MAX = 1024 }; /* far beyond the binds that kube-scheduler has in flight */

struct job {
    void (*run)(void *ctx);
    void *ctx;
};

struct ext_workers {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t work;
    struct job queue[QUEUE_MAX];
    unsigned first, queued;
    int idle, started, max;
    bool stopping;
    pthread_t threads[];
};

static void *worker(void *arg)
{
    struct ext_workers *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->queued == 0 && !w->stopping) {
            w->idle++;
            pthread_cond_wait(&w->work, &w->lock);
            w->idle--;
        }
        if (w->queued == 0)
            break;
        struct job job = w->queue[w->first];
        w->first = (w->first + 1) % QUEUE_MAX;
        w->queued--;
        pthread_mutex_unlock(&w->lock);
        job.run(job.ctx);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct ext_workers *ext_workers_new(int max)
{
    assert(max >= 0);
    struct ext_workers *w = calloc(1, sizeof(*w) + (size_t)max * sizeof(w->threads[0]));
    if (!w)
        return NULL;
    w->max = max;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    return w;
}

bool ext_workers_run(struct ext_workers *w, void (*run)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&w->lock);
    bool taken = !w->stopping && w->queued < QUEUE_MAX;
    /* A woken thread counts as idle until it runs, so this may start one more than needed. */
    if (taken && (unsigned)w->idle <= w->queued && w->started < w->max) {
        if (pthread_create(&w->threads[w->started], NULL, worker, w) == 0)
            w->started++;
        else
            taken = w->started > 0; /* those that there are will come to it */
    }
    if (taken) {
        w->queue[(w->first + w->queued) % QUEUE_MAX] = (struct job){run, ctx};
        w->queued++;
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    return taken;
}

bool ext_workers_step(struct ext_workers *w)
{
    pthread_mutex_lock(&w->lock);
    struct job job = {0};
    if (w->queued > 0) {
        job = w->queue[w->first];
        w->first = (w->first + 1) % QUEUE_MAX;
        w->queued--;
    }
    pthread_mutex_unlock(&w->lock);
    if (job.run)
        job.run(job.ctx);
    return job.run != NULL;
}

void ext_workers_free(struct ext_workers *w)
{
    if (!w)
        return;
    while (w->max == 0 && ext_workers_step(w))
        ;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->started; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
