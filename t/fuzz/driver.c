/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rand.h"
#include "t/fuzz/fuzz.h"

/* Without libFuzzer: NAME_fuzz [FILE...] runs files; without files the corpus t/fuzz/corpus/NAME
 * and FUZZ_ROUNDS mutations of it from FUZZ_SEED, the same ones every time. An input that breaks
 * something is written to NAME_fuzz.crash. */

#define FILES_MAX 256u
#define INPUT_MAX 16384u

struct input {
    uint8_t data[INPUT_MAX];
    size_t size;
};

static struct input corpus[FILES_MAX];
static unsigned corpus_count;
static struct input current;
static char crash_path[256];

static void on_crash(int number)
{
    static volatile sig_atomic_t done;
    if (!done) {
        done = 1;
        FILE *file = fopen(crash_path, "wb"); /* it is over anyway: no matter what is safe here */
        if (file != NULL) {
            (void)!fwrite(current.data, 1, current.size, file);
            (void)fclose(file);
        }
        fprintf(stderr, "# the input is in %s\n", crash_path);
    }
    signal(number, SIG_DFL);
    raise(number);
}

static bool input_read(struct input *input, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    input->size = fread(input->data, 1, sizeof(input->data), file);
    fclose(file);
    return true;
}

static void corpus_read(const char *path)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort); /* the order is part of the seed */
    if (count < 0) {
        printf("Bail out! %s cannot be read\n", path);
        exit(1);
    }
    for (int i = 0; i < count; i++) {
        char *file = xasprintf("%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && corpus_count < FILES_MAX &&
            input_read(&corpus[corpus_count], file))
            corpus_count++;
        free(file);
        free(names[i]);
    }
    free(names);
}

static void run(const struct input *input)
{
    if (input != &current)
        current = *input;
    (void)LLVMFuzzerTestOneInput(current.data, current.size);
}

/* Replaces `removed` bytes at `at` by those of data, as far as they fit. */
static void splice(struct input *input, size_t at, size_t removed, struct span data)
{
    size_t tail = input->size - at - removed;
    size_t added = MIN(data.len, sizeof(input->data) - input->size + removed);
    memmove(input->data + at + added, input->data + at + removed, tail);
    if (added > 0)
        memcpy(input->data + at, data.ptr, added);
    input->size = input->size - removed + added;
}

static void mutate_once(struct input *input, struct rand_state *rand)
{
    static const char *const tokens[] = {"\r\n",
                                         "\n",
                                         "\r",
                                         "\0",
                                         " ",
                                         "\t",
                                         ":",
                                         ",",
                                         ";",
                                         "=",
                                         "0",
                                         "-1",
                                         "18446744073709551615",
                                         "%00",
                                         "%2e",
                                         "..",
                                         "/",
                                         "\\",
                                         "\x80",
                                         "\xff",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         "\"",
                                         "'",
                                         "---\n",
                                         "*",
                                         "&a",
                                         "chunked",
                                         "Content-Length: 1\r\n",
                                         "Transfer-Encoding: chunked\r\n",
                                         "0\r\n\r\n",
                                         "HTTP/1.1"};
    static uint8_t piece[INPUT_MAX];
    size_t at = rand_below(rand, (uint32_t)input->size + 1);
    size_t len = MIN((size_t)1 + rand_below(rand, 16), input->size - at);
    const struct input *other = &corpus[rand_below(rand, corpus_count)];
    const char *token = tokens[rand_below(rand, ARRAY_COUNT(tokens))];
    size_t from = rand_below(rand, (uint32_t)other->size + 1);

    switch (rand_below(rand, 7)) {
    case 0:
        if (at < input->size)
            input->data[at] ^= (uint8_t)(1u << rand_below(rand, 8));
        break;
    case 1:
        splice(input, at, len, SPAN_NONE);
        break;
    case 2:
        splice(input, at, 0, span_make(token, MAX(strlen(token), (size_t)1)));
        break;
    case 3:
        splice(input, at, len, span_make(token, MAX(strlen(token), (size_t)1)));
        break;
    case 4: /* twice */
        memcpy(piece, input->data + at, len);
        splice(input, at, 0, span_make((char *)piece, len));
        break;
    case 5: /* a part of another */
        splice(input, at, len,
               span_make((const char *)other->data + from, MIN(other->size - from, (size_t)64)));
        break;
    default:
        input->size = at;
        break;
    }
}

static uint64_t number_of(const char *name, uint64_t value)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : value;
}

static void run_mutations(void)
{
    uint64_t seed = number_of("FUZZ_SEED", 1), rounds = number_of("FUZZ_ROUNDS", fuzz_rounds);
    struct rand_state rand;
    rand_seed(&rand, seed);
    for (uint64_t i = 0; i < rounds; i++) {
        current = corpus[rand_below(&rand, corpus_count)];
        for (unsigned k = 1 + rand_below(&rand, 6); k > 0; k--)
            mutate_once(&current, &rand);
        run(&current);
    }
    printf("ok 2 - %" PRIu64 " mutations from seed %" PRIu64 "\n", rounds, seed);
}

/* "h1" of "/x/h1_fuzz" and of "/x/.libs/lt-h1_fuzz". */
static struct span target_name(const char *program)
{
    const char *slash = strrchr(program, '/');
    struct span name = span_str(slash != NULL ? slash + 1 : program);
    return span_make(name.ptr, name.len - MIN(name.len, strlen("_fuzz")));
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct span name = target_name(argv[0]);
    const char *top = getenv("abs_top_srcdir");
    char path[4096];

    snprintf(crash_path, sizeof(crash_path), "%.*s_fuzz.crash", (int)MIN(name.len, (size_t)64),
             name.ptr);
    for (unsigned i = 0; i < ARRAY_COUNT(signals); i++)
        signal(signals[i], on_crash);
    for (int i = 1; i < argc; i++) {
        if (!input_read(&current, argv[i])) {
            fprintf(stderr, "%s cannot be read\n", argv[i]);
            return 1;
        }
        run(&current);
    }
    if (argc > 1)
        return 0;
    snprintf(path, sizeof(path), "%s/t/fuzz/corpus/%.*s", top != NULL ? top : ".", SPAN_ARG(name));
    corpus_read(path);
    printf("1..2\n");
    for (unsigned i = 0; i < corpus_count; i++)
        run(&corpus[i]);
    printf("%s 1 - %u files of the corpus\n", corpus_count > 0 ? "ok" : "not ok", corpus_count);
    if (corpus_count > 0)
        run_mutations();
    return 0;
}
