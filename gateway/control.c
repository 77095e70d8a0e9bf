/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/control.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/panic.h"
#include "conf/diag_place.h"
#include "conf/history.h"
#include "conf/provider_file.h"
#include "conf/translate.h"
#include "gateway/access_log.h"
#include "gateway/cert_watch.h"
#include "gateway/last_good.h"
#include "gateway/listener.h"
#include "gateway/notify.h"
#include "gateway/outcome.h"
#include "gateway/pattern_check.h"
#include "gateway/setting_check.h"
#include "gateway/watchdog.h"
#include "gateway/worker.h"

#define CONTROL_MAILBOX 65536u
#define CONTROL_CERT_NS (3600 * NS_PER_S) /* certificates are looked at */
#define CONTROL_RETRY_NS (2 * NS_PER_MS)
#define CONTROL_RETRY_FILES_NS (1 * NS_PER_S)
#define CONTROL_BIND_FIRST_NS (NS_PER_S / 2)
#define CONTROL_BIND_MAX_NS (30 * NS_PER_S)

struct control {
    struct control_options options;
    struct loop *loop;
    struct mailbox *mailbox;
    struct provider_file *provider;
    struct watch provider_watch, signal_watch;
    struct timer reload_timer, retry_timer, ticket_timer, drain_timer, bind_timer, cert_timer;
    struct cert_watch *cert_watch;
    uint64_t bind_retry_ns; /* until addresses that cannot be bound are tried again; 0: none */
    struct worker *workers;
    struct watchdog watchdog;
    unsigned workers_started, workers_ended, acks;
    struct local_limit *local_limit;
    struct client_count *client_count;
    struct access_sink *sink;
    struct listener_set *listeners;
    struct last_good *last_good;
    struct pattern_check patterns;
    struct history *history;
    char *history_path; /* NULL: it is not kept */
    struct snapshot *snapshot; /* newest; one reference is ours */
    struct statuses *statuses; /* of the newest, until every worker has it */
    struct addr_range *trusted;
    unsigned trusted_count;
    uint64_t generation;
    unsigned errors;
    int exit_code;
    int watch_error; /* of the provider, when it was told last */
    bool ready, draining;
    bool forced; /* SIGHUP: publish even when nothing changed, so that sockets are tried again */
};

struct control_mail {
    struct mail mail;
    struct control *control;
    uint64_t generation;
};

void control_send(struct control *control, struct mail *mail)
{
    /* A worker sends one message a generation and one at its end: the box holds far more. */
    if (mailbox_send(control->mailbox, mail) != 0)
        panic(__FILE__, __LINE__, "the control mailbox is full");
}

static void control_post(struct control *control, void (*fn)(struct mail *), uint64_t generation)
{
    struct control_mail *m = xcalloc(1, sizeof(*m));
    m->mail.on_mail = fn;
    m->control = control;
    m->generation = generation;
    control_send(control, &m->mail);
}

/* What is kept of this generation on disk. */
static void control_write(struct control *c)
{
    struct err err;
    if (c->options.status_dir != NULL &&
        statuses_write(c->statuses, c->options.status_dir, &err) != 0)
        log_event(LOG_LEVEL_WARN, "cannot write status files", LOG_STR("reason", err.text));
    if (c->history_path != NULL && history_save(c->history, c->history_path, &err) != 0)
        log_event(LOG_LEVEL_WARN, "cannot keep the age of objects", LOG_STR("reason", err.text));
}

/* A generation serves when every worker has it. */
static void control_on_ack(struct mail *mail)
{
    struct control_mail *m = container_of(mail, struct control_mail, mail);
    struct control *c = m->control;
    uint64_t generation = m->generation;

    free(m);
    if (generation != c->generation || ++c->acks < c->workers_started)
        return;
    control_write(c);
    metric_set(METRIC_CONFIG_GENERATION, (int64_t)generation);
    statuses_free(c->statuses);
    c->statuses = NULL;
    malloc_trim(0); /* what reading and translating took, tens of megabytes for 10,000 routes */
    if (!c->draining) {
        c->ready = c->ready || listener_set_count(c->listeners) > 0;
        notify_send(c->ready ? "READY=1\nSTATUS=serving" : "READY=1\nSTATUS=nothing to serve yet");
    }
    if (c->options.on_published != NULL)
        c->options.on_published(c->options.user, c);
}

void control_ack(struct control *control, uint64_t generation)
{
    control_post(control, control_on_ack, generation);
}

