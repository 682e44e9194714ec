// SPDX-License-Identifier: LGPL-2.1-or-later
#include "validate/report_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "validate/report.h"

/* Not truncated before there is something to write: what an earlier run found may be in it. */
static int report_file_open_one(struct report_file *file)
{
    const int flags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    struct stat status;

    file->fd = open(file->path, flags | O_CREAT | O_EXCL, 0666);
    file->created = file->fd >= 0;
    if (file->fd < 0 && errno == EEXIST)
        file->fd = open(file->path, flags);
    if (file->fd < 0 || fstat(file->fd, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) ? 0 : -EINVAL;
}

static void report_file_close_one(struct report_file *file)
{
    if (file->fd < 0)
        return;
    close(file->fd);
    file->fd = -1;
    if (file->created)
        unlink(file->path);
}

int report_file_open(struct report_files *files, const char *path)
{
    int r;

    files->text.fd = files->json.fd = -1;
    if ((size_t)snprintf(files->text.path, sizeof(files->text.path), "%s", path) >=
            sizeof(files->text.path) ||
        (size_t)snprintf(files->json.path, sizeof(files->json.path), "%s.json", path) >=
            sizeof(files->json.path))
        return -ENAMETOOLONG;
    r = report_file_open_one(&files->text);
    if (r == 0)
        r = report_file_open_one(&files->json);
    if (r < 0)
        report_file_close(files);
    return r;
}

static int report_file_write(struct report_file *file, struct json_object *report, bool as_json)
{
    FILE *stream;
    int r;

    if (ftruncate(file->fd, 0) < 0)
        return -errno;
    stream = fdopen(file->fd, "w");
    if (!stream)
        return -errno;
    file->fd = -1;
    if (as_json)
        fprintf(stream, "%s\n",
                json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY |
                                                           JSON_C_TO_STRING_SPACED |
                                                           JSON_C_TO_STRING_NOSLASHESCAPE));
    else
        report_all(stream, report);
    r = ferror(stream) ? -EIO : 0;
    return fclose(stream) == 0 ? r : -errno;
}

int report_file_save(struct report_files *files, struct json_object *report)
{
    int r = report_file_write(&files->text, report, false);

    return r < 0 ? r : report_file_write(&files->json, report, true);
}

void report_file_close(struct report_files *files)
{
    report_file_close_one(&files->text);
    report_file_close_one(&files->json);
}
