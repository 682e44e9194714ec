// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The file is looked at with each command and read when its inode, its time of change or its size
 * is another: an editor that renames may leave the time as it was, as far as the clock tells. A
 * malformed line is logged and does nothing.
 */
#include "simulator/fault.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/parse.h"

#define FAULT_FILE_MAX    16384
#define FAULT_LATENCY_MAX 3600000

/* One or two hexadecimal digits, with or without 0x, up to `end`; *text moves behind `end`. */
static bool fault_parse_byte(char **text, char end, uint8_t *ret_byte)
{
    unsigned value = 0, digits = 0;
    char *at = *text;

    if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
        at += 2;
    for (; isxdigit((unsigned char)*at) && digits < 3; digits++, at++)
        value = value << 4 |
                (unsigned)(isdigit((unsigned char)*at) ? *at - '0' : (*at | 32) - 'a' + 10);
    if (digits < 1 || digits > 2 || *at != end)
        return false;
    *text = at + 1;
    *ret_byte = (uint8_t)value;
    return true;
}

static bool fault_parse_sense(char *text, struct spc_sense *ret_sense)
{
    return fault_parse_byte(&text, '/', &ret_sense->key) && ret_sense->key <= 0xf &&
           fault_parse_byte(&text, '/', &ret_sense->asc) &&
           fault_parse_byte(&text, '\0', &ret_sense->ascq);
}

bool fault_parse_line(char *line, const char **ret_path, struct fault *ret_fault)
{
    static const char blanks[] = " \t\r";
    char *words[4] = {NULL};
    size_t n_words = 0;
    uint64_t number;
    char *rest = line;
    char *word;

    line[strcspn(line, "#")] = '\0';
    while (n_words < 4 && (word = strsep(&rest, blanks))) {
        if (*word)
            words[n_words++] = word;
    }
    *ret_path = NULL;
    if (n_words == 0)
        return true;
    memset(ret_fault, 0, sizeof(*ret_fault));
    if (n_words == 2 && strcmp(words[1], "hang") == 0) {
        ret_fault->kind = FAULT_HANG;
    } else if (n_words == 3 && strcmp(words[1], "latency") == 0 &&
               parse_number(words[2], FAULT_LATENCY_MAX, &number)) {
        ret_fault->kind = FAULT_LATENCY;
        ret_fault->latency_ms = (unsigned)number;
    } else if (n_words == 3 && strcmp(words[1], "status") == 0 &&
               fault_parse_byte(&words[2], '\0', &ret_fault->status)) {
        ret_fault->kind = FAULT_STATUS;
    } else if (n_words == 3 && strcmp(words[1], "sense") == 0 &&
               fault_parse_sense(words[2], &ret_fault->sense)) {
        ret_fault->kind = FAULT_SENSE;
    } else if (n_words == 3 && strcmp(words[1], "quirk") == 0 &&
               quirk_parse(words[2], &ret_fault->quirk)) {
        ret_fault->kind = FAULT_QUIRK;
    } else {
        return false;
    }
    *ret_path = words[0];
    return true;
}

void faults_init(struct faults *faults, const char *path)
{
    memset(faults, 0, sizeof(*faults));
    faults->path = path;
    pthread_mutex_init(&faults->lock, NULL);
}

void faults_deinit(struct faults *faults)
{
    pthread_mutex_destroy(&faults->lock);
}

static void faults_read(struct faults *faults)
{
    char text[FAULT_FILE_MAX];
    char *line, *rest = text;
    ssize_t n = fdio_read_text(AT_FDCWD, faults->path, text, sizeof(text));

    faults->n_entries = 0;
    if (n >= (ssize_t)sizeof(text) - 2)
        n = -EFBIG; /* what did not fit may have cut a line in two */
    if (n < 0) {
        log_error("cannot read %s: %s", faults->path, strerror((int)-n));
        return;
    }
    for (unsigned number = 1; (line = strsep(&rest, "\n")); number++) {
        struct fault_entry *entry = &faults->entries[faults->n_entries];
        const char *path;
        struct fault fault;
        struct stat status;

        if (!fault_parse_line(line, &path, &fault)) {
            log_error("%s:%u: expected LUN and hang, latency MS, status HEX, sense K/AA/QQ or "
                      "quirk NAME",
                      faults->path, number);
        } else if (path && stat(path, &status) < 0) {
            log_error("%s:%u: %s: %s", faults->path, number, path, strerror(errno));
        } else if (path && faults->n_entries == FAULT_MAX) {
            log_error("%s:%u: more than %d faults", faults->path, number, FAULT_MAX);
            return;
        } else if (path) {
            *entry = (struct fault_entry){status.st_dev, status.st_ino, fault};
            faults->n_entries++;
        }
    }
}

/* Called under the lock. */
static void faults_refresh(struct faults *faults)
{
    struct stat status;

    if (stat(faults->path, &status) < 0) {
        faults->n_entries = 0;
        faults->size = -1;
        return;
    }
    if (status.st_ino == faults->inode && status.st_size == faults->size &&
        status.st_mtim.tv_sec == faults->changed.tv_sec &&
        status.st_mtim.tv_nsec == faults->changed.tv_nsec)
        return;
    faults->inode = status.st_ino;
    faults->size = status.st_size;
    faults->changed = status.st_mtim;
    faults_read(faults);
}

struct fault faults_find(struct faults *faults, dev_t device, ino_t inode)
{
    struct fault found = {.kind = FAULT_NONE};

    if (!faults->path)
        return found;
    pthread_mutex_lock(&faults->lock);
    faults_refresh(faults);
    for (size_t i = 0; i < faults->n_entries; i++) {
        if (faults->entries[i].device == device && faults->entries[i].inode == inode) {
            found = faults->entries[i].fault;
            break;
        }
    }
    pthread_mutex_unlock(&faults->lock);
    return found;
}
