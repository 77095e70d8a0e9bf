/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "gateway/setting_check.h"

#include <errno.h>
#include <stdlib.h>

#include "base/panic.h"
#include "conf/settings_file.h"
#include "io/resolver.h"
#include "io/sock.h"

static int check_ranges(const char *value, struct err *reterr)
{
    struct addr_range *ranges;
    unsigned count;
    int rc = setting_ranges(value, &ranges, &count, reterr);
    if (rc == 0)
        free(ranges);
    return rc;
}

int setting_check(const char *name, const char *value, struct err *reterr)
{
    static const struct {
        const char *name;
        int (*check)(const char *value, struct err *reterr);
    } checks[] = {{"dns_servers", resolver_check_servers},
                  {"trusted_cidrs", check_ranges},
                  {"tcp_congestion", sock_check_congestion}};
    for (unsigned i = 0; i < ARRAY_COUNT(checks); i++) {
        if (strcmp(name, checks[i].name) != 0 || value[0] == '\0')
            continue;
        int rc = checks[i].check(value, reterr);
        if (rc != 0)
            err_prefix(reterr, "setting %s", name);
        return rc;
    }
    return 0;
}

int setting_ranges(const char *value, struct addr_range **ret, unsigned *ret_count,
                   struct err *reterr)
{
    struct span list = span_str(value), item;
    struct addr_range *ranges = NULL;
    unsigned count = 0;
    while (list.len > 0) {
        (void)span_split(list, ',', &item, &list);
        item = span_trim(item);
        if (item.len == 0)
            continue;
        ranges = xrealloc(ranges, (count + 1) * sizeof(*ranges));
        if (addr_range_parse(item, &ranges[count++]) != 0) {
            free(ranges);
            return err_set(reterr, -EINVAL, "\"%.*s\" is not an address range such as 10.0.0.0/8",
                           SPAN_ARG(item));
        }
    }
    *ret = ranges;
    *ret_count = count;
    return 0;
}

int setting_load_file(struct settings *settings, const char *path, struct diags *diags,
                      struct conf_source **ret_source)
{
    *ret_source = NULL;
    if (path != NULL && path[0] == '\0')
        return 0;
    int rc = settings_load_file(settings, path != NULL ? path : SETTINGS_FILE_DEFAULT, diags,
                                ret_source);
    if (rc == -ENOENT && path == NULL)
        return 0;
    if (rc == -ENOENT)
        diag_message(diags_add(diags, DIAG_FILE_UNREADABLE, NULL, (struct conf_pos){0}),
                     "%s: no such file", path);
    return rc == 0 ? 0 : -EINVAL;
}
