/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/diag_place.h"
#include "conf/provider_file.h"
#include "conf/settings_env.h"
#include "conf/translate.h"
#include "gateway/cert_report.h"
#include "gateway/pattern_check.h"
#include "gateway/setting_check.h"

#define OUTPUT_SIZE_MAX (256u << 20)

static const char usage[] =
    "Usage: ringgate check [--output text|json] [--strict] [--dump] [--settings FILE]\n"
    "                      [--set NAME=VALUE]... PATH...\n"
    "\n"
    "Tells everything that is wrong with Gateway API files or directories.\n"
    "  --output text|json   for people (default) or for programs\n"
    "  --strict             warnings fail too\n"
    "  --settings FILE      settings to check, too (" SETTINGS_FILE_DEFAULT ")\n"
    "  --set NAME=VALUE     a setting as run would get it\n"
    "  --dump               print what would be served, too (text only)\n"
    "Exit status: 0 good, 1 warnings with --strict, 78 errors, 2 wrong usage.\n";

struct options {
    bool json, strict, dump, help;
    const char **paths; /* heap */
    unsigned paths_count;
    const char *settings_file; /* as setting_load_file takes it */
    struct settings settings; /* what --set gave */
};

/* "--name" or "--name=value". */
static bool is_option(const char *word, const char *name)
{
    size_t len = strlen(name);
    return strncmp(word, name, len) == 0 && (word[len] == '=' || word[len] == '\0');
}

static const char *option_value(int argc, char **argv, int *at)
{
    const char *value = strchr(argv[*at], '=');
    if (value != NULL)
        return value + 1;
    return *at + 1 < argc ? argv[++*at] : "";
}

/* False, with a message on standard error: wrong usage. */
static bool parse_options(struct options *options, int argc, char **argv)
{
    options->paths = xcalloc((size_t)argc + 1, sizeof(*options->paths));
    bool only_paths = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        if (only_paths || word[0] != '-' || word[1] == '\0') {
            options->paths[options->paths_count++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_paths = true;
        } else if (strcmp(word, "--strict") == 0) {
            options->strict = true;
        } else if (strcmp(word, "--dump") == 0) {
            options->dump = true;
        } else if (strcmp(word, "--help") == 0) {
            options->help = true;
        } else if (is_option(word, "--output")) {
            value = option_value(argc, argv, &i);
            options->json = strcmp(value, "json") == 0;
            if (!options->json && strcmp(value, "text") != 0) {
                fprintf(stderr, "ringgate check: --output is \"%s\", it must be text or json\n",
                        value);
                return false;
            }
        } else if (is_option(word, "--settings")) {
            options->settings_file = option_value(argc, argv, &i);
        } else if (is_option(word, "--set")) {
            struct err err;
            if (settings_set_pair(&options->settings, option_value(argc, argv, &i), &err) != 0) {
                fprintf(stderr, "ringgate check: %s\n", err.text);
                return false;
            }
        } else {
            fprintf(stderr, "ringgate check: unknown option \"%s\"\n", word);
            return false;
        }
    }
    if (options->paths_count == 0 && !options->help)
        fprintf(stderr, "ringgate check: no file or directory is named\n");
    return options->paths_count > 0 || options->help;
}

/* --- certificates --- */

static void check_certificates(struct cert_report *report)
{
    const struct model *model = report->model;
    for (unsigned i = 0; i < model->listeners_count; i++) {
        const struct model_listener *listener = &model->listeners[i];
        for (unsigned j = 0; j < listener->certs_count; j++)
            cert_report_pair(report, &listener->certs[j], "InvalidCertificateRef",
                             "listeners do without this certificate");
        cert_report_authority(report, listener->frontend.ca_pem, "no client is trusted");
    }
    for (unsigned i = 0; i < model->clusters_count; i++) {
        const struct model_backend_tls *tls = &model->clusters[i].tls;
        cert_report_authority(report, tls->ca_pem, "backends of it answer 503");
        if (tls->has_client_cert)
            cert_report_pair(report, &tls->client_cert, "InvalidClientCertificateRef",
                             "backends that are reached with it answer 503");
    }
    for (unsigned i = 0; i < model->stores_count; i++) {
        const struct model_store *store = &model->stores[i];
        cert_report_authority(report, store->ca_pem, "the store is not reached");
        if (store->has_client_cert)
            cert_report_pair(report, &store->client_cert, "InvalidClientCertificateRef",
                             "the store is not reached");
    }
}

