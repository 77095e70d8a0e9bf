/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/resp.h"

#include <errno.h>
#include <stdlib.h>

#include <hiredis/hiredis.h>

#include "base/panic.h"

#define ARGS_MAX 16u
#define DEPTH_MAX 7u /* of arrays; hiredis 0.14 has this limit itself */

struct resp_reader {
    redisReader *reader;
    struct resp_reply reply;
    size_t pending; /* bytes fed since the last whole reply, at most */
    bool failed;
};

/* hiredis wants an object for every element and gives it back to us; all of
 * ours are this one. NULL instead ends the reading with an error: hiredis 1
 * reads the types of RESP3, too, which we never ask for. */
static char object;

static struct resp_reply *reply_of(const redisReadTask *task)
{
    struct resp_reader *reader = task->privdata;
    return &reader->reply;
}

static bool task_is_top(const redisReadTask *task)
{
    return task->parent == NULL;
}

static bool task_is_element(const redisReadTask *task)
{
    return task->parent != NULL && task->parent->parent == NULL;
}

static void *on_string(const redisReadTask *task, char *text, size_t len)
{
    struct resp_reply *reply = reply_of(task);
    bool is_top = task_is_top(task);
    if (task->type != REDIS_REPLY_ERROR && task->type != REDIS_REPLY_STATUS &&
        task->type != REDIS_REPLY_STRING)
        return NULL;
    if (is_top)
        reply->type = task->type == REDIS_REPLY_ERROR    ? RESP_TYPE_ERROR
                      : task->type == REDIS_REPLY_STATUS ? RESP_TYPE_STATUS
                                                         : RESP_TYPE_STRING;
    if (is_top || (task_is_element(task) && task->idx == 0)) {
        reply->text_len = (unsigned)MIN(len, (size_t)RESP_TEXT_MAX);
        memcpy(reply->text, text, reply->text_len);
    }
    return &object;
}

#if defined(HIREDIS_MAJOR) && HIREDIS_MAJOR >= 1
static void *on_array(const redisReadTask *task, size_t elements)
#else
static void *on_array(const redisReadTask *task, int elements)
#endif
{
    unsigned depth = 1;
    for (const redisReadTask *up = task->parent; up != NULL; up = up->parent)
        depth++;
    if (task->type != REDIS_REPLY_ARRAY || depth > DEPTH_MAX)
        return NULL;
    if (task_is_top(task)) {
        reply_of(task)->type = RESP_TYPE_ARRAY;
        reply_of(task)->elements = (unsigned)elements;
    }
    return &object;
}

static void *on_integer(const redisReadTask *task, long long value)
{
    struct resp_reply *reply = reply_of(task);
    if (task_is_top(task)) {
        reply->type = RESP_TYPE_INTEGER;
        reply->ints[0] = value;
        reply->ints_count = 1;
    } else if (task_is_element(task) && reply->ints_count < RESP_INTS_MAX &&
               (unsigned)task->idx == reply->ints_count) {
        reply->ints[reply->ints_count++] = value;
    }
    return &object;
}

static void *on_nil(const redisReadTask *task)
{
    if (task_is_top(task))
        reply_of(task)->type = RESP_TYPE_NIL;
    return &object;
}

#if defined(HIREDIS_MAJOR) && HIREDIS_MAJOR >= 1
static void *on_double(const redisReadTask *task UNUSED, double value UNUSED, char *text UNUSED,
                       size_t len UNUSED)
{
    return NULL;
}

static void *on_bool(const redisReadTask *task UNUSED, int value UNUSED)
{
    return NULL;
}
#endif

static void on_free(void *obj)
{
    (void)obj; /* the one static object */
}

/* Not const: hiredis takes a plain pointer, but does not write. */
static redisReplyObjectFunctions functions = {
    .createString = on_string,
    .createArray = on_array,
    .createInteger = on_integer,
    .createNil = on_nil,
#if defined(HIREDIS_MAJOR) && HIREDIS_MAJOR >= 1
    .createDouble = on_double,
    .createBool = on_bool,
#endif
    .freeObject = on_free,
};

int resp_reader_reset(struct resp_reader *reader)
{
    if (reader->reader != NULL)
        redisReaderFree(reader->reader);
    memset(&reader->reply, 0, sizeof(reader->reply));
    reader->pending = 0;
    reader->failed = false;
    reader->reader = redisReaderCreateWithFunctions(&functions);
    if (reader->reader == NULL)
        return -ENOMEM;
    reader->reader->privdata = reader;
    return 0;
}

struct resp_reader *resp_reader_new(void)
{
    struct resp_reader *reader = xcalloc(1, sizeof(*reader));
    if (resp_reader_reset(reader) == 0)
        return reader;
    resp_reader_free(reader);
    return NULL;
}

void resp_reader_free(struct resp_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->reader != NULL)
        redisReaderFree(reader->reader);
    free(reader);
}

int resp_reader_feed(struct resp_reader *reader, struct span data)
{
    if (reader->failed || reader->reader == NULL)
        return -EPROTO;
    if (data.len == 0)
        return 0;
    reader->pending += data.len;
    if (redisReaderFeed(reader->reader, data.ptr, data.len) == REDIS_OK)
        return 0;
    reader->failed = true;
    return -ENOMEM;
}

int resp_reader_next(struct resp_reader *reader, const struct resp_reply **ret)
{
    void *done = NULL;

    if (reader->failed || reader->reader == NULL)
        return -EPROTO;
    /* A reply may be read in several calls: only a new one starts afresh. */
    if (reader->reader->ridx == -1)
        memset(&reader->reply, 0, sizeof(reader->reply));
    if (redisReaderGetReply(reader->reader, &done) != REDIS_OK) {
        reader->failed = true;
        return -EPROTO;
    }
    if (done != NULL) {
        reader->pending = reader->reader->len - reader->reader->pos;
        *ret = &reader->reply;
        return 1;
    }
    if (reader->pending > RESP_REPLY_BYTES_MAX) {
        reader->failed = true;
        return -EPROTO;
    }
    return 0;
}

int resp_format(struct buf *out, const struct span *args, unsigned count)
{
    const char *argv[ARGS_MAX];
    size_t lens[ARGS_MAX];
    char *text = NULL;

    ASSERT(count <= ARGS_MAX);
    for (unsigned i = 0; i < count; i++) {
        argv[i] = args[i].ptr != NULL ? args[i].ptr : "";
        lens[i] = args[i].len;
    }
    int len = redisFormatCommandArgv(&text, (int)count, argv, lens);
    if (len < 0)
        return -ENOMEM;
    buf_add(out, text, (size_t)len);
    explicit_bzero(text, (size_t)len); /* AUTH */
    redisFreeCommand(text);
    return buf_ok(out) ? 0 : -ENOMEM;
}
