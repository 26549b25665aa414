/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options and JSON definitions. One table says which names there are and how each is checked;
 * both forms walk it.
 */
#include "monitor/definition.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#define DEFINITION_BYTES_MAX MIB(1)

struct option {
    const char *name;
    bool flag; /* takes no value; true or false in JSON */
    int (*set)(struct definition *def, const char *value, struct error *err);
};

static int set_string(char **where, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return -ENOMEM;
    free(*where);
    *where = copy;
    return 0;
}

static int choose(const char *option, const char *value, const char *const *choices,
                  unsigned *ret_choice, struct error *err)
{
    char list[128] = "";

    for (unsigned i = 0; choices[i]; i++) {
        size_t used = strlen(list);

        if (!strcmp(value, choices[i])) {
            *ret_choice = i;
            return 0;
        }
        snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", choices[i]);
    }
    return error_set(err, -EINVAL, "--%s: '%s' is not one of %s", option, value, list);
}

static int set_file(char **where, const char *option, const char *value, struct error *err)
{
    if (!*value)
        return error_set(err, -EINVAL, "--%s: the name of a file is missing", option);
    return set_string(where, value);
}

int definition_parse_size(const char *text, uint64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    unsigned shift = 20;
    uint64_t value = 0;
    const char *p = text, *unit;

    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return -EINVAL;
    if (p == text)
        return -EINVAL;
    if (*p) {
        unit = strchr(units, *p >= 'a' ? *p - 32 : *p);
        if (!unit || !*unit)
            return -EINVAL;
        shift = 10 * (unsigned)(unit - units + 1);
        p++;
        if (*p == 'i')
            p++;
        if (*p == 'B' || *p == 'b')
            p++;
    }
    if (*p || value > UINT64_MAX >> shift)
        return -EINVAL;
    *ret_bytes = value << shift;
    return 0;
}

static int set_name(struct definition *def, const char *value, struct error *err)
{
    if (!*value || strlen(value) > 100)
        return error_set(err, -EINVAL, "--name: give 1 to 100 characters");
    return set_string(&def->name, value);
}

static int set_engine(struct definition *def, const char *value, struct error *err)
{
    static const char *const choices[] = {"auto",          "kvm",          "soft",
                                          "auto,portable", "kvm,portable", NULL};
    unsigned choice;

    /* What follows "soft," is for the engine to read. */
    if (!strncmp(value, "soft,", 5))
        return set_string(&def->engine, value);
    int r = choose("engine", value, choices, &choice, err);
    return r < 0 ? r : set_string(&def->engine, value);
}

static int set_cpus(struct definition *def, const char *value, struct error *err)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);

    if (*value < '0' || *value > '9' || *end || n < 1 || n > MACHINE_CPUS_MAX)
        return error_set(err, -EINVAL, "--cpus: '%s' is not a number from 1 to %u", value,
                         MACHINE_CPUS_MAX);
    def->cpus = (unsigned)n;
    return 0;
}

static int set_memory(struct definition *def, const char *value, struct error *err)
{
    uint64_t bytes;

    if (definition_parse_size(value, &bytes) < 0)
        return error_set(err, -EINVAL, "--memory: '%s' is not a size; write 512M or 2G", value);
    if (bytes < MACHINE_MEMORY_MIN || bytes > MACHINE_MEMORY_MAX || bytes % KIB(4))
        return error_set(err, -EINVAL, "--memory: %s is not from 1M to 512G in steps of 4K", value);
    def->memory_bytes = bytes;
    return 0;
}

static int set_firmware(struct definition *def, const char *value, struct error *err)
{
    return set_file(&def->firmware, "firmware", value, err);
}

static int set_kernel(struct definition *def, const char *value, struct error *err)
{
    return set_file(&def->kernel, "kernel", value, err);
}

static int set_initrd(struct definition *def, const char *value, struct error *err)
{
    return set_file(&def->initrd, "initrd", value, err);
}

static int set_append(struct definition *def, const char *value, struct error *err)
{
    (void)err;
    return set_string(&def->append, value);
}

