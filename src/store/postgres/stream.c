/* store/postgres/stream.c — the forward stream: a walsender's pgoutput messages made into parcels.
 *
 * One thread reads. What a call returns is handed on whole. Large transactions come in parts, so that memory stays bounded
 * however large they are: with protocol 1 a transaction is committed when its first byte arrives, so its parts are good as they
 * come. Transactions in progress are not asked for (protocol 2): servers before 18 can forget to say that a part of one was undone
 * (docs/adr/0010, trap L18).
 *
 * Invariants
 *  1. A parcel holds transactions in commit order; a part that is not the last is the last of its parcel.
 *  2. The position told to the source is only ever the one given to stream_feedback.
 *
 * Pace. A walsender sends every message by itself, six for a small transaction; where each is carried and woken for alone,
 * that costs it twice what decoding does (measured: 2.7 s of its processor for 100,000 transactions in 550,000 segments,
 * 1.05 s in 10,000). While small messages come thick they are left to gather, and half of what is there is left behind, so
 * that the window stays nearly full and the sender's kernel joins them. */
#include "store/postgres/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "base/world.h"
#include "sql_embedded.h"
#include "store/postgres/marks.h"
#include "store/postgres/names.h"
#include "store/postgres/pg.h"
#include "wire/pgoutput.h"

#define PART_BYTES ((uint64_t)1 << 20)     /* a parcel is handed on when it holds this much */
#define LARGE_BYTES ((size_t)256 << 10)
#define FEEDBACK_US ((int64_t)1000000)
#define BUSY_FRAMES 64                     /* so many in one turn: more are on their way */
#define PACE_US ((int64_t)1000)            /* then they are left to gather for so long */
#define STEADY_RATE ((int64_t)2000)        /* frames a second: several transactions come within the next turn */
#define STEADY_US ((int64_t)3000)          /* and are taken together: a fifth of the wake-ups and commits, for 3 ms of lag */
#define SLOT_PATIENCE_US ((int64_t)10000000)
#define PURPOSE "forward stream"
#define LIBPQ_READ ((int)16384)            /* what one PQconsumeInput takes at most, unless a row was larger */

struct store_stream {
    struct store *store;
    struct pg *pg;
    struct pgoutput *decoder;
    struct parcel *parcel;     /* being filled */
    struct txn *open;          /* the transaction being received, in parcel or in one handed on */
    uint32_t open_xid;
    struct lsn open_commit;
    int64_t open_commit_us;
    bool in_txn;
    bool begun;                /* its first change has been seen */
    bool echo;                 /* it was written by the mirror stream: nothing of it is kept */
    struct lsn received;
    struct lsn durable;        /* as last told by the engine */
    int64_t told_us;
    bool reply_wanted;
    uint32_t frames;           /* read since the last wait ... */
    int64_t waited_us;         /* ... which began then */
    int takes;                 /* how often the socket may still be read in this turn */
};

static enum err start_once(struct store_stream *st, struct lsn from, struct fault *f)
{
    char slot[NAME_SIZE];
    char publication[NAME_SIZE];
    char marks[NAME_SIZE];
    char position[LSN_TEXT_SIZE];
    AUTO_RESULT *r = NULL;

    name_slot(st->store, slot);
    TRY(pg_execf(st->pg, &r, f, "START_REPLICATION SLOT \"%s\" LOGICAL %s (proto_version '1', publication_names '\"%s\",\"%s\"')", slot, lsn_text(from, position),
                 name_publication(st->store, publication), name_marks(st->store, marks)));
    if (PQresultStatus(r) != PGRES_COPY_BOTH)
        return fault_set(f, ERR_PROTOCOL, "the source did not start the stream");
    return ERR_OK;
}

static enum err end_older_walsender(const struct store *s, struct fault *f)
{
    AUTO(pg) *pg = NULL;
    char slot[NAME_SIZE];
    const char *params[] = {name_slot(s, slot), "leat: " PURPOSE};

    TRY(pg_connect(s->store->source, SIDE_SOURCE, "forward stream's start", &pg, f));
    return pg_query(pg, SQL_END_OLD_WALSENDER, 2, params, NULL, f);
}

/* The walsender of an engine that was killed may be deep in a large transaction, and hold the slot until it looks up. */
static enum err start(struct store_stream *st, struct lsn from, struct fault *f)
{
    int64_t deadline = world_mono_us() + SLOT_PATIENCE_US;
    enum err err;

