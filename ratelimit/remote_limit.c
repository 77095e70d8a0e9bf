/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/remote_limit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/panic.h"
#include "ratelimit/gcra_lua.h"
#include "ratelimit/store_state.h"

#define MISSES_IN_ROW 3u
#define WINDOW_NS NS_PER_S
#define LATE_NS NS_PER_MS
#define WINDOW_CALLS_MIN 20u
#define SILENCE_DEADLINES 10u
#define PROBE_NS_MIN (100 * NS_PER_MS)
#define PROBE_NS_MAX (400 * NS_PER_MS)

struct remote_limit {
    struct remote_limit_options options;
    struct redis_conn *conn; /* NULL: the endpoint cannot be used */
    struct store_state *state;
    uint64_t deadline_ns;
    bool is_closed; /* the breaker: decisions are asked */
    bool is_freeing;
    unsigned in_flight; /* asked and not released, the probe included */
    struct dlist waiting; /* struct remote_call.wait_link, oldest first */
    struct timer deadline; /* of the oldest that waits */
    struct timer silence;
    uint64_t heard_ns; /* last reply, or when the first of those in flight was sent */
    unsigned misses_in_row, window_calls, window_misses;
    uint64_t window_start_ns;
    struct timer probe_timer;
    uint64_t probe_delay_ns;
    struct remote_call probe;
    bool is_probing; /* the probe is in flight */
    struct remote_command probe_command;
};

static uint64_t now_of(const struct remote_limit *remote)
{
    return remote->options.loop->clock.mono_ns;
}

static int command_send(struct remote_limit *remote, struct remote_call *call, bool with_script)
{
    const struct remote_question question = {
        .id = call->id,
        .take = call->is_give ? 0 : call->debit + 1,
    };
    struct span head = SPAN_NONE, rest;
    if (with_script) {
        head = redis_conn_eval_head(remote->conn);
        rest = remote_command_after_script(call->command, &question);
    } else {
        rest = remote_command_by_digest(call->command, &question, redis_conn_sha(remote->conn));
    }
    return redis_conn_send(remote->conn, &call->call, head, rest);
}

/* --- breaker ---------------------------------------------------------------- */

static void probe_arm(struct remote_limit *remote)
{
    uint64_t delay_ns = MIN(MAX(remote->probe_delay_ns, PROBE_NS_MIN), PROBE_NS_MAX);
    remote->probe_delay_ns = delay_ns * 2;
    uint64_t cut_us = rand_below(&remote->options.loop->rand, (uint32_t)(delay_ns / 4 / NS_PER_US));
    loop_arm(remote->options.loop, &remote->probe_timer, delay_ns - cut_us * NS_PER_US);
}

static void breaker_open(struct remote_limit *remote, enum redis_fault fault, struct span detail)
{
    remote->is_closed = false;
    store_state_set(remote->state, STORE_STATE_OPEN, fault, detail);
    if (redis_conn_is_ready(remote->conn) && !timer_is_armed(&remote->probe_timer))
        probe_arm(remote);
}

static void breaker_close(struct remote_limit *remote)
{
    remote->is_closed = true;
    remote->probe_delay_ns = 0;
    remote->misses_in_row = remote->window_calls = remote->window_misses = 0;
    loop_disarm(remote->options.loop, &remote->probe_timer);
    redis_conn_confirm(remote->conn);
    store_state_set(remote->state, STORE_STATE_CLOSED, REDIS_FAULT_NONE, SPAN_NONE);
}

static void breaker_note(struct remote_limit *remote, bool is_miss)
{
    uint64_t now_ns = now_of(remote);
    if (now_ns - remote->window_start_ns > WINDOW_NS) {
        remote->window_start_ns = now_ns;
        remote->window_calls = remote->window_misses = 0;
    }
    remote->window_calls++;
    remote->window_misses += is_miss;
    remote->misses_in_row = is_miss ? remote->misses_in_row + 1 : 0;
    bool is_bad = remote->misses_in_row >= MISSES_IN_ROW ||
                  (remote->window_calls >= WINDOW_CALLS_MIN &&
                   remote->window_misses * 2 >= remote->window_calls);
    if (is_miss && is_bad && remote->is_closed)
        breaker_open(remote, REDIS_FAULT_NETWORK, SPAN_LIT("deadlines were missed"));
}

