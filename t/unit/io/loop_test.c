/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "io_fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "io/mailbox.h"

/* Accepts any number of conns; each echoes or is closed on the peer's end. */
struct crowd {
    struct recorder *members;
    unsigned count, max;
};

static void crowd_accept(struct acceptor *acceptor, struct conn *conn, void *user)
{
    struct crowd *crowd = user;
    assert_true(crowd->count < crowd->max);
    struct recorder *rec = &crowd->members[crowd->count++];
    recorder_init(rec);
    rec->echo = rec->count_only = rec->close_on_end = true;
    recorder_accept(acceptor, conn, rec);
}

static void crowd_init(struct crowd *crowd, unsigned max)
{
    *crowd = (struct crowd){.members = xcalloc(max, sizeof(*crowd->members)), .max = max};
}

static void crowd_fini(struct crowd *crowd)
{
    for (unsigned i = 0; i < crowd->count; i++)
        recorder_fini(&crowd->members[i]);
    free(crowd->members);
}

static void test_thousand_connects(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * COUNT + 64) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop = fixture_loop(engine);
        struct crowd crowd;
        crowd_init(&crowd, COUNT);
        struct addr addr;
        int fd = fixture_listen(&addr);
        struct acceptor *acceptor = acceptor_start(loop, fd, crowd_accept, &crowd);
        assert_int_equal(acceptor_fd(acceptor), fd);
        static int clients[COUNT];
        for (int i = 0; i < COUNT; i++)
            clients[i] = fixture_connect(&addr);
        FIXTURE_UNTIL(loop, crowd.count == COUNT);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(send(clients[i], "ping", 4, 0), 4);
        for (int i = 0; i < COUNT; i++) {
            char in[4];
            FIXTURE_UNTIL(loop, recv(clients[i], in, 4, MSG_DONTWAIT | MSG_PEEK) == 4);
        }
        assert_int_equal(block_in_use(loop->blocks), 0); /* idle ones own no buffer */
        for (int i = 0; i < COUNT; i++)
            (void)close(clients[i]);
        FIXTURE_UNTIL(loop, loop->conns == 0);
        crowd_fini(&crowd);
        fixture_end(loop, acceptor);
    }
}

/* Above conns_max a connection is refused, not left waiting. */
static void test_cap_refuses(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop =
            fixture_loop_with((struct loop_options){.engine = engine, .conns_max = 2});
        struct crowd crowd;
        crowd_init(&crowd, 3);
        struct addr addr;
        int fd = fixture_listen(&addr);
        struct acceptor *acceptor = acceptor_start(loop, fd, crowd_accept, &crowd);
        int clients[3];
        for (int i = 0; i < 3; i++)
            clients[i] = fixture_connect(&addr);
        char byte;
        FIXTURE_UNTIL(loop, recv(clients[2], &byte, 1, MSG_DONTWAIT) == 0);
        assert_int_equal(crowd.count, 2);
        int error = 0;
        struct recorder rec;
        recorder_init(&rec);
        assert_null(conn_dial(loop, &addr, NS_PER_S, &rec.owner, &error));
        assert_int_equal(error, -EMFILE);
        (void)close(clients[0]);
        FIXTURE_UNTIL(loop, loop->conns == 1);
        int again = fixture_connect(&addr);
        FIXTURE_UNTIL(loop, crowd.count == 3);
        (void)close(again);
        (void)close(clients[1]);
        (void)close(clients[2]);
        crowd_fini(&crowd);
        fixture_end(loop, acceptor);
    }
}

/* Out of descriptors: accepting backs off, and goes on when some are free again. */
static void test_accept_without_descriptors(void **state)
{
    (void)state;
    enum { COUNT = 8 };
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop = fixture_loop(engine);
        struct crowd crowd;
        crowd_init(&crowd, COUNT);
        struct addr addr;
        int fd = fixture_listen(&addr);
        struct acceptor *acceptor = acceptor_start(loop, fd, crowd_accept, &crowd);
        int clients[COUNT];
        for (int i = 0; i < COUNT; i++)
            clients[i] = fixture_connect(&addr);
        /* The limit counts numbers: leave room for three more. */
        struct rlimit before, low;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        low = before;
        low.rlim_cur = (rlim_t)clients[COUNT - 1] + 1 + 3;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        FIXTURE_UNTIL(loop, crowd.count == 3);
        uint64_t later = loop->clock.mono_ns + 30 * NS_PER_MS;
        uint64_t turns = loop->turns;
        FIXTURE_UNTIL(loop, loop->clock.mono_ns > later);
        assert_int_equal(crowd.count, 3);
        assert_true(loop->turns - turns < 1000); /* it does not spin */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        FIXTURE_UNTIL(loop, crowd.count == COUNT);
        for (int i = 0; i < COUNT; i++)
            (void)close(clients[i]);
        FIXTURE_UNTIL(loop, loop->conns == 0);
        crowd_fini(&crowd);
        fixture_end(loop, acceptor);
    }
}

