/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/panic.h"
#include "io/addr.h"
#include "io/conn_int.h"
#include "io/loop_int.h"
#include "io/relay_int.h"

#define BLOCKS_DEFAULT 4096u
#define WAIT_MAX_NS (60 * NS_PER_S)

static void loop_clock(struct loop *loop)
{
    if (loop->engine && loop->engine->ops->clock)
        loop->engine->ops->clock(loop->engine, &loop->clock);
    else
        clock_cache_update(&loop->clock);
}

static int loop_memory(struct loop *loop, const struct loop_options *options)
{
    loop->blocks = block_pool_new(options->blocks_max ? options->blocks_max : BLOCKS_DEFAULT);
    loop->scratch_rx = malloc(LOOP_SCRATCH_SIZE);
    loop->scratch_tls = malloc(LOOP_SCRATCH_SIZE);
    loop->pools = calloc(1, sizeof(*loop->pools));
    if (!loop->blocks || !loop->scratch_rx || !loop->scratch_tls || !loop->pools)
        return -ENOMEM;
    pool_init(&loop->pools->conns, "conn", sizeof(struct conn), loop->conns_max);
    pool_init(&loop->pools->addrs, "addr", sizeof(struct addr), loop->conns_max);
    pool_init(&loop->pools->relays, "relay", sizeof(struct relay), loop->conns_max);
    return 0;
}

static void loop_release(struct loop *loop)
{
    if (loop->engine)
        loop->engine->ops->free(loop->engine);
    for (unsigned i = 0; loop->pools && i < loop->pools->pipe_count; i++) {
        (void)close(loop->pools->pipes[i][0]);
        (void)close(loop->pools->pipes[i][1]);
    }
    if (loop->pools && loop->pools->conns.object_size > 0) {
        pool_fini(&loop->pools->relays);
        pool_fini(&loop->pools->addrs);
        pool_fini(&loop->pools->conns);
    }
    free(loop->pools);
    free(loop->scratch_tls);
    free(loop->scratch_rx);
    block_pool_free(loop->blocks);
    free(loop);
}

int loop_new_with_engine(struct loop **ret, const struct loop_options *options,
                         loop_engine_fn *make, struct err *reterr)
{
    ASSERT(options->conns_max > 0);
    /* For the whole process: splice(2) to a socket that was reset knows no MSG_NOSIGNAL. */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* fails only on bad arguments */
    struct loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return err_set(reterr, -ENOMEM, "no memory for an event loop");
    loop->conns_max = options->conns_max;
    dlist_init(&loop->tasks);
    dlist_init(&loop->slow);
    dlist_init(&loop->flush);
    dlist_init(&loop->graves);
    dlist_init(&loop->all);
    if (options->seed)
        rand_seed(&loop->rand, options->seed);
    else
        rand_seed_random(&loop->rand);
    int rc = loop_memory(loop, options);
    if (rc < 0)
        (void)err_set(reterr, rc, "no memory for an event loop");
    else
        rc = make(loop, options, &loop->engine, reterr);
    if (rc < 0) {
        loop_release(loop);
        return rc;
    }
    loop_clock(loop);
    wheel_init(&loop->wheel, loop->clock.mono_ns);
    *ret = loop;
    return 0;
}

int loop_new(struct loop **ret, const struct loop_options *options, struct err *reterr)
{
    ASSERT(options->engine != LOOP_ENGINE_AUTO);
    bool ring = options->engine == LOOP_ENGINE_URING;
    return loop_new_with_engine(ret, options, ring ? uring_new : epoll_new, reterr);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    dlist_foreach(link, next, &loop->all)
    {
        conn_drop(dlist_entry(link, struct conn, all_link));
    }
    while (loop->conns > 0 || loop->holds > 0 || !dlist_is_empty(&loop->graves))
        loop_turn(loop, 10 * NS_PER_MS);
    ASSERT(dlist_is_empty(&loop->tasks) && dlist_is_empty(&loop->slow));
    loop_release(loop);
}

void loop_bury(struct loop *loop, struct loop_task *task)
{
    ASSERT(!dlist_is_linked(&task->link));
    dlist_push_back(&loop->graves, &task->link);
}