/* --- calls ------------------------------------------------------------------ */

static void deadline_arm(struct remote_limit *remote)
{
    struct loop *loop = remote->options.loop;
    if (dlist_is_empty(&remote->waiting)) {
        loop_disarm(loop, &remote->deadline);
        return;
    }
    const struct remote_call *oldest =
        dlist_entry(remote->waiting.next, struct remote_call, wait_link);
    uint64_t at_ns = oldest->start_ns + remote->deadline_ns;
    if (!timer_is_armed(&remote->deadline) || remote->deadline.deadline_ns != at_ns)
        wheel_arm(&loop->wheel, &remote->deadline, at_ns);
}

static void deadline_fire(struct timer *timer)
{
    struct remote_limit *remote = container_of(timer, struct remote_limit, deadline);
    uint64_t now_ns = now_of(remote);
    while (!dlist_is_empty(&remote->waiting)) {
        struct remote_call *call = dlist_entry(remote->waiting.next, struct remote_call, wait_link);
        if (call->start_ns + remote->deadline_ns > now_ns)
            break;
        if (remote->options.loop->turns - call->start_turn < 2) {
            /* The turn that asked took as long as the deadline: only now is the question on its
             * way. The store gets the shortest time there is. */
            loop_arm(remote->options.loop, &remote->deadline, LATE_NS);
            return;
        }
        dlist_remove(&call->wait_link);
        breaker_note(remote, true);
        call->on_verdict(call, NULL);
    }
    deadline_arm(remote);
}

static void silence_fire(struct timer *timer)
{
    struct remote_limit *remote = container_of(timer, struct remote_limit, silence);
    uint64_t patience_ns = remote->deadline_ns * SILENCE_DEADLINES;
    if (remote->in_flight == 0)
        return;
    uint64_t since_ns = now_of(remote) - remote->heard_ns;
    if (since_ns >= patience_ns)
        redis_conn_drop(remote->conn, REDIS_FAULT_NETWORK, SPAN_LIT("the store is silent"));
    else
        loop_arm(remote->options.loop, &remote->silence, patience_ns - since_ns);
}

static void flight_begin(struct remote_limit *remote)
{
    if (remote->in_flight++ > 0)
        return;
    remote->heard_ns = now_of(remote);
    if (!timer_is_armed(&remote->silence))
        loop_arm(remote->options.loop, &remote->silence, remote->deadline_ns * SILENCE_DEADLINES);
}

/* The last word on a call: verdict NULL when the store failed. */
static void call_end(struct remote_call *call, const struct gcra_verdict *verdict)
{
    struct remote_limit *remote = call->remote;
    ASSERT(remote->in_flight > 0);
    remote->in_flight--;
    if (dlist_is_linked(&call->wait_link)) {
        dlist_remove(&call->wait_link);
        call->on_verdict(call, verdict);
        verdict = NULL;
    }
    call->on_release(call, verdict);
    if (!remote->is_freeing)
        deadline_arm(remote);
}

/* false: the reply is no answer; the call goes on when true is in *ret_resent. */
static bool reply_refused(struct remote_call *call, const struct resp_reply *reply,
                          bool *ret_resent)
{
    struct remote_limit *remote = call->remote;
    struct span text = span_make(reply->text, reply->text_len);
    enum redis_fault fault = REDIS_FAULT_PROTOCOL;

    *ret_resent = false;
    if (reply->type == RESP_TYPE_ARRAY && reply->elements == 3 && reply->ints_count == 3 &&
        reply->ints[1] >= 0 && reply->ints[2] >= 0)
        return false;
    if (reply->type == RESP_TYPE_ERROR)
        fault = redis_fault_classify(text);
    switch (fault) {
    case REDIS_FAULT_SCRIPT:
        if (call->is_retried)
            break;
        call->is_retried = true;
        redis_conn_load_script(remote->conn);
        *ret_resent = command_send(remote, call, true) == 0;
        return true;
    case REDIS_FAULT_READONLY:
    case REDIS_FAULT_AUTH:
    case REDIS_FAULT_PROTOCOL:
        redis_conn_drop(remote->conn, fault, text);
        return true;
    case REDIS_FAULT_BUSY:
    case REDIS_FAULT_WRITES:
        breaker_open(remote, fault, text);
        return true;
    default:
        break;
    }
    breaker_note(remote, true);
    return true;
}