static struct definition_disk *next_disk(struct definition *def, struct error *err)
{
    if (def->disk_count < MACHINE_DISKS_MAX)
        return &def->disks[def->disk_count];
    error_set(err, -EINVAL, "--disk: at most %u disks", MACHINE_DISKS_MAX);
    return NULL;
}

static int set_disk(struct definition *def, const char *value, struct error *err)
{
    struct definition_disk *disk = next_disk(def, err);
    int r = disk ? definition_disk_parse(value, disk, err) : -EINVAL;

    def->disk_count += r == 0;
    return r;
}

static int set_parents(struct definition *def, const char *value, struct error *err)
{
    if (def->parent_count == MACHINE_PARENTS_MAX)
        return error_set(err, -EINVAL, "--parents: at most %u folders", MACHINE_PARENTS_MAX);
    if (!*value)
        return error_set(err, -EINVAL, "--parents: the name of a folder is missing");
    return set_string(&def->parents[def->parent_count++], value);
}

int definition_parse_undo(const char *text, enum undo *ret_undo, struct error *err)
{
    static const char *const choices[] = {"keep", "commit", "discard", NULL};
    unsigned choice;
    int r = choose("undo", text, choices, &choice, err);

    if (r == 0)
        *ret_undo = (enum undo)(UNDO_KEEP + choice);
    return r;
}

static int set_undo(struct definition *def, const char *value, struct error *err)
{
    return definition_parse_undo(value, &def->undo, err);
}

static int set_cdrom(struct definition *def, const char *value, struct error *err)
{
    static const char sata[] = ",bus=sata";
    size_t len = strlen(value);
    AUTO_FREE char *path = NULL;

    if (len <= strlen(sata) || strcmp(value + len - strlen(sata), sata) != 0)
        return set_file(&def->cdrom, "cdrom", value, err);
    path = strndup(value, len - strlen(sata));
    if (!path)
        return -ENOMEM;
    def->cdrom_sata = true;
    return set_file(&def->cdrom, "cdrom", path, err);
}

static int set_floppy(struct definition *def, const char *value, struct error *err)
{
    return set_file(&def->floppy, "floppy", value, err);
}

static int set_boot(struct definition *def, const char *value, struct error *err)
{
    static const char *const choices[] = {"disk", "cdrom", "floppy", "network", NULL};
    unsigned choice;
    int r = choose("boot", value, choices, &choice, err);

    if (r < 0)
        return r;
    def->boot = (enum machine_boot)choice;
    def->boot_given = true;
    return 0;
}

static void nets_clear(struct definition *def)
{
    while (def->net_count)
        definition_net_done(&def->nets[--def->net_count]);
}

/* Each adds an adapter; none takes back those before it. */
static int add_net(struct definition *def, const struct definition_net *net, struct error *err)
{
    if (def->net_count == MACHINE_NETS_MAX)
        return error_set(err, -EINVAL, "--net: at most %u adapters", MACHINE_NETS_MAX);
    def->nets[def->net_count++] = *net;
    return 0;
}

static int set_net(struct definition *def, const char *value, struct error *err)
{
    struct definition_net net;
    int r;

    if (!strcmp(value, "none")) {
        nets_clear(def);
        return 0;
    }
    r = definition_net_parse(value, &net, err);
    if (r == 0 && (r = add_net(def, &net, err)) < 0)
        definition_net_done(&net);
    return r;
}

/* "file=PATH" and the like: the length of the key if the value is not empty. */
static bool has_path(const char *value, const char *key)
{
    size_t len = strlen(key);

    return !strncmp(value, key, len) && value[len];
}

static int set_line(char **where, const char *option, const char *value, struct error *err)
{
    if (strcmp(value, "stdio") && strcmp(value, "null") && !has_path(value, "file=") &&
        !has_path(value, "unix="))
        return error_set(err, -EINVAL, "--%s: '%s' is not one of stdio, null, file=PATH, unix=PATH",
                         option, value);
    return set_string(where, value);
}

static int set_serial(struct definition *def, const char *value, struct error *err)
{
    return set_line(&def->serial, "serial", value, err);
}

