/* shift/door_fresh.c — whether the target has all that the source had when it was asked; and what names mean on the source.
 *
 * One thread for the whole door, with a session on each server. Questions of all sessions that came before the source is asked are answered by one
 * position of its log; when the engine says that the target is that far (replicate/applied.h), the target is asked whether that is true. Nobody waits
 * for this thread: who gets no answer in time goes to the source. */
#include "shift/door_reads.h"

#include <time.h>
#include <xxhash.h>

#include "base/log.h"
#include "base/world.h"
#include "replicate/applied.h"
#include "sql_embedded.h"

#define MOST_SAMPLES 64
#define LOOK_NS 300000          /* between two looks at the engine's word, while somebody waits */
#define NUDGE_US 10000          /* so long behind: the source is asked to write out what it holds back */
#define NAMES_US ((int64_t)5000000)
#define NAMES_SOON_US ((int64_t)1000000)

struct names_held {
    struct reading_names *names;
    _Atomic int count;
};

struct sample {
    uint64_t asked; /* questions up to this one came before it was taken */
    struct lsn at;
    int64_t us;
};

struct fresh {
    struct door *door;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool stopping;
    bool on;
    uint64_t asked;
    _Atomic uint64_t reached;
    char trouble[160];
    /* the thread's own */
    struct pg *pg[2];
    uint64_t sampled;
    struct sample samples[MOST_SAMPLES];
    size_t count;
    int64_t nudged_us;
    int64_t names_us; /* when to read them next */
    uint64_t digest;  /* of what names were made from; 0: there are none */
};

/* --- names --- */

const struct reading_names *names_of(const struct names_held *h)
{
    return h->names;
}

void names_drop(struct names_held *h)
{
    if (h == NULL || atomic_fetch_sub(&h->count, 1) != 1)
        return;
    reading_names_free(h->names);
    free(h);
}

/* To every worker; h NULL: there are none any more. */
static void give_names(struct door *door, struct names_held *h)
{
    if (h != NULL)
        atomic_store(&h->count, door->worker_count);
    for (int i = 0; i < door->worker_count; i++) {
        struct order *order = mem_alloc(sizeof *order);

        order->kind = ORDER_NAMES;
        order->names = h;
        worker_order(&door->workers[i], order);
    }
}

static void tell_workers(struct door *door)
{
    for (int i = 0; i < door->worker_count; i++) {
        struct order *order = mem_alloc(sizeof *order);

        order->kind = ORDER_FRESH;
        worker_order(&door->workers[i], order);
    }
}

static void set_trouble(struct fresh *f, const char *text)
{
    bool news;

    pthread_mutex_lock(&f->lock);
    news = strcmp(f->trouble, text) != 0;
    snprintf(f->trouble, sizeof f->trouble, "%.*s", (int)sizeof f->trouble - 1, text);
    pthread_mutex_unlock(&f->lock);
    if (news && text[0] != '\0')
        log_line(LOG_WARN, f->door->name, "reads stay at the source: %s", text);
}

static void hang_up(struct fresh *f)
{
    door_hang_up(f->pg, SIDE_SOURCE);
    door_hang_up(f->pg, SIDE_TARGET);
}

static enum err reach(struct fresh *f, enum side side, struct fault *why)
{
    return door_reach(f->door, f->pg, side, "door reads", why);
}

static uint64_t digest(uint64_t seed, const PGresult *r)
{
    for (int i = 0; i < PQntuples(r); i++)
        for (int k = 0; k < PQnfields(r); k++)
            seed = XXH3_64bits_withSeed(PQgetvalue(r, i, k), (size_t)PQgetlength(r, i, k) + 1, seed + (uint64_t)k);
    return seed;
}

static struct names_held *names_from(const PGresult *functions, const PGresult *relations, const PGresult *operators)
{
    struct names_held *h = mem_alloc(sizeof *h);
    struct reading_names *n = h->names = reading_names_new();

    for (int i = 0; i < PQntuples(functions); i++)
        reading_names_function(n, PQgetvalue(functions, i, 0), PQgetvalue(functions, i, 1), PQgetvalue(functions, i, 2)[0], pg_get_bool(functions, i, 3));
    for (int i = 0; i < PQntuples(relations); i++)
        reading_names_relation(n, PQgetvalue(relations, i, 0), PQgetvalue(relations, i, 1), pg_get_bool(relations, i, 2), pg_get(relations, i, 3), pg_get_bool(relations, i, 4));
    for (int i = 0; i < PQntuples(operators); i++)
        reading_names_bad_operator(n, PQgetvalue(operators, i, 0));
    reading_names_seal(n);
    return h;
}

