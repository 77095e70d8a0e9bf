/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/run.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/log.h"
#include "base/metric.h"
#include "conf/objects.h"
#include "conf/settings_env.h"
#include "gateway/control.h"
#include "gateway/report.h"
#include "gateway/setting_check.h"

#define RUN_WORKERS_MAX 128u
#define RUN_ADMIN_DEFAULT "127.0.0.1:15021"
#define RUN_FINDINGS_SIZE_MAX (4u << 20)
#define RUN_CONFIG_DEFAULT "/etc/ringgate/conf.d"

void run_options_init(struct run_options *options)
{
    *options = (struct run_options){.engine = LOOP_ENGINE_AUTO};
    settings_init(&options->settings);
    options->settings.check = setting_check;
}

void run_options_fini(struct run_options *options)
{
    free(options->config);
    settings_fini(&options->settings);
}

enum {
    OPT_CONFIG = 1000,
    OPT_WORKERS,
    OPT_IO,
    OPT_ADMIN,
    OPT_ACCESS_LOG,
    OPT_ACCESS_LOG_FORMAT,
    OPT_STATUS_DIR,
    OPT_STATE_DIR,
    OPT_SET,
    OPT_SETTINGS,
};

static const struct option run_long_options[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"io", required_argument, NULL, OPT_IO},
    {"admin", required_argument, NULL, OPT_ADMIN},
    {"access-log", required_argument, NULL, OPT_ACCESS_LOG},
    {"access-log-format", required_argument, NULL, OPT_ACCESS_LOG_FORMAT},
    {"status-dir", required_argument, NULL, OPT_STATUS_DIR},
    {"state-dir", required_argument, NULL, OPT_STATE_DIR},
    {"set", required_argument, NULL, OPT_SET},
    {"settings", required_argument, NULL, OPT_SETTINGS},
    {NULL, 0, NULL, 0},
};

static int run_parse_engine(const char *text, enum loop_engine *ret, struct err *reterr)
{
    static const struct {
        const char *name;
        enum loop_engine engine;
    } engines[] = {
        {"auto", LOOP_ENGINE_AUTO}, {"uring", LOOP_ENGINE_URING}, {"epoll", LOOP_ENGINE_EPOLL}};
    for (unsigned i = 0; i < ARRAY_COUNT(engines); i++)
        if (strcmp(text, engines[i].name) == 0) {
            *ret = engines[i].engine;
            return 0;
        }
    return err_set(reterr, -EINVAL, "--io %s: must be auto, uring or epoll", text);
}

static int run_parse_option(struct run_options *o, int option, const char *value,
                            struct err *reterr)
{
    uint64_t number;
    switch (option) {
    case OPT_CONFIG:
        o->config = xrealloc(o->config, (o->config_count + 1) * sizeof(*o->config));
        o->config[o->config_count++] = value;
        return 0;
    case OPT_WORKERS:
        if (span_to_u64(span_str(value), RUN_WORKERS_MAX, &number) != 0 || number == 0)
            return err_set(reterr, -EINVAL, "--workers %s: must be 1 to %u", value,
                           RUN_WORKERS_MAX);
        o->workers = (unsigned)number;
        return 0;
    case OPT_IO:
        return run_parse_engine(value, &o->engine, reterr);
    case OPT_ADMIN:
        o->admin = value;
        return 0;
    case OPT_ACCESS_LOG:
        o->access_log = value;
        return 0;
    case OPT_ACCESS_LOG_FORMAT:
        return settings_set(&o->settings, "access_log_format", value, reterr);
    case OPT_STATUS_DIR:
        o->status_dir = value;
        return 0;
    case OPT_SETTINGS:
        return 0; /* read before all others */
    case OPT_STATE_DIR:
        o->state_dir = value;
        return 0;
    case OPT_SET:
        return settings_set_pair(&o->settings, value, reterr);
    default:
        return err_set(reterr, -EINVAL, "unknown option; see ringgate --help");
    }
}

/* What the file says comes before environment and --set, wherever the option stands. Prints the
 * findings. */
static int run_load_settings(struct run_options *options, int argc, char **argv)
{
    struct conf_source *source;
    struct diags diags;
    struct buf text;
    int option;

    optind = 1;
    while ((option = getopt_long(argc, argv, ":", run_long_options, NULL)) != -1)
        if (option == OPT_SETTINGS)
            options->settings_file = optarg;
    diags_init(&diags);
    buf_init(&text, RUN_FINDINGS_SIZE_MAX);
    int rc = setting_load_file(&options->settings, options->settings_file, &diags, &source);
    if (settings_env_load(&options->settings, &diags) != 0)
        rc = -EINVAL;
    if (diags.count > 0) {
        diags_print(&diags, &text, isatty(STDERR_FILENO));
        fputs(buf_str(&text), stderr);
    }
    buf_fini(&text);
    diags_fini(&diags);
    conf_source_unref(source);
    return rc == 0 ? 0 : -EBADMSG;
}

int run_options_parse(struct run_options *options, int argc, char **argv, struct err *reterr)
{
    int option;

    opterr = 0;
    int rc = run_load_settings(options, argc, argv);
    if (rc != 0)
        return rc;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":", run_long_options, NULL)) != -1) {
        if (option == '?' || option == ':')
            return err_set(reterr, -EINVAL, "%s %s; see ringgate --help", argv[optind - 1],
                           option == ':' ? "needs a value" : "is not an option of run");
        rc = run_parse_option(options, option, optarg, reterr);
        if (rc != 0)
            return rc;
    }
    if (optind < argc)
        return err_set(reterr, -EINVAL, "unexpected argument \"%s\"; files go after --config",
                       argv[optind]);
    return 0;
}