static int set_debug_console(struct definition *def, const char *value, struct error *err)
{
    return set_line(&def->debug_console, "debug-console", value, err);
}

static int set_display(struct definition *def, const char *value, struct error *err)
{
    if (strcmp(value, "none") && !has_path(value, "vnc="))
        return error_set(err, -EINVAL,
                         "--display: '%s' is not one of none, vnc=ADDR:PORT, vnc=unix:PATH", value);
    return set_string(&def->display, value);
}

static int set_control(struct definition *def, const char *value, struct error *err)
{
    if (!has_path(value, "unix="))
        return error_set(err, -EINVAL, "--control: '%s' is not unix=PATH", value);
    return set_string(&def->control, value + strlen("unix="));
}

static int set_restore(struct definition *def, const char *value, struct error *err)
{
    return set_file(&def->restore, "restore", value, err);
}

static int set_reserve_state(struct definition *def, const char *value, struct error *err)
{
    return set_file(&def->reserve_state, "reserve-state", value, err);
}

static int set_report(struct definition *def, const char *value, struct error *err)
{
    return set_file(&def->report, "report", value, err);
}

static int set_iommu(struct definition *def, const char *value, struct error *err)
{
    static const char *const choices[] = {"none", "intel", NULL};
    unsigned choice;
    int r = choose("iommu", value, choices, &choice, err);

    if (r == 0)
        def->iommu = (enum machine_iommu)choice;
    return r;
}

static int parse_flag(const char *option, const char *value, bool *ret_flag, struct error *err)
{
    static const char *const choices[] = {"false", "true", NULL};
    unsigned choice;
    int r = choose(option, value, choices, &choice, err);

    if (r == 0)
        *ret_flag = choice == 1;
    return r;
}

static int set_stats(struct definition *def, const char *value, struct error *err)
{
    return parse_flag("stats", value, &def->stats, err);
}

static int set_sata(struct definition *def, const char *value, struct error *err)
{
    return parse_flag("sata", value, &def->sata, err);
}

static int set_scsi(struct definition *def, const char *value, struct error *err)
{
    return parse_flag("scsi", value, &def->scsi, err);
}

static int set_edu(struct definition *def, const char *value, struct error *err)
{
    return parse_flag("edu", value, &def->edu, err);
}

static int set_debug_exit(struct definition *def, const char *value, struct error *err)
{
    return parse_flag("debug-exit", value, &def->debug_exit, err);
}

static int parse_policy(const char *option, const char *value, bool *ret_stop, struct error *err)
{
    static const char *const choices[] = {"reset", "stop", NULL};
    unsigned choice;
    int r = choose(option, value, choices, &choice, err);

    if (r == 0)
        *ret_stop = choice == 1;
    return r;
}

static int set_on_reset(struct definition *def, const char *value, struct error *err)
{
    return parse_policy("on-reset", value, &def->stop_on_reset, err);
}

static int set_on_triple_fault(struct definition *def, const char *value, struct error *err)
{
    return parse_policy("on-triple-fault", value, &def->stop_on_triple_fault, err);
}

static int set_definition(struct definition *def, const char *value, struct error *err);

static const struct option options[] = {
    {"name", false, set_name},
    {"definition", false, set_definition},
    {"engine", false, set_engine},
    {"cpus", false, set_cpus},
    {"memory", false, set_memory},
    {"firmware", false, set_firmware},
    {"kernel", false, set_kernel},
    {"initrd", false, set_initrd},
    {"append", false, set_append},
    {"disk", false, set_disk},
    {"parents", false, set_parents},
    {"undo", false, set_undo},
    {"cdrom", false, set_cdrom},
    {"floppy", false, set_floppy},
    {"sata", true, set_sata},
    {"scsi", true, set_scsi},
    {"iommu", false, set_iommu},
    {"edu", true, set_edu},
    {"boot", false, set_boot},
    {"net", false, set_net},
    {"serial", false, set_serial},
    {"debug-console", false, set_debug_console},
    {"display", false, set_display},
    {"control", false, set_control},
    {"restore", false, set_restore},
    {"reserve-state", false, set_reserve_state},
    {"report", false, set_report},
    {"debug-exit", true, set_debug_exit},
    {"stats", true, set_stats},
    {"on-reset", false, set_on_reset},
    {"on-triple-fault", false, set_on_triple_fault},
};

