/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hmap.h"
#include "base/panic.h"
#include "conf/diag_place.h"
#include "conf/provider_file.h"
#include "conf/settings_env.h"
#include "conf/translate.h"
#include "gateway/pattern_check.h"
#include "gateway/setting_check.h"
#include "tls/cert.h"

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

struct checking {
    const struct model *model;
    struct diags *diags;
    int64_t now_s;
    struct hmap seen; /* PEM texts that were looked at, by address */
    struct arena arena;
};

struct seen {
    struct hmap_node node;
    const char *text;
};

static bool is_seen(struct checking *checking, struct span pem)
{
    struct seen *seen = arena_new(&checking->arena, struct seen);
    ASSERT(seen);
    seen->text = pem.ptr;
    struct span key = span_make(&seen->text, sizeof(seen->text));
    if (hmap_find(&checking->seen, key))
        return true;
    hmap_insert(&checking->seen, &seen->node, key);
    return false;
}

/* The object one of whose values is this very text, or NULL. */
static const struct conf_object *find_owner(const struct model *model, enum conf_kind kind,
                                            struct span pem)
{
    unsigned count;
    const struct conf_object *const *list = objects_list(model->objects, kind, &count);
    for (unsigned i = 0; i < count; i++) {
        bool is_secret = kind == CONF_KIND_SECRET;
        const struct conf_pair *data =
            is_secret ? list[i]->secret->data : list[i]->config_map->data;
        unsigned data_count =
            is_secret ? list[i]->secret->data_count : list[i]->config_map->data_count;
        for (unsigned j = 0; j < data_count; j++) {
            if (data[j].value.ptr == pem.ptr)
                return list[i];
        }
    }
    return NULL;
}

static void check_pair(struct checking *checking, const struct model_cert *cert, const char *reason,
                       const char *consequence)
{
    const struct conf_pos nowhere = {0, 0};
    struct cert_info info;
    struct err err;
    if (is_seen(checking, cert->cert_pem))
        return;
    const struct conf_object *owner = find_owner(checking->model, CONF_KIND_SECRET, cert->cert_pem);
    if (cert_check_pair(cert->cert_pem, cert->key_pem, &info, &err) < 0) {
        struct diag *diag = diags_add(checking->diags, DIAG_KEY_MISMATCH, owner, nowhere);
        diag_field(diag, "data");
        diag_message(diag, "%s", err.text);
        diag_condition(diag, "ResolvedRefs=False, %s", reason);
        diag_consequence(diag, "%s", consequence);
    } else if (info.not_after < checking->now_s) {
        struct diag *diag = diags_add(checking->diags, DIAG_CERTIFICATE_EXPIRED, owner, nowhere);
        char when[CLOCK_ISO_SIZE];
        clock_iso(info.not_after > 0 ? (uint64_t)info.not_after * NS_PER_S : 0, when);
        diag_field(diag, "data[tls.crt]");
        diag_message(diag, "the certificate expired on %.10s", when);
        diag_consequence(diag, "it is served, but peers refuse it");
    }
}

static void check_authority(struct checking *checking, struct span pem, const char *consequence)
{
    struct err err;
    if (pem.len == 0 || is_seen(checking, pem) || cert_check_ca(pem, &err) == 0)
        return;
    const struct conf_object *owner = find_owner(checking->model, CONF_KIND_CONFIG_MAP, pem);
    if (!owner)
        owner = find_owner(checking->model, CONF_KIND_SECRET, pem);
    struct diag *diag = diags_add(checking->diags, DIAG_CA_INVALID, owner, (struct conf_pos){0, 0});
    diag_field(diag, "data[ca.crt]");
    diag_message(diag, "%s", err.text);
    diag_condition(diag, "ResolvedRefs=False, InvalidCACertificateRef");
    diag_consequence(diag, "%s", consequence);
}

static void check_certificates(struct checking *checking)
{
    const struct model *model = checking->model;
    for (unsigned i = 0; i < model->listeners_count; i++) {
        const struct model_listener *listener = &model->listeners[i];
        for (unsigned j = 0; j < listener->certs_count; j++)
            check_pair(checking, &listener->certs[j], "InvalidCertificateRef",
                       "listeners do without this certificate");
        check_authority(checking, listener->frontend.ca_pem, "no client is trusted");
    }
    for (unsigned i = 0; i < model->clusters_count; i++) {
        const struct model_backend_tls *tls = &model->clusters[i].tls;
        check_authority(checking, tls->ca_pem, "backends of it answer 503");
        if (tls->has_client_cert)
            check_pair(checking, &tls->client_cert, "InvalidClientCertificateRef",
                       "backends that are reached with it answer 503");
    }
    for (unsigned i = 0; i < model->stores_count; i++) {
        const struct model_store *store = &model->stores[i];
        check_authority(checking, store->ca_pem, "the store is not reached");
        if (store->has_client_cert)
            check_pair(checking, &store->client_cert, "InvalidClientCertificateRef",
                       "the store is not reached");
    }
}

/* What the translator cannot see for itself: key pairs and authorities (tls/). now_s: seconds since
 * 1970, for certificates that have expired. */
static void check_model(const struct model *model, int64_t now_s, struct diags *diags)
{
    struct checking checking = {.model = model, .diags = diags, .now_s = now_s};
    hmap_init(&checking.seen, 0);
    arena_init(&checking.arena, 4096, 0, NULL);
    check_certificates(&checking);
    arena_fini(&checking.arena);
    hmap_fini(&checking.seen);
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
