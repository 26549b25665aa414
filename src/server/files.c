/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

char *files_join(const char *folder, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

int files_folder(const char *path, unsigned mode, struct error *err)
{
    struct stat st;

    if (mkdir(path, mode) == 0 || errno == EEXIST) {
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            return 0;
        return error_set(err, -ENOTDIR, "%s is not a folder", path);
    }
    return error_set(err, -errno, "%s cannot be made: %s", path, strerror(errno));
}

int files_read(const char *path, size_t max_bytes, char **ret_text, size_t *ret_len,
               struct error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    AUTO_FREE char *text = NULL;
    struct stat st;
    size_t len = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max_bytes)
        return error_set(err, -EINVAL, "%s is not a file of at most %zu bytes", path, max_bytes);
    text = malloc((size_t)st.st_size + 1);
    if (!text)
        return -ENOMEM;
    while (len < (size_t)st.st_size) {
        ssize_t n = read(fd, text + len, (size_t)st.st_size - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, -errno, "%s: %s", path, strerror(errno));
        if (n == 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    *ret_text = TAKE_PTR(text);
    *ret_len = len;
    return 0;
}

int files_flush_folder(const char *path)
{
    AUTO_FREE char *folder = strdup(path);
    AUTO_FD int fd = -1;
    char *slash = folder ? strrchr(folder, '/') : NULL;

    if (!folder)
        return -ENOMEM;
    if (slash)
        *(slash == folder ? slash + 1 : slash) = '\0';
    fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int files_replace(const char *path, const void *data, size_t len_bytes, unsigned mode,
                  struct error *err)
{
    AUTO_FREE char *temporary = NULL;
    AUTO_FD int fd = -1;
    int r;

    if (asprintf(&temporary, "%s.new", path) < 0) {
        temporary = NULL;
        return -ENOMEM;
    }
    /* One process writes here (it holds the lock of the state), so a leftover is a crash's. */
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return error_set(err, -errno, "%s cannot be written: %s", path, strerror(errno));
    r = write_all(fd, data, len_bytes);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r == 0)
        r = files_flush_folder(path);
    if (r < 0) {
        unlink(temporary);
        return error_set(err, r, "%s cannot be written: %s", path, strerror(-r));
    }
    return 0;
}

int files_read_json(const char *path, json_t **ret_object, struct error *err)
{
    AUTO_FREE char *text = NULL;
    json_error_t why;
    json_t *object;
    size_t len;
    int r = files_read(path, FILES_JSON_MAX, &text, &len, err);

    if (r < 0)
        return r;
    object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (!object)
        return error_set(err, -EINVAL, "%s: line %d: not JSON: %s", path, why.line, why.text);
    if (!json_is_object(object)) {
        json_decref(object);
        return error_set(err, -EINVAL, "%s: not a JSON object", path);
    }
    *ret_object = object;
    return 0;
}

int files_replace_json(const char *path, json_t *object, unsigned mode, struct error *err)
{
    AUTO_FREE char *text = json_dumps(object, JSON_INDENT(2));
    size_t len = text ? strlen(text) : 0;

    if (!text)
        return -ENOMEM;
    text[len++] = '\n'; /* in the place of the NUL */
    return files_replace(path, text, len, mode, err);
}

int files_remove(const char *path, struct error *err)
{
    if (unlink(path) < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(err, -errno, "%s cannot be removed: %s", path, strerror(errno));
    files_flush_folder(path);
    return 0;
}
