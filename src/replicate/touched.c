/* replicate/touched.c — see touched.h. A record: the table's oid (4 bytes), then for each column of its key the text's length (4 bytes)
 * and the text; nothing after the oid: the table as a whole.
 *
 * A key that was noted since the last reading is not noted again: a small table of hashes, direct-mapped, remembers the latest. A table of
 * which a good part is touched between two readings is noted as a whole, once. */
#include "replicate/touched.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/log.h"
#include "wire/bytes.h"

#define FACT "touched"         /* {"boot", "segment", "at"} */
#define SHAPES "touched.shapes" /* {oid: what its columns are}, of the tables whose rows the note tells apart */
#define MOST_BYTES ((uint64_t)1 << 30)
#define LATEST 65536u           /* a power of two */
#define WHOLE_KEYS 200000u      /* a table of which so many keys were noted ... */
#define WHOLE_BYTES 1024        /* ... and has not so many bytes for each, is compared as a whole */
#define READ_BYTES ((size_t)16 << 20) /* about so much of it at once */
#define MOST_KEYS 32u           /* columns: PostgreSQL's own bound of an index */

struct noted { /* of a table, since the last reading */
    uint64_t keys;
    bool whole;
};

struct way { /* from a relation of the stream to the key's columns */
    uint64_t serial;
    uint16_t count; /* 0: as a whole */
    uint16_t columns[MOST_KEYS];
};

struct touched {
    struct store *store;
    struct journal *journal;
    const struct registry *registry;
    pthread_mutex_t lock;
    struct touched_log *log;
    bool stands;
    struct touched_place place;
    struct noted *noted; /* by table of the registry */
    XXH128_hash_t *latest;
    struct way ways[64];  /* by serial; the dispatcher's */
    struct buf framed;
    struct buf record;
    char boot[64];
};

/* --- the record in the journal --- */

static void read_boot(char *ret, size_t size)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    ret[0] = '\0';
    if (file == NULL)
        return;
    if (fgets(ret, (int)size, file) != NULL)
        ret[strcspn(ret, "\n")] = '\0';
    (void)fclose(file);
}

static enum err write_fact(struct touched *t, const char *name, json_t *o, struct fault *f)
{
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    enum err err = t->journal->ops->fact_set(t->journal, t->store->name, name, text, true, f);

    free(text);
    json_decref(o);
    return err;
}

static enum err read_fact(struct touched *t, const char *name, json_t **ret, struct fault *f)
{
    AUTO(arena) *a = arena_new(4096);
    const char *text;

    TRY(t->journal->ops->fact_get(t->journal, t->store->name, name, a, &text, f));
    *ret = text != NULL ? json_loads(text, 0, NULL) : NULL;
    return ERR_OK;
}

static enum err record_place(struct touched *t, struct fault *f)
{
    return write_fact(t, FACT, json_pack("{s:s, s:I, s:I}", "boot", t->boot, "segment", (json_int_t)t->place.segment, "at", (json_int_t)t->place.at), f);
}

/* Of the same boot of the same machine, and nothing is missing. */
static enum err take_up(struct touched *t, const json_t *fact, struct fault *f)
{
    const char *boot = json_string_value(json_object_get(fact, "boot"));
    struct touched_place place = {(uint64_t)json_integer_value(json_object_get(fact, "segment")), (uint64_t)json_integer_value(json_object_get(fact, "at"))};

    if (boot == NULL)
        return ERR_OK;
    t->stands = t->boot[0] != '\0' && strcmp(boot, t->boot) == 0 && place.segment < touched_log_end(t->log).segment && touched_log_has(t->log, place);
    t->place = place;
    if (t->stands)
        return ERR_OK;
    log_line(LOG_INFO, t->store->name, "what was touched since the last comparison is not known any more (%s); `leat verify` compares all", strcmp(boot, t->boot) != 0 ? "the machine was down" : "its notes are gone");
    return write_fact(t, FACT, NULL, f); /* segments may get these numbers again */
}