static void call_reply(struct redis_call *redis_call, const struct resp_reply *reply)
{
    struct remote_call *call = container_of(redis_call, struct remote_call, call);
    struct remote_limit *remote = call->remote;
    bool is_resent;

    if (reply == NULL) {
        call_end(call, NULL);
        return;
    }
    remote->heard_ns = now_of(remote);
    if (reply_refused(call, reply, &is_resent)) {
        if (!is_resent)
            call_end(call, NULL);
        return;
    }
    /* The last deadline timer may be a tick late; the answer counts as it comes. */
    if (dlist_is_linked(&call->wait_link))
        breaker_note(remote, false);
    struct gcra_verdict verdict = {
        .allowed = reply->ints[0] == 1,
        .remaining = (uint64_t)reply->ints[1],
        .reset_ns = MIN((uint64_t)reply->ints[2], GCRA_SPAN_NS_MAX / NS_PER_US) * NS_PER_US,
    };
    call_end(call, &verdict);
}

static int call_send(struct remote_limit *remote, struct remote_call *call)
{
    call->call.on_reply = call_reply;
    call->remote = remote;
    call->is_retried = false;
    call->start_ns = clock_mono_ns(); /* the turn may be old */
    call->start_turn = remote->options.loop->turns;
    dlist_init(&call->call.link);
    dlist_init(&call->wait_link);
    int r = command_send(remote, call, false);
    if (r != 0)
        return r;
    flight_begin(remote);
    return 0;
}

static void call_wait(struct remote_limit *remote, struct remote_call *call)
{
    dlist_push_back(&remote->waiting, &call->wait_link);
    deadline_arm(remote);
}

bool remote_limit_is_available(const struct remote_limit *remote)
{
    return remote->is_closed;
}

int remote_limit_ask(struct remote_limit *remote, struct remote_call *call,
                     const struct remote_command *command, const struct local_limit_id *id)
{
    if (!remote->is_closed)
        return -EAGAIN;
    call->id = *id;
    call->command = command;
    call->is_give = false;
    int r = call_send(remote, call);
    if (r == 0)
        call_wait(remote, call);
    return r;
}

int remote_limit_give(struct remote_limit *remote, struct remote_call *call)
{
    if (!remote->is_closed)
        return -EAGAIN;
    call->is_give = true;
    return call_send(remote, call);
}

/* --- probes ----------------------------------------------------------------- */

static void probe_verdict(struct remote_call *call, const struct gcra_verdict *verdict)
{
    struct remote_limit *remote = container_of(call, struct remote_limit, probe);
    if (remote->is_freeing)
        return;
    if (verdict != NULL)
        breaker_close(remote);
    else
        breaker_open(remote, REDIS_FAULT_NETWORK, SPAN_LIT("the probe was not answered in time"));
}

static void probe_release(struct remote_call *call, const struct gcra_verdict *late)
{
    struct remote_limit *remote = container_of(call, struct remote_limit, probe);
    (void)late; /* too late is not good enough: the next probe decides */
    remote->is_probing = false;
}

static void probe_start(struct remote_limit *remote)
{
    if (remote->is_closed || !redis_conn_is_ready(remote->conn))
        return;
    if (remote->is_probing || call_send(remote, &remote->probe) != 0) {
        probe_arm(remote);
        return;
    }
    remote->is_probing = true;
    store_state_set(remote->state, STORE_STATE_HALF_OPEN, REDIS_FAULT_NONE, SPAN_NONE);
    call_wait(remote, &remote->probe);
}

static void probe_fire(struct timer *timer)
{
    probe_start(container_of(timer, struct remote_limit, probe_timer));
}

static void conn_ready(void *user)
{
    struct remote_limit *remote = user;
    loop_disarm(remote->options.loop, &remote->probe_timer);
    probe_start(remote);
}

static void conn_down(void *user, enum redis_fault fault, struct span detail)
{
    struct remote_limit *remote = user;
    loop_disarm(remote->options.loop, &remote->probe_timer);
    breaker_open(remote, fault, detail);
}

/* --- life ------------------------------------------------------------------- */

