/* cli/cmd_shift.c — leat shift: another share of users has its reads answered by the target.
 *
 * It is written to STATE/STORE.reads, with the epoch it is said at; doors look there by themselves (shift/door_reads_share.c), those that start
 * later, too. So it counts until a switch, and not after: then it has to be said anew. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/world.h"
#include "cli/cli.h"
#include "cutover/switch.h"
#include "journal/journal.h"
#include "pilot/status.h"

#define HEARD_US ((int64_t)5000000)

/* What its doors say: the epoch they serve at, and how many take this share. */
struct heard {
    size_t running, taken;
    int64_t epoch;
    bool target_serves;
};

static struct heard hear(const struct cli *c, const struct config_store *store, int64_t share)
{
    struct heard h = {0};

    for (size_t nth = 0; nth < store->door_count; nth++) {
        AUTO_CHARS *name = mem_format("%s.door.%zu", store->name, nth);
        bool alive;
        json_t *o = pilot_store_status(c->state_dir, name, &alive);
        const json_t *view = json_object_get(o, "view");
        const char *side = json_string_value(json_object_get(view, "side"));
        int64_t epoch = json_integer_value(json_object_get(view, "epoch"));

        h.running += alive;
        h.taken += alive && json_integer_value(json_object_get(json_object_get(o, "reads"), "millionths")) == share;
        h.epoch = alive && epoch > h.epoch ? epoch : h.epoch;
        h.target_serves = h.target_serves || (alive && side != NULL && strcmp(side, "target") == 0);
        json_decref(o);
    }
    return h;
}

static enum err write_share(const struct cli *c, const char *store, int64_t share, int64_t epoch, struct fault *f)
{
    AUTO_CHARS *path = mem_format("%s/%s.reads", c->state_dir, store);
    AUTO_CHARS *fresh = mem_format("%s.new", path);
    json_t *o = json_pack("{s:I, s:I}", "share", (json_int_t)share, "epoch", (json_int_t)epoch);
    bool written = json_dump_file(o, fresh, JSON_COMPACT) == 0 && rename(fresh, path) == 0;

    json_decref(o);
    return written ? ERR_OK : fault_set(f, ERR_STATE_DIR, "cannot write %s: %s", path, strerror(errno));
}

/* It may be shut to them since a switch left it. */
static enum err let_in(const struct cli *c, const struct config_store *store, struct journal *j, struct fault *f)
{
    _Atomic bool stop = false;
    struct switch_job job = {
        .config = c->config, .stream = store, .state_dir = c->state_dir, .journal = j, .stop = &stop};

    return switch_admit_reads(&job, f);
}

static enum err note(const char *store, const char *percent, int64_t epoch, struct journal *j, struct fault *f)
{
    json_t *o = json_pack("{s:s, s:I}", "reads", percent, "epoch", (json_int_t)epoch);
    AUTO_CHARS *body = json_dumps(o, JSON_COMPACT);

    json_decref(o);
    return j->ops->append(j, store, EVENT_SHIFTED, body, f);
}

static enum err shift(struct cli *c, struct heard *h, struct fault *f)
{
    const struct config_store *store = c->arg_count == 2 ? config_store_find(c->config, c->args[0]) : NULL;
    int64_t deadline = world_mono_us() + HEARD_US;
    AUTO(journal) *j = NULL;
    int64_t share;

    if (c->arg_count != 2)
        return fault_set(f, ERR_USAGE, "it takes the name of a store and a percentage: leat shift shop 10%%");
    if (store == NULL)
        return fault_set(f, ERR_UNKNOWN_NAME, "no store \"%s\" in %s", c->args[0], c->config->path);
    if (!config_parse_percent(c->args[1], &share) || share > (int64_t)100000000)
        return fault_set(f, ERR_USAGE, "\"%s\" is no percentage from 0%% to 100%%", c->args[1]);
    *h = hear(c, store, share);
    if (h->running == 0)
        return fault_todo(f, ERR_GATE, "leat start", "no door of %s runs", store->name);
    if (h->target_serves && share > 0)
        return fault_set(f, ERR_GATE, "the target serves %s: its reads are there already", store->name);
    TRY(write_share(c, store->name, share, h->epoch, f));
    TRY(journal_sqlite_open(c->state_dir, c->config->migration, &j, f));
    TRY(note(store->name, c->args[1], h->epoch, j, f));
    if (share > 0)
        TRY(let_in(c, store, j, f));
    do {
        (void)poll(NULL, 0, 50);
        *h = hear(c, store, share);
    } while (h->taken < h->running && world_mono_us() < deadline);
    return h->taken == h->running ? ERR_OK : fault_set(f, ERR_GATE, "%zu of %zu doors have not taken it in %d s: see `leat status`", h->running - h->taken, h->running, (int)(HEARD_US / 1000000));
}

int cmd_shift(struct cli *c, struct fault *f)
{
    struct heard h = {0};
    enum err err = shift(c, &h, f);

    if (err != ERR_OK)
        return err_info(err)->exit_status;
    if (c->json) {
        json_t *o = cli_object(c, true);
        json_object_set_new(o, "name", json_string(c->args[0]));
        json_object_set_new(o, "reads", json_string(c->args[1]));
        json_object_set_new(o, "doors", json_integer((json_int_t)h.taken));
        cli_answer(c, o, "leat status");
    } else {
        printf("%s: reads of %s of its users go to the target, at %zu door(s)\n", c->args[0], c->args[1], h.taken);
    }
    return 0;
}
