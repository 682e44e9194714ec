// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * replay CORPUS...: give a fuzz target each input of these files, without a fuzzer. A corpus is
 * text, one input a line in hexadecimal, so that it can be read and compared in a review; "#"
 * begins a comment, "-" is the empty input. Prints TAP, one line for each file.
 *
 * The input that made the target abort is told on standard error by its line.
 */
#include <ctype.h>
#include <signal.h>
#include <unistd.h>

#include "fuzz.h"

static char where[4096]; /* the input that is being tried */

static void tell_where(int signal_number)
{
    (void)!write(STDERR_FILENO, where, strlen(where));
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static int hex_digit(int c)
{
    return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

/* Returns the number of bytes, or -1 if the line is no input. */
static int decode_line(const char *line, uint8_t *bytes)
{
    int size = 0;

    if (strcmp(line, "-") == 0)
        return 0;
    for (; line[0]; line += 2) {
        int high = hex_digit((unsigned char)line[0]);
        int low = high < 0 ? -1 : hex_digit((unsigned char)line[1]);

        if (low < 0 || size == FUZZ_INPUT_MAX)
            return -1;
        bytes[size++] = (uint8_t)(high << 4 | low);
    }
    return size;
}

/* Returns the number of inputs, or -1 if the file is not a corpus. */
static int replay(const char *path)
{
    static char line[2 * FUZZ_INPUT_MAX + 2];
    static uint8_t bytes[FUZZ_INPUT_MAX];
    FILE *corpus = fopen(path, "re");
    int count = 0;

    if (!corpus)
        return -1;
    for (unsigned number = 1; fgets(line, sizeof(line), corpus); number++) {
        int size;
        uint8_t *input;

        line[strcspn(line, "\n")] = '\0';
        if (!line[0] || line[0] == '#')
            continue;
        snprintf(where, sizeof(where), "%s:%u: this input\n", path, number);
        size = decode_line(line, bytes);
        input = malloc((size_t)size + 1); /* its own, for valgrind and the sanitizers to watch */
        if (size < 0 || !input) {
            fputs(where, stderr);
            free(input);
            count = -1;
            break;
        }
        memcpy(input, bytes, (size_t)size);
        fuzz_check(LLVMFuzzerTestOneInput(input, (size_t)size) == 0);
        free(input);
        count++;
    }
    fclose(corpus);
    return count;
}

int main(int argc, char **argv)
{
    FILE *tap = fdopen(dup(STDOUT_FILENO), "w"); /* targets may send stdout elsewhere */
    int failed = 0;

    fuzz_check(tap);
    signal(SIGABRT, tell_where);
    signal(SIGSEGV, tell_where);
    setvbuf(tap, NULL, _IOLBF, BUFSIZ);
    for (int i = 1; i < argc; i++) {
        const char *name = strrchr(argv[i], '/') ? strrchr(argv[i], '/') + 1 : argv[i];
        int count = replay(argv[i]);

        failed |= count <= 0;
        fprintf(tap, "%sok %d - every property of %s holds for %d inputs\n",
                count <= 0 ? "not " : "", i, name, count);
    }
    fprintf(tap, "1..%d\n", argc - 1);
    fclose(tap);
    return failed;
}