static void control_on_worker_ended(struct mail *mail)
{
    struct control_mail *m = container_of(mail, struct control_mail, mail);
    struct control *c = m->control;
    free(m);
    if (++c->workers_ended == c->workers_started)
        loop_stop(c->loop);
}

void control_worker_ended(struct control *control)
{
    control_post(control, control_on_worker_ended, 0);
}

/* Publishing. */

/* Another process may hold the address for a while: an old gateway that still drains. */
static void control_on_bind_timer(struct timer *timer)
{
    struct control *c = container_of(timer, struct control, bind_timer);
    c->forced = true;
    loop_arm(c->loop, &c->reload_timer, 0);
}

static void control_retry_bind(struct control *c, unsigned failed)
{
    loop_disarm(c->loop, &c->bind_timer);
    if (failed == 0) {
        c->bind_retry_ns = 0;
        return;
    }
    c->bind_retry_ns = c->bind_retry_ns == 0 ? CONTROL_BIND_FIRST_NS
                                             : MIN(2 * c->bind_retry_ns, CONTROL_BIND_MAX_NS);
    loop_arm(c->loop, &c->bind_timer, c->bind_retry_ns);
}

static void control_publish(struct control *c, struct snapshot *snapshot, struct diags *diags,
                            struct statuses *statuses)
{
    struct snapshot *old = c->snapshot;

    control_retry_bind(
        c, listener_set_apply(c->listeners, snapshot, c->workers_started, diags, statuses));
    c->snapshot = snapshot;
    c->acks = 0;
    for (unsigned i = 0; i < c->workers_started; i++) {
        snapshot_ref(snapshot);
        worker_send_publish(&c->workers[i], listener_set_publish(c->listeners, snapshot, i));
    }
    if (old != NULL && snapshot_unref(old))
        snapshot_free(old);
}

static void control_report(struct control *c, struct diags *diags)
{
    struct buf text;

    diag_place_all(diags);
    c->errors = diags->errors;
    metric_set(METRIC_CONFIG_LAST_SUCCESS, diags->errors == 0);
    if (diags->errors > 0)
        metric_inc(METRIC_CONFIG_RELOAD_ERRORS);
    if (diags->count > 0) {
        buf_init(&text, 4u << 20);
        diags_print(diags, &text, isatty(STDERR_FILENO));
        (void)!write(STDERR_FILENO, text.data, text.len);
        buf_fini(&text);
    }
}

/* What the kernel will not tell of is looked at from time to time. */
static void control_look(struct control *c)
{
    int error = provider_file_watch_error(c->provider);
    if (error != 0 && error != c->watch_error)
        log_event(LOG_LEVEL_WARN, "changes of files are noticed late: a directory is not watched",
                  LOG_STR("reason", strerror(-error)),
                  LOG_INT("seconds", PROVIDER_FILE_LOOK_NS / NS_PER_S),
                  LOG_STR("remedy", error == -ENOSPC ? "raise fs.inotify.max_user_watches"
                                                     : "make the directory readable"),
                  LOG_STR("meanwhile", "SIGHUP reloads at once"));
    c->watch_error = error;
    if (provider_file_is_waiting(c->provider))
        loop_arm(c->loop, &c->retry_timer, CONTROL_RETRY_FILES_NS);
}