int remote_limit_endpoint(struct span text, struct remote_endpoint *ret, struct err *reterr)
{
    struct span host, port, addr = text;
    uint64_t number;
    char local[32];

    *ret = (struct remote_endpoint){.port = 0};
    bool is_pair = span_split(text, ':', &host, &port);
    if (is_pair && span_equal_str(host, "localhost")) {
        snprintf(local, sizeof(local), "127.0.0.1:%.*s", (int)MIN(port.len, (size_t)8), port.ptr);
        addr = span_str(local);
    }
    if (addr_parse(addr, &ret->addr) == 0)
        return 0;
    ret->addr.len = 0;
    if (is_pair && host.len > 0 && !span_equal_str(host, "unix") &&
        span_to_u64(port, UINT16_MAX, &number) == 0 && number > 0) {
        ret->host = host;
        ret->port = (uint16_t)number;
        return 0;
    }
    return err_set(reterr, -EINVAL, "\"%.*s\" is not HOST:PORT, IP:PORT, [IP]:PORT or unix:/PATH",
                   SPAN_ARG(text));
}

static struct layer *make_tls(void *user)
{
    struct remote_limit *remote = user;
    return remote->options.make_tls(remote->options.user, remote->options.store);
}

static void conn_start_up(struct remote_limit *remote)
{
    const struct model_store *store = remote->options.store;
    struct redis_conn_options options = {
        .loop = remote->options.loop,
        .username = store->username,
        .password = store->password,
        .script = SPAN_LIT(GCRA_LUA),
        .eval_args = REMOTE_COMMAND_ARGS,
        .database = store->conf->database,
        .connect_timeout_ns =
            store->conf->connect_timeout_ns ? store->conf->connect_timeout_ns : NS_PER_S,
        .make_tls = store->conf->has_tls ? make_tls : NULL,
        .on_ready = conn_ready,
        .on_down = conn_down,
        .user = remote,
    };
    struct err err = {.text = "the store names no endpoint"};
    struct remote_endpoint endpoint;
    if (store->conf->endpoints_count > 0 &&
        remote_limit_endpoint(store->conf->endpoints[0], &endpoint, &err) == 0) {
        options.addr = endpoint.addr;
        options.host = endpoint.host;
        options.port = endpoint.port;
        options.resolver = remote->options.resolver;
        if (endpoint.host.len > 0 && options.resolver == NULL) {
            err_set(&err, -ENOTSUP, "the store is given by name, and there is no resolver");
        } else if (options.make_tls != NULL && remote->options.make_tls == NULL) {
            err_set(&err, -ENOTSUP, "the store wants TLS, which is not at hand");
        } else {
            remote->conn = redis_conn_new(&options);
            return;
        }
    }
    store_state_set(remote->state, STORE_STATE_OPEN, REDIS_FAULT_NETWORK, span_str(err.text));
}

struct remote_limit *remote_limit_new(const struct remote_limit_options *options)
{
    struct remote_limit *remote = xcalloc(1, sizeof(*remote));
    struct gcra gcra;
    uint64_t deadline_ns = options->store->conf->deadline_ns;

    remote->options = *options;
    remote->deadline_ns = deadline_ns ? deadline_ns : 5 * NS_PER_MS;
    remote->state = store_state_ref(options->store->id);
    dlist_init(&remote->waiting);
    timer_init(&remote->deadline, deadline_fire);
    timer_init(&remote->silence, silence_fire);
    timer_init(&remote->probe_timer, probe_fire);
    gcra_init(&gcra, 1000, NS_PER_S, 1000);
    remote_command_init(&remote->probe_command, options->store->conf->key_prefix, &gcra);
    remote->probe = (struct remote_call){
        .on_verdict = probe_verdict,
        .on_release = probe_release,
        .command = &remote->probe_command,
    };
    conn_start_up(remote);
    return remote;
}

void remote_limit_free(struct remote_limit *remote)
{
    if (remote == NULL)
        return;
    remote->is_freeing = true;
    remote->is_closed = false;
    redis_conn_free(remote->conn);
    ASSERT(remote->in_flight == 0);
    loop_disarm(remote->options.loop, &remote->deadline);
    loop_disarm(remote->options.loop, &remote->silence);
    loop_disarm(remote->options.loop, &remote->probe_timer);
    remote_command_fini(&remote->probe_command);
    store_state_unref(remote->state);
    free(remote);
}

void remote_limit_set_store(struct remote_limit *remote, const struct model_store *store)
{
    remote->options.store = store;
}
