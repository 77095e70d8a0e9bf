/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/redis_fault.h"

static const struct {
    const char *text;
    enum redis_fault fault;
} prefixes[] = {
    {"NOSCRIPT", REDIS_FAULT_SCRIPT},  {"READONLY", REDIS_FAULT_READONLY},
    {"LOADING", REDIS_FAULT_BUSY},     {"MASTERDOWN", REDIS_FAULT_BUSY},
    {"BUSY", REDIS_FAULT_BUSY},        {"TRYAGAIN", REDIS_FAULT_BUSY},
    {"CLUSTERDOWN", REDIS_FAULT_BUSY}, {"OOM", REDIS_FAULT_WRITES},
    {"MISCONF", REDIS_FAULT_WRITES},   {"NOREPLICAS", REDIS_FAULT_WRITES},
    {"NOAUTH", REDIS_FAULT_AUTH},      {"WRONGPASS", REDIS_FAULT_AUTH},
    {"NOPERM", REDIS_FAULT_AUTH},
};

/* Redis up to 6 wraps the error of a command inside a script: "ERR Error running script
 * ... -READONLY ..."; Redis 7 words a missing right in a script as below. */
static const struct {
    const char *text;
    enum redis_fault fault;
} inner[] = {
    {"-READONLY", REDIS_FAULT_READONLY}, {"-OOM", REDIS_FAULT_WRITES},
    {"-MISCONF", REDIS_FAULT_WRITES},    {"-NOREPLICAS", REDIS_FAULT_WRITES},
    {"-LOADING", REDIS_FAULT_BUSY},      {"The user executing the script", REDIS_FAULT_AUTH},
};

enum redis_fault redis_fault_classify(struct span text)
{
    for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
        struct span prefix = span_str(prefixes[i].text);
        if (span_starts_with(text, prefix) &&
            (text.len == prefix.len || text.ptr[prefix.len] == ' '))
            return prefixes[i].fault;
    }
    for (size_t i = 0; i < ARRAY_COUNT(inner); i++) {
        struct span part = span_str(inner[i].text);
        if (text.len > 0 && memmem(text.ptr, text.len, part.ptr, part.len) != NULL)
            return inner[i].fault;
    }
    return REDIS_FAULT_OTHER;
}

const char *redis_fault_text(enum redis_fault fault)
{
    switch (fault) {
    case REDIS_FAULT_NONE:
        return "connected";
    case REDIS_FAULT_NETWORK:
        return "cannot be reached";
    case REDIS_FAULT_PROTOCOL:
        return "does not speak the Redis protocol as expected";
    case REDIS_FAULT_SCRIPT:
        return "has lost the script";
    case REDIS_FAULT_READONLY:
        return "is a read-only replica";
    case REDIS_FAULT_BUSY:
        return "is loading or busy";
    case REDIS_FAULT_WRITES:
        return "refuses writes";
    case REDIS_FAULT_AUTH:
        return "refuses the credentials or lacks a permission";
    case REDIS_FAULT_OTHER:
        break;
    }
    return "answers with an error";
}