static const struct option *option_find(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (strlen(options[i].name) == len && !memcmp(options[i].name, name, len))
            return &options[i];
    return NULL;
}

static int read_whole(const char *path, char **ret_text, size_t *ret_len, struct error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_FREE char *text = NULL;
    struct stat st;
    size_t len = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, -errno, "--definition: %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > DEFINITION_BYTES_MAX)
        return error_set(err, -EINVAL, "--definition: %s: not a file of at most 1 MiB", path);
    text = malloc((size_t)st.st_size + 1);
    if (!text)
        return -ENOMEM;
    while (len < (size_t)st.st_size) {
        ssize_t n = read(fd, text + len, (size_t)st.st_size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, -errno, "--definition: %s: %s", path, strerror(errno));
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_text = TAKE_PTR(text);
    *ret_len = len;
    return 0;
}

static int set_definition(struct definition *def, const char *value, struct error *err)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    int r = read_whole(value, &text, &len, err);

    if (r < 0)
        return r;
    r = definition_parse_json(def, text, len, err);
    return r < 0 ? error_prefix(err, r, "%s", value) : 0;
}

int definition_parse_args(struct definition *def, int argc, char **argv, struct error *err)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *equals, *value;
        const struct option *option;
        int r;

        if (strncmp(arg, "--", 2) || !arg[2])
            return error_set(err, -EINVAL, "'%s' is not an option; see 'yado run --help'", arg);
        arg += 2;
        equals = strchr(arg, '=');
        option = option_find(arg, equals ? (size_t)(equals - arg) : strlen(arg));
        if (!option)
            return error_set(err, -EINVAL, "'%s' is not an option; see 'yado run --help'", argv[i]);
        if (equals)
            value = equals + 1;
        else if (option->flag)
            value = "true";
        else if (i + 1 < argc)
            value = argv[++i];
        else
            return error_set(err, -EINVAL, "--%s: a value is missing; see 'yado run --help'",
                             option->name);
        r = option->set(def, value, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int json_disk(struct definition *def, json_t *value, struct error *err)
{
    struct definition_disk *disk = next_disk(def, err);
    int r = disk ? definition_disk_parse_json(value, disk, err) : -EINVAL;

    def->disk_count += r == 0;
    return r;
}

static int json_net(struct definition *def, json_t *value, struct error *err)
{
    struct definition_net net;
    int r;

    if (json_is_string(value))
        return set_net(def, json_string_value(value), err);
    r = definition_net_parse_json(value, &net, err);
    if (r == 0 && (r = add_net(def, &net, err)) < 0)
        definition_net_done(&net);
    return r;
}

/* One, or a list. */
static int json_each(struct definition *def, json_t *value,
                     int (*add)(struct definition *def, json_t *one, struct error *err),
                     struct error *err)
{
    json_t *one;
    size_t i;
    int r;

    if (!json_is_array(value))
        return add(def, value, err);
    json_array_foreach(value, i, one)
    {
        r = add(def, one, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int json_option(struct definition *def, const struct option *option, json_t *value,
                       struct error *err)
{
    char number[32];

    if (!strcmp(option->name, "disk"))
        return json_each(def, value, json_disk, err);
    if (!strcmp(option->name, "net"))
        return json_each(def, value, json_net, err);
    if (option->flag && json_is_boolean(value))
        return option->set(def, json_is_true(value) ? "true" : "false", err);
    if (option->flag)
        return error_set(err, -EINVAL, "%s: give true or false", option->name);
    if (json_is_string(value))
        return option->set(def, json_string_value(value), err);
    if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        return option->set(def, number, err);
    }
    return error_set(err, -EINVAL, "%s: give a string", option->name);
}

int definition_parse_json(struct definition *def, const char *text, size_t len_bytes,
                          struct error *err)
{
    json_error_t jerr;
    json_t *root = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, &jerr);
    const char *key;
    json_t *value;
    int r = 0;

    if (!root)
        return error_set(err, -EINVAL, "line %d: not JSON: %s", jerr.line, jerr.text);
    if (!json_is_object(root))
        r = error_set(err, -EINVAL, "not a JSON object");
    json_object_foreach(root, key, value)
    {
        const struct option *option = option_find(key, strlen(key));

        if (!strcmp(key, "server")) /* what concerns yadod alone */
            continue;
        if (!option || option->set == set_definition)
            r = error_set(err, -EINVAL, "'%s' is not the name of an option of 'yado run'", key);
        else
            r = json_option(def, option, value, err);
        if (r < 0)
            break;
    }
    json_decref(root);
    return r;
}

int definition_init(struct definition *def)
{
    *def = (struct definition){.cpus = 1, .memory_bytes = MIB(512)};
    if (set_string(&def->name, "yado") < 0 || set_string(&def->engine, "auto") < 0 ||
        set_string(&def->firmware, "bios") < 0 || set_string(&def->serial, "stdio") < 0 ||
        set_string(&def->display, "none") < 0) {
        definition_done(def);
        return -ENOMEM;
    }
    return 0;
}

void definition_done(struct definition *def)
{
    nets_clear(def);
    for (unsigned i = 0; i < def->disk_count; i++)
        definition_disk_done(&def->disks[i]);
    for (unsigned i = 0; i < def->parent_count; i++)
        free(def->parents[i]);
    free(def->name);
    free(def->engine);
    free(def->firmware);
    free(def->kernel);
    free(def->initrd);
    free(def->append);
    free(def->cdrom);
    free(def->floppy);
    free(def->serial);
    free(def->debug_console);
    free(def->display);
    free(def->control);
    free(def->restore);
    free(def->reserve_state);
    free(def->report);
    *def = (struct definition){0};
}

/* What is tried first when nobody says: a disk if there is one, else what was given. */
static enum machine_boot default_boot(const struct definition *def)
{
    if (def->disk_count)
        return MACHINE_BOOT_DISK;
    if (def->cdrom)
        return MACHINE_BOOT_CDROM;
    if (def->floppy)
        return MACHINE_BOOT_FLOPPY;
    return MACHINE_BOOT_DISK;
}

void definition_to_config(const struct definition *def, struct machine_config *ret_config)
{
    *ret_config = (struct machine_config){
        .name = def->name,
        .engine = def->engine,
        .cpus = def->cpus,
        .memory_bytes = def->memory_bytes,
        .firmware = def->firmware,
        .kernel = def->kernel,
        .initrd = def->initrd,
        .append = def->append,
        .disk_count = def->disk_count,
        .net_count = def->net_count,
        .undo = def->undo,
        .cdrom = def->cdrom,
        .floppy = def->floppy,
        .cdrom_sata = def->cdrom_sata,
        .sata = def->sata,
        .scsi = def->scsi,
        .boot = def->boot_given ? def->boot : default_boot(def),
        .iommu = def->iommu,
        .edu = def->edu,
        .debug_exit = def->debug_exit,
        .stop_on_reset = def->stop_on_reset,
        .stop_on_triple_fault = def->stop_on_triple_fault,
        .restore = def->restore,
    };
    for (unsigned i = 0; i < def->disk_count; i++)
        ret_config->disks[i] = (struct machine_disk){.path = def->disks[i].path,
                                                     .bus = def->disks[i].bus,
                                                     .readonly = def->disks[i].readonly,
                                                     .limits = def->disks[i].limits};
    for (unsigned i = 0; i < def->parent_count; i++)
        ret_config->parents[i] = def->parents[i];
    for (unsigned i = 0; i < def->net_count; i++) {
        ret_config->nets[i].nic = def->nets[i].nic;
        memcpy(ret_config->nets[i].mac, def->nets[i].mac, NET_MAC_BYTES);
    }
}