/* What waits in the backlog is served when the acceptor stops, later connects are refused. */
static void test_stop_takes_the_backlog(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop = fixture_loop(engine);
        struct crowd crowd;
        crowd_init(&crowd, 4);
        struct addr addr;
        int fd = fixture_listen(&addr);
        struct acceptor *acceptor = acceptor_start(loop, fd, crowd_accept, &crowd);
        int clients[4];
        for (int i = 0; i < 4; i++)
            clients[i] = fixture_connect(&addr);
        acceptor_stop(acceptor);
        assert_int_equal(crowd.count, 4);
        FIXTURE_UNTIL(loop, loop->holds == 0);
        loop_turn(loop, 0);
        int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(late, &addr.sa, addr.len), -1);
        assert_int_equal(errno, ECONNREFUSED);
        (void)close(late);
        for (int i = 0; i < 4; i++)
            (void)close(clients[i]);
        FIXTURE_UNTIL(loop, loop->conns == 0);
        crowd_fini(&crowd);
        fixture_end(loop, NULL);
    }
}

struct stopper {
    struct watch watch;
    struct acceptor *acceptor; /* NULL: stopped */
};

static void stop_acceptor(struct watch *watch, unsigned revents)
{
    (void)revents;
    struct stopper *stopper = container_of(watch, struct stopper, watch);
    watch_stop(watch);
    acceptor_stop(stopper->acceptor);
    stopper->acceptor = NULL;
}

/* Stopped by an event that came just before connections of the same turn. */
static void test_stop_before_accepted_ones(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop = fixture_loop(engine);
        struct crowd crowd;
        crowd_init(&crowd, 4);
        struct addr addr;
        int fd = fixture_listen(&addr), event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        struct stopper stopper = {.acceptor = acceptor_start(loop, fd, crowd_accept, &crowd)};
        assert_int_equal(watch_start(&stopper.watch, loop, event, POLLIN, stop_acceptor), 0);
        loop_turn(loop, 0);
        uint64_t one = 1;
        assert_int_equal(write(event, &one, 8), 8);
        int clients[4];
        for (int i = 0; i < 4; i++)
            clients[i] = fixture_connect(&addr);
        FIXTURE_UNTIL(loop, !stopper.acceptor);
        assert_int_equal(crowd.count, 4);
        FIXTURE_UNTIL(loop, loop->holds == 0);
        for (int i = 0; i < 4; i++)
            (void)close(clients[i]);
        FIXTURE_UNTIL(loop, loop->conns == 0);
        (void)close(event);
        crowd_fini(&crowd);
        fixture_end(loop, NULL);
    }
}

/* Two receive buffers and a completion queue of 16 for 200 conns: all bytes arrive. */
static void test_tiny_queues(void **state)
{
    (void)state;
    enum { COUNT = 200, ROUNDS = 5, SIZE = 9000 };
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop = fixture_loop_with((struct loop_options){
            .engine = engine, .rx_buffers = 2, .ring_entries = 4, .cq_entries = 16});
        struct crowd crowd;
        crowd_init(&crowd, COUNT);
        struct addr addr;
        int fd = fixture_listen(&addr);
        struct acceptor *acceptor = acceptor_start(loop, fd, crowd_accept, &crowd);
        static int clients[COUNT];
        static char out[SIZE], in[SIZE];
        for (int i = 0; i < COUNT; i++)
            clients[i] = fixture_connect(&addr);
        FIXTURE_UNTIL(loop, crowd.count == COUNT);
        for (int round = 0; round < ROUNDS; round++) {
            memset(out, 'a' + round, SIZE);
            for (int i = 0; i < COUNT; i++)
                assert_int_equal(send(clients[i], out, SIZE, 0), SIZE);
            for (int i = 0; i < COUNT; i++) {
                size_t got = 0;
                while (got < SIZE) {
                    ssize_t n = recv(clients[i], in + got, SIZE - got, MSG_DONTWAIT);
                    got += n > 0 ? (size_t)n : 0;
                    if (n < 0)
                        loop_turn(loop, NS_PER_MS);
                }
                assert_memory_equal(in, out, SIZE);
            }
        }
        for (int i = 0; i < COUNT; i++)
            (void)close(clients[i]);
        FIXTURE_UNTIL(loop, loop->conns == 0);
        crowd_fini(&crowd);
        fixture_end(loop, acceptor);
    }
}

