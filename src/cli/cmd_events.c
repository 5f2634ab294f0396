/* cli/cmd_events.c — leat events: the journal, readable. */
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "cli/cli.h"
#include "journal/journal.h"

struct reading {
    const struct cli *cli;
    int64_t last;
};

static bool print_event(void *ctx, const struct event *e)
{
    struct reading *r = ctx;
    time_t seconds = (time_t)(e->at_us / 1000000);
    struct tm tm;

    r->last = e->seq;
    if (r->cli->json) {
        json_t *o = json_pack("{s:I, s:I, s:s, s:s, s:o, s:s}", "seq", (json_int_t)e->seq, "at_us", (json_int_t)e->at_us, "store", e->store, "kind", e->kind, "body",
                              json_loads(e->body, 0, NULL), "hash", e->hash);
        json_dumpf(o, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(o);
        return true;
    }
    gmtime_r(&seconds, &tm);
    printf("%5lld  %04d-%02d-%02d %02d:%02d:%02d  %-12s %-22s %s\n", (long long)e->seq, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, e->store, e->kind, e->body);
    return true;
}

static enum err verify(struct cli *c, struct journal *j, struct fault *f)
{
    int64_t count;

    TRY(j->ops->verify(j, &count, f));
    if (c->json) {
        json_t *o = cli_object(c, true);
        json_object_set_new(o, "events", json_integer(count));
        cli_answer(c, o, NULL);
    } else {
        printf("the chain holds: %lld events\n", (long long)count);
    }
    return ERR_OK;
}

static enum err events(struct cli *c, struct fault *f)
{
    AUTO(journal) *j = NULL;
    struct reading r = {c, 0};

    TRY(journal_sqlite_open(c->state_dir, c->config->migration, &j, f));
    if (c->verify)
        return verify(c, j, f);
    do {
        TRY(j->ops->read(j, r.last, print_event, &r, f));
        fflush(stdout);
    } while (c->follow && poll(NULL, 0, 500) == 0);
    if (c->json)
        cli_answer(c, cli_object(c, true), NULL);
    return ERR_OK;
}

int cmd_events(struct cli *c, struct fault *f)
{
    return err_info(events(c, f))->exit_status;
}
