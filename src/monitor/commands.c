/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One function and one row of the table at the end per command; yado-run(1) has the same list.
 * A row names the arguments, so that a misspelt one is refused instead of ignored.
 */
#include "monitor/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "monitor/codepage.h"
#include "monitor/definition.h"
#include "monitor/png.h"

#define SCREENSHOT_PIXELS_MAX (4096u * 4096u)
#define CHORDS_MAX 256u
#define TEXT_CELLS_MAX 32768u

struct command {
    const char *name;
    const char
        *arguments[5]; /* "name:s" string, "name:b" boolean, "name:i" number, "name:a" array */
    int (*run)(struct commands *c, json_t *args, json_t **ret_value, struct error *err);
};

static const char *argument_string(json_t *args, const char *name)
{
    return json_string_value(json_object_get(args, name));
}

static int cmd_status(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    uint64_t done = 0, total = 0, beats;
    enum machine_work work;
    bool asleep;
    const char *state = machine_end(c->machine) != MACHINE_RUNS ? "ended"
                        : machine_is_paused(c->machine)         ? "paused"
                                                                : "running";

    (void)args;
    (void)err;
    if (machine_disk_is_full(c->machine))
        state = "disk-full";
    work = machine_working(c->machine, &done, &total);
    if (work)
        state = work == MACHINE_SAVING ? "saving" : "restoring";
    beats = machine_beats(c->machine, &asleep);
    *ret_value = json_pack("{s:s, s:s, s:s, s:I, s:I, s:b}", "name", c->name, "state", state,
                           "engine", machine_engine_name(c->machine), "time-ns",
                           (json_int_t)machine_time_ns(c->machine), "beats", (json_int_t)beats,
                           "asleep", asleep);
    if (work && *ret_value) {
        json_object_set_new(*ret_value, "done-bytes", json_integer((json_int_t)done));
        json_object_set_new(*ret_value, "total-bytes", json_integer((json_int_t)total));
    }
    return 0;
}

/* What would move the machine has to wait while it is saved or restored. */
static int check_idle(const struct commands *c, struct error *err)
{
    uint64_t done, total;

    return machine_working(c->machine, &done, &total) == MACHINE_IDLE
               ? 0
               : error_set(err, -EAGAIN,
                           "the machine is being saved or restored; wait for it, or give "
                           "save-cancel");
}

static int cmd_save(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    const char *path = argument_string(args, "path");
    int r;

    (void)ret_value;
    if (path && !*path)
        return error_set(err, -EINVAL, "path: the name of a file is missing");
    r = machine_save(c->machine, path, json_is_true(json_object_get(args, "continue")), err);
    if (r == 0)
        work_watch(c->work);
    return r;
}

static int cmd_save_cancel(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    uint64_t done, total;

    (void)args;
    (void)ret_value;
    if (machine_working(c->machine, &done, &total) != MACHINE_SAVING)
        return error_set(err, -EINVAL, "the machine is not being saved");
    machine_cancel(c->machine);
    return 0;
}

static int cmd_reserve_state(struct commands *c, json_t *args, json_t **ret_value,
                             struct error *err)
{
    const char *path = argument_string(args, "path");

    (void)ret_value;
    if (!path || !*path)
        return error_set(err, -EINVAL, "path: the name of a file is missing");
    return machine_reserve(c->machine, path, err);
}

static int cmd_pause(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    int r = check_idle(c, err);

    (void)args;
    (void)ret_value;
    if (r == 0)
        machine_pause(c->machine);
    return r;
}

static int cmd_resume(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    int r = check_idle(c, err);

    (void)args;
    (void)ret_value;
    if (r == 0)
        machine_resume(c->machine);
    return r;
}

static int cmd_reset(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    int r = check_idle(c, err);

    (void)args;
    (void)ret_value;
    if (r == 0)
        machine_reset(c->machine);
    return r;
}

static int cmd_powerdown(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    (void)args;
    (void)ret_value;
    (void)err;
    machine_powerdown(c->machine);
    return 0;
}

static int cmd_nmi(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    (void)args;
    (void)ret_value;
    (void)err;
    machine_nmi(c->machine);
    return 0;
}

static int cmd_quit(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    (void)args;
    (void)ret_value;
    (void)err;
    c->quit(c->ctx);
    return 0;
}