struct counted_watch {
    struct watch watch;
    int calls;
    unsigned revents;
    bool stop;
};

static void count_ready(struct watch *watch, unsigned revents)
{
    struct counted_watch *counted = container_of(watch, struct counted_watch, watch);
    counted->calls++;
    counted->revents = revents;
    if (counted->stop)
        watch_stop(watch);
}

static void test_watch(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop = fixture_loop(engine);
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        struct counted_watch counted = {.calls = 0};
        assert_int_equal(watch_start(&counted.watch, loop, fd, POLLIN, count_ready), 0);
        loop_turn(loop, 0);
        loop_turn(loop, 0);
        assert_int_equal(counted.calls, 0);
        uint64_t value = 1;
        assert_int_equal(write(fd, &value, 8), 8);
        FIXTURE_UNTIL(loop, counted.calls >= 3); /* not read: told again */
        assert_true(counted.revents & POLLIN);
        assert_int_equal(read(fd, &value, 8), 8);
        loop_turn(loop, 0);
        loop_turn(loop, 0);
        int calls = counted.calls;
        loop_turn(loop, 0);
        assert_int_equal(counted.calls, calls);
        counted.stop = true; /* from inside its own call */
        value = 1;
        assert_int_equal(write(fd, &value, 8), 8);
        FIXTURE_UNTIL(loop, counted.calls > calls);
        calls = counted.calls;
        loop_turn(loop, NS_PER_MS);
        assert_int_equal(counted.calls, calls);
        /* Stopped while it waits; the descriptor may go at once. */
        counted.stop = false;
        assert_int_equal(read(fd, &value, 8), 8);
        assert_int_equal(watch_start(&counted.watch, loop, fd, POLLIN, count_ready), 0);
        loop_turn(loop, 0);
        watch_stop(&counted.watch);
        (void)close(fd);
        loop_turn(loop, NS_PER_MS);
        assert_int_equal(counted.calls, calls);
        fixture_end(loop, NULL);
    }
}

enum { HAMMER_COUNT = 50000, HAMMER_THREADS = 2 };

struct letter {
    struct mail mail;
    unsigned sender, number;
};

struct hammer {
    struct mailbox *box;
    struct letter *letters;
    unsigned sender, full;
};

static unsigned received[HAMMER_THREADS];

static void on_letter(struct mail *mail)
{
    struct letter *letter = container_of(mail, struct letter, mail);
    assert_int_equal(letter->number, received[letter->sender]); /* in order per sender */
    received[letter->sender]++;
}

static void *hammer_run(void *arg)
{
    struct hammer *hammer = arg;
    for (unsigned i = 0; i < HAMMER_COUNT; i++) {
        struct letter *letter = &hammer->letters[i];
        *letter = (struct letter){.mail = {.on_mail = on_letter}};
        letter->sender = hammer->sender;
        letter->number = i;
        while (mailbox_send(hammer->box, &letter->mail) == -ENOSPC) {
            hammer->full++;
            (void)sched_yield();
        }
    }
    return NULL;
}

static void test_mailbox_hammer(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop = fixture_loop(engine);
        struct mailbox *box = NULL;
        assert_int_equal(mailbox_new(&box, loop, 64), 0);
        struct hammer hammers[HAMMER_THREADS];
        pthread_t threads[HAMMER_THREADS];
        memset(received, 0, sizeof(received));
        for (unsigned i = 0; i < HAMMER_THREADS; i++) {
            hammers[i] = (struct hammer){.box = box, .sender = i};
            hammers[i].letters = xcalloc(HAMMER_COUNT, sizeof(struct letter));
            assert_int_equal(pthread_create(&threads[i], NULL, hammer_run, &hammers[i]), 0);
        }
        /* Sleeps in between: a lost wake-up would hang here. */
        while (received[0] < HAMMER_COUNT || received[1] < HAMMER_COUNT)
            loop_turn(loop, 10 * NS_PER_S);
        for (unsigned i = 0; i < HAMMER_THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            free(hammers[i].letters);
        }
        mailbox_free(box);
        fixture_end(loop, NULL);
    }
}

