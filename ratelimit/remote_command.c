/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "ratelimit/remote_command.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/panic.h"
#include "ratelimit/resp.h"

#define TICK_NS 100u
/* A year; gcra.lua needs sums below 2^53. */
#define SPAN_TICKS_MAX (GCRA_SPAN_NS_MAX / TICK_NS)
#define COMMAND_BYTES_MAX 65536u

#define SHA_LEN 40u
#define HEAD "*7\r\n$7\r\nEVALSHA\r\n$40\r\n"
#define SHA_AT (sizeof(HEAD) - 1)
#define TAIL_AT (SHA_AT + SHA_LEN + 2) /* what EVAL has too */

void remote_command_init(struct remote_command *command, struct span prefix,
                         const struct gcra *gcra)
{
    static const char blank[] = "0000000000000000000000000000000000000000";
    uint64_t step = (gcra->step_ns - 1) / TICK_NS + 1;
    uint64_t span = step * MIN(gcra->span_ns / gcra->step_ns, SPAN_TICKS_MAX / step);
    char step_text[24], span_text[24], size_text[24];
    char *key = xasprintf("%.*s:1:{%.*s}", SPAN_ARG(prefix), (int)REMOTE_COMMAND_ID_LEN, blank);
    struct buf out;

    _Static_assert(sizeof(blank) == SHA_LEN + 1, "a digest");
    snprintf(step_text, sizeof(step_text), "%llu", (unsigned long long)step);
    snprintf(span_text, sizeof(span_text), "%llu", (unsigned long long)span);
    struct span args[REMOTE_COMMAND_ARGS] = {
        SPAN_LIT("EVALSHA"), span_str(blank),     SPAN_LIT("1"),     span_str(key),
        span_str(step_text), span_str(span_text), SPAN_LIT("00001"),
    };
    buf_init(&out, COMMAND_BYTES_MAX);
    ASSERT(resp_format(&out, args, REMOTE_COMMAND_ARGS) == 0);
    ASSERT(out.len > TAIL_AT && memcmp(out.data, HEAD, SHA_AT) == 0);
    int size_len = snprintf(size_text, sizeof(size_text), "$%zu\r\n", strlen(key));
    command->len = out.len;
    command->id_at = TAIL_AT + strlen("$1\r\n1\r\n") + (size_t)size_len + strlen(key) -
                     REMOTE_COMMAND_ID_LEN - 1;
    command->take_at = out.len - REMOTE_COMMAND_TAKE_LEN - strlen("\r\n");
    command->text = xmalloc(out.len);
    memcpy(command->text, out.data, out.len);
    ASSERT(command->text[command->id_at - 1] == '{');
    buf_fini(&out);
    free(key);
}

void remote_command_fini(struct remote_command *command)
{
    free(command->text);
    command->text = NULL;
}

static struct iovec piece(const char *ptr, size_t len)
{
    return (struct iovec){(void *)(uintptr_t)ptr, len};
}

int remote_command_fill(const struct remote_command *command,
                        const struct remote_command_args *args,
                        struct iovec iov[REMOTE_COMMAND_IOV_MAX])
{
    size_t after_id = command->id_at + REMOTE_COMMAND_ID_LEN;
    int n = 0;

    if (args->eval_head.len > 0) {
        iov[n++] = piece(args->eval_head.ptr, args->eval_head.len);
    } else {
        iov[n++] = piece(command->text, SHA_AT);
        iov[n++] = piece(args->sha, SHA_LEN);
        iov[n++] = piece("\r\n", 2);
    }
    iov[n++] = piece(command->text + TAIL_AT, command->id_at - TAIL_AT);
    iov[n++] = piece(args->id, REMOTE_COMMAND_ID_LEN);
    iov[n++] = piece(command->text + after_id, command->take_at - after_id);
    iov[n++] = piece(args->take, REMOTE_COMMAND_TAKE_LEN);
    iov[n++] = piece("\r\n", 2);
    return n;
}

void remote_command_format_id(const struct local_limit_id *id, char out[REMOTE_COMMAND_ID_LEN])
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint64_t high = id->words[0], low = id->words[1];
    /* 128 bits and two zero bits after them make 26 groups of five, highest first. */
    for (unsigned i = 0; i < REMOTE_COMMAND_ID_LEN; i++) {
        out[i] = alphabet[high >> 59];
        high = high << 5 | low >> 59;
        low <<= 5;
    }
}

void remote_command_format_take(unsigned take, char out[REMOTE_COMMAND_TAKE_LEN])
{
    ASSERT(take <= REMOTE_COMMAND_TAKE_MAX);
    for (unsigned i = REMOTE_COMMAND_TAKE_LEN; i-- > 0; take /= 10)
        out[i] = (char)('0' + take % 10);
}
