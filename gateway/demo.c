/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/demo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/panic.h"
#include "gateway/demo_config.h"
#include "gateway/echo.h"
#include "gateway/run.h"
#include "io/addr.h"
#include "tls/selfsign.h"

#define DEMO_PORT_TRIES 100u
#define DEMO_REDIS_DEFAULT "127.0.0.1:6379"
#define DEMO_EXIT_FAILED 1
#define DEMO_EXIT_USAGE 2

struct demo {
    struct demo_config config;
    struct run_options options;
    struct selfsign_ca *ca;
    struct echo *echo;
    char *dir;
    const char *redis_wish; /* --redis; NULL: none */
    char admin[32];
    uint64_t begin_ns;
};

/* --- the directory ---------------------------------------------------------- */

static int demo_make_dir(struct demo *demo, struct err *reterr)
{
    const char *base = getenv("TMPDIR");
    if (base == NULL || base[0] == '\0')
        base = "/tmp";
    demo->dir = xasprintf("%s/ringgate-demo-XXXXXX", base);
    if (mkdtemp(demo->dir) != NULL) /* mode 0700: it holds keys */
        return 0;
    int rc = err_set(reterr, -errno, "cannot make a directory under %s: %s", base, strerror(errno));
    free(demo->dir);
    demo->dir = NULL;
    return rc;
}

static int demo_write(const struct demo *demo, const char *name, const struct buf *text,
                      struct err *reterr)
{
    char *path = xasprintf("%s/%s", demo->dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool ok = file != NULL && fwrite(text->data, 1, text->len, file) == text->len;
    if (file != NULL)
        ok = fclose(file) == 0 && ok;
    int rc = ok ? 0 : err_set(reterr, -EIO, "cannot write %s: %s", path, strerror(errno));
    free(path);
    return rc;
}

/* Only files that we wrote are in it. */
static void demo_remove_dir(const struct demo *demo)
{
    DIR *dir = demo->dir != NULL ? opendir(demo->dir) : NULL;
    struct dirent *entry;

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, 0); /* rmdir tells what is left */
    closedir(dir);
    if (rmdir(demo->dir) != 0)
        fprintf(stderr, "cannot remove %s: %s\n", demo->dir, strerror(errno));
}

/* --- ports -------------------------------------------------------------------- */

static bool demo_port_is_free(uint16_t port)
{
    struct addr addr;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || addr_from_ip(SPAN_LIT("127.0.0.1"), port, &addr) != 0) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    bool is_free = bind(fd, &addr.sa, addr.len) == 0 && listen(fd, 1) == 0;
    close(fd);
    return is_free;
}

/* The first free port from `wish` on that is not one of those chosen before. */
static int demo_choose_port(struct demo *demo, uint16_t wish, uint16_t *port, struct err *reterr)
{
    const struct demo_config *c = &demo->config;
    for (unsigned i = 0; i < DEMO_PORT_TRIES && wish + i <= UINT16_MAX; i++) {
        uint16_t candidate = (uint16_t)(wish + i);
        if (candidate == c->https_port || candidate == c->http_port || candidate == c->tcp_port ||
            !demo_port_is_free(candidate))
            continue;
        *port = candidate;
        return 0;
    }
    return err_set(reterr, -EADDRINUSE, "no free port on 127.0.0.1 from %u on", wish);
}

/* --- the limit store ---------------------------------------------------------- */

/* Whether something at addr answers PING as a Redis does, also when it wants a password first. */
static bool demo_redis_answers(const char *text)
{
    static const char ping[] = "PING\r\n";
    struct timeval timeout = {.tv_usec = 300000};
    struct addr addr;
    char answer[16] = "";

    if (addr_parse(span_str(text), &addr) != 0)
        return false;
    int fd = socket(addr.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)); /* connect's, too */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    bool ok = connect(fd, &addr.sa, addr.len) == 0 &&
              send(fd, ping, sizeof(ping) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(ping) - 1 &&
              recv(fd, answer, sizeof(answer) - 1, 0) > 0;
    close(fd);
    return ok && (strncmp(answer, "+PONG", 5) == 0 || strncmp(answer, "-NOAUTH", 7) == 0);
}