static void test_mailbox_full_and_free(void **state)
{
    (void)state;
    struct loop *loop = fixture_loop(LOOP_ENGINE_EPOLL);
    struct mailbox *box = NULL;
    assert_int_equal(mailbox_new(&box, loop, 2), 0);
    struct letter letters[3];
    memset(received, 0, sizeof(received));
    for (unsigned i = 0; i < 3; i++) {
        letters[i] = (struct letter){.mail = {.on_mail = on_letter}, .number = i};
        assert_int_equal(mailbox_send(box, &letters[i].mail), i < 2 ? 0 : -ENOSPC);
    }
    mailbox_free(box); /* runs what is left */
    assert_int_equal(received[0], 2);
    fixture_end(loop, NULL);
}

struct counted_task {
    struct loop_task task;
    struct loop *loop;
    int runs;
};

static void run_again(struct loop_task *task)
{
    struct counted_task *counted = container_of(task, struct counted_task, task);
    if (++counted->runs < 3)
        loop_defer(counted->loop, task);
}

static void test_tasks(void **state)
{
    (void)state;
    struct loop *loop = fixture_loop(LOOP_ENGINE_EPOLL);
    struct counted_task counted = {.task = {.run = run_again}, .loop = loop};
    dlist_init(&counted.task.link);
    loop_defer(loop, &counted.task);
    loop_defer(loop, &counted.task);
    loop_turn(loop, NS_PER_S);
    assert_int_equal(counted.runs, 1); /* once a turn, and without waiting */
    loop_turn(loop, NS_PER_S);
    loop_cancel(&counted.task);
    loop_turn(loop, 0);
    assert_int_equal(counted.runs, 2);
    fixture_end(loop, NULL);
}

static void stop_loop(struct loop_task *task)
{
    loop_stop(container_of(task, struct counted_task, task)->loop);
}

static void test_run_and_stop(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop = fixture_loop(engine);
        struct counted_task counted = {.task = {.run = stop_loop}, .loop = loop};
        dlist_init(&counted.task.link);
        loop_defer(loop, &counted.task);
        loop_run(loop);
        assert_true(loop->stopping);
        fixture_end(loop, NULL);
    }
}

static int next_descriptor(void)
{
    int fd = dup(0);
    assert_true(fd >= 0);
    (void)close(fd);
    return fd;
}

/* Freed right after a turn that closed a conn: the descriptor is gone as well. */
static void test_free_closes_descriptors(void **state)
{
    (void)state;
    FIXTURE_EACH_ENGINE(engine) {
        int before = next_descriptor();
        struct fixture_link p;
        fixture_link_start(&p, fixture_loop(engine));
        p.rec.close_on_end = true;
        acceptor_stop(p.acceptor);
        FIXTURE_UNTIL(p.loop, p.loop->holds == 0);
        assert_int_equal(shutdown(p.client, SHUT_WR), 0);
        FIXTURE_UNTIL(p.loop, p.rec.ends == 1);
        loop_free(p.loop);
        (void)close(p.client);
        recorder_fini(&p.rec);
        assert_int_equal(next_descriptor(), before);
    }
}

static void test_choose(void **state)
{
    (void)state;
    char reason[256];
    enum loop_engine engine = LOOP_ENGINE_AUTO;
    assert_int_equal(loop_engine_choose(LOOP_ENGINE_AUTO, &engine, reason, sizeof(reason)), 0);
    assert_int_not_equal(engine, LOOP_ENGINE_AUTO);
    assert_true(strncmp(reason, engine == LOOP_ENGINE_URING ? "io_uring (" : "epoll (", 7) == 0);
    assert_int_equal(loop_engine_choose(LOOP_ENGINE_EPOLL, &engine, reason, sizeof(reason)), 0);
    assert_int_equal(engine, LOOP_ENGINE_EPOLL);
    assert_true(strncmp(reason, "epoll (", 7) == 0);
}

/* As in a container with the usual profile: io_uring_setup gives EPERM. */
static int choose_without_ring(char *reason, size_t size)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_COUNT(code), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return 77;
    enum loop_engine engine = LOOP_ENGINE_AUTO;
    if (loop_engine_choose(LOOP_ENGINE_URING, &engine, reason, size) != -ENOTSUP)
        return 1;
    if (loop_engine_choose(LOOP_ENGINE_AUTO, &engine, reason, size) != 0)
        return 2;
    return engine == LOOP_ENGINE_EPOLL ? 0 : 3;
}