/* --- what a table looked like when it was noted last --- */

char *touched_shape(const struct table *t)
{
    AUTO_BUF b = {0};

    for (uint16_t i = 0; i < t->column_count; i++)
        buf_addf(&b, "%s %s%s,", t->columns[i].name, t->columns[i].type, t->columns[i].key ? " key" : "");
    return mem_format("%016" PRIx64, (uint64_t)XXH3_64bits(b.data, b.len));
}

static json_t *shapes(const struct touched *t)
{
    json_t *o = json_object();

    for (size_t i = 0; i < t->registry->count; i++) {
        AUTO_CHARS *oid = mem_format("%u", t->registry->tables[i].source->oid);
        AUTO_CHARS *shape = touched_shape(t->registry->tables[i].source);
        json_object_set_new(o, oid, json_string(shape));
    }
    return o;
}

/* Tables that were changed by more than rows: a statement on either side may have written to all of them. */
static enum err compare_shapes(struct touched *t, struct fault *f)
{
    json_t *before = NULL;
    json_t *now = shapes(t);
    enum err err = read_fact(t, SHAPES, &before, f);

    for (size_t i = 0; err == ERR_OK && i < t->registry->count; i++) {
        AUTO_CHARS *oid = mem_format("%u", t->registry->tables[i].source->oid);
        if (!json_equal(json_object_get(before, oid), json_object_get(now, oid)))
            err = touched_table(t, &t->registry->tables[i], f);
    }
    if (err == ERR_OK && !json_equal(before, now))
        err = write_fact(t, SHAPES, json_incref(now), f);
    json_decref(before);
    json_decref(now);
    return err;
}

enum err touched_shapes(struct journal *j, const char *stream, struct arena *a, const char **ret, struct fault *f)
{
    return j->ops->fact_get(j, stream, SHAPES, a, ret, f);
}

const struct table *touched_other_shape(const char *shapes, const struct catalog *source)
{
    json_t *o = shapes != NULL ? json_loads(shapes, 0, NULL) : NULL;
    const struct table *ret = NULL;

    for (size_t i = 0; i < source->table_count && ret == NULL; i++) {
        AUTO_CHARS *oid = mem_format("%u", source->tables[i].oid);
        AUTO_CHARS *shape = touched_shape(&source->tables[i]);
        const char *then = json_string_value(json_object_get(o, oid));

        if (then != NULL && strcmp(then, shape) != 0)
            ret = &source->tables[i];
    }
    json_decref(o);
    return ret;
}

/* --- life --- */

static enum err open_log(struct touched *t, const char *state_dir, struct fault *f)
{
    AUTO_CHARS *parent = mem_format("%s/touched", state_dir);
    AUTO_CHARS *dir = mem_format("%s/touched/%s", state_dir, t->store->name);

    if (mkdir(parent, 0700) != 0 && errno != EEXIST)
        return fault_set(f, ERR_STATE_DIR, "cannot make %s: %s", parent, strerror(errno));
    return touched_log_open(dir, &t->log, f);
}

enum err touched_new(const char *state_dir, struct store *s, struct journal *j, const struct registry *r, struct touched **ret, struct fault *f)
{
    AUTO(touched) *t = mem_alloc(sizeof *t);
    struct fault why = {0};
    json_t *fact = NULL;
    enum err err;

    t->store = s;
    t->journal = j;
    t->registry = r;
    pthread_mutex_init(&t->lock, NULL);
    t->noted = mem_alloc((r->count + 1) * sizeof *t->noted);
    t->latest = mem_alloc(LATEST * sizeof *t->latest);
    read_boot(t->boot, sizeof t->boot);
    TRY(read_fact(t, FACT, &fact, f));
    err = open_log(t, state_dir, &why);
    if (err == ERR_OK)
        err = take_up(t, fact, f);
    else
        log_fault(LOG_WARN, s->name, &why); /* it is no reason to stop following */
    json_decref(fact);
    if (t->log != NULL)
        TRY(err);
    if (t->stands)
        TRY(compare_shapes(t, f));
    *ret = TAKE(t);
    return ERR_OK;
}