/* Write a new file under a name of its own, then put it in the place of path. */
int commands_write_file(const char *path, const uint8_t *data, size_t len, struct error *err)
{
    AUTO_FREE char *temporary = NULL;
    AUTO_FD int fd = -1;
    size_t done = 0;
    int r = 0;

    if (asprintf(&temporary, "%s.%d.part", path, getpid()) < 0) {
        temporary = NULL;
        return -ENOMEM;
    }
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    while (done < len) {
        ssize_t n = write(fd, data + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            r = -errno;
            break;
        }
        done += (size_t)n;
    }
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(temporary);
        return error_set(err, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}

static char *base64(const uint8_t *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((len + 2) / 3 * 4 + 1), *p = text;

    if (!text)
        return NULL;
    for (size_t i = 0; i < len; i += 3) {
        size_t rest = len - i;
        uint32_t v = (uint32_t)data[i] << 16 | (rest > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                     (rest > 2 ? data[i + 2] : 0u);

        *p++ = digits[v >> 18];
        *p++ = digits[v >> 12 & 63];
        *p++ = rest > 1 ? digits[v >> 6 & 63] : '=';
        *p++ = rest > 2 ? digits[v & 63] : '=';
    }
    *p = '\0';
    return text;
}

/* wanted: 0, or how wide it shall be at most. */
static int screenshot_png(struct machine *m, unsigned wanted, unsigned *ret_width,
                          unsigned *ret_height, uint8_t **ret_png, size_t *ret_len,
                          struct error *err)
{
    AUTO_FREE uint32_t *pixels = NULL;
    unsigned width, height;

    machine_lock(m);
    machine_screen_size(m, &width, &height);
    if (width && height && width <= SCREENSHOT_PIXELS_MAX / height)
        pixels = calloc((size_t)width * height, sizeof(*pixels));
    if (pixels)
        machine_screen_draw(m, pixels, width, height, true);
    machine_unlock(m);
    if (!pixels)
        return error_set(err, -EIO, "the screen shows nothing now");
    if (wanted && wanted < width) {
        unsigned small_height = MAX((unsigned)((uint64_t)height * wanted / width), 1u);
        uint32_t *small = NULL;
        int r = png_shrink(pixels, width, height, wanted, small_height, &small);

        if (r < 0)
            return r;
        free(pixels);
        pixels = small;
        width = wanted;
        height = small_height;
    }
    *ret_width = width;
    *ret_height = height;
    return png_encode(pixels, width, height, ret_png, ret_len);
}

static int cmd_screenshot(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    const char *path = argument_string(args, "path");
    AUTO_FREE uint8_t *png = NULL;
    AUTO_FREE char *text = NULL;
    json_t *wanted = json_object_get(args, "width");
    unsigned width = 0, height = 0;
    size_t len = 0;
    int r;

    if (wanted && (json_integer_value(wanted) < 1 || json_integer_value(wanted) > 4096))
        return error_set(err, -EINVAL, "width: give 1 to 4096");

    if (path && !*path)
        return error_set(err, -EINVAL, "path: the name of a file is missing");
    r = screenshot_png(c->machine, (unsigned)json_integer_value(wanted), &width, &height, &png,
                       &len, err);
    if (r < 0)
        return r;
    if (path) {
        *ret_value =
            json_pack("{s:s, s:i, s:i}", "path", path, "width", (int)width, "height", (int)height);
        return commands_write_file(path, png, len, err);
    }
    text = base64(png, len);
    if (!text)
        return -ENOMEM;
    *ret_value =
        json_pack("{s:s, s:i, s:i}", "png", text, "width", (int)width, "height", (int)height);
    return 0;
}

static int cmd_screen_text(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    AUTO_FREE uint8_t *codes = malloc(TEXT_CELLS_MAX);
    AUTO_FREE char *line = malloc(TEXT_CELLS_MAX * CODEPAGE_BYTES_MAX + 1);
    unsigned columns = 0, rows = 0;
    json_t *lines;
    bool ok;

    (void)args;
    if (!codes || !line)
        return -ENOMEM;
    machine_lock(c->machine);
    ok = machine_screen_text(c->machine, codes, TEXT_CELLS_MAX, &columns, &rows);
    machine_unlock(c->machine);
    if (!ok)
        return error_set(err, -EIO, "the screen is in a graphics mode; use screenshot");
    lines = json_array();
    for (unsigned row = 0; row < rows; row++) {
        codepage_line(codes + (size_t)row * columns, columns, line);
        json_array_append_new(lines, json_string(line));
    }
    *ret_value = json_pack("{s:o, s:i}", "lines", lines, "columns", (int)columns);
    return 0;
}

static int cmd_send_keys(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    json_t *keys = json_object_get(args, "keys"), *chord;
    size_t i;

    (void)ret_value;
    if (!keys || json_array_size(keys) > CHORDS_MAX)
        return error_set(err, -EINVAL, "keys: give an array of at most %u strings", CHORDS_MAX);
    json_array_foreach(keys, i, chord) if (!json_is_string(chord)) return error_set(
        err, -EINVAL, "keys: give strings such as \"ctrl-alt-delete\"");
    json_array_foreach(keys, i, chord)
    {
        int r = typist_chord(c->typist, json_string_value(chord), err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int cmd_type_text(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    json_t *text = json_object_get(args, "text");

    (void)ret_value;
    if (!text)
        return error_set(err, -EINVAL, "text: missing");
    return typist_text(c->typist, json_string_value(text), json_string_length(text), err);
}

static int cmd_eject(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    const char *drive = argument_string(args, "drive");

    (void)ret_value;
    if (!drive)
        return error_set(err, -EINVAL, "drive: give cdrom or floppy");
    return machine_eject(c->machine, drive, json_is_true(json_object_get(args, "force")), err);
}

static int cmd_insert(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    const char *drive = argument_string(args, "drive"), *path = argument_string(args, "path");

    (void)ret_value;
    if (!drive || !path)
        return error_set(err, -EINVAL, "give drive (cdrom or floppy) and path");
    return machine_insert(c->machine, drive, path, err);
}

static int cmd_undo(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    const char *action = argument_string(args, "action");
    enum undo undo = UNDO_KEEP;
    int r;

    (void)ret_value;
    if (!action)
        return error_set(err, -EINVAL, "action: give keep, commit or discard");
    r = definition_parse_undo(action, &undo, err);
    return r < 0 ? r : machine_set_undo(c->machine, undo, err);
}

static const struct command commands[] = {
    {"status", {NULL}, cmd_status},
    {"pause", {NULL}, cmd_pause},
    {"resume", {NULL}, cmd_resume},
    {"reset", {NULL}, cmd_reset},
    {"powerdown", {NULL}, cmd_powerdown},
    {"nmi", {NULL}, cmd_nmi},
    {"quit", {NULL}, cmd_quit},
    {"save", {"path:s", "continue:b"}, cmd_save},
    {"save-cancel", {NULL}, cmd_save_cancel},
    {"reserve-state", {"path:s"}, cmd_reserve_state},
    {"screenshot", {"path:s", "width:i"}, cmd_screenshot},
    {"screen-text", {NULL}, cmd_screen_text},
    {"send-keys", {"keys:a"}, cmd_send_keys},
    {"type-text", {"text:s"}, cmd_type_text},
    {"eject", {"drive:s", "force:b"}, cmd_eject},
    {"undo", {"action:s"}, cmd_undo},
    {"insert", {"drive:s", "path:s"}, cmd_insert},
    {"disk-list", {NULL}, commands_disk_list},
    {"disk-add", {"path:s", "bus:s", "readonly:b"}, commands_disk_add},
    {"disk-remove", {"disk:s"}, commands_disk_remove},
    {"disk-limit",
     {"number:i", "read-bytes-per-second:i", "write-bytes-per-second:i", "reads-per-second:i",
      "writes-per-second:i"},
     commands_disk_limit},
    {"net-list", {NULL}, commands_net_list},
    {"net-link", {"adapter:i", "up:b"}, commands_net_link},
    {"net-connect", {"adapter:i", "to:s"}, commands_net_connect},
    {"net-forward", {"adapter:i", "forward:s", "remove:b"}, commands_net_forward},
};

static int check_argument(const struct command *command, const char *name, json_t *value,
                          struct error *err)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < ARRAY_LEN(command->arguments) && command->arguments[i]; i++) {
        const char *known = command->arguments[i];

        if (strlen(known) != len + 2 || memcmp(known, name, len))
            continue;
        switch (known[len + 1]) {
        case 's':
            return json_is_string(value) ? 0 : error_set(err, -EINVAL, "%s: give a string", name);
        case 'b':
            return json_is_boolean(value) ? 0
                                          : error_set(err, -EINVAL, "%s: give true or false", name);
        case 'i':
            return json_is_integer(value) ? 0 : error_set(err, -EINVAL, "%s: give a number", name);
        default:
            return json_is_array(value) ? 0 : error_set(err, -EINVAL, "%s: give an array", name);
        }
    }
    return error_set(err, -EINVAL, "%s has no argument '%.64s'", command->name, name);
}

int commands_execute(void *ctx, const char *name, json_t *arguments, json_t **ret_value,
                     struct error *err)
{
    const char *key;
    json_t *value;

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name))
            continue;
        json_object_foreach(arguments, key, value)
        {
            int r = check_argument(&commands[i], key, value, err);
            if (r < 0)
                return r;
        }
        return commands[i].run(ctx, arguments, ret_value, err);
    }
    return error_set(err, -ENOSYS, "'%.64s' is not a command; yado-run(1) lists them", name);
}
