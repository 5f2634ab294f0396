/* What real walsenders sent (tests/golden/pgoutput, made by `capture` there), read out as text and compared with what
 * was written by hand beside the SQL. A streamed transaction must read exactly as one that was not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "wire/pgoutput.h"

#define LONG_VALUE 100
#define HOUR_US ((int64_t)3600 * 1000000)
#define FIRST_USER_OID 16384

static void golden_path(const char *name, char path[600])
{
    const char *file = __FILE__;
    const char *slash = strrchr(file, '/');
    struct stat st;

    snprintf(path, 600, "%.*s/../golden/pgoutput/%s", (int)(slash != NULL ? slash - file : 1),
             slash != NULL ? file : ".", name);
    if (stat(path, &st) != 0) /* not run from where it was built */
        snprintf(path, 600, "tests/golden/pgoutput/%s", name);
}

static void read_golden(const char *name, struct buf *ret)
{
    char path[600];
    char block[65536];
    FILE *file;
    size_t n;

    golden_path(name, path);
    file = fopen(path, "rbe");
    if (file == NULL)
        fail_msg("%s cannot be opened", path);
    while ((n = fread(block, 1, sizeof block, file)) > 0)
        buf_add(ret, block, n);
    fclose(file);
    assert_true(ret->len > 0);
}

/* --- rendering --- */

static void render_value(struct buf *out, const struct value *v)
{
    if (v->len == VALUE_NULL || v->len == VALUE_UNCHANGED) {
        buf_adds(out, v->len == VALUE_NULL ? "null" : "same");
        return;
    }
    buf_addc(out, '\'');
    for (int32_t i = 0; i < (v->len > LONG_VALUE ? 8 : v->len); i++) {
        unsigned char c = (unsigned char)v->data[i];
        if (c < ' ' || c == '\'' || c == '\\')
            buf_addf(out, "\\x%02x", c);
        else
            buf_addc(out, (char)c);
    }
    buf_addc(out, '\'');
    if (v->len > LONG_VALUE)
        buf_addf(out, "..%d", v->len);
}

static void render_row(struct buf *out, const struct row *row)
{
    buf_addc(out, '(');
    for (uint16_t i = 0; i < row->count; i++) {
        buf_adds(out, i > 0 ? ", " : "");
        render_value(out, &row->values[i]);
    }
    buf_addc(out, ')');
}

static void render_relation(struct buf *out, const struct relation *r)
{
    buf_addf(out, "relation %s.%s %c ", r->schema, r->name, (char)r->identity);
    for (uint16_t i = 0; i < r->column_count; i++) {
        const struct rel_column *c = &r->columns[i];
        buf_addf(out, "%s%s%s ", i > 0 ? ", " : "", c->name, c->key ? "*" : "");
        if (c->type < FIRST_USER_OID)
            buf_addf(out, "%" PRIu32 "/%" PRId32, c->type, c->typmod);
        else
            buf_addf(out, "user/%" PRId32, c->typmod);
    }
    buf_addc(out, '\n');
}

static void render_truncate(struct buf *out, const struct change *c)
{
    buf_addf(out, "truncate %s%s", (c->truncate_flags & 1) != 0 ? "cascade " : "",
             (c->truncate_flags & 2) != 0 ? "restart " : "");
    for (uint32_t i = 0; i < c->truncate_count; i++)
        buf_addf(out, "%s%s.%s", i > 0 ? ", " : "", c->truncated[i]->schema, c->truncated[i]->name);
    buf_addc(out, '\n');
}

static void render_change(struct buf *out, const struct change *c)
{
    if (c->kind == CHANGE_TRUNCATE) {
        render_truncate(out, c);
        return;
    }
    buf_addf(out, "%s %s.%s ",
             c->kind == CHANGE_INSERT   ? "insert"
             : c->kind == CHANGE_UPDATE ? "update"
                                        : "delete",
             c->relation->schema, c->relation->name);
    if (c->old != NULL) {
        buf_adds(out, c->old_is_key ? "key " : "old ");
        render_row(out, c->old);
        buf_adds(out, c->new != NULL ? " -> " : "");
    }
    if (c->new != NULL)
        render_row(out, c->new);
    buf_addc(out, '\n');
}

/* --- a capture read as a stream reader would --- */

struct part {
    uint32_t xid; /* of the subtransaction */
    bool aborted;
    char *text;
};

struct pending { /* a transaction that is being streamed */
    uint32_t xid;
    struct part parts[4096];
    size_t count;
};

struct capture {
    int major;
    int protocol;
    int streamed;
    int64_t at_us;
    struct pgoutput *decoder;
    struct pgoutput *again; /* is given only what `raw` says, as the spool's reader is */
    struct arena *arena;
    struct buf out;
    struct buf txn;
    bool in_txn;
    struct lsn begin;
    struct lsn last_end;
    uint32_t segment;
    struct pending pending;
    unsigned types;
    unsigned segments;
    unsigned aborts;
    unsigned keepalives;
};