/* Reads, translates, builds, publishes. */
static void control_load(struct control *c)
{
    uint64_t begin = clock_mono_ns();
    struct diags diags;
    struct objects *objects;
    struct model *model;
    struct statuses *statuses;

    notify_reloading();
    diags_init(&diags);
    if (c->forced)
        provider_file_walk(c->provider);
    bool changed = provider_file_load(c->provider, &diags, &objects);
    control_look(c);
    if (!changed && !c->forced && c->generation > 0) {
        objects_unref(objects);
        provider_file_forget_text(c->provider);
        diags_fini(&diags);
        notify_send("READY=1");
        return;
    }
    c->forced = false;
    struct translate_options options = {.from_files = true,
                                        .generation = ++c->generation,
                                        .refused = provider_file_refused(c->provider),
                                        .patterns = &c->patterns.patterns};
    options.lost = provider_file_lost(c->provider, &options.lost_count);
    history_update(c->history, objects, diags.errors > 0);
    struct objects *good = last_good_apply(c->last_good, objects, &diags);
    options.kept = last_good_kept(c->last_good);
    translate(good, &options, &diags, &model, &statuses);
    pattern_check_sweep(&c->patterns);
    statuses_add_refused(statuses, provider_file_refused(c->provider), &diags);
    objects_unref(good);
    objects_unref(objects);
    cert_watch_apply(c->cert_watch, model, (int64_t)(clock_wall_ns() / NS_PER_S));
    struct snapshot *snapshot = snapshot_build(model, c->snapshot, &diags, statuses);
    control_publish(c, snapshot, &diags, statuses);
    statuses_free(c->statuses);
    c->statuses = statuses;
    control_report(c, &diags);
    metric_inc(METRIC_CONFIG_RELOADS);
    log_event(
        LOG_LEVEL_INFO, "configuration loaded", LOG_INT("generation", c->generation),
        LOG_INT("listeners", model->listeners_count), LOG_INT("routes", model->http_routes_count),
        LOG_INT("backends", model->clusters_count), LOG_INT("errors", diags.errors),
        LOG_INT("warnings", diags.warnings), LOG_INT("ms", (clock_mono_ns() - begin) / NS_PER_MS));
    provider_file_forget_text(c->provider); /* the texts hold keys */
    diags_fini(&diags);
}

static void control_on_reload_timer(struct timer *timer)
{
    struct control *c = container_of(timer, struct control, reload_timer);
    if (c->draining)
        return;
    /* One publish at a time: a worker that is slow to take the last one gets the newest next. */
    if (c->generation > 0 && c->acks < c->workers_started) {
        loop_arm(c->loop, timer, CONTROL_RETRY_NS);
        return;
    }
    control_load(c);
}

/* Errors of the disk and the lack of descriptors pass without an event. */
static void control_on_retry_timer(struct timer *timer)
{
    struct control *c = container_of(timer, struct control, retry_timer);
    if (provider_file_retry(c->provider, c->loop->clock.mono_ns))
        loop_arm(c->loop, &c->reload_timer, 0);
    else
        loop_arm(c->loop, timer, CONTROL_RETRY_FILES_NS);
}

static void control_on_files(struct watch *watch, unsigned revents UNUSED)
{
    struct control *c = container_of(watch, struct control, provider_watch);
    uint64_t delay = 0;
    if (provider_file_poll(c->provider, c->loop->clock.mono_ns, &delay))
        loop_arm(c->loop, &c->reload_timer, delay);
}

/* Signals. */

static void control_send_drain(struct control *c, uint64_t drain_ns)
{
    for (unsigned i = 0; i < c->workers_started; i++)
        worker_send_drain(&c->workers[i], drain_ns);
}

static void control_on_drain_timer(struct timer *timer)
{
    struct control *c = container_of(timer, struct control, drain_timer);
    control_send_drain(c, c->options.settings->drain_timeout);
}

static void control_drain(struct control *c)
{
    if (c->draining) { /* a second signal means at once */
        loop_disarm(c->loop, &c->drain_timer);
        control_send_drain(c, 0);
        return;
    }
    c->draining = true;
    c->ready = false;
    notify_send("STOPPING=1\nSTATUS=draining");
    log_event(LOG_LEVEL_INFO, "draining",
              LOG_INT("seconds", c->options.settings->drain_timeout / NS_PER_S));
    loop_arm(c->loop, &c->drain_timer, c->options.settings->drain_delay);
}

static void control_on_signal(struct watch *watch, unsigned revents UNUSED)
{
    struct control *c = container_of(watch, struct control, signal_watch);
    struct signalfd_siginfo info;

    while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGHUP:
            c->forced = true;
            loop_arm(c->loop, &c->reload_timer, 0);
            break;
        case SIGUSR1:
            if (c->sink != NULL)
                access_sink_reopen(c->sink);
            break;
        default:
            control_drain(c);
            break;
        }
    }
}

static int control_watch_signals(struct control *c)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    return watch_start(&c->signal_watch, c->loop, fd, POLLIN, control_on_signal);
}

static void control_on_ticket_timer(struct timer *timer)
{
    struct control *c = container_of(timer, struct control, ticket_timer);
    tls_ticket_rotate();
    loop_arm(c->loop, timer, 8 * 3600 * NS_PER_S);
}

static void control_on_cert_timer(struct timer *timer)
{
    struct control *c = container_of(timer, struct control, cert_timer);
    (void)cert_watch_look(c->cert_watch, (int64_t)(clock_wall_ns() / NS_PER_S));
    loop_arm(c->loop, timer, CONTROL_CERT_NS);
}