static void loop_run_list(struct dlist *list)
{
    struct dlist batch, *link;
    dlist_take(&batch, list);
    while ((link = dlist_pop_front(&batch))) {
        struct loop_task *task = dlist_entry(link, struct loop_task, link);
        task->run(task);
    }
}

static void loop_flush(struct loop *loop)
{
    struct dlist batch, *link;
    dlist_take(&batch, &loop->flush);
    while ((link = dlist_pop_front(&batch)))
        conn_end_turn(dlist_entry(link, struct conn, flush_link));
}

/* Some slow work, and when that took long, as long a window for others: requests that are between
 * client and backend are done meanwhile, and a storm of handshakes has half of the processor and
 * what the others leave. The window ends early when nothing comes for half of it. */
static void loop_run_slow(struct loop *loop, bool idle)
{
    if (dlist_is_empty(&loop->slow) || (!idle && loop->clock.mono_ns < loop->slow_next_ns))
        return;
    if (loop->engine->ops->submit)
        loop->engine->ops->submit(loop->engine);
    /* Simulated time stands still meanwhile: one, so that a run can be repeated. */
    bool is_simulated = loop->engine->ops->clock != NULL;
    uint64_t begin_ns = clock_mono_ns(), now_ns = begin_ns;
    do {
        struct dlist *link = dlist_pop_front(&loop->slow);
        struct loop_task *task = dlist_entry(link, struct loop_task, link);
        task->run(task);
        now_ns = clock_mono_ns();
    } while (!dlist_is_empty(&loop->slow) && !is_simulated && now_ns - begin_ns < LOOP_SLOW_NS);
    uint64_t took_ns = is_simulated ? 0 : now_ns - begin_ns;
    /* Another process may have had the core meanwhile: that is no reason to wait as long. */
    loop->slow_window_ns = took_ns > 2 * LOOP_SLOW_NS ? MIN(took_ns, 16 * LOOP_SLOW_NS) : 0;
    loop->slow_next_ns = loop->slow_window_ns > 0 ? now_ns + loop->slow_window_ns : 0;
    loop_flush(loop);
}

/* How long the turn may wait: nothing is left over and no timer is due. */
static uint64_t loop_wait_ns(struct loop *loop, uint64_t wait_max_ns)
{
    if (!dlist_is_empty(&loop->tasks) || !dlist_is_empty(&loop->flush) ||
        loop->engine->ops->is_ready(loop->engine))
        return 0;
    uint64_t next = wheel_next_ns(&loop->wheel), now = loop->clock.mono_ns;
    if (!dlist_is_empty(&loop->slow)) {
        next = MIN(next, loop->slow_next_ns);
        wait_max_ns = MIN(wait_max_ns, loop->slow_window_ns / 2);
    }
    if (next <= now)
        return 0;
    return MIN(wait_max_ns, next - now);
}

void loop_turn(struct loop *loop, uint64_t wait_max_ns)
{
    struct engine *engine = loop->engine;
    if (loop->turns > 0 && !engine->ops->clock)
        loop->clock.mono_ns = clock_mono_ns();
    uint64_t wait = loop_wait_ns(loop, MIN(wait_max_ns, WAIT_MAX_NS));
    engine->ops->wait(engine, wait);
    loop_clock(loop);
    bool idle = wait > 0 && !engine->ops->is_ready(engine);
    loop->turns++;
    engine->ops->dispatch(engine);
    engine_run_ready(engine);
    (void)wheel_advance(&loop->wheel, loop->clock.mono_ns); /* how many fired is of no interest */
    loop_run_list(&loop->tasks);
    loop_flush(loop);
    loop_run_slow(loop, idle);
    loop_run_list(&loop->graves);
}

void loop_run(struct loop *loop)
{
    while (!loop->stopping)
        loop_turn(loop, WAIT_MAX_NS);
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
    ASSERT(task->run);
    if (!dlist_is_linked(&task->link))
        dlist_push_back(&loop->tasks, &task->link);
}

void loop_defer_slow(struct loop *loop, struct loop_task *task)
{
    ASSERT(task->run);
    if (!dlist_is_linked(&task->link))
        dlist_push_back(&loop->slow, &task->link);
}

void loop_cancel(struct loop_task *task)
{
    dlist_remove(&task->link);
}