static enum err ask_source(struct fresh *f, struct lsn *ret, struct fault *why)
{
    AUTO_RESULT *r = NULL;

    TRY(reach(f, SIDE_SOURCE, why));
    TRY(pg_exec(f->pg[SIDE_SOURCE], SQL_READS_SAMPLE, &r, why));
    if (pg_get_bool(r, 0, 1))
        return fault_set(why, ERR_SOURCE_SQL, "commits of the source wait for standbys: the target has them before anybody sees them there");
    return lsn_parse(PQgetvalue(r, 0, 0), ret) ? ERR_OK : fault_set(why, ERR_PROTOCOL, "a position that is none");
}

static enum err read_names(struct fresh *f, struct fault *why)
{
    const char *const of_store[] = {f->door->config->migration, f->door->store->name};
    AUTO_RESULT *joined = NULL;
    AUTO_RESULT *functions = NULL;
    AUTO_RESULT *relations = NULL;
    AUTO_RESULT *operators = NULL;
    AUTO_RESULT *types = NULL;
    const char *tables;
    struct lsn ignored;
    uint64_t now;

    TRY(ask_source(f, &ignored, why)); /* it may say that there is nothing to be had */
    TRY(reach(f, SIDE_TARGET, why));
    TRY(pg_query(f->pg[SIDE_TARGET], SQL_READS_JOINED, 2, of_store, &joined, why));
    tables = PQgetvalue(joined, 0, 0);
    TRY(pg_exec(f->pg[SIDE_SOURCE], SQL_READS_FUNCTIONS, &functions, why));
    TRY(pg_query(f->pg[SIDE_SOURCE], SQL_READS_RELATIONS, 1, &tables, &relations, why));
    TRY(pg_exec(f->pg[SIDE_SOURCE], SQL_READS_OPERATORS, &operators, why));
    if (PQntuples(operators) > 0 && PQgetisnull(operators, PQntuples(operators) - 1, 0))
        return fault_set(why, ERR_SOURCE_SQL, "a cast of this database calls a volatile function");
    TRY(pg_exec(f->pg[SIDE_SOURCE], SQL_READS_TYPES, &types, why));
    now = digest(digest(digest(digest(1, functions), relations), operators), types) | 1;
    if (now == f->digest)
        return ERR_OK;
    TRY(door_types_load(f->door, why));
    give_names(f->door, names_from(functions, relations, operators));
    f->digest = now;
    return ERR_OK;
}

static void forget_names(struct fresh *f)
{
    if (f->digest != 0)
        give_names(f->door, NULL);
    f->digest = 0;
}

static void look_at_names(struct fresh *f)
{
    struct fault why = {0};

    if (world_mono_us() < f->names_us)
        return;
    if (read_names(f, &why) == ERR_OK) {
        set_trouble(f, "");
        f->names_us = world_mono_us() + NAMES_US;
        return;
    }
    set_trouble(f, why.why);
    hang_up(f);
    forget_names(f);
    f->names_us = world_mono_us() + NAMES_SOON_US;
}

/* --- positions --- */

/* `asked` was read before the source is asked. */
static void sample(struct fresh *f, uint64_t asked)
{
    struct fault why = {0};
    struct sample s = {.asked = asked, .us = world_mono_us()};

    f->sampled = asked;
    if (ask_source(f, &s.at, &why) != ERR_OK) {
        set_trouble(f, why.why);
        f->names_us = 0; /* tried anew, and said if it is over */
        return;
    }
    if (f->count == MOST_SAMPLES)
        f->count--; /* the later one says more */
    f->samples[f->count++] = s;
}

static bool is_there(struct fresh *f, struct lsn mark)
{
    char text[LSN_TEXT_SIZE];
    AUTO_CHARS *stream = mem_format("%s:forward", f->door->store->name);
    const char *const params[] = {f->door->config->migration, f->door->store->name, stream, lsn_text(mark, text)};
    AUTO_RESULT *r = NULL;
    struct fault why = {0};

    if (reach(f, SIDE_TARGET, &why) == ERR_OK && pg_query(f->pg[SIDE_TARGET], SQL_READS_REACHED, 4, params, &r, &why) == ERR_OK)
        return pg_get_bool(r, 0, 0);
    set_trouble(f, why.why);
    f->names_us = 0;
    return false;
}

