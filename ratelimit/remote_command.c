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
#define TAKE_LEN 5u
/* 128 bits as base32 (RFC 4648 6, lower case, no padding). */
#define ID_LEN 26u
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
    char *key = xasprintf("%.*s:1:{%.*s}", SPAN_ARG(prefix), (int)ID_LEN, blank);
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
    command->id_at = TAIL_AT + strlen("$1\r\n1\r\n") + (size_t)size_len + strlen(key) - ID_LEN - 1;
    command->take_at = out.len - TAKE_LEN - strlen("\r\n");
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

/* Half of an id: 64 bits and the one after them are 13 groups of five, highest first. */
static void half_write(uint64_t bits, unsigned next, char *out)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    for (unsigned i = 0; i < 12; i++)
        out[i] = alphabet[bits >> (59 - 5 * i) & 31];
    out[12] = alphabet[(bits & 15) << 1 | next];
}

static void question_write(const struct remote_command *command,
                           const struct remote_question *question)
{
    const uint64_t *words = question->id.words;
    char *id = command->text + command->id_at, *take = command->text + command->take_at;
    unsigned rest = question->take;

    ASSERT(rest <= REMOTE_COMMAND_TAKE_MAX);
    half_write(words[0], (unsigned)(words[1] >> 63), id);
    half_write(words[1] << 1, 0, id + ID_LEN / 2);
    for (unsigned i = TAKE_LEN; i-- > 0; rest /= 10)
        take[i] = (char)('0' + rest % 10);
}

struct span remote_command_by_digest(const struct remote_command *command,
                                     const struct remote_question *question, const char *sha)
{
    question_write(command, question);
    memcpy(command->text + SHA_AT, sha, SHA_LEN);
    return span_make(command->text, command->len);
}

struct span remote_command_after_script(const struct remote_command *command,
                                        const struct remote_question *question)
{
    question_write(command, question);
    return span_make(command->text + TAIL_AT, command->len - TAIL_AT);
}
