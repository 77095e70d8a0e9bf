/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "routing/pattern.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/panic.h"

/* The accepted language is what PCRE2 and RE2 read alike: literals, classes,
 * groups, alternation, greedy and lazy repeats, the flags i m s U. The scan below
 * lets nothing else through to the compiler; it needs to know only escapes,
 * classes and what follows "(?". Everything else is left to PCRE2's own check.
 *
 * Work is bounded three ways: the source's length, the depth of groups, and
 * the number of steps and the memory of one match. */
#define PATTERN_STEPS_MAX 20000u
#define PATTERN_DEPTH_MAX 2000u
#define PATTERN_HEAP_MAX_KIB 512u
#define PATTERN_GROUPS_MAX 50u

struct pattern {
    pcre2_code *code;
};

/* Shared by all threads; read-only once made. */
static pcre2_match_context *match_limits;
static pcre2_compile_context *compile_limits;
static pthread_key_t match_data_key;
static pthread_once_t setup_once = PTHREAD_ONCE_INIT;
/* The thread's scratch for matches; the key exists to free it with the thread. */
static __thread pcre2_match_data *match_data;

static void match_data_free(void *data)
{
    pcre2_match_data_free(data);
    match_data = NULL;
}

static void setup(void)
{
    match_limits = pcre2_match_context_create(NULL);
    compile_limits = pcre2_compile_context_create(NULL);
    if (match_limits == NULL || compile_limits == NULL ||
        pthread_key_create(&match_data_key, match_data_free) != 0)
        panic(__FILE__, __LINE__, "no memory for the limits of patterns");
    (void)pcre2_set_match_limit(match_limits, PATTERN_STEPS_MAX); /* these only store a number */
    (void)pcre2_set_depth_limit(match_limits, PATTERN_DEPTH_MAX);
    (void)pcre2_set_heap_limit(match_limits, PATTERN_HEAP_MAX_KIB);
    (void)pcre2_set_parens_nest_limit(compile_limits, PATTERN_GROUPS_MAX);
    (void)pcre2_set_max_pattern_length(compile_limits, PATTERN_SIZE_MAX);
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What is wrong with the escape of c, or NULL. */
static const char *escape_problem(char c)
{
    if (!is_alnum(c) || memchr("aftnrdDsSwWbBAzx", c, 16) != NULL)
        return NULL;
    if ((c >= '1' && c <= '9') || c == 'g' || c == 'k')
        return "back-references are not supported";
    return "this escape sequence is not supported";
}

/* Length of the escape that s begins with, the backslash included; 0 with *ret_problem: refused. */
static size_t escape_len(struct span s, const char **ret_problem)
{
    if (s.len < 2)
        return 1; /* the compiler says what is wrong with it */
    *ret_problem = escape_problem(s.ptr[1]);
    if (*ret_problem != NULL)
        return 0;
    if (s.ptr[1] != 'x' || s.len < 3 || s.ptr[2] != '{')
        return 2;
    size_t at = 3;
    while (at < s.len && is_hex(s.ptr[at]))
        at++;
    if (at > 3 && at < s.len && s.ptr[at] == '}')
        return at + 1;
    *ret_problem = "a character by number is \\x41 or \\x{41}";
    return 0;
}

/* What is wrong with a group whose text after "(" is s, or NULL. */
static const char *group_problem(struct span s)
{
    if (s.len > 0 && s.ptr[0] == '*')
        return "verbs are not supported";
    if (s.len < 2 || s.ptr[0] != '?')
        return NULL;
    char kind = s.ptr[1], next = s.len > 2 ? s.ptr[2] : '\0';
    if (kind == '=' || kind == '!' || (kind == '<' && (next == '=' || next == '!')))
        return "look-around is not supported";
    if (kind == '<' || (kind == 'P' && next == '<'))
        return NULL; /* a named group */
    if (kind == 'P' && next == '=')
        return "back-references are not supported";
    size_t at = 1;
    while (at < s.len && s.ptr[at] != '\0' && strchr("imsU-", s.ptr[at]) != NULL)
        at++;
    if (at < s.len && (s.ptr[at] == ':' || s.ptr[at] == ')'))
        return NULL;
    return "this kind of group is not supported";
}

/* Length of the repeat "{n}", "{n,}" or "{n,m}" that s begins with; 0: none. */
static size_t repeat_len(struct span s)
{
    size_t at = 1, digits = 0;
    bool comma = false;
    for (; at < s.len && s.ptr[at] != '}'; at++) {
        if (s.ptr[at] == ',' && !comma && digits > 0)
            comma = true;
        else if (s.ptr[at] >= '0' && s.ptr[at] <= '9')
            digits++;
        else
            return 0;
    }
    return at < s.len && digits > 0 ? at + 1 : 0;
}

/* Whether s begins with what some versions of PCRE2 and RE2 take for a repeat, others for
 * literals: "{,3}", "{ 3 }". */
static bool repeat_is_unclear(struct span s)
{
    size_t at = 1, digits = 0;
    for (; at < s.len && s.ptr[at] != '}'; at++) {
        if (s.ptr[at] >= '0' && s.ptr[at] <= '9')
            digits++;
        else if (s.ptr[at] != ',' && s.ptr[at] != ' ' && s.ptr[at] != '\t')
            return false;
    }
    return at < s.len && digits > 0 && repeat_len(s) == 0;
}

/* Offset after the class that begins at `at`, or where the problem is with *ret_problem set. */
static size_t scan_class(struct span s, size_t at, const char **ret_problem)
{
    size_t first = at + 1;
    if (first < s.len && s.ptr[first] == '^')
        first++;
    for (size_t i = first; i < s.len; i++) {
        if (s.ptr[i] == '\\') {
            size_t len = escape_len(span_skip(s, i), ret_problem);
            if (len == 0)
                return i;
            i += len - 1;
        } else if (s.ptr[i] == '[' && i + 1 < s.len && s.ptr[i + 1] == ':') {
            /* "[:alpha:]"; its "]" does not end the class. */
            size_t end = i + 2;
            while (end + 1 < s.len && (is_alnum(s.ptr[end]) || s.ptr[end] == '^'))
                end++;
            if (end + 1 < s.len && s.ptr[end] == ':' && s.ptr[end + 1] == ']')
                i = end + 1;
        } else if (s.ptr[i] == ']' && i > first) {
            return i + 1;
        }
    }
    return s.len; /* not closed: the compiler says so */
}

/* What is wrong with the source, or NULL. *ret_at is the offset of it. */
static const char *scan(struct span s, size_t *ret_at)
{
    const char *problem = NULL;
    bool repeated = false; /* what stands before `at` is a repeat */
    size_t at = 0;
    while (at < s.len && problem == NULL) {
        *ret_at = at;
        char c = s.ptr[at];
        bool was_repeated = repeated;
        repeated = false;
        if (c == '\\') {
            at += escape_len(span_skip(s, at), &problem);
        } else if (c == '[') {
            at = scan_class(s, at, &problem);
            if (problem != NULL)
                *ret_at = at;
        } else if (c == '(') {
            problem = group_problem(span_skip(s, at + 1));
            at++;
            if (at < s.len && s.ptr[at] == '?')
                at++; /* not a repeat */
        } else if (c == '+' && was_repeated) {
            problem = "possessive repeats are not supported";
        } else if (c == '*' || c == '+' || c == '?') {
            repeated = !was_repeated; /* "a*?" is lazy and ends there */
            at++;
        } else if (c == '{' && repeat_is_unclear(span_skip(s, at))) {
            problem = "a repeat is {n}, {n,} or {n,m}; write \\{ for the character";
        } else {
            size_t len = c == '{' ? repeat_len(span_skip(s, at)) : 0;
            repeated = len > 0;
            at += len > 0 ? len : 1;
        }
    }
    return problem;
}

int pattern_compile(struct span source, struct pattern **ret, struct err *reterr)
{
    ASSERT(ret != NULL);
    if (source.len > PATTERN_SIZE_MAX)
        return err_set(reterr, -E2BIG, "the regular expression has %zu bytes, at most %u may be",
                       source.len, PATTERN_SIZE_MAX);
    size_t at = 0;
    const char *problem = scan(source, &at);
    if (problem != NULL)
        return err_set_at(reterr, -EINVAL, 0, (unsigned)at + 1,
                          "the regular expression is refused at its character %zu: %s", at + 1,
                          problem);
    (void)pthread_once(&setup_once, setup); /* cannot fail here */
    struct pattern *pattern = malloc(sizeof(*pattern));
    if (pattern == NULL)
        return err_set(reterr, -ENOMEM, "no memory for a regular expression");
    int code = 0;
    PCRE2_SIZE offset = 0;
    pattern->code =
        pcre2_compile((PCRE2_SPTR)(source.len > 0 ? source.ptr : ""), source.len,
                      PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF |
                          PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE,
                      &code, &offset, compile_limits);
    if (pattern->code == NULL) {
        PCRE2_UCHAR text[160] = "";
        (void)pcre2_get_error_message(code, text, sizeof(text)); /* cut when too long */
        free(pattern);
        return err_set_at(reterr, -EINVAL, 0, (unsigned)offset + 1,
                          "the regular expression is wrong at its character %zu: %s",
                          (size_t)offset + 1, (const char *)text);
    }
    *ret = pattern;
    return 0;
}

void pattern_free(struct pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_code_free(pattern->code);
    free(pattern);
}

/* The thread's scratch, made at its first match; NULL: no memory. One pair of offsets is
 * enough, since nobody asks what the groups matched. */
static pcre2_match_data *match_data_get(void)
{
    if (LIKELY(match_data != NULL))
        return match_data;
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (data == NULL)
        return NULL;
    if (pthread_setspecific(match_data_key, data) != 0) {
        pcre2_match_data_free(data);
        return NULL;
    }
    match_data = data;
    return data;
}

bool pattern_matches(const struct pattern *pattern, struct span subject)
{
    ASSERT(pattern != NULL);
    pcre2_match_data *data = match_data_get();
    if (data == NULL)
        return false;
    /* A negative result is "no match" or a limit that was hit. */
    return pcre2_match(pattern->code, (PCRE2_SPTR)(subject.len > 0 ? subject.ptr : ""), subject.len,
                       0, PCRE2_NO_JIT, data, match_limits) >= 0;
}

size_t pattern_memory(const struct pattern *pattern)
{
    size_t size = 0;
    (void)pcre2_pattern_info(pattern->code, PCRE2_INFO_SIZE, &size); /* 0 when unknown */
    return sizeof(*pattern) + size;
}