static int demo_print_redis(struct demo *demo, struct err *reterr)
{
    if (demo->redis_wish != NULL) {
        if (!demo_redis_answers(demo->redis_wish))
            return err_set(reterr, -ECONNREFUSED,
                           "--redis %s: nothing answers PING there (ADDRESS:PORT or unix:PATH)",
                           demo->redis_wish);
        demo->config.redis = demo->redis_wish;
        printf("redis    %s: the limit of /limited is shared through it\n", demo->redis_wish);
        return 0;
    }
    if (demo_redis_answers(DEMO_REDIS_DEFAULT))
        printf("redis    %s answers: start again with --redis %s to share limits between gateways;"
               " now they are per process\n",
               DEMO_REDIS_DEFAULT, DEMO_REDIS_DEFAULT);
    else
        printf("redis    %s not reachable: limits are per process\n", DEMO_REDIS_DEFAULT);
    return 0;
}

/* --- certificates and backends -------------------------------------------------- */

static int demo_make_certs(struct demo *demo, struct err *reterr)
{
    struct demo_config *c = &demo->config;
    int rc = selfsign_ca_new(&demo->ca, "ringgate demo CA, throw away", reterr);
    if (rc == 0)
        rc = selfsign_ca_pem(demo->ca, &c->ca_pem, reterr);
    if (rc == 0)
        rc = selfsign_issue(demo->ca, "DNS:localhost,IP:127.0.0.1,IP:::1", &c->server_cert,
                            &c->server_key, reterr);
    if (rc == 0)
        rc = selfsign_issue(demo->ca, "URI:" DEMO_CONFIG_GATEWAY_ID, &c->client_cert,
                            &c->client_key, reterr);
    return rc;
}

static int demo_start_echo(struct demo *demo, enum loop_engine engine, struct err *reterr)
{
    struct buf cert, key;

    buf_init(&cert, DEMO_CONFIG_PEM_MAX);
    buf_init(&key, DEMO_CONFIG_PEM_MAX);
    int rc = selfsign_issue(demo->ca, "DNS:" DEMO_CONFIG_ECHO_HOST ",URI:" DEMO_CONFIG_ECHO_ID,
                            &cert, &key, reterr);
    if (rc == 0) {
        struct echo_options options = {
            .engine = engine,
            .cert_pem = buf_span(&cert),
            .key_pem = buf_span(&key),
            .ca_pem = buf_span(&demo->config.ca_pem),
        };
        rc = echo_start(&demo->echo, &options, reterr);
    }
    if (rc == 0) {
        demo->config.echo_port = echo_port(demo->echo, ECHO_PORT_PLAIN);
        demo->config.mesh_port = echo_port(demo->echo, ECHO_PORT_MTLS);
    }
    buf_fini(&cert);
    buf_fini(&key);
    return rc;
}

static int demo_write_files(struct demo *demo, struct err *reterr)
{
    struct buf yaml;

    buf_init(&yaml, 1u << 20);
    demo_config_format(&demo->config, &yaml);
    int rc = demo_write(demo, "ca.pem", &demo->config.ca_pem, reterr);
    if (rc == 0)
        rc = demo_write(demo, "demo.yaml", &yaml, reterr);
    buf_fini(&yaml);
    return rc;
}

/* --- options, life ---------------------------------------------------------------- */

/* Takes what is only the demo's out of argv and gives the rest to run's parser. */
static int demo_parse(struct demo *demo, int argc, char **argv, struct err *reterr)
{
    uint64_t port = 8443;
    int kept = 1;

    for (int i = 1; i < argc; i++) {
        bool is_port = strcmp(argv[i], "--port") == 0, is_redis = strcmp(argv[i], "--redis") == 0;
        if (!is_port && !is_redis) {
            argv[kept++] = argv[i];
            continue;
        }
        if (++i == argc)
            return err_set(reterr, -EINVAL, "%s needs a value", argv[i - 1]);
        if (is_redis)
            demo->redis_wish = argv[i];
        else if (span_to_u64(span_str(argv[i]), UINT16_MAX, &port) != 0 || port == 0)
            return err_set(reterr, -EINVAL, "--port %s: must be 1 to 65535", argv[i]);
    }
    argv[kept] = NULL;
    demo->config.https_port = (uint16_t)port;
    demo->options.settings_file = ""; /* a demo is the same everywhere */
    int rc = settings_set(&demo->options.settings, "log_level", "warn", reterr);
    if (rc == 0)
        rc = run_options_parse(&demo->options, kept, argv, reterr);
    if (rc == 0 && demo->options.config_count > 0)
        rc = err_set(reterr, -EINVAL, "--config: the demo brings its own; use ringgate run");
    return rc;
}