void touched_free(struct touched *t)
{
    if (t == NULL)
        return;
    pthread_mutex_destroy(&t->lock);
    touched_log_free(t->log);
    buf_fini(&t->framed);
    buf_fini(&t->record);
    free(t->noted);
    free(t->latest);
    free(t);
}

/* --- writing: under the lock --- */

static void forget_latest(struct touched *t)
{
    memset(t->latest, 0, LATEST * sizeof *t->latest);
    memset(t->noted, 0, (t->registry->count + 1) * sizeof *t->noted);
}

/* It ends before anything is applied that is not in it; the next engine finds it gone, too: by the journal, since what cannot be written
 * to may not let itself be removed either. */
static enum err lose(struct touched *t, const struct fault *why, struct fault *f)
{
    struct fault ignored = {0};

    log_line(LOG_WARN, t->store->name, "what is touched cannot be noted any more (%s): after it is mended, `leat verify` compares all", why->why);
    t->stands = false;
    if (touched_log_clear(t->log, &ignored) != ERR_OK)
        log_fault(LOG_WARN, t->store->name, &ignored);
    return write_fact(t, FACT, NULL, f);
}

static enum err flush(struct touched *t, struct fault *f)
{
    struct fault why = {0};
    enum err err = ERR_OK;

    if (t->framed.len > 0 && touched_log_append(t->log, &t->framed, MOST_BYTES, &why) != ERR_OK)
        err = lose(t, &why, f);
    buf_clear(&t->framed);
    return err;
}

static struct noted *noted_of(struct touched *t, const struct rtable *table)
{
    return &t->noted[table - t->registry->tables];
}

static void note_whole(struct touched *t, const struct rtable *table)
{
    struct noted *n = noted_of(t, table);

    if (n->whole)
        return;
    n->whole = true;
    buf_clear(&t->record);
    buf_add_u32be(&t->record, table->source->oid);
    touched_log_frame(&t->framed, t->record.data, (uint32_t)t->record.len);
}

static bool is_latest(struct touched *t)
{
    XXH128_hash_t h = XXH3_128bits(t->record.data, t->record.len);
    XXH128_hash_t *slot = &t->latest[h.low64 & (LATEST - 1)];
    bool same = XXH128_isEqual(*slot, h);

    *slot = h;
    return same;
}

static void note_row(struct touched *t, const struct rtable *table, const struct way *way, const struct row *row)
{
    struct noted *n = noted_of(t, table);

    if (n->whole)
        return;
    buf_clear(&t->record);
    buf_add_u32be(&t->record, table->source->oid);
    for (uint16_t i = 0; i < way->count; i++) {
        const struct value *v = &row->values[way->columns[i]];
        if (v->len < 0) {
            note_whole(t, table);
            return;
        }
        buf_add_u32be(&t->record, (uint32_t)v->len);
        buf_add(&t->record, v->data, (size_t)v->len);
    }
    if (is_latest(t))
        return;
    if (++n->keys > WHOLE_KEYS && (int64_t)n->keys * WHOLE_BYTES > table->source->bytes) {
        note_whole(t, table);
        return;
    }
    touched_log_frame(&t->framed, t->record.data, (uint32_t)t->record.len);
}

static const struct way *find_way(struct touched *t, const struct relation *rel, const struct table *source)
{
    struct way *way = &t->ways[rel->serial % (sizeof t->ways / sizeof *t->ways)];

    if (way->serial == rel->serial)
        return way;
    *way = (struct way){.serial = rel->serial};
    for (uint16_t i = 0; table_has_key(source) && i < source->column_count; i++) {
        uint16_t c = 0;
        if (!source->columns[i].key)
            continue;
        while (c < rel->column_count && strcmp(rel->columns[c].name, source->columns[i].name) != 0)
            c++;
        if (c == rel->column_count || way->count == MOST_KEYS) {
            way->count = 0;
            break;
        }
        way->columns[way->count++] = c;
    }
    return way;
}

