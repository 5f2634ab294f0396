/* replicate/spool_relations.c — which description of each relation was noted last.
 *
 * The writer asks it whether the segment holds the description a change needs; a reader, whether its decoder was told.
 * Compared by content: a relation's address may be used again by another once its decoder is gone. */
#include "replicate/spool_internal.h"

#include <stdlib.h>

void spool_relations_fini(struct spool_relations *r)
{
    for (size_t i = 0; i < r->size; i++)
        free(r->slots[i].raw);
    free(r->slots);
    *r = (struct spool_relations){0};
}

void spool_relations_forget(struct spool_relations *r)
{
    r->era++;
}

static struct spool_relation *find(struct spool_relations *r, uint32_t id)
{
    size_t at = (id * UINT64_C(0x9E3779B97F4A7C15)) >> 32;

    for (;; at++) {
        struct spool_relation *slot = &r->slots[at & (r->size - 1)];
        if (slot->raw == NULL || slot->id == id)
            return slot;
    }
}

static void grow(struct spool_relations *r)
{
    struct spool_relations bigger = {.size = r->size > 0 ? 2 * r->size : 64, .count = r->count, .era = r->era};

    bigger.slots = mem_alloc(bigger.size * sizeof *bigger.slots);
    for (size_t i = 0; i < r->size; i++)
        if (r->slots[i].raw != NULL)
            *find(&bigger, r->slots[i].id) = r->slots[i];
    free(r->slots);
    *r = bigger;
}

bool spool_relations_note(struct spool_relations *r, uint32_t id, const char *raw, uint32_t raw_len)
{
    struct spool_relation *slot;

    if (2 * (r->count + 1) > r->size)
        grow(r);
    slot = find(r, id);
    if (slot->raw != NULL && slot->era == r->era && slot->raw_len == raw_len && memcmp(slot->raw, raw, raw_len) == 0)
        return false;
    r->count += slot->raw == NULL;
    slot->raw = mem_grow(slot->raw, raw_len);
    memcpy(slot->raw, raw, raw_len);
    slot->id = id;
    slot->raw_len = raw_len;
    slot->era = r->era;
    return true;
}