/* What the translator cannot see for itself: key pairs and authorities (tls/). now_s: seconds since
 * 1970, for certificates that have expired. */
static void check_model(const struct model *model, int64_t now_s, struct diags *diags)
{
    struct cert_report report;
    cert_report_init(&report, model, diags, now_s);
    check_certificates(&report);
    cert_report_fini(&report);
}

/* --- the command --- */

static int print(const struct options *options, const struct model *model, struct diags *diags)
{
    struct buf out;
    buf_init(&out, OUTPUT_SIZE_MAX);
    diag_place_all(diags);
    if (options->json) {
        struct json_out json;
        json_out_init(&json, &out);
        diags_json(diags, &json);
        buf_add_char(&out, '\n');
    } else {
        if (options->dump)
            model_dump(model, &out);
        const char *no_color = getenv("NO_COLOR");
        diags_print(diags, &out, isatty(STDOUT_FILENO) && (!no_color || !no_color[0]));
    }
    bool is_written = fwrite(buf_str(&out), 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    buf_fini(&out);
    if (!is_written || diags->errors > 0)
        return CHECK_EXIT_ERRORS;
    return options->strict && diags->warnings > 0 ? CHECK_EXIT_WARNINGS : 0;
}

static int check_paths(struct options *options)
{
    struct provider_file *provider;
    struct objects *objects;
    struct model *model;
    struct statuses *statuses;
    struct diags diags;
    struct err err;
    struct conf_source *source;
    if (provider_file_new(&provider, options->paths, options->paths_count, &err) < 0) {
        fprintf(stderr, "ringgate check: %s\n", err.text);
        return CHECK_EXIT_ERRORS;
    }
    diags_init(&diags);
    /* What is wrong with them is among the findings. */
    (void)!setting_load_file(&options->settings, options->settings_file, &diags, &source);
    (void)!settings_env_load(&options->settings, &diags);
    (void)provider_file_load(provider, &diags, &objects); /* the first load differs from nothing */
    struct pattern_check patterns;
    pattern_check_init(&patterns);
    struct translate_options translate_options = {.from_files = true,
                                                  .generation = 1,
                                                  .refused = provider_file_refused(provider),
                                                  .patterns = &patterns.patterns};
    diags.refused = objects_count(translate_options.refused);
    translate_options.lost = provider_file_lost(provider, &translate_options.lost_count);
    translate(objects, &translate_options, &diags, &model, &statuses);
    pattern_check_fini(&patterns);
    check_model(model, (int64_t)(clock_wall_ns() / NS_PER_S), &diags);
    int status = print(options, model, &diags);
    diags_fini(&diags);
    statuses_free(statuses);
    model_free(model);
    objects_unref(objects);
    provider_file_free(provider);
    conf_source_unref(source);
    return status;
}

int check_run(int argc, char **argv)
{
    struct options options = {0};
    settings_init(&options.settings);
    options.settings.check = setting_check;
    int status = CHECK_EXIT_USAGE;
    if (!parse_options(&options, argc, argv))
        fputs(usage, stderr);
    else if (options.help)
        status = fputs(usage, stdout) < 0 ? CHECK_EXIT_USAGE : 0;
    else
        status = check_paths(&options);
    free(options.paths);
    settings_fini(&options.settings);
    return status;
}