/* How many of the samples the target has passed. */
static size_t passed(struct fresh *f)
{
    struct lsn applied;
    struct lsn mark;
    size_t n = 0;

    if (!applied_read(f->door->state_dir, f->door->store->name, &applied, &mark))
        return 0;
    while (n < f->count && lsn_le(f->samples[n].at, applied))
        n++;
    return n > 0 && is_there(f, mark) ? n : 0;
}

static void drop(struct fresh *f, size_t n)
{
    f->count -= n;
    memmove(f->samples, f->samples + n, f->count * sizeof f->samples[0]);
}

/* What stands in the source's log without being on its disk reaches no stream; and a position may lie just behind the end of a page. */
static void nudge(struct fresh *f)
{
    struct fault why = {0};
    int64_t now = world_mono_us();

    if (f->count == 0 || now - f->samples[0].us < NUDGE_US || now - f->nudged_us < 5 * NUDGE_US)
        return;
    f->nudged_us = now;
    if (pg_exec(f->pg[SIDE_SOURCE], SQL_READS_NUDGE, NULL, &why) != ERR_OK)
        set_trouble(f, why.why);
}

static void look_at_target(struct fresh *f)
{
    int64_t too_old = world_mono_us() - f->door->store->reads_wait_us;
    size_t n = passed(f);

    if (n > 0) {
        atomic_store(&f->reached, f->samples[n - 1].asked);
        drop(f, n);
        tell_workers(f->door);
    }
    for (n = 0; n < f->count && f->samples[n].us < too_old; n++)
        ;
    drop(f, n);
    if (f->pg[SIDE_SOURCE] != NULL)
        nudge(f);
}

/* --- the thread --- */

static void await(struct fresh *f)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += f->count > 0 ? LOOK_NS : 0;
    until.tv_sec += f->count > 0 ? 0 : 1;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(&f->moved, &f->lock, &until);
}

static void stand_off(struct fresh *f)
{
    f->count = 0;
    f->names_us = 0;
    hang_up(f);
    forget_names(f);
}

static void *work(void *arg)
{
    struct fresh *f = arg;

    pthread_mutex_lock(&f->lock);
    while (!f->stopping) {
        bool on = f->on && atomic_load(&f->door->side) == SIDE_SOURCE;
        uint64_t asked = f->asked;

        if (!on || asked == f->sampled)
            await(f);
        asked = f->asked;
        pthread_mutex_unlock(&f->lock);
        if (!on) {
            stand_off(f);
        } else {
            if (asked != f->sampled)
                sample(f, asked);
            if (f->count > 0)
                look_at_target(f);
            look_at_names(f);
        }
        pthread_mutex_lock(&f->lock);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

uint64_t fresh_ask(struct fresh *f)
{
    uint64_t asked;

    pthread_mutex_lock(&f->lock);
    asked = ++f->asked;
    pthread_cond_signal(&f->moved);
    pthread_mutex_unlock(&f->lock);
    return asked;
}

uint64_t fresh_reached(const struct fresh *f)
{
    return atomic_load(&f->reached);
}

void fresh_set(struct fresh *f, bool on)
{
    pthread_mutex_lock(&f->lock);
    f->on = on;
    pthread_cond_signal(&f->moved);
    pthread_mutex_unlock(&f->lock);
}

void fresh_trouble(struct fresh *f, char text[160])
{
    pthread_mutex_lock(&f->lock);
    memcpy(text, f->trouble, sizeof f->trouble);
    pthread_mutex_unlock(&f->lock);
}

void fresh_start(struct door *door)
{
    struct fresh *f = mem_alloc(sizeof *f);
    pthread_condattr_t attr;

    f->door = door;
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->moved, &attr);
    pthread_condattr_destroy(&attr);
    ENSURE(pthread_create(&f->thread, NULL, work, f) == 0);
    door->fresh = f;
}

void fresh_stop(struct door *door)
{
    struct fresh *f = door->fresh;

    if (f == NULL)
        return;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_signal(&f->moved);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    hang_up(f);
}

void fresh_free(struct door *door)
{
    struct fresh *f = door->fresh;

    if (f == NULL)
        return;
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->moved);
    free(f);
    door->fresh = NULL;
}