static void note_change(struct touched *t, const struct change *c)
{
    const struct rtable *table = c->relation != NULL ? registry_find(t->registry, c->relation->id) : NULL;
    const struct way *way;

    for (uint32_t i = 0; i < c->truncate_count; i++) {
        const struct rtable *emptied = registry_find(t->registry, c->truncated[i]->id);
        if (emptied != NULL)
            note_whole(t, emptied);
    }
    if (table == NULL || rtable_state(table) != TABLE_JOINED) /* one that joins is noted as a whole then */
        return;
    way = find_way(t, c->relation, table->source);
    if (way->count == 0) {
        note_whole(t, table);
        return;
    }
    if (c->old != NULL)
        note_row(t, table, way, c->old);
    if (c->new != NULL)
        note_row(t, table, way, c->new);
}

static void note_txn(struct touched *t, const struct txn *x)
{
    for (const struct change *c = x->changes; c != NULL; c = c->next)
        note_change(t, c);
}

enum err touched_batch(struct touched *t, const struct batch *b, struct lsn start, struct fault *f)
{
    enum err err = ERR_OK;

    pthread_mutex_lock(&t->lock);
    for (uint32_t i = 0; t->stands && i < b->parcel_count; i++)
        for (const struct txn *x = b->parcels[i]->txns; x != NULL; x = x->next)
            if (!lsn_lt(x->commit, start))
                note_txn(t, x);
    if (t->stands)
        err = flush(t, f);
    pthread_mutex_unlock(&t->lock);
    return err;
}

enum err touched_txn(struct touched *t, const struct txn *x, struct fault *f)
{
    enum err err = ERR_OK;