static void put(struct capture *c, uint32_t xid, const char *text)
{
    struct pending *p = &c->pending;

    if (c->segment == 0) {
        buf_adds(c->in_txn ? &c->txn : &c->out, text);
        return;
    }
    assert_int_equal(p->xid, c->segment);
    assert_true(p->count < sizeof p->parts / sizeof p->parts[0]);
    p->parts[p->count++] = (struct part){xid, false, mem_dup(text)};
}

static void forget_pending(struct capture *c)
{
    for (size_t i = 0; i < c->pending.count; i++)
        free(c->pending.parts[i].text);
    c->pending.count = 0;
    c->pending.xid = 0;
}

static void end_txn(struct capture *c, const struct pgoutput_msg *m)
{
    assert_true(lsn_lt(m->lsn, m->end));
    assert_true(lsn_lt(c->last_end, m->end));
    assert_true(m->commit_us > c->at_us - HOUR_US && m->commit_us < c->at_us + HOUR_US);
    c->last_end = m->end;
    if (c->txn.len > 0)
        buf_addf(&c->out, "begin\n%scommit\n", buf_cstr(&c->txn));
    buf_clear(&c->txn);
    c->in_txn = false;
}

static void on_stream_commit(struct capture *c, const struct pgoutput_msg *m)
{
    assert_int_equal(m->xid, c->pending.xid);
    for (size_t i = 0; i < c->pending.count; i++)
        if (!c->pending.parts[i].aborted)
            buf_adds(&c->txn, c->pending.parts[i].text);
    forget_pending(c);
    end_txn(c, m);
}

static void on_stream_abort(struct capture *c, const struct pgoutput_msg *m)
{
    c->aborts++;
    if (c->pending.xid != m->xid) /* it aborted before anything of it was sent */
        return;
    for (size_t i = 0; i < c->pending.count; i++)
        c->pending.parts[i].aborted |= c->pending.parts[i].xid == m->subxid;
    if (m->xid == m->subxid)
        forget_pending(c);
}

/* `raw` alone must give the same change again, whatever the message came in. */
static void check_raw(struct capture *c, const struct change *change, const char *text)
{
    struct fault f = {0};
    struct pgoutput_msg m;
    AUTO_BUF again = {0};

    assert_int_equal(change->raw[0], change->kind);
    assert_int_equal(pgoutput_decode(c->again, c->arena, change->raw, change->raw_len, &m, &f), ERR_OK);
    render_change(&again, m.change);
    assert_string_equal(buf_cstr(&again), text);
}

static void on_relation(struct capture *c, const struct pgoutput_msg *m)
{
    struct fault f = {0};
    struct pgoutput_msg again;
    AUTO_BUF text = {0};

    assert_int_equal(pgoutput_decode(c->again, c->arena, m->relation->raw, m->relation->raw_len, &again, &f), ERR_OK);
    assert_ptr_equal(pgoutput_relation(c->decoder, m->relation->id), m->relation);
    assert_true(again.changed == m->changed);
    if (m->changed) {
        render_relation(&text, m->relation);
        put(c, m->xid, buf_cstr(&text));
    }
}

static void on_segment(struct capture *c, const struct pgoutput_msg *m)
{
    assert_true(m->first_segment == (c->pending.xid == 0));
    c->segment = c->pending.xid = m->xid;
    c->segments++;
}

static void on_change(struct capture *c, const struct pgoutput_msg *m)
{
    AUTO_BUF text = {0};

    assert_true(c->in_txn || c->segment != 0);
    assert_true((m->xid != 0) == (c->segment != 0));
    render_change(&text, m->change);
    check_raw(c, m->change, buf_cstr(&text));
    put(c, m->xid, buf_cstr(&text));
}

static void on_message(struct capture *c, const struct pgoutput_msg *m)
{
    AUTO_BUF text = {0};

    switch (m->kind) {
    case PGOUTPUT_BEGIN:
        assert_true(m->xid != 0 && !c->in_txn);
        c->begin = m->lsn;
        c->in_txn = true;
        return;
    case PGOUTPUT_COMMIT:
        assert_true(c->in_txn);
        assert_int_equal(m->lsn.v, c->begin.v);
        end_txn(c, m);
        return;
    case PGOUTPUT_RELATION:
        on_relation(c, m);
        return;
    case PGOUTPUT_ORIGIN:
        buf_addf(&text, "origin %s\n", m->origin);
        put(c, c->segment, buf_cstr(&text));
        return;
    case PGOUTPUT_MESSAGE:
        put(c, m->xid, "message\n");
        return;
    case PGOUTPUT_TYPE:
        c->types++;
        return;
    case PGOUTPUT_STREAM_START:
        on_segment(c, m);
        return;
    case PGOUTPUT_STREAM_STOP:
        c->segment = 0;
        return;
    case PGOUTPUT_STREAM_COMMIT:
        on_stream_commit(c, m);
        return;
    case PGOUTPUT_STREAM_ABORT:
        on_stream_abort(c, m);
        return;
    default:
        on_change(c, m);
    }
}