static int demo_choose_ports(struct demo *demo, struct err *reterr)
{
    struct demo_config *c = &demo->config;
    uint16_t wish = c->https_port, admin = 0;

    c->https_port = 0;
    int rc = demo_choose_port(demo, wish, &c->https_port, reterr);
    if (rc == 0)
        rc = demo_choose_port(demo, 8080, &c->http_port, reterr);
    if (rc == 0)
        rc = demo_choose_port(demo, 9000, &c->tcp_port, reterr);
    if (rc != 0 || demo->options.admin != NULL)
        return rc;
    rc = demo_choose_port(demo, 15021, &admin, reterr);
    snprintf(demo->admin, sizeof(demo->admin), "127.0.0.1:%u", admin);
    demo->options.admin = demo->admin;
    return rc;
}

static void demo_on_ready(void *user)
{
    const struct demo *demo = user;
    const struct demo_config *c = &demo->config;

    printf("ready in %u ms. Ctrl-C drains and stops. In another terminal:\n\n",
           (unsigned)((clock_mono_ns() - demo->begin_ns) / NS_PER_MS));
    printf("  curl --cacert %s/ca.pem https://localhost:%u/hello\n", demo->dir, c->https_port);
    printf("  curl --cacert %s/ca.pem https://localhost:%u/mesh\n", demo->dir, c->https_port);
    printf("  for i in $(seq 12); do curl -s -o /dev/null -w '%%{http_code} ' --cacert %s/ca.pem"
           " https://localhost:%u/limited; done; echo\n\n",
           demo->dir, c->https_port);
    printf("Also http://localhost:%u/hello (redirects), http://localhost:%u/ (bytes of a TCPRoute),"
           " and http://%s/metrics\n",
           c->http_port, c->tcp_port, demo->options.admin);
    fflush(stdout);
}

static int demo_prepare(struct demo *demo, struct err *reterr)
{
    enum loop_engine engine;
    char reason[256];

    if (loop_engine_choose(demo->options.engine, &engine, reason, sizeof(reason)) != 0)
        return err_set(reterr, -ENOTSUP, "--io: %s", reason);
    printf("ringgate " RINGGATE_VERSION "  engine: %s\n", reason);
    int rc = demo_choose_ports(demo, reterr);
    if (rc == 0)
        rc = demo_make_dir(demo, reterr);
    if (rc == 0)
        rc = demo_make_certs(demo, reterr);
    if (rc == 0)
        rc = demo_start_echo(demo, engine, reterr);
    if (rc != 0)
        return rc;
    printf("config   %s/demo.yaml\n", demo->dir);
    printf("cert     localhost, from a throw-away CA: curl --cacert %s/ca.pem\n", demo->dir);
    rc = demo_print_redis(demo, reterr);
    if (rc == 0)
        rc = demo_write_files(demo, reterr);
    printf("admin    %s: /healthz/ready, /metrics\n", demo->options.admin);
    fflush(stdout);
    return rc;
}

static int demo_serve(struct demo *demo)
{
    char *config = xasprintf("%s/demo.yaml", demo->dir);
    const char **paths = xcalloc(1, sizeof(*paths));

    paths[0] = config;
    demo->options.config = paths; /* run_options_fini frees the list */
    demo->options.config_count = 1;
    demo->options.show_table = true;
    demo->options.on_ready = demo_on_ready;
    demo->options.user = demo;
    int code = run_gateway(&demo->options);
    free(config);
    return code;
}

int demo_run(int argc, char **argv)
{
    struct demo *demo = xcalloc(1, sizeof(*demo));
    struct err err = {0};
    int code = DEMO_EXIT_USAGE;

    demo->begin_ns = clock_mono_ns();
    demo_config_init(&demo->config);
    run_options_init(&demo->options);
    if (demo_parse(demo, argc, argv, &err) != 0) {
        fprintf(stderr, "ringgate demo: %s\n", err.text);
    } else if (demo_prepare(demo, &err) != 0) {
        fprintf(stderr, "ringgate demo: %s\n", err.text);
        code = DEMO_EXIT_FAILED;
    } else {
        code = demo_serve(demo);
    }
    echo_stop(demo->echo);
    demo_remove_dir(demo);
    run_options_fini(&demo->options);
    selfsign_ca_free(demo->ca);
    demo_config_fini(&demo->config);
    free(demo->dir);
    free(demo);
    return code;
}
