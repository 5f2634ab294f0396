/* wire/pgwire.h — PostgreSQL's protocol 3 as bytes: the frames of both directions, the packets a connection begins with, and
 * the few messages the door says itself. Protocol: PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats".
 *
 * Nothing here allocates but through a buf, and nothing is gathered: a frame is known by its five first bytes. */
#ifndef LEAT_WIRE_PGWIRE_H
#define LEAT_WIRE_PGWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

#define PGWIRE_HEADER 5                  /* type, length */
#define PGWIRE_MESSAGE_MAX 0x3fffffff    /* MaxAllocSize of the server: no larger message can be meant */
#define PGWIRE_STARTUP_MAX 10000         /* MAX_STARTUP_PACKET_LENGTH of the server */
#define PGWIRE_PROTOCOL_3 (3 << 16)

/* --- frames --- */

enum pgwire_from { PGWIRE_CLIENT, PGWIRE_SERVER };
enum pgwire_seen { PGWIRE_MORE, PGWIRE_FRAME, PGWIRE_WRONG };

/* Looks at the message that begins at p. FRAME: *ret_type, and in *ret_total how long it is with its header, however much of
 * it is there. MORE: fewer than five bytes are. WRONG: that side never sends such a message. */
enum pgwire_seen pgwire_frame(enum pgwire_from from, const char *p, size_t n, char *ret_type, uint32_t *ret_total);

/* --- how a connection begins --- */

enum pgwire_startup_kind {
    STARTUP_MORE,    /* not all of it is there */
    STARTUP_WRONG,   /* not of this protocol, or of another version */
    STARTUP_OLD,     /* protocol 2 and older */
    STARTUP_TLS,     /* SSLRequest */
    STARTUP_GSS,     /* GSSENCRequest */
    STARTUP_CANCEL,
    STARTUP_SESSION
};

struct pgwire_startup {
    enum pgwire_startup_kind kind;
    uint32_t total;       /* bytes of the packet */
    uint32_t version;     /* SESSION */
    uint32_t pid;         /* CANCEL */
    const char *key;      /* CANCEL: in the packet */
    uint32_t key_len;
    const char *params;   /* SESSION: name NUL value NUL ..., in the packet, without the last NUL */
    uint32_t params_len;
};

enum pgwire_startup_kind pgwire_startup(const char *p, size_t n, struct pgwire_startup *ret);
/* The value of a parameter; NULL: not given. */
const char *pgwire_startup_param(const struct pgwire_startup *s, const char *name);
/* Goes through the parameters: *at begins as 0. False at the end. */
bool pgwire_startup_next(const struct pgwire_startup *s, uint32_t *at, const char **ret_name, const char **ret_value);

/* --- writing --- */

/* A message is begun, filled, and ended (its length is put in then). Returns where it begins. */
size_t pgwire_begin(struct buf *b, char type);
void pgwire_end(struct buf *b, size_t begin);
/* Of what has no type: the first packet. */
size_t pgwire_begin_untyped(struct buf *b);
void pgwire_end_untyped(struct buf *b, size_t begin);
void pgwire_add_string(struct buf *b, const char *s); /* with its NUL */

/* ErrorResponse. detail and hint may be NULL. severity: "ERROR" or "FATAL". */
void pgwire_error(struct buf *b, const char *severity, const char *sqlstate, const char *message, const char *detail, const char *hint);
void pgwire_ready(struct buf *b, char status);
void pgwire_parameter(struct buf *b, const char *name, const char *value);
void pgwire_auth(struct buf *b, uint32_t code, const void *more, size_t more_len);
void pgwire_sync(struct buf *b);

/* --- reading what the door has to know --- */

/* A field of an ErrorResponse's body ('S', 'C', 'M', ...); NULL: not there. */
const char *pgwire_error_field(const char *body, size_t n, char field);
/* The first string of a body and, behind it, the second; NULL where the body does not hold them whole. */
const char *pgwire_string(const char *body, size_t n, const char **ret_second);

#endif
