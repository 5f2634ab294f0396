/* build/toc.h — a dump's entries, from what pg_restore prints of them. Pure text.
 *
 * `pg_restore --verbose --file=-` prints before each entry
 *     --
 *     -- TOC entry 3447 (class 2606 OID 16625)
 *     -- Dependencies: 221
 *     -- Name: a a_pkey; Type: CONSTRAINT; Schema: public; Owner: app
 *     -- Data Pos: 0
 *     --
 * and then its statements (bin/pg_dump/pg_backup_archiver.c, _printTocEntry). Such lines may also stand inside a
 * function's body or a comment's text: so the statements are read as SQL, and a header counts only outside quotes.
 * Settings that pg_restore prints between entries (default_tablespace, default_table_access_method) belong to the
 * entries behind them. */
#ifndef LEAT_BUILD_TOC_H
#define LEAT_BUILD_TOC_H

#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

struct toc_entry {
    int id; /* the dump's own number */
    uint32_t class_oid; /* catalog and oid of the object on the source; 0: it is none (comments, grants, ATTACH) */
    uint32_t oid;
    const int *depends; /* ids, repeated now and then */
    size_t depend_count;
    const char *name;       /* for people: line breaks are blanks here; may hold anything */
    const char *type;       /* "INDEX", "FK CONSTRAINT", ... */
    const char *schema;     /* "-": none */
    const char *owner;      /* "" or "-": none */
    const char *tablespace; /* NULL: none, or the database's own */
    const char *in_space;   /* "SET LOCAL default_tablespace = ...;", as printed before it; "": not printed */
    const char *in_method;  /* the same for default_table_access_method */
    const char *sql;        /* trimmed; may be empty */
    bool post;              /* set by the caller: post-data */
    bool left_out;          /* set by the caller: not to be made */
};

struct toc {
    struct toc_entry *entries; /* in the order printed */
    size_t count;
    struct toc_entry **by_id; /* id → entry, NULL: none */
    size_t by_id_size;
};

/* ERR_PG_DUMP when a header is not as above. Everything lives in the arena. */
MUST_USE enum err toc_parse(struct arena *a, const char *text, size_t len, struct toc *ret, struct fault *f);
/* The ids that `pg_restore --list` prints. */
void toc_parse_list(struct arena *a, const char *text, int **ret_ids, size_t *ret_count);
/* NULL: none. */
struct toc_entry *toc_find(const struct toc *t, int id);
static inline bool toc_is(const struct toc_entry *e, const char *type)
{
    return strcmp(e->type, type) == 0;
}

#endif