    pthread_mutex_lock(&t->lock);
    if (t->stands) {
        note_txn(t, x);
        err = flush(t, f);
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

enum err touched_table(struct touched *t, const struct rtable *table, struct fault *f)
{
    enum err err = ERR_OK;

    pthread_mutex_lock(&t->lock);
    if (t->stands) {
        note_whole(t, table);
        err = flush(t, f);
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

/* --- reading --- */

enum err touched_begin(struct touched *t, struct fault *f)
{
    enum err err;

    TRY(write_fact(t, SHAPES, shapes(t), f));
    pthread_mutex_lock(&t->lock);
    err = t->log != NULL ? touched_log_clear(t->log, f) : fault_set(f, ERR_STATE_DIR, "what is touched cannot be noted: see the log of when it was opened");
    if (err == ERR_OK) {
        forget_latest(t);
        t->place = touched_log_end(t->log);
        err = record_place(t, f);
    }
    t->stands = err == ERR_OK;
    pthread_mutex_unlock(&t->lock);
    return err;
}

enum err touched_end(struct touched *t, const char *why, struct fault *f)
{
    struct fault word = {0};
    enum err err = ERR_OK;

    snprintf(word.why, sizeof word.why, "%s", why);
    pthread_mutex_lock(&t->lock);
    if (t->stands)
        err = lose(t, &word, f);
    pthread_mutex_unlock(&t->lock);
    return err;
}

bool touched_stands(struct touched *t)
{
    bool yes;

    pthread_mutex_lock(&t->lock);
    yes = t->stands;
    pthread_mutex_unlock(&t->lock);
    return yes;
}

static bool same_place(struct touched_place a, struct touched_place b)
{
    return a.segment == b.segment && a.at == b.at;
}

bool touched_none(struct touched *t)
{
    bool yes;

    pthread_mutex_lock(&t->lock);
    yes = t->stands && same_place(t->place, touched_log_end(t->log));
    pthread_mutex_unlock(&t->lock);
    return yes;
}

struct reading {
    struct touched *t;
    struct arena *arena;
    struct touched_rows **by_table; /* of the registry */
    struct touched_rows *rows;
    size_t *sizes;
    size_t count;
    size_t keys;
    size_t most;
    size_t most_bytes; /* of the arena */
};

static struct touched_rows *rows_of(struct reading *r, const struct rtable *table)
{
    struct touched_rows **slot = &r->by_table[table - r->t->registry->tables];

    if (*slot == NULL) {
        *slot = &r->rows[r->count++];
        **slot = (struct touched_rows){.table = table};
    }
    return *slot;
}

static void add_key(struct reading *r, struct touched_rows *rows, uint16_t columns, struct bytes b)
{
    size_t *size = &r->sizes[rows - r->rows];
    const char **at;

    if (rows->count == *size) {
        const char **grown;
        *size = *size > 0 ? 2 * *size : 64;
        grown = arena_alloc(r->arena, *size * columns * sizeof *grown);
        if (rows->count > 0)
            memcpy(grown, rows->keys, rows->count * columns * sizeof *grown);
        rows->keys = grown;
    }
    at = rows->keys + rows->count * columns;
    for (uint16_t i = 0; i < columns; i++) {
        uint32_t len = bytes_u32(&b);
        char *kept;
        if (!bytes_has(&b, len))
            len = 0;
        kept = arena_alloc(r->arena, (size_t)len + 1);
        bytes_take(&b, kept, len);
        kept[len] = '\0';
        at[i] = kept;
    }
    if (b.wrong != NULL || b.at != b.end) /* of a key it does not have any more */
        rows->whole = true;
    rows->count++;
    r->keys++;
}

static bool take(void *ctx, const char *record, uint32_t size)
{
    struct reading *r = ctx;
    struct bytes b = {record, record, record + size, NULL};
    const struct rtable *table = registry_find(r->t->registry, bytes_u32(&b));
    struct touched_rows *rows;
    uint16_t columns;

    if (r->keys >= r->most || arena_bytes(r->arena) > r->most_bytes)
        return false;
    if (table == NULL)
        return true;
    rows = rows_of(r, table);
    columns = table_key_columns(table->source);
    if (b.at == b.end || columns == 0)
        rows->whole = true;
    if (!rows->whole)
        add_key(r, rows, columns, b);
    return true;
}

/* It is no reason to stop following; whoever cannot be written to any more may have removed it meanwhile. */
static enum err lost_reading(struct touched *t, struct fault *f)
{
    struct fault why = *f;
    enum err err = ERR_OK;

    fault_clear(f);
    pthread_mutex_lock(&t->lock);
    if (t->stands)
        err = lose(t, &why, f);
    pthread_mutex_unlock(&t->lock);
    TRY(err);
    return fault_set(f, ERR_BUSY, "%s", why.why);
}

enum err touched_read(struct touched *t, size_t most, struct arena *a, struct touched_list *ret, struct fault *f)
{
    struct reading r = {.t = t, .arena = a, .most = most};
    struct touched_place upto;
    size_t tables = t->registry->count + 1;

    pthread_mutex_lock(&t->lock);
    upto = touched_log_end(t->log);
    forget_latest(t); /* what comes from now on is behind the end that is read to */
    pthread_mutex_unlock(&t->lock);
    r.by_table = arena_zalloc(a, tables * sizeof(struct touched_rows *));
    r.rows = arena_zalloc(a, tables * sizeof *r.rows);
    r.sizes = arena_zalloc(a, tables * sizeof *r.sizes);
    r.most_bytes = arena_bytes(a) + READ_BYTES;
    if (touched_log_read(t->log, t->place, upto, take, &r, &ret->upto, f) != ERR_OK)
        return lost_reading(t, f);
    ret->rows = r.rows;
    ret->count = r.count;
    ret->all = same_place(ret->upto, upto);
    return ERR_OK;
}

enum err touched_passed(struct touched *t, struct touched_place upto, struct fault *f)
{
    enum err err = ERR_OK;

    pthread_mutex_lock(&t->lock);
    if (t->stands) {
        t->place = upto;
        err = record_place(t, f);
        touched_log_drop(t->log, upto);
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}