    while ((err = start_once(st, from, f)) == ERR_BUSY && world_mono_us() < deadline && !atomic_load(st->store->stop)) {
        struct fault ignored = {0};
        fault_clear(f);
        if (end_older_walsender(st->store, &ignored) != ERR_OK)
            log_fault(LOG_INFO, st->store->name, &ignored);
        world_sleep_us(50000);
    }
    return err;
}

/* What a database without an encoding holds goes as it is: text the target does not take is a matter of that row. Converted by the source, it would
 * end the stream for good. */
static enum err take_bytes_as_they_are(struct pg *pg, struct fault *f)
{
    const char *encoding = PQparameterStatus(pg->conn, "server_encoding");

    return encoding != NULL && strcmp(encoding, "SQL_ASCII") == 0 ? pg_exec(pg, "SET client_encoding = 'SQL_ASCII'", NULL, f) : ERR_OK;
}

enum err pg_stream_open(struct store *s, struct lsn from, struct store_stream **ret, struct fault *f)
{
    struct store_stream *st = mem_alloc(sizeof *st);
    enum err err;

    st->store = s;
    st->decoder = pgoutput_new();
    err = pg_connect_replication(s->store->source, SIDE_SOURCE, PURPOSE, &st->pg, f);
    if (err == ERR_OK)
        err = take_bytes_as_they_are(st->pg, f);
    if (err == ERR_OK)
        err = start(st, from, f);
    if (err != ERR_OK) {
        pg_stream_close(st);
        return err;
    }
    st->parcel = parcel_new();
    st->told_us = world_mono_us();
    *ret = st;
    return ERR_OK;
}

void pg_stream_close(struct store_stream *st)
{
    if (st == NULL)
        return;
    parcel_free(st->parcel);
    pg_free(st->pg);
    pgoutput_free(st->decoder); /* relations die with it: the engine has let go of every parcel by now */
    free(st);
}

static enum err lost(struct store_stream *st, struct fault *f)
{
    return fault_set(f, ERR_SOURCE_LOST, "forward stream: %s", PQerrorMessage(st->pg->conn));
}

enum err pg_stream_feedback(struct store_stream *st, struct lsn durable, struct fault *f)
{
    char message[PGOUTPUT_FEEDBACK_SIZE];

    st->durable = lsn_max(st->durable, durable);
    pgoutput_feedback_encode(message, lsn_max(st->received, st->durable), st->durable, world_wall_us(), false);
    if (PQputCopyData(st->pg->conn, message, sizeof message) != 1 || PQflush(st->pg->conn) < 0)
        return lost(st, f);
    st->told_us = world_mono_us();
    st->reply_wanted = false;
    return ERR_OK;
}

/* --- transactions --- */

static struct txn *txn_here(struct store_stream *st)
{
    if (st->open == NULL) { /* goes on in a new parcel */
        st->open = parcel_add_txn(st->parcel, st->open_xid, false);
        st->open->commit = st->open_commit;
        st->open->commit_us = st->open_commit_us;
    }
    return st->open;
}

static void open_txn(struct store_stream *st, const struct pgoutput_msg *m)
{
    st->in_txn = true;
    st->begun = false;
    st->echo = false;
    st->open_xid = m->xid;
    st->open_commit = m->lsn;
    st->open_commit_us = m->commit_us;
    st->open = parcel_add_txn(st->parcel, m->xid, true);
    st->open->commit = m->lsn;
    st->open->commit_us = m->commit_us;
}

static enum err on_begin(struct store_stream *st, const struct pgoutput_msg *m, struct fault *f)
{
    if (st->in_txn)
        return fault_set(f, ERR_PROTOCOL, "BEGIN inside a transaction");
    open_txn(st, m);
    return ERR_OK;
}

static void finish_txn(struct store_stream *st, struct lsn end, int64_t commit_us)
{
    struct txn *t = txn_here(st);

    t->last = true;
    t->end = end;
    t->commit_us = commit_us;
    st->open = NULL;
    st->in_txn = false;
    st->parcel->idle_end = end;
}

static enum err on_change(struct store_stream *st, const struct pgoutput_msg *m, struct fault *f)
{
    if (!st->in_txn)
        return fault_set(f, ERR_PROTOCOL, "a change outside a transaction");
    if (!st->begun)
        st->echo = pg_is_echo(st->store, m->change);
    st->begun = true;
    if (st->echo)
        return ERR_OK;
    txn_add_change(st->parcel, txn_here(st), m->change);
    return ERR_OK;
}