/* Life. */

/* A broken file costs the ages it held, not the start. */
static void control_open_history(struct control *c)
{
    const char *dir = c->options.state_dir != NULL ? c->options.state_dir : c->options.status_dir;
    struct err err;

    c->history = history_new();
    provider_file_set_history(c->provider, c->history);
    if (dir == NULL)
        return;
    (void)mkdir(dir, 0755); /* writing tells why, if it cannot be */
    c->history_path = xasprintf("%s/history", dir);
    if (history_load(c->history, c->history_path, &err) != 0)
        log_event(LOG_LEVEL_WARN, "objects count as new: their ages cannot be read",
                  LOG_STR("reason", err.text));
}

/* A client needs a second descriptor for its backend, and some are for other things. */
static uint64_t control_clients_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT32_MAX;
    return MAX((uint64_t)limit.rlim_cur * 45 / 100, 1u);
}

int control_new(struct control **ret, const struct control_options *options, struct err *reterr)
{
    struct control *c = xcalloc(1, sizeof(*c));
    struct loop_options loop_options = {
        .engine = options->engine, .conns_max = 1024, .blocks_max = 256, .rx_buffers = 16};

    c->options = *options;
    timer_init(&c->reload_timer, control_on_reload_timer);
    timer_init(&c->retry_timer, control_on_retry_timer);
    timer_init(&c->ticket_timer, control_on_ticket_timer);
    timer_init(&c->drain_timer, control_on_drain_timer);
    timer_init(&c->bind_timer, control_on_bind_timer);
    timer_init(&c->cert_timer, control_on_cert_timer);
    metric_thread_init();
    tls_init();
    outcome_init();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a full disk is an error of write, not the end */
    int rc =
        setting_ranges(options->settings->trusted_cidrs, &c->trusted, &c->trusted_count, reterr);
    if (rc == 0)
        rc = loop_new(&c->loop, &loop_options, reterr);
    if (rc == 0)
        rc = mailbox_new(&c->mailbox, c->loop, CONTROL_MAILBOX);
    if (rc == 0)
        rc = control_watch_signals(c);
    if (rc == 0)
        rc = provider_file_new(&c->provider, options->config, options->config_count, reterr);
    if (rc == 0)
        rc = watch_start(&c->provider_watch, c->loop, provider_file_fd(c->provider), POLLIN,
                         control_on_files);
    if (rc == 0 && options->access_log != NULL)
        rc = access_sink_open(
            &c->sink, options->access_log,
            strcmp(options->settings->access_log_format, "json") == 0 ? ACCESS_JSON : ACCESS_TEXT,
            options->workers, reterr);
    if (rc != 0) {
        free(c); /* start-up failure: the process ends */
        return rc;
    }
    control_open_history(c);
    c->last_good = last_good_new();
    pattern_check_init(&c->patterns);
    c->cert_watch = cert_watch_new();
    c->listeners = listener_set_new(options->settings);
    c->local_limit = local_limit_new((size_t)options->settings->ratelimit_entries_max);
    c->client_count =
        client_count_new(control_clients_max(), options->settings->connections_per_ip_max);
    *ret = c;
    return 0;
}

static void control_limits(const struct settings *settings, struct http_limits *limits)
{
    http_limits_default(limits);
    limits->head_bytes_max = (uint32_t)settings->head_bytes_max;
    limits->request_line_max = (uint32_t)settings->request_line_max;
    limits->field_bytes_max = (uint32_t)settings->field_bytes_max;
    limits->fields_max = (uint32_t)settings->fields_max;
    limits->trailer_bytes_max = (uint32_t)settings->trailer_bytes_max;
    limits->trailers_max = (uint32_t)settings->trailers_max;
    limits->interims_max = (uint32_t)settings->interim_responses_max;
    limits->requests_max = (uint32_t)settings->requests_per_connection_max;
    limits->head_timeout_ns = settings->header_timeout;
    limits->idle_timeout_ns = settings->idle_timeout;
    limits->body_timeout_ns = settings->body_timeout;
    limits->underscores = settings->allow_underscores != 0;
    limits->h2_streams_max = (uint32_t)settings->h2_streams_max;
    limits->h2_requests_max = (uint32_t)settings->h2_requests_per_connection_max;
    limits->h2_window_bytes = (uint32_t)settings->h2_window;
    limits->h2_resets_burst = (uint32_t)settings->h2_resets_burst;
    limits->h2_resets_rate = (uint32_t)settings->h2_resets_rate;
    limits->h2_control_burst = (uint32_t)settings->h2_control_burst;
    limits->h2_control_rate = (uint32_t)settings->h2_control_rate;
    limits->h2_empties_max = (uint32_t)settings->h2_empty_data_max;
    limits->h2_idle_timeout_ns = settings->h2_idle_timeout;
    limits->h2_ping_interval_ns = settings->h2_ping_interval;
}

