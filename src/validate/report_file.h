// SPDX-License-Identifier: LGPL-2.1-or-later
/* The report's two files: text, and JSON. They are open before anything is sent. */
#ifndef VALIDATE_REPORT_FILE_H
#define VALIDATE_REPORT_FILE_H

#include <json.h>
#include <limits.h>
#include <stdbool.h>

struct report_file {
    char path[PATH_MAX];
    int fd;       /* -1: not open */
    bool created; /* it was not there before */
};

struct report_files {
    struct report_file text, json;
};

/*
 * Open `path`, and `path` with ".json" behind it, for writing. What is in them stays. Returns 0, or
 * a negative errno, after which nothing is open: -EINVAL if one of them is no regular file.
 */
int report_file_open(struct report_files *files, const char *path);

/* Write the report to both, in the place of what was in them. Returns 0 or a negative errno. */
int report_file_save(struct report_files *files, struct json_object *report);

/* Close what is open, and remove files that were made for a report that was not written. */
void report_file_close(struct report_files *files);

#endif
