/* wire/pgoutput.h — PostgreSQL's logical replication messages, protocol versions 1 and 2, decoded. Pure: no I/O.
 *
 * Source: PostgreSQL manual, "Logical Replication Message Formats"; src/backend/replication/logical/proto.c; in short
 * docs/formats/pgoutput.md. The decoder never trusts a length or a count: a malformed message is ERR_PROTOCOL, nothing
 * of it is used, and the decoder is as it was. leat asks for protocol 1 alone (docs/adr/0010). It keeps the relations it was told of (a RELATION message comes before
 * the first change that names it, and again whenever the server thinks so). */
#ifndef LEAT_WIRE_PGOUTPUT_H
#define LEAT_WIRE_PGOUTPUT_H

#include "base/fault.h"
#include "model/change.h"

enum pgoutput_kind {
    PGOUTPUT_BEGIN = 'B',
    PGOUTPUT_COMMIT = 'C',
    PGOUTPUT_ORIGIN = 'O',
    PGOUTPUT_RELATION = 'R',
    PGOUTPUT_TYPE = 'Y',
    PGOUTPUT_INSERT = 'I',
    PGOUTPUT_UPDATE = 'U',
    PGOUTPUT_DELETE = 'D',
    PGOUTPUT_TRUNCATE = 'T',
    PGOUTPUT_MESSAGE = 'M',
    PGOUTPUT_STREAM_START = 'S',
    PGOUTPUT_STREAM_STOP = 'E',
    PGOUTPUT_STREAM_COMMIT = 'c',
    PGOUTPUT_STREAM_ABORT = 'A',
};

struct pgoutput_msg {
    enum pgoutput_kind kind;
    uint32_t xid;          /* BEGIN, STREAM_*: top-level; changes inside a stream: the (sub)transaction's own */
    uint32_t subxid;       /* STREAM_ABORT: what aborted (equal to xid: all of it) */
    bool first_segment;    /* STREAM_START */
    struct lsn lsn;        /* BEGIN: of the commit record (its start); COMMIT, STREAM_COMMIT: the same; ORIGIN: there */
    struct lsn end;        /* COMMIT, STREAM_COMMIT: end of the commit record */
    int64_t commit_us;     /* BEGIN, COMMIT, STREAM_COMMIT: microseconds since 1970 */
    const char *origin;    /* ORIGIN: its name, inside `data` */
    struct change *change; /* INSERT, UPDATE, DELETE, TRUNCATE: in the arena given */
    const struct relation *relation; /* RELATION: the description that now holds */
    bool changed;          /* it is the first of its table, or differs from the one before; else it is the one before */
};

struct pgoutput;
/* One decoder reads one stream, from its start. Relations live as long as the decoder. */
struct pgoutput *pgoutput_new(void);
void pgoutput_free(struct pgoutput *d);
AUTO_DEFINE(pgoutput)
/* Decodes one message. `data` must outlive the change made of it (its values point there); rows and changes are made in
 * `arena`. Inside a streamed segment (between STREAM_START and STREAM_STOP, which the decoder follows) every message
 * carries an xid; the change's `raw` is then a copy in `arena` without it, so that `raw` always reads as protocol 1.
 * TYPE and MESSAGE are checked and otherwise passed over: values come as text, and messages are not asked for. */
MUST_USE enum err pgoutput_decode(struct pgoutput *d, struct arena *arena, const char *data, size_t len,
                                  struct pgoutput_msg *ret, struct fault *f);
/* The relation last described under this id, or NULL. */
const struct relation *pgoutput_relation(const struct pgoutput *d, uint32_t id);

/* The replication sub-protocol around them (CopyData payloads). */
struct pgoutput_frame {
    char kind;                 /* 'w' data, 'k' keepalive */
    struct lsn start;          /* 'w' */
    struct lsn wal_end;        /* the server's position when sent */
    int64_t sent_us;           /* the server's clock */
    bool reply_wanted;         /* 'k' */
    const char *data;          /* 'w': the message */
    size_t len;
};
MUST_USE enum err pgoutput_frame_decode(const char *data, size_t len, struct pgoutput_frame *ret, struct fault *f);
#define PGOUTPUT_FEEDBACK_SIZE 34
/* A standby status update: what was received, and `durable` for both flushed and applied. now_us: since 1970. */
void pgoutput_feedback_encode(char out[PGOUTPUT_FEEDBACK_SIZE], struct lsn received, struct lsn durable, int64_t now_us,
                              bool reply_wanted);

#endif
