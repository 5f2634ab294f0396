/* shift/door_verifiers.c — see door_verifiers.h. */
#include "shift/door_verifiers.h"

#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/world.h"
#include "sql_embedded.h"

#define AT_MOST_EVERY_US 1000000

struct verifiers {
    struct door *door;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    bool stopping;
    bool wanted;
    int64_t read_us;    /* when what is known was asked for; 0: never */
    int64_t tried_us;
    bool trouble;       /* the last try failed */
    struct users *file; /* NULL: pg_authid is what counts */
    char **names;       /* sorted; of pg_authid */
    char **texts;
    size_t count;
    uint8_t secret[SCRAM_SECRET];
};

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void forget(char **names, char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
        wipe(texts[i]);
    }
    free(names);
    free(texts);
}

static enum err read_roles(struct door *door, PGresult **ret, struct fault *f)
{
    enum side side = (enum side)atomic_load(&door->side);
    AUTO(pg) *pg = NULL;

    TRY(pg_connect(door->sides[side].dsn, side, "door users", &pg, f));
    return pg_exec(pg, SQL_DOOR_VERIFIERS, ret, f);
}

static void take(struct verifiers *v, const PGresult *r, int64_t at_us)
{
    size_t n = (size_t)PQntuples(r);
    char **names = mem_alloc((n + 1) * sizeof *names);
    char **texts = mem_alloc((n + 1) * sizeof *texts);

    for (size_t i = 0; i < n; i++) {
        names[i] = mem_dup(PQgetvalue(r, (int)i, 0));
        texts[i] = mem_dup(PQgetvalue(r, (int)i, 1));
    }
    pthread_mutex_lock(&v->lock);
    forget(v->names, v->texts, v->count);
    v->names = names;
    v->texts = texts;
    v->count = n;
    v->read_us = at_us;
    v->trouble = false;
    pthread_mutex_unlock(&v->lock);
}

static void tell_workers(struct door *door)
{
    for (int i = 0; i < door->worker_count; i++) {
        struct order *order = mem_alloc(sizeof *order);

        order->kind = ORDER_VERIFIERS;
        worker_order(&door->workers[i], order);
    }
}

static void read_anew(struct verifiers *v)
{
    AUTO_RESULT *r = NULL;
    struct fault f = {0};
    int64_t at_us = world_mono_us();
    enum err err = read_roles(v->door, &r, &f);

    if (err == ERR_OK) {
        take(v, r, at_us);
    } else {
        log_fault(LOG_WARN, v->door->name, &f);
        pthread_mutex_lock(&v->lock);
        v->trouble = true;
        v->read_us = at_us;
        pthread_mutex_unlock(&v->lock);
    }
    tell_workers(v->door);
}

/* Waits until somebody asks, and until a second after the last time. False: to stop. */
static bool await_question(struct verifiers *v)
{
    struct timespec until;
    bool go_on;

    pthread_mutex_lock(&v->lock);
    while (!v->stopping && (!v->wanted || world_mono_us() - v->tried_us < AT_MOST_EVERY_US)) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += v->wanted ? 0 : 60;
        until.tv_nsec += v->wanted ? 50000000 : 0;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        (void)pthread_cond_timedwait(&v->asked, &v->lock, &until);
    }
    go_on = !v->stopping;
    v->wanted = false;
    v->tried_us = world_mono_us();
    pthread_mutex_unlock(&v->lock);
    return go_on;
}

/* A name may lead elsewhere by now. What was known stays where it cannot be looked up. */
static void resolve_anew(struct door *door)
{
    for (int i = 0; i < 2; i++) {
        struct fault f = {0};

        if (atomic_exchange(&door->sides[i].stale, false) && door_side_resolve(&door->sides[i], &f) != ERR_OK)
            log_fault(LOG_WARN, door->name, &f);
    }
}

static void *work(void *arg)
{
    struct verifiers *v = arg;

    while (await_question(v)) {
        resolve_anew(v->door);
        if (v->file == NULL)
            read_anew(v);
    }
    return NULL;
}

static void want(struct verifiers *v)
{
    v->wanted = true;
    pthread_cond_signal(&v->asked);
}

static enum known find_in_file(const struct verifiers *v, const char *user, char **ret_text)
{
    const struct user *found = users_find(v->file, user);

    if (found == NULL || (found->kind == USER_PASSWORD && found->secret[0] == '\0'))
        return KNOWN_NOT;
    *ret_text = mem_dup(found->secret);
    return KNOWN;
}

enum known verifiers_find(struct verifiers *v, const char *user, int64_t since_us, char **ret_text)
{
    enum known known = KNOWN_NOT;

    if (v->file != NULL)
        return find_in_file(v, user, ret_text);
    pthread_mutex_lock(&v->lock);
    for (size_t i = 0; i < v->count && known == KNOWN_NOT; i++)
        if (strcmp(v->names[i], user) == 0) {
            *ret_text = mem_dup(v->texts[i]);
            known = KNOWN;
        }
    if (known == KNOWN_NOT && v->read_us < since_us) {
        want(v);
        known = KNOWN_LATER;
    } else if (known == KNOWN_NOT && v->trouble) {
        known = KNOWN_TROUBLE;
    }
    pthread_mutex_unlock(&v->lock);
    return known;
}

void verifiers_doubt(struct verifiers *v)
{
    pthread_mutex_lock(&v->lock);
    want(v);
    pthread_mutex_unlock(&v->lock);
}

const uint8_t *verifiers_secret(const struct verifiers *v)
{
    return v->secret;
}

enum err verifiers_start(struct door *door, struct fault *f)
{
    struct verifiers *v = mem_alloc(sizeof *v);

    door->verifiers = v;
    v->door = door;
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->asked, NULL);
    (void)mlock(v->secret, sizeof v->secret);
    world_random(v->secret, sizeof v->secret);
    if (door->store->door_users != NULL) {
        AUTO_CHARS *path = door_path(door, door->store->door_users);
        TRY(users_load(path, &v->file, f));
    } else {
        v->wanted = true;
    }
    if (pthread_create(&v->thread, NULL, work, v) != 0)
        return fault_set(f, ERR_SYSTEM, "cannot start a thread");
    return ERR_OK;
}

void verifiers_stop(struct door *door)
{
    struct verifiers *v = door->verifiers;

    if (v == NULL || v->thread == 0)
        return;
    pthread_mutex_lock(&v->lock);
    v->stopping = true;
    pthread_cond_signal(&v->asked);
    pthread_mutex_unlock(&v->lock);
    pthread_join(v->thread, NULL);
    v->thread = 0;
}

void verifiers_free(struct door *door)
{
    struct verifiers *v = door->verifiers;

    if (v == NULL)
        return;
    forget(v->names, v->texts, v->count);
    users_free(v->file);
    explicit_bzero(v->secret, sizeof v->secret);
    (void)munlock(v->secret, sizeof v->secret);
    pthread_cond_destroy(&v->asked);
    pthread_mutex_destroy(&v->lock);
    free(v);
    door->verifiers = NULL;
}
