/* tests/fuzz/fuzz_pgoutput.c — the replication stream's decoder, given frames and messages that nobody vouches for.
 *
 * An input is a row of CopyData payloads, each with its length (2 bytes, big-endian) before it; the last may be cut.
 * Each goes through the frame's decoder and what is in it through the message's, in a block of exactly its size. Of
 * whatever is accepted, every byte is read, and:
 *  1. values lie within the message, names are those of a relation that the decoder still knows;
 *  2. `raw` alone, given to a second decoder, makes the same change;
 *  3. a relation handed out earlier still says what it said. */
#include <stddef.h>
#include <stdint.h>

#include "wire/pgoutput.h"

#define MESSAGES_MOST 256

struct seen {
    const struct relation *relation;
    uint64_t sum;
};

struct run {
    struct pgoutput *decoder;
    struct pgoutput *again;
    struct arena *arena;
    char *blocks[MESSAGES_MOST];
    size_t block_count;
    struct seen seen[MESSAGES_MOST];
    size_t seen_count;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum_bytes(uint64_t sum, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + (unsigned char)p[i];
    return sum;
}

static uint64_t sum_relation(const struct relation *r)
{
    uint64_t sum = sum_bytes(r->id, r->raw, r->raw_len);

    sum = sum_bytes(sum, r->schema, strlen(r->schema) + 1);
    sum = sum_bytes(sum, r->name, strlen(r->name) + 1) + (uint64_t)r->identity;
    for (uint16_t i = 0; i < r->column_count; i++) {
        const struct rel_column *c = &r->columns[i];
        sum = sum_bytes(sum, c->name, strlen(c->name) + 1) * 7 + c->type + (uint32_t)c->typmod + c->key;
    }
    return sum;
}

static void check_row(const struct row *row, const struct relation *relation, const char *message, size_t len)
{
    ENSURE(row->count == relation->column_count);
    for (uint16_t i = 0; i < row->count; i++) {
        const struct value *v = &row->values[i];
        if (v->len < 0) {
            ENSURE(v->data == NULL && (v->len == VALUE_NULL || v->len == VALUE_UNCHANGED));
            continue;
        }
        ENSURE(v->data >= message && (size_t)v->len <= (size_t)(message + len - v->data));
    }
}

static void same_rows(const struct row *a, const struct row *b)
{
    ENSURE((a == NULL) == (b == NULL));
    for (uint16_t i = 0; a != NULL && i < a->count; i++)
        ENSURE(a->count == b->count && value_same(&a->values[i], &b->values[i]));
}

static void check_again(struct run *run, const struct change *c)
{
    struct fault f = {0};
    struct pgoutput_msg m;

    ENSURE(pgoutput_decode(run->again, run->arena, c->raw, c->raw_len, &m, &f) == ERR_OK);
    ENSURE(m.change != NULL && m.change->kind == c->kind && m.change->old_is_key == c->old_is_key && m.xid == 0);
    ENSURE(m.change->truncate_count == c->truncate_count && m.change->truncate_flags == c->truncate_flags);
    same_rows(m.change->old, c->old);
    same_rows(m.change->new, c->new);
}

static void check_change(struct run *run, const struct change *c, const char *message, size_t len)
{
    ENSURE(c->raw[0] == (char)c->kind && c->raw_len <= len);
    ENSURE((c->kind == CHANGE_TRUNCATE) == (c->relation == NULL));
    if (c->relation != NULL)
        ENSURE(pgoutput_relation(run->decoder, c->relation->id) == c->relation);
    for (uint32_t i = 0; i < c->truncate_count; i++)
        ENSURE(pgoutput_relation(run->decoder, c->truncated[i]->id) == c->truncated[i]);
    ENSURE((c->new != NULL) == (c->kind == CHANGE_INSERT || c->kind == CHANGE_UPDATE));
    ENSURE(c->old != NULL || c->kind != CHANGE_DELETE);
    if (c->old != NULL)
        check_row(c->old, c->relation, message, len);
    if (c->new != NULL)
        check_row(c->new, c->relation, message, len);
    check_again(run, c);
}

static void check_relation(struct run *run, const struct relation *relation)
{
    struct fault f = {0};
    struct pgoutput_msg m;

    ENSURE(pgoutput_relation(run->decoder, relation->id) == relation);
    ENSURE(pgoutput_decode(run->again, run->arena, relation->raw, relation->raw_len, &m, &f) == ERR_OK);
    ENSURE(sum_relation(m.relation) == sum_relation(relation));
    run->seen[run->seen_count++] = (struct seen){relation, sum_relation(relation)};
}

static void check_message(struct run *run, const struct pgoutput_msg *m, const char *message, size_t len)
{
    if (m->change != NULL)
        check_change(run, m->change, message, len);
    if (m->relation != NULL)
        check_relation(run, m->relation);
    if (m->origin != NULL)
        ENSURE(m->origin > message && strlen(m->origin) < len);
    ENSURE((m->relation != NULL) == (m->kind == PGOUTPUT_RELATION));
}

static void take(struct run *run, const uint8_t *data, size_t len)
{
    char *block = malloc(len > 0 ? len : 1);
    struct pgoutput_frame frame;
    struct pgoutput_msg m;
    struct fault f = {0};
    char why[8192];

    ENSURE(block != NULL);
    run->blocks[run->block_count++] = block;
    if (len > 0)
        memcpy(block, data, len);
    if (pgoutput_frame_decode(block, len, &frame, &f) != ERR_OK) {
        ENSURE(f.code == ERR_PROTOCOL && fault_text(&f, why, sizeof why) == why);
        return;
    }
    if (frame.kind == 'k')
        return;
    if (pgoutput_decode(run->decoder, run->arena, frame.data, frame.len, &m, &f) == ERR_OK)
        check_message(run, &m, frame.data, frame.len);
    else
        ENSURE(f.code == ERR_PROTOCOL && f.why[0] != '\0');
}

static void finish(struct run *run)
{
    for (size_t i = 0; i < run->seen_count; i++)
        ENSURE(sum_relation(run->seen[i].relation) == run->seen[i].sum);
    pgoutput_free(run->decoder);
    pgoutput_free(run->again);
    arena_free(run->arena);
    for (size_t i = 0; i < run->block_count; i++)
        free(run->blocks[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.decoder = pgoutput_new(), .again = pgoutput_new(), .arena = arena_new(4096)};

    while (size >= 2 && run.block_count < MESSAGES_MOST) {
        size_t len = (size_t)data[0] << 8 | data[1];

        data += 2;
        size -= 2;
        len = len < size ? len : size;
        take(&run, data, len);
        data += len;
        size -= len;
    }
    finish(&run);
    return 0;
}