static int control_start_workers(struct control *c, struct err *reterr)
{
    c->workers = xcalloc(c->options.workers, sizeof(*c->workers));
    for (unsigned i = 0; i < c->options.workers; i++) {
        struct worker *w = &c->workers[i];
        w->index = i;
        w->engine = c->options.engine;
        w->settings = c->options.settings;
        w->control = c;
        w->local_limit = c->local_limit;
        w->client_count = c->client_count;
        w->log = access_sink_log(c->sink, i);
        w->trusted = c->trusted;
        w->trusted_count = c->trusted_count;
        control_limits(w->settings, &w->limits);
        w->upstream_limits = w->limits;
        w->upstream_limits.underscores = true; /* what a backend says is passed on */
        w->upstream_limits.trailer_bytes_max = w->limits.head_bytes_max;
        w->upstream_limits.trailers_max = w->limits.fields_max; /* gRPC's status has details */
        w->upstream_limits.idle_timeout_ns = w->settings->upstream_idle_timeout;
        int rc = worker_start(w, reterr);
        if (rc != 0)
            return rc;
        c->workers_started++;
    }
    return 0;
}

static void control_stop_workers(struct control *c)
{
    for (unsigned i = 0; i < c->workers_started; i++)
        worker_join(&c->workers[i]);
}

int control_run(struct control *control)
{
    struct control *c = control;
    struct err err = {0};

    if (control_start_workers(c, &err) != 0) {
        log_event(LOG_LEVEL_ERROR, "cannot start", LOG_STR("reason", err.text));
        c->exit_code = 1;
        control_drain(c);
    } else {
        loop_arm(c->loop, &c->ticket_timer, 8 * 3600 * NS_PER_S);
        loop_arm(c->loop, &c->cert_timer, CONTROL_CERT_NS);
        watchdog_start(&c->watchdog, c->loop, c->workers, c->workers_started);
        control_load(c);
        if (c->snapshot->ports_count == 0 && c->errors > 0) {
            log_event(LOG_LEVEL_ERROR, "nothing can be served with this configuration",
                      LOG_INT("errors", c->errors));
            c->exit_code = CONTROL_EXIT_CONFIG;
            control_drain(c);
            control_drain(c);
        }
    }
    if (c->workers_started > 0)
        loop_run(c->loop);
    control_stop_workers(c);
    return c->exit_code;
}

void control_free(struct control *c)
{
    access_sink_close(c->sink);
    watch_stop(&c->provider_watch);
    watch_stop(&c->signal_watch);
    close(c->signal_watch.fd);
    mailbox_free(c->mailbox); /* runs what workers sent last: snapshots are freed here */
    if (c->snapshot != NULL && snapshot_unref(c->snapshot))
        snapshot_free(c->snapshot);
    statuses_free(c->statuses);
    provider_file_free(c->provider);
    listener_set_free(c->listeners);
    last_good_free(c->last_good);
    cert_watch_free(c->cert_watch);
    pattern_check_fini(&c->patterns);
    history_free(c->history);
    free(c->history_path);
    local_limit_free(c->local_limit);
    client_count_free(c->client_count);
    loop_disarm(c->loop, &c->reload_timer);
    loop_disarm(c->loop, &c->retry_timer);
    loop_disarm(c->loop, &c->ticket_timer);
    loop_disarm(c->loop, &c->drain_timer);
    loop_disarm(c->loop, &c->bind_timer);
    loop_disarm(c->loop, &c->cert_timer);
    watchdog_stop(&c->watchdog);
    loop_free(c->loop);
    free(c->workers);
    free(c->trusted);
    free(c);
}

struct loop *control_loop(struct control *control)
{
    return control->loop;
}

bool control_is_ready(const struct control *control)
{
    return control->ready;
}

bool control_is_draining(const struct control *control)
{
    return control->draining;
}

const struct snapshot *control_snapshot(const struct control *control)
{
    return control->snapshot;
}