static enum err on_message(struct store_stream *st, const struct pgoutput_msg *m, struct fault *f)
{
    switch (m->kind) {
    case PGOUTPUT_BEGIN:
        return on_begin(st, m, f);
    case PGOUTPUT_COMMIT:
        if (!st->in_txn)
            return fault_set(f, ERR_PROTOCOL, "COMMIT without BEGIN");
        finish_txn(st, m->end, m->commit_us);
        return ERR_OK;
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
    case PGOUTPUT_TRUNCATE:
        return on_change(st, m, f);
    case PGOUTPUT_RELATION:
    case PGOUTPUT_TYPE:
    case PGOUTPUT_ORIGIN:
    case PGOUTPUT_MESSAGE:
        return ERR_OK;
    case PGOUTPUT_STREAM_START:
    case PGOUTPUT_STREAM_STOP:
    case PGOUTPUT_STREAM_COMMIT:
    case PGOUTPUT_STREAM_ABORT:
        return fault_set(f, ERR_PROTOCOL, "a transaction in progress, which was not asked for");
    }
    return fault_set(f, ERR_PROTOCOL, "message '%c' is not known", (char)m->kind);
}

/* Of an echo only what describes tables is read: it is sent once, and others rely on it. */
static bool is_dropped(const struct store_stream *st, const struct pgoutput_frame *frame)
{
    return st->echo && frame->len > 0 && strchr("IUDTM", frame->data[0]) != NULL;
}

/* Takes data, which libpq gave: what is large is kept as it is, not copied once more. */
static const char *keep_frame(struct store_stream *st, char *data, size_t len, const struct pgoutput_frame *frame)
{
    const char *kept;

    if (len >= LARGE_BYTES) {
        arena_adopt(st->parcel->arena, data, len, PQfreemem);
        return frame->data;
    }
    kept = arena_copy(st->parcel->arena, frame->data, frame->len);
    PQfreemem(data);
    return kept;
}

static enum err on_frame(struct store_stream *st, char *data, size_t len, struct fault *f)
{
    struct pgoutput_frame frame;
    struct pgoutput_msg m;
    const char *kept;
    enum err err = pgoutput_frame_decode(data, len, &frame, f);

    bool dropped = err == ERR_OK && frame.kind != 'k' && is_dropped(st, &frame);

    if (err != ERR_OK || frame.kind == 'k' || dropped)
        PQfreemem(data);
    TRY(err);
    st->received = lsn_max(st->received, frame.wal_end);
    if (dropped)
        return ERR_OK;
    if (frame.kind == 'k') {
        st->reply_wanted = frame.reply_wanted;
        if (!st->in_txn && st->parcel->txns == NULL) /* all that was committed before has been delivered */
            st->parcel->idle_end = frame.wal_end;
        return ERR_OK;
    }
    kept = keep_frame(st, data, len, &frame);
    TRY(pgoutput_decode(st->decoder, st->parcel->arena, kept, frame.len, &m, f));
    return on_message(st, &m, f);
}

/* --- reading --- */

static bool parcel_has_something(const struct store_stream *st)
{
    return st->parcel->txns != NULL || st->parcel->idle_end.v != 0;
}

static void hand_on(struct store_stream *st, struct parcel **ret)
{
    *ret = st->parcel;
    (*ret)->received_us = world_mono_us();
    (*ret)->more_soon = st->frames >= BUSY_FRAMES;
    st->parcel = parcel_new();
    st->open = NULL;
}

/* A file of its own that it could not write or read now (large transactions are spilled to its disk) it may another time: decoding begins anew
 * with the next stream. Log that is not there any more never comes back. The server's words may be in any language, its functions are not. */
static bool may_pass(const PGresult *r)
{
    static const char *const of_log[] = {"WalSnd", "WALRead", "XLogRead"};
    const char *where = r != NULL ? PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION) : NULL;

    for (size_t i = 0; i < sizeof of_log / sizeof *of_log; i++)
        if (where == NULL || strncmp(where, of_log[i], strlen(of_log[i])) == 0)
            return false;
    return strncmp(pg_sqlstate(r), "58", 2) == 0;
}

