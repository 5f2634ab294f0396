/* wire/relations.h — the tables a stream has described, by the number it calls them. Inner to pgoutput.c.
 *
 * The server describes a table again for many reasons (an ANALYZE, a new streamed transaction), nearly always in the
 * same words; then the relation that stands is kept, so that memory grows with DDL only. */
#ifndef LEAT_WIRE_RELATIONS_H
#define LEAT_WIRE_RELATIONS_H

#include "model/change.h"
#include "wire/bytes.h"

struct relations;
struct relations *relations_new(void);
void relations_free(struct relations *rs);

/* The relation last described under this id, or NULL. */
const struct relation *relations_find(const struct relations *rs, uint32_t id);
/* Reads the body of a RELATION message only to see whether it is sound. */
void relations_check(struct bytes *r);
/* Takes in a body that relations_check found sound, to its last byte. Relations live as long as the cache. */
const struct relation *relations_learn(struct relations *rs, const char *body, size_t body_len, bool *ret_changed);

#endif