static void test_choose_under_seccomp(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char reason[256] = "";
        int rc = choose_without_ring(reason, sizeof(reason));
        _exit(write(fds[1], reason, sizeof(reason)) == sizeof(reason) ? rc : 4);
    }
    int status;
    char reason[256];
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip(); /* no seccomp here */
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(read(fds[0], reason, sizeof(reason)), sizeof(reason));
    assert_non_null(strstr(reason, "epoll (io_uring_setup: EPERM"));
    (void)close(fds[0]);
    (void)close(fds[1]);
}

struct slow_task {
    struct loop_task task;
    struct loop *loop;
    unsigned *ran, turn; /* of the loop */
    uint64_t busy_ns;
};

static void slow_run(struct loop_task *task)
{
    struct slow_task *slow = container_of(task, struct slow_task, task);
    slow->turn = (unsigned)slow->loop->turns;
    ++*slow->ran;
    for (uint64_t end = clock_mono_ns() + slow->busy_ns; clock_mono_ns() < end;)
        ;
}

static void slow_run_again(struct loop_task *task)
{
    struct slow_task *slow = container_of(task, struct slow_task, task);
    slow_run(task);
    loop_defer_slow(slow->loop, task);
}

/* One long piece of slow work in a turn, in order; a conn is served before each of them. */
static void test_slow_work(void **state)
{
    enum { COUNT = 4 };
    (void)state;
    FIXTURE_EACH_ENGINE(engine) {
        struct loop *loop = fixture_loop(engine);
        struct addr addr;
        struct crowd crowd;
        struct slow_task tasks[COUNT];
        unsigned ran = 0;
        crowd_init(&crowd, 1);
        struct acceptor *acceptor =
            acceptor_start(loop, fixture_listen(&addr), crowd_accept, &crowd);
        int client = fixture_connect(&addr);
        struct timeval patience = {.tv_sec = 20};
        assert_int_equal(
            setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
        FIXTURE_UNTIL(loop, crowd.count == 1);
        for (int i = 0; i < COUNT; i++) {
            tasks[i] = (struct slow_task){{.run = slow_run}, loop, &ran, 0, 2 * LOOP_SLOW_NS};
            dlist_init(&tasks[i].task.link);
            loop_defer_slow(loop, &tasks[i].task);
        }
        loop_defer_slow(loop, &tasks[0].task); /* it is queued */
        for (unsigned i = 0; i < COUNT; i++) {
            char in[4];
            int on_its_way = 4;
            assert_int_equal(send(client, "ping", 4, 0), 4);
            while (on_its_way > 0)
                assert_int_equal(ioctl(client, SIOCOUTQ, &on_its_way), 0);
            while (ran == i)
                loop_turn(loop, NS_PER_S); /* it waits for no event */
            assert_int_equal(ran, i + 1);
            assert_int_equal(tasks[i].turn, (unsigned)loop->turns);
            assert_int_equal(recv(client, in, 4, 0), 4); /* sent before the work was done */
        }
        /* What defers itself comes after the others. */
        tasks[0].task.run = slow_run_again;
        loop_defer_slow(loop, &tasks[0].task);
        loop_defer_slow(loop, &tasks[1].task);
        while (ran < COUNT + 2)
            loop_turn(loop, NS_PER_S);
        assert_true(tasks[0].turn < tasks[1].turn);
        loop_cancel(&tasks[0].task);
        loop_turn(loop, 0);
        assert_int_equal(ran, COUNT + 2);
        (void)close(client);
        FIXTURE_UNTIL(loop, loop->conns == 0);
        crowd_fini(&crowd);
        fixture_end(loop, acceptor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_choose_under_seccomp),
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_slow_work),
        cmocka_unit_test(test_run_and_stop),
        cmocka_unit_test(test_free_closes_descriptors),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_mailbox_full_and_free),
        cmocka_unit_test(test_mailbox_hammer),
        cmocka_unit_test(test_cap_refuses),
        cmocka_unit_test(test_accept_without_descriptors),
        cmocka_unit_test(test_stop_takes_the_backlog),
        cmocka_unit_test(test_stop_before_accepted_ones),
        cmocka_unit_test(test_tiny_queues),
        cmocka_unit_test(test_thousand_connects),
        cmocka_unit_test(test_no_helper_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