/* The server ended the stream. What it cannot decode now it cannot decode later: the slot is of no use any more. */
static enum err ended(struct store_stream *st, const PGresult *r, struct fault *f)
{
    struct fault why = {0};
    enum err err = pg_fault(st->pg, r, "START_REPLICATION", &why);

    if (err == ERR_SOURCE_SQL && may_pass(r))
        return fault_set(f, ERR_BUSY, "the source could not use a file of its own: %.1500s", why.why);
    if (err == ERR_SOURCE_SQL)
        return fault_set(f, ERR_SLOT_LOST, "the source cannot decode its log any further: %.1500s", why.why);
    *f = why;
    return err;
}

/* Reads frames that are already here, libpq's buffer and the socket's. *ret_more is false once nothing complete is left. */
static enum err read_buffered(struct store_stream *st, bool *ret_more, struct fault *f)
{
    for (;;) {
        char *data = NULL;
        int n;

        if (st->parcel->bytes >= PART_BYTES || arena_bytes(st->parcel->arena) >= 8 * PART_BYTES) {
            *ret_more = true;
            return ERR_OK;
        }
        n = PQgetCopyData(st->pg->conn, &data, 1);
        if (n == 0 && st->takes == 0) {
            *ret_more = false;
            return ERR_OK;
        }
        if (n == 0) {
            st->takes--;
            if (PQconsumeInput(st->pg->conn) != 1)
                return lost(st, f);
            continue;
        }
        if (n > 0) {
            st->frames++;
            TRY(on_frame(st, data, (size_t)n, f));
            continue;
        }
        if (n == -1) {
            AUTO_RESULT *r = PQgetResult(st->pg->conn);
            return ended(st, r, f);
        }
        return lost(st, f);
    }
}

/* How often to read the socket in the turn that begins: while it runs full, half of what is there. Never less than twice: what
 * TLS has decrypted and libpq had no room for is seen by no poll. */
static int takes_of(struct store_stream *st, bool busy)
{
    int there = 0;

    if (!busy || ioctl(PQsocket(st->pg->conn), FIONREAD, &there) != 0 || there < 6 * LIBPQ_READ)
        return 2;
    return there / 2 / LIBPQ_READ;
}

static enum err wait_readable(struct store_stream *st, int64_t deadline_us, struct fault *f)
{
    int64_t now = world_mono_us();
    int64_t until = deadline_us < st->told_us + FEEDBACK_US ? deadline_us : st->told_us + FEEDBACK_US;
    struct pollfd p = {.fd = PQsocket(st->pg->conn), .events = POLLIN};
    bool busy = st->frames >= BUSY_FRAMES;
    bool steady = !busy && st->frames > 1 && (int64_t)st->frames * 1000000 >= STEADY_RATE * (now - st->waited_us);
    int ms = until > now ? (int)((until - now + 999) / 1000) : 0;

    st->frames = 0;
    st->waited_us = now;
    if (busy || steady)
        world_sleep_us(busy ? PACE_US : STEADY_US);
    if (poll(&p, 1, busy ? 0 : ms) < 0 && errno != EINTR)
        return fault_set(f, ERR_SOURCE_LOST, "forward stream: %s", strerror(errno));
    st->takes = takes_of(st, busy);
    return ERR_OK;
}

enum err pg_stream_read(struct store_stream *st, int64_t deadline_us, struct parcel **ret, struct fault *f)
{
    for (;;) {
        bool more = false;

        TRY(read_buffered(st, &more, f));
        if (st->reply_wanted || world_mono_us() >= st->told_us + FEEDBACK_US)
            TRY(pg_stream_feedback(st, st->durable, f));
        if (more || (parcel_has_something(st) && !st->in_txn)) {
            hand_on(st, ret);
            return ERR_OK;
        }
        if (world_mono_us() >= deadline_us) {
            *ret = NULL;
            return ERR_OK;
        }
        TRY(wait_readable(st, deadline_us, f));
    }
}

/* --- raw messages --- */

void *pg_decoder_make(void)
{
    return pgoutput_new();
}

void pg_decoder_drop(void *decoder)
{
    pgoutput_free(decoder);
}

enum err pg_decode(void *decoder, struct arena *arena, const char *data, size_t len, struct change **ret, struct fault *f)
{
    struct pgoutput_msg m;

    TRY(pgoutput_decode(decoder, arena, data, len, &m, f));
    *ret = m.change;
    return ERR_OK;
}