static void on_frame(struct capture *c, const char *data, size_t len)
{
    struct fault f = {0};
    struct pgoutput_frame frame;
    struct pgoutput_msg m;
    char why[4096];

    assert_int_equal(pgoutput_frame_decode(data, len, &frame, &f), ERR_OK);
    assert_true(frame.sent_us > c->at_us - HOUR_US && frame.sent_us < c->at_us + HOUR_US);
    if (frame.kind == 'k') {
        c->keepalives++;
        return;
    }
    if (pgoutput_decode(c->decoder, c->arena, frame.data, frame.len, &m, &f) != ERR_OK)
        fail_msg("%s", fault_text(&f, why, sizeof why));
    on_message(c, &m);
}

static void read_capture(struct capture *c, const struct buf *file)
{
    const char *at = memchr(file->data, '\n', file->len);
    const char *end = file->data + file->len;

    assert_int_equal(sscanf(file->data, "major %d protocol %d streamed %d at %" SCNd64, &c->major, &c->protocol,
                            &c->streamed, &c->at_us),
                     4);
    c->at_us *= 1000000;
    for (at++; at < end;) {
        uint32_t len;
        memcpy(&len, at, sizeof len);
        len = __builtin_bswap32(len);
        assert_true(len <= (size_t)(end - at) - sizeof len);
        on_frame(c, at + sizeof len, len);
        at += sizeof len + len;
    }
    assert_false(c->in_txn);
    assert_int_equal(c->segment, 0);
    assert_int_equal(c->pending.count, 0);
}

static void expected_for(const struct capture *c, struct buf *ret)
{
    AUTO_BUF file = {0};
    bool wanted = false;

    read_golden("expected.txt", &file);
    for (char *line = file.data, *next; *line != '\0'; line = next) {
        next = strchr(line, '\n') + 1;
        if (*line == '@')
            wanted = strtol(line + 1, NULL, 10) <= c->major;
        else if (wanted)
            buf_add(ret, line, (size_t)(next - line));
    }
}

/* Says the first line that differs, rather than two texts of a thousand lines. */
static void assert_same_lines(const char *got, const char *expected)
{
    int line = 1;

    while (*got != '\0' || *expected != '\0') {
        size_t n = strcspn(got, "\n");
        size_t wanted = strcspn(expected, "\n");
        if (n != wanted || memcmp(got, expected, n) != 0)
            fail_msg("line %d is\n  %.*s\ninstead of\n  %.*s", line, (int)n, got, (int)wanted, expected);
        got += n + (got[n] == '\n');
        expected += wanted + (expected[wanted] == '\n');
        line++;
    }
}

static void reads_as_it_was_written(void **state)
{
    struct capture *c = mem_alloc(sizeof *c);
    AUTO_BUF file = {0};
    AUTO_BUF expected = {0};

    c->decoder = pgoutput_new();
    c->again = pgoutput_new();
    c->arena = arena_new(65536);
    read_golden(*state, &file);
    read_capture(c, &file);
    expected_for(c, &expected);
    assert_same_lines(buf_cstr(&c->out), buf_cstr(&expected));
    assert_true(c->types > 0);
    assert_true((c->segments > 0) == (c->protocol == 2));
    assert_true((c->aborts > 0) == (c->protocol == 2));
    if (c->streamed)
        assert_true(c->segments > 100 && c->aborts >= 6); /* every way of rolling back in the workload */
    printf("%s: %u segments, %u aborts, %u keepalives\n", (const char *)*state, c->segments, c->aborts, c->keepalives);
    pgoutput_free(c->decoder);
    pgoutput_free(c->again);
    arena_free(c->arena);
    buf_fini(&c->out);
    buf_fini(&c->txn);
    free(c);
}

int main(void)
{
    static char pg10[] = "pg10.frames", pg13[] = "pg13.frames", pg14[] = "pg14.frames", pg17[] = "pg17.frames",
                streamed[] = "pg17-streamed.frames", pg18[] = "pg18.frames";
    const struct CMUnitTest tests[] = {
        {"PostgreSQL 10", reads_as_it_was_written, NULL, NULL, pg10},
        {"PostgreSQL 13", reads_as_it_was_written, NULL, NULL, pg13},
        {"PostgreSQL 14", reads_as_it_was_written, NULL, NULL, pg14},
        {"PostgreSQL 17", reads_as_it_was_written, NULL, NULL, pg17},
        {"PostgreSQL 17, all streamed", reads_as_it_was_written, NULL, NULL, streamed},
        {"PostgreSQL 18", reads_as_it_was_written, NULL, NULL, pg18},
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