/* Admin pages. */

static unsigned page_live(void *user UNUSED, struct buf *body, const char **content_type UNUSED)
{
    buf_add_str(body, "ok\n");
    return 200;
}

static unsigned page_ready(void *user, struct buf *body, const char **content_type UNUSED)
{
    const struct control *control = *(struct control **)user;
    if (control_is_ready(control)) {
        buf_add_str(body, "ready\n");
        return 200;
    }
    buf_add_str(body,
                control_is_draining(control) ? "draining\n" : "no configuration serves yet\n");
    return 503;
}

static unsigned page_metrics(void *user UNUSED, struct buf *body, const char **content_type)
{
    *content_type = "text/plain; version=0.0.4; charset=utf-8";
    metric_expose(body);
    return 200;
}

static const struct admin_route run_pages[] = {
    {"/healthz/live", page_live},
    {"/healthz/ready", page_ready},
    {"/metrics", page_metrics},
    {NULL, NULL},
};

struct run_state {
    const struct run_options *options;
    struct control *control;
    bool told;
};

static void run_on_published(void *user, struct control *control)
{
    struct run_state *state = user;
    if (state->options->show_table)
        report_print(control_snapshot(control), stdout);
    if (!state->told && control_is_ready(control)) {
        state->told = true;
        log_event(LOG_LEVEL_INFO, "ready",
                  LOG_INT("listeners", control_snapshot(control)->ports_count));
        if (state->options->on_ready != NULL)
            state->options->on_ready(state->options->user);
    }
}

static enum log_level run_log_level(const char *text)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0)
            return (enum log_level)i;
    return LOG_LEVEL_INFO;
}

/* JOURNAL_STREAM is set when systemd reads our standard error (systemd.exec(5)). */
static enum log_format run_log_format(const char *text)
{
    if (strcmp(text, "json") == 0)
        return LOG_FORMAT_JSON;
    if (strcmp(text, "journal") == 0 ||
        (strcmp(text, "auto") == 0 && getenv("JOURNAL_STREAM") != NULL))
        return LOG_FORMAT_JOURNAL;
    return LOG_FORMAT_TEXT;
}

/* One worker a core that we may run on. */
static unsigned run_default_workers(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    return MIN((unsigned)CPU_COUNT(&set), RUN_WORKERS_MAX);
}

/* Every connection needs a descriptor: take what the hard limit allows. */
static void run_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* as it was, then */
    }
}

static const char *run_access_log(const struct run_options *options)
{
    const char *path = options->access_log != NULL ? options->access_log : "-";
    return strcmp(path, "off") == 0 ? NULL : path;
}

int run_gateway(const struct run_options *options)
{
    static const char *const default_config[] = {RUN_CONFIG_DEFAULT};
    const struct settings *settings = &options->settings;
    struct run_state state = {.options = options};
    struct admin *admin = NULL;
    struct err err = {0};
    char reason[256];
    enum loop_engine engine;

    log_setup(STDERR_FILENO, run_log_level(settings->log_level),
              run_log_format(settings->log_format));
    run_raise_files();
    if (loop_engine_choose(options->engine, &engine, reason, sizeof(reason)) != 0) {
        log_event(LOG_LEVEL_ERROR, "the demanded I/O engine cannot be had",
                  LOG_STR("reason", reason));
        return 1;
    }
    struct control_options control_options = {
        .settings = settings,
        .config =
            options->config_count > 0 ? options->config : (const char **)(uintptr_t)default_config,
        .config_count = MAX(options->config_count, 1u),
        .engine = engine,
        .workers = options->workers > 0 ? options->workers : run_default_workers(),
        .access_log = run_access_log(options),
        .status_dir = options->status_dir,
        .state_dir = options->state_dir,
        .on_published = run_on_published,
        .user = &state,
    };
    log_event(LOG_LEVEL_INFO, "ringgate " RINGGATE_VERSION, LOG_STR("engine", reason),
              LOG_INT("workers", control_options.workers));
    const char *info[] = {RINGGATE_VERSION, engine == LOOP_ENGINE_URING ? "io_uring" : "epoll"};
    int rc = control_new(&state.control, &control_options, &err);
    if (rc == 0) {
        metric_series_add(metric_series_get(METRIC_FAMILY_INFO, info), 1);
        struct admin_options admin_options = {
            .address = options->admin != NULL ? options->admin : RUN_ADMIN_DEFAULT,
            .routes = run_pages,
            .user = &state.control,
        };
        rc = admin_start(&admin, control_loop(state.control), &admin_options, &err);
    }
    if (rc != 0) {
        log_event(LOG_LEVEL_ERROR, "cannot start", LOG_STR("reason", err.text), LOG_ERRNO(rc));
        if (state.control != NULL)
            control_free(state.control);
        return 1;
    }
    rc = control_run(state.control);
    admin_stop(admin);
    control_free(state.control);
    log_event(LOG_LEVEL_INFO, "stopped", LOG_INT("exit_code", rc));
    return rc;
}
